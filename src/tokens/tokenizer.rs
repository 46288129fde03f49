//! Counting, encoding, decoding and cutting text by the tokens of one encoding.

use super::classes::Classes;
use super::count::{Group, Key, Visit};
use super::data::Packed;
use super::encoding::Encoding;
use super::memo;
use super::merge::merge;
use super::scan::{self, Cl100k, Gpt2, O200k, Scan};
use super::vocabulary::{NONE, Vocabulary};
use crate::error::{Error, Kind, Result};

/// Token ends looked at behind the one that [`Tokenizer::truncate`] counts to.
const BEYOND: usize = 2;

/// The tables of one [`Encoding`]; get it from [`Encoding::tokenizer`] and share it freely.
pub struct Tokenizer {
    encoding: Encoding,
    pub(super) vocabulary: Vocabulary,
    pub(super) classes: &'static Classes,
}

/// Collects the ids of tokens.
struct Ids<'a> {
    tokenizer: &'a Tokenizer,
    bytes: &'a [u8],
    ids: &'a mut Vec<u32>,
}

impl Visit for Ids<'_> {
    #[inline(always)]
    fn short(&mut self, at: usize, end: usize, key: Key) -> bool {
        match self.tokenizer.vocabulary.rank_of_key(key) {
            NONE => self.other(at, end),
            id => {
                self.ids.push(id);
                true
            }
        }
    }

    #[inline(always)]
    fn other(&mut self, at: usize, end: usize) -> bool {
        self.tokenizer.push_ids(self.bytes, at, end, self.ids);
        true
    }
}

/// Calls a method compiled for the encoding's pattern.
macro_rules! by_pattern {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.encoding {
            Encoding::Cl100kBase => $self.$method::<Cl100k>($($argument),*),
            Encoding::O200kBase => $self.$method::<O200k>($($argument),*),
            Encoding::P50kBase | Encoding::R50kBase => $self.$method::<Gpt2>($($argument),*),
        }
    };
}

impl Tokenizer {
    pub(super) fn new(encoding: Encoding) -> Self {
        let vocabulary = Vocabulary::new(Packed::of(encoding));
        Self { encoding, vocabulary, classes: Classes::get() }
    }

    /// The encoding whose tokens these are.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// How many tokens `text` has.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        memo::with(self.encoding, |memo| by_pattern!(self.count_all(bytes, memo)))
    }

    /// The ids of the tokens of `text`.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // English has about four bytes a token.
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        by_pattern!(self.push_all(text.as_bytes(), &mut ids));
        ids
    }

    /// The bytes of the tokens; a character may be spread over several, so they need not be UTF-8.
    ///
    /// Ids of special tokens such as `<|endoftext|>` stand for their names.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an id that is no token of the encoding.
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for (place, id) in ids.iter().enumerate() {
            let special = || self.encoding.special().iter().find(|(known, _)| known == id);
            let token = self.vocabulary.token(*id);
            let token = token.or_else(|| special().map(|(_, name)| name.as_bytes()));
            bytes.extend_from_slice(token.ok_or_else(|| {
                Error::new(
                    Kind::Validation,
                    format!(
                        "ids[{place}]: {id} is no token of {}, whose ids are below {}",
                        self.encoding,
                        self.vocabulary.len()
                    ),
                )
            })?);
        }
        Ok(bytes)
    }

    /// The longest beginning of `text` that ends where a token does, in whole characters, and has at
    /// most `tokens` tokens when it is counted alone.
    ///
    /// Takes time in proportion to what it returns, not to `text`, unless a single word is longer.
    #[must_use]
    pub fn truncate<'text>(&self, text: &'text str, tokens: usize) -> &'text str {
        if tokens == 0 {
            return "";
        }
        // The ends of the last few tokens that can matter, from the piece in which the limit falls.
        let (start, before) = self.advance(text, 0, tokens, |_, _| {});
        if start == text.len() {
            return text;
        }
        let mut ends = vec![start];
        let mut at = start;
        // White space at the very end may be fewer tokens than in the middle of a text.
        while ends.len() <= tokens - before + BEYOND && at < text.len() {
            let end = self.piece_end(text, at);
            self.ends_within(text.as_bytes(), at, end, |end| ends.push(end));
            at = end;
        }
        ends.truncate(tokens - before + BEYOND + 1);
        let regular = tokens - before;
        let fits = |end: usize| {
            let candidate = text.get(..end)?;
            (self.count(candidate) <= tokens).then_some(candidate)
        };
        for (place, end) in ends.iter().enumerate().rev() {
            let after_space =
                text.get(..*end).is_some_and(|all| all.ends_with(char::is_whitespace));
            if (place <= regular || after_space)
                && let Some(found) = fits(*end)
            {
                return found;
            }
        }
        // A beginning can have more tokens than it has inside the text, when a word's second half
        // decides where its first half is cut. Rare, so whole pieces are given up one by one.
        let mut pieces = vec![0];
        self.advance(text, 0, before, |end, _| pieces.push(end));
        let mut step = 1;
        while let Some(end) = pieces.last() {
            if let Some(found) = fits(*end) {
                return found;
            }
            pieces.truncate(pieces.len().saturating_sub(step));
            step *= 2;
        }
        ""
    }

    /// Where the piece that starts at `from` ends: the encoding never merges across this. The length
    /// of the text if `from` is not inside it.
    #[must_use]
    pub fn piece_end(&self, text: &str, from: usize) -> usize {
        by_pattern!(self.end_of_piece(text.as_bytes(), from))
    }

    /// How many tokens one piece has.
    #[must_use]
    pub fn count_piece(&self, piece: &str) -> usize {
        let bytes = piece.as_bytes();
        memo::with(self.encoding, |memo| self.count_span(bytes, 0, bytes.len(), memo))
    }

    /// Appends the ends of the tokens of one piece, in bytes from its start. They may fall inside
    /// characters.
    pub fn token_ends(&self, piece: &str, ends: &mut Vec<usize>) {
        self.ends_within(piece.as_bytes(), 0, piece.len(), |end| ends.push(end));
    }

    /// Walks the pieces from `from` on for as long as their tokens together are at most `limit`, and
    /// calls `each` with the end of every piece and the tokens so far.
    ///
    /// Returns where it stopped, the start of the piece that is too much or the end of the text, and
    /// the tokens up to there. `from` must be where a piece starts: 0, or an end of an earlier one.
    pub fn advance(
        &self,
        text: &str,
        from: usize,
        limit: usize,
        each: impl FnMut(usize, usize),
    ) -> (usize, usize) {
        let bytes = text.as_bytes();
        memo::with(self.encoding, |memo| by_pattern!(self.walk(bytes, from, limit, memo, each)))
    }

    fn end_of_piece<S: Scan>(&self, bytes: &[u8], at: usize) -> usize {
        scan::piece_end::<S>(self.classes, bytes, at)
    }

    fn push_all<S: Scan>(&self, bytes: &[u8], ids: &mut Vec<u32>) {
        self.pieces::<S>(bytes, 0, &mut Ids { tokenizer: self, bytes, ids });
    }

    /// Calls `each` with the end of every token of `bytes[at..end]`.
    fn ends_within(&self, bytes: &[u8], at: usize, end: usize, mut each: impl FnMut(usize)) {
        if at >= end {
            return;
        }
        if self.vocabulary.rank(bytes, at, end - at) != NONE {
            return each(end);
        }
        if bytes.get(at..end).is_some_and(<[u8]>::is_ascii) {
            return merge(&self.vocabulary, bytes, at, end, each);
        }
        self.groups(bytes, at, end, |Group { start, end, .. }| {
            if self.vocabulary.rank(bytes, start, end - start) == NONE {
                merge(&self.vocabulary, bytes, start, end, &mut each);
            } else {
                each(end);
            }
        });
    }

    fn push_ids(&self, bytes: &[u8], at: usize, end: usize, ids: &mut Vec<u32>) {
        let whole = self.vocabulary.rank(bytes, at, end - at);
        if whole != NONE {
            return ids.push(whole);
        }
        let mut start = at;
        self.ends_within(bytes, at, end, |stop| {
            ids.push(self.vocabulary.rank(bytes, start, stop - start));
            start = stop;
        });
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("encoding", &self.encoding).finish_non_exhaustive()
    }
}
