//! Keys of a tree.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    nuthatch::file::tree::check_key_bytes(bytes);
});
