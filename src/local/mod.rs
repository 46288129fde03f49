//! Models that need no network: embeddings from files on disk, and an answerer that quotes.
//!
//! [`open`] gives the static embedding model over a weights file and a tokenizer file. Which installed
//! package carries such files is not known here; the caller passes paths.
//!
//! ```no_run
//! use graphbit::embeddings::EmbeddingModel;
//!
//! let model = graphbit::local::open("my-model", "weights.safetensors", None)?;
//! assert_eq!(model.provider(), "local");
//! # Ok::<(), graphbit::Error>(())
//! ```

pub mod extractive;
mod relevance;
pub mod static_embedding;
mod tokenizer;
pub mod transformer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;

pub use extractive::Extractive;
pub use static_embedding::StaticEmbedding;
pub use transformer::{Inference, TokenBatch, TransformerEmbedding};

/// The provider name of every embedding model of this module.
pub const PROVIDER: &str = "local";

/// Opens a static embedding model. `tokenizer` defaults to `tokenizer.json` beside the weights.
///
/// Only the presence of the files is checked now; they are read once, on first use.
///
/// # Errors
/// [`crate::Kind::Configuration`] naming the file that is missing.
pub fn open(
    name: &str,
    weights: impl AsRef<Path>,
    tokenizer: Option<PathBuf>,
) -> Result<Arc<StaticEmbedding>> {
    StaticEmbedding::open(name, weights.as_ref(), tokenizer).map(Arc::new)
}

/// L2-normalises in place; a zero vector (an empty text) stays zero instead of becoming NaN.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}
