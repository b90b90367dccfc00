//! Nodes of the sorted map.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    nuthatch::file::map::check_node_bytes(bytes);
});
