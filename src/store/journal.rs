//! The journal of a store in a folder: every change since the last snapshot, in order.
//!
//! A record is the length of its body (u64), the CRC-32 of that length (u32), the CRC-32 of the body (u32), and
//! the body: one byte for the kind, the length of its JSON (u32), the JSON, and for added rows their scales, if the store has
//! such, and then their vectors, in the store's precision; all of it little-endian. A record is written in one call, so what a killed writer leaves behind is the beginning of
//! one at the very end, which nobody was told of. It is no damage; a record that is wrong in any other place
//! is, and is refused rather than passed over.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use super::{Entry, Metric, Precision};

const FRAME: usize = 16;
const START: u8 = 0;
const ADD: u8 = 1;
const DELETE: u8 = 2;
const REPLACE: u8 = 3;

/// What a journal says.
#[derive(Debug)]
pub(super) enum Record {
    /// Whose journal it is; the first record.
    Start(Start),
    /// Rows, each with its id.
    Add { entries: Vec<Entry>, vectors: Vec<u8> },
    /// Ids whose rows are gone.
    Delete(Vec<String>),
    /// Both at once.
    Replace { gone: Vec<String>, entries: Vec<Entry>, vectors: Vec<u8> },
}

/// The settings of a store that has no snapshot yet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) metric: Metric,
    pub(super) dimensions: Option<usize>,
    #[serde(default)]
    pub(super) precision: Precision,
}

pub(super) fn start(start: Start) -> Result<Vec<u8>, String> {
    frame(START, &start, &[])
}

pub(super) fn add(entries: &[Entry], vectors: &[u8]) -> Result<Vec<u8>, String> {
    frame(ADD, entries, vectors)
}

pub(super) fn delete(ids: &[&str]) -> Result<Vec<u8>, String> {
    frame(DELETE, ids, &[])
}

pub(super) fn replace(gone: &[&str], entries: &[Entry], vectors: &[u8]) -> Result<Vec<u8>, String> {
    frame(REPLACE, &(gone, entries), vectors)
}

fn frame(kind: u8, json: &(impl Serialize + ?Sized), vectors: &[u8]) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(json).map_err(|error| error.to_string())?;
    let json_length = u32::try_from(json.len())
        .map_err(|_| "the texts of one call exceed 4 GiB; add them in parts".to_owned())?;
    let mut body = Vec::with_capacity(5 + json.len() + vectors.len());
    body.push(kind);
    body.extend(json_length.to_le_bytes());
    body.extend(json);
    body.extend(vectors);
    let length = (body.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(FRAME + body.len());
    record.extend(length);
    record.extend(crc32fast::hash(&length).to_le_bytes());
    record.extend(crc32fast::hash(&body).to_le_bytes());
    record.append(&mut body);
    Ok(record)
}

/// Hands each whole record from byte `from` on to `apply`; the byte behind the last one.
///
/// # Errors
/// What is wrong with the journal, or what `apply` says.
pub(super) fn replay(
    file: &mut File,
    from: u64,
    mut apply: impl FnMut(Record) -> Result<(), String>,
) -> Result<u64, String> {
    let text = |error: std::io::Error| error.to_string();
    let end = file.metadata().map_err(text)?.len();
    file.seek(SeekFrom::Start(from)).map_err(text)?;
    // What is appended meanwhile is for the next time.
    let mut reader = BufReader::new(file.take(end.saturating_sub(from)));
    let mut position = from;
    loop {
        let left = end.saturating_sub(position);
        let mut head = [0; FRAME];
        if left < FRAME as u64 {
            return Ok(position);
        }
        reader.read_exact(&mut head).map_err(text)?;
        let [l0, l1, l2, l3, l4, l5, l6, l7, h0, h1, h2, h3, c0, c1, c2, c3] = head;
        let length = [l0, l1, l2, l3, l4, l5, l6, l7];
        let damaged = || Err(format!("its journal is damaged at byte {position}"));
        // A length that is not to be believed says nothing about where the record ends.
        if crc32fast::hash(&length) != u32::from_le_bytes([h0, h1, h2, h3]) {
            return match only_zeros(&head, &mut reader).map_err(text)? {
                true => Ok(position),
                false => damaged(),
            };
        }
        let size = u64::from_le_bytes(length);
        if size > left - FRAME as u64 {
            return Ok(position);
        }
        let mut body = vec![0; usize::try_from(size).map_err(|error| error.to_string())?];
        reader.read_exact(&mut body).map_err(text)?;
        let next = position + FRAME as u64 + size;
        if crc32fast::hash(&body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            // The last record may have had its room before its bytes when the power went.
            return if next == end { Ok(position) } else { damaged() };
        }
        let record = parse(&body).ok_or_else(|| {
            format!("its journal holds a record that this version cannot read, at byte {position}")
        })?;
        apply(record)?;
        position = next;
    }
}

/// Whether this is room that a power cut left empty.
fn only_zeros(head: &[u8], rest: &mut impl Read) -> std::io::Result<bool> {
    let mut remaining = head.to_vec();
    rest.read_to_end(&mut remaining)?;
    Ok(remaining.iter().all(|byte| *byte == 0))
}

fn parse(body: &[u8]) -> Option<Record> {
    let (kind, rest) = body.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (json, vectors) =
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    match *kind {
        START => serde_json::from_slice(json).ok().map(Record::Start),
        ADD => {
            let entries = serde_json::from_slice(json).ok()?;
            Some(Record::Add { entries, vectors: vectors.to_owned() })
        }
        DELETE => serde_json::from_slice(json).ok().map(Record::Delete),
        REPLACE => {
            let (gone, entries) = serde_json::from_slice(json).ok()?;
            Some(Record::Replace { gone, entries, vectors: vectors.to_owned() })
        }
        _ => None,
    }
}
