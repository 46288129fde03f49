//! What a splitter returns: the content and where it stands in the source.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::measure::slice;

/// How many units of the splitter's own kind a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// Tokens, white space runs included.
    Tokens(usize),
    /// Sentences.
    Sentences(usize),
}

/// What a chunk holds, as places in the source: nothing is copied before somebody reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// `text[start_byte..end_byte]`.
    Slice,
    /// `text[start_index..end_index]` between the first `head` and the last `tail` bytes of the span:
    /// a piece with its neighbours' edges, from which separators were dropped.
    Edges {
        /// Bytes from `start_byte` on.
        head: usize,
        /// Bytes up to `end_byte`.
        tail: usize,
    },
    /// These byte ranges of the text, one after the other.
    Joined(Box<[Range<usize>]>),
    /// Many small pieces, whose ranges would take more memory than they themselves.
    Owned(Box<str>),
}

impl Content {
    /// The pieces of `text[span]` put together. Neighbours become one piece.
    pub(super) fn of(
        text: &str,
        span: &Range<usize>,
        pieces: impl Iterator<Item = Range<usize>>,
    ) -> Self {
        // An overlap on both sides makes three.
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(3);
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            match joined.last_mut() {
                Some(last) if last.end == piece.start => last.end = piece.end,
                _ => joined.push(piece),
            }
        }
        let bytes: usize = joined.iter().map(ExactSizeIterator::len).sum();
        if joined.iter().eq([span]) {
            Self::Slice
        } else if size_of_val(&*joined) <= bytes {
            Self::Joined(joined.into())
        } else {
            Self::Owned(joined.into_iter().map(|piece| slice(text, piece)).collect())
        }
    }
}

/// A piece of a text. `C` is `String` for owned chunks, `Cow<str>` for borrowed ones, [`Content`]
/// for those that only know their places.
///
/// Two pairs of offsets: `start_index` and `end_index` are GraphBit's UTF-8 byte offsets, which for
/// some strategies count white space that was trimmed; the other four are the smallest span of the
/// source that holds the content, and `text[start_byte..end_byte] == content` whenever the content
/// is a slice of the source. It is not one where text was left out (blank lines between sentences,
/// text between the matches of a token pattern) or an overlap was glued on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chunk<C = String> {
    /// The text of the chunk.
    pub content: C,
    /// First byte, as GraphBit counts.
    pub start_index: usize,
    /// One past the last byte, as GraphBit counts.
    pub end_index: usize,
    /// First byte of the content in the source.
    pub start_byte: usize,
    /// One past the last byte of the content in the source.
    pub end_byte: usize,
    /// First code point of the content in the source.
    pub start_char: usize,
    /// One past the last code point of the content in the source.
    pub end_char: usize,
    /// Position in the result; [`super::RecursiveSplitter`] without overlap counts blank pieces too.
    pub chunk_index: usize,
    /// Tokens or sentences, for the splitters that count them.
    pub count: Option<Count>,
    /// The headings above the chunk, outermost first, joined with `" > "`; Markdown only.
    pub headings: Option<Arc<str>>,
}

impl<C> Chunk<C> {
    /// The same chunk with its content held another way.
    pub fn map<D>(self, change: impl FnOnce(C) -> D) -> Chunk<D> {
        Chunk {
            content: change(self.content),
            start_index: self.start_index,
            end_index: self.end_index,
            start_byte: self.start_byte,
            end_byte: self.end_byte,
            start_char: self.start_char,
            end_char: self.end_char,
            chunk_index: self.chunk_index,
            count: self.count,
            headings: self.headings,
        }
    }
}

impl<C> Chunk<C> {
    /// The three parts of [`Content::Edges`].
    pub(crate) const fn edges(&self, head: usize, tail: usize) -> [Range<usize>; 3] {
        [
            self.start_byte..self.start_byte + head,
            self.start_index..self.end_index,
            self.end_byte - tail..self.end_byte,
        ]
    }
}

impl Chunk<Content> {
    /// What the chunk holds; `text` is the text it was cut from.
    #[must_use]
    pub fn read<'text>(&self, text: &'text str) -> Cow<'text, str> {
        match &self.content {
            Content::Slice => Cow::Borrowed(slice(text, self.start_byte..self.end_byte)),
            Content::Edges { head, tail } => {
                let [first, middle, last] = self.edges(*head, *tail).map(|part| slice(text, part));
                let mut content = String::with_capacity(first.len() + middle.len() + last.len());
                content.extend([first, middle, last]);
                Cow::Owned(content)
            }
            Content::Joined(pieces) => {
                let bytes = pieces.iter().map(ExactSizeIterator::len).sum();
                let mut content = String::with_capacity(bytes);
                content.extend(pieces.iter().map(|piece| slice(text, piece.clone())));
                Cow::Owned(content)
            }
            Content::Owned(content) => Cow::Owned(content.clone().into_string()),
        }
    }
}

impl Chunk<Cow<'_, str>> {
    /// The same chunk with its own copy of the content.
    #[must_use]
    pub fn into_owned(self) -> Chunk {
        self.map(Cow::into_owned)
    }
}
