//! The embeddings wire format of OpenAI, Azure and everything compatible with them, and what the other
//! embedding formats share with it.
//!
//! Vectors are accepted as arrays of numbers and as base64 of little-endian 32-bit floats, which is less
//! than half the size and a tenth of the decoding time. The decoder refuses to guess: values that are
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

mod lift;
#[cfg(test)]
mod tests;
mod vector;

use bytes::Bytes;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lenient;
use crate::error::{Error, Kind, Result};
use crate::types::{EmbeddingUsage, Embeddings, Matrix};

pub(super) use lift::Lifted;
pub(super) use vector::Vector;

/// What is shown of an answer that has no vectors.
const SHOWN: usize = 200;

/// Everything a request says beside its texts.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Model name; absent where the URL names a deployment.
    pub model: Option<&'a str>,
    /// The field that holds the texts.
    pub texts: &'a str,
    /// Further fields, in the order in which they are sent.
    pub fields: &'a [(&'static str, Value)],
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { model: None, texts: "input", fields: &[] }
    }
}

struct Body<'a> {
    request: &'a Request<'a>,
    texts: &'a [String],
    single: bool,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Request { model, texts, fields } = self.request;
        let mut map = serializer.serialize_map(None)?;
        if let Some(model) = model {
            map.serialize_entry("model", model)?;
        }
        match self.texts {
            [text] if self.single => map.serialize_entry(texts, text)?,
            many => map.serialize_entry(texts, many)?,
        }
        for (name, value) in *fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Request<'_> {
    /// The request body. `single` sends one text as a string instead of an array of one.
    ///
    /// # Errors
    /// [`Kind::Internal`] when serialising fails, which plain strings do not.
    pub fn encode(&self, texts: &[String], single: bool) -> Result<Bytes> {
        // Room for quotes, commas and a few escapes: the texts are copied once.
        let length: usize = texts.iter().map(|text| text.len() + text.len() / 16 + 4).sum();
        let mut buffer = Vec::with_capacity(length + 256);
        let body = Body { request: self, texts, single };
        serde_json::to_writer(&mut buffer, &body).map_err(|reason| {
            Error::new(Kind::Internal, format!("cannot serialise the request: {reason}"))
        })?;
        Ok(Bytes::from(buffer))
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Option<Vec<Row<'a>>>,
    usage: Option<Tokens>,
}

/// One vector as it came, and the text it says it belongs to.
#[derive(Deserialize)]
pub(super) struct Row<'a> {
    pub(super) index: Option<usize>,
    #[serde(borrow)]
    pub(super) embedding: Vector<'a>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    prompt_tokens: Option<lenient::Count>,
    total_tokens: Option<lenient::Count>,
}

/// Reads an answer to `texts` texts. `label` names the provider in messages.
///
/// # Errors
/// [`Kind::Decode`], the message beginning with `Failed to parse <label> response`, `Invalid response
/// format from <label>`, `Invalid embedding format` or `No embeddings returned`. It may quote the
/// server; the caller redacts it.
pub fn decode(body: &[u8], texts: usize, label: &str) -> Result<Embeddings> {
    let lifted = Lifted::new(body);
    let answer: Answer<'_> = parse(&lifted, label)?;
    let rows = answer.data.ok_or_else(|| missing(body, "data", label))?;
    let vectors = assemble(rows, &lifted, texts, label)?;
    let tokens = answer.usage.unwrap_or_default();
    let total = count(tokens.total_tokens);
    // Voyage and Jina may give the total alone; all of it is the prompt's.
    let prompt = tokens.prompt_tokens.map_or(total, |tokens| tokens.0);
    let usage = EmbeddingUsage { prompt_tokens: prompt, total_tokens: total };
    Ok(Embeddings { vectors, usage, pace: None })
}

/// The body in the shape of a dialect.
pub(super) fn parse<'a, T: Deserialize<'a>>(lifted: &'a Lifted<'_>, label: &str) -> Result<T> {
    lifted.parse().map_err(|reason| {
        Error::new(Kind::Decode, format!("Failed to parse {label} response: {reason}"))
    })
}

/// The error for an answer without the field that holds the vectors.
pub(super) fn missing(body: &[u8], field: &str, label: &str) -> Error {
    let start = String::from_utf8_lossy(body.get(..SHOWN.min(body.len())).unwrap_or_default());
    let text = format!("Invalid response format from {label}: no {field} in {start}");
    Error::new(Kind::Decode, text)
}

/// A count of tokens; absent is 0.
pub(super) fn count(tokens: Option<lenient::Count>) -> u64 {
    tokens.map_or(0, |tokens| tokens.0)
}

/// One matrix of `texts` rows, each in the place of its text.
pub(super) fn assemble(
    rows: Vec<Row<'_>>,
    lifted: &Lifted<'_>,
    texts: usize,
    label: &str,
) -> Result<Matrix> {
    let refuse = |text: String| Error::new(Kind::Decode, text);
    if rows.is_empty() {
        return Err(refuse("No embeddings returned".to_owned()));
    }
    if rows.len() != texts {
        let text = format!(
            "Invalid response format from {label}: {} embeddings for {texts} texts",
            rows.len()
        );
        return Err(refuse(text));
    }
    let order = order(&rows).ok_or_else(|| {
        let last = texts.saturating_sub(1);
        refuse(format!("Invalid response format from {label}: the indexes are not 0 to {last}"))
    })?;
    let vectors = matrix(rows, lifted).map_err(|(row, fault)| {
        refuse(format!("Invalid embedding format: embedding {row} {fault}"))
    })?;
    match order {
        None => Ok(vectors),
        Some(order) => reordered(&vectors, &order),
    }
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
fn matrix(rows: Vec<Row<'_>>, lifted: &Lifted<'_>) -> std::result::Result<Matrix, (usize, String)> {
    let texts = rows.len();
    let mut data = Vec::new();
    let mut dimensions = 0;
    for (number, row) in rows.into_iter().enumerate() {
        let fault = |fault: &str| (number, fault.to_owned());
        let values = row.embedding.dimensions(lifted).map_err(fault)?;
        if values == 0 {
            return Err(fault("is empty"));
        }
        if number == 0 {
            dimensions = values;
            data.reserve_exact(texts.saturating_mul(dimensions));
        }
        if values != dimensions {
            return Err((number, format!("has {values} values, the first has {dimensions}")));
        }
        row.embedding.append_to(&mut data, lifted).map_err(fault)?;
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
