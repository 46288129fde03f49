//! The coarsest separator that keeps pieces small enough, then finer ones inside what is too large.
//!
//! Works on byte ranges with an explicit stack: no part is ever copied to measure it, and neither
//! the number of separators nor the depth can exhaust the thread's stack.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem::{Finder, FinderRev};

use super::chunk::Chunk;
use super::measure::{CodePoints, boundary_after, boundary_before, slice, trimmed};
use super::{Split, ZERO_SIZE, refused};
use crate::error::Result;

pub(super) const DEFAULT_SEPARATORS: [&str; 10] =
    ["\n\n", "\n", ". ", "! ", "? ", "; ", ": ", " - ", " ", ""];

/// Splits by a list of separators, coarse to fine. Sizes are UTF-8 bytes.
#[derive(Clone, Debug)]
pub struct RecursiveSplitter {
    chunk_size: usize,
    chunk_overlap: usize,
    separators: Vec<Separator>,
    trim: bool,
}

impl RecursiveSplitter {
    /// Chunks of about `chunk_size` bytes. With an overlap each chunk also carries up to
    /// `chunk_overlap` bytes of both neighbours, so it can hold `chunk_size + 2 * chunk_overlap`;
    /// an overlap above the size is accepted. Separators are literal text; an empty one stands for
    /// cutting every `chunk_size` bytes, between characters. By default paragraphs, lines, sentence
    /// ends, clauses, words, bytes.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter) when the size is 0 or the list empty.
    pub fn new(
        chunk_size: usize,
        chunk_overlap: usize,
        separators: Option<Vec<String>>,
    ) -> Result<Self> {
        if chunk_size == 0 {
            return Err(refused(ZERO_SIZE));
        }
        let separators =
            separators.unwrap_or_else(|| DEFAULT_SEPARATORS.map(str::to_owned).to_vec());
        if separators.is_empty() {
            return Err(refused("At least one separator must be provided"));
        }
        let separators = separators.into_iter().map(Separator::new).collect();
        Ok(Self { chunk_size, chunk_overlap, separators, trim: true })
    }

    /// Whether white space at the ends of a piece is removed (the default).
    #[must_use]
    pub const fn with_trim(mut self, trim: bool) -> Self {
        self.trim = trim;
        self
    }

    /// Bytes a chunk, overlap not counted.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Bytes taken from each neighbour.
    #[must_use]
    pub const fn chunk_overlap(&self) -> usize {
        self.chunk_overlap
    }

    /// The separators, coarse to fine.
    pub fn separators(&self) -> impl ExactSizeIterator<Item = &str> {
        self.separators.iter().map(|separator| separator.text.as_str())
    }

    /// The ranges of `text` between the separators that had to be used.
    fn pieces(&self, text: &str) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let mut stack = Vec::new();
        self.enter(text, 0..text.len(), 0, &mut stack, &mut pieces);
        while let Some(mut level) = stack.pop() {
            let Some(separator) = self.separators.get(level.depth) else { continue };
            loop {
                // Nothing is gathered yet, so separators right here just disappear.
                while separator.is_at(text, &level.rest) {
                    level.rest.start += separator.text.len();
                }
                if level.rest.len() <= self.chunk_size {
                    if !level.rest.is_empty() {
                        pieces.push(level.rest);
                    }
                    break;
                }
                let limit = level.rest.start + self.chunk_size;
                if let Some(cut) = separator.last_before(text, &level.rest, limit) {
                    pieces.push(level.rest.start..cut);
                    level.rest.start = cut + separator.text.len();
                    continue;
                }
                // The next part alone is too large: it goes one level down, and this level resumes
                // behind it.
                let part_end = separator.first_in(text, &level.rest).unwrap_or(level.rest.end);
                let part = level.rest.start..part_end;
                let depth = level.depth + 1;
                if part_end < level.rest.end {
                    level.rest.start = part_end + separator.text.len();
                    stack.push(level);
                }
                self.enter(text, part, depth, &mut stack, &mut pieces);
                break;
            }
        }
        pieces
    }

    /// Takes `range` as it is when it fits or nothing finer is left, else queues it for `depth`.
    fn enter(
        &self,
        text: &str,
        range: Range<usize>,
        depth: usize,
        stack: &mut Vec<Level>,
        pieces: &mut Vec<Range<usize>>,
    ) {
        match self.separators.get(depth) {
            Some(separator) if range.len() > self.chunk_size => {
                if separator.text.is_empty() {
                    self.cut_bytes(text, range, pieces);
                } else {
                    stack.push(Level { rest: range, depth });
                }
            }
            _ => pieces.push(range),
        }
    }

    fn cut_bytes(&self, text: &str, range: Range<usize>, pieces: &mut Vec<Range<usize>>) {
        let mut start = range.start;
        while range.end - start > self.chunk_size {
            let mut cut = boundary_before(text, start + self.chunk_size);
            if cut == start {
                cut = boundary_after(text, start + 1);
            }
            pieces.push(start..cut);
            start = cut;
        }
        pieces.push(start..range.end);
    }

    /// Adds the neighbours' edges to each content, shortened to whole characters.
    fn overlap<'text>(&self, text: &'text str, chunks: &mut [Chunk<Cow<'text, str>>]) {
        let own: Vec<Range<usize>> =
            chunks.iter().map(|chunk| chunk.start_byte..chunk.end_byte).collect();
        let mut points = CodePoints::new(text);
        for (index, chunk) in chunks.iter_mut().enumerate() {
            let middle = chunk.start_byte..chunk.end_byte;
            let before = index.checked_sub(1).and_then(|at| own.get(at)).map(|previous| {
                let wanted = previous.end.saturating_sub(self.chunk_overlap);
                boundary_after(text, wanted.max(previous.start))..previous.end
            });
            let after = own.get(index + 1).map(|next| {
                let wanted = next.start.saturating_add(self.chunk_overlap);
                next.start..boundary_before(text, wanted.min(next.end))
            });
            let parts = [before, Some(middle), after];
            let kept = || parts.iter().flatten().filter(|part| !part.is_empty());
            let span = kept().next().map_or(0, |part| part.start)
                ..kept().next_back().map_or(0, |part| part.end);
            chunk.content = if kept().map(ExactSizeIterator::len).sum::<usize>() < span.len() {
                Cow::Owned(kept().map(|part| slice(text, part.clone())).collect())
            } else {
                Cow::Borrowed(slice(text, span.clone()))
            };
            let chars = points.span(&span);
            (chunk.start_byte, chunk.end_byte) = (span.start, span.end);
            (chunk.start_char, chunk.end_char) = (chars.start, chars.end);
            chunk.chunk_index = index;
        }
    }
}

impl Split for RecursiveSplitter {
    fn cut<'text>(&self, text: &'text str) -> Vec<Chunk<Cow<'text, str>>> {
        let mut points = CodePoints::new(text);
        let mut chunks: Vec<Chunk<Cow<'text, str>>> = Vec::new();
        let mut searched = 0;
        for (index, piece) in self.pieces(text).into_iter().enumerate() {
            let Some(inner) = trimmed(text, piece.clone()) else { continue };
            let span = if self.trim { inner } else { piece };
            // GraphBit looks the content up, and may meet an equal text inside dropped separators.
            let place = searched + first_equal(slice(text, searched..span.end), span.len());
            searched = place + span.len();
            let chars = points.span(&span);
            chunks.push(Chunk {
                content: Cow::Borrowed(slice(text, span.clone())),
                start_index: place,
                end_index: searched,
                start_byte: span.start,
                end_byte: span.end,
                start_char: chars.start,
                end_char: chars.end,
                chunk_index: index,
                count: None,
                headings: None,
            });
        }
        if self.chunk_overlap > 0 && chunks.len() > 1 {
            self.overlap(text, &mut chunks);
        }
        chunks
    }
}

/// The first place in `text` where its own last `length` bytes stand.
fn first_equal(text: &str, length: usize) -> usize {
    let last = text.len() - length;
    let needle = slice(text, last..text.len());
    // Mostly a separator or a blank lies between, and that is looked through faster by hand.
    if last <= 8 {
        let bytes = text.as_bytes();
        let starts =
            |at: &usize| bytes.get(*at..).is_some_and(|b| b.starts_with(needle.as_bytes()));
        return (0..last).find(starts).unwrap_or(last);
    }
    memchr::memmem::find(text.as_bytes(), needle.as_bytes()).unwrap_or(last)
}

/// What is left to cut at one level.
struct Level {
    rest: Range<usize>,
    depth: usize,
}

#[derive(Clone, Debug)]
struct Separator {
    text: String,
    forward: Finder<'static>,
    backward: FinderRev<'static>,
    /// Whether two occurrences can overlap, as in a run of line ends.
    overlaps_itself: bool,
}

impl Separator {
    fn new(text: String) -> Self {
        let bytes = text.as_bytes();
        // Scanning from the left is right for every separator; long ones are not worth the test.
        let overlaps_itself = bytes.len() > 64
            || (1..bytes.len())
                .any(|shift| bytes.get(shift..).is_some_and(|tail| bytes.starts_with(tail)));
        Self {
            forward: Finder::new(bytes).into_owned(),
            backward: FinderRev::new(bytes).into_owned(),
            overlaps_itself,
            text,
        }
    }

    fn is_at(&self, text: &str, range: &Range<usize>) -> bool {
        slice(text, range.clone()).starts_with(&self.text)
    }

    fn first_in(&self, text: &str, range: &Range<usize>) -> Option<usize> {
        let found = self.forward.find(slice(text, range.clone()).as_bytes())?;
        Some(range.start + found)
    }

    /// The last occurrence in `range` that starts at or before `limit`, counting occurrences from
    /// the left without overlap.
    fn last_before(&self, text: &str, range: &Range<usize>, limit: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let window_end = limit.saturating_add(self.text.len()).min(range.end);
        let window = bytes.get(range.start..window_end)?;
        let found = if self.overlaps_itself {
            self.forward.find_iter(window).last()
        } else {
            self.backward.rfind(window)
        };
        found.map(|at| range.start + at)
    }
}
