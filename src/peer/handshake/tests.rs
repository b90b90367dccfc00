//! What handshake datagrams are, byte for byte, and who can make them.

use super::*;
use crate::base::ids::{hex, VaultId};

/// A vault's door.
fn door(secret: u8) -> DoorKeys {
    DoorKeys::new(&Door { vault: VaultId::from_bytes([1; 32]), secret: [secret; 32], root_public: [3; 32] })
}

/// The first message of a handshake with node 9, as golden as its seed.
fn init(door: &DoorKeys, seed: u8, claims: &Claims) -> (Noise, Vec<u8>) {
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([9; 32])).to_bytes();
    let lasting = Arc::new(Lasting::new([8; 32]));
    let local = Local { door, lasting: &lasting, seed: [seed; 32] };
    let mut noise = Noise::initiate(local, Some(&public)).unwrap();
    let header = HandshakeHeader { stage: Stage::Init, pattern: Pattern::Ik, sender: 5, receiver: 0 };
    let datagram = noise.write(door, header, Some(claims)).unwrap();
    (noise, datagram)
}

/// The Noise message in a datagram.
fn inner(datagram: &[u8]) -> &[u8] {
    &datagram[HANDSHAKE_HEADER_BYTES..datagram.len() - MAC_BYTES]
}

#[test]
fn claims_are_golden() {
    let claims = Claims {
        incarnation: [7; 8],
        clock: 258,
        keepalive: Some(Span::from_secs(50)),
        chain: vec![vec![1, 2, 3], vec![4]],
    };
    let bytes = claims.encode(100);
    // version, incarnation, clock, keepalive, two entries with their lengths
    assert_eq!(
        hex(&bytes),
        "01 0707070707070707 0201000000000000 3200 02 0300 010203 0100 04".replace(' ', "")
    );
    assert_eq!(Claims::decode(&bytes), Ok(claims.clone()));
    let short = Claims { chain: Vec::new(), ..claims.clone() };
    assert_eq!(
        Claims::decode(&claims.encode(bytes.len() - 1)),
        Ok(short),
        "a chain that does not fit is left out"
    );
    for length in 0..bytes.len() {
        assert_eq!(Claims::decode(&bytes[..length]), Err(HandshakeError::Claims));
    }
    assert_eq!(Claims::decode(&[&bytes[..], &[0]].concat()), Err(HandshakeError::Claims));
    let late = Claims { clock: CLOCK_MAX + 1, ..claims };
    assert_eq!(Claims::decode(&late.encode(100)), Err(HandshakeError::Claims));
}

#[test]
fn the_first_message_is_golden_and_comes_from_the_seed_alone() {
    let (_, datagram) = init(&door(2), 4, &Claims::default());
    let golden = [
        // header: type, version, IK, zero, sender, no receiver
        "010101000500000000000000",
        // ephemeral key, the generator's first 32 bytes times the base point
        "325420fcc13cc3a0f84d673c85f59c6c2764afa49e256068c04025fb1855ef17",
        // channel key, sealed
        "ca299d201cb3afc92c416cd1a323cd5553b478826dc562b9f6026fa27af6e9ecef21221728fc45341ad052474854286d",
        // claims, sealed
        "8abfd296dcdc06cb7ae9a927873bfe92f4640e520e8ed78d96ce9ce4eef4a908ef2cdd90",
        // MAC
        "7fe76a7e205e86712b121ae111a97ea7",
    ];
    assert_eq!(hex(&datagram), golden.concat());
    assert_eq!(init(&door(2), 4, &Claims::default()).1, datagram);
    assert_ne!(init(&door(2), 5, &Claims::default()).1[12..44], datagram[12..44], "another ephemeral key");
}

#[test]
fn both_sides_have_the_same_keys_and_others_have_none() {
    let (ours, theirs) = (door(2), door(3));
    let (mut noise, datagram) = init(&ours, 4, &Claims::default());
    assert!(noise.keys().is_none());
    let lasting = Arc::new(Lasting::new([9; 32]));
    let local = |door| Local { door, lasting: &lasting, seed: [6; 32] };
    let header = HandshakeHeader { stage: Stage::Reply, pattern: Pattern::Ik, sender: 6, receiver: 5 };
    // Who has the channel key and not the door secret can read the first message but not answer it.
    let mut impostor = Noise::respond(local(&theirs), Pattern::Ik).unwrap();
    impostor.read(inner(&datagram)).unwrap();
    let answer = impostor.write(&theirs, header, Some(&Claims::default())).unwrap();
    assert_eq!(noise.read(inner(&answer)), Err(HandshakeError::Noise));
    assert!(!ours.proves(&answer[..answer.len() - MAC_BYTES], answer.last_chunk().unwrap()));
    // After that the true answer is still taken.
    let mut responder = Noise::respond(local(&ours), Pattern::Ik).unwrap();
    responder.read(inner(&datagram)).unwrap();
    let answer = responder.write(&ours, header, Some(&Claims::default())).unwrap();
    assert!(answer.len() <= datagram.len(), "an answer is not longer than the question");
    assert_eq!(noise.read(inner(&answer)).map(|payload| payload.len()), Ok(20));
    let (left, right) = (noise.keys().unwrap(), responder.keys().unwrap());
    assert_eq!((left.send, left.receive), (right.receive, right.send));
}

#[test]
fn three_entries_fit_the_first_message() {
    // An Admit entry with a name of 64 bytes is 284 bytes long.
    let claims = Claims { chain: vec![vec![1; 290]; 3], ..Claims::default() };
    let room = payload_bytes_max(Stage::Init, Pattern::Ik);
    assert_eq!(Claims::decode(&claims.encode(room)), Ok(claims.clone()));
    assert_eq!(init(&door(2), 4, &claims).1.len(), 12 + 96 + 20 + 3 * 292 + 16);
}

#[test]
fn short_and_changed_messages_are_refused() {
    let keys = door(2);
    let (_, datagram) = init(&keys, 4, &Claims::default());
    let message = inner(&datagram);
    let lasting = Arc::new(Lasting::new([9; 32]));
    for pattern in [Pattern::Ik, Pattern::Xx] {
        for length in 0..message.len() {
            let local = Local { door: &keys, lasting: &lasting, seed: [6; 32] };
            assert!(Noise::respond(local, pattern).unwrap().read(&message[..length]).is_err());
        }
    }
    for place in 0..message.len() {
        let mut changed = message.to_vec();
        changed[place] ^= 1;
        let local = Local { door: &keys, lasting: &lasting, seed: [6; 32] };
        // The highest bit of the ephemeral key alone means nothing to X25519, but it is hashed.
        assert!(Noise::respond(local, Pattern::Ik).unwrap().read(&changed).is_err(), "byte {place}");
    }
}
