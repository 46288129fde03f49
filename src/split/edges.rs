//! GraphBit's overlap of the recursive strategy: each chunk also carries the edges of both neighbours.

use std::ops::Range;

use super::chains::Chain;
use super::chunk::{Chunk, Content};
use super::measure::{CodePoints, boundary_after, boundary_before};
use super::source::Source;

/// A chain of pieces, each of whose chunks is a slice of the text.
pub(super) trait Pieces: Chain {
    /// The text, ready to count in.
    fn source(&self) -> Source<'_>;
}

/// The chunks of a chain with up to `overlap` bytes of the chunk before and the one after, shortened
/// to whole characters. A chunk without neighbours stays as it is.
pub(super) struct Edges<C> {
    pieces: C,
    overlap: usize,
    /// Where the own content of the last chunk handed out stands.
    before: Option<Range<usize>>,
    /// The chunk after that, which was needed for its edge.
    held: Option<Chunk<Content>>,
    made: usize,
}

impl<C: Pieces> Edges<C> {
    pub(super) const fn new(pieces: C, overlap: usize) -> Self {
        Self { pieces, overlap, before: None, held: None, made: 0 }
    }

    fn join(&self, chunk: &mut Chunk<Content>, next: Option<&Chunk<Content>>) {
        let source = self.pieces.source();
        let text = source.text();
        let own = chunk.start_byte..chunk.end_byte;
        let head = self.before.as_ref().map_or(own.start..own.start, |before| {
            let wanted = before.end.saturating_sub(self.overlap).max(before.start);
            boundary_after(text, wanted)..before.end
        });
        let tail = next.map_or(own.end..own.end, |next| {
            let wanted = next.start_byte.saturating_add(self.overlap).min(next.end_byte);
            next.start_byte..boundary_before(text, wanted)
        });
        // An edge of nothing does not widen the span over what lies between.
        let span = if head.is_empty() { own.start } else { head.start }..if tail.is_empty() {
            own.end
        } else {
            tail.end
        };
        let counted = CodePoints::new(source);
        chunk.start_char -= counted.count(span.start..own.start);
        chunk.end_char += counted.count(own.end..span.end);
        chunk.content = if (chunk.start_index, chunk.end_index) == (own.start, own.end)
            && (head.end != own.start && !head.is_empty()
                || tail.start != own.end && !tail.is_empty())
        {
            Content::Edges { head: head.len(), tail: tail.len() }
        } else {
            Content::of(text, &span, [head, own, tail].into_iter())
        };
        (chunk.start_byte, chunk.end_byte) = (span.start, span.end);
    }
}

impl<C: Pieces> Chain for Edges<C> {
    /// The edge of the chunk before, and where the one that is held begins, belong to it.
    type State = (C::State, Option<Range<usize>>, Option<Range<usize>>);

    fn next_chunk(&mut self) -> Option<Chunk<Content>> {
        if self.overlap == 0 {
            return self.pieces.next_chunk();
        }
        let mut chunk = match self.held.take() {
            Some(held) => held,
            None if self.before.is_some() => return None,
            None => self.pieces.next_chunk()?,
        };
        self.held = self.pieces.next_chunk();
        let own = chunk.start_byte..chunk.end_byte;
        if self.before.is_some() || self.held.is_some() {
            self.join(&mut chunk, self.held.as_ref());
            chunk.chunk_index = self.made;
        }
        self.before = Some(own);
        self.made = self.made.wrapping_add(1);
        Some(chunk)
    }

    fn state(&self) -> Self::State {
        let held = self.held.as_ref().map(|held| held.start_byte..held.end_byte);
        (self.pieces.state(), self.before.clone(), held)
    }

    fn place(&self) -> usize {
        self.held.as_ref().map_or_else(|| self.pieces.place(), |held| held.start_byte)
    }

    fn chunk_index(&self) -> usize {
        if self.overlap == 0 { self.pieces.chunk_index() } else { self.made }
    }

    fn code_point(&mut self, byte: usize) -> usize {
        self.pieces.code_point(byte)
    }

    fn shift(&mut self, chunks: usize, code_points: usize) {
        self.made = self.made.wrapping_add(chunks);
        self.pieces.shift(chunks, code_points);
        if let Some(held) = &mut self.held {
            held.start_char += code_points;
            held.end_char += code_points;
        }
    }
}
