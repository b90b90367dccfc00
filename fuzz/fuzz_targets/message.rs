//! Messages between members.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = nuthatch::wire::message::decode(bytes);
});
