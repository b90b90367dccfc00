//! Frames of an authenticated packet.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for frame in nuthatch::wire::frame::Frames::new(bytes) {
        if frame.is_err() {
            break;
        }
    }
});
