//! What an event or line that matches nothing costs in allocations: none, once the storage has grown.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    sync::Arc,
    time::Duration,
};

use tripline::{
    decode::{DecodeSpec, Decoder, Extract, Limits, Timing},
    detect::{Detector, Raw, Source, SourceState},
    rule::{LoadOptions, RuleFiles, load},
};

/// The system's allocator, counting what each thread asks of it.
pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // a thread that is ending may allocate after its counter is gone
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is left to the system's allocator; a counter without a destructor is all that is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

const RULES: &str = r#"
rule(#{ id: "substrings", title: "t", severity: "low", by: ["User"],
    event: |e| e.Channel == "Sysmon" && e.EventID == 1 && (e.CommandLine.icontains("mimikatz")
        || like(e.Image, "*\\procdump*.exe") || e.ParentImage.iends_with("\\winword.exe")) });
rule(#{ id: "texts", title: "t", severity: "low",
    event: |e| matches(e.CommandLine, "(?i)-enc\\s+[a-z]{40}") || e.Hashes in ["a", "b"] || ieq(e.User, "NOBODY") });
rule(#{ id: "others", title: "t", severity: "low", by: ["source.ip"],
    event: |e| cidr(e.source.ip, "192.0.2.0/24") || e.bytes > 1000000 || e.tags == "evil" || e.items.name == "x" });
rule(#{ id: "keywords", title: "t", severity: "low",
    event: |e| e.icontains("sekurlsa::logonpasswords") || e.icontains("\\perfc.dat") });
rule(#{ id: "exists", title: "t", severity: "low", event: |e| exists(e.gone.below) && !exists(e.User) });
"#;

fn record(n: usize) -> String {
    format!(
        r#"{{"@timestamp": "2024-05-01T10:00:{:02}.5Z", "Channel": "Sysmon", "EventID": {}, "User": "CORP\\user{n}",
        "Image": "C:\\Windows\\System32\\cmd.exe", "CommandLine": "cmd /c \"dir C:\\{n}\" caf\u00e9 é",
        "ParentImage": "C:\\Windows\\explorer.exe", "source": {{"ip": "10.0.0.{n}"}}, "bytes": {n}, "tags": ["a", "b"],
        "items": [{{"name": "a{n}"}}, {{"name": ["b"], "more": {{"x": null}}}}], "Unread": {{"a": [1, {{"b": 2}}]}}}}"#,
        n % 60,
        n % 3,
    )
}

/// What a source allocates for records, after it has read them often; `matches` says whether any of them does.
fn allocations_of(rules: &str, spec: &DecodeSpec, records: &[String], matches: bool) -> u64 {
    let files = RuleFiles { files: [("a.rhai".into(), rules.to_owned())].into(), ..RuleFiles::default() };
    let loaded = load(&files, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let limits = Limits { record_bytes_max: 1 << 20, depth_max: 64, fields_max: 1_000 };
    let decoder = Decoder::new(spec, limits, Timing::Live).expect("a decoder");
    let state = SourceState {
        input: "default".into(),
        partition: 0,
        lateness: Duration::from_secs(10),
        watermark: None,
        epoch: 1,
        max_clock_skew: None,
    };
    let mut source = Source::new(state, decoder, Detector::new(Arc::new(loaded.set), 10));
    let mut read_all = || {
        for (offset, record) in (0..).zip(records) {
            let raw = Raw { offset, bytes: record.as_bytes(), timestamp_ms: Some(0), clock: None };
            let signals = source.read(raw).expect("a record");
            assert_eq!(signals.is_empty(), !matches, "{signals:?}");
        }
    };
    // the storage grows, and the matcher learns what is rare
    for _ in 0..50 {
        read_all();
    }
    counted(read_all)
}

/// The allocations of this thread meanwhile.
fn counted<T>(meanwhile: impl FnOnce() -> T) -> u64 {
    let before = ALLOCATIONS.get();
    meanwhile();
    ALLOCATIONS.get() - before
}

#[test]
fn every_allocation_is_counted() {
    assert_eq!(counted(|| black_box(Box::new(1))), 1);
    assert_eq!(counted(|| black_box(vec![0_u8; 10])), 1, "with zeros in it");
    let mut list = Vec::with_capacity(1);
    let grow = || (0..2).for_each(|number| black_box(&mut list).push(number));
    assert_eq!(counted(grow), 1, "one that grows");
    assert_eq!(counted(|| black_box(1)), 0);
}

#[test]
fn an_event_that_matches_is_seen_to_allocate() {
    let records: Vec<String> = (0..200).map(record).map(|record| record.replace("cmd /c", "mimikatz")).collect();
    let matching: Vec<String> = records.into_iter().filter(|record| record.contains("\"EventID\": 1,")).collect();
    let found = allocations_of(RULES, &DecodeSpec::default(), &matching, true);
    assert!(found >= matching.len() as u64, "{found} allocations for {} signals", matching.len());
}

#[test]
fn an_event_that_matches_nothing_allocates_nothing() {
    let records: Vec<String> = (0..200).map(record).collect();
    assert_eq!(
        allocations_of(RULES, &DecodeSpec::default(), &records, false),
        0,
        "allocations in {} events",
        records.len()
    );
}

const LINE_RULES: &str = r#"
rule(#{ id: "words", title: "t", severity: "low", by: ["host.name"],
    event: |e| e.process.name == "sshd" && e.message.icontains("mimikatz") || e.log.syslog.severity.code < 0 });
rule(#{ id: "extracted", title: "t", severity: "low", by: ["source.ip"],
    event: |e| e.event.action == "ssh_login" && cidr(e.source.ip, "192.0.2.0/24") || e.user.name == "nobody" });
rule(#{ id: "own", title: "t", severity: "low", event: |e| e.disk.name == "sdz" });
"#;

/// Lines of every kind, extracts of the user and built in among them.
fn line(n: usize) -> String {
    let second = n % 60;
    match n % 6 {
        0 => format!(
            "<38>May  1 10:00:{second:02} gate sshd[{n}]: Failed password for root from 10.0.0.{n} port {n} ssh2"
        ),
        1 => format!("May  1 10:00:{second:02} gate sudo: u{n} : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls"),
        2 => format!("<34>1 2024-05-01T10:00:{second:02}Z gate app {n} - [a@1 b=\"c\\\"d\"] words {n}"),
        3 => format!("<6>May  1 10:00:{second:02} gate kernel: [{n}.0] I/O error, dev sd{n}, sector {n}"),
        4 => {
            format!("10.0.0.{n} - - [01/May/2024:10:00:{second:02} +0000] \"GET /a{n}?b HTTP/1.1\" 200 {n} \"-\" \"x\"")
        }
        _ => format!("[Wed May 01 10:00:{second:02} 2024] [error] [client 10.0.0.{n}] File does not exist: /srv/{n}"),
    }
}

#[test]
fn a_line_that_matches_nothing_allocates_nothing() {
    let lines: Vec<String> = (0..240).map(line).collect();
    let extract = Extract {
        when: Some("process.name == \"kernel\"".into()),
        field: "message".into(),
        regex: r"I/O error, dev (?<disk.name>\w+)".into(),
    };
    let spec = DecodeSpec { extracts: vec![extract], ..DecodeSpec::default() };
    assert_eq!(allocations_of(LINE_RULES, &spec, &lines, false), 0, "allocations in {} lines", lines.len());
}
