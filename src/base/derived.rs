//! A value, and something small that follows from it and is asked for far more often than the value changes.
//!
//! Owns that what was worked out once is forgotten whenever the value may have changed: whoever takes it to change it makes it so.
//! Refuses values that change behind a shared reference.

use core::cell::Cell;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// A value, and what follows from it.
#[derive(Default)]
pub struct Derived<T, F> {
    /// The value.
    value: T,
    /// What follows from it; None: that was not worked out since the value was taken to be changed.
    known: Cell<Option<F>>,
}

impl<T, F: Copy> Derived<T, F> {
    /// What follows from the value: always the same function of it, which is called only if the value may have changed.
    #[inline]
    pub fn follows(&self, work_out: impl FnOnce(&T) -> F) -> F {
        self.known.get().unwrap_or_else(|| {
            let found = work_out(&self.value);
            self.known.set(Some(found));
            found
        })
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Derived<T, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

impl<T, F> Deref for Derived<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, F> DerefMut for Derived<T, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.known = Cell::new(None);
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_worked_out_again_after_every_change_and_only_then() {
        let mut list: Derived<Vec<u8>, Option<u8>> = Derived::default();
        let calls = Cell::new(0);
        let least = |list: &Derived<Vec<u8>, Option<u8>>| {
            list.follows(|list| {
                calls.set(calls.get() + 1);
                list.iter().min().copied()
            })
        };
        assert_eq!((least(&list), least(&list), calls.get()), (None, None, 1));
        list.extend([3, 2]);
        assert_eq!((least(&list), least(&list), calls.get()), (Some(2), Some(2), 2));
        assert_eq!((list.len(), least(&list), calls.get()), (2, Some(2), 2));
        list.retain(|number| *number > 2);
        assert_eq!((least(&list), calls.get()), (Some(3), 3));
    }
}
