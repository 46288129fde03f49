//! What a refused request says about itself: too much of it, or an encoding nobody knows.
//!
//! The status decides whether a refusal is looked at and what class of error it is; the words decide
//! only whether a smaller or plainer request is worth sending.

use crate::embeddings::Excess;
use crate::error::Error;

/// Statuses with which servers refuse what a request holds.
const REFUSALS: [u16; 3] = [400, 413, 422];

/// Parts of sentences, lower-case, with which servers refuse the amount. Each is from a server: OpenAI,
/// Mistral, Voyage, Cohere, Jina, Ollama, text-embeddings-inference, vLLM, llama.cpp.
const TOO_MUCH: [&str; 16] = [
    "max_tokens_per_request",
    "maximum input length",
    "maximum context length",
    "too many tokens",
    "too many inputs",
    "split into more",
    "max allowed tokens",
    "number of tokens in the batch",
    "number of texts must be at most",
    "can contain at most",
    "largest allowed size",
    "exceeds the context length",
    "exceeds maximum context length",
    "maximum allowed batch size",
    "input is too large",
    "inputs are too long",
];

/// Whether a server refused the amount, and of how many texts it speaks.
pub(super) fn excess(error: &Error) -> Option<Excess> {
    let status = error.status().filter(|status| REFUSALS.contains(status))?;
    let text = error.message().to_lowercase();
    if status != 413 && !TOO_MUCH.iter().any(|words| text.contains(words)) {
        return None;
    }
    Some(text_number(&text).map_or(Excess::Request, Excess::Text))
}

/// The position in "invalid 'input[3]': maximum input length is 8192 tokens".
fn text_number(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("'input[")?;
    let (number, _) = rest.split_once(']')?;
    number.parse().ok()
}

/// Whether a server refused the encoding it was asked for.
pub(super) fn names_encoding(error: &Error) -> bool {
    let refused = error.status().is_some_and(|status| matches!(status, 400 | 422));
    let text = error.message();
    refused && ["encoding_format", "embedding_type", "base64"].iter().any(|it| text.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn refused(status: u16, text: &'static str) -> Error {
        Error::new(Kind::BadRequest, text).with_status(status)
    }

    #[test]
    fn the_amount_is_recognised_in_every_servers_words() {
        for text in [
            r#"{"error":{"message":"Requested 943140 tokens, max 300000 tokens per request","type":"max_tokens_per_request"}}"#,
            r#"{"message":"Too many tokens overall, split into more batches.","code":"3210"}"#,
            r#"{"message":"Too many inputs in request, split into more batches."}"#,
            r#"{"detail":"The max allowed tokens per submitted batch is 120000. Your batch has 130000 tokens"}"#,
            r#"{"message":"total number of texts must be at most 96 - received 100"}"#,
            r#"{"detail":"'body -> jina-embeddings-v4' Each input list can contain at most 512 items."}"#,
            r#"{"detail":"input length is larger than the largest allowed size 2048"}"#,
            r#"{"message":"batch size 64 > maximum allowed batch size 32","type":"Validation"}"#,
            r#"{"error":"the input length exceeds the context length"}"#,
        ] {
            assert_eq!(excess(&refused(400, text)), Some(Excess::Request), "{text}");
            assert_eq!(excess(&refused(500, text)), None, "{text}");
        }
        let long = "Invalid 'input[3]': maximum input length is 8192 tokens.";
        assert_eq!(excess(&refused(400, long)), Some(Excess::Text(3)));
        assert_eq!(excess(&refused(413, "")), Some(Excess::Request));
        for text in ["no such model", "dimensions must be at most 1536", "invalid 'input[3]'"] {
            assert_eq!(excess(&refused(400, text)), None, "{text}");
        }
    }

    #[test]
    fn a_refused_encoding_is_named_by_field_or_word() {
        for text in ["Unknown field: encoding_format", "embedding_type: bad", "no base64 here"] {
            assert!(names_encoding(&refused(400, text)), "{text}");
            assert!(!names_encoding(&refused(500, text)), "{text}");
        }
        assert!(!names_encoding(&refused(400, "bad words")));
    }
}
