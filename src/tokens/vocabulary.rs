//! The tokens of one encoding and the tables that find them by their bytes.
//!
//! A token's id is its rank: the lower, the earlier the pair that makes it is merged. Tokens of up to
//! eight bytes are looked up as one integer, of up to sixteen as two, longer ones by their text.
//! Shorter integers are padded with zeros, so tokens that end in a zero byte stand apart.

use super::count::Key;
use super::data::Packed;
use super::seams::Seams;

/// The rank of bytes that are no token.
pub(super) const NONE: u32 = u32::MAX;

/// Everything that is known about an encoding's tokens.
pub(super) struct Vocabulary {
    text: Vec<u8>,
    /// Token `id` is `text[starts[id]..starts[id + 1]]`; empty for the ids that are no token.
    starts: Vec<u32>,
    short: Short,
    medium: Medium,
    long: Long,
    /// Ranks of the tokens of two bytes, by those bytes as a big-endian number.
    pairs: Vec<u32>,
    /// The few tokens that end in a zero byte.
    zero_ended: Vec<u32>,
    /// How many tokens each character of the basic plane has when it stands alone; 0 for surrogates.
    characters: Vec<u8>,
    pub(super) seams: Seams,
}

impl Vocabulary {
    pub(super) fn new(packed: Packed) -> Self {
        let Packed { text, starts } = packed;
        let mut counts = [0_usize; 3];
        let lengths = starts.windows(2).map(|pair| match pair {
            [start, end] => (end - start) as usize,
            _ => 0,
        });
        for length in lengths.filter(|length| *length > 0) {
            let [short, medium, long] = &mut counts;
            *match length {
                ..=8 => short,
                9..=16 => medium,
                _ => long,
            } += 1;
        }
        let [short, medium, long] = counts;
        let mut built = Self {
            short: Short::new(short),
            medium: Medium::new(medium),
            long: Long::new(long),
            pairs: vec![NONE; 1 << 16],
            zero_ended: Vec::new(),
            characters: Vec::new(),
            seams: Seams::default(),
            text,
            starts,
        };
        built.fill();
        built.count_characters();
        built
    }

    /// In the order of the ids: the commoner a token, the nearer to its first place in the tables.
    fn fill(&mut self) {
        let mut start = 0;
        for (id, end) in (0_u32..).zip(self.starts.iter().skip(1)) {
            let token = self.text.get(start..*end as usize).unwrap_or_default();
            start = *end as usize;
            match token {
                [] => continue,
                [first, second] => {
                    let pair = usize::from(u16::from_be_bytes([*first, *second]));
                    if let Some(slot) = self.pairs.get_mut(pair) {
                        *slot = id;
                    }
                }
                _ => {}
            }
            if token.ends_with(&[0]) {
                self.zero_ended.push(id);
            } else if token.len() <= 8 {
                self.short.insert(low_word(token, 0, token.len()), id);
            } else if token.len() <= 16 {
                let low = low_word(token, 0, 8);
                self.medium.insert(low, low_word(token, 8, token.len() - 8), id);
            } else {
                self.long.insert(token, id);
            }
            self.seams.add(token);
        }
    }

    fn count_characters(&mut self) {
        let mut buffer = [0; 4];
        self.characters = (0..=0xFFFF_u32)
            .map(|code| {
                let Some(character) = char::from_u32(code) else { return 0 };
                match *character.encode_utf8(&mut buffer).as_bytes() {
                    [_] => 1,
                    [first, second] if self.pair(first, second) != NONE => 1,
                    [_, _] => 2,
                    [first, second, third] => {
                        let key = low_word(&[first, second, third], 0, 3);
                        let joined = [self.pair(first, second), self.pair(second, third)];
                        match self.short.rank(key) {
                            NONE if joined == [NONE, NONE] => 3,
                            NONE => 2,
                            _ => 1,
                        }
                    }
                    _ => 0,
                }
            })
            .collect();
    }

    /// The bytes of a token; `None` for an id that is none.
    pub(super) fn token(&self, id: u32) -> Option<&[u8]> {
        let at = id as usize;
        let range = *self.starts.get(at)? as usize..*self.starts.get(at.checked_add(1)?)? as usize;
        self.text.get(range).filter(|token| !token.is_empty())
    }

    /// How many ids there are, those that are no token included.
    pub(super) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The rank of `bytes[at..at + length]`, or [`NONE`]. The bytes around it may be read too.
    #[inline(always)]
    pub(super) fn rank(&self, bytes: &[u8], at: usize, length: usize) -> u32 {
        if ends_in_zero(bytes, at, length) {
            return self.rank_of_zero_ended(bytes.get(at..at + length).unwrap_or_default());
        }
        if length <= 8 {
            self.short.rank(low_word(bytes, at, length))
        } else if length <= 16 {
            self.medium.rank(low_word(bytes, at, 8), low_word(bytes, at + 8, length - 8))
        } else {
            self.rank_of_long(bytes.get(at..at + length).unwrap_or_default())
        }
    }

    #[inline(always)]
    pub(super) fn rank_of_key(&self, [low, high]: Key) -> u32 {
        if high == 0 { self.short.rank(low) } else { self.medium.rank(low, high) }
    }

    #[cold]
    fn rank_of_zero_ended(&self, wanted: &[u8]) -> u32 {
        let found = self.zero_ended.iter().find(|id| self.token(**id) == Some(wanted));
        found.copied().unwrap_or(NONE)
    }

    #[inline(never)]
    fn rank_of_long(&self, wanted: &[u8]) -> u32 {
        self.long.candidates(wanted).find(|id| self.token(*id) == Some(wanted)).unwrap_or(NONE)
    }

    #[inline(always)]
    pub(super) fn pair(&self, first: u8, second: u8) -> u32 {
        let pair = usize::from(u16::from_be_bytes([first, second]));
        self.pairs.get(pair).copied().unwrap_or(NONE)
    }

    /// How many tokens a character has that stands alone; 0 if the table does not know.
    #[inline(always)]
    pub(super) fn character(&self, code: u32) -> usize {
        self.characters.get(code as usize).map_or(0, |count| usize::from(*count))
    }
}

/// `bytes[at..at + length]` as a little-endian number, for at most eight bytes.
#[inline(always)]
pub(super) fn low_word(bytes: &[u8], at: usize, length: usize) -> u64 {
    let mask = u64::MAX >> (64 - 8 * length.clamp(1, 8));
    match bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        Some(chunk) => u64::from_le_bytes(*chunk) & mask,
        None => {
            let mut chunk = [0; 8];
            let rest = bytes.get(at..).unwrap_or_default();
            chunk.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(chunk) & mask
        }
    }
}

/// Whether a span's padded key would be that of a shorter one.
#[inline(always)]
pub(super) fn ends_in_zero(bytes: &[u8], at: usize, length: usize) -> bool {
    (at + length).checked_sub(1).and_then(|last| bytes.get(last)) == Some(&0)
}

/// The fractional part of the golden ratio: multiplying by it spreads keys over the high bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// Any odd number without a pattern will do for the second half of a longer key.
const SPREAD_HIGH: u64 = 0xD6E8_FEB8_6659_FD93;

#[inline(always)]
pub(super) fn spread(low: u64, high: u64) -> u64 {
    let mixed = low ^ high.rotate_left(29).wrapping_mul(SPREAD_HIGH);
    (mixed ^ mixed >> 32).wrapping_mul(SPREAD)
}

/// At least three slots a key, so that a look-up in vain ends soon as well.
fn slots(keys: usize) -> usize {
    (keys * 2 + 1).next_power_of_two()
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a part of a hash is one as well")]
fn first_slot(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize
}

/// Open addressing on one integer; a key of 0 is an empty slot.
struct Short {
    /// The halves of the key and the id, side by side so that a look-up touches one cache line.
    slots: Vec<[u32; 3]>,
    shift: u32,
    /// A bit for every key, by its hash: it fits the cache, which the slots do not, and most of what
    /// merging asks for is no token.
    filter: Vec<u64>,
}

/// Bits of the filter for each slot, as a power of two.
const FILTER_BITS: u32 = 2;

impl Short {
    fn new(keys: usize) -> Self {
        let slots = slots(keys);
        let words = (slots << FILTER_BITS).div_ceil(64);
        let shift = 64 - slots.trailing_zeros();
        Self { slots: vec![[0, 0, NONE]; slots], shift, filter: vec![0; words] }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
    fn insert(&mut self, key: u64, id: u32) {
        let hash = spread(key, 0);
        let bit = first_slot(hash, self.shift - FILTER_BITS);
        if let Some(word) = self.filter.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
        let mut slot = first_slot(hash, self.shift);
        while self.slots.get(slot).is_some_and(|[low, high, _]| low | high != 0) {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = [key as u32, (key >> 32) as u32, id];
        }
    }

    #[inline(always)]
    fn rank(&self, key: u64) -> u32 {
        let hash = spread(key, 0);
        let bit = first_slot(hash, self.shift - FILTER_BITS);
        if self.filter.get(bit / 64).is_none_or(|word| word >> (bit % 64) & 1 == 0) {
            return NONE;
        }
        let mut slot = first_slot(hash, self.shift);
        while let Some([low, high, id]) = self.slots.get(slot) {
            let found = u64::from(*high) << 32 | u64::from(*low);
            if found == key {
                return *id;
            }
            if found == 0 {
                break;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        NONE
    }
}

/// Open addressing on two integers; a second of 0 is an empty slot.
struct Medium {
    keys: Vec<[u64; 2]>,
    ids: Vec<u32>,
    shift: u32,
}

impl Medium {
    fn new(keys: usize) -> Self {
        let slots = slots(keys);
        Self {
            keys: vec![[0; 2]; slots],
            ids: vec![NONE; slots],
            shift: 64 - slots.trailing_zeros(),
        }
    }

    fn insert(&mut self, low: u64, high: u64, id: u32) {
        let mut slot = first_slot(spread(low, high), self.shift);
        while self.keys.get(slot).is_some_and(|[_, other]| *other != 0) {
            slot = (slot + 1) & (self.keys.len() - 1);
        }
        if let (Some(place), Some(value)) = (self.keys.get_mut(slot), self.ids.get_mut(slot)) {
            *place = [low, high];
            *value = id;
        }
    }

    #[inline(always)]
    fn rank(&self, low: u64, high: u64) -> u32 {
        let mut slot = first_slot(spread(low, high), self.shift);
        loop {
            match self.keys.get(slot) {
                Some(found) if *found == [low, high] => {
                    return self.ids.get(slot).copied().unwrap_or(NONE);
                }
                Some([_, 0]) | None => return NONE,
                Some(_) => slot = (slot + 1) & (self.keys.len() - 1),
            }
        }
    }
}

/// Open addressing on the hash of the bytes, compared by whoever knows them.
struct Long {
    /// The hash's upper half and the id; an id of [`NONE`] is an empty slot.
    slots: Vec<(u32, u32)>,
    longest: usize,
}

impl Long {
    fn new(keys: usize) -> Self {
        Self { slots: vec![(0, NONE); slots(keys)], longest: 0 }
    }

    fn hash(token: &[u8]) -> u64 {
        let (words, rest) = token.as_chunks::<8>();
        let whole = words
            .iter()
            .fold(token.len() as u64, |hash, word| spread(hash, u64::from_le_bytes(*word)));
        spread(whole, low_word(rest, 0, rest.len()))
    }

    fn insert(&mut self, token: &[u8], id: u32) {
        self.longest = self.longest.max(token.len());
        let hash = Self::hash(token);
        let mut slot = first_slot(hash, 0) & (self.slots.len() - 1);
        while self.slots.get(slot).is_some_and(|(_, other)| *other != NONE) {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = ((hash >> 32) as u32, id);
        }
    }

    /// The ids whose hash is that of `wanted`.
    fn candidates(&self, wanted: &[u8]) -> impl Iterator<Item = u32> {
        let possible = wanted.len() <= self.longest;
        let hash = if possible { Self::hash(wanted) } else { 0 };
        let mask = self.slots.len() - 1;
        (0..if possible { self.slots.len() } else { 0 })
            .map(move |step| first_slot(hash, 0).wrapping_add(step) & mask)
            .map_while(|slot| self.slots.get(slot).copied().filter(|(_, id)| *id != NONE))
            .filter(move |(upper, _)| *upper == (hash >> 32) as u32)
            .map(|(_, id)| id)
    }
}
