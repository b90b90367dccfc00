//! Feed entries.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = nuthatch::feed::entry::decode(bytes);
});
