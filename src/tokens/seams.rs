//! Where a piece may be cut before it is merged: between two characters that no token spans.
//!
//! A token that crosses a boundary between characters contains at least the last byte of the one and
//! the first of the other. Where no token of the vocabulary does, the two sides are merged as if they
//! stood alone, so a run of ideographs falls into groups of mostly one character. The filter may see
//! a token where there is none, which costs a little time, but never the other way round.

use super::classes::decode;
use super::vocabulary::spread;

const PAIR_BITS: u32 = 19;
const HALF_BITS: u32 = 13;

/// The boundaries some token crosses.
pub(super) struct Seams {
    /// Hashed pairs of whole characters.
    pairs: Vec<u64>,
    /// Hashed pairs of a whole character and the first byte of the next, or the last byte of the one
    /// before: tokens may begin and end inside characters.
    halves: Vec<u64>,
    /// The same with neither whole: bit `first & 63` of word `last & 63`.
    ends: [u64; 64],
}

impl Default for Seams {
    fn default() -> Self {
        let words = |bits: u32| vec![0; 1 << (bits - 6)];
        Self { pairs: words(PAIR_BITS), halves: words(HALF_BITS), ends: [0; 64] }
    }
}

/// A whole character, or the part of one at the edge of a token.
#[derive(Clone, Copy)]
enum Part {
    Whole(u32),
    Half(u8),
}

impl Seams {
    /// Notes the boundaries inside a token.
    pub(super) fn add(&mut self, token: &[u8]) {
        if token.is_ascii() {
            return;
        }
        let continues = |byte: &u8| byte & 0xC0 == 0x80;
        let mut at = token.iter().take_while(|byte| continues(byte)).count();
        let mut before = token.get(..at).and_then(<[u8]>::last).map(|last| Part::Half(*last));
        while let Some(first) = token.get(at) {
            let width = match first {
                ..0x80 => 1,
                ..0xE0 => 2,
                ..0xF0 => 3,
                _ => 4,
            };
            let whole = at + width <= token.len();
            let part = if whole { Part::Whole(decode(token, at).0) } else { Part::Half(*first) };
            if let Some(before) = before {
                self.join(before, part);
            }
            before = Some(part);
            at += width;
        }
    }

    fn join(&mut self, before: Part, after: Part) {
        let (words, bit) = match (before, after) {
            (Part::Whole(before), Part::Whole(after)) => (&mut self.pairs, pair(before, after)),
            (Part::Whole(before), Part::Half(first)) => (&mut self.halves, open_end(before, first)),
            (Part::Half(last), Part::Whole(after)) => (&mut self.halves, open_start(last, after)),
            (Part::Half(last), Part::Half(first)) => {
                if let Some(word) = self.ends.get_mut(usize::from(last & 63)) {
                    *word |= 1 << (first & 63);
                }
                return;
            }
        };
        if let Some(word) = words.get_mut((bit >> 6) as usize) {
            *word |= 1 << (bit & 63);
        }
    }

    /// Whether some token may span the boundary between two characters: their code points, the last
    /// byte of the one and the first of the other.
    #[inline(always)]
    pub(super) fn joins(&self, before: u32, last: u8, after: u32, first: u8) -> bool {
        let bit = |words: &[u64], bit: u64| {
            words.get((bit >> 6) as usize).is_none_or(|word| word >> (bit & 63) & 1 != 0)
        };
        let ends = self.ends.get(usize::from(last & 63)).is_none_or(|w| w >> (first & 63) & 1 != 0);
        bit(&self.pairs, pair(before, after))
            | bit(&self.halves, open_end(before, first))
            | bit(&self.halves, open_start(last, after))
            | ends
    }
}

#[inline(always)]
fn pair(before: u32, after: u32) -> u64 {
    spread(u64::from(before) << 32 | u64::from(after), 0) >> (64 - PAIR_BITS)
}

#[inline(always)]
fn open_end(before: u32, first: u8) -> u64 {
    spread(u64::from(before) << 8 | u64::from(first), 0) >> (64 - HALF_BITS)
}

#[inline(always)]
fn open_start(last: u8, after: u32) -> u64 {
    spread(u64::from(after) << 8 | u64::from(last) | 1 << 40, 0) >> (64 - HALF_BITS)
}
