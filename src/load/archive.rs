//! The parts of an office document: entries of a ZIP archive, unpacked under a count.
//!
//! What an entry says about its size is not believed. Bytes are counted as they come out, in portions,
//! so that a bomb is refused when it passes the limit and not after it has filled the memory. An entry
//! that fails its checksum, is encrypted or packed by another method than deflate is an error.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::limits::Meter;
use crate::error::{Error, Kind, Result};

/// How much is unpacked between two counts.
const PORTION: u64 = 64 * 1024;

/// An opened archive. Names are compared without regard to case and direction of slashes, as some
/// writers do not agree with themselves about them.
pub(super) struct Archive<'a> {
    entries: ZipArchive<Cursor<&'a [u8]>>,
    places: HashMap<String, usize>,
}

impl<'a> Archive<'a> {
    /// Reads the directory of the archive only.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let entries = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
        let mut places = HashMap::with_capacity(entries.len());
        for (place, name) in entries.file_names_raw().enumerate() {
            places.entry(plain(&String::from_utf8_lossy(name))).or_insert(place);
        }
        Ok(Self { entries, places })
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.places.contains_key(&plain(name))
    }

    /// One part as text without its mark; `None` if there is no such part.
    pub(super) fn text(&mut self, name: &str, meter: &mut Meter) -> Result<Option<String>> {
        let Some(bytes) = self.bytes(name, meter)? else { return Ok(None) };
        let utf16 = encoding_rs::Encoding::for_bom(&bytes).filter(|(encoding, _)| {
            [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(encoding)
        });
        if let Some((encoding, mark)) = utf16 {
            meter.unpack(bytes.len())?;
            let text = encoding.decode_without_bom_handling(bytes.get(mark..).unwrap_or_default());
            return Ok(Some(text.0.into_owned()));
        }
        let mut text = String::from_utf8(bytes).map_err(|error| {
            refused(format!("{name} is not UTF-8 text: {}", error.utf8_error()))
        })?;
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(Some(text))
    }

    /// One part as it is.
    pub(super) fn bytes(&mut self, name: &str, meter: &mut Meter) -> Result<Option<Vec<u8>>> {
        let Some(place) = self.places.get(&plain(name)).copied() else { return Ok(None) };
        let mut entry = self.entries.by_index(place).map_err(|error| damaged(&error))?;
        let mut bytes = Vec::new();
        loop {
            let read = Read::by_ref(&mut entry)
                .take(PORTION)
                .read_to_end(&mut bytes)
                .map_err(|error| refused(format!("{name}: {error}")))?;
            if read == 0 {
                return Ok(Some(bytes));
            }
            meter.unpack(read)?;
            meter.look()?;
        }
    }
}

/// The place that `target`, as written in a part of `folder`, stands for.
pub(super) fn resolve(folder: &str, target: &str) -> String {
    let target = target.replace('\\', "/");
    let mut steps: Vec<&str> = Vec::new();
    if !target.starts_with('/') {
        steps.extend(folder.split('/').filter(|step| !step.is_empty()));
    }
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps.join("/")
}

fn plain(name: &str) -> String {
    name.replace('\\', "/").trim_start_matches('/').to_ascii_lowercase()
}

fn damaged(error: &zip::result::ZipError) -> Error {
    refused(error.to_string())
}

fn refused(text: String) -> Error {
    Error::new(Kind::Document, text)
}

#[cfg(test)]
pub(super) mod testing {
    //! Archives for tests.

    use std::io::{Cursor, Write};

    /// An archive of parts by their names.
    pub(in crate::load) fn packed(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in parts {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::packed;
    use super::*;
    use crate::load::Limits;

    #[test]
    fn names_are_found_however_they_are_written() {
        let bytes = packed(&[("Word\\Document.xml", b"x")]);
        let mut archive = Archive::open(&bytes).unwrap();
        let mut meter = Meter::new(Limits::default());
        assert_eq!(archive.text("/word/document.xml", &mut meter).unwrap().unwrap(), "x");
        assert!(archive.text("word/styles.xml", &mut meter).unwrap().is_none());
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bytes = packed(&[("a", &vec![b' '; 4 << 20])]);
        assert!(bytes.len() < 8192);
        let mut meter = Meter::new(Limits { unpacked_bytes: 1 << 20, ..Limits::default() });
        let error = Archive::open(&bytes).unwrap().text("a", &mut meter).unwrap_err();
        assert!(error.message().contains("max_unpacked_bytes"), "{error}");
    }

    #[test]
    fn both_kinds_of_unicode_are_read() {
        let utf16: Vec<u8> = "\u{feff}grüße".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let bytes = packed(&[("a", &utf16), ("b", "\u{feff}grüße".as_bytes()), ("c", b"caf\xe9")]);
        let mut archive = Archive::open(&bytes).unwrap();
        let mut meter = Meter::new(Limits::default());
        for name in ["a", "b"] {
            assert_eq!(archive.text(name, &mut meter).unwrap().unwrap(), "grüße");
        }
        assert!(archive.text("c", &mut meter).unwrap_err().message().contains("c is not UTF-8"));
    }

    #[test]
    fn targets_are_resolved_within_the_archive() {
        assert_eq!(resolve("xl", "worksheets/sheet1.xml"), "xl/worksheets/sheet1.xml");
        assert_eq!(resolve("xl", "/xl/a.xml"), "xl/a.xml");
        assert_eq!(resolve("xl/worksheets", "../../../b.xml"), "b.xml");
    }
}
