//! Cohere's embeddings: vectors by type, in the order of the texts.
//!
//! ```text
//! {"texts": ["a"], "embedding_types": ["float"]} -> {"embeddings": {"float": [[...]]}, ...}
//! ```

use std::borrow::Cow;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Refusal, count_words, inputs, parse};
use crate::answer::Answer;
use crate::vectors;

#[derive(Deserialize)]
struct EmbedRequest<'a> {
    #[serde(borrow)]
    texts: &'a RawValue,
    #[serde(borrow, default)]
    input_type: Cow<'a, str>,
    #[serde(borrow, default)]
    embedding_types: Vec<Cow<'a, str>>,
    #[serde(default)]
    output_dimension: Option<usize>,
}

pub(super) fn embed(body: &[u8], dimensions: usize) -> Result<Answer, Refusal> {
    let request: EmbedRequest<'_> = parse(body)?;
    let texts = inputs(request.texts)?;
    if request.input_type.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "input_type is required for this model".into()));
    }
    if texts.len() > 96 {
        let text = format!("total number of texts must be at most 96 - received {}", texts.len());
        return Err((StatusCode::BAD_REQUEST, text));
    }
    let dimensions = request.output_dimension.unwrap_or(dimensions);
    let base64 = request.embedding_types.iter().any(|kind| kind == "base64");
    let kind = if base64 { "base64" } else { "float" };
    let mut words = 0;
    let mut out = format!(r#"{{"id":"simulated","embeddings":{{"{kind}":["#).into_bytes();
    for (index, text) in texts.iter().enumerate() {
        words += count_words(text);
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&vectors::render(text, dimensions, base64));
    }
    let tail = format!(r#"]}},"meta":{{"billed_units":{{"input_tokens":{words}}}}}}}"#);
    out.extend_from_slice(tail.as_bytes());
    Ok(Answer::json(out))
}
