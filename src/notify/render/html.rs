//! An alert as the HTML part of a mail: a heading and a table, no scripts, no images, nothing to load.

use super::{TITLE_CHARS_MAX, clean, facts::facts, severity, state_word};
use crate::alert::Alert;

/// A whole page.
pub(in crate::notify) fn html(alert: &Alert) -> String {
    let rows: String = facts(alert)
        .into_iter()
        .map(|(label, fact)| {
            format!(
                "<tr><td style=\"color:#666;padding:2px 12px 2px 0;vertical-align:top\">{label}</td>\
                 <td style=\"font-family:monospace;overflow-wrap:anywhere\">{}</td></tr>\n",
                escape(&fact)
            )
        })
        .collect();
    format!(
        "<!doctype html>\n<html><body style=\"font-family:sans-serif\">\n\
         <h2 style=\"margin-bottom:4px\"><span style=\"color:{}\">{}</span> {}</h2>\n\
         <p style=\"color:#666;margin-top:0\">{} · {}</p>\n<table>\n{rows}</table>\n</body></html>\n",
        colour(&alert.severity),
        escape(&severity(alert)),
        escape(&clean(&alert.title, TITLE_CHARS_MAX)),
        escape(&clean(&alert.time, TITLE_CHARS_MAX)),
        state_word(alert.state),
    )
}

fn colour(severity: &str) -> &'static str {
    match severity {
        "critical" => "#8b0000",
        "high" => "#c62828",
        "medium" => "#b26a00",
        "low" => "#00697a",
        _ => "#555555",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn markup_from_an_event_is_shown_not_run() {
        let page = html(&samples::hostile("<script>alert(1)</script><img src=x onerror='y'>&amp;"));
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("&amp;amp;"), "{page}");
    }
}
