//! ByteDance's ModelArk: `POST {base}/chat/completions`, the region being part of the base.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// ByteDance's constants.
pub const BYTEDANCE: Provider = Provider {
    name: "bytedance",
    label: "ByteDance",
    shortest_key: 8,
    base_url: "https://ark.ap-southeast.bytepluses.com/api/v3",
    default_model: "seed-1-6-250915",
    key_variables: &["ARK_API_KEY", "BYTEDANCE_API_KEY"],
    url_variable: Some("ARK_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire { stream_usage: true, ..Wire::COMMON }),
};
