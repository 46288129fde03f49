//! A window that slides over consecutive segments (tokens or sentences) of a text, which may have
//! gaps between them.

use std::collections::VecDeque;
use std::ops::Range;

use super::chunk::Content;
use super::measure::{is_blank, trimmed};

struct Segment {
    start: usize,
    end: usize,
    /// Gaps before this segment: two segments with the same number have no gap between them.
    gaps: usize,
}

/// Segments in order of appearance, none overlapping another. Holds the window's, no more.
pub(super) struct Segments<'text> {
    text: &'text str,
    window: VecDeque<Segment>,
    /// Segments that left the window.
    gone: usize,
    /// Runs of segments that are only white space, by their numbers from the first of the text. The
    /// first may reach back to some that left the window.
    blank: VecDeque<Range<usize>>,
}

impl<'text> Segments<'text> {
    pub(super) const fn new(text: &'text str) -> Self {
        Self { text, window: VecDeque::new(), gone: 0, blank: VecDeque::new() }
    }

    /// Adds a segment at the end of the window; `solid` says that it is more than white space.
    pub(super) fn push(&mut self, segment: &Range<usize>, solid: bool) {
        let gaps = match self.window.back() {
            Some(last) => last.gaps + usize::from(last.end != segment.start),
            None => 0,
        };
        if !solid {
            let number = self.gone + self.window.len();
            match self.blank.back_mut() {
                Some(run) if run.end == number => run.end += 1,
                _ => self.blank.push_back(number..number + 1),
            }
        }
        self.window.push_back(Segment { start: segment.start, end: segment.end, gaps });
    }

    /// Takes the first segment out; its bytes.
    pub(super) fn pop(&mut self) -> usize {
        let Some(segment) = self.window.pop_front() else { return 0 };
        self.gone += 1;
        if self.blank.front().is_some_and(|run| run.end <= self.gone) {
            self.blank.pop_front();
        }
        segment.end - segment.start
    }

    /// Segments in the window.
    pub(super) fn len(&self) -> usize {
        self.window.len()
    }

    /// From the start of the first to the end of the last segment.
    pub(super) fn span(&self) -> Range<usize> {
        match (self.window.front(), self.window.back()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }

    /// The segments put together, and the smallest span of the text that holds them; `None` when
    /// that is nothing but white space.
    pub(super) fn join(&self, trim: bool) -> Option<(Content, Range<usize>)> {
        // Only white space lies outside the first and the last solid segment.
        let behind = self.gone + self.window.len();
        let first = match self.blank.front() {
            Some(run) if run.start <= self.gone => run.end,
            _ => self.gone,
        };
        let last = match self.blank.back() {
            Some(run) if run.end == behind => run.start.checked_sub(1)?,
            _ => behind.checked_sub(1)?,
        };
        if first > last {
            return None;
        }
        let first = self.window.get(first - self.gone)?;
        let last = self.window.get(last.checked_sub(self.gone)?)?;
        let (span, contiguous) = if trim {
            let start = trimmed(self.text, first.start..first.end)?.start;
            let end = trimmed(self.text, last.start..last.end)?.end;
            (start..end, first.gaps == last.gaps)
        } else {
            let whole = self.window.front()?.gaps == self.window.back()?.gaps;
            (self.span(), whole)
        };
        if contiguous {
            return Some((Content::Slice, span));
        }
        // What was trimmed lies outside the span.
        let inside = |one: &Segment| one.start.max(span.start)..one.end.min(span.end);
        Some((Content::of(self.text, &span, self.window.iter().map(inside)), span))
    }

    /// Whether `segment` is more than white space.
    pub(super) fn is_solid(&self, segment: &Range<usize>) -> bool {
        !is_blank(self.text, segment)
    }
}
