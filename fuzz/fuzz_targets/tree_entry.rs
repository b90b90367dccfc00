//! Entries of a tree.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    nuthatch::file::entry::check_entry_bytes(bytes);
});
