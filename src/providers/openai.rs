//! OpenAI: `POST https://api.openai.com/v1/chat/completions` for every model.

use super::ChatSpec;
use crate::dialect::openai_chat::Wire;

/// OpenAI's constants.
pub const OPENAI: ChatSpec = ChatSpec {
    provider: "openai",
    label: "OpenAI",
    shortest_key: 20,
    base_url: "https://api.openai.com/v1",
    default_model: "gpt-4o-mini",
    wire: Wire::OPENAI,
};
