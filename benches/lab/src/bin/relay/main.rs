//! The lab's wire: carries Ethernet frames between two interfaces and delays them, for kernels without netem.
//!
//! `relay A B --delay-us N [--jitter-us N] [--early-per-mille N] [--seed N]`, until standard input closes; then one JSON line tells
//! what each direction did. It does not lose, shape or queue: that is the kernel's work (tbf, nftables) on both sides of it.
//!
//! - Delay counts from the kernel's time of arrival, so a late wake-up of ours is made good as far as it can be.
//! - Jitter is what Wi-Fi does: every `jitter-us` a new offset of at most half of that either way; frames keep their order, so a
//!   falling offset makes a burst and a rising one a gap.
//! - Early frames are not delayed at all: they overtake, as with netem's `reorder`.
//! - While frames wait, the loop runs once a `TICK`; on a fast link that makes small batches, as a network card's interrupt
//!   coalescing does. Give it a real-time priority (`chrt -f`), or other processes' time slices become jitter.

mod packet;

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{recvmmsg, sendmmsg, ControlMessageOwned, MsgFlags, MultiHeaders, UnixAddr};
use nix::sys::time::TimeSpec;

/// Frames that one system call reads or writes.
const BATCH: usize = 64;
/// The longest frame: an MTU of 1500, its header and room for a VLAN tag.
const FRAME_BYTES_MAX: usize = 1518;
/// Frames in flight in one direction: 1 Gbit/s for 0.75 s. More are dropped and counted.
const FRAMES_MAX: usize = 65_536;
/// How often the loop looks while frames wait.
const TICK: Duration = Duration::from_micros(50);

/// What the wire does to each direction. Nanoseconds.
#[derive(Clone, Copy)]
struct Shape {
    delay: u64,
    jitter: u64,
    early_per_mille: u64,
}

/// What a direction did. Times in nanoseconds.
#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    early: AtomicU64,
    overflowed: AtomicU64,
    late_sum: AtomicU64,
    late_max: AtomicU64,
}

/// A frame on its way.
struct Frame {
    due: u64,
    length: usize,
    bytes: [u8; FRAME_BYTES_MAX],
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, flags @ ..] = &arguments[..] else { panic!("usage: relay A B --delay-us N [...]") };
    let flag = |name: &str| {
        let at = flags.iter().position(|f| f == name);
        at.map_or(0, |i| flags[i + 1].parse::<u64>().expect("a number after each flag"))
    };
    let shape = Shape {
        delay: flag("--delay-us") * 1000,
        jitter: flag("--jitter-us") * 1000,
        early_per_mille: flag("--early-per-mille"),
    };
    let open = |name| {
        Arc::new(packet::open(name).unwrap_or_else(|error| panic!("packet socket on {name}: {error}")))
    };
    let ends = [open(a), open(b)];
    let counts = [Arc::new(Counts::default()), Arc::new(Counts::default())];
    for direction in 0..2 {
        let (from, to) = (ends[direction].clone(), ends[1 - direction].clone());
        let (counts, seed) = (counts[direction].clone(), flag("--seed") * 2 + direction as u64 + 1);
        thread::spawn(move || carry(&from, &to, shape, Random(seed), &counts));
    }
    eprintln!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
    let told: Vec<String> = (0..2).map(|d| tell(&counts[d], packet::dropped(&ends[d]))).collect();
    println!("{{\"a_to_b\": {}, \"b_to_a\": {}}}", told[0], told[1]);
}

/// One direction, for ever.
fn carry(from: &OwnedFd, to: &OwnedFd, shape: Shape, mut random: Random, counts: &Counts) {
    let mut incoming = vec![[0; FRAME_BYTES_MAX]; BATCH];
    let mut waiting: VecDeque<Frame> = VecDeque::with_capacity(1024);
    let mut schedule = Schedule { shape, last_due: 0, offset: 0, offset_until: 0 };
    loop {
        while receive(from, &mut incoming, |arrived, bytes| {
            if waiting.len() == FRAMES_MAX {
                counts.overflowed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let mut frame = Frame { due: arrived, length: bytes.len(), bytes: [0; FRAME_BYTES_MAX] };
            frame.bytes[..bytes.len()].copy_from_slice(bytes);
            if random.below(1000) < shape.early_per_mille {
                counts.early.fetch_add(1, Ordering::Relaxed);
                waiting.push_front(frame);
            } else {
                frame.due = schedule.due(arrived, &mut random);
                waiting.push_back(frame);
            }
        }) == BATCH
        {
            send_due(to, &mut waiting, counts);
        }
        send_due(to, &mut waiting, counts);
        if waiting.is_empty() {
            poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).ok();
        } else {
            thread::sleep(TICK);
        }
    }
}

/// When frames are due: see the module's text.
struct Schedule {
    shape: Shape,
    last_due: u64,
    offset: u64,
    offset_until: u64,
}

impl Schedule {
    fn due(&mut self, arrived: u64, random: &mut Random) -> u64 {
        if self.shape.jitter > 0 && arrived >= self.offset_until {
            self.offset = random.below(self.shape.jitter);
            self.offset_until = arrived + self.shape.jitter;
        }
        let delay = (self.shape.delay + self.offset).saturating_sub(self.shape.jitter / 2);
        self.last_due = self.last_due.max(arrived + delay);
        self.last_due
    }
}

/// Reads a batch without waiting and hands over each frame with its time of arrival. Returns how many there were.
fn receive(
    from: &OwnedFd,
    incoming: &mut [[u8; FRAME_BYTES_MAX]],
    mut each: impl FnMut(u64, &[u8]),
) -> usize {
    let mut headers = MultiHeaders::<UnixAddr>::preallocate(incoming.len(), Some(cmsg_space!(TimeSpec)));
    let mut slices: Vec<[IoSliceMut; 1]> =
        incoming.iter_mut().map(|frame| [IoSliceMut::new(frame)]).collect();
    match recvmmsg(from.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
        Ok(messages) => messages
            .map(|message| {
                let stamp = message.cmsgs().ok().and_then(|mut all| {
                    all.find_map(|one| match one {
                        ControlMessageOwned::ScmTimestampns(stamp) => {
                            Some(nanoseconds(Duration::from(stamp)))
                        }
                        _ => None,
                    })
                });
                each(stamp.unwrap_or_else(now), message.iovs().next().unwrap_or(&[]));
            })
            .count(),
        Err(Errno::EAGAIN) => 0,
        Err(error) => panic!("cannot receive: {error}"),
    }
}

/// Sends every frame that is due.
fn send_due(to: &OwnedFd, waiting: &mut VecDeque<Frame>, counts: &Counts) {
    loop {
        let now = now();
        let due = waiting.iter().take(BATCH).take_while(|frame| frame.due <= now).count();
        if due == 0 {
            return;
        }
        let mut headers = MultiHeaders::<UnixAddr>::preallocate(due, None);
        let slices: Vec<[IoSlice; 1]> =
            waiting.iter().take(due).map(|frame| [IoSlice::new(&frame.bytes[..frame.length])]).collect();
        let none = [None; BATCH];
        let sent = match sendmmsg(
            to.as_raw_fd(),
            &mut headers,
            slices.iter(),
            &none[..due],
            [],
            MsgFlags::empty(),
        ) {
            Ok(results) => results.count(),
            Err(Errno::ENOBUFS) => 0,
            Err(error) => panic!("cannot send: {error}"),
        };
        for frame in waiting.drain(..sent) {
            counts.late_sum.fetch_add(now - frame.due, Ordering::Relaxed);
            counts.late_max.fetch_max(now - frame.due, Ordering::Relaxed);
        }
        counts.frames.fetch_add(sent as u64, Ordering::Relaxed);
        if sent < due {
            return;
        }
    }
}

fn tell(counts: &Counts, kernel_dropped: u32) -> String {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let frames = read(&counts.frames);
    format!(
        "{{\"frames\": {frames}, \"early\": {}, \"dropped\": {}, \"late_us_mean\": {}, \"late_us_max\": {}}}",
        read(&counts.early),
        read(&counts.overflowed) + u64::from(kernel_dropped),
        read(&counts.late_sum) / frames.max(1) / 1000,
        read(&counts.late_max) / 1000,
    )
}

fn now() -> u64 {
    nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970"))
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for offsets and choices.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
