//! Strings of the old format, which may be spread over several records.
//!
//! A record holds at most 8,224 bytes; what does not fit follows in records that continue it. A string may
//! be broken between two characters, and then its rest says anew whether a character takes one byte or two.

use encoding_rs::Encoding;

use super::bytes::{Bytes, utf16};

const WIDE: u8 = 1;
const EAST_ASIAN: u8 = 4;
const RICH: u8 = 8;

/// A record and those that continue it.
pub(super) struct Spread<'a> {
    current: Bytes<'a>,
    rest: std::vec::IntoIter<&'a [u8]>,
}

impl<'a> Spread<'a> {
    pub(super) fn new(record: &'a [u8], continued: Vec<&'a [u8]>) -> Self {
        Self { current: Bytes(record), rest: continued.into_iter() }
    }

    fn go_on(&mut self) -> Option<()> {
        self.current = Bytes(self.rest.next()?);
        Some(())
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        while self.current.0.is_empty() {
            self.go_on()?;
        }
        self.current.byte()
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }

    pub(super) fn size(&mut self) -> Option<usize> {
        Some(usize::from(self.short()?) | usize::from(self.short()?) << 16)
    }

    pub(super) fn skip(&mut self, mut count: usize) -> Option<()> {
        while count > 0 {
            while self.current.0.is_empty() {
                self.go_on()?;
            }
            let passed = count.min(self.current.0.len());
            self.current.take(passed)?;
            count -= passed;
        }
        Some(())
    }

    /// A string whose count of characters has been read; it is cut where the file ends.
    pub(super) fn text(&mut self, count: usize) -> Option<String> {
        let flags = self.byte()?;
        let runs = if flags & RICH == 0 { 0 } else { usize::from(self.short()?) };
        let phonetic = if flags & EAST_ASIAN == 0 { 0 } else { self.size()? };
        let mut text = String::new();
        let mut wide = flags & WIDE != 0;
        let mut left = count;
        loop {
            let width = if wide { 2 } else { 1 };
            let characters = left.min(self.current.0.len() / width);
            let bytes = self.current.take(characters.checked_mul(width)?)?;
            if wide {
                text.push_str(&utf16(bytes));
            } else {
                text.extend(bytes.iter().copied().map(char::from));
            }
            left -= characters;
            if left == 0 {
                break;
            }
            if self.go_on().is_none() {
                return Some(text);
            }
            wide = self.current.byte()? & WIDE != 0;
        }
        // Four bytes a run of formatting. A file that ends here has lost nothing of the text.
        let _ = self.skip(runs.saturating_mul(4).saturating_add(phonetic));
        Some(text)
    }
}

/// The character set of a workbook that is older than Unicode.
pub(super) fn code_page(number: u16) -> &'static Encoding {
    match number {
        874 => encoding_rs::WINDOWS_874,
        932 => encoding_rs::SHIFT_JIS,
        936 => encoding_rs::GBK,
        949 => encoding_rs::EUC_KR,
        950 => encoding_rs::BIG5,
        1250 => encoding_rs::WINDOWS_1250,
        1251 => encoding_rs::WINDOWS_1251,
        1253 => encoding_rs::WINDOWS_1253,
        1254 => encoding_rs::WINDOWS_1254,
        1255 => encoding_rs::WINDOWS_1255,
        1256 => encoding_rs::WINDOWS_1256,
        1257 => encoding_rs::WINDOWS_1257,
        1258 => encoding_rs::WINDOWS_1258,
        10000 | 32768 => encoding_rs::MACINTOSH,
        _ => encoding_rs::WINDOWS_1252,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_goes_on_in_the_next_record_with_characters_of_another_width() {
        let mut spread = Spread::new(b"\0ab", vec![b"\x01c\0\xe4\0", b"\0d", b"rest"]);
        assert_eq!(spread.text(5).unwrap(), "abcäd");
        assert_eq!(spread.byte(), Some(b'r'));
    }

    #[test]
    fn a_string_that_promises_too_much_is_what_there_is() {
        assert_eq!(Spread::new(b"\0ab", Vec::new()).text(usize::MAX).unwrap(), "ab");
        assert_eq!(Spread::new(b"\x0c\xff\xff\xff\xff\xff\xff", Vec::new()).text(2).unwrap(), "");
    }
}
