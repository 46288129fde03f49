//! Bodies of answers: the next piece of one, and a compressed one made plain.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// The next piece, of whatever size the network delivered; trailers are passed over.
pub(super) async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(piece) if piece.is_empty() => {}
            Ok(piece) => return Ok(Some(piece)),
            Err(_trailers) => {}
        }
    }
    Ok(None)
}

/// Why a compressed body cannot be had.
pub(super) enum Inflating {
    /// It has more than the limit's bytes.
    TooLarge,
    /// It is not what its header says.
    Broken(std::io::Error),
}

fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    encoding.is_some_and(|word| matches!(word.trim(), "gzip" | "x-gzip"))
}

/// The plain form of a compressed body, at most `limit` bytes; `None` when it is plain already. The
/// headers then no longer speak of the compressed form.
pub(super) fn inflated(
    headers: &mut HeaderMap,
    body: &[u8],
    limit: usize,
) -> Option<Result<Bytes, Inflating>> {
    if !is_gzip(headers) || body.is_empty() {
        return None;
    }
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    let mut plain = Vec::with_capacity(body.len().saturating_mul(3).min(limit));
    // One byte more than allowed tells "exactly the limit" from "more".
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    Some(match MultiGzDecoder::new(body).take(most).read_to_end(&mut plain) {
        Ok(length) if length > limit => Err(Inflating::TooLarge),
        Ok(_) => Ok(plain.into()),
        Err(reason) => Err(Inflating::Broken(reason)),
    })
}

/// As much of a compressed body's beginning as can be read.
pub(super) fn beginning(headers: &HeaderMap, body: Vec<u8>, limit: usize) -> Vec<u8> {
    if !is_gzip(headers) {
        return body;
    }
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    // What was read before the stream broke off stays in `plain`.
    let _ = MultiGzDecoder::new(body.as_slice()).take(most).read_to_end(&mut plain);
    plain
}
