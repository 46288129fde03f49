//! Windows of a fixed number of code points, cut after white space where there is some.

use std::ops::ControlFlow;

use super::chunk::{Chunk, Content};
use super::measure::{CodePoints, slice, white_space_end};
use super::{Each, Source, Split, WIDE_OVERLAP, ZERO_SIZE, refused};
use crate::error::Result;

/// Splits by code points; no chunk is longer than `chunk_size` of them.
#[derive(Clone, Debug)]
pub struct CharacterSplitter {
    chunk_size: usize,
    chunk_overlap: usize,
    trim: bool,
    whole_words: bool,
}

impl CharacterSplitter {
    /// Chunks of at most `chunk_size` code points, each starting `chunk_overlap` before the cut.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter) when the size is 0 or the overlap not below it.
    pub fn new(chunk_size: usize, chunk_overlap: usize) -> Result<Self> {
        if chunk_size == 0 {
            return Err(refused(ZERO_SIZE));
        }
        if chunk_overlap >= chunk_size {
            return Err(refused(WIDE_OVERLAP));
        }
        Ok(Self { chunk_size, chunk_overlap, trim: true, whole_words: true })
    }

    /// Whether white space at the ends of a chunk is removed (the default).
    #[must_use]
    pub const fn with_trim(mut self, trim: bool) -> Self {
        self.trim = trim;
        self
    }

    /// Whether a cut moves back to the last white space of the window (the default).
    #[must_use]
    pub const fn with_whole_words(mut self, whole_words: bool) -> Self {
        self.whole_words = whole_words;
        self
    }

    /// Code points a chunk.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Code points that neighbours share.
    #[must_use]
    pub const fn chunk_overlap(&self) -> usize {
        self.chunk_overlap
    }
}

impl Split for CharacterSplitter {
    fn visit(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
        let text = source.text();
        let mut made = 0;
        let points = CodePoints::new(source);
        let mut blanks = Blanks::new(text);
        // Window start and unshortened window end, in bytes and in code points. Both only grow, and
        // so each part of the text is counted once, however dense the overlap.
        let (mut start, mut start_char) = (0, 0);
        let (mut full, mut full_char) = (0, 0);
        while start < text.len() {
            let missing = self.chunk_size - (full_char - start_char);
            let (reached, steps) = points.advance(full, missing);
            (full, full_char) = (reached, full_char + steps);

            let mut end = full;
            if self.whole_words
                && full < text.len()
                && let Some(after) = blanks.last_blank_end(start, full)
            {
                end = after;
            }
            let end_char = full_char - points.count(end..full);
            if let Some((first, last)) = blanks.content(start, end) {
                let (first, last) = if self.trim { (first, last) } else { (start, end) };
                let first_char = start_char + points.count(start..first);
                each(Chunk {
                    content: Content::Slice,
                    start_index: first,
                    end_index: last,
                    start_byte: first,
                    end_byte: last,
                    start_char: first_char,
                    end_char: end_char - points.count(last..end),
                    chunk_index: made,
                    count: None,
                    headings: None,
                })?;
                made += 1;
            }
            // Stepping back behind the start would repeat this chunk's tail letter by letter.
            let back = end_char.saturating_sub(self.chunk_overlap);
            if self.chunk_overlap > 0 && end < text.len() && back > start_char {
                // Counted from whichever end is nearer.
                start = if back - start_char < self.chunk_overlap {
                    points.advance(start, back - start_char).0
                } else {
                    points.retreat(end, self.chunk_overlap)
                };
                start_char = back;
            } else {
                (start, start_char) = (end, end_char);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Finds white space at the edges of windows whose starts and ends only move forward, looking at
/// each character once.
struct Blanks<'text> {
    text: &'text str,
    /// End of the last white space before `searched`.
    last_blank_end: usize,
    searched: usize,
    /// First character at or after the last start asked for that is not white space.
    next_solid: usize,
    /// End of the last such character before `trimmed`.
    solid_end: usize,
    trimmed: usize,
}

impl<'text> Blanks<'text> {
    const fn new(text: &'text str) -> Self {
        Self { text, last_blank_end: 0, searched: 0, next_solid: 0, solid_end: 0, trimmed: 0 }
    }

    /// The end of the last white space character of `start..end`.
    fn last_blank_end(&mut self, start: usize, end: usize) -> Option<usize> {
        let from = self.searched.max(start);
        let fresh = slice(self.text, from..end);
        if let Some((at, blank)) = fresh.char_indices().rfind(|(_, one)| one.is_whitespace()) {
            self.last_blank_end = from + at + blank.len_utf8();
        }
        self.searched = end;
        (self.last_blank_end > start).then_some(self.last_blank_end)
    }

    /// `start..end` without white space at its ends; `None` when it is all white space.
    fn content(&mut self, start: usize, end: usize) -> Option<(usize, usize)> {
        if self.next_solid < start || start == 0 {
            self.next_solid = white_space_end(self.text, start);
        }
        let from = self.trimmed.max(start).min(end);
        let fresh = slice(self.text, from..end).trim_end();
        if !fresh.is_empty() {
            self.solid_end = from + fresh.len();
        }
        self.trimmed = end;
        (self.next_solid < end).then_some((self.next_solid, self.solid_end))
    }
}
