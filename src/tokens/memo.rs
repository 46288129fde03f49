//! A small memory of how many tokens recent pieces had, one a thread and encoding.
//!
//! Words that are several tokens come back again and again; merging one takes as long as finding ten.
//! The memory is of fixed size: a new piece takes the place of the one that shares its slot.

use std::cell::Cell;

use super::encoding::Encoding;
use super::vocabulary::{ends_in_zero, low_word, spread};

/// The longest words remembered, in bytes.
const LONGEST: usize = 32;
const SLOT_BITS: u32 = 14;
/// Longer pieces up to this length are mostly rules and indentation, few and often the same.
const LONGEST_RUN: usize = 128;
const RUN_BITS: u32 = 6;

#[derive(Clone, Copy, Default)]
struct Entry {
    key: [u64; LONGEST / 8],
    tokens: u32,
}

const COMMON_BITS: u32 = 15;

/// Two pieces whose keys fall together, the one asked for last first.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Pair([[u64; 2]; 2]);

/// Bytes a common piece can have at most.
pub(super) const COMMON: usize = 15;

/// 16,384 words and 64 runs, 650 KB, and 32,768 common pieces, 512 KB.
pub(super) struct Memo {
    /// A piece, padded with zeros, and how many tokens it has in the last byte.
    common: Vec<Pair>,
    entries: Vec<Entry>,
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

/// A piece as the memory knows it.
#[derive(Clone, Copy)]
pub(super) struct Key {
    words: [u64; LONGEST / 8],
    slot: usize,
}

impl Key {
    /// `None` for pieces that are not remembered: long ones, and those whose padded form is that of a
    /// shorter piece.
    #[inline(always)]
    pub(super) fn of(bytes: &[u8], at: usize, length: usize) -> Option<Self> {
        if length == 0 || length > LONGEST || ends_in_zero(bytes, at, length) {
            return None;
        }
        let mut words = [0; LONGEST / 8];
        for (place, word) in (0..length).step_by(8).zip(&mut words) {
            *word = low_word(bytes, at + place, (length - place).min(8));
        }
        let [first, second, third, fourth] = words;
        let hash = spread(first ^ third.rotate_left(17), second ^ fourth.rotate_left(43));
        Some(Self { words, slot: (hash >> (64 - SLOT_BITS)) as usize })
    }
}

#[inline(always)]
fn common_slot(low: u64, high: u64) -> usize {
    (spread(low, high) >> (64 - COMMON_BITS)) as usize
}

impl Memo {
    fn new() -> Self {
        Self {
            common: vec![Pair::default(); 1 << COMMON_BITS],
            entries: vec![Entry::default(); 1 << SLOT_BITS],
            runs: vec![(Vec::new(), 0); 1 << RUN_BITS],
        }
    }

    /// The tokens of a piece of at most [`COMMON`] bytes, none of them zero, given as two little-endian
    /// numbers padded with zeros; 0 if the memory does not know.
    #[inline(always)]
    pub(super) fn common(&mut self, low: u64, high: u64) -> usize {
        let Some(Pair([first, second])) = self.common.get_mut(common_slot(low, high)) else {
            return 0;
        };
        let tokens = |[known, rest]: [u64; 2]| {
            let rest = rest ^ high;
            if (known ^ low) | rest << 8 == 0 { (rest >> 56) as usize } else { 0 }
        };
        match tokens(*first) {
            0 => {
                std::mem::swap(first, second);
                tokens(*first)
            }
            found => found,
        }
    }

    /// Makes a piece known to [`Memo::common`], which has just been asked for it in vain.
    #[inline(always)]
    pub(super) fn put_common(&mut self, low: u64, high: u64, tokens: usize) {
        if let Some(Pair([first, _])) = self.common.get_mut(common_slot(low, high)) {
            *first = [low, high | (tokens as u64) << 56];
        }
    }

    /// The tokens of a piece too long to be a [`Key`], from memory or from `count`.
    pub(super) fn of_run(&mut self, piece: &[u8], count: impl FnOnce() -> usize) -> usize {
        if !(LONGEST + 1..=LONGEST_RUN).contains(&piece.len()) {
            return count();
        }
        let ends = low_word(piece, 0, 8) ^ low_word(piece, piece.len() - 8, 8).rotate_left(23);
        let slot = (spread(ends, piece.len() as u64) >> (64 - RUN_BITS)) as usize;
        let Some((known, tokens)) = self.runs.get_mut(slot) else { return count() };
        if known != piece {
            *tokens = count();
            known.clear();
            known.extend_from_slice(piece);
        }
        *tokens
    }

    #[inline(always)]
    pub(super) fn get(&self, key: &Key) -> Option<usize> {
        let entry = self.entries.get(key.slot).filter(|entry| entry.key == key.words)?;
        Some(entry.tokens as usize)
    }

    #[inline(always)]
    pub(super) fn put(&mut self, key: &Key, tokens: usize) {
        if let (Some(entry), Ok(tokens)) = (self.entries.get_mut(key.slot), u32::try_from(tokens)) {
            *entry = Entry { key: key.words, tokens };
        }
    }
}
