//! Measuring text: code points, character classes, boundaries. All of it linear and panic-free.

use std::ops::Range;

use super::source::Source;
use crate::lanes::BLOCK;

/// `text[range]`, or nothing where the range is not one of `text`.
pub(super) fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

/// Whether a byte is a character that is not white space. Mostly that settles it.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0..=8 | 14..=31 | 33..=127)
}

/// `range` without white space at its ends; `None` when nothing is left.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = slice(text, range.clone());
    if let [first, .., last] = part.as_bytes()
        && is_plain(*first)
        && is_plain(*last)
    {
        return Some(range);
    }
    let without_tail = part.trim_end();
    let content = without_tail.trim_start();
    let end = range.start + without_tail.len();
    (!content.is_empty()).then_some(end - content.len()..end)
}

/// Whether `text[range]` is nothing but white space.
pub(super) fn is_blank(text: &str, range: &Range<usize>) -> bool {
    let first = text.as_bytes().get(range.start);
    let plain = !range.is_empty() && first.is_some_and(|first| is_plain(*first));
    !plain && slice(text, range.clone()).trim_start().is_empty()
}

/// The nearest character boundary at or before `at`.
pub(super) fn boundary_before(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The nearest character boundary at or after `at`.
pub(super) fn boundary_after(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at.min(text.len())
}

const fn is_start(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

/// Code points that start in `block`.
fn starts_in(block: &[u8; BLOCK]) -> usize {
    usize::from(block.iter().map(|byte| u8::from(is_start(*byte))).sum::<u8>())
}

/// Translates byte offsets to code point offsets; cheap as long as the offsets stay close together.
pub(super) struct CodePoints<'text> {
    text: &'text str,
    ascii: bool,
    byte: usize,
    code_point: usize,
}

impl<'text> CodePoints<'text> {
    pub(super) const fn new(source: Source<'text>) -> Self {
        Self { text: source.text(), ascii: source.is_ascii(), byte: 0, code_point: 0 }
    }

    /// Counts from `byte`, whose offset is 0, on.
    pub(super) const fn from_place(source: Source<'text>, byte: usize) -> Self {
        Self { text: source.text(), ascii: source.is_ascii(), byte, code_point: 0 }
    }

    /// Adds to all offsets.
    pub(super) const fn shift(&mut self, code_points: usize) {
        self.code_point += code_points;
    }

    /// Code points in `range`.
    pub(super) fn count(&self, range: Range<usize>) -> usize {
        if self.ascii {
            range.end.saturating_sub(range.start)
        } else {
            slice(self.text, range).chars().count()
        }
    }

    /// The code point offset of `byte`.
    pub(super) fn offset(&mut self, byte: usize) -> usize {
        if byte >= self.byte {
            self.code_point += self.count(self.byte..byte);
        } else {
            self.code_point -= self.count(byte..self.byte);
        }
        self.byte = byte;
        self.code_point
    }

    /// The code point offsets of a span.
    pub(super) fn span(&mut self, span: &Range<usize>) -> Range<usize> {
        self.offset(span.start)..self.offset(span.end)
    }

    /// The byte offset `steps` code points before `from`, or 0.
    pub(super) fn retreat(&self, from: usize, steps: usize) -> usize {
        if self.ascii {
            return from.saturating_sub(steps);
        }
        let bytes = self.text.as_bytes().get(..from).unwrap_or_default();
        let (_, blocks) = bytes.as_rchunks::<BLOCK>();
        let (mut seen, mut at) = (0, from);
        for block in blocks.iter().rev() {
            let starts = starts_in(block);
            if seen + starts >= steps {
                break;
            }
            seen += starts;
            at -= BLOCK;
        }
        while at > 0 && seen < steps {
            at = boundary_before(self.text, at - 1);
            seen += 1;
        }
        at
    }

    /// The byte offset `steps` code points after `from`, and how many there really were.
    pub(super) fn advance(&self, from: usize, steps: usize) -> (usize, usize) {
        let rest = self.text.len() - from;
        if self.ascii {
            let taken = steps.min(rest);
            return (from + taken, taken);
        }
        let bytes = self.text.as_bytes().get(from..).unwrap_or_default();
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        let (mut seen, mut at) = (0, 0);
        for block in blocks {
            let starts = starts_in(block);
            if seen + starts > steps {
                break;
            }
            seen += starts;
            at += BLOCK;
        }
        for byte in bytes.get(at..).unwrap_or_default() {
            if is_start(*byte) {
                if seen == steps {
                    break;
                }
                seen += 1;
            }
            at += 1;
        }
        (from + at, seen)
    }
}

/// Where bytes of some kinds stand, looked for a block at a time.
pub(super) struct Marks<'text, F> {
    bytes: &'text [u8],
    /// The marks of a block, one bit a byte. The zeros that fill the last block must not be marks.
    find: F,
    base: usize,
    mask: u64,
}

impl<'text, F: Fn(&[u8; BLOCK]) -> u64> Marks<'text, F> {
    pub(super) fn new(text: &'text str, find: F) -> Self {
        let mut marks = Self { bytes: text.as_bytes(), find, base: 0, mask: 0 };
        marks.look();
        marks
    }

    #[inline]
    fn look(&mut self) {
        self.mask = block_at(self.bytes, self.base).map_or(0, |block| (self.find)(&block));
    }

    /// The first mark at or after `at`, which may only grow from call to call.
    #[inline]
    pub(super) fn next_from(&mut self, at: usize) -> Option<usize> {
        if at >= self.base + BLOCK {
            self.base = at - at % BLOCK;
            self.look();
        }
        if at > self.base {
            self.mask &= u64::MAX << (at - self.base);
        }
        while self.mask == 0 {
            self.base += BLOCK;
            if self.base >= self.bytes.len() {
                // Stays within reach of the arithmetic above, however often it is asked again.
                self.base -= BLOCK;
                return None;
            }
            self.look();
        }
        Some(self.base + self.mask.trailing_zeros() as usize)
    }
}

/// The block that starts at `at`, filled up with zeros; `None` behind the end.
#[inline]
pub(super) fn block_at(bytes: &[u8], at: usize) -> Option<[u8; BLOCK]> {
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    if let Some(block) = rest.first_chunk() {
        return Some(*block);
    }
    let mut block = [0; BLOCK];
    block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    Some(block)
}

/// Where white space that starts at `at` ends.
pub(super) fn white_space_end(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let end = at + blanks;
    match rest.get(blanks) {
        Some(byte) if !byte.is_ascii() => {
            text.len() - slice(text, end..text.len()).trim_start().len()
        }
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn advance_and_offset_agree_with_char_indices(text in "[a-zé世🚀\u{301} ]{0,300}", steps in 0_usize..320, skip in 0_usize..40) {
            let mut points = CodePoints::new(Source::new(&text));
            let places: Vec<usize> =
                text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let total = places.len() - 1;
            let from = skip.min(total);
            let (at, taken) = points.advance(places[from], steps);
            prop_assert_eq!(taken, steps.min(total - from));
            prop_assert_eq!(at, places[from + taken]);
            prop_assert_eq!(points.offset(at), from + taken);
            prop_assert_eq!(points.offset(places[from]), from);
            prop_assert_eq!(points.retreat(places[from], steps), places[from.saturating_sub(steps)]);
        }

        #[test]
        fn trimmed_is_what_trim_says(text in "[ \u{3000}\n\u{1c}a世]{0,12}") {
            let whole = 0..text.len();
            prop_assert_eq!(is_blank(&text, &whole), text.trim().is_empty());
            for start in text.char_indices().map(|(at, _)| at).chain([text.len()]) {
                let blank = text[start..].len() - text[start..].trim_start().len();
                prop_assert_eq!(white_space_end(&text, start), start + blank);
                let range = trimmed(&text, start..text.len());
                prop_assert_eq!(range.map_or("", |range| &text[range]), text[start..].trim());
            }
        }
    }
}
