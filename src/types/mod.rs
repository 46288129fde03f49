//! Plain data that every layer speaks: chat requests and responses, embedding matrices, documents,
//! the pace a provider allows.
//!
//! No I/O, no provider names, no Python. Fields are public because there is nothing to protect.

pub mod chat;
pub mod document;
pub mod embedding;
pub mod pace;

pub use chat::{
    ChatEvent, ChatRequest, ChatResponse, FinishReason, Message, ResponseFormat, Role, ToolCall,
    ToolChoice, ToolSpec, Usage,
};
pub use document::{Document, Passage};
pub use embedding::{EmbeddingUsage, Embeddings, Matrix};
pub use pace::Pace;
