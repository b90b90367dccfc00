//! Random households: edits on disks and by name, meetings, devices without a directory or that only receive.

use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{carry, has, settle, shown, Device};
use crate::file::entry::texture::Texture;
use crate::file::entry::{Attributes, Content, Entry, InlineCodec, Kind, Stat};
use crate::file::tree::key_from_path;
use crate::node::edit::{Act, Done, Edit};
use crate::sim::duties::ROOT;
use crate::sim::files::Manner;

/// A small file that is put.
fn put(path: &str, text: &str) -> Edit {
    let size = u64::try_from(text.len()).unwrap();
    let (mtime_ns, mode) = (1_700_000_000_000_000_000, 0o644);
    let stat = Stat { size, mtime_ns, ctime_ns: 0, inode: 0, mode, uid: 0, gid: 0, links: 1 };
    let attributes = Attributes::Here(Vec::new());
    let entry = Entry {
        kind: Kind::File,
        stat,
        attributes,
        content: Content::Inline,
        torn: false,
        texture: Texture::Plain,
        version: None,
    };
    let tail = InlineCodec::new().pack(text.as_bytes());
    Edit {
        key: key_from_path(path.as_bytes()).unwrap(),
        act: Act::Put { entry: Box::new(entry), tail, manifest: None },
    }
}

/// A path that is removed.
fn removed(path: &str) -> Edit {
    Edit { key: key_from_path(path.as_bytes()).unwrap(), act: Act::Remove { recursive: true } }
}

/// Two to five devices; `is_plain`: whose disks take any name.
fn devices(is_plain: bool, draw: &mut impl FnMut(usize) -> usize) -> Vec<Device> {
    let count = 2 + draw(4);
    let manners = [Manner::Plain, Manner::Folding, Manner::Restricted];
    let mut devices: Vec<Device> = (1..=count)
        .map(|number| {
            let manner = if is_plain || number == 1 { Manner::Plain } else { manners[draw(3)] };
            Device::taking(u8::try_from(number).unwrap(), manner)
        })
        .collect();
    devices[count - 1].is_bare = count > 2 && draw(2) == 0;
    devices[1].receives = count > 2 && draw(3) == 0;
    devices
}

/// One random household.
fn household(seed: u64) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut draw =
        move |below: usize| usize::try_from(rng.next_u64() % u64::try_from(below).unwrap()).unwrap();
    let is_plain = draw(2) == 0;
    let mut devices = devices(is_plain, &mut draw);
    let count = devices.len();
    let names = if is_plain { ["a", "b", "c", "a", "b", "c"] } else { ["a", "b", "A", "B", "a:", "b."] };
    for step in 0..10 + draw(50) {
        let one = draw(count);
        let mut path = (0..=draw(3)).map(|_| names[draw(6)]).collect::<Vec<_>>().join("/");
        if devices[one].manner == Manner::Restricted {
            // Nobody could make such a name there.
            path = path.replace([':', '.'], "");
        }
        if devices[one].is_bare || draw(8) == 0 {
            let other = draw(count);
            carry(&mut devices, other, one);
            let theirs: Vec<_> = devices[other].state.iter().filter(|_| other != one).cloned().collect();
            let text = format!("put by {one} at {step}");
            let edit = if draw(3) == 0 { removed(&path) } else { put(&path, &text) };
            let done = devices[one].edit(&theirs, edit);
            let all = devices[one].bench.files.all(ROOT);
            let is_here = !devices[one].is_bare && devices[one].manner == Manner::Plain;
            if matches!(done, Some(Ok(Done::Created | Done::Replaced))) && is_here {
                assert!(has(&all, &path, &text), "{path}: {:?}", shown(&all));
            }
            continue;
        }
        if draw(40) == 0 && devices[one].scan() | devices[one].state.is_some() {
            devices[one].move_elsewhere(|| draw(2) == 0);
            continue;
        }
        match draw(10) {
            0..=3 => {
                let text =
                    if draw(4) == 0 { format!("common {}", draw(3)) } else { format!("{one} at {step}") };
                devices[one].write(&path, &text);
            }
            4 => devices[one].remove(&path),
            5 => {
                if devices[one].bench.files.stat(ROOT, path.as_bytes()).is_some() {
                    devices[one].bench.files.set_mode(
                        ROOT,
                        path.as_bytes(),
                        0o600 + u32::try_from(draw(2) * 0o40).unwrap(),
                    );
                }
            }
            6 | 7 => drop(devices[one].scan()),
            _ => {
                let other = draw(count);
                if other != one {
                    carry(&mut devices, other, one);
                    if let Some(theirs) = devices[other].state.clone() {
                        devices[one].meet(&[theirs]);
                    }
                }
            }
        }
    }
    settle(&mut devices);
    for (one, device) in devices.iter().enumerate().filter(|(one, device)| *one != 1 && !device.is_bare) {
        let is_secret = |text: &&Vec<u8>| devices[1].receives && text.starts_with(b"1 at ");
        let all = device.bench.files.all(ROOT);
        assert_eq!(all.values().flatten().find(is_secret), None, "device {one}");
    }
}

#[test]
fn random_edits_on_two_to_five_devices_end_in_one_folder() {
    for seed in 0..HOUSEHOLDS {
        household(seed);
    }
}

/// As many as the minutes in NUTHATCH_SHARE_MINUTES allow, from NUTHATCH_SHARE_SEED or 1,000,000 on.
#[test]
#[ignore = "plays households for NUTHATCH_SHARE_MINUTES (5)"]
#[expect(clippy::disallowed_methods, reason = "how long it plays is no part of what it plays")]
fn random_edits_long() {
    let minutes = std::env::var("NUTHATCH_SHARE_MINUTES")
        .ok()
        .and_then(|minutes| minutes.parse().ok())
        .unwrap_or(5_u64);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(minutes * 60);
    let first = std::env::var("NUTHATCH_SHARE_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut seed = first.unwrap_or(1_000_000);
    while std::time::Instant::now() < end {
        println!("seed {seed}");
        household(seed);
        seed += 1;
    }
}

/// Households of an ordinary run.
const HOUSEHOLDS: u64 = 60;
