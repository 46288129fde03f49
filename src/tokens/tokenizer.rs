//! Counting, encoding, decoding and cutting text by the tokens of one encoding.

use super::blocks::{self, BLOCK};
use super::classes::{Classes, decode};
use super::data::Packed;
use super::encoding::Encoding;
use super::memo::{self, Memo};
use super::merge::merge;
use super::scan::{self, Cl100k, Gpt2, O200k, Scan};
use super::vocabulary::{NONE, Vocabulary, ends_in_zero, low_word};
use crate::error::{Error, Kind, Result};

/// Token ends looked at behind the one that [`Tokenizer::truncate`] counts to.
const BEYOND: usize = 2;

/// The tables of one [`Encoding`]; get it from [`Encoding::tokenizer`] and share it freely.
pub struct Tokenizer {
    encoding: Encoding,
    vocabulary: Vocabulary,
    classes: &'static Classes,
}

/// A part of a piece between two seams.
struct Group {
    start: usize,
    end: usize,
    /// Its tokens, when it is one character whose number is known; otherwise 0.
    alone: usize,
}

/// The sixteen bytes from `at` on as two little-endian numbers, if there are as many.
#[inline(always)]
fn window(bytes: &[u8], at: usize) -> Option<(u64, u64)> {
    let (low, rest) = bytes.get(at..)?.split_first_chunk::<8>()?;
    let high = rest.first_chunk::<8>()?;
    Some((u64::from_le_bytes(*low), u64::from_le_bytes(*high)))
}

/// A block and what may be read behind it.
const WINDOW: usize = BLOCK + 16;

/// Ideographs in a row that take longer in a block than one by one, in bytes.
const LONG_RUN: usize = 24;

/// By the length of a piece: which bits of its sixteen bytes are its own.
const KEEP: [[u64; 2]; memo::COMMON + 1] = {
    let mut masks = [[0; 2]; memo::COMMON + 1];
    let mut length = 0;
    while length <= memo::COMMON {
        let own = (1_u128 << (8 * length)) - 1;
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
        {
            masks[length] = [own as u64, (own >> 64) as u64];
        }
        length += 1;
    }
    masks
};

/// The end of a text with spaces behind it: it is cut as it would be alone, but for white space.
#[inline(never)]
fn pad(rest: &[u8]) -> [u8; WINDOW] {
    let mut padded = [b' '; WINDOW];
    padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    padded
}

#[inline(always)]
fn at_place(window: &[u8; WINDOW], place: usize) -> (u64, u64) {
    let bytes = window.get(place % BLOCK..).and_then(<[u8]>::first_chunk::<16>);
    let wide = bytes.map_or(0, |bytes| u128::from_le_bytes(*bytes));
    (wide as u64, (wide >> 64) as u64)
}

/// Calls a method compiled for the encoding's pattern.
macro_rules! by_pattern {
    ($self:ident.$method:ident $(::<$flag:literal>)? ($($argument:expr),*)) => {
        match $self.encoding {
            Encoding::Cl100kBase => $self.$method::<Cl100k $(, $flag)?>($($argument),*),
            Encoding::O200kBase => $self.$method::<O200k $(, $flag)?>($($argument),*),
            Encoding::P50kBase | Encoding::R50kBase => {
                $self.$method::<Gpt2 $(, $flag)?>($($argument),*)
            }
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
        let each = |_, _| {};
        let (_, tokens) = memo::with(self.encoding, |memo| {
            by_pattern!(self.walk::<false>(bytes, 0, usize::MAX, memo, each))
        });
        tokens
    }

    /// The ids of the tokens of `text`.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // English has about four bytes a token.
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let end = by_pattern!(self.end_of_piece(bytes, at));
            self.push_ids(bytes, at, end, &mut ids);
            at = end;
        }
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
        memo::with(self.encoding, |memo| {
            by_pattern!(self.walk::<true>(bytes, from, limit, memo, each))
        })
    }

    fn end_of_piece<S: Scan>(&self, bytes: &[u8], at: usize) -> usize {
        if let Some((low, high)) = window(bytes, at) {
            let length = scan::word::<S>(low, high);
            if length != 0 {
                return at + length;
            }
        }
        scan::piece_end::<S>(self.classes, bytes, at)
    }

    fn walk<S: Scan, const LIMITED: bool>(
        &self,
        bytes: &[u8],
        from: usize,
        limit: usize,
        memo: &mut Memo,
        mut each: impl FnMut(usize, usize),
    ) -> (usize, usize) {
        let (mut at, mut total) = (from, 0_usize);
        // The last pieces were long: ideographs are better gone through one by one then.
        let mut runs_on = false;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let padded;
            let window = match rest.first_chunk::<WINDOW>() {
                Some(window) => window,
                None => {
                    padded = pad(rest);
                    &padded
                }
            };
            let mut starts = match window.first_chunk::<BLOCK>() {
                Some(block) if !(runs_on && blocks::begins_wide(block)) => {
                    blocks::starts::<S>(self.classes, block)
                }
                _ => 0,
            };
            if starts == 0 {
                let end = scan::piece_end::<S>(self.classes, bytes, at);
                let tokens = self.count_span(bytes, at, end, memo);
                if LIMITED && tokens > limit - total {
                    break;
                }
                total += tokens;
                runs_on = end - at > LONG_RUN;
                at = end;
                each(at, total);
                continue;
            }
            runs_on = starts & (starts - 1) == 0;
            let mut start = 0;
            while starts != 0 {
                let stop = starts.trailing_zeros() as usize;
                starts &= starts - 1;
                let tokens = match KEEP.get(stop - start) {
                    Some([keep_low, keep_high]) => {
                        let (low, high) = at_place(window, start);
                        let (low, high) = (low & keep_low, high & keep_high);
                        match memo.common(low, high) {
                            0 => {
                                let (at, end) = (at + start, at + stop);
                                self.count_uncommon(bytes, at, end, (low, high), memo)
                            }
                            tokens => tokens,
                        }
                    }
                    None => self.count_span(bytes, at + start, at + stop, memo),
                };
                if LIMITED && tokens > limit - total {
                    return (at + start, total);
                }
                total += tokens;
                each(at + stop, total);
                start = stop;
            }
            at += start;
        }
        (at, total)
    }

    /// The tokens of `bytes[at..end]`, a piece or a part of one between seams.
    #[inline(never)]
    fn count_span(&self, bytes: &[u8], at: usize, end: usize, memo: &mut Memo) -> usize {
        let length = end - at;
        if length > memo::COMMON || ends_in_zero(bytes, at, length) {
            return self.count_long(bytes, at, end, memo);
        }
        let low = low_word(bytes, at, length.min(8));
        let high = if length > 8 { low_word(bytes, at + 8, length - 8) } else { 0 };
        match memo.common(low, high) {
            0 => self.count_uncommon(bytes, at, end, (low, high), memo),
            tokens => tokens,
        }
    }

    /// The tokens of a piece that [`Memo::common`] does not know by its `key`.
    #[inline(never)]
    fn count_uncommon(
        &self,
        bytes: &[u8],
        at: usize,
        end: usize,
        key: (u64, u64),
        memo: &mut Memo,
    ) -> usize {
        let (low, high) = key;
        let tokens = if self.vocabulary.rank_of_key(low, high) == NONE {
            self.count_between_seams(bytes, at, end, memo)
        } else {
            1
        };
        memo.learn(low, high, tokens);
        tokens
    }

    #[inline(never)]
    fn count_long(&self, bytes: &[u8], at: usize, end: usize, memo: &mut Memo) -> usize {
        let piece = bytes.get(at..end).unwrap_or_default();
        if let Some(tokens) = memo.long(piece) {
            return tokens;
        }
        let tokens = self.count_between_seams(bytes, at, end, memo);
        memo.learn_long(piece, tokens);
        tokens
    }

    /// The tokens of what is no token itself.
    fn count_between_seams(&self, bytes: &[u8], at: usize, end: usize, memo: &mut Memo) -> usize {
        if bytes.get(at..end).is_some_and(<[u8]>::is_ascii) {
            return self.count_merged(bytes, at, end);
        }
        let mut tokens = 0;
        self.groups(bytes, at, end, |group| {
            tokens += if group.alone != 0 {
                group.alone
            } else if (group.start, group.end) == (at, end) {
                self.count_merged(bytes, at, end)
            } else {
                self.count_span(bytes, group.start, group.end, memo)
            };
        });
        tokens
    }

    fn count_merged(&self, bytes: &[u8], at: usize, end: usize) -> usize {
        // Those that have a key were looked up by it.
        let length = end - at;
        let looked_up = length <= memo::COMMON && !ends_in_zero(bytes, at, length);
        if !looked_up && self.vocabulary.rank(bytes, at, length) != NONE {
            return 1;
        }
        let mut tokens = 0;
        merge(&self.vocabulary, bytes, at, end, |_| tokens += 1);
        tokens
    }

    /// Cuts a span where no token of the vocabulary can reach across.
    fn groups(&self, bytes: &[u8], at: usize, end: usize, mut each: impl FnMut(Group)) {
        let (mut start, mut place) = (at, at);
        let mut alone = 0;
        let mut before = None;
        while place < end {
            let (code, width) = decode(bytes, place);
            let first = bytes.get(place).copied().unwrap_or_default();
            if let Some((previous, last)) = before {
                let ascii = (code | previous) < 0x80;
                if ascii || self.vocabulary.seams.joins(previous, last, code, first) {
                    alone = 0;
                } else {
                    each(Group { start, end: place, alone });
                    start = place;
                    alone = self.vocabulary.character(code);
                }
            } else {
                alone = self.vocabulary.character(code);
            }
            place += width;
            before = Some((code, bytes.get(place - 1).copied().unwrap_or_default()));
        }
        if start < end {
            each(Group { start, end, alone });
        }
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
