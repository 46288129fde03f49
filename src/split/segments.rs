//! A text as a list of consecutive segments (tokens or sentences) with possible gaps between them.

use std::borrow::Cow;
use std::ops::Range;

use super::measure::{slice, trimmed};

struct Segment {
    start: usize,
    end: usize,
    /// Gaps before this segment: two segments with the same number have no gap between them.
    gaps: usize,
}

/// Segments in order of appearance, none overlapping another.
pub(super) struct Segments<'text> {
    text: &'text str,
    all: Vec<Segment>,
    /// Positions of those that are more than white space.
    solid: Vec<usize>,
}

impl<'text> Segments<'text> {
    pub(super) const fn new(text: &'text str) -> Self {
        Self { text, all: Vec::new(), solid: Vec::new() }
    }

    pub(super) fn push(&mut self, segment: Range<usize>) {
        let gaps = match self.all.last() {
            Some(last) => last.gaps + usize::from(last.end != segment.start),
            None => 0,
        };
        if !slice(self.text, segment.clone()).trim_start().is_empty() {
            self.solid.push(self.all.len());
        }
        self.all.push(Segment { start: segment.start, end: segment.end, gaps });
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes of one segment.
    pub(super) fn size(&self, index: usize) -> usize {
        self.all.get(index).map_or(0, |segment| segment.end - segment.start)
    }

    /// From the start of the first to the end of the last segment of `range`.
    pub(super) fn span(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.all.get(range.start).map_or(0, |segment| segment.start);
        let end = range.end.checked_sub(1).and_then(|last| self.all.get(last));
        start..end.map_or(start, |segment| segment.end)
    }

    /// The segments of `range` put together, and the smallest span of the text that holds them;
    /// `None` when that is nothing but white space.
    pub(super) fn join(
        &self,
        range: &Range<usize>,
        trim: bool,
    ) -> Option<(Cow<'text, str>, Range<usize>)> {
        // Only white space lies outside the first and the last solid segment.
        let first = *self.solid.get(self.solid.partition_point(|at| *at < range.start))?;
        let after = self.solid.partition_point(|at| *at < range.end).checked_sub(1)?;
        let last = *self.solid.get(after)?;
        if first >= range.end || last < first {
            return None;
        }
        let kept = if trim { first..last + 1 } else { range.clone() };
        let segments = self.all.get(kept.clone())?;
        let span = if trim {
            let head = segments.first().map(|one| one.start..one.end)?;
            let tail = segments.last().map(|one| one.start..one.end)?;
            trimmed(self.text, head)?.start..trimmed(self.text, tail)?.end
        } else {
            self.span(&kept)
        };
        let contiguous = segments.first()?.gaps == segments.last()?.gaps;
        if contiguous {
            return Some((Cow::Borrowed(slice(self.text, span.clone())), span));
        }
        let pieces = segments.iter().map(|one| {
            // Inside the span: the outer segments lose what was trimmed.
            slice(self.text, one.start.max(span.start)..one.end.min(span.end))
        });
        Some((Cow::Owned(pieces.collect()), span))
    }
}
