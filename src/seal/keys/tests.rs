//! The key tree stands for ever; what is stored of it reads back, and nothing else does.

use crate::base::ids::hex;
use crate::base::limits::EPOCHS_MAX;
use crate::seal::keys::{epoch_id, FullKeys, KeysError, NodeSecret, RootSecret, StoreKeys};
use x25519_dalek::PublicKey;

#[test]
fn the_key_tree_never_changes() {
    let root = RootSecret::from_bytes([7; 32]);
    let keys = root.full_keys();
    assert_eq!(keys.vault.hex(), "2e10bce0276f4471a9f89f0e65746f538356075e67d9e4e7b829c1ba0987a755");
    assert_eq!(hex(keys.door.as_bytes()), "815917139d35226ac2bd92044ca1924d9ab541c7093a267657ccc34080f0a7f4");
    assert_eq!(hex(&keys.cut), "44346a770772c22253d8c3442f3f6457a18ce4d834cbd22bbcb31d3583c658ca");
    assert_eq!(hex(&keys.fingerprint), "c3cc849a8b041bbbf274e40c188d7e35d8ecfd7bdeea7892d312fa23f5f5cad1");
    assert_eq!(hex(&keys.map), "c227eb0a33dbc0ca7fa4003d9dd9cdf419bc84b25e240f2cbf60160c4522444f");
    assert_eq!(hex(&keys.content[0].1), "6e5f6f658f56c76ea4253756693cc0316cd5214d6ea87a709f73507b13a329ba");
    assert_eq!(keys.content[0].0.hex(), "ddc7ef00aad3a044");
    assert_eq!(
        hex(PublicKey::from(&root.recovery_key()).as_bytes()),
        "2bf2ecc28355795c2e9a1e1451fff5db11c0d1a83f3cd513999bdafd61fc9013"
    );
    let node = NodeSecret::from_seed([9; 32]);
    assert_eq!(node.node_id().hex(), "3ac23d72d126f37ce6377fadc528f26b7c8f468e66785d5d9c59d26e6eadb7b1");
    assert_eq!(
        hex(&node.channel_public()),
        "7f54cd58c245465e6e657519f372cdd314b3b7b892b09cc13f50b6eb2bff4c61"
    );
}

#[test]
fn every_key_of_the_tree_is_another() {
    let root = RootSecret::from_bytes([7; 32]);
    let keys = root.full_keys();
    let mut all = vec![
        root.signing_key().to_bytes(),
        root.recovery_key().to_bytes(),
        *keys.door.as_bytes(),
        keys.cut,
        keys.fingerprint,
        keys.map,
        keys.content[0].1,
    ];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 7);
}

#[test]
fn keys_survive_a_round_trip_and_nothing_else_is_taken() {
    let mut keys = RootSecret::from_bytes([1; 32]).full_keys();
    keys.content.push((epoch_id(&[5; 32]), [5; 32]));
    let bytes = keys.encode();
    assert_eq!(FullKeys::decode(&bytes).unwrap(), keys);
    let store = keys.store_keys();
    assert_eq!(StoreKeys::decode(&store.encode()).unwrap(), store);
    let node = NodeSecret::from_seed([2; 32]);
    let again = NodeSecret::decode(&node.encode()).unwrap();
    assert_eq!((again.node_id(), again.channel_public()), (node.node_id(), node.channel_public()));

    for length in 0..bytes.len() {
        assert_eq!(FullKeys::decode(&bytes[..length]), Err(KeysError::Malformed));
    }
    assert_eq!(FullKeys::decode(&[&bytes[..], &[0]].concat()), Err(KeysError::Malformed));
    assert_eq!(FullKeys::decode(&[&[2], &bytes[1..]].concat()), Err(KeysError::Version(2)));
    assert_eq!(StoreKeys::decode(&bytes), Err(KeysError::Malformed));
    assert!(!keys.learn(&[5; 32]) && keys.learn(&[6; 32]) && keys.epoch() == Some(epoch_id(&[5; 32])));
    assert!(keys.seal_with(&epoch_id(&[6; 32])) && !keys.seal_with(&epoch_id(&[7; 32])));
    assert_eq!(keys.epoch(), Some(epoch_id(&[6; 32])));
    assert_eq!(FullKeys::decode(&keys.encode()).unwrap(), keys, "which one seals is remembered");
    let mut count = keys.content.len();
    for number in 100..=u8::MAX {
        count += usize::from(keys.learn(&[number; 32]));
    }
    assert_eq!(count, EPOCHS_MAX, "no more than may be");
    assert_eq!(FullKeys::decode(&keys.encode()).unwrap(), keys);
    keys.content.clear();
    assert_eq!(FullKeys::decode(&keys.encode()), Err(KeysError::Malformed), "no key to seal with");
}

#[test]
fn secrets_are_not_printed() {
    let keys = RootSecret::from_bytes([0xab; 32]).full_keys();
    let printed = format!("{:?} {:?} {:?}", RootSecret::from_bytes([0xab; 32]), keys, keys.door);
    assert!(!printed.contains("171") && !printed.contains(&hex(&keys.cut[..3])), "{printed}");
    assert!(printed.starts_with("RootSecret(..) FullKeys("));
}
