//! Rows on their way: into the server by binary COPY, out of it into entries.
//!
//! It refuses texts with a NUL character, which PostgreSQL cannot hold, before anything is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;
use tokio_postgres::Row;

use super::failure::Failure;
use crate::error::{Error, Kind, Result};
use crate::store::{Entry, StoredEntry};
use crate::types::Matrix;

/// What the columns of a row that is sent are called, in order.
pub(super) const SENT: &str = "place, id, text, metadata, embedding";
const FIELDS: i16 = 5;
/// Of a stored row, what [`entry`] reads.
pub(super) const READ: &str = "id, text, metadata::text, sequence";
/// Bytes handed over at once.
const PIECE: usize = 256 << 10;

/// Refuses what the server cannot hold.
pub(super) fn check(entries: &[Entry]) -> Result<()> {
    for (row, entry) in entries.iter().enumerate() {
        let metadata = entry.metadata.iter().flat_map(|(key, value)| [key, value]);
        let texts = [("ids", &entry.id), ("texts", &entry.text)].into_iter();
        let mut texts = texts.chain(metadata.map(|text| ("metadatas", text)));
        if let Some((field, _)) = texts.find(|(_, text)| text.contains('\0')) {
            let text = "holds a NUL character, which PostgreSQL cannot store";
            return Err(Error::validation(field, Some(&format!("row {row}")), text));
        }
    }
    Ok(())
}

/// The bytes of a binary COPY of [`SENT`], piece by piece.
pub(super) struct Copy<'r> {
    rows: std::iter::Enumerate<std::iter::Zip<std::slice::Iter<'r, Entry>, Rows<'r>>>,
    buffer: BytesMut,
    ended: bool,
}

type Rows<'r> = Box<dyn Iterator<Item = &'r [f32]> + Send + 'r>;

impl<'r> Copy<'r> {
    pub(super) fn new(entries: &'r [Entry], vectors: &'r Matrix) -> Self {
        let mut buffer = BytesMut::with_capacity(PIECE);
        buffer.put_slice(b"PGCOPY\n\xff\r\n\0");
        // No flags, no extension of the header.
        buffer.put_slice(&[0; 8]);
        let rows: Rows<'r> = Box::new(vectors.iter());
        Self { rows: entries.iter().zip(rows).enumerate(), buffer, ended: false }
    }

    /// The next piece; `None` behind the last.
    pub(super) fn piece(&mut self) -> Result<Option<Bytes>> {
        while !self.ended && self.buffer.len() < PIECE {
            match self.rows.next() {
                Some((place, (entry, vector))) => self.row(place, entry, vector)?,
                None => {
                    self.buffer.put_i16(-1);
                    self.ended = true;
                }
            }
        }
        let piece = self.buffer.split().freeze();
        Ok((!piece.is_empty()).then_some(piece))
    }

    fn row(&mut self, place: usize, entry: &Entry, vector: &[f32]) -> Result<()> {
        self.buffer.put_i16(FIELDS);
        self.field(8, |buffer| buffer.put_i64(i64::try_from(place).unwrap_or(i64::MAX)))?;
        self.field(entry.id.len(), |buffer| buffer.put_slice(entry.id.as_bytes()))?;
        self.field(entry.text.len(), |buffer| buffer.put_slice(entry.text.as_bytes()))?;
        let metadata = serde_json::to_vec(&entry.metadata)
            .map_err(|cause| Error::new(Kind::Internal, cause.to_string()))?;
        self.field(metadata.len().saturating_add(1), |buffer| {
            // The version of the form that follows, which is text.
            buffer.put_u8(1);
            buffer.put_slice(&metadata);
        })?;
        let dimensions = u16::try_from(vector.len()).map_err(|_| {
            let text = "PostgreSQL holds vectors of at most 16000 values";
            Error::validation("vectors", Some(&vector.len().to_string()), text)
        })?;
        self.field(vector.len().saturating_mul(4).saturating_add(4), |buffer| {
            buffer.put_u16(dimensions);
            buffer.put_u16(0);
            vector.iter().for_each(|value| buffer.put_f32(*value));
        })
    }

    fn field(&mut self, length: usize, put: impl FnOnce(&mut BytesMut)) -> Result<()> {
        let length = i32::try_from(length).map_err(|_| {
            let text = "PostgreSQL holds values of at most 1 GB";
            Error::validation("texts", Some(&format!("{length} bytes")), text)
        })?;
        self.buffer.put_i32(length);
        put(&mut self.buffer);
        Ok(())
    }
}

/// The entry in a row that begins with [`READ`].
pub(super) fn entry(row: &Row) -> Result<StoredEntry, Failure> {
    let metadata: String = row.try_get(2)?;
    let index: i64 = row.try_get(3)?;
    let entry =
        Entry { id: row.try_get(0)?, text: row.try_get(1)?, metadata: metadata_of(&metadata) };
    Ok(StoredEntry { entry: Arc::new(entry), index: u64::try_from(index).unwrap_or_default() })
}

/// What others have put into the table need not be texts; it is read as it is written out.
fn metadata_of(json: &str) -> BTreeMap<String, String> {
    let Ok(Value::Object(pairs)) = serde_json::from_str(json) else { return BTreeMap::new() };
    let written = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    pairs.into_iter().filter_map(|(key, value)| Some((key, written(value)?))).collect()
}
