//! A small memory of how many tokens recent pieces had, one a thread and encoding.
//!
//! Words come back again and again. Those of up to fifteen bytes are found by one look at one cache
//! line, be they one token or several; longer ones are compared with what is remembered. Merging takes
//! as long as finding twenty. The memory is of fixed size, 1.7 MB: a new piece takes the place of one
//! that has its key.

use std::cell::Cell;
use std::mem;

use super::count::Key;
use super::encoding::Encoding;
use super::vocabulary::{low_word, spread};

/// Bytes a common piece has at most: as a number of 128 bits it leaves one for the number of tokens.
pub(super) const COMMON: usize = 15;
const COMMON_BITS: u32 = 15;
/// The longest words remembered, in bytes.
const LONGEST: usize = 64;
const LONG_BITS: u32 = 13;
/// Longer pieces up to this length are mostly rules and indentation, few and often the same.
const LONGEST_RUN: usize = 128;
const RUN_BITS: u32 = 6;

/// Two pieces whose keys fall together, the one asked for last first. A piece is two little-endian
/// numbers, padded with zeros, the last byte of which is how many tokens it has.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Pair([[u64; 2]; 2]);

#[derive(Clone, Copy)]
struct Long {
    piece: [u8; LONGEST],
    length: u32,
    tokens: u32,
}

/// 65,536 common pieces, 8,192 longer ones and 64 runs.
pub(super) struct Memo {
    common: Vec<Pair>,
    long: Vec<Long>,
    runs: Vec<(Vec<u8>, usize)>,
}

thread_local! {
    // By encoding; taken while in use, so that a call inside a call starts afresh.
    static IDLE: [Cell<Option<Memo>>; 4] = const { [const { Cell::new(None) }; 4] };
}

/// Runs `work` with the thread's memory for an encoding.
pub(super) fn with<T>(encoding: Encoding, work: impl FnOnce(&mut Memo) -> T) -> T {
    let take = |idle: &[Cell<Option<Memo>>; 4]| idle.get(encoding as usize)?.take();
    // A thread that is going away has no memory any more.
    let mut memo = IDLE.try_with(take).ok().flatten().unwrap_or_else(Memo::new);
    let result = work(&mut memo);
    let _ = IDLE.try_with(|idle| {
        if let Some(place) = idle.get(encoding as usize) {
            place.set(Some(memo));
        }
    });
    result
}

impl Memo {
    fn new() -> Self {
        // All zeros, so that the system hands out pages only when they are first written to.
        let nothing = Long { piece: [0; LONGEST], length: 0, tokens: 0 };
        Self {
            common: vec![Pair::default(); 1 << COMMON_BITS],
            long: vec![nothing; 1 << LONG_BITS],
            runs: vec![(Vec::new(), 0); 1 << RUN_BITS],
        }
    }

    /// The tokens of a common piece; 0 if the memory does not know, which must then [`Memo::learn`].
    #[inline(always)]
    pub(super) fn common(&mut self, [low, high]: Key) -> usize {
        let Some(Pair([first, second])) = self.common.get_mut(common_slot(low, high)) else {
            return 0;
        };
        let tokens = |[known, rest]: [u64; 2]| {
            let rest = rest ^ high;
            if (known ^ low) | rest << 8 == 0 { (rest >> 56) as usize } else { 0 }
        };
        let found = tokens(*first);
        if found != 0 {
            return found;
        }
        mem::swap(first, second);
        tokens(*first)
    }

    /// Remembers a piece that [`Memo::common`] has just been asked for in vain.
    #[inline(always)]
    pub(super) fn learn(&mut self, [low, high]: Key, tokens: usize) {
        if let Some(Pair([first, _])) = self.common.get_mut(common_slot(low, high)) {
            *first = [low, high | (tokens as u64) << 56];
        }
    }

    /// The tokens of a longer piece, from memory.
    #[inline(always)]
    pub(super) fn long(&self, piece: &[u8]) -> Option<usize> {
        if piece.len() <= LONGEST {
            let entry = self.long.get(long_slot(piece, LONG_BITS))?;
            let known = entry.piece.get(..entry.length as usize)?;
            return (known == piece).then_some(entry.tokens as usize);
        }
        if piece.len() > LONGEST_RUN {
            return None;
        }
        let (known, tokens) = self.runs.get(long_slot(piece, RUN_BITS))?;
        (known == piece).then_some(*tokens)
    }

    /// Remembers a piece for [`Memo::long`].
    pub(super) fn learn_long(&mut self, piece: &[u8], tokens: usize) {
        if piece.len() <= LONGEST {
            let Some(entry) = self.long.get_mut(long_slot(piece, LONG_BITS)) else { return };
            entry.piece.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            // Neither can be more than the bytes.
            entry.length = u32::try_from(piece.len()).unwrap_or_default();
            entry.tokens = u32::try_from(tokens).unwrap_or_default();
        } else if piece.len() <= LONGEST_RUN
            && let Some((known, found)) = self.runs.get_mut(long_slot(piece, RUN_BITS))
        {
            *found = tokens;
            known.clear();
            known.extend_from_slice(piece);
        }
    }
}

#[inline(always)]
fn common_slot(low: u64, high: u64) -> usize {
    // Most keys have no second half, so it need not be spread on its own.
    (spread(low ^ high.rotate_left(29), 0) >> (64 - COMMON_BITS)) as usize
}

/// By both ends, the middle and the length: words that differ elsewhere alone are few.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a part of a hash is one as well")]
fn long_slot(piece: &[u8], bits: u32) -> usize {
    let word = |place: usize| low_word(piece, place, 8);
    let ends = word(0) ^ word(piece.len().saturating_sub(8)).rotate_left(23);
    let rest = word(8) ^ word(piece.len() / 2).rotate_left(41);
    (spread(ends, rest ^ piece.len() as u64) >> (64 - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::super::Encoding;

    /// Far more pieces than there are places, so that nearly all of them drive out another.
    #[test]
    fn what_shares_a_place_is_not_mixed_up() {
        let mut chance = fastrand::Rng::with_seed(7);
        let mut words = Vec::new();
        for (count, lengths) in [(150_000, 1..16), (20_000, 16..65), (2_000, 65..140)] {
            for _ in 0..count {
                let length = chance.usize(lengths.clone());
                // Few letters, and the same ones at the ends of long words.
                let inside = (0..length).map(|_| chance.choice(['a', 'e', 'n', 'T', 'é']).unwrap());
                let inside: String = inside.collect();
                words.push(if length < 16 { inside } else { format!("enenenen{inside}nenenene") });
            }
        }
        for encoding in [Encoding::Cl100kBase, Encoding::O200kBase] {
            let ours = encoding.tokenizer();
            // Encoding does not use the memory.
            for text in words.chunks(1_000).map(|some| some.join(" ")) {
                let tokens = ours.encode(&text).len();
                assert_eq!([ours.count(&text), ours.count(&text)], [tokens, tokens]);
            }
        }
    }
}
