//! Cosine similarity: of two vectors, and of one vector with every row of a matrix.

use std::num::NonZero;
use std::thread;

use crate::error::{Error, Kind, Result};

/// Independent sums: enough to hide the latency of an addition.
const LANES: usize = 16;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 21;

/// Cosine similarity in 32-bit arithmetic; 0.0 when either vector has no length.
///
/// # Errors
/// [`Kind::Parameter`] when the vectors have different dimensions.
pub fn similarity(a: &[f32], b: &[f32]) -> Result<f32> {
    if a.len() != b.len() {
        return Err(different());
    }
    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let length = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let (length_a, length_b) = (length(a), length(b));
    if length_a == 0.0 || length_b == 0.0 {
        return Ok(0.0);
    }
    Ok(dot / (length_a * length_b))
}

/// The cosine similarity of `query` with each of `rows` rows of `dimensions` values, on as many threads
/// as are worth it. The sums are taken in another order than [`similarity`] takes them, so the last digit may
/// differ.
///
/// # Errors
/// [`Kind::Parameter`] when the query or the values do not fit the dimensions.
pub fn similarities(
    query: &[f32],
    values: &[f32],
    rows: usize,
    dimensions: usize,
) -> Result<Vec<f32>> {
    if rows == 0 {
        return Ok(Vec::new());
    }
    if query.len() != dimensions || rows.checked_mul(dimensions) != Some(values.len()) {
        return Err(different());
    }
    let mut found = vec![0.0; rows];
    let length = dot(query, query).sqrt();
    if dimensions == 0 || length == 0.0 {
        return Ok(found);
    }
    let fill = |values: &[f32], found: &mut [f32]| {
        for (row, found) in values.chunks_exact(dimensions).zip(found) {
            let row_length = dot(row, row).sqrt();
            if row_length != 0.0 {
                *found = dot(query, row) / (length * row_length);
            }
        }
    };
    let workers = match values.len() / WORTH_A_THREAD {
        0 => 1,
        more => more.min(thread::available_parallelism().map_or(1, NonZero::get)),
    };
    let share = rows.div_ceil(workers);
    let mut parts = values.chunks(share * dimensions).zip(found.chunks_mut(share));
    let own = parts.next();
    thread::scope(|scope| {
        for (values, found) in parts {
            // A thread that cannot be had is work for this one.
            scope.spawn(|| fill(values, found));
        }
        if let Some((values, found)) = own {
            fill(values, found);
        }
    });
    Ok(found)
}

fn different() -> Error {
    let text = "Validation error: dimensions - Embedding dimensions must match";
    Error::new(Kind::Parameter, text)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a_block, b_block) in a_blocks.iter().zip(b_blocks) {
        for ((sum, a), b) in sums.iter_mut().zip(a_block).zip(b_block) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_has_the_edges_callers_rely_on() {
        assert!((similarity(&[1.0, 0.0], &[2.0, 0.0]).unwrap() - 1.0).abs() < 1e-6);
        assert!((similarity(&[1.0, 0.0], &[0.0, 2.0]).unwrap()).abs() < 1e-6);
        assert!((similarity(&[1.0, 1.0], &[-1.0, -1.0]).unwrap() + 1.0).abs() < 1e-6);
        for (a, b) in [(&[][..], &[][..]), (&[0.0][..], &[1.0][..])] {
            assert_eq!(similarity(a, b).unwrap().to_bits(), 0);
        }
        assert!(similarity(&[f32::NAN], &[1.0]).unwrap().is_nan());
        assert_eq!(similarity(&[1.0], &[]).unwrap_err().kind(), Kind::Parameter);
    }

    #[test]
    fn each_row_is_compared_as_if_alone() {
        // Large enough for several threads, and not divisible by their number.
        for (rows, dimensions) in [(1, 1), (5, 3), (4099, 1031)] {
            let values: Vec<f32> =
                (0..rows * dimensions).map(|at| ((at % 977) as f32 * 0.37).sin()).collect();
            let query: Vec<f32> = (0..dimensions).map(|at| (at as f32 * 0.11).cos()).collect();
            let found = similarities(&query, &values, rows, dimensions).unwrap();
            assert_eq!(found.len(), rows);
            for (row, found) in values.chunks_exact(dimensions).zip(found) {
                assert!((similarity(&query, row).unwrap() - found).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn vectors_without_length_are_alike_to_nothing() {
        let values = [0.0, 0.0, 1.0, 0.0, f32::NAN, 1.0];
        let found = similarities(&[2.0, 0.0], &values, 3, 2).unwrap();
        assert!(found[0] == 0.0 && found[1] == 1.0 && found[2].is_nan(), "{found:?}");
        assert_eq!(similarities(&[0.0, 0.0], &values, 3, 2).unwrap(), [0.0; 3]);
        assert_eq!(similarities(&[], &[], 2, 0).unwrap(), [0.0; 2]);
        assert!(similarities(&[1.0], &[], 0, 0).unwrap().is_empty());
        for (query, rows) in [(&[1.0][..], 3), (&[1.0, 2.0], 2)] {
            assert_eq!(similarities(query, &values, rows, 2).unwrap_err().kind(), Kind::Parameter);
        }
    }
}
