//! The bodies of WebDAV requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    nuthatch::face::web::check_xml_bytes(bytes);
});
