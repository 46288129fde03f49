//! Measuring text: code points, character classes, boundaries. All of it linear and panic-free.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

/// `text[range]`, or nothing where the range is not one of `text`.
pub(super) fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

/// `range` without white space at its ends; `None` when nothing is left.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let without_tail = slice(text, range.clone()).trim_end();
    let content = without_tail.trim_start();
    let end = range.start + without_tail.len();
    (!content.is_empty()).then_some(end - content.len()..end)
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

/// Translates byte offsets to code point offsets; cheap as long as the offsets stay close together.
pub(super) struct CodePoints<'text> {
    text: &'text str,
    ascii: bool,
    byte: usize,
    code_point: usize,
}

impl<'text> CodePoints<'text> {
    pub(super) fn new(text: &'text str) -> Self {
        Self { text, ascii: text.is_ascii(), byte: 0, code_point: 0 }
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
        let start = self.offset(span.start);
        start..start + self.count(span.clone())
    }

    /// The byte offset `steps` code points before `from`, or the start of the text.
    pub(super) fn retreat(&self, from: usize, steps: usize) -> usize {
        if self.ascii {
            return from.saturating_sub(steps);
        }
        let before = self.text.as_bytes().get(..from).unwrap_or_default();
        let starts = before.iter().enumerate().rev().filter(|(_, byte)| **byte & 0xC0 != 0x80);
        steps.checked_sub(1).map_or(from, |last| starts.map(|(at, _)| at).nth(last).unwrap_or(0))
    }

    /// The byte offset `steps` code points after `from`, and how many there really were.
    pub(super) fn advance(&self, from: usize, steps: usize) -> (usize, usize) {
        let rest = self.text.len() - from;
        if self.ascii {
            let taken = steps.min(rest);
            return (from + taken, taken);
        }
        const BLOCK: usize = 64;
        let is_start = |byte: &u8| byte & 0xC0 != 0x80;
        let bytes = self.text.as_bytes().get(from..).unwrap_or_default();
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        let (mut seen, mut at) = (0, 0);
        for block in blocks {
            let starts: u8 = block.iter().map(|byte| u8::from(is_start(byte))).sum();
            if seen + usize::from(starts) > steps {
                break;
            }
            seen += usize::from(starts);
            at += BLOCK;
        }
        for byte in bytes.get(at..).unwrap_or_default() {
            if is_start(byte) {
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

/// The three classes of the default token pattern `\b\w+\b|\s+|[^\w\s]+`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    Word = 1,
    Space = 2,
    Other = 3,
}

/// Class of each byte below 128; 0 for the bytes of longer characters.
const BYTE_CLASS: [u8; 256] = {
    let mut table = [0_u8; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        let class = if byte.is_ascii_alphanumeric() || byte == b'_' {
            Class::Word
        } else if matches!(byte, b'\t'..=b'\r' | b' ') {
            Class::Space
        } else {
            Class::Other
        };
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte as usize] = class as u8;
        }
        byte += 1;
    }
    table
};

// Classes of characters seen before; 0 is "not yet". Filled without a lock, so a forked child finds
// it usable whatever the other threads were doing. It reaches past the emoji, to U+1FFFF.
static CLASS_SEEN: [AtomicU8; 0x2_0000] = [const { AtomicU8::new(0) }; 0x2_0000];

fn class_of(character: char) -> u8 {
    let seen = CLASS_SEEN.get(character as usize);
    if let Some(seen) = seen {
        let class = seen.load(Ordering::Relaxed);
        if class != 0 {
            return class;
        }
    }
    // `\w` is what the regex crate says it is: letters, marks, digits, connectors, joiners.
    let class = if regex_syntax::try_is_word_character(character).unwrap_or_default() {
        Class::Word
    } else if character.is_whitespace() {
        Class::Space
    } else {
        Class::Other
    } as u8;
    if let Some(seen) = seen {
        seen.store(class, Ordering::Relaxed);
    }
    class
}

/// Where the run of one class that starts at `at` ends.
pub(super) fn run_end(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut run = 0;
    while let Some(byte) = bytes.get(at) {
        let mut class = BYTE_CLASS.get(usize::from(*byte)).copied().unwrap_or_default();
        let mut width = 1;
        if class == 0 {
            let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                return text.len();
            };
            class = class_of(character);
            width = character.len_utf8();
        }
        if run == 0 {
            run = class;
        } else if run != class {
            return at;
        }
        at += width;
    }
    at
}

/// Where white space that starts at `at` ends.
pub(super) fn white_space_end(text: &str, at: usize) -> usize {
    text.len() - slice(text, at..text.len()).trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_are_those_of_the_regex() {
        let pattern = regex::Regex::new(r"\b\w+\b|\s+|[^\w\s]+").unwrap();
        // Every character between two words: a wrong class moves a boundary.
        for character in (0..=0x10_FFFF_u32).filter_map(char::from_u32) {
            let text = format!("a{character}b .{character}");
            let mut at = 0;
            let mut ours = Vec::new();
            while at < text.len() {
                at = run_end(&text, at);
                ours.push(at);
            }
            if (character as u32).is_multiple_of(97) || (character as u32) < 0x3100 {
                let theirs: Vec<usize> = pattern.find_iter(&text).map(|hit| hit.end()).collect();
                assert_eq!(ours, theirs, "{character:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn advance_and_offset_agree_with_char_indices(text in "[a-zé世🚀\u{301} ]{0,300}", steps in 0_usize..320, skip in 0_usize..40) {
            let mut points = CodePoints::new(&text);
            let places: Vec<usize> =
                text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let total = places.len() - 1;
            let from = skip.min(total);
            let (at, taken) = points.advance(places[from], steps);
            prop_assert_eq!(taken, steps.min(total - from));
            prop_assert_eq!(at, places[from + taken]);
            prop_assert_eq!(points.offset(at), from + taken);
            prop_assert_eq!(points.offset(places[from]), from);
        }

        #[test]
        fn trimmed_is_what_trim_says(text in "[ \u{3000}\n\u{1c}a世]{0,12}") {
            let range = trimmed(&text, 0..text.len());
            prop_assert_eq!(range.map_or("", |range| &text[range]), text.trim());
        }
    }
}
