//! How a question and its answer are written on a pipe.
//!
//! Both are a header in JSON and a body of bytes, each behind its length. An answer starts with a mark,
//! because an interpreter may say something of its own first. Lengths are believed only as far as bytes
//! follow, and a body only up to the limit of the document.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::extracted::Extracted;
use super::super::limits::Limits;
use super::super::packed::Packed;
use crate::error::{self, Kind};

const MARK: &[u8] = b"\0graphbit answer\0";

/// What may stand before the first mark.
const CHATTER: usize = 64 * 1024;

/// A header holds names, limits and reasons.
const HEADER: u64 = 16 << 20;

/// What is wanted of a document.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) packed: Packed,
    pub(super) extension: Option<String>,
    pub(super) full: bool,
    pub(super) limits: Limits,
    pub(super) memory_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    document_type: String,
    extension: Option<String>,
    full: bool,
    text_bytes: usize,
    unpacked_bytes: usize,
    pages: usize,
    cells: usize,
    depth: usize,
    time: Duration,
    memory_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Told {
    flags: BTreeMap<String, Value>,
    /// Instead of a text.
    reason: Option<String>,
}

/// Writes the question and waits for its answer.
pub(super) fn ask(
    input: &mut impl Write,
    output: &mut impl Read,
    question: &Question,
    document: &[u8],
) -> Result<error::Result<Extracted>> {
    let limits = question.limits;
    let asked = Asked {
        document_type: question.packed.name().to_owned(),
        extension: question.extension.clone(),
        full: question.full,
        text_bytes: limits.text_bytes,
        unpacked_bytes: limits.unpacked_bytes,
        pages: limits.pages,
        cells: limits.cells,
        depth: limits.depth,
        time: limits.time,
        memory_bytes: question.memory_bytes,
    };
    write(input, &serde_json::to_vec(&asked)?)?;
    write(input, document)?;
    input.flush()?;
    find_mark(output)?;
    let told: Told = serde_json::from_slice(&read(output, HEADER)?)?;
    let body = read(output, limits.text_bytes as u64)?;
    Ok(match told.reason {
        Some(reason) => Err(error::Error::new(Kind::Document, reason)),
        None => {
            let text = String::from_utf8(body)
                .map_err(|error| Error::new(ErrorKind::InvalidData, error.utf8_error()))?;
            Ok(Extracted { text, flags: told.flags })
        }
    })
}

/// The next question and its document; `None` when nobody will ask any more.
pub(super) fn next_question(input: &mut impl Read) -> Result<Option<(Question, Vec<u8>)>> {
    let header = match read(input, HEADER) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        header => header?,
    };
    let asked: Asked = serde_json::from_slice(&header)?;
    let packed = Packed::named(&asked.document_type)
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "an unknown type of document"))?;
    let limits = Limits {
        text_bytes: asked.text_bytes,
        unpacked_bytes: asked.unpacked_bytes,
        pages: asked.pages,
        cells: asked.cells,
        depth: asked.depth,
        time: asked.time,
    };
    let Asked { extension, full, memory_bytes, .. } = asked;
    // The asker has the document in its memory, so this length is no attack.
    let document = read(input, u64::MAX)?;
    Ok(Some((Question { packed, extension, full, limits, memory_bytes }, document)))
}

pub(super) fn answer(output: &mut impl Write, answer: error::Result<Extracted>) -> Result<()> {
    let (told, text) = match answer {
        Ok(extracted) => (Told { flags: extracted.flags, reason: None }, extracted.text),
        Err(error) => {
            let reason = Some(error.message().to_owned());
            (Told { flags: BTreeMap::new(), reason }, String::new())
        }
    };
    output.write_all(MARK)?;
    write(output, &serde_json::to_vec(&told)?)?;
    write(output, text.as_bytes())?;
    output.flush()
}

fn write(output: &mut impl Write, bytes: &[u8]) -> Result<()> {
    output.write_all(&(bytes.len() as u64).to_le_bytes())?;
    output.write_all(bytes)
}

fn read(input: &mut impl Read, most: u64) -> Result<Vec<u8>> {
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > most {
        return Err(Error::new(ErrorKind::InvalidData, "more bytes than were asked for"));
    }
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn find_mark(output: &mut impl Read) -> Result<()> {
    let mut last = Vec::new();
    for _ in 0..CHATTER {
        let mut byte = [0];
        output.read_exact(&mut byte)?;
        if last.len() == MARK.len() {
            last.remove(0);
        }
        last.extend(byte);
        if last == MARK {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::InvalidData, "it speaks another language"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(bytes: &[u8]) -> Result<error::Result<Extracted>> {
        let limits = Limits { text_bytes: 100, ..Limits::default() };
        let question =
            Question { packed: Packed::Pdf, extension: None, full: true, limits, memory_bytes: 1 };
        ask(&mut Vec::new(), &mut &*bytes, &question, b"%PDF")
    }

    #[test]
    fn an_answer_survives_the_pipe_and_what_was_said_before() {
        let mut written = b"a greeting\n\0graph".to_vec();
        let extracted = Extracted {
            text: "grüße".to_owned(),
            flags: BTreeMap::from([("pages".to_owned(), Value::from(2))]),
        };
        answer(&mut written, Ok(extracted)).unwrap();
        let extracted = asked(&written).unwrap().unwrap();
        assert_eq!(
            (extracted.text.as_str(), &extracted.flags["pages"]),
            ("grüße", &Value::from(2))
        );

        let mut written = Vec::new();
        answer(&mut written, Err(error::Error::new(Kind::Document, "no"))).unwrap();
        assert_eq!(asked(&written).unwrap().unwrap_err().message(), "no");
    }

    #[test]
    fn an_answer_that_is_cut_or_too_long_is_none() {
        let mut written = Vec::new();
        let text = "x".repeat(101);
        answer(&mut written, Ok(Extracted { text, ..Extracted::default() })).unwrap();
        assert_eq!(asked(&written).unwrap_err().kind(), ErrorKind::InvalidData);
        let cut = &written[..MARK.len() + 12];
        assert_eq!(asked(cut).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_question_survives_the_pipe() {
        let mut pipe = Vec::new();
        let limits = Limits { pages: 7, ..Limits::default() };
        let extension = Some("xls".to_owned());
        let question =
            Question { packed: Packed::Excel, extension, full: true, limits, memory_bytes: 9 };
        ask(&mut pipe, &mut &b""[..], &question, b"bytes").unwrap_err();
        let mut pipe = pipe.as_slice();
        let (read, document) = next_question(&mut pipe).unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{question:?}"));
        assert_eq!(document, b"bytes");
        assert!(next_question(&mut pipe).unwrap().is_none());
    }
}
