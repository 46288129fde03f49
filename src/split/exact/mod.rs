//! The exact mode: every chunk a slice of the source, under a hard cap, in the unit you choose.
//!
//! One engine for all strategies. It takes the largest window that the cap allows, overlap included,
//! and ends it at the coarsest seam the strategy knows there; without one, behind the last white
//! space; without that, between two graphemes; and only when one grapheme alone exceeds the cap,
//! between two of its characters. The overlap is taken from the source and begins at a word where
//! there is one. Nothing but white space at the ends of chunks is left out.
//!
//! It refuses a size of 0, an overlap that is not below the size, a pattern that does not compile.
//!
//! ```
//! use graphbit::split::{ExactSplitter, Split, Strategy, Unit};
//!
//! let strategy = Strategy::Recursive { chunk_size: 16, chunk_overlap: 5, separators: None };
//! let splitter = ExactSplitter::new(&strategy, Unit::Chars)?;
//! let text = "To be, or not to be. That is it.";
//! for chunk in splitter.cut(text) {
//!     assert_eq!(&text[chunk.start_byte..chunk.end_byte], chunk.content);
//!     assert!(chunk.content.chars().count() <= 16);
//! }
//! # Ok::<(), graphbit::Error>(())
//! ```

mod code;
mod layers;
mod markdown;
#[cfg(test)]
mod properties;
mod ranked;
mod ruler;
mod seams;
mod sentences;
mod separators;
mod unit;

use std::ops::Range;

use regex::Regex;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use self::code::code;
use self::layers::{Layers, Offsets, paragraphs, word_start};
use self::markdown::markdown;
use self::ruler::{Measure, Ruler};
use self::seams::{Anywhere, Seams};
use self::sentences::{SentenceSeams, sentences};
use self::separators::Separators;
pub use self::unit::Unit;
use super::chunk::{Chunk, Content, Count};
use super::measure::{
    CodePoints, boundary_after, boundary_before, slice, trimmed, white_space_end,
};
use super::runs::run_end;
use super::{
    DEFAULT_SEPARATORS, Source, Split, Strategy, WIDE_OVERLAP, ZERO_SIZE, compile, refused,
};
use crate::error::Result;

/// Candidates for a cut that are given up, one after the other, before the next coarser rule.
const PATIENCE: usize = 16;

/// Splits under a hard cap into slices of the source. Any [`Strategy`], any [`Unit`].
#[derive(Clone, Debug)]
pub struct ExactSplitter {
    chunk_size: usize,
    chunk_overlap: usize,
    ruler: Ruler,
    finder: Finder,
    trim: bool,
    whole_words: bool,
}

/// How the seams of a text are found.
#[derive(Clone, Debug)]
enum Finder {
    Characters,
    Windows,
    Runs,
    Matches(Regex),
    Sentences(Option<Regex>),
    Separators(Separators),
    Paragraphs { shortest: usize },
    Markdown { by_headers: bool },
    Code { language: Option<String> },
}

impl ExactSplitter {
    /// `strategy` with its size and overlap counted in `unit`.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter) when the size is 0, the overlap not below it, the
    /// list of separators empty, or a pattern not a regular expression.
    pub fn new(strategy: &Strategy, unit: Unit) -> Result<Self> {
        let (chunk_size, chunk_overlap) = strategy.sizes();
        if chunk_size == 0 {
            return Err(refused(ZERO_SIZE));
        }
        if chunk_overlap >= chunk_size {
            return Err(refused(WIDE_OVERLAP));
        }
        let pattern = match strategy {
            Strategy::Token { token_pattern, .. } => {
                token_pattern.as_deref().map(compile).transpose()?
            }
            _ => None,
        };
        let ruler = match (unit, &pattern) {
            (Unit::Chars, _) => Ruler::Chars,
            (Unit::Graphemes, _) => Ruler::Graphemes,
            (Unit::Bytes, _) => Ruler::Bytes,
            (Unit::Words, _) => Ruler::Words,
            (Unit::Tokens(encoding), _) => Ruler::Bpe(encoding),
            (Unit::Pattern, Some(pattern)) => Ruler::Matches(pattern.clone()),
            (Unit::Pattern, None) => Ruler::Runs,
        };
        let finder = match strategy {
            Strategy::Character { .. } => Finder::Characters,
            // Such a window ends where one of its tokens ends.
            Strategy::Token { .. } if ruler.counts_tokens() => Finder::Windows,
            Strategy::Token { .. } => pattern.map_or(Finder::Runs, Finder::Matches),
            Strategy::Sentence { sentence_endings, .. } => {
                let pattern = sentence_endings.as_ref().map(|all| format!("({})", all.join("|")));
                Finder::Sentences(pattern.as_deref().map(compile).transpose()?)
            }
            Strategy::Recursive { separators, .. } => Finder::Separators(match separators {
                Some(list) if list.is_empty() => {
                    return Err(refused("At least one separator must be provided"));
                }
                Some(list) => Separators::new(list),
                None => Separators::new(&DEFAULT_SEPARATORS.map(str::to_owned)),
            }),
            Strategy::Paragraph { min_paragraph_length, .. } => {
                Finder::Paragraphs { shortest: min_paragraph_length.unwrap_or_default() }
            }
            Strategy::Markdown { split_by_headers, .. } => {
                Finder::Markdown { by_headers: *split_by_headers }
            }
            Strategy::Code { language, .. } => Finder::Code { language: language.clone() },
            Strategy::Regex { pattern, .. } => Finder::Matches(compile(pattern)?),
        };
        Ok(Self { chunk_size, chunk_overlap, ruler, finder, trim: true, whole_words: true })
    }

    /// Whether white space at the ends of a chunk is removed (the default). Without it the chunks of
    /// a splitter without overlap join back to the source, but for chunks of nothing but white space.
    #[must_use]
    pub const fn with_trim(mut self, trim: bool) -> Self {
        self.trim = trim;
        self
    }

    /// Whether a cut without a better seam moves back behind white space (the default).
    #[must_use]
    pub const fn with_whole_words(mut self, whole_words: bool) -> Self {
        self.whole_words = whole_words;
        self
    }

    /// Units a chunk, overlap included.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Units that neighbours share, at most.
    #[must_use]
    pub const fn chunk_overlap(&self) -> usize {
        self.chunk_overlap
    }

    fn seams<'text>(&'text self, text: &'text str) -> Box<dyn Seams + 'text> {
        let ends_of = |pattern: &'text Regex| -> Offsets<'text> {
            Box::new(pattern.find_iter(text).map(|hit| hit.end()))
        };
        match &self.finder {
            Finder::Characters => Box::new(Anywhere { accept: false }),
            Finder::Windows => Box::new(Anywhere { accept: true }),
            Finder::Runs => {
                let ends = std::iter::successors(Some(0), move |at| {
                    (*at < text.len()).then(|| run_end(text, *at))
                });
                Box::new(Layers::new([Box::new(ends.skip(1)) as Offsets<'text>]))
            }
            Finder::Matches(pattern) => Box::new(Layers::new([ends_of(pattern)])),
            Finder::Sentences(None) => Box::new(SentenceSeams::new(text)),
            Finder::Sentences(Some(endings)) => Box::new(SentenceSeams::custom(text, endings)),
            Finder::Separators(separators) => Box::new(separators.over(text)),
            Finder::Paragraphs { shortest } => Box::new(Layers::new([
                Box::new(paragraphs(text, *shortest)) as Offsets<'text>,
                Box::new(sentences(text)),
            ])),
            Finder::Markdown { by_headers } => Box::new(markdown(text, *by_headers)),
            Finder::Code { language } => Box::new(code(text, language.as_deref())),
        }
    }
}

impl Split for ExactSplitter {
    fn places(&self, source: Source<'_>) -> Vec<Chunk<Content>> {
        let text = source.text();
        let mut points = CodePoints::new(source);
        let mut chunks = Vec::new();
        let mut seams = self.seams(text);
        let mut windows = Windows {
            splitter: self,
            text,
            seams: &mut *seams,
            measure: Measure::new(source, &self.ruler),
            start: 0,
            covered: 0,
        };
        while let Some(span) = windows.next_window() {
            let Some(inner) = trimmed(text, span.clone()) else { continue };
            let span = if self.trim { inner } else { span };
            let count = self
                .ruler
                .counts_tokens()
                .then(|| Count::Tokens(windows.measure.size(span.clone())));
            let headings = windows.seams.headings(span.start);
            let chars = points.span(&span);
            windows.step_back(&span);
            chunks.push(Chunk {
                content: Content::Slice,
                start_index: span.start,
                end_index: span.end,
                start_byte: span.start,
                end_byte: span.end,
                start_char: chars.start,
                end_char: chars.end,
                chunk_index: chunks.len(),
                count,
                headings,
            });
        }
        chunks
    }
}

/// The windows of one text, in order.
struct Windows<'text, 'seams> {
    splitter: &'text ExactSplitter,
    text: &'text str,
    seams: &'seams mut (dyn Seams + 'text),
    measure: Measure<'text>,
    /// Where the next window begins.
    start: usize,
    /// Up to where the windows so far went; more than `start` when the next one repeats a part.
    covered: usize,
}

impl Windows<'_, '_> {
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
            // A grapheme that alone exceeds the cap, or even one of its characters.
            let first = slice(self.text, low..bound).chars().next().map_or(1, char::len_utf8);
            let mut end = limit.max(low + first);
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
            Some(whole) if whole.start > low => Candidate::Taken(whole.start),
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

enum Candidate {
    Taken(usize),
    Refused,
    /// Nothing at all fits behind the repeated part.
    DropOverlap,
}
