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
mod semantic;
mod sentences;
mod separators;
mod unit;
mod windows;

use std::ops::{ControlFlow, Range};
use std::thread::Scope;

use regex::Regex;

use self::code::code;
use self::layers::{Layers, Offsets, paragraphs};
use self::markdown::markdown;
use self::ruler::Ruler;
use self::seams::{Anywhere, Seams};
pub use self::semantic::{Boundary, SemanticPlan};
use self::sentences::{SentenceSeams, sentences};
use self::separators::Separators;
pub use self::unit::Unit;
use self::windows::Windows;
use super::chains::{Chain, ahead, divided};
use super::measure::{boundary_after, boundary_before, white_space_end};
use super::runs::run_end;
use super::{
    DEFAULT_SEPARATORS, Each, Portions, Source, Split, Strategy, WIDE_OVERLAP, ZERO_SIZE, compile,
    refused,
};
use crate::error::Result;

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

type AnySeams<'text> = Box<dyn Seams + Send + 'text>;

/// How the seams of a text are found.
#[derive(Clone, Debug)]
enum Finder {
    Characters,
    Windows,
    Runs,
    Matches(Regex),
    Sentences(Option<Regex>),
    Separators(Box<Separators>),
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
            Strategy::Recursive { separators, .. } => {
                Finder::Separators(Box::new(match separators {
                    Some(list) if list.is_empty() => {
                        return Err(refused("At least one separator must be provided"));
                    }
                    Some(list) => Separators::new(list),
                    None => Separators::new(&DEFAULT_SEPARATORS.map(str::to_owned)),
                }))
            }
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

    fn seams<'text>(&'text self, text: &'text str) -> AnySeams<'text> {
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

    /// A place in `near` at which chunks are likely to begin, and the seams behind it: those that the
    /// whole text has there. `None` where seams depend on all that stands before them.
    fn seams_inside<'text>(
        &'text self,
        text: &'text str,
        near: &Range<usize>,
    ) -> Option<(usize, AnySeams<'text>)> {
        let blank_line = || {
            let found = memchr::memmem::find(text.as_bytes().get(near.clone())?, b"\n\n")?;
            Some(white_space_end(text, near.start + found))
        };
        match &self.finder {
            Finder::Separators(separators) => {
                let from = separators.first_in(text, near)?;
                Some((from, Box::new(separators.over(text))))
            }
            Finder::Sentences(None) => {
                let from = blank_line()?;
                Some((from, Box::new(SentenceSeams::behind_blank_line(text, from))))
            }
            _ => None,
        }
    }
}

impl Split for ExactSplitter {
    fn visit(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
        Windows::new(self, source, self.seams(source.text()), 0).run(each)
    }

    fn portions<'scope>(
        &'scope self,
        source: Source<'scope>,
        workers: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> Portions<'scope> {
        let text = source.text();
        if !matches!(self.finder, Finder::Separators(_) | Finder::Sentences(None)) {
            return ahead(scope, move |each| self.visit(source, each));
        }
        let whole = Windows::new(self, source, self.seams(text), 0);
        let start = |near: Range<usize>| {
            let near = boundary_after(text, near.start)..boundary_before(text, near.end);
            let (from, seams) = self.seams_inside(text, &near)?;
            Some(Windows::new(self, source, seams, from))
        };
        divided(text.len(), workers, whole, start, scope)
    }
}
