//! Voyage: `POST https://api.voyageai.com/v1/embeddings`.
//!
//! Its only word for an encoding is `base64`; numbers are what comes without it.

use super::{EmbeddingProvider, Encoding, FAMILY, Fields, Limits};

/// Voyage's constants.
pub const VOYAGE: EmbeddingProvider = EmbeddingProvider {
    name: "voyage",
    label: "Voyage",
    base_url: "https://api.voyageai.com/v1",
    default_model: "voyage-4",
    key_variables: &["VOYAGE_API_KEY"],
    options: &["dimensions", "encoding_format", "input_type", "truncate"],
    fields: |asked| {
        let base64 = asked.encoding.filter(|encoding| *encoding == Encoding::Base64);
        Fields::new()
            .text("input_type", asked.settings.option("input_type"))
            .with("truncation", asked.truncate())
            .number("output_dimension", asked.dimensions)
            .text("encoding_format", base64.map(Encoding::as_str))
    },
    limits: |model| Limits { texts: 1000, tokens: Some(tokens(model)) },
    ..FAMILY
};

/// The most tokens of a request, which depend on the size of the model.
fn tokens(model: &str) -> usize {
    match model {
        _ if model.ends_with("-lite") => 1_000_000,
        "voyage-4" | "voyage-3.5" | "voyage-2" => 320_000,
        _ => 120_000,
    }
}
