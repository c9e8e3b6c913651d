//! What an event that matches nothing costs in allocations: none, once the storage has grown.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
    time::Duration,
};

use tripline::{
    decode::{DecodeSpec, Decoder, Limits, Timing},
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

#[test]
fn an_event_that_matches_nothing_allocates_nothing() {
    let files = RuleFiles { files: [("a.rhai".into(), RULES.to_owned())].into(), ..RuleFiles::default() };
    let loaded = load(&files, &LoadOptions::default(), None);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let limits = Limits { record_bytes_max: 1 << 20, depth_max: 64, fields_max: 1_000 };
    let decoder = Decoder::new(&DecodeSpec::default(), limits, Timing::Live).expect("a decoder");
    let state = SourceState {
        input: "default".into(),
        partition: 0,
        lateness: Duration::from_secs(10),
        watermark: None,
        epoch: 1,
        max_clock_skew: None,
    };
    let mut source = Source::new(state, decoder, Detector::new(Arc::new(loaded.set), 10));
    let records: Vec<String> = (0..200).map(record).collect();
    let mut read_all = || {
        for (offset, record) in (0..).zip(&records) {
            let raw = Raw { offset, bytes: record.as_bytes(), timestamp_ms: Some(0), clock: None };
            let signals = source.read(raw).expect("a record");
            assert!(signals.is_empty(), "{signals:?}");
        }
    };
    // the storage grows, and the matcher learns what is rare
    for _ in 0..50 {
        read_all();
    }
    let before = ALLOCATIONS.get();
    assert!(before > 0, "allocations are counted");
    read_all();
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations in {} events", records.len());
}
