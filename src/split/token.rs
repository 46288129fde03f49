//! Runs of word characters, of white space and of anything else; or the matches of a pattern.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use regex::Regex;

use super::chunk::{Chunk, Content, Count};
use super::measure::{CodePoints, trimmed};
use super::runs::RunStarts;
use super::segments::Segments;
use super::{Each, Source, Split, WIDE_OVERLAP, ZERO_SIZE, compile, refused};
use crate::error::Result;

/// Splits by tokens, white space runs included: five tokens are about three words.
#[derive(Clone, Debug)]
pub struct TokenSplitter {
    chunk_size: usize,
    chunk_overlap: usize,
    pattern: Option<Regex>,
    trim: bool,
}

impl TokenSplitter {
    /// Chunks of at most `chunk_size` tokens, neighbours sharing `chunk_overlap` of them.
    ///
    /// A token is a match of `token_pattern` (dialect of the `regex` crate); what it does not match
    /// is left out. The default keeps everything: `\b\w+\b|\s+|[^\w\s]+`.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter) when the size is 0, the overlap not below it, or
    /// the pattern not a regular expression.
    pub fn new(
        chunk_size: usize,
        chunk_overlap: usize,
        token_pattern: Option<&str>,
    ) -> Result<Self> {
        if chunk_size == 0 {
            return Err(refused(ZERO_SIZE));
        }
        if chunk_overlap >= chunk_size {
            return Err(refused(WIDE_OVERLAP));
        }
        let pattern = token_pattern.map(compile).transpose()?;
        Ok(Self { chunk_size, chunk_overlap, pattern, trim: true })
    }

    /// Whether white space at the ends of a chunk is removed (the default).
    #[must_use]
    pub const fn with_trim(mut self, trim: bool) -> Self {
        self.trim = trim;
        self
    }

    /// Tokens a chunk.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Tokens that neighbours share.
    #[must_use]
    pub const fn chunk_overlap(&self) -> usize {
        self.chunk_overlap
    }

    /// The default tokens leave nothing out, so a window is a slice, and only where the windows
    /// begin and end needs to be known: tokens are counted by the block, not met one by one.
    fn cut_runs(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
        let text = source.text();
        let mut chunks = Chunks::new(source, each);
        let mut emit = |window: Range<usize>, tokens: usize| {
            let Some(inner) = trimmed(text, window.clone()) else {
                return ControlFlow::Continue(());
            };
            let span = if self.trim { inner } else { window.clone() };
            chunks.hand(Content::Slice, span, window, tokens)
        };
        let step = self.chunk_size - self.chunk_overlap;
        // Numbers of the tokens with which the next window begins and behind the next one's end.
        let (mut next_start, mut next_end) = (0_usize, self.chunk_size);
        // Where the windows that did not end yet begin.
        let mut open = VecDeque::new();
        let mut seen = 0;
        for (base, starts) in RunStarts::new(source) {
            let until = seen + starts.count_ones() as usize;
            while next_start < until {
                open.push_back(base + nth_bit(starts, next_start - seen));
                next_start = next_start.saturating_add(step);
            }
            while next_end < until {
                let end = base + nth_bit(starts, next_end - seen);
                emit(open.pop_front().unwrap_or(end)..end, self.chunk_size)?;
                next_end = next_end.saturating_add(step);
            }
            seen = until;
        }
        if let Some(start) = open.pop_front() {
            let window_starts_at = next_end - self.chunk_size;
            emit(start..text.len(), seen - window_starts_at)?;
        }
        ControlFlow::Continue(())
    }

    fn cut_matches(
        &self,
        source: Source<'_>,
        pattern: &Regex,
        each: &mut Each<'_>,
    ) -> ControlFlow<()> {
        let mut chunks = Chunks::new(source, each);
        let mut window = Segments::new(source.text());
        let mut tokens = pattern.find_iter(source.text()).map(|token| token.range()).peekable();
        while tokens.peek().is_some() {
            while window.len() < self.chunk_size
                && let Some(token) = tokens.next()
            {
                let solid = window.is_solid(&token);
                window.push(&token, solid);
            }
            if let Some((content, span)) = window.join(self.trim) {
                chunks.hand(content, span, window.span(), window.len())?;
            }
            while window.len() > self.chunk_overlap {
                window.pop();
            }
        }
        ControlFlow::Continue(())
    }
}

/// The position of the bit of `mask` that has `number` set bits below it.
const fn nth_bit(mut mask: u64, number: usize) -> usize {
    let mut passed = 0;
    while passed < number {
        mask &= mask.wrapping_sub(1);
        passed += 1;
    }
    mask.trailing_zeros() as usize
}

impl Split for TokenSplitter {
    fn visit(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
        match &self.pattern {
            None => self.cut_runs(source, each),
            Some(pattern) => self.cut_matches(source, pattern, each),
        }
    }
}

/// Numbers the chunks and finds their places in code points.
struct Chunks<'text, 'each, 'call> {
    points: CodePoints<'text>,
    each: &'call mut Each<'each>,
    made: usize,
}

impl<'text, 'each, 'call> Chunks<'text, 'each, 'call> {
    const fn new(source: Source<'text>, each: &'call mut Each<'each>) -> Self {
        Self { points: CodePoints::new(source), each, made: 0 }
    }

    fn hand(
        &mut self,
        content: Content,
        span: Range<usize>,
        window: Range<usize>,
        tokens: usize,
    ) -> ControlFlow<()> {
        let chars = self.points.span(&span);
        let chunk_index = self.made;
        self.made += 1;
        (self.each)(Chunk {
            content,
            start_index: window.start,
            end_index: window.end,
            start_byte: span.start,
            end_byte: span.end,
            start_char: chars.start,
            end_char: chars.end,
            chunk_index,
            count: Some(Count::Tokens(tokens)),
            headings: None,
        })
    }
}
