//! GraphBit: LLM, embedding, splitting and retrieval clients over one shared runtime.
//!
//! # Map of the house
//!
//! A module may import only from the rows above its own (`tests/architecture.rs` checks it):
//!
//! | row | modules | job |
//! |---|---|---|
//! | 1 | [`error`], [`secret`], [`types`], [`cost`], `lanes` | what everything speaks: one error, one secret, plain data and its price, bytes by the vector |
//! | 2 | [`runtime`] | the shared Tokio runtime, the blocking doorway, callback threads, fork |
//! | 3 | [`http`], [`tokens`], [`logging`] | the one transport; OpenAI's byte-pair tokens; who hears what happens |
//! | 4 | [`dialect`], [`lexical`], [`split`] | pure bytes in, bytes out: wire formats, words to find texts by, text splitting |
//! | 5 | [`resilience`], [`cache`] | what stands between a call and a provider's weather, naming none; answers kept, as bytes by key |
//! | 6 | [`llm`], [`embeddings`], [`load`], [`store`] | clients, document loading and the vector store |
//! | 7 | [`providers`], [`local`], [`guard`] | who answers: one file a provider, and the models that need no network; what none of them may read |
//! | 8 | [`rag`], [`workflow`], [`memory`] | [`rag::ParallelRag`], load, split, embed, store, ask; agents in a graph; what conversations leave behind |
//! | 9 | `python` (feature `python`) | thin bindings; the core never learns that Python exists |
//!
//! # Example
//!
//! ```
//! use graphbit::split::RecursiveSplitter;
//!
//! let splitter = RecursiveSplitter::new(40, 0, None)?;
//! let chunks = splitter.split("One paragraph.\n\nAnother paragraph, a little longer.");
//! assert_eq!(chunks.len(), 2);
//! # Ok::<(), graphbit::Error>(())
//! ```

pub mod cache;
pub mod cost;
pub mod dialect;
pub mod embeddings;
pub mod error;
pub mod guard;
pub mod http;
mod lanes;
pub mod lexical;
pub mod llm;
pub mod load;
pub mod local;
pub mod logging;
pub mod memory;
pub mod providers;
pub mod rag;
pub mod resilience;
pub mod runtime;
pub mod secret;
pub mod split;
pub mod store;
pub mod tokens;
pub mod types;
pub mod workflow;

#[cfg(feature = "python")]
mod python;

pub use error::{Advice, Error, Kind, Result};
