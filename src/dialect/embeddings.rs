//! The embeddings wire format of OpenAI, Azure and everything compatible with them.
//!
//! Vectors are accepted as arrays of numbers and as base64 of little-endian 32-bit floats, which is a
//! quarter of the size and a tenth of the decoding time. The decoder refuses to guess: values that are
//! not finite numbers, rows of different length, and a row count or `index` that does not fit the
//! texts are errors, never zeros.
//!
//! ```
//! use graphbit::dialect::embeddings::{Request, decode};
//!
//! let request = Request { model: Some("m"), ..Request::default() };
//! assert_eq!(request.encode(&["hi".into()], true)?, r#"{"model":"m","input":"hi"}"#);
//! let body = br#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2]}]}"#;
//! assert_eq!(decode(body, 2, "OpenAI")?.vectors.as_slice(), [1.0, 2.0, 3.0, 4.0]);
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::types::{EmbeddingUsage, Embeddings, Matrix};

/// What is shown of an answer that has no `data`.
const SHOWN: usize = 200;

/// The fields of a request beside its texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Model name; absent where the URL names a deployment.
    pub model: Option<&'a str>,
    /// `"base64"` or `"float"`; absent leaves it to the server.
    pub encoding_format: Option<&'a str>,
    /// Shortens the vectors, where the model can.
    pub dimensions: Option<usize>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    input: Input<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    One(&'a str),
    Many(&'a [String]),
}

impl Request<'_> {
    /// The request body. `single` sends one text as a string instead of an array of one.
    ///
    /// # Errors
    /// [`Kind::Internal`] when serialising fails, which plain strings do not.
    pub fn encode(&self, texts: &[String], single: bool) -> Result<Bytes> {
        let input = match texts {
            [text] if single => Input::One(text),
            texts => Input::Many(texts),
        };
        let body = Body {
            model: self.model,
            input,
            encoding_format: self.encoding_format,
            dimensions: self.dimensions,
        };
        serde_json::to_vec(&body).map(Bytes::from).map_err(|reason| {
            Error::new(Kind::Internal, format!("cannot serialise the request: {reason}"))
        })
    }
}

#[derive(DeriveDeserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Option<Vec<Row<'a>>>,
    usage: Option<Tokens>,
}

#[derive(DeriveDeserialize)]
struct Row<'a> {
    index: Option<usize>,
    #[serde(borrow)]
    embedding: Vector<'a>,
}

#[derive(Clone, Copy, Default, DeriveDeserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

/// Borrows base64 from the body, so that its floats are written once, into the matrix.
enum Vector<'a> {
    Base64(Cow<'a, str>),
    Floats(Vec<f32>),
}

// By hand, because a derived untagged enum first copies every number into a buffer of its own.
impl<'de: 'a, 'a> Deserialize<'de> for Vector<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vector<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of numbers or a base64 string")
            }

            fn visit_borrowed_str<E: de::Error>(
                self,
                text: &'de str,
            ) -> std::result::Result<Self::Value, E> {
                Ok(Vector::Base64(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(Vector::Base64(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut values: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut floats = Vec::with_capacity(values.size_hint().unwrap_or(1536));
                while let Some(value) = values.next_element()? {
                    floats.push(value);
                }
                Ok(Vector::Floats(floats))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Vector<'_> {
    /// Appends the values to `matrix`.
    fn append_to(self, matrix: &mut Vec<f32>) -> std::result::Result<(), &'static str> {
        match self {
            Self::Floats(floats) => matrix.extend_from_slice(&floats),
            Self::Base64(text) => {
                // The strict decoder is the fast one; missing padding is still understood.
                let bytes = base64_simd::STANDARD
                    .decode_to_vec(text.as_bytes())
                    .or_else(|_| base64_simd::forgiving_decode_to_vec(text.as_bytes()))
                    .map_err(|_| "is not valid base64")?;
                let (values, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err("is not a whole number of 32-bit floats");
                }
                matrix.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
            }
        }
        Ok(())
    }
}

/// Reads an answer to `texts` texts. `label` names the provider in messages.
///
/// # Errors
/// [`Kind::Decode`], the message beginning with `Failed to parse <label> response`, `Invalid response
/// format from <label>`, `Invalid embedding format` or `No embeddings returned`. It may quote the
/// server; the caller redacts it.
pub fn decode(body: &[u8], texts: usize, label: &str) -> Result<Embeddings> {
    let refuse = |text: String| Error::new(Kind::Decode, text);
    let answer: Answer<'_> = serde_json::from_slice(body)
        .map_err(|reason| refuse(format!("Failed to parse {label} response: {reason}")))?;
    let Some(rows) = answer.data else {
        let start = String::from_utf8_lossy(body.get(..SHOWN.min(body.len())).unwrap_or_default());
        return Err(refuse(format!("Invalid response format from {label}: no data in {start}")));
    };
    if rows.is_empty() {
        return Err(refuse("No embeddings returned".to_owned()));
    }
    if rows.len() != texts {
        return Err(refuse(format!(
            "Invalid response format from {label}: {} embeddings for {texts} texts",
            rows.len()
        )));
    }
    let order = order(&rows).ok_or_else(|| {
        let text =
            format!("Invalid response format from {label}: the indexes are not 0 to {texts}");
        refuse(text)
    })?;
    let vectors = matrix(rows, texts).map_err(|(row, text)| {
        refuse(format!("Invalid embedding format: embedding {row} {text}"))
    })?;
    let vectors = match order {
        None => vectors,
        Some(order) => reordered(&vectors, &order)?,
    };
    let tokens = answer.usage.unwrap_or_default();
    let usage = EmbeddingUsage {
        prompt_tokens: tokens.prompt_tokens.unwrap_or_default(),
        total_tokens: tokens.total_tokens.unwrap_or_default(),
    };
    Ok(Embeddings { vectors, usage })
}

/// Received position of each text's row: `Some(None)` when the rows are in order already, `None` when
/// the indexes make no sense. Servers that send no index, or 0 for every row, mean "as received".
#[expect(clippy::option_option, reason = "two different absences, named above")]
fn order(rows: &[Row<'_>]) -> Option<Option<Vec<usize>>> {
    let in_order =
        rows.iter().enumerate().all(|(position, row)| row.index.is_none_or(|i| i == position));
    if in_order || rows.iter().all(|row| row.index.is_none_or(|index| index == 0)) {
        return Some(None);
    }
    let mut order = vec![usize::MAX; rows.len()];
    for (position, row) in rows.iter().enumerate() {
        let place = order.get_mut(row.index?)?;
        if std::mem::replace(place, position) != usize::MAX {
            return None;
        }
    }
    Some(Some(order))
}

/// One matrix of all rows as received, or the number and the fault of the first bad row.
fn matrix(rows: Vec<Row<'_>>, texts: usize) -> std::result::Result<Matrix, (usize, String)> {
    let mut data = Vec::new();
    let mut dimensions = 0;
    for (number, row) in rows.into_iter().enumerate() {
        let start = data.len();
        row.embedding.append_to(&mut data).map_err(|fault| (number, fault.to_owned()))?;
        let values = data.get(start..).unwrap_or_default();
        if number == 0 {
            dimensions = values.len();
            data.reserve_exact(dimensions.saturating_mul(texts.saturating_sub(1)));
        }
        let values = data.get(start..).unwrap_or_default();
        if values.is_empty() {
            return Err((number, "is empty".to_owned()));
        }
        if values.len() != dimensions {
            let text = format!("has {} values, the first has {dimensions}", values.len());
            return Err((number, text));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err((number, "holds a value that is not a finite number".to_owned()));
        }
    }
    Matrix::new(data, texts, dimensions).map_err(|error| (0, error.message().to_owned()))
}

fn reordered(matrix: &Matrix, order: &[usize]) -> Result<Matrix> {
    let mut data = Vec::with_capacity(matrix.as_slice().len());
    for &position in order {
        data.extend_from_slice(matrix.row(position).unwrap_or_default());
    }
    Matrix::new(data, matrix.rows(), matrix.dimensions())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(body: &str, texts: usize) -> String {
        let error = decode(body.as_bytes(), texts, "OpenAI").unwrap_err();
        assert_eq!(error.kind(), Kind::Decode);
        error.message().to_owned()
    }

    fn base64(values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        base64_simd::STANDARD.encode_to_string(bytes)
    }

    #[test]
    fn the_body_holds_what_was_asked_and_nothing_else() {
        let texts = ["a\"b".to_owned(), "é".to_owned()];
        let plain = Request::default();
        assert_eq!(plain.encode(&texts, false).unwrap(), r#"{"input":["a\"b","é"]}"#);
        assert_eq!(plain.encode(&texts[..1], false).unwrap(), r#"{"input":["a\"b"]}"#);
        assert_eq!(plain.encode(&texts[..1], true).unwrap(), r#"{"input":"a\"b"}"#);
        let full =
            Request { model: Some("m"), encoding_format: Some("base64"), dimensions: Some(8) };
        let expected = r#"{"model":"m","input":"é","encoding_format":"base64","dimensions":8}"#;
        assert_eq!(full.encode(&texts[1..], true).unwrap(), expected);
    }

    #[test]
    fn both_encodings_and_missing_fields_are_read() {
        let encoded = base64(&[0.1, -2.0]);
        let escaped = base64(&[f32::from_bits(0x3fff_ffff)]).replace('/', "\\/");
        assert!(escaped.contains("\\/"), "{escaped}");
        let body = format!(
            r#"{{"object":"list","data":[{{"embedding":"{encoded}"}},{{"embedding":[1,2.5]}}]}}"#
        );
        let answer = decode(body.as_bytes(), 2, "OpenAI").unwrap();
        assert_eq!(answer.vectors.as_slice(), [0.1, -2.0, 1.0, 2.5]);
        assert_eq!(answer.usage, EmbeddingUsage::default());
        let unpadded = base64(&[1.0]).trim_end_matches('=').to_owned();
        let body = format!(
            r#"{{"data":[{{"embedding":"{escaped}"}},{{"embedding":"{unpadded}"}}],
            "usage":{{"prompt_tokens":3,"total_tokens":null}}}}"#
        );
        let answer = decode(body.as_bytes(), 2, "OpenAI").unwrap();
        assert_eq!(answer.vectors.as_slice(), [f32::from_bits(0x3fff_ffff), 1.0]);
        assert_eq!(answer.usage.prompt_tokens, 3);
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        assert!(refusal("<html>", 1).starts_with("Failed to parse OpenAI response: "));
        let error = refusal(r#"{"error":"no such model"}"#, 1);
        assert!(
            error.starts_with("Invalid response format from OpenAI") && error.contains("model")
        );
        assert_eq!(refusal(r#"{"data":[]}"#, 1), "No embeddings returned");
        let one = |vector: &str| refusal(&format!(r#"{{"data":[{{"embedding":{vector}}}]}}"#), 1);
        for vector in ["[1,null]", "[1,\"2\"]", "[true]", "{}", "7", "null", "[1e999]"] {
            assert!(one(vector).starts_with("Failed to parse OpenAI response"), "{vector}");
        }
        let nan = format!("\"{}\"", base64(&[1.0, f32::NAN]));
        for vector in ["[]", "\"\"", "\"****\"", "\"AAA=\"", "[1e39]", &nan] {
            assert!(one(vector).starts_with("Invalid embedding format: embedding 0"), "{vector}");
        }
        let two = r#"{"data":[{"embedding":[1,2]},{"embedding":[1]}]}"#;
        assert!(refusal(two, 2).contains("embedding 1 has 1 values, the first has 2"));
        assert!(refusal(two, 3).contains("2 embeddings for 3 texts"));
    }

    #[test]
    fn indexes_must_name_every_text_once() {
        let body = |indexes: &[&str]| {
            let row = |index: &&str| format!(r#"{{"embedding":[1],"index":{index}}}"#);
            let rows: Vec<_> = indexes.iter().map(row).collect();
            format!(r#"{{"data":[{}]}}"#, rows.join(","))
        };
        for wrong in [["1", "1"], ["0", "2"], ["1", "null"], ["2", "0"]] {
            assert!(refusal(&body(&wrong), 2).contains("indexes"), "{wrong:?}");
        }
        for fine in [["0", "0"], ["null", "null"], ["0", "1"], ["1", "0"], ["0", "null"]] {
            assert!(decode(body(&fine).as_bytes(), 2, "OpenAI").is_ok(), "{fine:?}");
        }
    }

    proptest! {
        #[test]
        fn rows_come_back_in_the_order_of_the_texts(
            order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
            encode in proptest::collection::vec(proptest::bool::ANY, 12),
        ) {
            let row = |(&index, &encode): (&usize, &bool)| {
                #[expect(clippy::cast_precision_loss, reason = "below 12")]
                let values = [index as f32, 0.5];
                let vector =
                    if encode { format!("\"{}\"", base64(&values)) } else { format!("{values:?}") };
                format!(r#"{{"index":{index},"embedding":{vector}}}"#)
            };
            let rows: Vec<_> = order.iter().zip(&encode).map(row).collect();
            let body = format!(r#"{{"data":[{}]}}"#, rows.join(","));
            let answer = decode(body.as_bytes(), 12, "OpenAI").unwrap();
            for (number, row) in answer.vectors.iter().enumerate() {
                #[expect(clippy::cast_precision_loss, reason = "below 12")]
                let expected = [number as f32, 0.5];
                prop_assert_eq!(row, expected.as_slice());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = decode(&body, 1, "OpenAI");
        }
    }
}
