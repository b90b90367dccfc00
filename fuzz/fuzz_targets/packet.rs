//! Datagrams from strangers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut datagram = bytes.to_vec();
    let _ = nuthatch::wire::packet::parse_any_init(bytes);
    let _ = nuthatch::wire::packet::parse(&mut datagram);
});
