//! One vector inside an answer: borrowed base64, or numbers.
//!
//! Base64 stays where the body holds it until its place in the matrix is known. Neither form may hold
//! anything but finite numbers.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use base64::Engine;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::GeneralPurpose as Decoder;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use base64::engine::Simd as Decoder;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::lift::Lifted;

/// Why a vector cannot be used, to stand behind "embedding 3 ".
type Fault = &'static str;

const INVALID: Fault = "is not valid base64";

/// Servers leave padding out, and bits behind the last byte are no reason to refuse a vector.
static BASE64: LazyLock<Decoder> = LazyLock::new(|| {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return Decoder::standard(config);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Decoder::new(&base64::alphabet::STANDARD, config);
});

/// A vector as it came.
pub(in crate::dialect) enum Vector<'a> {
    Base64(Cow<'a, str>),
    Floats(Vec<f32>),
}

// By hand, because a derived untagged enum first copies every number into a buffer of its own.
impl<'de: 'a, 'a> Deserialize<'de> for Vector<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Vector<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers or a base64 string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Vector::Base64(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Vector::Base64(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
        let mut floats = Vec::with_capacity(values.size_hint().unwrap_or(1536));
        while let Some(value) = values.next_element()? {
            floats.push(value);
        }
        Ok(Vector::Floats(floats))
    }
}

impl Vector<'_> {
    /// The number of values, which for base64 is told by its length.
    pub(super) fn dimensions(&self, lifted: &Lifted<'_>) -> Result<usize, Fault> {
        match self {
            Self::Floats(floats) => Ok(floats.len()),
            Self::Base64(text) => {
                let text = lifted.string(text);
                let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
                if padding > 2 {
                    return Err(INVALID);
                }
                let digits = text.len() - padding;
                let bytes = digits / 4 * 3 + (digits % 4).saturating_sub(1);
                let whole = "is not a whole number of 32-bit floats";
                if bytes.is_multiple_of(4) { Ok(bytes / 4) } else { Err(whole) }
            }
        }
    }

    /// Appends the values, as many as [`Vector::dimensions`] says.
    pub(super) fn append_to(self, values: &mut Vec<f32>, lifted: &Lifted<'_>) -> Result<(), Fault> {
        let count = self.dimensions(lifted)?;
        let start = values.len();
        match self {
            Self::Floats(floats) => values.extend_from_slice(&floats),
            Self::Base64(text) => {
                let text = lifted.string(&text);
                // Straight to where they stay: a second copy costs as much as the decoding.
                values.resize(start.saturating_add(count), 0.0);
                let row = values.get_mut(start..).unwrap_or_default();
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(row);
                let room = bytes.len();
                if BASE64.decode_slice(text, bytes) != Ok(room) {
                    return Err(INVALID);
                }
                for value in row {
                    *value = f32::from_bits(u32::from_le(value.to_bits()));
                }
            }
        }
        let added = values.get(start..).unwrap_or_default();
        // Not `all`, which would look at one value after the other.
        let finite = added.iter().fold(true, |finite, value| finite & value.is_finite());
        if finite { Ok(()) } else { Err("holds a value that is not a finite number") }
    }
}
