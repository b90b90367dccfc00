//! What sealing promises, tested from outside [`crate::seal::sealed`]; the parts of [`crate::seal::layout`] and [`crate::seal::cipher`]
//! that nobody else sees are reached too.

use crate::base::ids::{hex, FeedId, NodeId};
use crate::base::limits::{CUT_BYTES_MAX, SEALED_BYTES_MAX, SEALED_TEXT_BYTES_MAX};
use crate::seal::cipher::{Epoch, NONCE_BYTES, TAG_BYTES};
use crate::seal::keys::{epoch_id, FullKeys, RootSecret};
use crate::seal::layout::{padme, Layout, LayoutError, INNER_BYTES};
use crate::seal::sealed::{chunk_id, ChunkKind, OpenError, SealError, Sealer};
use proptest::prelude::{any, prop, proptest, ProptestConfig};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Length of format, kind, epoch id and nonce.
const HEAD: usize = 34;

fn keys() -> FullKeys {
    RootSecret::from_bytes([7; 32]).full_keys()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn prose(length: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0_u64.. {
        if text.len() >= length {
            break;
        }
        text.extend_from_slice(format!("seed {number} lies under bark {}; ", number * 37 % 101).as_bytes());
    }
    text.truncate(length);
    text
}

fn feed() -> FeedId {
    FeedId { node: NodeId::from_bytes([1; 32]), random: [2; 8] }
}

#[test]
fn the_sealed_form_never_changes() {
    let mut sealer = Sealer::new(&keys());
    let sealed = sealer.seal(ChunkKind::Tree, b"a nuthatch hides seeds", b"!").unwrap();
    let golden = concat!(
        "01",                                                                       // format
        "02",                                                                       // kind: Tree
        "ddc7ef00aad3a044",                                                         // epoch id
        "25405585a0d311d9493de4a97422f6cc9a27793ccfc428eb",                         // nonce
        "dae65622f7304eebc0a0a3e095d6ce567a390f73c24e4c08b9cc9c7fee9ea41082c4615c", // 36 bytes of ciphertext
        "cdc423354e93d9b913363dd9e2f88b17",                                         // tag
    );
    assert_eq!(hex(&sealed.bytes), golden);
    assert_eq!(sealed.id.hex(), "adcce766304729f1517d47302fcbdedd263d8a64d758684bf297c0a953b14fec");
    // What went into the cipher: method raw, lengths 22, 22, 1, both parts; 36 bytes are a Padme length already.
    let inner = Layout::new().pack(0, 0, b"a nuthatch hides seeds", b"!");
    assert_eq!(hex(&inner[..INNER_BYTES]), "00160000001600000001000000");
    assert_eq!(inner[INNER_BYTES..], *b"a nuthatch hides seeds!");
    assert_eq!(sealed.bytes.len(), HEAD + 36 + TAG_BYTES);
}

#[test]
fn what_was_sealed_is_opened_again_at_every_size() {
    let mut sealer = Sealer::new(&keys());
    for (first, second) in
        [(0, 0), (1, 0), (0, 1), (100, 0), (4096, 300), (40_000, 9), (CUT_BYTES_MAX - 5, 5)]
    {
        for (first, is_small) in [(prose(first), first > 4000), (noise(1, first), false)] {
            let second = noise(2, second);
            let sealed = sealer.seal(ChunkKind::Content, &first, &second).unwrap();
            assert_eq!(sealed.id, chunk_id(&sealed.bytes));
            assert!(sealed.bytes.len() <= SEALED_BYTES_MAX);
            assert_eq!(sealed.bytes.len(), sealed.bytes.capacity(), "no memory is kept that is not needed");
            assert_eq!(is_small, sealed.bytes.len() < (first.len() + second.len()) / 2);
            let opened = sealer.open(ChunkKind::Content, &sealed.bytes).unwrap();
            assert_eq!(opened, [first.as_slice(), &second].concat());
        }
    }
    let long = vec![0; CUT_BYTES_MAX];
    assert_eq!(sealer.seal(ChunkKind::Content, &long, b"1"), Err(SealError::TooLong(CUT_BYTES_MAX + 1)));
}

#[test]
fn a_sealer_that_rested_seals_and_opens_as_before() {
    let mut sealer = Sealer::new(&keys());
    let content = prose(300_000);
    let before = sealer.seal(ChunkKind::Content, &content, b"").unwrap();
    sealer.rest();
    assert_eq!(sealer.open(ChunkKind::Content, &before.bytes).unwrap(), content);
    sealer.rest();
    let after = sealer.seal(ChunkKind::Content, &content, b"").unwrap();
    assert_eq!((after.id, after.bytes), (before.id, before.bytes));
    assert_eq!(sealer.content_bytes(), 600_000);
}

#[test]
fn equal_content_is_sealed_equally_by_every_device() {
    let text = prose(300_000);
    let mut one = Sealer::new(&keys());
    let mut two = Sealer::new(&FullKeys::decode(&keys().encode()).unwrap());
    // The contexts of `one` have another history.
    one.seal(ChunkKind::Content, &noise(3, 200_000), b"").unwrap();
    assert_eq!(one.seal(ChunkKind::Content, &text, b"x"), two.seal(ChunkKind::Content, &text, b"x"));
    assert_eq!(one.fingerprint(&text), two.fingerprint(&text));
    let mut other = Sealer::new(&RootSecret::from_bytes([8; 32]).full_keys());
    assert_ne!(one.seal(ChunkKind::Content, &text, b"x"), other.seal(ChunkKind::Content, &text, b"x"));
    assert_ne!(one.fingerprint(&text), other.fingerprint(&text));
}

/// Had the nonce come from the plain content, two zstd versions would encrypt two texts under one nonce, which gives
/// away their difference and the authentication key.
#[test]
fn two_compressions_of_equal_content_never_share_a_nonce() {
    let keys = keys();
    let content = prose(50_000);
    let epoch = Epoch::new(keys.content[0].0, &keys.content[0].1);
    let mut inners = vec![raw_inner(&content)];
    for level in [1, -1, -4, -9] {
        inners.push(zstd_inner(&content, level));
    }
    let mut nonces: Vec<_> = inners.iter().map(|inner| epoch.chunk.nonce(b"same", inner)).collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), inners.len());

    // All of them open to the same content, so a device with another zstd is understood.
    let mut layout = Layout::new();
    for inner in &inners {
        assert_eq!(layout.unpack(inner).unwrap(), content);
    }

    // And the nonce in a sealed chunk is that of exactly what entered the cipher.
    let sealed = Sealer::new(&keys).seal(ChunkKind::Content, &content, b"").unwrap();
    let nonce: [u8; NONCE_BYTES] = sealed.bytes[10..HEAD].try_into().unwrap();
    let mut associated = vec![1, 1];
    associated.extend_from_slice(keys.vault.as_bytes());
    associated.extend_from_slice(keys.content[0].0.as_bytes());
    let mut text = sealed.bytes[HEAD..].to_vec();
    epoch.chunk.open(&associated, &nonce, &mut text).unwrap();
    assert_eq!(epoch.chunk.nonce(&associated, &text), nonce);
    assert_ne!(epoch.chunk.nonce(b"other", &text), nonce);
}

#[test]
fn a_changed_bit_anywhere_is_noticed() {
    let mut sealer = Sealer::new(&keys());
    let sealed = sealer.seal(ChunkKind::Tree, &prose(500), b"tail").unwrap().bytes;
    for at in 0..sealed.len() {
        let mut forged = sealed.clone();
        forged[at] ^= 1 << (at % 8);
        assert!(sealer.open(ChunkKind::Tree, &forged).is_err(), "byte {at}");
    }
    for length in 0..sealed.len() {
        assert!(sealer.open(ChunkKind::Tree, &sealed[..length]).is_err());
    }
}

#[test]
fn a_chunk_cannot_pass_for_another_kind_or_vault() {
    let mut sealer = Sealer::new(&keys());
    let mut sealed = sealer.seal(ChunkKind::Tree, b"text", b"").unwrap().bytes;
    assert_eq!(sealer.open(ChunkKind::Content, &sealed), Err(OpenError::Kind(2)));
    sealed[1] = 1;
    assert_eq!(sealer.open(ChunkKind::Content, &sealed), Err(OpenError::Forged));
    sealed[1] = 2;
    sealed[0] = 9;
    assert_eq!(sealer.open(ChunkKind::Tree, &sealed), Err(OpenError::Format(9)));
    sealed[0] = 1;

    let mut moved = keys();
    moved.vault = RootSecret::from_bytes([8; 32]).vault();
    assert_eq!(Sealer::new(&moved).open(ChunkKind::Tree, &sealed), Err(OpenError::Forged));
}

#[test]
fn the_newest_epoch_seals_and_every_known_one_opens() {
    let old = keys();
    let mut new = keys();
    new.content.push((epoch_id(&[3; 32]), [3; 32]));
    let before = Sealer::new(&old).seal(ChunkKind::Content, b"before", b"").unwrap().bytes;
    let after = Sealer::new(&new).seal(ChunkKind::Content, b"before", b"").unwrap().bytes;
    assert_ne!(before, after);
    assert_eq!(Sealer::new(&new).open(ChunkKind::Content, &before).unwrap(), b"before");
    assert_eq!(Sealer::new(&new).open(ChunkKind::Content, &after).unwrap(), b"before");
    assert_eq!(Sealer::new(&old).open(ChunkKind::Content, &after), Err(OpenError::Epoch(epoch_id(&[3; 32]))));
}

#[test]
fn an_authentic_chunk_that_is_laid_out_wrongly_is_refused() {
    let mut layout = Layout::new();
    let text = prose(1000);
    let good = zstd_inner(&text, 1);
    assert_eq!(layout.unpack(&good).unwrap(), text);
    let mut refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut inner = good.clone();
        change(&mut inner);
        layout.unpack(&inner).unwrap_err()
    };
    assert_eq!(refused(&|inner| inner[0] = 2), LayoutError::Lengths, "an unknown method");
    assert_eq!(refused(&|inner| inner[0] = 0), LayoutError::Lengths, "raw, with two lengths");
    assert_eq!(refused(&|inner| inner[1] += 1), LayoutError::Compression, "it unpacks to less");
    assert_eq!(refused(&|inner| inner[1] -= 1), LayoutError::Compression, "it unpacks to more");
    assert_eq!(refused(&|inner| inner[4] = 255), LayoutError::Lengths, "4 GiB are not allocated");
    assert_eq!(refused(&|inner| inner[12] = 255), LayoutError::Lengths);
    assert_eq!(refused(&|inner| inner.push(0)), LayoutError::Padding, "more zeros than Padme");
    assert_eq!(refused(&|inner| inner.truncate(12)), LayoutError::Lengths);
    assert_eq!(refused(&|inner| inner[INNER_BYTES] ^= 1), LayoutError::Compression, "no zstd frame");

    let mut padded = layout.pack(0, 0, &noise(1, 100), b"");
    assert_eq!(padded.len(), 120);
    padded[119] = 1;
    assert_eq!(layout.unpack(&padded), Err(LayoutError::Padding));
}

#[test]
fn incompressible_content_is_stored_raw_and_a_late_start_is_still_found() {
    let mut layout = Layout::new();
    let raw = layout.pack(0, 0, &noise(1, 200_000), b"");
    assert_eq!(raw[0], 0);
    assert_eq!(raw.len(), padme(INNER_BYTES + 200_000));
    // The beginning does not shrink (a picture in a document), the middle does.
    let mixed = [noise(1, 20_000), prose(180_000)].concat();
    let packed = layout.pack(0, 0, &mixed, b"");
    assert_eq!(packed[0], 1);
    assert!(packed.len() < 100_000);
}

#[test]
fn padme_lengths_are_those_of_the_paper() {
    // (length, padded): exponent e, mantissa of floor(log2 e) + 1 bits, the rest rounded up to zeros.
    let table = [
        (0, 0),
        (1, 1),
        (2, 2),
        (7, 7),
        (8, 8),
        (9, 10),
        (15, 16),
        (16, 16),
        (17, 18),
        (100, 104),
        (1_000, 1_024),
        (1_025, 1_088),
        (65_537, 67_584),
        (262_157, 270_336),
        (1_048_589, 1_081_344),
    ];
    for (length, padded) in table {
        assert_eq!(padme(length), padded, "{length}");
    }
}

#[test]
fn padme_never_shrinks_and_costs_at_most_an_eighth() {
    let mut last = 0;
    for length in 1..100_000 {
        let padded = padme(length);
        assert!(padded >= length && padded >= last && padme(padded) == padded, "{length}");
        assert!(padded * 8 <= length * 9, "{length}");
        last = padded;
    }
}

#[test]
fn a_text_opens_only_in_its_own_entry() {
    let sealer = Sealer::new(&keys());
    let sealed = sealer.seal_text(&feed(), 7, b"photos");
    assert_eq!(sealer.open_text(&feed(), 7, &sealed).unwrap(), b"photos");
    assert_eq!(sealer.open_text(&feed(), 8, &sealed), Err(OpenError::Forged));
    let other = FeedId { random: [3; 8], ..feed() };
    assert_eq!(sealer.open_text(&other, 7, &sealed), Err(OpenError::Forged));
    for at in 0..sealed.len() {
        let mut forged = sealed.clone();
        forged[at] ^= 0x10;
        assert!(sealer.open_text(&feed(), 7, &forged).is_err(), "byte {at}");
        assert!(sealer.open_text(&feed(), 7, &sealed[..at]).is_err());
    }
    let long = vec![0; SEALED_TEXT_BYTES_MAX + 1];
    assert_eq!(sealer.open_text(&feed(), 7, &long), Err(OpenError::Length(long.len())));
}

#[test]
fn the_length_of_a_name_does_not_show() {
    let sealer = Sealer::new(&keys());
    let lengths: Vec<_> =
        (0..=120).map(|length| sealer.seal_text(&feed(), 0, &prose(length)).len()).collect();
    assert!(lengths.iter().all(|length| *length == HEAD + 128 + TAG_BYTES));
}

#[test]
fn texts_of_the_golden_form_are_opened() {
    let sealer = Sealer::new(&keys());
    let sealed = sealer.seal_text(&feed(), 7, b"photos");
    assert_eq!(hex(&sealed[..2]), "0110");
    assert_eq!(chunk_id(&sealed).hex(), "00bb85185238fc93e8562bb795a4397f9b2b8defa53aad586fb165288df2e912");
}

#[test]
fn openers_are_total_on_seeded_garbage() {
    for seed in 0..2_000 {
        fuzz_open(&noise(seed, usize::try_from(seed % 400).unwrap()));
    }
}

/// Takes any bytes: as sealed ones, and as the inside of a chunk, where an attacker with the key could put them.
fn fuzz_open(bytes: &[u8]) {
    thread_local! {
        static SEALER: std::cell::RefCell<(Sealer, Layout)> = std::cell::RefCell::new((Sealer::new(&keys()), Layout::new()));
    }
    SEALER.with_borrow_mut(|(sealer, layout)| {
        assert!(sealer.open(ChunkKind::Content, bytes).is_err());
        assert!(sealer.open_text(&feed(), 0, bytes).is_err());
        if let Ok(plain) = layout.unpack(bytes) {
            assert!(plain.len() <= CUT_BYTES_MAX);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_insides_are_opened_or_refused(length in 0_usize..3_000, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut inner = zstd_inner(&prose(length), 1);
        let at = at.index(inner.len());
        inner[at] = byte;
        fuzz_open(&inner);
        inner.truncate(at);
        fuzz_open(&inner);
    }

    #[test]
    fn any_parts_survive(first in prop::collection::vec(any::<u8>(), 0..5_000), second in prop::collection::vec(any::<u8>(), 0..5_000)) {
        let mut layout = Layout::new();
        let inner = layout.pack(3, 5, &first, &second);
        assert_eq!(layout.unpack(&inner[3..]).unwrap(), [first, second].concat());
    }
}

/// The inside of a chunk as the layout describes it, put together by hand.
fn inner(method: u8, length: usize, stored: &[u8]) -> Vec<u8> {
    let mut inner = vec![method];
    for part in [length, stored.len(), 0] {
        inner.extend_from_slice(&u32::try_from(part).unwrap().to_le_bytes());
    }
    inner.extend_from_slice(stored);
    inner.resize(padme(inner.len()), 0);
    inner
}

fn raw_inner(content: &[u8]) -> Vec<u8> {
    inner(0, content.len(), content)
}

fn zstd_inner(content: &[u8], level: i32) -> Vec<u8> {
    inner(1, content.len(), &zstd::bulk::compress(content, level).unwrap())
}

/// `cargo test --profile quick --lib sealing_speed -- --ignored --nocapture`: a figure to look at, nothing is asserted.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn sealing_speed() {
    let mut sealer = Sealer::new(&keys());
    let size = 256 * 1024;
    let rounds: u32 = 1_000;
    let mixed = [noise(1, size / 2), prose(size / 2)].concat();
    for (name, content) in [("random", noise(1, size)), ("half", mixed), ("prose", prose(size))] {
        let start = std::time::Instant::now();
        let mut sealed = sealer.seal(ChunkKind::Content, &content, b"").unwrap();
        for _ in 1..rounds {
            sealed = sealer.seal(ChunkKind::Content, &content, b"").unwrap();
        }
        let seal = start.elapsed() / rounds;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            sealer.open(ChunkKind::Content, &sealed.bytes).unwrap();
        }
        let open = start.elapsed() / rounds;
        let speed =
            |time: std::time::Duration| f64::from(u32::try_from(size).unwrap()) / time.as_secs_f64() / 1e6;
        println!(
            "{name}: {} -> {} bytes, seal {:.0} MB/s, open {:.0} MB/s",
            size,
            sealed.bytes.len(),
            speed(seal),
            speed(open)
        );
    }
}
