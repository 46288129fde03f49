//! The windows of the exact mode: as much as the cap allows, ended at the best seam.
//!
//! This is the engine that every strategy shares; see the module above for the order of its rules.

use std::ops::Range;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::super::chains::Chain;
use super::super::chunk::{Chunk, Content, Count};
use super::super::measure::{
    CodePoints, boundary_after, boundary_before, slice, trimmed, white_space_end,
};
use super::super::source::Source;
use super::layers::word_start;
use super::ruler::Measure;
use super::seams::Seams;
use super::{ExactSplitter, Finder};

/// Candidates for a cut that are given up, one after the other, before the next coarser rule.
const PATIENCE: usize = 16;

/// Bytes behind a window in which its last grapheme may end.
const LOOK_AHEAD: usize = 256;

/// The windows of one text, in order.
pub(super) struct Windows<'text, S> {
    splitter: &'text ExactSplitter,
    text: &'text str,
    seams: S,
    measure: Measure<'text>,
    /// Where the next window begins.
    start: usize,
    /// Up to where the windows so far went; more than `start` when the next one repeats a part.
    covered: usize,
    points: CodePoints<'text>,
    made: usize,
}

impl<'text, S: Seams> Windows<'text, S> {
    /// The windows of a text whose seams are known, from `from` on.
    pub(super) fn new(
        splitter: &'text ExactSplitter,
        source: Source<'text>,
        seams: S,
        from: usize,
    ) -> Self {
        Self {
            splitter,
            text: source.text(),
            seams,
            measure: Measure::new(source, &splitter.ruler),
            start: from,
            covered: from,
            points: CodePoints::from_place(source, from),
            made: 0,
        }
    }

    /// The next window, which ends later than any before it.
    fn next_window(&mut self) -> Option<Range<usize>> {
        let splitter = self.splitter;
        loop {
            if splitter.trim {
                self.start = white_space_end(self.text, self.start);
            }
            if self.start >= self.text.len() {
                return None;
            }
            self.seams.forget(self.start);
            let low = self.start.max(self.covered);
            let bound = self.seams.wall(low).unwrap_or(self.text.len()).min(self.text.len());
            let mut limit = self.measure.reach(self.start, splitter.chunk_size).min(bound);
            let mut attempts = 0;
            let end = loop {
                let end = self.end_of_window(low, limit, bound);
                let Some(end) = end.filter(|end| !self.fits(*end)) else { break end };
                // The cut made the tokens beside it other ones. After some patience, progress counts
                // more than a full window.
                attempts += 1;
                let content = low + slice(self.text, low..end).trim_end().len();
                let shorter = content.min(limit).saturating_sub(1).max(low);
                let half = low + (shorter - low) / 2;
                limit =
                    boundary_before(self.text, if attempts < PATIENCE { shorter } else { half });
            };
            if let Some(end) = end {
                let span = self.start..end;
                self.go_on_behind(end);
                return Some(span);
            }
            if self.start < low {
                // The repeated part leaves no room for anything new.
                self.start = self.covered;
                continue;
            }
            // A grapheme that alone exceeds the cap, or even one of its characters. Unless it only
            // did together with what follows it.
            let ahead = boundary_before(self.text, bound.min(limit.saturating_add(LOOK_AHEAD)));
            let grapheme = slice(self.text, low..ahead).graphemes(true).next().map_or(1, str::len);
            let first = slice(self.text, low..bound).chars().next().map_or(1, char::len_utf8);
            let mut end = limit.max(low + first);
            if self.splitter.ruler.depends_on_context()
                && (low + grapheme < ahead || ahead == bound)
                && self.fits(low + grapheme)
            {
                end = low + grapheme;
            }
            while end > low + first && !self.fits(end) {
                end = boundary_before(self.text, end - 1);
            }
            self.go_on_behind(end);
            return Some(low..end);
        }
    }

    fn go_on_behind(&mut self, end: usize) {
        // White space belongs to the window on its left, so that the next one brings something new.
        let end = if self.splitter.trim { white_space_end(self.text, end) } else { end };
        (self.start, self.covered) = (end, end);
    }

    /// Lets the next window repeat the end of the chunk at `span`.
    fn step_back(&mut self, span: &Range<usize>) {
        let overlap = self.splitter.chunk_overlap;
        if overlap == 0 || self.covered == self.text.len() {
            return;
        }
        // Behind a wall nothing from before it is wanted.
        if self.seams.wall(span.start).is_some_and(|wall| wall <= self.covered) {
            return;
        }
        let mut from = self.measure.retreat(span.start, span.end, overlap);
        for _ in 0..PATIENCE {
            let start = self
                .seams
                .resume(from, span.end)
                .or_else(|| word_start(self.text, from, span.end))
                .or_else(|| self.first_grapheme(span.start, from, span.end));
            let Some(mut start) = start else { return };
            if self.splitter.trim {
                start = white_space_end(self.text, start);
            }
            if start >= span.end {
                return;
            }
            // Without a step forward, the next chunk would repeat this one whole.
            let repeats = start <= span.start;
            let fits = || {
                !self.splitter.ruler.depends_on_context()
                    || self.measure.size(start..span.end) <= overlap
            };
            if !repeats && self.is_boundary(span.start, start) && fits() {
                self.start = start;
                return;
            }
            from = boundary_after(self.text, start.max(span.start) + 1);
            if from >= span.end {
                return;
            }
        }
    }

    fn fits(&self, end: usize) -> bool {
        let ruler = &self.splitter.ruler;
        if !ruler.depends_on_context() {
            return true;
        }
        let window = self.start..end;
        let content = if self.splitter.trim { trimmed(self.text, window.clone()) } else { None };
        self.measure.size(content.unwrap_or(window)) <= self.splitter.chunk_size
    }

    /// The best place for the window to end, behind `low` and with its content within `limit`.
    fn end_of_window(&mut self, low: usize, limit: usize, bound: usize) -> Option<usize> {
        if limit <= low {
            return None;
        }
        let trim = self.splitter.trim;
        let upto = if trim { white_space_end(self.text, limit).min(bound) } else { limit };
        if upto == bound {
            return (bound > low).then_some(bound);
        }
        if matches!(self.splitter.finder, Finder::Windows)
            && let Some(word) = self.measure.before_word()
            && word <= limit
        {
            let end = if trim { white_space_end(self.text, word).min(limit) } else { word };
            if end > low && self.is_boundary(self.start, end) {
                return Some(end);
            }
        }
        let mut before = upto;
        for _ in 0..PATIENCE {
            let Some(seam) = self.seams.best(low, before) else { break };
            match self.accept(low, seam) {
                Candidate::Taken(at) => return Some(at),
                Candidate::DropOverlap => return None,
                Candidate::Refused => before = seam - 1,
            }
        }
        if self.splitter.whole_words {
            let mut head = slice(self.text, low..upto);
            for _ in 0..PATIENCE {
                let Some(at) = head.rfind(char::is_whitespace) else { break };
                let blank = slice(head, at..head.len()).chars().next().map_or(1, char::len_utf8);
                match self.accept(low, low + at + blank) {
                    Candidate::Taken(at) => return Some(at),
                    Candidate::DropOverlap => return None,
                    Candidate::Refused => head = slice(head, 0..at),
                }
            }
        }
        let last = self.last_grapheme(low, limit)?;
        match self.accept(low, last) {
            Candidate::DropOverlap => None,
            Candidate::Taken(at) => Some(at),
            Candidate::Refused => Some(last),
        }
    }

    /// Judges a place to cut; moves it before what is to stay whole.
    fn accept(&mut self, low: usize, at: usize) -> Candidate {
        if !self.is_boundary(self.start, at) {
            return Candidate::Refused;
        }
        match self.seams.whole(at) {
            Some(whole) if whole.start > low && self.is_boundary(self.start, whole.start) => {
                Candidate::Taken(whole.start)
            }
            // It may fit when nothing is repeated before it.
            Some(_) if self.start < self.covered => Candidate::DropOverlap,
            _ => Candidate::Taken(at),
        }
    }

    /// Whether a grapheme ends at `at`, seen from `base`, where one begins.
    fn is_boundary(&self, base: usize, at: usize) -> bool {
        let bytes = self.text.as_bytes();
        match (at.checked_sub(1).and_then(|last| bytes.get(last)), bytes.get(at)) {
            (None, _) | (_, None) => return true,
            (Some(left), Some(right)) if left.is_ascii() && right.is_ascii() => {
                return (*left, *right) != (b'\r', b'\n');
            }
            _ => {}
        }
        if !self.text.is_char_boundary(at) {
            return false;
        }
        let rest = slice(self.text, base..self.text.len());
        let mut cursor = GraphemeCursor::new(at - base, rest.len(), true);
        cursor.is_boundary(rest, 0).unwrap_or(true)
    }

    /// The last grapheme boundary in `low + 1..=limit`.
    fn last_grapheme(&self, low: usize, limit: usize) -> Option<usize> {
        let mut at = limit;
        for _ in 0..PATIENCE {
            if at <= low {
                return None;
            }
            if self.is_boundary(self.start, at) {
                return Some(at);
            }
            at = boundary_before(self.text, at - 1);
        }
        // A long one: one walk over the window instead of many looks back.
        let ends = slice(self.text, low..self.text.len()).grapheme_indices(true);
        let ends = ends.map(|(start, one)| low + start + one.len());
        ends.take_while(|end| *end <= limit).last()
    }

    /// The first grapheme boundary in `from..before`.
    fn first_grapheme(&self, base: usize, from: usize, before: usize) -> Option<usize> {
        let starts = slice(self.text, from..before).char_indices().map(|(at, _)| from + at);
        starts.take(PATIENCE).find(|at| self.is_boundary(base, *at))
    }
}

impl<S: Seams> Chain for Windows<'_, S> {
    /// A window depends on where it begins, and on what was there before.
    type State = (usize, usize);

    fn next_chunk(&mut self) -> Option<Chunk<Content>> {
        loop {
            let window = self.next_window()?;
            let Some(inner) = trimmed(self.text, window.clone()) else { continue };
            let span = if self.splitter.trim { inner } else { window };
            let count = self
                .splitter
                .ruler
                .counts_tokens()
                .then(|| Count::Tokens(self.measure.size(span.clone())));
            let headings = self.seams.headings(span.start);
            let chars = self.points.span(&span);
            self.step_back(&span);
            let chunk_index = self.made;
            self.made = self.made.wrapping_add(1);
            return Some(Chunk {
                content: Content::Slice,
                start_index: span.start,
                end_index: span.end,
                start_byte: span.start,
                end_byte: span.end,
                start_char: chars.start,
                end_char: chars.end,
                chunk_index,
                count,
                headings,
            });
        }
    }

    fn state(&self) -> Self::State {
        (self.start, self.covered)
    }

    fn place(&self) -> usize {
        self.start
    }

    fn chunk_index(&self) -> usize {
        self.made
    }

    fn code_point(&mut self, byte: usize) -> usize {
        self.points.offset(byte)
    }

    fn shift(&mut self, chunks: usize, code_points: usize) {
        self.made = self.made.wrapping_add(chunks);
        self.points.shift(code_points);
    }
}

enum Candidate {
    Taken(usize),
    Refused,
    /// Nothing at all fits behind the repeated part.
    DropOverlap,
}
