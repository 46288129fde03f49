//! Embedding data: a dense row-major matrix, one row a text.
//!
//! ```
//! use graphbit::types::Matrix;
//!
//! let matrix = Matrix::from_rows(&[vec![1.0, 0.0], vec![0.0, 1.0]])?;
//! assert_eq!(matrix.row(1), Some([0.0, 1.0].as_slice()));
//! # Ok::<(), graphbit::Error>(())
//! ```

use super::Pace;
use crate::error::{Error, Kind, Result};

/// `rows` x `dimensions` 32-bit floats in one allocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    data: Vec<f32>,
    rows: usize,
    dimensions: usize,
}

impl Matrix {
    /// Wraps `data`, which must hold exactly `rows * dimensions` values.
    ///
    /// # Errors
    /// [`Kind::Decode`] when the length does not fit.
    pub fn new(data: Vec<f32>, rows: usize, dimensions: usize) -> Result<Self> {
        if rows.checked_mul(dimensions) == Some(data.len()) {
            return Ok(Self { data, rows, dimensions });
        }
        Err(Error::new(
            Kind::Decode,
            format!("{} values do not make {rows} rows of {dimensions}", data.len()),
        ))
    }

    /// Copies rows of equal length.
    ///
    /// # Errors
    /// [`Kind::Decode`] when the rows differ in length.
    pub fn from_rows(rows: &[Vec<f32>]) -> Result<Self> {
        let dimensions = rows.first().map_or(0, Vec::len);
        let mut data = Vec::with_capacity(rows.len().saturating_mul(dimensions));
        for row in rows {
            if row.len() != dimensions {
                return Err(Error::new(
                    Kind::Decode,
                    format!("rows of {dimensions} and {} values in one answer", row.len()),
                ));
            }
            data.extend_from_slice(row);
        }
        Self::new(data, rows.len(), dimensions)
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Values a row.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// All values, row after row.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// Gives the allocation away.
    #[must_use]
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// Row `index`, or `None` past the end.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        if index >= self.rows {
            return None;
        }
        let start = index.checked_mul(self.dimensions)?;
        self.data.get(start..start.checked_add(self.dimensions)?)
    }

    /// Rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.rows).filter_map(|index| self.row(index))
    }

    /// Appends the rows of `other`.
    ///
    /// # Errors
    /// [`Kind::Decode`] when the dimensions differ and neither side is empty.
    pub fn append(&mut self, other: Self) -> Result<()> {
        if self.rows == 0 {
            *self = other;
            return Ok(());
        }
        if other.rows == 0 {
            return Ok(());
        }
        if other.dimensions != self.dimensions {
            return Err(Error::new(
                Kind::Decode,
                format!(
                    "vectors of {} and {} dimensions in one answer",
                    self.dimensions, other.dimensions
                ),
            ));
        }
        self.data.extend_from_slice(&other.data);
        self.rows = self.rows.saturating_add(other.rows);
        Ok(())
    }
}

/// Tokens an embedding request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddingUsage {
    /// Tokens of the texts.
    pub prompt_tokens: u64,
    /// The server's total.
    pub total_tokens: u64,
}

/// What an embedding model returns: one row for each text, in the order of the texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// The vectors.
    pub vectors: Matrix,
    /// Tokens used.
    pub usage: EmbeddingUsage,
    /// What the provider said of its rate limits, of an answer to one request.
    pub pace: Option<Box<Pace>>,
}
