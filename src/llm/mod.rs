//! The LLM client: [`ChatModel`]s and what protects the calls of them.
//!
//! It refuses to know a provider: whoever answers arrives as `Arc<dyn ChatModel>`, be it a server, a
//! model in this process, or a user's function.
//!
//! ```no_run
//! use graphbit::llm::LlmClient;
//! use graphbit::providers::{Connection, LlmConfig};
//! use graphbit::types::ChatRequest;
//!
//! let config = LlmConfig::ollama(None, Connection::default())?;
//! let client = LlmClient::new(config.model(), Default::default());
//! let answer = graphbit::runtime::block_on(async move {
//!     client.complete(ChatRequest::from_prompt("Why is the sky blue?")).await
//! })?;
//! # let _ = answer.content;
//! # Ok::<(), graphbit::Error>(())
//! ```

mod assembly;
mod cached;
mod client;
pub mod many;
#[cfg(test)]
mod market;
mod model;
pub mod structured;

pub use assembly::Assembly;
pub use client::{ANSWERED_BY, Ask, LlmClient, Lookup, MODEL};
pub use many::{Each, Gathered, Many, ManyOptions};
pub use model::{BoxFuture, ChatModel, ChatStream};
