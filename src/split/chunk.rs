//! What a splitter returns: the content and where it stands in the source.

use std::borrow::Cow;
use std::sync::Arc;

/// How many units of the splitter's own kind a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// Tokens, white space runs included.
    Tokens(usize),
    /// Sentences.
    Sentences(usize),
}

/// A piece of a text. `C` is `String` for owned chunks and `Cow<str>` for borrowed ones.
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

impl Chunk<Cow<'_, str>> {
    /// The same chunk with its own copy of the content.
    #[must_use]
    pub fn into_owned(self) -> Chunk {
        self.map(Cow::into_owned)
    }
}
