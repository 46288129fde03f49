//! Runs of word characters, of white space and of anything else; or the matches of a pattern.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use regex::Regex;

use super::chunk::{Chunk, Count};
use super::measure::{CodePoints, run_end, slice, trimmed};
use super::segments::Segments;
use super::{Split, WIDE_OVERLAP, ZERO_SIZE, compile, refused};
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

    /// The default tokens leave nothing out, so a window is a slice and only the starts of the
    /// tokens that the next window repeats need remembering.
    fn cut_runs<'text>(&self, text: &'text str) -> Vec<Chunk<Cow<'text, str>>> {
        let mut chunks = Chunks::new(text);
        let mut emit = |window: Range<usize>, tokens: usize| {
            if let Some(inner) = trimmed(text, window.clone()) {
                let span = if self.trim { inner } else { window.clone() };
                chunks.push(Cow::Borrowed(slice(text, span.clone())), span, window, tokens);
            }
        };
        let mut repeated = VecDeque::new();
        let (mut start, mut tokens, mut at) = (0, 0, 0);
        while at < text.len() {
            if self.chunk_overlap > 0 {
                if repeated.len() == self.chunk_overlap {
                    repeated.pop_front();
                }
                repeated.push_back(at);
            }
            at = run_end(text, at);
            tokens += 1;
            if tokens == self.chunk_size && at < text.len() {
                emit(start..at, tokens);
                start = repeated.front().copied().unwrap_or(at);
                tokens = self.chunk_overlap;
            }
        }
        if tokens > 0 {
            emit(start..text.len(), tokens);
        }
        chunks.done
    }

    fn cut_matches<'text>(&self, text: &'text str, pattern: &Regex) -> Vec<Chunk<Cow<'text, str>>> {
        let mut tokens = Segments::new(text);
        for token in pattern.find_iter(text) {
            tokens.push(token.range());
        }
        let mut chunks = Chunks::new(text);
        let mut first = 0;
        while first < tokens.len() {
            let end = first.saturating_add(self.chunk_size).min(tokens.len());
            let window = first..end;
            if let Some((content, span)) = tokens.join(&window, self.trim) {
                chunks.push(content, span, tokens.span(&window), window.len());
            }
            first = if end < tokens.len() { end - self.chunk_overlap } else { end };
        }
        chunks.done
    }
}

impl Split for TokenSplitter {
    fn cut<'text>(&self, text: &'text str) -> Vec<Chunk<Cow<'text, str>>> {
        match &self.pattern {
            None => self.cut_runs(text),
            Some(pattern) => self.cut_matches(text, pattern),
        }
    }
}

struct Chunks<'text> {
    points: CodePoints<'text>,
    done: Vec<Chunk<Cow<'text, str>>>,
}

impl<'text> Chunks<'text> {
    fn new(text: &'text str) -> Self {
        Self { points: CodePoints::new(text), done: Vec::new() }
    }

    fn push(
        &mut self,
        content: Cow<'text, str>,
        span: Range<usize>,
        window: Range<usize>,
        tokens: usize,
    ) {
        let chars = self.points.span(&span);
        self.done.push(Chunk {
            content,
            start_index: window.start,
            end_index: window.end,
            start_byte: span.start,
            end_byte: span.end,
            start_char: chars.start,
            end_char: chars.end,
            chunk_index: self.done.len(),
            count: Some(Count::Tokens(tokens)),
            headings: None,
        });
    }
}
