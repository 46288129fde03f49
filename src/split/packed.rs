//! A chunk in half the memory, for those who keep many.
//!
//! A list of chunks is mostly made of their numbers, and nearly all of those fit 32 bits. What does
//! not fit (a text of gigabytes, a content of many pieces, headings) is kept as it is.
//!
//! ```
//! use graphbit::split::{CharacterSplitter, Packed, Source, Split};
//!
//! let chunks = CharacterSplitter::new(10, 0)?.places(Source::new("some text to cut"));
//! let packed: Vec<Packed> = chunks.iter().cloned().map(Packed::from).collect();
//! assert_eq!(*packed[1].chunk(), chunks[1]);
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::borrow::Cow;
use std::ops::Range;

use super::chunk::{Chunk, Content, Count};

/// A [`Chunk<Content>`] that takes less memory.
#[derive(Clone, Debug)]
pub struct Packed(Form);

#[derive(Clone, Debug)]
enum Form {
    Small(Small),
    Large(Box<Chunk<Content>>),
}

#[derive(Clone, Debug)]
struct Small {
    start_byte: usize,
    start_char: usize,
    bytes: u32,
    chars: u32,
    /// From `start_index` to `start_byte`, and from `end_byte` to `end_index`.
    before: i32,
    after: i32,
    head: u32,
    tail: u32,
    chunk_index: u32,
    count: u32,
    content: Kind,
    counted: Counted,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Slice,
    Edges,
}

#[derive(Clone, Copy, Debug)]
enum Counted {
    Nothing,
    Tokens,
    Sentences,
}

impl Small {
    /// `None` when something does not fit.
    fn of(chunk: &Chunk<Content>) -> Option<Self> {
        let (content, head, tail) = match chunk.content {
            Content::Slice => (Kind::Slice, 0, 0),
            Content::Edges { head, tail } => (Kind::Edges, head, tail),
            Content::Joined(_) | Content::Owned(_) => return None,
        };
        if chunk.headings.is_some() {
            return None;
        }
        let (counted, count) = match chunk.count {
            None => (Counted::Nothing, 0),
            Some(Count::Tokens(count)) => (Counted::Tokens, count),
            Some(Count::Sentences(count)) => (Counted::Sentences, count),
        };
        let offset = |from: usize, to: usize| {
            let (from, to) = (i64::try_from(from).ok()?, i64::try_from(to).ok()?);
            i32::try_from(to - from).ok()
        };
        let length = |from: usize, to: usize| u32::try_from(to.checked_sub(from)?).ok();
        Some(Self {
            start_byte: chunk.start_byte,
            start_char: chunk.start_char,
            bytes: length(chunk.start_byte, chunk.end_byte)?,
            chars: length(chunk.start_char, chunk.end_char)?,
            before: offset(chunk.start_index, chunk.start_byte)?,
            after: offset(chunk.end_byte, chunk.end_index)?,
            head: u32::try_from(head).ok()?,
            tail: u32::try_from(tail).ok()?,
            chunk_index: u32::try_from(chunk.chunk_index).ok()?,
            count: u32::try_from(count).ok()?,
            content,
            counted,
        })
    }

    #[inline]
    fn chunk(&self) -> Chunk<Content> {
        let end_byte = self.start_byte + self.bytes as usize;
        let count = self.count as usize;
        Chunk {
            content: match self.content {
                Kind::Slice => Content::Slice,
                Kind::Edges => {
                    Content::Edges { head: self.head as usize, tail: self.tail as usize }
                }
            },
            start_index: self.start_byte.saturating_add_signed(-(self.before as isize)),
            end_index: end_byte.saturating_add_signed(self.after as isize),
            start_byte: self.start_byte,
            end_byte,
            start_char: self.start_char,
            end_char: self.start_char + self.chars as usize,
            chunk_index: self.chunk_index as usize,
            count: match self.counted {
                Counted::Nothing => None,
                Counted::Tokens => Some(Count::Tokens(count)),
                Counted::Sentences => Some(Count::Sentences(count)),
            },
            headings: None,
        }
    }
}

impl From<Chunk<Content>> for Packed {
    fn from(chunk: Chunk<Content>) -> Self {
        Self(Small::of(&chunk).map_or_else(|| Form::Large(Box::new(chunk)), Form::Small))
    }
}

impl Packed {
    /// Where the content stands in the text, in code points, if it is a slice of that.
    #[inline]
    #[must_use]
    pub fn slice(&self) -> Option<Range<usize>> {
        match &self.0 {
            Form::Small(Small { content: Kind::Slice, start_char, chars, .. }) => {
                Some(*start_char..start_char + *chars as usize)
            }
            Form::Small(_) => None,
            Form::Large(chunk) => {
                (chunk.content == Content::Slice).then_some(chunk.start_char..chunk.end_char)
            }
        }
    }

    /// The chunk as it was.
    #[inline]
    #[must_use]
    pub fn chunk(&self) -> Cow<'_, Chunk<Content>> {
        match &self.0 {
            Form::Small(small) => Cow::Owned(small.chunk()),
            Form::Large(chunk) => Cow::Borrowed(chunk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Numbers small, at the edges of 32 bits, and beyond.
    fn numbers() -> impl Strategy<Value = usize> {
        let edge = prop::sample::select(vec![
            0,
            i32::MAX as usize,
            1 << 31,
            u32::MAX as usize,
            1 << 32,
            usize::MAX >> 1,
        ]);
        (edge, 0_usize..9).prop_map(|(edge, more)| edge + more)
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            places in prop::array::uniform8(numbers()),
            (kind, pieces) in (0_usize..5, prop::collection::vec(0_usize..9, 4)),
            headings in prop::option::of("[a-c]{0,3}"),
        ) {
            let [a, b, c, d, start_index, end_index, chunk_index, count] = places;
            let (start_byte, end_byte) = (a.min(b), a.max(b));
            let content = match kind {
                0 | 1 => Content::Slice,
                2 => Content::Edges { head: pieces[0], tail: c },
                3 => Content::Joined(vec![pieces[0]..pieces[1], pieces[2]..pieces[3]].into()),
                _ => Content::Owned("made of many".into()),
            };
            let chunk = Chunk {
                content,
                start_index,
                end_index,
                start_byte,
                end_byte,
                start_char: c.min(d),
                end_char: c.max(d),
                chunk_index,
                count: [None, Some(Count::Tokens(count)), Some(Count::Sentences(count))][kind % 3],
                headings: headings.map(Arc::from),
            };
            let packed = Packed::from(chunk.clone());
            let slice = chunk.start_char..chunk.end_char;
            prop_assert_eq!(packed.slice(), (chunk.content == Content::Slice).then_some(slice));
            prop_assert_eq!(packed.chunk().into_owned(), chunk);
        }
    }

    #[test]
    fn it_is_half_as_large() {
        assert!(size_of::<Packed>() * 2 <= size_of::<Chunk<Content>>());
    }
}
