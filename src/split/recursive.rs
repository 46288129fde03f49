//! The coarsest separator that keeps pieces small enough, then finer ones inside what is too large.
//!
//! Works on byte ranges with an explicit stack: no part is ever copied to measure it, and neither
//! the number of separators nor the depth can exhaust the thread's stack.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::thread::Scope;

use memchr::memmem::{self, Finder, FinderRev};
use memchr::{memchr_iter, memrchr};

use super::chains::{Chain, ahead, divided};
use super::chunk::{Chunk, Content};
use super::edges::Edges;
use super::measure::{CodePoints, boundary_after, boundary_before, slice, trimmed};
use super::presence::Presence;
use super::{Each, Portions, Source, Split, ZERO_SIZE, refused};
use crate::error::Result;

pub(super) const DEFAULT_SEPARATORS: [&str; 10] =
    ["\n\n", "\n", ". ", "! ", "? ", "; ", ": ", " - ", " ", ""];

/// The separators that a text needs, coarse to fine.
type Levels<'text> = Arc<[&'text Separator]>;

/// A text that needs more is not divided among threads: each state would hold them all.
const MOST_LEVELS: usize = 32;

/// Splits by a list of separators, coarse to fine. Sizes are UTF-8 bytes.
#[derive(Clone, Debug)]
pub struct RecursiveSplitter {
    chunk_size: usize,
    chunk_overlap: usize,
    separators: Vec<Separator>,
    presence: Option<Presence>,
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
        let used =
            separators.iter().position(String::is_empty).map_or(separators.len(), |at| at + 1);
        let presence =
            Presence::new(separators.get(..used).unwrap_or_default().iter().map(String::as_str));
        let separators = separators.into_iter().map(Separator::new).collect();
        Ok(Self { chunk_size, chunk_overlap, separators, presence, trim: true })
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

    /// The separators that a text needs, up to an empty one.
    fn levels(&self, text: &str) -> Levels<'_> {
        let Some(presence) = &self.presence else { return self.separators.iter().collect() };
        presence.of(text).into_iter().filter_map(|at| self.separators.get(at)).collect()
    }

    fn chain<'text>(
        &self,
        source: Source<'text>,
        levels: Levels<'text>,
        from: usize,
    ) -> RecursiveChain<'text> {
        RecursiveChain {
            pieces: Pieces {
                text: source.text(),
                chunk_size: self.chunk_size,
                levels,
                stack: Vec::new(),
                uncut: from..from,
            },
            source,
            trim: self.trim,
            points: CodePoints::from_place(source, from),
            searched: from,
            made: 0,
        }
    }

    /// A chain over all of the text.
    fn whole<'text>(&self, source: Source<'text>, levels: Levels<'text>) -> RecursiveChain<'text> {
        let none_left = levels.len();
        let mut chain = self.chain(source, levels, 0);
        let range = 0..source.text().len();
        if range.len() <= self.chunk_size {
            // Fits as it is, with the separators at its ends.
            chain.pieces.stack.push(Level { rest: range, depth: none_left });
        } else {
            chain.pieces.enter(range, 0);
        }
        chain
    }

    /// A chain that begins behind the coarsest separator in `near`, as if all parts around that were
    /// too large.
    fn inside<'text>(
        &self,
        source: Source<'text>,
        levels: &Levels<'text>,
        near: &Range<usize>,
    ) -> Option<RecursiveChain<'text>> {
        let text = source.text();
        let usable = || levels.iter().take_while(|separator| !separator.text.is_empty());
        let near = &(boundary_after(text, near.start)..boundary_before(text, near.end));
        let (depth, start) = usable().enumerate().find_map(|(depth, separator)| {
            Some((depth, separator.first_in(text, near)? + separator.text.len()))
        })?;
        let mut chain = self.chain(source, Arc::clone(levels), start);
        let mut end = text.len();
        for (outer, separator) in usable().enumerate().take(depth) {
            if let Some(found) = separator.first_in(text, &(start..end)) {
                let rest = found + separator.text.len()..end;
                chain.pieces.stack.push(Level { rest, depth: outer });
                end = found;
            }
        }
        chain.pieces.stack.push(Level { rest: start..end, depth });
        Some(chain)
    }
}

impl Split for RecursiveSplitter {
    fn visit(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
        let levels = self.levels(source.text());
        Edges::new(self.whole(source, levels), self.chunk_overlap).run(each)
    }

    fn portions<'scope>(
        &'scope self,
        source: Source<'scope>,
        workers: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> Portions<'scope> {
        let levels = self.levels(source.text());
        if levels.len() > MOST_LEVELS {
            return ahead(scope, move |each| self.visit(source, each));
        }
        let with_edges = |pieces| Edges::new(pieces, self.chunk_overlap);
        let whole = with_edges(self.whole(source, Arc::clone(&levels)));
        let start = |near| self.inside(source, &levels, &near).map(with_edges);
        divided(source.text().len(), workers, whole, start, scope)
    }
}

/// The ranges of a text between the separators that had to be used, found one after the other.
struct Pieces<'text> {
    text: &'text str,
    chunk_size: usize,
    levels: Levels<'text>,
    stack: Vec<Level>,
    /// What the empty separator has still to cut.
    uncut: Range<usize>,
}

impl Pieces<'_> {
    fn next_piece(&mut self) -> Option<Range<usize>> {
        loop {
            if !self.uncut.is_empty() {
                return Some(self.cut_bytes());
            }
            let level = self.stack.last_mut()?;
            let Some(separator) = self.levels.get(level.depth) else {
                // Nothing finer is left.
                return self.stack.pop().map(|level| level.rest);
            };
            // Nothing is gathered yet, so separators right here just disappear.
            while separator.is_at(self.text, &level.rest) {
                level.rest.start += separator.text.len();
            }
            if level.rest.len() <= self.chunk_size {
                let rest = level.rest.clone();
                self.stack.pop();
                if rest.is_empty() {
                    continue;
                }
                return Some(rest);
            }
            let limit = level.rest.start + self.chunk_size;
            if let Some(cut) = separator.last_before(self.text, &level.rest, limit) {
                let piece = level.rest.start..cut;
                level.rest.start = cut + separator.text.len();
                return Some(piece);
            }
            // The next part alone is too large: it goes one level down, and this level resumes
            // behind it.
            let part_end = separator.first_in(self.text, &level.rest).unwrap_or(level.rest.end);
            let part = level.rest.start..part_end;
            let depth = level.depth + 1;
            if part_end < level.rest.end {
                level.rest.start = part_end + separator.text.len();
            } else {
                self.stack.pop();
            }
            if part.len() <= self.chunk_size {
                return Some(part);
            }
            self.enter(part, depth);
        }
    }

    /// Queues `range`, which is too large, for `depth`.
    fn enter(&mut self, range: Range<usize>, depth: usize) {
        if self.levels.get(depth).is_some_and(|separator| separator.text.is_empty()) {
            self.uncut = range;
        } else {
            self.stack.push(Level { rest: range, depth });
        }
    }

    fn cut_bytes(&mut self) -> Range<usize> {
        let start = self.uncut.start;
        if self.uncut.len() <= self.chunk_size {
            self.uncut.start = self.uncut.end;
            return start..self.uncut.end;
        }
        let mut cut = boundary_before(self.text, start + self.chunk_size);
        if cut == start {
            cut = boundary_after(self.text, start + 1);
        }
        self.uncut.start = cut;
        start..cut
    }
}

/// The chunks of a text before the overlap is added.
struct RecursiveChain<'text> {
    source: Source<'text>,
    pieces: Pieces<'text>,
    trim: bool,
    points: CodePoints<'text>,
    /// Where the search for the next content begins.
    searched: usize,
    made: usize,
}

impl super::edges::Pieces for RecursiveChain<'_> {
    fn source(&self) -> Source<'_> {
        self.source
    }
}

impl Chain for RecursiveChain<'_> {
    type State = (Vec<Level>, Option<Range<usize>>, usize);

    fn next_chunk(&mut self) -> Option<Chunk<Content>> {
        let text = self.pieces.text;
        loop {
            let piece = self.pieces.next_piece()?;
            let chunk_index = self.made;
            self.made = self.made.wrapping_add(1);
            let Some(inner) = trimmed(text, piece.clone()) else { continue };
            let span = if self.trim { inner } else { piece };
            // GraphBit looks the content up, and may meet an equal text inside dropped separators.
            let place =
                self.searched + first_equal(slice(text, self.searched..span.end), span.len());
            self.searched = place + span.len();
            let chars = self.points.span(&span);
            return Some(Chunk {
                content: Content::Slice,
                start_index: place,
                end_index: self.searched,
                start_byte: span.start,
                end_byte: span.end,
                start_char: chars.start,
                end_char: chars.end,
                chunk_index,
                count: None,
                headings: None,
            });
        }
    }

    fn state(&self) -> Self::State {
        // Where nothing is left to cut, it does not matter where that was.
        let uncut = Some(self.pieces.uncut.clone()).filter(|uncut| !uncut.is_empty());
        (self.pieces.stack.clone(), uncut, self.searched)
    }

    fn place(&self) -> usize {
        if !self.pieces.uncut.is_empty() {
            return self.pieces.uncut.start;
        }
        self.pieces.stack.last().map_or(self.pieces.text.len(), |level| level.rest.start)
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

/// The first place in `text` where its own last `length` bytes stand.
fn first_equal(text: &str, length: usize) -> usize {
    let last = text.len() - length;
    let needle = slice(text, last..text.len()).as_bytes();
    let bytes = text.as_bytes();
    let Some(first) = needle.first() else { return 0 };
    // Mostly a separator or an indentation lies between. The general search prepares itself for longer
    // than looking through that takes.
    if last <= WIDE_GAP {
        let starts = |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.starts_with(needle));
        let gap = bytes.get(..last).unwrap_or_default();
        return memchr_iter(*first, gap).find(starts).unwrap_or(last);
    }
    memmem::find(bytes, needle).unwrap_or(last)
}

/// What is left to cut at one level.
#[derive(Clone, PartialEq, Eq)]
struct Level {
    rest: Range<usize>,
    depth: usize,
}

/// Bytes between two pieces up to which they are looked through by hand: each may cost a comparison of
/// the whole piece, in a text made for it.
const WIDE_GAP: usize = 256;

/// Bytes up to which a separator is looked for by its first byte.
const SHORT: usize = 4;

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
        } else if self.text.len() <= SHORT {
            self.last_short(window)
        } else {
            self.backward.rfind(window)
        };
        found.map(|at| range.start + at)
    }

    /// The last occurrence in `window`, looked for by the first byte: for `. ` and its like that
    /// is rare, and the general search prepares itself for longer than this takes.
    fn last_short(&self, window: &[u8]) -> Option<usize> {
        let separator = self.text.as_bytes();
        let mut end = (window.len() + 1).checked_sub(separator.len())?;
        loop {
            let at = memrchr(*separator.first()?, window.get(..end)?)?;
            if window.get(at..)?.starts_with(separator) {
                return Some(at);
            }
            end = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_chains_meet_soon() {
        let paragraph = |at: usize| format!("{}. End\n\n", "some words ".repeat(at * 7 % 31));
        let text: String = (0..2000).map(paragraph).collect();
        let source = Source::new(&text);
        let splitter = RecursiveSplitter::new(200, 0, None).unwrap();
        let levels = splitter.levels(&text);
        let mut whole = splitter.whole(source, Arc::clone(&levels));
        let mut other = splitter.inside(source, &levels, &(text.len() / 2..text.len())).unwrap();
        while whole.place() < other.place() {
            whole.next_chunk();
        }
        let ahead = |chain: &mut RecursiveChain<'_>| {
            (0..50).map(|_| (chain.next_chunk().is_some(), chain.state())).collect::<Vec<_>>()
        };
        let (ours, theirs) = (ahead(&mut whole), ahead(&mut other));
        assert!(ours.iter().any(|state| state.0 && theirs.contains(state)));
    }
}
