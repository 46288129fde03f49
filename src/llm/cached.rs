//! Answers as entries of a cache: what tells one question from another, and the form on the shelf.

use bytes::Bytes;
use serde_json::Value;

use crate::cache::{Completions, Key, Shelf};
use crate::error::{Error, Kind, Result};
use crate::types::{ChatRequest, ChatResponse};

/// Under this name of its metadata an answer says that it was not made for this call.
const CACHED: &str = "cached";

/// Whether the answer to `request` may be kept, and a kept one given.
pub(super) fn belongs(completions: Completions, request: &ChatRequest) -> bool {
    match completions {
        Completions::All => true,
        Completions::Deterministic => request.temperature == Some(0.0),
        Completions::None => false,
    }
}

/// Of everything that changes an answer: the model as the shelf describes it, and the whole request.
pub(super) fn key(shelf: &Shelf, request: &ChatRequest) -> Result<Key> {
    let request = serde_json::to_vec(request).map_err(|cause| unwritable(&cause))?;
    Ok(shelf.key("graphbit chat 1", &request))
}

/// An answer's form on the shelf.
pub(super) fn encode(answer: &ChatResponse) -> Result<Bytes> {
    Ok(serde_json::to_vec(answer).map_err(|cause| unwritable(&cause))?.into())
}

/// The answer of an entry, which says so; `None` when this version cannot read it.
pub(super) fn decode(entry: &[u8]) -> Option<ChatResponse> {
    let mut answer: ChatResponse = serde_json::from_slice(entry).ok()?;
    answer.metadata.insert(CACHED.to_owned(), Value::Bool(true));
    Some(answer)
}

fn unwritable(cause: &serde_json::Error) -> Error {
    Error::new(Kind::Internal, format!("Internal error: an answer cannot be cached: {cause}"))
}
