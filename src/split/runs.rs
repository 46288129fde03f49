//! Where runs of word characters, of white space and of anything else begin: the tokens of the
//! default pattern `\b\w+\b|\s+|[^\w\s]+`, found 64 bytes at a time.

use std::sync::atomic::{AtomicU8, Ordering};

use super::measure::block_at;
use super::source::Source;
use crate::lanes::{BLOCK, mask_of};

/// The three classes of the pattern; neighbours of one class are one run.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    Word = 1,
    Space = 2,
    Other = 3,
}

const ASCII_CLASS: [u8; 128] = {
    let mut table = [0_u8; 128];
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
    if let Some(class) = ASCII_CLASS.get(character as usize) {
        return *class;
    }
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

/// Where the run that begins at `at` ends.
pub(super) fn run_end(text: &str, at: usize) -> usize {
    let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) else {
        return text.len();
    };
    let class = class_of(first);
    let mut end = at + first.len_utf8();
    let bytes = text.as_bytes();
    loop {
        let plain = bytes.get(end..).unwrap_or_default();
        let is_like = |byte: &&u8| ASCII_CLASS.get(usize::from(**byte)) == Some(&class);
        end += plain.iter().take_while(is_like).count();
        // Where a byte of a longer character stopped it, the character decides.
        let next = match bytes.get(end) {
            Some(byte) if !byte.is_ascii() => text.get(end..).and_then(|rest| rest.chars().next()),
            _ => None,
        };
        match next {
            Some(next) if class_of(next) == class => end += next.len_utf8(),
            _ => return end,
        }
    }
}

/// The starts of runs, as one bit a byte of each block of the text in turn.
pub(super) struct RunStarts<'text> {
    source: Source<'text>,
    /// First byte of the next block.
    base: usize,
    /// First byte of which the class is not known yet.
    known: usize,
    /// Class of the character before that, 0 at the start.
    last: u8,
}

impl<'text> RunStarts<'text> {
    pub(super) const fn new(source: Source<'text>) -> Self {
        Self { source, base: 0, known: 0, last: 0 }
    }

    fn of_ascii(&mut self, block: &[u8; BLOCK], length: usize) -> u64 {
        let words = mask_of(block, |byte| {
            ((byte | 0x20).wrapping_sub(b'a') < 26)
                | (byte.wrapping_sub(b'0') < 10)
                | (byte == b'_')
        });
        let spaces = mask_of(block, |byte| (byte == b' ') | (byte.wrapping_sub(b'\t') < 5));
        let was = |class: Class| u64::from(self.last == class as u8);
        let starts = (words ^ (words << 1 | was(Class::Word)))
            | (spaces ^ (spaces << 1 | was(Class::Space)))
            | u64::from(self.last == 0);
        let end = 1 << (length - 1);
        let class = if words & end != 0 {
            Class::Word
        } else if spaces & end != 0 {
            Class::Space
        } else {
            Class::Other
        };
        self.last = class as u8;
        self.known = self.base + length;
        starts & (u64::MAX >> (BLOCK - length))
    }

    fn of_any(&mut self, length: usize) -> u64 {
        let from = self.known.max(self.base);
        let end = self.base + length;
        let mut starts = 0;
        self.known = end;
        for (at, character) in self.source.text().get(from..).unwrap_or_default().char_indices() {
            let at = from + at;
            if at >= end {
                break;
            }
            let class = class_of(character);
            if class != self.last {
                starts |= 1 << (at - self.base);
                self.last = class;
            }
            // Beyond the block where a character lies across its end.
            self.known = at + character.len_utf8();
        }
        starts
    }
}

/// The first byte of each block and the starts in it.
impl Iterator for RunStarts<'_> {
    type Item = (usize, u64);

    fn next(&mut self) -> Option<(usize, u64)> {
        let bytes = self.source.text().as_bytes();
        let block = block_at(bytes, self.base)?;
        let length = (bytes.len() - self.base).min(BLOCK);
        let starts = if self.source.is_ascii() || block.is_ascii() {
            self.of_ascii(&block, length)
        } else {
            self.of_any(length)
        };
        let base = self.base;
        self.base += length;
        Some((base, starts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_the_regex() {
        let pattern = regex::Regex::new(r"\b\w+\b|\s+|[^\w\s]+").unwrap();
        // Every character between two words: a wrong class moves a boundary. The padding moves the
        // character across the end of a block.
        for character in (0..=0x10_FFFF_u32).filter_map(char::from_u32) {
            let code = character as u32;
            if !code.is_multiple_of(97) && code >= 0x3100 {
                continue;
            }
            let text = format!("{:1$}a{character}b .{character}", "", code as usize % 67);
            let mut ours = Vec::new();
            for (base, mut starts) in RunStarts::new(Source::new(&text)) {
                while starts != 0 {
                    ours.push(base + starts.trailing_zeros() as usize);
                    starts &= starts - 1;
                }
            }
            let theirs: Vec<usize> = pattern.find_iter(&text).map(|hit| hit.start()).collect();
            assert_eq!(ours, theirs, "{character:?}");
            for hit in pattern.find_iter(&text) {
                assert_eq!(run_end(&text, hit.start()), hit.end(), "{character:?}");
            }
        }
    }
}
