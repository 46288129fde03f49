//! Ollama's embeddings: `POST /api/embed`, vectors as arrays of numbers in the order of the texts.
//!
//! ```
//! use graphbit::dialect::ollama_embeddings::decode;
//!
//! let answer = decode(br#"{"embeddings":[[1,2]],"prompt_eval_count":3}"#, 1, "Ollama")?;
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
    embeddings: Option<Vec<Vector<'a>>>,
    prompt_eval_count: Option<lenient::Count>,
}

/// Reads an answer to `texts` texts. `label` names the provider in messages.
///
/// # Errors
/// As [`super::embeddings::decode`].
pub fn decode(body: &[u8], texts: usize, label: &str) -> Result<Embeddings> {
    let lifted = Lifted::new(body);
    let answer: Answer<'_> = parse(&lifted, label)?;
    let vectors = answer.embeddings.ok_or_else(|| missing(body, "embeddings", label))?;
    let rows = vectors.into_iter().map(|embedding| Row { index: None, embedding }).collect();
    let vectors = assemble(rows, &lifted, texts, label)?;
    let tokens = count(answer.prompt_eval_count);
    let usage = EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(Embeddings { vectors, usage, pace: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_checked_as_everywhere() {
        let answer = decode(br#"{"model":"m","embeddings":[[1,2],[3,4]]}"#, 2, "Ollama").unwrap();
        assert_eq!(answer.vectors.as_slice(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(answer.usage, EmbeddingUsage::default());
        for (body, fault) in [
            (r#"{"embeddings":[[1,2]]}"#, "1 embeddings for 2 texts"),
            (r#"{"embeddings":[[1,2],[3]]}"#, "embedding 1 has 1 values"),
            (r#"{"embeddings":[]}"#, "No embeddings returned"),
            (r#"{"error":"x"}"#, "no embeddings in"),
            (r#"{"embeddings":[[1,null],[1,2]]}"#, "Failed to parse Ollama response"),
        ] {
            let error = decode(body.as_bytes(), 2, "Ollama").unwrap_err();
            assert!(error.message().contains(fault), "{error}");
        }
    }
}
