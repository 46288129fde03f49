//! Cohere's embeddings: `POST /v2/embed`, whose answer holds a list of vectors for each type asked for.
//!
//! Only `float` and `base64` are read; both stand for 32-bit floats. Rows carry no index: they come in
//! the order of the texts.
//!
//! ```
//! use graphbit::dialect::cohere_embeddings::decode;
//!
//! let body = br#"{"embeddings":{"float":[[1,2]]},"meta":{"billed_units":{"input_tokens":3}}}"#;
//! let answer = decode(body, 1, "Cohere")?;
//! assert_eq!((answer.vectors.as_slice(), answer.usage.total_tokens), ([1.0, 2.0].as_slice(), 3));
//! # Ok::<(), graphbit::Error>(())
//! ```

use serde::Deserialize;

use super::embeddings::{Lifted, Row, Vector, assemble, count, missing, parse};
use super::lenient;
use crate::error::Result;
use crate::types::{EmbeddingUsage, Embeddings};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    embeddings: Option<ByType<'a>>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct ByType<'a> {
    #[serde(borrow)]
    float: Option<Vec<Vector<'a>>>,
    #[serde(borrow)]
    base64: Option<Vec<Vector<'a>>>,
}

#[derive(Deserialize)]
struct Meta {
    billed_units: Option<Billed>,
}

#[derive(Deserialize)]
struct Billed {
    input_tokens: Option<lenient::Count>,
}

/// Reads an answer to `texts` texts. `label` names the provider in messages.
///
/// # Errors
/// As [`super::embeddings::decode`].
pub fn decode(body: &[u8], texts: usize, label: &str) -> Result<Embeddings> {
    let lifted = Lifted::new(body);
    let answer: Answer<'_> = parse(&lifted, label)?;
    let vectors = answer.embeddings.and_then(|by_type| by_type.base64.or(by_type.float));
    let vectors = vectors.ok_or_else(|| missing(body, "embeddings", label))?;
    let rows = vectors.into_iter().map(|embedding| Row { index: None, embedding }).collect();
    let vectors = assemble(rows, &lifted, texts, label)?;
    let billed = answer.meta.and_then(|meta| meta.billed_units);
    let tokens = count(billed.and_then(|billed| billed.input_tokens));
    let usage = EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(Embeddings { vectors, usage, pace: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn either_type_is_read_and_the_tokens_counted() {
        let body = br#"{"id":"x","embeddings":{"base64":["AACAPwAAAEA="]},"texts":["a"],
            "meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":2.0}}}"#;
        let answer = decode(body, 1, "Cohere").unwrap();
        assert_eq!(answer.vectors.as_slice(), [1.0, 2.0]);
        assert_eq!(answer.usage, EmbeddingUsage { prompt_tokens: 2, total_tokens: 2 });
        let bare = decode(br#"{"embeddings":{"float":[[1],[2]],"int8":null}}"#, 2, "Cohere");
        assert_eq!(bare.unwrap().usage, EmbeddingUsage::default());
    }

    #[test]
    fn an_answer_without_vectors_is_refused() {
        for body in [r#"{"message":"no"}"#, r#"{"embeddings":{"int8":[[1]]}}"#] {
            let error = decode(body.as_bytes(), 1, "Cohere").unwrap_err();
            assert_eq!(error.kind(), Kind::Decode);
            assert!(error.message().starts_with("Invalid response format from Cohere"), "{error}");
        }
        let short = decode(br#"{"embeddings":{"float":[[1]]}}"#, 2, "Cohere").unwrap_err();
        assert!(short.message().contains("1 embeddings for 2 texts"), "{short}");
    }
}
