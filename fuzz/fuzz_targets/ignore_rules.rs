//! Patterns of .nuthatchignore.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let half = bytes.len() / 2;
    if let Ok(mut rules) = nuthatch::file::ignore::IgnoreStack::new(&[]) {
        rules.enter(b"", Some(&bytes[..half]));
        let _ = rules.is_ignored(&bytes[half..], false);
    }
});
