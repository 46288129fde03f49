//! Google's embeddings: `models/{model}:batchEmbedContents`, one request in the batch for each text.
//!
//! The answer has neither index nor encoding to choose: its rows stand in the order of the texts. The
//! decoder refuses to guess: a row too few, rows of different length and values that are not finite
//! numbers are errors.
//!
//! ```
//! use graphbit::dialect::gemini_embeddings::{Request, decode};
//!
//! let request = Request { model: "models/m", ..Request::default() };
//! let body = r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"hi"}]}}]}"#;
//! assert_eq!(request.encode(&["hi".into()])?, body);
//! let answer = decode(br#"{"embeddings":[{"values":[1,2]}]}"#, 1)?;
//! assert_eq!(answer.vectors.as_slice(), [1.0, 2.0]);
//! # Ok::<(), graphbit::Error>(())
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::lenient::{Count, Lenient};
use crate::error::{Error, Kind, Result};
use crate::types::{EmbeddingUsage, Embeddings, Matrix};

/// What is shown of an answer without embeddings.
const SHOWN: usize = 200;

/// What every text of a batch is asked with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The model's resource name, `models/...`; the same as in the URL.
    pub model: &'a str,
    /// What the vectors are for, such as `RETRIEVAL_DOCUMENT`.
    pub task_type: Option<&'a str>,
    /// Shortens the vectors. What comes back then is not of unit length.
    pub dimensions: Option<usize>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(serialize_with = "each")]
    requests: (&'a Request<'a>, &'a [String]),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Single<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<usize>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

fn each<S: Serializer>(
    (request, texts): &(&Request<'_>, &[String]),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts.iter().map(|text| Single {
        model: request.model,
        content: Content { parts: [Part { text }] },
        task_type: request.task_type,
        output_dimensionality: request.dimensions,
    }))
}

impl Request<'_> {
    /// The request body.
    ///
    /// # Errors
    /// [`Kind::Internal`] when serialising fails, which plain strings do not.
    pub fn encode(&self, texts: &[String]) -> Result<Bytes> {
        serde_json::to_vec(&Body { requests: (self, texts) }).map(Bytes::from).map_err(|reason| {
            Error::new(Kind::Internal, format!("cannot serialise the request: {reason}"))
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    embeddings: Option<Vec<Row>>,
    /// Only newer models count.
    #[serde(default)]
    usage_metadata: Lenient<Tokens>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    values: Vec<f32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tokens {
    prompt_token_count: Count,
    total_token_count: Option<Count>,
}

/// Reads an answer to `texts` texts.
///
/// # Errors
/// [`Kind::Decode`], the message beginning with `Failed to parse Gemini response`, `Invalid response
/// format from Gemini`, `Invalid embedding format` or `No embeddings returned`. It may quote the
/// server; the caller redacts it.
pub fn decode(body: &[u8], texts: usize) -> Result<Embeddings> {
    let refuse = |text: String| Error::new(Kind::Decode, text);
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|reason| refuse(format!("Failed to parse Gemini response: {reason}")))?;
    let Some(rows) = answer.embeddings else {
        let start = String::from_utf8_lossy(body.get(..SHOWN.min(body.len())).unwrap_or_default());
        let text = format!("Invalid response format from Gemini: no embeddings in {start}");
        return Err(refuse(text));
    };
    if rows.is_empty() {
        return Err(refuse("No embeddings returned".to_owned()));
    }
    if rows.len() != texts {
        let count = rows.len();
        return Err(refuse(format!(
            "Invalid response format from Gemini: {count} embeddings for {texts} texts"
        )));
    }
    let dimensions = rows.first().map_or(0, |row| row.values.len());
    let mut data = Vec::with_capacity(texts.saturating_mul(dimensions));
    for (number, Row { values }) in rows.into_iter().enumerate() {
        let fault = if values.is_empty() {
            "is empty".to_owned()
        } else if values.len() != dimensions {
            format!("has {} values, the first has {dimensions}", values.len())
        } else if !values.iter().all(|value| value.is_finite()) {
            "holds a value that is not a finite number".to_owned()
        } else {
            data.extend_from_slice(&values);
            continue;
        };
        return Err(refuse(format!("Invalid embedding format: embedding {number} {fault}")));
    }
    let tokens = answer.usage_metadata.0;
    let prompt_tokens = tokens.prompt_token_count.0;
    let total_tokens = tokens.total_token_count.map_or(prompt_tokens, |count| count.0);
    Ok(Embeddings {
        vectors: Matrix::new(data, texts, dimensions)?,
        usage: EmbeddingUsage { prompt_tokens, total_tokens },
        pace: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refusal(body: &str, texts: usize) -> String {
        let error = decode(body.as_bytes(), texts).unwrap_err();
        assert_eq!(error.kind(), Kind::Decode);
        error.message().to_owned()
    }

    #[test]
    fn the_body_holds_each_text_once_and_what_was_asked() {
        let texts = ["a\"b".to_owned(), String::new()];
        let request =
            Request { model: "models/m", task_type: Some("CLUSTERING"), dimensions: Some(8) };
        let body: Value = serde_json::from_slice(&request.encode(&texts).unwrap()).unwrap();
        let single = |text: &str| {
            json!({"model": "models/m", "content": {"parts": [{"text": text}]},
                "taskType": "CLUSTERING", "outputDimensionality": 8})
        };
        assert_eq!(body, json!({"requests": [single("a\"b"), single("")]}));
    }

    #[test]
    fn rows_and_tokens_are_read() {
        let body = br#"{"embeddings":[{"values":[0.1,-2]},{"values":[3,4.5]}],
            "usageMetadata":{"promptTokenCount":7,"totalTokenCount":9}}"#;
        let answer = decode(body, 2).unwrap();
        assert_eq!(answer.vectors.as_slice(), [0.1, -2.0, 3.0, 4.5]);
        assert_eq!((answer.usage.prompt_tokens, answer.usage.total_tokens), (7, 9));
        for odd in [r#""?""#, "null", "[]", "{}"] {
            let body = format!(r#"{{"embeddings":[{{"values":[1]}}],"usageMetadata":{odd}}}"#);
            assert_eq!(decode(body.as_bytes(), 1).unwrap().usage, EmbeddingUsage::default());
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        assert!(refusal("<html>", 1).starts_with("Failed to parse Gemini response: "));
        let error = refusal(r#"{"error":{"message":"no such model"}}"#, 1);
        assert!(error.starts_with("Invalid response format from Gemini") && error.contains("such"));
        assert_eq!(refusal(r#"{"embeddings":[]}"#, 1), "No embeddings returned");
        let one =
            |values: &str| refusal(&format!(r#"{{"embeddings":[{{"values":{values}}}]}}"#), 1);
        for values in ["[1,null]", "[1,\"2\"]", "[true]", "{}", "null", "[1e999]", "[1e39]"] {
            assert!(one(values).starts_with("Failed to parse Gemini response"), "{values}");
        }
        assert!(one("[]").starts_with("Invalid embedding format: embedding 0"));
        assert!(refusal(r#"{"embeddings":[{}]}"#, 1).contains("embedding 0 is empty"));
        let two = r#"{"embeddings":[{"values":[1,2]},{"values":[1]}]}"#;
        assert!(refusal(two, 2).contains("embedding 1 has 1 values, the first has 2"));
        assert!(refusal(two, 3).contains("2 embeddings for 3 texts"));
    }
}
