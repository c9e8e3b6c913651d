//! Text that does no more than say something.

/// `text` with everything made visible that a terminal would obey, a reader would not see, or that would change what
/// is around it; cut after `chars_max` characters, which `…` shows.
pub(in crate::notify) fn clean(text: &str, chars_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(chars_max));
    for (at, c) in text.chars().enumerate() {
        if at == chars_max {
            shown.push('…');
            break;
        }
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls, zero-width and tag
/// characters (Unicode TR 36, "Unicode Security Considerations").
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// JSON with hidden characters as `\u` escapes; they can only stand inside its strings.
pub(super) fn escape_json(written: String) -> String {
    if !written.contains(is_hidden) {
        return written;
    }
    let mut escaped = String::with_capacity(written.len() + 64);
    for c in written.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// `text` in letters, digits, `-`, `.` and `_`; every other character becomes `_`.
pub(in crate::notify) fn token(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    text.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_in_any_script_stays() {
        let text = r"C:\Windows\cmd.exe — naïve 日本語 ✓ العربية";
        assert_eq!(clean(text, 100), text);
    }

    #[test]
    fn what_hides_is_shown() {
        assert_eq!(
            clean("a\nb\tc\u{1b}[0m\u{7f}\u{85}\u{200b}\u{2066}", 100),
            r"a\nb\tc\u{1b}[0m\u{7f}\u{85}\u{200b}\u{2066}"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clean("日本語", 2), "日本…");
        assert_eq!(clean("日本語", 3), "日本語");
    }
}
