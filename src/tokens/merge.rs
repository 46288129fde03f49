//! Byte-pair merging of one piece: the neighbouring pair of the lowest rank becomes one token, the
//! leftmost first, until no neighbours make a token.
//!
//! Short pieces keep their ranks in an array small enough to search each time; longer ones keep them
//! in a heap, so that a megabyte without a space takes n log n steps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vocabulary::{NONE, Vocabulary};

/// Places of the small array; pieces are shorter, so that a place and its end both fit six bits.
const PLACES: usize = 64;
const PLACE_BITS: u32 = 6;

/// Calls `each` with the end of every token of `bytes[at..end]`, in order.
pub(super) fn merge(
    vocabulary: &Vocabulary,
    bytes: &[u8],
    at: usize,
    end: usize,
    each: impl FnMut(usize),
) {
    if end - at < PLACES {
        merge_short(vocabulary, bytes, at, end - at, each);
    } else {
        merge_long(vocabulary, bytes, at, end, each);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "places and their ends have six bits")]
fn merge_short(
    vocabulary: &Vocabulary,
    bytes: &[u8],
    at: usize,
    length: usize,
    mut each: impl FnMut(usize),
) {
    /// Rank and place in one number, so that the smallest is the leftmost of the lowest rank.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a place has six bits")]
    fn packed(rank: u32, place: usize) -> i32 {
        if rank == NONE { i32::MAX } else { ((rank << PLACE_BITS) | place as u32).cast_signed() }
    }
    // `queue[i]`: what the token at `i` and its neighbour would make.
    let mut queue = [i32::MAX; PLACES];
    let (mut next, mut before) = ([0_u8; PLACES], [0_u8; PLACES]);
    let piece = bytes.get(at..at + length).unwrap_or_default();
    for (place, (slot, pair)) in queue.iter_mut().zip(piece.windows(2)).enumerate() {
        if let [first, second] = pair {
            *slot = packed(vocabulary.pair(*first, *second), place);
        }
    }
    for (place, (next, before)) in (0_u8..).zip(next.iter_mut().zip(&mut before)) {
        *next = place + 1;
        *before = place.wrapping_sub(1);
    }
    let mask = PLACES - 1;
    let link = |links: &[u8; PLACES], place: usize| {
        links.get(place & mask).copied().map_or(0, usize::from)
    };
    let (blocks, _) = queue.as_chunks_mut::<8>();
    let used = length.div_ceil(8);
    loop {
        let mut lowest = [i32::MAX; 8];
        for block in blocks.iter().take(used) {
            lowest.iter_mut().zip(block).for_each(|(lowest, one)| *lowest = (*lowest).min(*one));
        }
        let best = lowest.iter().copied().fold(i32::MAX, i32::min);
        if best == i32::MAX {
            break;
        }
        let left = best as usize & mask;
        let right = link(&next, left);
        let after = link(&next, right);
        if let Some(slot) = next.get_mut(left) {
            *slot = after as u8;
        }
        if let Some(slot) = before.get_mut(after & mask) {
            *slot = left as u8;
        }
        let mut put = |place: usize, value: i32| {
            let block = blocks.get_mut(place >> 3 & 7);
            if let Some(slot) = block.and_then(|block| block.get_mut(place & 7)) {
                *slot = value;
            }
        };
        put(right, i32::MAX);
        put(
            left,
            if after < length {
                packed(vocabulary.rank(bytes, at + left, link(&next, after) - left), left)
            } else {
                i32::MAX
            },
        );
        if left > 0 {
            let first = link(&before, left);
            put(first, packed(vocabulary.rank(bytes, at + first, after - first), first));
        }
    }
    let mut place = 0;
    while place < length {
        place = link(&next, place).max(place + 1);
        each(at + place);
    }
}

fn merge_long(
    vocabulary: &Vocabulary,
    bytes: &[u8],
    at: usize,
    end: usize,
    mut each: impl FnMut(usize),
) {
    let piece = bytes.get(at..end).unwrap_or_default();
    let length = piece.len();
    // By the place a token starts at: what it would make with its neighbour, where that starts, and
    // where the one before starts.
    let mut ranks: Vec<u32> = piece
        .windows(2)
        .map(|pair| match pair {
            [first, second] => vocabulary.pair(*first, *second),
            _ => NONE,
        })
        .chain([NONE])
        .collect();
    let mut next: Vec<usize> = (1..=length).collect();
    let mut before: Vec<usize> = (0..=length).map(|place| place.saturating_sub(1)).collect();
    let mut heap: BinaryHeap<Reverse<(u32, usize)>> = ranks
        .iter()
        .enumerate()
        .filter(|(_, rank)| **rank != NONE)
        .map(|(place, rank)| Reverse((*rank, place)))
        .collect();
    let link = |links: &[usize], place: usize| links.get(place).copied().unwrap_or(length);
    while let Some(Reverse((rank, left))) = heap.pop() {
        // What was merged since it was pushed makes something else by now.
        if ranks.get(left) != Some(&rank) {
            continue;
        }
        let right = link(&next, left);
        let after = link(&next, right);
        if let Some(slot) = next.get_mut(left) {
            *slot = after;
        }
        if let Some(slot) = before.get_mut(after) {
            *slot = left;
        }
        let mut put = |place: usize, rank: u32| {
            if let Some(slot) = ranks.get_mut(place) {
                *slot = rank;
            }
            if rank != NONE {
                heap.push(Reverse((rank, place)));
            }
        };
        put(right, NONE);
        let joined = if after < length {
            vocabulary.rank(bytes, at + left, link(&next, after) - left)
        } else {
            NONE
        };
        put(left, joined);
        if left > 0 {
            let first = link(&before, left);
            put(first, vocabulary.rank(bytes, at + first, after - first));
        }
    }
    let mut place = 0;
    while place < length {
        place = link(&next, place).max(place + 1);
        each(at + place);
    }
}
