//! Going from piece to piece, and the number of tokens of each.
//!
//! Nearly all pieces are found in a block with their neighbours and looked up by sixteen bytes, in
//! about thirty instructions and without a branch that goes now this way, now that. Everything else
//! takes the long way: the exact scanner, the seams, the merging.

use super::blocks;
use super::classes::decode;
use super::memo::{self, Memo};
use super::merge::merge;
use super::scan::{self, Scan};
use super::tokenizer::Tokenizer;
use super::vocabulary::{NONE, ends_in_zero, low_word};
use crate::lanes::BLOCK;

/// A block and what may be read behind it.
const WINDOW: usize = BLOCK + 16;

/// A wide character's piece that takes longer in a block than alone, in bytes.
const LONG_RUN: usize = 24;

/// A piece of up to [`memo::COMMON`] bytes, the last not zero, as two little-endian numbers padded
/// with zeros.
pub(super) type Key = [u64; 2];

/// By the length of a piece: which bits of its sixteen bytes are its own.
const KEEP: [Key; memo::COMMON + 1] = {
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

/// A part of a piece between two seams.
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Its tokens, when it is one character whose number is known; otherwise 0.
    alone: usize,
}

/// The end of a text with spaces behind it. No piece before them that is given by a block changes:
/// white space at the end of a block is always left open.
#[inline(never)]
fn padded(rest: &[u8]) -> [u8; WINDOW] {
    let mut window = [b' '; WINDOW];
    window.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    window
}

/// The sixteen bytes from `place` on.
#[inline(always)]
fn at_place(window: &[u8; WINDOW], place: usize) -> Key {
    let bytes = window.get(place % BLOCK..).and_then(<[u8]>::first_chunk::<16>);
    match bytes.map(|bytes| bytes.as_chunks::<8>().0) {
        Some([low, high]) => [u64::from_le_bytes(*low), u64::from_le_bytes(*high)],
        _ => [0; 2],
    }
}

/// What is done with the pieces of a text. `false` ends it before the piece.
pub(super) trait Visit {
    /// A piece found in a block that is short enough for a key, nearly all are.
    fn short(&mut self, at: usize, end: usize, key: Key) -> bool;
    /// Any other.
    fn other(&mut self, at: usize, end: usize) -> bool;
}

/// Sums up tokens.
struct Sum<'a> {
    tokenizer: &'a Tokenizer,
    bytes: &'a [u8],
    memo: &'a mut Memo,
    total: usize,
}

impl Visit for Sum<'_> {
    #[inline(always)]
    fn short(&mut self, at: usize, end: usize, key: Key) -> bool {
        self.total += self.tokenizer.count_key(self.bytes, at, end, key, self.memo);
        true
    }

    #[inline(always)]
    fn other(&mut self, at: usize, end: usize) -> bool {
        self.total += self.tokenizer.count_span(self.bytes, at, end, self.memo);
        true
    }
}

/// Sums up tokens as long as there are not too many, and says where it is.
struct Steps<'a, F> {
    sum: Sum<'a>,
    limit: usize,
    each: F,
}

impl<F: FnMut(usize, usize)> Steps<'_, F> {
    #[inline(always)]
    fn step(&mut self, before: usize, end: usize) -> bool {
        if self.sum.total > self.limit {
            self.sum.total = before;
            return false;
        }
        (self.each)(end, self.sum.total);
        true
    }
}

impl<F: FnMut(usize, usize)> Visit for Steps<'_, F> {
    #[inline(always)]
    fn short(&mut self, at: usize, end: usize, key: Key) -> bool {
        let before = self.sum.total;
        self.sum.short(at, end, key) && self.step(before, end)
    }

    #[inline(always)]
    fn other(&mut self, at: usize, end: usize) -> bool {
        let before = self.sum.total;
        self.sum.other(at, end) && self.step(before, end)
    }
}

impl Tokenizer {
    /// Shows `visit` the pieces from `from` on. Returns the start of the one it ended at, else the end
    /// of the text.
    #[inline(always)]
    pub(super) fn pieces<S: Scan>(
        &self,
        bytes: &[u8],
        from: usize,
        visit: &mut impl Visit,
    ) -> usize {
        let mut at = from;
        // Blocks were of little use lately: pieces that begin with wide characters are taken alone.
        let mut alone = false;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let copy;
            let window = match rest.first_chunk::<WINDOW>() {
                Some(window) => window,
                None => {
                    copy = padded(rest);
                    &copy
                }
            };
            let mut starts = match window.first_chunk::<BLOCK>() {
                Some(block) if !(alone && blocks::begins_wide(block)) => {
                    alone = true;
                    blocks::starts::<S>(self.classes, block)
                }
                _ => {
                    alone = false;
                    0
                }
            };
            if starts == 0 {
                let end = scan::piece_end::<S>(self.classes, bytes, at);
                if !visit.other(at, end) {
                    return at;
                }
                alone |= end - at > LONG_RUN;
                at = end;
                continue;
            }
            alone = starts & (starts - 1) == 0;
            let mut start = 0;
            while starts != 0 {
                let stop = starts.trailing_zeros() as usize;
                starts &= starts - 1;
                let goes_on = match KEEP.get(stop - start) {
                    Some([keep_low, keep_high]) => {
                        let [low, high] = at_place(window, start);
                        visit.short(at + start, at + stop, [low & keep_low, high & keep_high])
                    }
                    None => visit.other(at + start, at + stop),
                };
                if !goes_on {
                    return at + start;
                }
                start = stop;
            }
            at += start;
        }
        at
    }

    /// [`Tokenizer::count`] for one pattern.
    #[inline(never)]
    pub(super) fn count_all<S: Scan>(&self, bytes: &[u8], memo: &mut Memo) -> usize {
        let mut sum = Sum { tokenizer: self, bytes, memo, total: 0 };
        self.pieces::<S>(bytes, 0, &mut sum);
        sum.total
    }

    /// [`Tokenizer::advance`] for one pattern.
    #[inline(never)]
    pub(super) fn walk<S: Scan>(
        &self,
        bytes: &[u8],
        from: usize,
        limit: usize,
        memo: &mut Memo,
        each: impl FnMut(usize, usize),
    ) -> (usize, usize) {
        let sum = Sum { tokenizer: self, bytes, memo, total: 0 };
        let mut steps = Steps { sum, limit, each };
        let end = self.pieces::<S>(bytes, from, &mut steps);
        (end, steps.sum.total)
    }

    #[inline(always)]
    fn count_key(&self, bytes: &[u8], at: usize, end: usize, key: Key, memo: &mut Memo) -> usize {
        match memo.common(key) {
            0 => self.count_uncommon(bytes, at, end, key, memo),
            tokens => tokens,
        }
    }

    /// The tokens of `bytes[at..end]`, a piece or a part of one between seams.
    // Not inlined, like the next two: what the loop over the pieces keeps in registers matters more.
    #[inline(never)]
    pub(super) fn count_span(&self, bytes: &[u8], at: usize, end: usize, memo: &mut Memo) -> usize {
        let length = end - at;
        if length > memo::COMMON || ends_in_zero(bytes, at, length) {
            return self.count_long(bytes, at, end, memo);
        }
        let low = low_word(bytes, at, length.min(8));
        let high = if length > 8 { low_word(bytes, at + 8, length - 8) } else { 0 };
        self.count_key(bytes, at, end, [low, high], memo)
    }

    /// The tokens of a piece that [`Memo::common`] does not know by its `key`.
    #[inline(never)]
    fn count_uncommon(
        &self,
        bytes: &[u8],
        at: usize,
        end: usize,
        key: Key,
        memo: &mut Memo,
    ) -> usize {
        let tokens = if self.vocabulary.rank_of_key(key) == NONE {
            self.count_between_seams(bytes, at, end, memo)
        } else {
            1
        };
        memo.learn(key, tokens);
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

    /// The tokens of a piece that has no key, or none that is a token's.
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
    pub(super) fn groups(&self, bytes: &[u8], at: usize, end: usize, mut each: impl FnMut(Group)) {
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
}
