//! Numbers out of binary records, without trust in their lengths: what is not there is `None`.

/// A place in a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.take(COUNT)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A [`Self::long`] that counts or places something.
    pub(super) fn size(&mut self) -> Option<usize> {
        usize::try_from(self.long()?).ok()
    }

    pub(super) fn double(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// A number in Excel's 30 bits: an integer or the upper half of a double, maybe times a hundred.
    pub(super) fn packed_number(&mut self) -> Option<f64> {
        let bits = self.long()?;
        let number = if bits & 2 == 0 {
            f64::from_bits(u64::from(bits & !3) << 32)
        } else {
            f64::from(bits.cast_signed() >> 2)
        };
        Some(if bits & 1 == 0 { number } else { number / 100.0 })
    }
}

/// Text from UTF-16 as Excel writes it; half a pair becomes a mark of what is lost.
pub(super) fn utf16(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The name that 0.6.8 prints for an error value.
pub(super) fn error_name(code: u8) -> String {
    let name = match code {
        0x00 => "Null",
        0x07 => "Div0",
        0x0F => "Value",
        0x17 => "Ref",
        0x1D => "Name",
        0x24 => "Num",
        0x2A => "NA",
        0x2B => "GettingData",
        code => return format!("Error({code})"),
    };
    format!("Error({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_are_unpacked() {
        for (bits, number) in [
            (0x3FF0_0000, 1.0),
            (0x3FF0_0001, 0.01),
            (123 << 2 | 2, 123.0),
            ((-5_i32 << 2).cast_unsigned() | 3, -0.05),
        ] {
            assert_eq!(Bytes(&u32::to_le_bytes(bits)).packed_number(), Some(number));
        }
        assert_eq!(Bytes(&[1, 2, 3]).packed_number(), None);
    }
}
