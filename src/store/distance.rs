//! Dot products and distances, written so that the compiler uses vector instructions.
//!
//! Sums in single precision are compiled twice, for any processor and for those with AVX2, from the same source: what is
//! added to what does not depend on the processor, nor does a score.
//!
//! What is compared next can be asked for meanwhile: in a large store the memory is what a comparison waits for.

use super::Metric;
use super::vectors::Code;

/// Asks for the memory of words that will soon be compared, so many lines of 64 bytes, and does not wait for it.
#[cfg(target_arch = "x86_64")]
pub(super) fn fetch(words: &[u32], lines: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in words.chunks(16).take(lines) {
        #[expect(unsafe_code, reason = "the instruction takes an address")]
        // SAFETY: it reads nothing, and every processor of this kind has it.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
}

/// Asks for the memory of words that will soon be compared. To ask for more than the first would mean to wait.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn fetch(words: &[u32], _lines: usize) {
    std::hint::black_box(words.first().copied());
}

/// Independent sums: enough to hide the latency of an addition on every machine we know.
const LANES: usize = 32;
/// Sums that these become at the end: a register of AVX2.
const NARROW: usize = 8;
/// Sums in double precision, whose registers hold half as many.
const DOUBLE_LANES: usize = 16;

/// `step` summed over both vectors, which are of one length.
fn accumulate<C: Code>(a: &[C], b: &[f32], step: impl Fn(C, f32) -> f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "code for processors that have AVX2")]
        // SAFETY: this one has it.
        return unsafe { accumulate_with_avx2(a, b, step) };
    }
    accumulate_anywhere(a, b, step)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn accumulate_with_avx2<C: Code>(a: &[C], b: &[f32], step: impl Fn(C, f32) -> f32) -> f32 {
    accumulate_anywhere(a, b, step)
}

/// In [`LANES`] interleaved sums, and then in [`NARROW`].
#[inline(always)]
fn accumulate_anywhere<C: Code>(a: &[C], b: &[f32], step: impl Fn(C, f32) -> f32) -> f32 {
    let mut wide = [0.0_f32; LANES];
    let (a_blocks, a) = a.as_chunks::<LANES>();
    let (b_blocks, b) = b.as_chunks::<LANES>();
    for (a_block, b_block) in a_blocks.iter().zip(b_blocks) {
        for ((sum, x), y) in wide.iter_mut().zip(a_block).zip(b_block) {
            *sum += step(*x, *y);
        }
    }
    let mut sums = [0.0_f32; NARROW];
    for part in wide.as_chunks::<NARROW>().0 {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    let (a_blocks, a) = a.as_chunks::<NARROW>();
    let (b_blocks, b) = b.as_chunks::<NARROW>();
    for (a_block, b_block) in a_blocks.iter().zip(b_blocks) {
        for ((sum, x), y) in sums.iter_mut().zip(a_block).zip(b_block) {
            *sum += step(*x, *y);
        }
    }
    let rest: f32 = a.iter().zip(b).map(|(x, y)| step(*x, *y)).sum();
    sums.iter().sum::<f32>() + rest
}

/// `step` summed in double precision, for values whose products leave the range of `f32`.
fn accumulate_wide<C: Code>(a: &[C], b: &[f32], step: impl Fn(f64, f64) -> f64) -> f64 {
    a.iter().zip(b).map(|(x, y)| step(f64::from(x.value()), f64::from(*y))).sum()
}

pub(super) fn dot<C: Code>(codes: &[C], b: &[f32]) -> f32 {
    accumulate(codes, b, |x, y| x.value() * y)
}

pub(super) fn dot_wide<C: Code>(codes: &[C], b: &[f32]) -> f64 {
    accumulate_wide(codes, b, |x, y| x * y)
}

/// From `scale` times the codes to `b`.
pub(super) fn squared_distance<C: Code>(codes: &[C], scale: f32, b: &[f32]) -> f32 {
    accumulate(codes, b, |x, y| {
        let difference = x.scaled(scale) - y;
        difference * difference
    })
}

pub(super) fn squared_distance_wide<C: Code>(codes: &[C], scale: f32, b: &[f32]) -> f64 {
    let scale = f64::from(scale);
    accumulate_wide(codes, b, |x, y| (x * scale - y) * (x * scale - y))
}

/// 1 / length of the codes; 0 for zeros, which are then alike to nothing.
pub(super) fn inverse_norm<C: Code>(codes: &[C]) -> f64 {
    let mut sums = [0.0_f64; DOUBLE_LANES];
    let (blocks, rest) = codes.as_chunks::<DOUBLE_LANES>();
    for block in blocks.iter().map(<[C; DOUBLE_LANES]>::as_slice).chain([rest]) {
        for (sum, code) in sums.iter_mut().zip(block) {
            let value = f64::from(code.value());
            *sum += value * value;
        }
    }
    let length = sums.iter().sum::<f64>().sqrt();
    if length > 0.0 { 1.0 / length } else { 0.0 }
}

impl Metric {
    /// The score that two vectors of one length have for each other, worked out in double precision.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the result wanted")]
    pub fn between(self, one: &[f32], other: &[f32]) -> f32 {
        let score = match self {
            Self::Cosine => {
                let cosine = dot_wide(one, other) * inverse_norm(one) * inverse_norm(other);
                cosine.clamp(-1.0, 1.0)
            }
            Self::Dot => dot_wide(one, other),
            Self::L2 => -squared_distance_wide(one, 1.0, other).sqrt(),
        };
        // Adding zero makes -0 and 0 the same score.
        score as f32 + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_of_two_vectors_is_that_of_a_search() {
        let (one, other) = ([3.0, 4.0, 0.0], [0.0, 4.0, 4.0]);
        assert!(
            (Metric::Cosine.between(&one, &other) - 16.0 / (5.0 * 32.0_f32.sqrt())).abs() < 1e-6
        );
        assert!((Metric::Dot.between(&one, &other) - 16.0).abs() < 1e-6);
        assert!((Metric::L2.between(&one, &other) + 5.0).abs() < 1e-6);
        for nothing in [Metric::Cosine.between(&one, &[0.0; 3]), Metric::L2.between(&one, &one)] {
            assert_eq!(nothing.to_bits(), 0.0_f32.to_bits());
        }
    }

    #[test]
    fn sums_do_not_depend_on_the_processor() {
        for length in 0..200 {
            let a: Vec<f32> = (0..length).map(|at| (at as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..length).map(|at| (at as f32 * 1.3).cos()).collect();
            let codes: Vec<i8> = (i8::MIN..=i8::MAX).cycle().skip(37).take(a.len()).collect();
            let halves: Vec<u16> =
                a.iter().map(|value| crate::store::half::encode(*value)).collect();
            fn both<C: Code>(codes: &[C], b: &[f32]) {
                let anywhere = accumulate_anywhere(codes, b, |x, y| x.value() * y);
                assert_eq!(dot(codes, b).to_bits(), anywhere.to_bits());
            }
            both(&a, &b);
            both(&codes, &b);
            both(&halves, &b);
        }
    }

    #[test]
    fn sums_are_those_of_double_precision() {
        for length in [0, 1, 7, 8, 15, 31, 32, 41, 384, 1001] {
            let a: Vec<f32> = (0..length).map(|at| (at as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..length).map(|at| (at as f32 * 1.3).cos()).collect();
            assert!((f64::from(dot(&a, &b)) - dot_wide(&a, &b)).abs() < 1e-3);
            let distance = f64::from(squared_distance(&a, 1.0, &b));
            assert!((distance - squared_distance_wide(&a, 1.0, &b)).abs() < 1e-3);
        }
    }
}
