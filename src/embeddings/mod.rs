//! Embeddings: a model behind retry and statistics, and many texts at once in their order.
//!
//! It refuses to reorder, drop or invent rows, and to keep texts or vectors after a call.
//!
//! ```
//! use std::sync::Arc;
//!
//! use graphbit::embeddings::{BoxFuture, EmbeddingClient, EmbeddingModel};
//! use graphbit::resilience::RetryPolicy;
//! use graphbit::types::{Embeddings, Matrix};
//!
//! struct Length;
//!
//! impl EmbeddingModel for Length {
//!     fn provider(&self) -> &str { "example" }
//!     fn model(&self) -> &str { "length" }
//!     fn dimensions(&self) -> Option<usize> { Some(1) }
//!     fn max_batch(&self) -> usize { 2 }
//!     fn embed<'a>(
//!         &'a self,
//!         texts: &'a [String],
//!         _: bool,
//!     ) -> BoxFuture<'a, graphbit::Result<Embeddings>> {
//!         let rows: Vec<_> = texts.iter().map(|text| vec![text.len() as f32]).collect();
//!         Box::pin(async move {
//!             Ok(Embeddings { vectors: Matrix::from_rows(&rows)?, ..Embeddings::default() })
//!         })
//!     }
//! }
//!
//! let client = EmbeddingClient::new(Arc::new(Length), RetryPolicy::default());
//! let texts = ["a", "bbb", "cc"].map(String::from).to_vec();
//! let answer = graphbit::runtime::block_on(async move { client.embed_many(texts).await })?;
//! assert_eq!(answer.vectors.as_slice(), [1.0, 3.0, 2.0]);
//! # Ok::<(), graphbit::Error>(())
//! ```

mod batch;
mod client;
mod model;
mod semantic;

pub use batch::{EmbedOptions, GroupsOutcome, OnError, OnProgress};
pub use client::EmbeddingClient;
pub use futures_util::future::BoxFuture;
pub use model::EmbeddingModel;
pub use semantic::SemanticSplitter;

use crate::error::{Error, Kind, Result};

/// Cosine similarity in 32-bit arithmetic; 0.0 when either vector has no length.
///
/// # Errors
/// [`Kind::Parameter`] when the vectors have different dimensions.
pub fn similarity(a: &[f32], b: &[f32]) -> Result<f32> {
    if a.len() != b.len() {
        return Err(Error::new(
            Kind::Parameter,
            "Validation error: dimensions - Embedding dimensions must match",
        ));
    }
    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let length = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let (length_a, length_b) = (length(a), length(b));
    if length_a == 0.0 || length_b == 0.0 {
        return Ok(0.0);
    }
    Ok(dot / (length_a * length_b))
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
}
