//! The bodies of uploads by form.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    nuthatch::face::web::check_multipart_bytes(bytes);
});
