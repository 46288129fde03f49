//! Dot products and distances, written so that the compiler uses vector instructions.

/// Independent sums: enough to hide the latency of an addition on every machine we know.
const LANES: usize = 16;

/// `step` summed over both vectors, in [`LANES`] interleaved sums.
fn accumulate(a: &[f32], b: &[f32], step: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a_block, b_block) in a_blocks.iter().zip(b_blocks) {
        for ((sum, x), y) in sums.iter_mut().zip(a_block).zip(b_block) {
            *sum += step(*x, *y);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| step(*x, *y)).sum();
    sums.iter().sum::<f32>() + rest
}

/// `step` summed in double precision, for values whose products leave the range of `f32`.
fn accumulate_wide(a: &[f32], b: &[f32], step: impl Fn(f64, f64) -> f64) -> f64 {
    a.iter().zip(b).map(|(x, y)| step(f64::from(*x), f64::from(*y))).sum()
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |x, y| x * y)
}

pub(super) fn dot_wide(a: &[f32], b: &[f32]) -> f64 {
    accumulate_wide(a, b, |x, y| x * y)
}

pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |x, y| (x - y) * (x - y))
}

pub(super) fn squared_distance_wide(a: &[f32], b: &[f32]) -> f64 {
    accumulate_wide(a, b, |x, y| (x - y) * (x - y))
}

/// 1 / length of `vector`; 0 for zeros, which are then alike to nothing.
pub(super) fn inverse_norm(vector: &[f32]) -> f64 {
    let length = dot_wide(vector, vector).sqrt();
    if length > 0.0 { 1.0 / length } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_double_precision() {
        for length in [0, 1, 15, 16, 17, 384, 1001] {
            let a: Vec<f32> = (0..length).map(|at| (at as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..length).map(|at| (at as f32 * 1.3).cos()).collect();
            assert!((f64::from(dot(&a, &b)) - dot_wide(&a, &b)).abs() < 1e-3);
            let distance = f64::from(squared_distance(&a, &b));
            assert!((distance - squared_distance_wide(&a, &b)).abs() < 1e-3);
        }
    }
}
