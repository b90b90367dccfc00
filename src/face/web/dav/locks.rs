//! Locks of WebDAV: file managers and office programs of Windows and macOS write only where they can lock.
//!
//! They hold among those who come by WebDAV to this node, for as long as they were asked for, and not over a restart: whoever changes
//! the folder on another device, or by other ways, does not know of them, and if two did change the same file, the folder keeps
//! both. There are at most [`DAV_LOCKS_MAX`]; the one that ends first makes place.

use crate::base::limits::{DAV_LOCKS_MAX, DAV_LOCK_TIME_MAX};
use crate::base::units::{Span, Time};

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lock {
    /// `urn:uuid:...`.
    pub(super) token: String,
    /// `NAME:PATH`.
    pub(super) what: String,
    /// On all that is in it, too.
    pub(super) is_deep: bool,
    /// Beside others like it.
    pub(super) is_shared: bool,
    /// What the client says of who it is.
    pub(super) owner: String,
    /// When it ends.
    pub(super) end: Time,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::face::web) struct Locks {
    /// In no order.
    all: Vec<Lock>,
}

impl Locks {
    /// The locks that hold something, or something in it where `with_below`.
    pub(super) fn on(&mut self, what: &str, with_below: bool, now: Time) -> Vec<&Lock> {
        self.all.retain(|lock| lock.end > now);
        let holds = |lock: &&Lock| {
            lock.what == what
                || (lock.is_deep && is_below(what, &lock.what))
                || (with_below && is_below(&lock.what, what))
        };
        self.all.iter().filter(holds).collect()
    }

    /// Another one, unless one is in its way.
    pub(super) fn add(&mut self, lock: Lock, now: Time) -> bool {
        let others = self.on(&lock.what, lock.is_deep, now);
        if others.iter().any(|other| !(other.is_shared && lock.is_shared)) {
            return false;
        }
        if self.all.len() >= DAV_LOCKS_MAX {
            let first = self.all.iter().enumerate().min_by_key(|(_, lock)| lock.end).map(|(index, _)| index);
            first.map(|index| self.all.swap_remove(index));
        }
        self.all.push(lock);
        true
    }

    /// Holds on for longer.
    pub(super) fn refresh(&mut self, what: &str, condition: &str, end: Time, now: Time) -> Option<Lock> {
        let token = self.on(what, false, now).into_iter().find(|lock| names(condition, lock))?.token.clone();
        let lock = self.all.iter_mut().find(|lock| lock.token == token)?;
        lock.end = end;
        Some(lock.clone())
    }

    /// Ends one. Whether there was one.
    pub(super) fn remove(&mut self, what: &str, token: &str, now: Time) -> bool {
        let is_on = self.on(what, false, now).iter().any(|lock| lock.token == token);
        self.all.retain(|lock| !is_on || lock.token != token);
        is_on
    }

    /// What was locked is not there any more.
    pub(super) fn forget(&mut self, what: &str) {
        self.all.retain(|lock| lock.what != what && !is_below(&lock.what, what));
    }

    /// Whether somebody who says this in `If` may change something (with all that is in it).
    pub(super) fn may_change(&mut self, what: &str, with_below: bool, condition: &str, now: Time) -> bool {
        // What comes or goes changes the directory that it is in, too.
        let parent = what.rsplit_once('/').map(|(parent, _)| parent);
        let parent =
            parent.or_else(|| what.split_once(':').map(|(folder, _)| folder)).unwrap_or(what).to_owned();
        let own = self.on(what, with_below, now);
        let is_free = own.iter().all(|lock| lock.is_shared || names(condition, lock))
            && (!own.iter().any(|lock| lock.is_shared) || own.iter().any(|lock| names(condition, lock)));
        let is_in_the_way = |lock: &&Lock| lock.what == parent && !names(condition, lock);
        is_free && !self.on(&parent, false, now).iter().any(is_in_the_way)
    }

    /// Whether there is a lock of this token.
    pub(super) fn has(&mut self, token: &str, what: &str, now: Time) -> bool {
        self.on(what, false, now).iter().any(|lock| lock.token == token)
    }
}

/// Whether an `If` names a lock.
fn names(condition: &str, lock: &Lock) -> bool {
    condition.contains(&format!("<{}>", lock.token))
}

/// Whether `what` is in the directory `above`.
fn is_below(what: &str, above: &str) -> bool {
    let rest = what.strip_prefix(above);
    rest.is_some_and(|rest| rest.starts_with('/') || (rest.starts_with(':') && !above.contains(':')))
}

/// For how long a client wants a lock (`Second-600`, `Infinite`), as far as it gets it.
pub(super) fn time_of(timeout: &str) -> Span {
    let seconds = timeout.split(',').find_map(|one| one.trim().strip_prefix("Second-")?.parse::<u32>().ok());
    let wanted = seconds.map_or(DAV_LOCK_TIME_MAX, |seconds| Span::from_secs(u64::from(seconds.max(1))));
    wanted.min(DAV_LOCK_TIME_MAX)
}

/// Whether what an `If` says is so (RFC 4918, section 10.4): one of its lists has only what is true.
pub(super) fn holds(condition: &str, etag: Option<&str>, mut has_lock: impl FnMut(&str) -> bool) -> bool {
    let mut lists = 0;
    let mut rest = condition;
    while let Some((_, behind)) = rest.split_once('(') {
        let Some((list, behind)) = behind.split_once(')') else { return false };
        rest = behind;
        lists += 1;
        let mut is_true = true;
        let mut left = list.trim();
        while !left.is_empty() {
            let is_negated = left.starts_with("Not");
            left = left.strip_prefix("Not").unwrap_or(left).trim_start();
            let (is_so, behind) = if let Some(behind) = left.strip_prefix('<') {
                let Some((token, behind)) = behind.split_once('>') else { return false };
                (has_lock(token), behind)
            } else if let Some(behind) = left.strip_prefix('[') {
                let Some((tag, behind)) = behind.split_once(']') else { return false };
                (etag == Some(tag.trim()), behind)
            } else {
                return false;
            };
            is_true &= is_so != is_negated;
            left = behind.trim_start();
        }
        if is_true {
            return true;
        }
    }
    lists == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(what: &str, token: &str, is_deep: bool, is_shared: bool, seconds: u64) -> Lock {
        let end = Time::from_micros(seconds * 1_000_000);
        Lock { token: token.into(), what: what.into(), is_deep, is_shared, owner: String::new(), end }
    }

    #[test]
    fn a_lock_holds_what_it_is_on_and_what_is_in_it() {
        let (mut locks, now) = (Locks::default(), Time::from_micros(0));
        assert!(locks.add(lock("f:a", "t1", true, false, 10), now));
        assert!(
            !locks.add(lock("f:a/b", "t2", false, false, 10), now)
                && !locks.add(lock("f:a", "t2", false, true, 10), now)
        );
        assert!(!locks.add(lock("f", "t2", true, false, 10), now), "something in it is locked");
        assert!(locks.add(lock("f:ab", "t3", false, false, 10), now));
        assert!(
            !locks.may_change("f:a/b", false, "", now) && locks.may_change("f:a/b", false, "(<t1>)", now)
        );
        assert!(locks.may_change("f:c", false, "", now) && !locks.may_change("f", true, "", now));
        assert!(locks.refresh("f:a/x", "(<t1>)", Time::from_micros(99), now).is_some());
        assert!(!locks.remove("f:ab", "t1", now) && locks.remove("f:a", "t1", now));
        assert!(locks.may_change("f:a/b", false, "", now));
        let late = Time::from_micros(10_000_000);
        assert!(locks.add(lock("f:ab", "t4", false, false, 20), late), "a lock that has ended holds nothing");
    }

    #[test]
    fn a_lock_on_a_directory_alone_holds_its_names() {
        let (mut locks, now) = (Locks::default(), Time::from_micros(0));
        assert!(locks.add(lock("f:a", "t1", false, false, 10), now));
        assert!(!locks.may_change("f:a/b", false, "", now) && locks.may_change("f:a/b/c", false, "", now));
        assert!(
            locks.add(lock("f:s", "s1", false, true, 10), now)
                && locks.add(lock("f:s", "s2", false, true, 10), now)
        );
        assert!(locks.may_change("f:s", false, "(<s2>)", now) && !locks.may_change("f:s", false, "", now));
    }

    #[test]
    fn there_are_never_more_than_may_be() {
        let (mut locks, now) = (Locks::default(), Time::from_micros(0));
        for number in 0..DAV_LOCKS_MAX + 10 {
            assert!(locks.add(lock(&format!("f:{number}"), &number.to_string(), false, false, 10), now));
        }
        assert_eq!(locks.all.len(), DAV_LOCKS_MAX);
    }

    #[test]
    fn conditions_are_judged_list_by_list() {
        let judge = |condition: &str| holds(condition, Some("\"e\""), |token| token == "t");
        assert!(
            judge("(<t>)")
                && judge("(<t> [\"e\"])")
                && judge("(Not <x>)")
                && judge("</a> (<x>) (<t>)")
                && judge("")
        );
        assert!(
            !judge("(<x>)")
                && !judge("(<t> [\"other\"])")
                && !judge("(Not <t>)")
                && !judge("(<t")
                && !judge("(nonsense)")
        );
    }
}
