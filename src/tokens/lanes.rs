//! Eight bytes at once in one integer: which of them are letters.
//!
//! The answers have the top bit of each byte that is one. Plain arithmetic, the same on every
//! processor; no byte's sum carries into the next because the top bits are out of the way.

const EACH: u64 = 0x0101_0101_0101_0101;
/// The top bit of every byte.
pub(super) const TOPS: u64 = 0x80 * EACH;

/// Bytes in `first..first + 26`, with the bits of `fold` set beforehand.
#[inline(always)]
fn alphabet(word: u64, first: u8, fold: u8) -> u64 {
    let folded = word | (EACH * u64::from(fold));
    let low = folded & !TOPS;
    let from = low + EACH * u64::from(128 - first);
    let beyond = low + EACH * u64::from(128 - 26 - first);
    from & !beyond & !word & TOPS
}

/// ASCII letters.
#[inline(always)]
pub(super) fn letters(word: u64) -> u64 {
    alphabet(word, b'a', 0x20)
}

/// ASCII capitals.
#[inline(always)]
pub(super) fn capitals(word: u64) -> u64 {
    alphabet(word, b'A', 0)
}

/// ASCII lower-case letters.
#[inline(always)]
pub(super) fn minuscules(word: u64) -> u64 {
    alphabet(word, b'a', 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..8_usize {
                for around in [b' ', b'a', b'Z', 0xFF, 0x80, 0] {
                    let mut window = [around; 8];
                    window[place] = byte;
                    let word = u64::from_le_bytes(window);
                    let mask = |is: fn(&u8) -> bool| {
                        u64::from_le_bytes(window.map(|byte| if is(&byte) { 0x80 } else { 0 }))
                    };
                    assert_eq!(letters(word), mask(u8::is_ascii_alphabetic));
                    assert_eq!(capitals(word), mask(u8::is_ascii_uppercase));
                    assert_eq!(minuscules(word), mask(u8::is_ascii_lowercase));
                }
            }
        }
    }
}
