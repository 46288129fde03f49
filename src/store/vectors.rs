//! Vectors as they are kept: rows of codes, of four, two or one byte a value.
//!
//! A row of the compact kinds has a scale, by which its largest value uses the range of the codes; what a code
//! times its scale comes to is the value from then on, and what every search compares with. Rows are made of
//! words whatever the kind, so that only this file and the distances know how they are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::distance::inverse_norm;
use super::half;
use crate::error::{Error, Result};
use crate::types::Matrix;

/// How exactly a store keeps the values of its vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As they are: four bytes a value.
    #[default]
    F32,
    /// Eleven binary digits each, relative to its own size: two bytes a value.
    F16,
    /// 255 equal steps between the row's largest value and its negative: one byte a value.
    I8,
}

impl Precision {
    /// The precision's name: `"f32"`, `"f16"` or `"i8"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
        }
    }

    /// Bytes a value.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }

    /// Words of a row.
    const fn stride(self, dimensions: usize) -> usize {
        dimensions.saturating_mul(self.width()).div_ceil(4)
    }

    /// Bytes of a row's scale.
    pub(super) const fn scale_width(self) -> usize {
        match self {
            Self::F32 => 0,
            Self::F16 | Self::I8 => 4,
        }
    }

    /// What codes of 1 stand for in a row whose largest value is `greatest`.
    fn scale(self, greatest: f32) -> f32 {
        match self {
            Self::F32 => 1.0,
            // A power of two, so that scaling rounds nothing.
            Self::F16 => f32::from_bits(greatest.to_bits() & 0x7f80_0000).max(f32::MIN_POSITIVE),
            // Rounded up, so that nothing lies beyond the last step and no scale is zero.
            Self::I8 => (greatest / 127.0).next_up(),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::F32, Self::F16, Self::I8].into_iter().find(|one| one.as_str() == name).ok_or_else(
            || Error::validation("precision", Some(name), "must be 'f32', 'f16' or 'i8'"),
        )
    }
}

/// One value of a row.
pub(super) trait Code: bytemuck::Pod {
    fn value(self) -> f32;

    /// The value in a row with this scale.
    #[inline]
    fn scaled(self, scale: f32) -> f32 {
        self.value() * scale
    }
}

impl Code for f32 {
    #[inline]
    fn value(self) -> f32 {
        self
    }

    #[inline]
    fn scaled(self, _: f32) -> f32 {
        self
    }
}

/// The bits of a half.
impl Code for u16 {
    #[inline]
    fn value(self) -> f32 {
        half::decode(self)
    }
}

impl Code for i8 {
    #[inline]
    fn value(self) -> f32 {
        f32::from(self)
    }
}

/// A vector as it is kept.
#[derive(Clone, Copy)]
pub(super) struct Packed<'row> {
    pub(super) words: &'row [u32],
    pub(super) scale: f32,
    /// 1 / length of the codes, 0 when all are zero.
    pub(super) inverse_norm: f64,
}

impl<'row> Packed<'row> {
    /// The codes, without what fills up the last word.
    pub(super) fn codes<C: Code>(self, dimensions: usize) -> &'row [C] {
        bytemuck::cast_slice(self.words).get(..dimensions).unwrap_or_default()
    }
}

/// Many vectors as they are kept, of one kind and one length.
#[derive(Clone, Debug, Default)]
pub(super) struct Vectors {
    words: Vec<u32>,
    scales: Vec<f32>,
    inverse_norms: Vec<f64>,
}

impl Vectors {
    /// None yet, with room for so many rows of so many words.
    pub(super) fn with_room(rows: usize, words: usize) -> Self {
        Self {
            words: Vec::with_capacity(rows.saturating_mul(words)),
            scales: Vec::with_capacity(rows),
            inverse_norms: Vec::with_capacity(rows),
        }
    }

    /// The rows of both.
    pub(super) fn joined(&self, other: &Self) -> Self {
        Self {
            words: [self.words.as_slice(), &other.words].concat(),
            scales: [self.scales.as_slice(), &other.scales].concat(),
            inverse_norms: [self.inverse_norms.as_slice(), &other.inverse_norms].concat(),
        }
    }

    /// Rounds vectors to what is kept of them. Those that are kept as they are stay where they are.
    pub(super) fn pack(precision: Precision, vectors: Matrix) -> Self {
        match precision {
            Precision::F32 => {
                let inverse_norms: Vec<f64> = vectors.iter().map(inverse_norm).collect();
                let scales = vec![1.0; inverse_norms.len()];
                let mut words = bytemuck::allocation::cast_vec(vectors.into_vec());
                // Of a list of lists, whose length nobody knew, twice the room may be left.
                words.shrink_to_fit();
                Self { words, scales, inverse_norms }
            }
            Precision::F16 => Self::rounded::<_, 2>(precision, &vectors, half::encode),
            Precision::I8 => Self::rounded::<_, 4>(precision, &vectors, step),
        }
    }

    /// Vectors as codes, so many in a word.
    fn rounded<C: Code + Default, const WIDTH: usize>(
        precision: Precision,
        vectors: &Matrix,
        code: impl Fn(f32) -> C,
    ) -> Self {
        let mut packed = Self::with_room(vectors.rows(), precision.stride(vectors.dimensions()));
        for row in vectors.iter() {
            let greatest = row.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
            let scale = precision.scale(greatest);
            packed.words.extend(row.chunks(WIDTH).map(|values| {
                bytemuck::cast::<_, u32>(filled::<_, _, WIDTH>(values, |value| code(value / scale)))
            }));
            packed.finish(precision, row.len(), scale);
        }
        packed
    }

    /// What [`Vectors::scales_to`] and [`Vectors::codes_to`] wrote; `None` when it is not whole or a value is
    /// not finite.
    pub(super) fn from_bytes(
        precision: Precision,
        dimensions: usize,
        scales: &[u8],
        codes: &[u8],
    ) -> Option<Self> {
        let width = dimensions.checked_mul(precision.width()).filter(|width| *width > 0)?;
        let rows = codes.chunks_exact(width);
        let mut scales = scales.chunks_exact(precision.scale_width().max(1));
        let scaled = precision.scale_width() > 0;
        let whole = rows.remainder().is_empty() && scales.remainder().is_empty();
        if !whole || (scaled && scales.len() != rows.len()) {
            return None;
        }
        let mut packed = Self::default();
        for row in rows {
            match precision {
                Precision::F32 => {
                    let codes = row.as_chunks().0.iter();
                    packed.words.extend(codes.map(|code| u32::from_le_bytes(*code)));
                }
                Precision::F16 => packed.words.extend(row.chunks(4).map(|bytes| {
                    let codes = bytes.as_chunks().0;
                    bytemuck::cast::<_, u32>(filled::<_, _, 2>(codes, |code| {
                        u16::from_le_bytes(*code)
                    }))
                })),
                Precision::I8 => packed.words.extend(row.chunks(4).map(|bytes| {
                    bytemuck::cast::<_, u32>(filled::<_, _, 4>(bytes, |byte: &u8| {
                        byte.cast_signed()
                    }))
                })),
            }
            let scale = match scales.next().filter(|_| scaled) {
                Some(bytes) => f32::from_le_bytes(*bytes.first_chunk()?),
                None => 1.0,
            };
            packed.finish(precision, dimensions, scale);
            // Of the codes only those of four bytes can be something else than a number.
            let last = packed.row(packed.len() - 1)?;
            let finite = |code: &f32| code.is_finite();
            let wrong = precision == Precision::F32 && !last.codes(dimensions).iter().all(finite);
            if wrong || !scale.is_finite() {
                return None;
            }
        }
        Some(packed)
    }

    /// Ends a row whose words have been put behind the others.
    fn finish(&mut self, precision: Precision, dimensions: usize, scale: f32) {
        let start = self.words.len().saturating_sub(precision.stride(dimensions));
        let words = self.words.get(start..).unwrap_or_default();
        let row = Packed { words, scale, inverse_norm: 0.0 };
        self.inverse_norms.push(match precision {
            Precision::F32 => inverse_norm(row.codes::<f32>(dimensions)),
            Precision::F16 => inverse_norm(row.codes::<u16>(dimensions)),
            Precision::I8 => inverse_norm(row.codes::<i8>(dimensions)),
        });
        self.scales.push(scale);
    }

    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Words a row.
    fn stride(&self) -> usize {
        self.words.len().checked_div(self.len()).unwrap_or_default()
    }

    /// The values, row after row, where they are kept as they are.
    pub(super) fn singles(&self, precision: Precision) -> Option<&[f32]> {
        (precision == Precision::F32).then(|| bytemuck::cast_slice(&self.words))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Packed<'_>> {
        let rows = self.words.chunks_exact(self.stride().max(1)).zip(&self.scales);
        rows.zip(&self.inverse_norms).map(|((words, scale), inverse_norm)| Packed {
            words,
            scale: *scale,
            inverse_norm: *inverse_norm,
        })
    }

    pub(super) fn row(&self, row: usize) -> Option<Packed<'_>> {
        let stride = self.stride();
        Some(Packed {
            words: self.words.get(row * stride..(row + 1) * stride)?,
            scale: *self.scales.get(row)?,
            inverse_norm: *self.inverse_norms.get(row)?,
        })
    }

    pub(super) fn push(&mut self, row: Packed<'_>) {
        self.words.extend_from_slice(row.words);
        self.scales.push(row.scale);
        self.inverse_norms.push(row.inverse_norm);
    }

    pub(super) fn set(&mut self, at: usize, row: Packed<'_>) {
        let stride = self.stride();
        if let Some(place) = self.words.get_mut(at * stride..(at + 1) * stride) {
            place.copy_from_slice(row.words);
        }
        if let Some(place) = self.scales.get_mut(at) {
            *place = row.scale;
        }
        if let Some(place) = self.inverse_norms.get_mut(at) {
            *place = row.inverse_norm;
        }
    }

    /// Appends the rows' scales, little-endian, where there are any.
    pub(super) fn scales_to(&self, precision: Precision, bytes: &mut Vec<u8>) {
        if precision.scale_width() > 0 {
            bytes.extend(self.scales.iter().flat_map(|scale| scale.to_le_bytes()));
        }
    }

    /// Appends the codes row after row, little-endian, without what fills up a row's last word.
    pub(super) fn codes_to(&self, precision: Precision, dimensions: usize, bytes: &mut Vec<u8>) {
        for row in self.iter() {
            match precision {
                Precision::F32 => {
                    bytes.extend(row.words.iter().flat_map(|word| word.to_le_bytes()));
                }
                Precision::F16 => {
                    let codes = row.codes::<u16>(dimensions).iter();
                    bytes.extend(codes.flat_map(|code| code.to_le_bytes()));
                }
                Precision::I8 => {
                    bytes.extend_from_slice(bytemuck::cast_slice(row.codes::<i8>(dimensions)));
                }
            }
        }
    }
}

/// As many codes as fit into a word; zeros where the row has ended.
fn filled<T, C: Code + Default, const WIDTH: usize>(
    items: &[T],
    code: impl Fn(&T) -> C,
) -> [C; WIDTH] {
    let mut codes = [C::default(); WIDTH];
    for (place, item) in codes.iter_mut().zip(items) {
        *place = code(item);
    }
    codes
}

#[expect(clippy::cast_possible_truncation, reason = "clamped")]
fn step(value: f32) -> i8 {
    value.round().clamp(-127.0, 127.0) as i8
}

impl Packed<'_> {
    /// The values that the row stands for.
    pub(super) fn values(self, precision: Precision, dimensions: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(dimensions);
        self.append(precision, dimensions, self.scale, &mut values);
        values
    }

    /// Appends the values of a row whose scale is left to whoever asks.
    pub(super) fn append_unscaled(
        self,
        precision: Precision,
        dimensions: usize,
        values: &mut Vec<f32>,
    ) {
        self.append(precision, dimensions, 1.0, values);
    }

    fn append(self, precision: Precision, dimensions: usize, scale: f32, values: &mut Vec<f32>) {
        fn scaled<C: Code>(codes: &[C], scale: f32) -> impl Iterator<Item = f32> {
            codes.iter().map(move |code| code.scaled(scale))
        }
        match precision {
            Precision::F32 => values.extend_from_slice(self.codes(dimensions)),
            Precision::F16 => values.extend(scaled::<u16>(self.codes(dimensions), scale)),
            Precision::I8 => values.extend(scaled::<i8>(self.codes(dimensions), scale)),
        }
    }
}
