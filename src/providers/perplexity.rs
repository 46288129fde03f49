//! Perplexity: `POST https://api.perplexity.ai/chat/completions`. It cites what it found on the web.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// Perplexity's constants.
pub const PERPLEXITY: Provider = Provider {
    name: "perplexity",
    label: "Perplexity",
    shortest_key: 8,
    base_url: "https://api.perplexity.ai",
    default_model: "sonar",
    key_variables: &["PERPLEXITY_API_KEY", "PPLX_API_KEY"],
    url_variable: Some("PERPLEXITY_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire::COMMON),
};
