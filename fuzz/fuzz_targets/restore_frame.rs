//! Frames of a restore stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = nuthatch::node::frames::Frame::decode(bytes);
});
