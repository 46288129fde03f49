//! The postings of some texts, in one allocation: terms in order, each followed by where it stands.
//!
//! A record is the length of its term (one byte), the term, the number of texts that hold it, and for each of
//! these its distance from the one before and the number of times; numbers are written seven bits a byte.

use std::collections::HashMap;

use super::words::{Purpose, each_term};

/// An index of texts, numbered from 0 in the order given.
#[derive(Debug, Default)]
pub struct Segment {
    /// Terms of each text.
    lengths: Vec<u32>,
    /// Where the records start, in the order of their terms.
    starts: Vec<usize>,
    records: Vec<u8>,
}

/// A term while texts are read.
#[derive(Default)]
struct Growing {
    holding: u32,
    /// The text that was read last when the term was seen, and how often so far.
    row: u32,
    times: u32,
    /// The text of the last posting written.
    written: u32,
    postings: Vec<u8>,
}

impl Growing {
    fn seen_in(&mut self, row: u32) {
        if self.times > 0 && self.row != row {
            self.write();
        }
        self.row = row;
        self.times = self.times.saturating_add(1);
    }

    fn write(&mut self) {
        put(self.row - self.written, &mut self.postings);
        put(self.times, &mut self.postings);
        self.holding += 1;
        self.written = self.row;
        self.times = 0;
    }
}

impl Segment {
    /// Indexes `texts`, of which there may be four thousand million.
    #[must_use]
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut growing: HashMap<Box<str>, Growing> = HashMap::new();
        let mut lengths = Vec::new();
        for (row, text) in (0..u32::MAX).zip(texts) {
            let mut length = 0_u32;
            each_term(text, Purpose::Index, |term| {
                length = length.saturating_add(1);
                match growing.get_mut(term) {
                    Some(known) => known.seen_in(row),
                    None => growing.entry(Box::from(term)).or_default().seen_in(row),
                }
            });
            lengths.push(length);
        }
        let mut terms: Vec<(Box<str>, Growing)> = growing.into_iter().collect();
        terms.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut segment =
            Self { lengths, starts: Vec::with_capacity(terms.len()), ..Self::default() };
        for (term, mut growing) in terms {
            growing.write();
            segment.starts.push(segment.records.len());
            segment.records.push(u8::try_from(term.len()).unwrap_or(u8::MAX));
            segment.records.extend_from_slice(term.as_bytes());
            put(growing.holding, &mut segment.records);
            segment.records.extend_from_slice(&growing.postings);
        }
        segment.records.shrink_to_fit();
        segment
    }

    /// Bytes it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.lengths.as_slice())
            + size_of_val(self.starts.as_slice())
            + self.records.len()
    }

    /// Number of texts.
    pub(super) fn rows(&self) -> u32 {
        u32::try_from(self.lengths.len()).unwrap_or(u32::MAX)
    }

    /// Terms of all texts together.
    pub(super) fn tokens(&self) -> f64 {
        self.lengths.iter().map(|length| f64::from(*length)).sum()
    }

    pub(super) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Number of texts that hold `term`.
    pub(super) fn holding(&self, term: &str) -> u32 {
        self.find(term).and_then(|mut record| take(&mut record)).unwrap_or(0)
    }

    /// The texts that hold `term`, in order, each with the number of times.
    pub(super) fn postings(&self, term: &str) -> impl Iterator<Item = (usize, u32)> {
        let mut record = self.find(term).unwrap_or_default();
        let holding = take(&mut record).unwrap_or(0);
        let mut row = 0_usize;
        (0..holding).map_while(move |_| {
            row += usize::try_from(take(&mut record)?).ok()?;
            Some((row, take(&mut record)?))
        })
    }

    /// The bytes behind a term.
    fn find(&self, term: &str) -> Option<&[u8]> {
        let record = |start: usize| {
            let (length, rest) = self.records.get(start..)?.split_first()?;
            rest.split_at_checked(usize::from(*length))
        };
        let place = self
            .starts
            .binary_search_by(|start| {
                record(*start).map(|(known, _)| known).cmp(&Some(term.as_bytes()))
            })
            .ok()?;
        record(*self.starts.get(place)?).map(|(_, behind)| behind)
    }
}

fn put(mut number: u32, bytes: &mut Vec<u8>) {
    while let rest @ 1.. = number >> 7 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number = rest;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}
