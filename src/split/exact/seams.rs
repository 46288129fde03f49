//! Where a text may be cut: what a strategy of the exact mode knows and the engine does not.
//!
//! A seam is a byte offset at which one piece ends and the next begins; separators belong to the
//! piece on their left, so a seam stands behind them. The engine asks for windows that only move
//! forward, measures, trims, and falls back to white space and graphemes where a strategy has no
//! seam to offer.

use std::ops::Range;
use std::sync::Arc;

/// The seams of one text.
pub(in crate::split) trait Seams {
    /// The coarsest seam in `after + 1..=upto`; of equals, the last.
    fn best(&mut self, after: usize, upto: usize) -> Option<usize>;

    /// The first place in `from..before` where a part that is repeated as overlap may begin.
    fn resume(&mut self, _from: usize, _before: usize) -> Option<usize> {
        None
    }

    /// The next offset behind `after` that no chunk may span, overlap included.
    fn wall(&mut self, _after: usize) -> Option<usize> {
        None
    }

    /// What `at` stands inside of (not at the edge of) and what is kept whole if it can be: a fenced
    /// block, a table row, a link.
    fn whole(&mut self, _at: usize) -> Option<Range<usize>> {
        None
    }

    /// The path of headings above `at`, outermost first, joined with `" > "`.
    fn headings(&mut self, _at: usize) -> Option<Arc<str>> {
        None
    }

    /// Nothing before this offset will be asked for again.
    fn forget(&mut self, _before: usize) {}
}

impl<S: Seams + ?Sized> Seams for Box<S> {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        (**self).best(after, upto)
    }

    fn resume(&mut self, from: usize, before: usize) -> Option<usize> {
        (**self).resume(from, before)
    }

    fn wall(&mut self, after: usize) -> Option<usize> {
        (**self).wall(after)
    }

    fn whole(&mut self, at: usize) -> Option<Range<usize>> {
        (**self).whole(at)
    }

    fn headings(&mut self, at: usize) -> Option<Arc<str>> {
        (**self).headings(at)
    }

    fn forget(&mut self, before: usize) {
        (**self).forget(before);
    }
}

/// Any place will do: windows of characters, or of tokens, which end where their measure ends.
pub(super) struct Anywhere {
    pub(super) accept: bool,
}

impl Seams for Anywhere {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        (self.accept && upto > after).then_some(upto)
    }
}
