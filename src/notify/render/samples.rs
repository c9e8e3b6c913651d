//! Alerts for this room's unit tests.

use serde_json::json;

use crate::alert::Alert;

/// A brute force that ended in a login.
pub(crate) fn alert() -> Alert {
    let evidence = |pattern: &str, offset: u64, time: &str| {
        json!({"pattern": pattern, "input": "auth", "partition": 0, "offset": offset, "time": time,
               "fields": {"source.ip": "203.0.113.9", "user.name": "root"}})
    };
    let alert = json!({
        "id": "00112233445566778899aabbccddeeff",
        "state": "fired",
        "rule": {"id": "ssh-brute-force-success", "title": "SSH brute force followed by a login", "version": "0123456789ab"},
        "title": "203.0.113.9 logged in as root after 5 failures",
        "severity": "high",
        "time": "2024-01-01T00:01:10Z",
        "key": ["203.0.113.9"],
        "by": ["source.ip"],
        "window": {"start": "2023-12-31T23:51:10Z", "end": "2024-01-01T00:01:10Z"},
        "counts": {"failure": 5, "success": 1},
        "trigger": {"input": "auth", "partition": 0, "offset": 17, "time": "2024-01-01T00:01:10Z"},
        "late": false,
        "attack": ["T1110.001", "T1078"],
        "tags": [],
        "suppressed": 0,
        "evidence": [evidence("failure", 11, "2024-01-01T00:00:00Z"), evidence("success", 17, "2024-01-01T00:01:10Z")],
        "fields": {"users": ["root", "admin"]},
    });
    serde_json::from_value(alert).expect("the sample is an alert")
}

/// The same with `text` wherever an event's author may put some.
pub(crate) fn hostile(text: &str) -> Alert {
    let mut alert = alert();
    alert.title = text.to_owned();
    alert.key = vec![text.into()];
    alert.tags = vec![text.to_owned()];
    alert.fields.insert(text.to_owned(), json!(text));
    for evidence in &mut alert.evidence {
        evidence.fields.insert("user.name".to_owned(), json!([text]));
        evidence.fields.insert("process.name".to_owned(), json!(text));
    }
    alert
}
