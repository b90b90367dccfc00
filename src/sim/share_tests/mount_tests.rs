//! Disks that are mounted below a shared folder, and are not there any more.

use super::{carry, has, pair, settle, shown};
use crate::sim::duties::ROOT;

#[test]
fn a_disk_that_is_unplugged_below_the_folder_is_no_deletion() {
    let mut devices = pair();
    devices[0].bench.files.make_directory(ROOT, b"usb");
    devices[0].bench.files.mount(ROOT, b"usb");
    devices[0].write("usb/one", "on the disk");
    devices[0].write("usb/deep/two", "too");
    settle(&mut devices);
    let disk = devices[0].bench.files.clone();
    devices[0].bench.files.remove(ROOT, b"usb");
    devices[0].bench.files.make_directory(ROOT, b"usb");
    devices[0].write("b", "changed meanwhile");
    devices[0].scan();
    assert_eq!(devices[0].owed, 0, "nothing is written into the mount point");
    carry(&mut devices, 0, 1);
    let theirs = devices[0].state.clone().unwrap();
    devices[1].meet(&[theirs]);
    let all = devices[1].bench.files.all(ROOT);
    assert!(has(&all, "usb/one", "on the disk") && has(&all, "b", "changed meanwhile"), "{:?}", shown(&all));
    // What others do in it meanwhile is owed, and nothing is written into the mount point.
    devices[1].write("usb/new", "made meanwhile");
    devices[1].remove("usb/one");
    devices[1].scan();
    carry(&mut devices, 1, 0);
    let theirs = devices[1].state.clone().unwrap();
    assert_eq!(devices[0].meet(&[theirs]).unwrap().pending, 2);
    devices[0].scan();
    assert!(!devices[0].bench.files.all(ROOT).keys().any(|path| path.starts_with(b"usb/")));
    // It is plugged in again: all is as it was, and what was owed is done.
    devices[0].bench.files = disk;
    devices[0].write("b", "changed meanwhile");
    let all = settle(&mut devices);
    assert!(has(&all, "usb/deep/two", "too") && has(&all, "usb/new", "made meanwhile"), "{:?}", shown(&all));
    assert!(!all.contains_key(b"usb/one".as_slice()), "{:?}", shown(&all));
    // Who removes the directory means it.
    devices[0].remove("usb");
    let all = settle(&mut devices);
    assert!(!all.keys().any(|path| path.starts_with(b"usb")), "{:?}", shown(&all));
}

#[test]
fn a_disk_that_is_unplugged_below_another_disk_is_no_deletion() {
    let mut devices = pair();
    for path in ["usb", "usb/card"] {
        devices[0].bench.files.make_directory(ROOT, path.as_bytes());
        devices[0].bench.files.mount(ROOT, path.as_bytes());
    }
    devices[0].write("usb/one", "on the disk");
    devices[0].write("usb/card/two", "on the card");
    settle(&mut devices);
    let disk = devices[0].bench.files.clone();
    devices[0].remove("usb/card");
    devices[0].bench.files.make_directory(ROOT, b"usb/card");
    devices[0].write("usb/one", "changed meanwhile");
    devices[1].write("usb/card/three", "made meanwhile");
    devices[1].write("usb/four", "beside it");
    for device in &mut devices {
        device.scan();
    }
    for (one, other) in [(0, 1), (1, 0)] {
        carry(&mut devices, one, other);
    }
    let states = [devices[0].state.clone().unwrap(), devices[1].state.clone().unwrap()];
    assert_eq!(devices[0].meet(&states[1..]).unwrap().pending, 1, "what belongs on the card");
    devices[1].meet(&states[..1]);
    let all = devices[1].bench.files.all(ROOT);
    assert!(has(&all, "usb/one", "changed meanwhile") && has(&all, "usb/card/two", "on the card"));
    let all = devices[0].bench.files.all(ROOT);
    assert!(has(&all, "usb/four", "beside it") && !all.contains_key(&b"usb/card/three"[..]));
    // It is there again.
    devices[0].bench.files = disk;
    let all = settle(&mut devices);
    assert!(has(&all, "usb/card/two", "on the card") && has(&all, "usb/card/three", "made meanwhile"));
}
