//! Chat data: what is asked, what comes back, and what a stream delivers in between.
//!
//! ```
//! use graphbit::types::ChatRequest;
//!
//! let request = ChatRequest::from_prompt("Why is the sky blue?");
//! assert_eq!(request.messages.len(), 1);
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Pace;
use super::document::Passage;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// The lower-case word used on the wire by the chat-completions family.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text; may be empty when there are tool calls.
    pub content: String,
    /// Calls the assistant asked for.
    pub tool_calls: Vec<ToolCall>,
    /// For [`Role::Tool`]: which call this answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A plain text message.
    #[must_use]
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// A call the model asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id for the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Arguments, parsed; `{"raw_arguments": text}` when the model's text is not JSON.
    pub arguments: Value,
    /// What the provider wants back beside the call when the conversation goes on (Gemini's thought
    /// signature); opaque.
    pub signature: Option<String>,
}

impl ToolCall {
    /// A call without a signature.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        Self { id: id.into(), name: name.into(), arguments, signature: None }
    }
}

/// Whether the model may, must or must not call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool, although tools are described.
    None,
    /// At least one tool, whichever.
    Required,
    /// This tool.
    Tool(String),
}

/// The shape an answer must have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ResponseFormat {
    /// Any JSON object.
    Json,
    /// JSON that fits a schema.
    Schema {
        /// A name for it: letters, digits, `_` and `-`.
        name: String,
        /// JSON Schema.
        schema: Value,
        /// Whether the provider is to guarantee the schema rather than to try.
        strict: bool,
    },
}

/// One request to a chat model. Unset options are left out of the wire format.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChatRequest {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Upper bound on generated tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature, sent exactly as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling mass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Tools offered to the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// Whether tools must be called; unset lets the model decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// The shape the answer must have; unset is free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Texts that end the answer; they are not part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Seed of the sampling, where the provider has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Fields added to the body as they are; they win over those of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_body: Option<Map<String, Value>>,
    /// Keep the server's whole answer in [`ChatResponse::raw`].
    pub keep_raw: bool,
    /// Ask the provider to cache the prompt, where it has such a switch.
    pub prompt_caching: bool,
    /// The passages a retrieval prompt was built from. Remote models read them in the prompt text;
    /// the extractive model quotes from here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passages: Vec<Passage>,
}

impl ChatRequest {
    /// A single user message.
    #[must_use]
    pub fn from_prompt(prompt: impl Into<String>) -> Self {
        Self { messages: vec![Message::new(Role::User, prompt)], ..Self::default() }
    }
}

/// Tokens used. 64-bit, and sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// The server's total where it reports one, else the sum.
    pub total_tokens: u64,
    /// Part of the prompt read from the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    /// Part of the prompt written to the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_tokens: Option<u64>,
    /// Part of the completion spent on reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

impl Usage {
    /// Usage from the two counts every provider reports.
    #[must_use]
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            ..Self::default()
        }
    }

    /// The sum of two usages; an optional part is absent only when both lack it.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (one, None) | (None, one) => one,
            }
        }
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            total_tokens: self.total_tokens.saturating_add(other.total_tokens),
            cache_read_tokens: sum(self.cache_read_tokens, other.cache_read_tokens),
            cache_creation_tokens: sum(self.cache_creation_tokens, other.cache_creation_tokens),
            reasoning_tokens: sum(self.reasoning_tokens, other.reasoning_tokens),
        }
    }
}

/// Why the model stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FinishReason {
    /// It was done.
    #[default]
    Stop,
    /// It hit the token limit.
    Length,
    /// It wants tools called.
    ToolCalls,
    /// A filter cut it.
    ContentFilter,
    /// The provider reports an error.
    Error,
    /// The provider's own word, when it is none of the above.
    Other(String),
}

impl FinishReason {
    /// Maps the chat-completions family's words.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            "error" => Self::Error,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The word for this reason.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A finished answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatResponse {
    /// The text; empty when the model said nothing.
    pub content: String,
    /// The configured model or deployment; the server's own name is in `metadata`.
    pub model: String,
    /// The provider's id for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Calls the model asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Tokens used.
    pub usage: Usage,
    /// Why it stopped.
    pub finish_reason: FinishReason,
    /// What else the provider said (`provider_finish_reason`, `server_model`, ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// The server's whole answer, when [`ChatRequest::keep_raw`] asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// Who answered; filled in by the client, which may have asked several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    /// What the provider said of its rate limits; never of a streamed answer.
    #[serde(skip)]
    pub pace: Option<Box<Pace>>,
}

/// One item of a streamed answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatEvent {
    /// A piece of text, never empty.
    Text(String),
    /// A piece of what the model thinks before it answers, never empty; no part of the text.
    Reasoning(String),
    /// A piece of a tool call; pieces with the same index belong together.
    ToolCallDelta {
        /// Which call.
        index: usize,
        /// The call's id, in its first piece.
        id: Option<String>,
        /// The tool's name, in its first piece.
        name: Option<String>,
        /// The next raw piece of its JSON arguments.
        arguments: String,
    },
    /// The single terminal event.
    Done {
        /// Tokens used, when the provider reports them.
        usage: Option<Usage>,
        /// Why it stopped.
        finish_reason: FinishReason,
        /// What else the provider said, under the names of [`ChatResponse::metadata`], and `id`.
        metadata: BTreeMap<String, Value>,
    },
}
