//! Inline contents.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    nuthatch::file::inline::check_tail_bytes(bytes);
});
