//! dialect
pub mod embeddings;
