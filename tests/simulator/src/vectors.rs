//! Deterministic unit vectors, written as they go over the wire.
//!
//! FNV-1a (64 bit) of the text's UTF-8 bytes seeds a SplitMix64 stream; the top 24 bits of each
//! output become a value in [-1, 1); the vector is divided by its length and rounded to 32 bits.
//! `expected_embedding` in `tests/python/simulator.py` computes the same.
//!
//! ```text
//! vectors::render("text", 3, false) -> [0.12,-0.9,0.41]
//! ```

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;

use crate::kept::Kept;

/// The vector of `text` as a JSON value: an array of numbers, or base64 of little-endian floats.
pub(crate) fn render(text: &str, dimensions: usize, base64: bool) -> Bytes {
    static RENDERED: LazyLock<Kept<(u64, usize, bool)>> = LazyLock::new(|| Kept::up_to(48 << 20));
    let seed = fnv1a(text.as_bytes());
    let key = (seed, dimensions, base64);
    RENDERED
        .get(&key)
        .unwrap_or_else(|| RENDERED.put(key, write(&vector(seed, dimensions), base64)))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "24 bits fit a float; rounding to 32 bits is the definition"
)]
fn vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let mut state = seed;
    let mut squares = 0.0;
    let values: Vec<f64> = (0..dimensions)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            let value = (mixed >> 40) as f64 / f64::from(1 << 23) - 1.0;
            squares += value * value;
            value
        })
        .collect();
    let length = squares.sqrt();
    values.into_iter().map(|value| (value / length) as f32).collect()
}

fn write(vector: &[f32], base64: bool) -> Vec<u8> {
    if !base64 {
        return serde_json::to_vec(vector).unwrap_or_default();
    }
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut quoted = vec![b'"'];
    quoted.extend_from_slice(BASE64_STANDARD.encode(&bytes).as_bytes());
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_unit_length_and_depend_on_the_text_alone() {
        let one = vector(fnv1a(b"one"), 1536);
        let length: f64 = one.iter().map(|value| f64::from(*value).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert_eq!(one, vector(fnv1a(b"one"), 1536));
        assert_ne!(one, vector(fnv1a(b"two"), 1536));
    }

    #[test]
    fn both_encodings_carry_the_same_values() {
        let values: Vec<f32> = serde_json::from_slice(&render("text", 8, false)).unwrap();
        let text: String = serde_json::from_slice(&render("text", 8, true)).unwrap();
        let bytes = BASE64_STANDARD.decode(text).unwrap();
        let decoded: Vec<f32> =
            bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(values, decoded);
        assert_eq!(values, vector(fnv1a(b"text"), 8));
    }
}
