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
mod cached;
mod client;
mod ledger;
mod model;
mod plan;
mod semantic;
mod similarity;

pub use batch::{
    EachGroup, EmbedOptions, EmbedRows, GatheredGroups, GatheredRows, GroupsOutcome, OnError,
    OnProgress, SomeRows,
};
pub use client::EmbeddingClient;
pub use futures_util::future::BoxFuture;
pub use ledger::Ledger;
pub use model::{EmbeddingModel, Excess};
pub use semantic::SemanticSplitter;
pub use similarity::{similarities, similarity};
