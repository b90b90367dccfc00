//! The credit of all sessions: who may send how much, so that what has arrived fits into memory.
//!
//! Owns the pool of credit beyond the lanes' own, the line of those that wait for it, the notice of those that sit on it,
//! and the limit on what comes in. Refuses to know packets and where messages go: [`super::recv`] does. Read "Flow
//! control" in `wire/PROTOCOL.md` first.
//!
//! Nothing can wait for ever: windows never take the part that is kept for whole messages, so the first in line gets its
//! message when those before it are complete, and who does not complete one in time is cut.

use super::bucket::Bucket;
use super::recv::{LaneError, RecvLane, RecvLanes};
use crate::base::limits::{
    CREDIT_PACE_BYTES, CREDIT_PATIENCE, LANE_CREDIT_BYTES, LANE_SHARE_PACKETS, LANE_WINDOW_BYTES, POOL_BYTES,
    POOL_MESSAGE_BYTES, POOL_SESSION_BYTES_MAX, POOL_URGENT_BYTES,
};
use crate::base::units::{Span, Time};
use crate::wire::frame::Lane;
use std::collections::VecDeque;

/// A lane of a session in the line.
type Place = (u32, Lane);

/// Credit beyond the lanes' own.
#[derive(Debug, Default)]
pub struct Pool {
    /// Bytes of it that are given to lanes and not taken yet.
    used: u64,
    /// Lanes that want more than their own credit: windows are shared among them.
    wanting: u64,
    /// Lanes whose message does not fit, first come first served: urgent ones, others.
    lines: [VecDeque<Place>; 2],
    /// Since when somebody has waited in a line again and again, and when somebody last did.
    pressed: Option<(Time, Time)>,
    /// How fast credit may be given; None: as fast as it is used.
    down: Option<Bucket>,
    /// Sessions that would get more credit if `down` allowed it, in turn: for what somebody waits for, for background work.
    thirsty: [VecDeque<u32>; 2],
    /// Whose turn it is, and in which of the lines.
    turn: Option<(u32, usize)>,
    /// Counts turns, for the share of background work.
    turns: u32,
}

/// What a lane would have.
enum Wish {
    /// Credit up to here.
    Credit(u64),
    /// Its message does not fit: it is to wait in the line, with credit up to here in the meantime.
    Wait(u64),
}

impl Pool {
    /// Bytes given beyond the lanes' own credit, and not taken yet.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Limits what comes in, in bytes a second; None: no limit.
    pub fn set_down(&mut self, now: Time, rate: Option<u64>) {
        if self.down.as_ref().map(Bucket::rate) != rate {
            self.down = rate.map(|rate| Bucket::new(now, rate));
        }
    }

    /// A datagram of this length has come, with so many bytes of lanes that were paid for when the credit was given.
    pub fn on_received(&mut self, now: Time, bytes: u64, paid: u64) {
        if let Some(down) = &mut self.down {
            down.fill(now);
            down.take(bytes.saturating_sub(paid));
        }
    }

    /// Looks at what a session's lanes have taken and want, and gives them credit. To be called after each packet, each
    /// message that was taken, and for those that [`Self::next`] names.
    ///
    /// # Errors
    /// When what waited for the credit is no message.
    pub fn settle(&mut self, now: Time, session: u32, lanes: &mut RecvLanes) -> Result<(), LaneError> {
        let mut held = 0;
        for (lane, stream) in Lane::ALL.into_iter().zip(&mut lanes.lanes) {
            self.release(lane, stream);
            self.count(lane, stream);
            held += stream.charged;
        }
        let mut thirsty = [false; 2];
        for (lane, stream) in Lane::ALL.into_iter().zip(&mut lanes.lanes) {
            let (offset, waits) = match self.wish(session, lane, stream, held) {
                Wish::Credit(offset) => (offset, false),
                Wish::Wait(offset) => (offset, true),
            };
            self.queue(now, (session, lane), waits);
            if offset <= stream.granted() || !is_worth_a_frame(lane, stream, offset) {
                continue;
            }
            let affordable = self.afford(now, (session, lane), stream.granted(), offset);
            thirsty[thirst_of(lane)] |= affordable < offset;
            if affordable <= stream.granted() {
                continue;
            }
            if stream.charged == 0 {
                stream.mark = (now, stream.next());
            }
            stream.grant(affordable)?;
            held -= stream.charged;
            self.charge(lane, stream);
            held += stream.charged;
        }
        self.turn = self.turn.filter(|turn| turn.0 != session);
        for (line, thirsty) in self.thirsty.iter_mut().zip(thirsty) {
            if thirsty && !line.contains(&session) {
                line.push_back(session);
            }
        }
        Ok(())
    }

    /// A session to be settled now, because time has made credit free.
    pub fn next(&mut self, now: Time) -> Option<u32> {
        let down = self.down.as_mut()?;
        down.fill(now);
        self.turn = None;
        if down.is_ready() {
            self.turns = self.turns.wrapping_add(1);
            let first = usize::from(self.turns % LANE_SHARE_PACKETS == 0);
            let mut next = |line: usize| Some((self.thirsty[line].pop_front()?, line));
            self.turn = next(first).or_else(|| next(1 - first));
        }
        Some(self.turn?.0)
    }

    /// The sessions that are first in the lines: to be settled when room has become free.
    pub fn first(&self) -> impl Iterator<Item = u32> + '_ {
        self.lines.iter().filter_map(|line| line.front()).map(|place| place.0)
    }

    /// How many lanes wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lines.iter().map(VecDeque::len).sum()
    }

    /// Time has passed: whether anybody waits, so that those who sit are to be looked for.
    pub fn watch(&mut self, now: Time) -> bool {
        let waits = self.waiting() > 0;
        if waits {
            self.press(now);
        }
        waits
    }

    /// A session has ended.
    pub fn leave(&mut self, session: u32, lanes: &RecvLanes) {
        for stream in &lanes.lanes {
            self.used -= stream.charged;
            self.wanting -= u64::from(stream.wanting);
        }
        for line in &mut self.lines {
            line.retain(|place| place.0 != session);
        }
        for line in &mut self.thirsty {
            line.retain(|other| *other != session);
        }
    }

    /// When to come back: to see who sits, or when there is credit to give again.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let down = self.down.as_ref().filter(|_| self.is_any_thirsty()).map(Bucket::ready_at);
        let watch = self.pressed.filter(|_| self.waiting() > 0).map(|(_, last)| last + WATCH_EVERY);
        down.into_iter().chain(watch).min()
    }

    /// Whether somebody waits for `down`.
    fn is_any_thirsty(&self) -> bool {
        self.thirsty.iter().any(|line| !line.is_empty())
    }

    /// Somebody waits, or has just waited: whether this session has had credit for too long without using it.
    pub fn is_sitting(&self, now: Time, session: u32, lanes: &mut RecvLanes) -> bool {
        let Some((since, last)) = self.pressed.filter(|(_, last)| *last + CREDIT_PATIENCE > now) else {
            return false;
        };
        // Background work yields to all else: it does not sit while something else of the session moves.
        let mut moves = false;
        Lane::ALL.into_iter().zip(&mut lanes.lanes).any(|(lane, stream)| {
            let waits = self.lines[line_of(lane)].contains(&(session, lane));
            // Who has used all has nothing to use, and what the layer above has not taken is not the peer's fault.
            let idle = stream.charged == 0 || stream.is_ready() || stream.next() >= stream.granted();
            let yields = lane == Lane::Background && moves;
            moves |= stream.next() - stream.mark.1 >= CREDIT_PACE_BYTES;
            if idle || waits || yields || stream.next() - stream.mark.1 >= CREDIT_PACE_BYTES {
                stream.mark = (last.max(now), stream.next());
            }
            stream.mark.0.max(since) + CREDIT_PATIENCE <= now
        })
    }
}

/// What windows may take of the pool.
const POOL_WINDOW_BYTES: u64 = POOL_BYTES - POOL_MESSAGE_BYTES - POOL_URGENT_BYTES;
/// How often it is looked whether somebody sits, while others wait.
const WATCH_EVERY: Span = Span::from_secs(1);

impl Pool {
    /// Counts anew what a lane has of the pool.
    fn charge(&mut self, lane: Lane, stream: &mut RecvLane) {
        let extra = stream.granted().saturating_sub(stream.taken() + LANE_CREDIT_BYTES[lane.index()]);
        self.used = self.used - stream.charged + extra;
        stream.charged = extra;
    }

    /// Notes whether the lane wants more than its own credit.
    fn count(&mut self, lane: Lane, stream: &mut RecvLane) {
        let wants = stream.want() > stream.taken() + LANE_CREDIT_BYTES[lane.index()];
        self.wanting = self.wanting + u64::from(wants) - u64::from(stream.wanting);
        stream.wanting = wants;
    }

    /// What was taken is free again.
    fn release(&mut self, lane: Lane, stream: &mut RecvLane) {
        if stream.charged > 0 {
            let before = stream.charged;
            self.charge(lane, stream);
            debug_assert!(stream.charged <= before, "credit is given in settle() only");
        }
    }

    /// How far the lane's credit should go. `held`: what the session has of the pool.
    fn wish(&self, session: u32, lane: Lane, stream: &RecvLane, held: u64) -> Wish {
        let own = stream.taken() + LANE_CREDIT_BYTES[lane.index()];
        let window = stream.taken() + LANE_WINDOW_BYTES[lane.index()];
        let end = stream.message_end().filter(|_| !stream.is_ready()).unwrap_or(0);
        let wanted = stream.want().min(window).max(end).max(own);
        if wanted <= stream.granted().max(own) {
            return Wish::Credit(own);
        }
        let (others, rest) = (self.used - stream.charged, held - stream.charged);
        let free = POOL_WINDOW_BYTES.saturating_sub(others);
        let room = (POOL_SESSION_BYTES_MAX - POOL_MESSAGE_BYTES).saturating_sub(rest);
        let share = (POOL_WINDOW_BYTES / self.wanting.max(1)).min(free).min(room);
        let offset = wanted.min(own + share);
        if end <= offset.max(stream.granted()) {
            return Wish::Credit(offset);
        }
        let need = end - own;
        let reserve = if line_of(lane) == 0 { 0 } else { POOL_URGENT_BYTES };
        if rest + need > POOL_SESSION_BYTES_MAX {
            // It waits for the other lanes of its own session, and for nobody else.
            return Wish::Credit(offset);
        }
        let place = (session, lane);
        let mut before = self.lines[..=line_of(lane)].iter().flatten().take_while(|other| **other != place);
        if others + need + reserve > POOL_BYTES || before.next().is_some() {
            return Wish::Wait(offset);
        }
        Wish::Credit(end)
    }

    /// Puts a lane into its line, or takes it out.
    fn queue(&mut self, now: Time, place: Place, waits: bool) {
        let line = &mut self.lines[line_of(place.1)];
        if line.is_empty() && !waits {
            return;
        }
        let at = line.iter().position(|other| *other == place);
        match (at, waits) {
            (None, true) => {
                line.push_back(place);
                self.press(now);
            }
            (Some(at), false) => {
                line.remove(at);
                self.press(now);
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Somebody waits.
    fn press(&mut self, now: Time) {
        let since =
            self.pressed.filter(|(_, last)| *last + CREDIT_PATIENCE > now).map_or(now, |(since, _)| since);
        self.pressed = Some((since, now));
    }

    /// How much of the way from `granted` to `offset` the limit on what comes in allows now. Control is small and does
    /// not wait: it is paid for afterwards.
    fn afford(&mut self, now: Time, (session, lane): Place, granted: u64, offset: u64) -> u64 {
        let is_first = !self.is_any_thirsty();
        let Some(down) = &mut self.down else { return offset };
        down.fill(now);
        let mut affordable = offset;
        if lane != Lane::Control {
            let in_turn = self.turn == Some((session, thirst_of(lane))) || is_first;
            if !in_turn || !down.is_ready() {
                return granted;
            }
            affordable = offset.min(granted + down.step());
        }
        down.take(affordable - granted);
        affordable
    }
}

/// Which line a lane waits in.
const fn line_of(lane: Lane) -> usize {
    match lane {
        Lane::Control | Lane::Interactive => 0,
        Lane::Bulk | Lane::Background => 1,
    }
}

/// In which line a lane waits for `down`.
fn thirst_of(lane: Lane) -> usize {
    usize::from(lane == Lane::Background)
}

/// Whether credit up to `offset` is worth telling: it is a quarter of the window more, or all that is wanted, or what
/// the message needs.
fn is_worth_a_frame(lane: Lane, stream: &RecvLane, offset: u64) -> bool {
    let window = offset - stream.taken();
    let end = stream.message_end().unwrap_or(0);
    offset - stream.granted() >= (window / 4).min(LANE_WINDOW_BYTES[lane.index()] / 8)
        || (stream.granted() < stream.want() && stream.want() <= offset)
        || (stream.granted() < end && end <= offset)
}
