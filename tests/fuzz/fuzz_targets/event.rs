//! Any bytes as one record.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static BOTH: std::cell::RefCell<tripline_fuzz::Both> = tripline_fuzz::Both::new().into();
    }
    BOTH.with_borrow_mut(|both| both.check(bytes));
});
