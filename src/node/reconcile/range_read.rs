//! Reading a range of the index for a comparison, a page at a time.
//!
//! Owns where the next page begins. What is made of the ids is `replicate/reconcile/matching.rs`'s.

use super::super::duty::{Ask, Ops, Told};
use crate::base::ids::ChunkId;
use crate::base::limits::PAGE_IDS_MAX;
use crate::replicate::reconcile::Survey;
use crate::store::service::{Op, Reply, Request};

/// A range that is being read.
#[derive(Debug)]
pub(in crate::node) struct RangeRead {
    /// What was read of it; None once it was given away.
    survey: Option<Survey>,
    /// The next page begins behind this.
    after: Option<ChunkId>,
    /// The page that is awaited.
    asked: Option<Op>,
    /// All is read.
    is_whole: bool,
}

impl RangeRead {
    /// Nothing is read yet.
    pub(in crate::node) fn new(survey: Survey) -> Self {
        let after = survey.range().before();
        Self { survey: Some(survey), after, asked: None, is_whole: false }
    }

    /// The next page, unless one is awaited or all is read.
    pub(in crate::node) fn ask(&mut self, ops: &mut Ops) -> Option<Ask> {
        if self.asked.is_some() || self.is_whole {
            return None;
        }
        let op = ops.draw();
        self.asked = Some(op);
        Some(Ask::Store(Request::Scan { op, after: self.after, limit: PAGE_IDS_MAX, read: false }))
    }

    /// Takes a page. An answer to something else changes nothing.
    pub(in crate::node) fn told(&mut self, told: &Told) {
        let Told::Store(Reply::Scan { op, found, more }) = told else { return };
        if self.asked != Some(*op) {
            return;
        }
        self.asked = None;
        self.after = found.last().map(|(id, _)| *id).or(self.after);
        let Some(survey) = &mut self.survey else { return };
        let is_inside = survey.take(found.iter().map(|(id, _)| *id));
        self.is_whole = !(is_inside && *more);
    }

    /// What is here of the range, once all is read; given once.
    pub(in crate::node) fn whole(&mut self) -> Option<Survey> {
        self.survey.take_if(|_| self.is_whole)
    }
}
