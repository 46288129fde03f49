//! What kind of character each code point is, as the published patterns of the encodings see it.
//!
//! The sets come from `regex-syntax`, so they are those of the regular expressions the encodings are
//! defined by: `\p{Lu}`, `\p{N}`, `\s` and so on.

use once_cell::race::OnceBox;
use regex_syntax::hir::{Class as HirClass, HirKind};

/// One class a character. The order matters: [`Class::is_letter`] and the others compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Class {
    /// Neither letter, mark, number nor white space.
    Other = 0,
    /// `\p{M}`.
    Mark = 1,
    /// `\p{Lu}` and `\p{Lt}`.
    Upper = 2,
    /// `\p{Ll}`.
    Lower = 3,
    /// `\p{Lm}` and `\p{Lo}`: letters without case.
    Caseless = 4,
    /// `\p{N}`.
    Number = 5,
    /// `\s` except the next class.
    Space = 6,
    /// `[\r\n]`.
    Newline = 7,
}

impl Class {
    /// `\p{L}`.
    #[inline(always)]
    pub(super) fn is_letter(self) -> bool {
        matches!(self, Self::Upper | Self::Lower | Self::Caseless)
    }

    /// `\s`.
    #[inline(always)]
    pub(super) fn is_space(self) -> bool {
        matches!(self, Self::Space | Self::Newline)
    }

    /// `[^\s\p{L}\p{N}]`.
    #[inline(always)]
    pub(super) fn is_symbol(self) -> bool {
        matches!(self, Self::Other | Self::Mark)
    }
}

const BLOCK: usize = 256;

/// The table of all code points: blocks of 256, equal ones stored once.
pub(super) struct Classes {
    blocks: Vec<[Class; BLOCK]>,
    places: Vec<u8>,
}

impl Classes {
    /// The one table, built by the first who asks (about a millisecond).
    pub(super) fn get() -> &'static Self {
        // A race rather than a lock: a forked child must not wait for a thread it does not have.
        static TABLE: OnceBox<Classes> = OnceBox::new();
        TABLE.get_or_init(|| Box::new(Self::build()))
    }

    fn build() -> Self {
        let mut all = vec![Class::Other; 0x11_0000];
        let sets = [
            (r"\p{M}", Class::Mark),
            (r"[\p{Lu}\p{Lt}]", Class::Upper),
            (r"\p{Ll}", Class::Lower),
            (r"[\p{Lm}\p{Lo}]", Class::Caseless),
            (r"\p{N}", Class::Number),
            (r"\s", Class::Space),
            (r"[\r\n]", Class::Newline),
        ];
        for (set, class) in sets {
            // The sets are constants and parse; a test compares every code point with the engine.
            let Ok(parsed) = regex_syntax::parse(set) else { continue };
            let HirKind::Class(HirClass::Unicode(ranges)) = parsed.kind() else { continue };
            for range in ranges.iter() {
                let range = range.start() as usize..=range.end() as usize;
                if let Some(points) = all.get_mut(range) {
                    points.fill(class);
                }
            }
        }
        let mut blocks: Vec<[Class; BLOCK]> = Vec::new();
        let places = all
            .as_chunks::<BLOCK>()
            .0
            .iter()
            .map(|block| {
                let place = blocks.iter().position(|known| known == block).unwrap_or_else(|| {
                    blocks.push(*block);
                    blocks.len() - 1
                });
                // Unicode 16 has 150 different blocks; a saturated place would be caught by the test.
                u8::try_from(place).unwrap_or(u8::MAX)
            })
            .collect();
        Self { blocks, places }
    }

    /// The class of a code point.
    #[inline(always)]
    pub(super) fn of(&self, code: u32) -> Class {
        let place = self.places.get((code >> 8) as usize).copied().unwrap_or_default();
        let block = self.blocks.get(usize::from(place));
        block.and_then(|block| block.get(code as usize % BLOCK)).copied().unwrap_or(Class::Other)
    }

    /// The class of the character at `at`, and where the next one starts; `None` at the end.
    #[inline(always)]
    pub(super) fn at(&self, bytes: &[u8], at: usize) -> Option<(Class, usize)> {
        let first = *bytes.get(at)?;
        if first < 0x80 {
            return Some((ascii(first), at + 1));
        }
        let (code, width) = decode(bytes, at);
        Some((self.of(code), at + width))
    }
}

/// The class of an ASCII byte; [`Class::Other`] for the bytes of longer characters.
#[inline(always)]
pub(super) fn ascii(byte: u8) -> Class {
    ASCII.get(usize::from(byte)).copied().unwrap_or(Class::Other)
}

const ASCII: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte as usize] = match byte {
                b'A'..=b'Z' => Class::Upper,
                b'a'..=b'z' => Class::Lower,
                b'0'..=b'9' => Class::Number,
                b'\r' | b'\n' => Class::Newline,
                b'\t' | 0x0B | 0x0C | b' ' => Class::Space,
                _ => Class::Other,
            };
        }
        byte += 1;
    }
    table
};

/// The code point of the character at `at` and its width; `bytes` are those of a `str`.
#[inline(always)]
pub(super) fn decode(bytes: &[u8], at: usize) -> (u32, usize) {
    let word = match bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        Some(chunk) => u32::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 4];
            let rest = bytes.get(at..).unwrap_or_default();
            chunk.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            u32::from_be_bytes(chunk)
        }
    };
    let (second, third, fourth) = (word >> 16 & 0x3F, word >> 8 & 0x3F, word & 0x3F);
    match word >> 24 {
        first @ 0..0x80 => (first, 1),
        first @ ..0xE0 => ((first & 0x1F) << 6 | second, 2),
        first @ ..0xF0 => ((first & 0x0F) << 12 | second << 6 | third, 3),
        first => ((first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn every_code_point_is_what_the_engine_says() {
        let classes = Classes::get();
        assert!(classes.blocks.len() < 256);
        let is = |pattern: &str| Regex::new(pattern).unwrap();
        let (letter, number, space, mark) = (is(r"\p{L}"), is(r"\p{N}"), is(r"\s"), is(r"\p{M}"));
        let (upper, lower) = (is(r"[\p{Lu}\p{Lt}]"), is(r"\p{Ll}"));
        for character in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let mut text = character.to_string();
            let (class, width) = classes.at(text.as_bytes(), 0).unwrap();
            assert_eq!(width, text.len());
            assert_eq!(class.is_letter(), letter.is_match(&text), "{character:?}");
            assert_eq!(class == Class::Number, number.is_match(&text), "{character:?}");
            assert_eq!(class.is_space(), space.is_match(&text), "{character:?}");
            assert_eq!(class == Class::Mark, mark.is_match(&text), "{character:?}");
            assert_eq!(class == Class::Upper, upper.is_match(&text), "{character:?}");
            assert_eq!(class == Class::Lower, lower.is_match(&text), "{character:?}");
            text.push_str("tail");
            assert_eq!(decode(text.as_bytes(), 0), (character as u32, character.len_utf8()));
        }
    }
}
