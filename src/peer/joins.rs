//! This node's tries to join, at as many addresses as it knows.
//!
//! Owns: that one code is tried once at one invitation, however many addresses lead there. Refuses: the tries themselves
//! (`join.rs`). Read first: PROTOCOL.md, "Pairing".

use super::desk::Desk;
use super::event::{Event, PairFailure};
use super::join::{Join, Turn};
use super::pairing::{parse_body, Code, Tag8};
use crate::base::limits::PAIRING_JOINS_MAX;
use crate::base::units::Time;
use crate::wire::packet::Pair;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// All tries to join.
///
/// Everybody is asked at once who invites there. The first address at which an invitation answers has the turn with it;
/// the others that lead to the same one go on asking, and one of them has the turn when that one falls silent.
#[derive(Debug, Default)]
pub struct Joins {
    /// By exchange.
    joins: BTreeMap<u64, Join>,
    /// Codes that an invitation has refused: they are not tried there again, for each try costs one of a few.
    refused: VecDeque<(Tag8, Code)>,
}

impl Joins {
    /// Tries an address; a try that was running there is forgotten.
    pub fn begin(&mut self, desk: &mut Desk, now: Time, address: SocketAddr, code: Code, hello: Vec<u8>) {
        self.joins.retain(|_, join| !join.is_over() && join.address() != address);
        let join = (self.joins.len() < PAIRING_JOINS_MAX)
            .then(|| Join::begin(desk, now, address, code, hello))
            .flatten();
        match join {
            Some(join) => drop(self.joins.insert(join.exchange(), join)),
            None => desk.event(Event::PairFailed { reason: PairFailure::NoAnswer, from: address }),
        }
    }

    /// An inviter's datagram.
    pub fn handle(&mut self, desk: &mut Desk, now: Time, from: SocketAddr, pair: &Pair<'_>) {
        let exchange = pair.header.exchange;
        let tag = parse_body(pair.body).map(|body| body.tag);
        let is_held = self
            .joins
            .iter()
            .any(|(other, join)| *other != exchange && join.tag().is_some() && join.tag() == tag);
        let Some(join) = self.joins.get_mut(&exchange) else {
            desk.counters.garbage += 1;
            return;
        };
        let is_refused = self.refused.iter().any(|(by, code)| Some(*by) == tag && code == join.code());
        let turn = match (is_refused, is_held) {
            (true, _) => Turn::Refused,
            (false, true) => Turn::Wait,
            (false, false) => Turn::Go,
        };
        join.handle(desk, now, from, pair, turn);
        if let Some(by) = join.refused_by() {
            if self.refused.len() >= PAIRING_JOINS_MAX {
                self.refused.pop_front();
            }
            self.refused.push_back((by, join.code().clone()));
        }
        self.joins.retain(|_, join| !join.is_over());
    }

    /// Sends again, gives up.
    pub fn handle_timeout(&mut self, desk: &mut Desk, now: Time) {
        for join in self.joins.values_mut() {
            join.handle_timeout(desk, now);
        }
        self.joins.retain(|_, join| !join.is_over());
    }

    /// When [`Joins::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.joins.values().map(Join::deadline).min()
    }

    /// How many are running.
    #[must_use]
    pub fn count(&self) -> usize {
        self.joins.len()
    }

    /// Gives up all of them, and forgets what was refused.
    pub fn clear(&mut self) {
        self.joins.clear();
        self.refused.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{PAIRING_SILENCE_MAX, PAIRING_WAIT};
    use crate::peer::event::CloseReason;
    use crate::peer::invite::Invitation;
    use crate::wire::packet::{parse, Packet};

    /// An inviter whom several addresses lead to, and a joiner who tries all of them.
    struct Door {
        now: Time,
        inviter: Desk,
        invitation: Invitation,
        joiner: Desk,
        joins: Joins,
        addresses: Vec<SocketAddr>,
        events: Vec<Event>,
        requests: Vec<u64>,
        closed: Vec<CloseReason>,
    }

    impl Door {
        fn new(addresses: usize) -> Self {
            let mut inviter = Desk::new([1; 32]);
            let invitation = Invitation::open(&mut inviter, Time::ZERO, Code::parse("12345678").unwrap());
            let addresses = (0..addresses).map(|host| format!("10.0.0.{host}:7117").parse().unwrap());
            Self {
                now: Time::ZERO,
                inviter,
                invitation,
                joiner: Desk::new([2; 32]),
                joins: Joins::default(),
                addresses: addresses.collect(),
                events: Vec::new(),
                requests: Vec::new(),
                closed: Vec::new(),
            }
        }

        /// Tries a code at all addresses at once.
        fn join(&mut self, code: &str) {
            for address in self.addresses.clone() {
                let code = Code::parse(code).unwrap();
                self.joins.begin(&mut self.joiner, self.now, address, code, b"hello".to_vec());
            }
        }

        /// Carries what both say; at addresses of `silent` nothing gets through.
        fn exchange(&mut self, silent: &[SocketAddr]) {
            while let Some((at, mut datagram)) = self.joiner.next_datagram() {
                if silent.contains(&at) {
                    continue;
                }
                let Ok(Packet::Pair(pair)) = parse(&mut datagram) else { panic!("a question") };
                let from = "10.0.1.1:7117".parse().unwrap();
                self.invitation.handle(&mut self.inviter, self.now, from, &pair);
                while let Some((_, mut answer)) = self.inviter.next_datagram() {
                    let Ok(Packet::Pair(pair)) = parse(&mut answer) else { panic!("an answer") };
                    self.joins.handle(&mut self.joiner, self.now, at, &pair);
                }
            }
            while let Some(event) = self.inviter.next_event() {
                match event {
                    Event::PairRequest { ticket, .. } => self.requests.push(ticket),
                    Event::InvitationClosed { reason } => self.closed.push(reason),
                    other => panic!("{other:?}"),
                }
            }
            while let Some(event) = self.joiner.next_event() {
                self.events.push(event);
            }
        }

        /// Goes on for a while.
        fn pass(&mut self, steps: u64, silent: &[SocketAddr]) {
            for _ in 0..steps {
                self.now = self.now + PAIRING_WAIT;
                self.joins.handle_timeout(&mut self.joiner, self.now);
                self.invitation.handle_timeout(&mut self.inviter, self.now);
                self.exchange(silent);
            }
        }
    }

    #[test]
    fn one_wrong_code_costs_one_try_however_many_addresses_lead_to_the_inviter() {
        let mut door = Door::new(4);
        for typo in ["00000001", "00000002", "00000003", "00000004"] {
            door.join(typo);
            door.exchange(&[]);
            door.pass(4, &[]);
            let told = door
                .events
                .drain(..)
                .filter(|event| matches!(event, Event::PairFailed { reason: PairFailure::WrongCode, .. }));
            assert_eq!(told.count(), 4, "every address is done with");
            assert_eq!(door.joins.count(), 0);
        }
        assert!(door.closed.is_empty(), "four slips, and one try is left");
        door.join("12345678");
        door.exchange(&[]);
        assert_eq!(door.requests.len(), 1);
    }

    #[test]
    fn the_right_code_asks_once_though_all_addresses_lead_to_the_inviter() {
        let mut door = Door::new(3);
        door.join("12345678");
        door.exchange(&[]);
        door.pass(60, &[]);
        assert_eq!(door.requests.len(), 1);
        door.invitation.answer(&mut door.inviter, door.now, door.requests[0], b"welcome".to_vec()).unwrap();
        door.pass(2, &[]);
        let answered = door.events.iter().filter(|event| matches!(event, Event::PairAnswered { .. }));
        assert_eq!(answered.count(), 1, "{:?}", door.events);
        assert_eq!(door.closed, [CloseReason::Used]);
    }

    #[test]
    fn another_address_has_the_turn_when_the_first_one_falls_silent() {
        let mut door = Door::new(2);
        door.join("12345678");
        // The first answer of the first address arrives, and then nothing more that is said there.
        let first = door.addresses[0];
        let (at, mut ask) = door.joiner.next_datagram().unwrap();
        assert_eq!(at, first);
        let Ok(Packet::Pair(pair)) = parse(&mut ask) else { panic!("an Ask") };
        door.invitation.handle(&mut door.inviter, door.now, first, &pair);
        let (_, mut answer) = door.inviter.next_datagram().unwrap();
        let Ok(Packet::Pair(pair)) = parse(&mut answer) else { panic!("an answer") };
        door.joins.handle(&mut door.joiner, door.now, first, &pair);
        let steps = PAIRING_SILENCE_MAX.as_micros() / PAIRING_WAIT.as_micros();
        door.pass(steps - 1, &[first]);
        assert!(door.requests.is_empty(), "the first has the turn");
        door.pass(3, &[first]);
        assert_eq!(door.requests.len(), 1);
    }
}
