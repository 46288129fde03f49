//! Long-term memory: what conversations leave behind, found again by what it means.
//!
//! [`MemoryClient::add`] has a language model write the facts of a conversation down and decide what becomes of each
//! beside what is known already; [`MemoryClient::search`] finds by vectors. All of it lives in one SQLite file, which
//! GraphBit 0.6.8 reads and writes as well. It refuses to store half of a decision, to touch a memory outside of the scope
//! of a call, and to take what a conversation says for an order.
//!
//! ```no_run
//! use graphbit::llm::LlmClient;
//! use graphbit::embeddings::EmbeddingClient;
//! use graphbit::memory::{MemoryClient, MemorySettings, Scope, TOP_K};
//! use graphbit::types::{Message, Role};
//!
//! async fn remember(llm: LlmClient, embeddings: EmbeddingClient) -> graphbit::Result<()> {
//!     let memory = MemoryClient::open(MemorySettings::new(llm, embeddings)).await?;
//!     let scope = Scope { user_id: Some("ana".into()), ..Scope::default() };
//!     let said = vec![Message::new(Role::User, "I moved to Lyon last week.")];
//!     memory.add(said, scope.clone()).await?;
//!     for found in memory.search("Where does Ana live?".into(), scope, TOP_K).await? {
//!         let _ = (found.score, found.memory.content);
//!     }
//!     Ok(())
//! }
//! ```

mod client;
mod database;
mod prompt;
mod record;
mod reply;
mod rows;
mod schema;
mod search;
#[cfg(test)]
mod tests;

pub use client::{MemoryClient, MemorySettings, TOP_K};
pub use record::{Change, Memory, Scope, ScoredMemory};
