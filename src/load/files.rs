//! Plain text for a retrieval pipeline: a path in, a [`Document`] out.
//!
//! It reads regular files only (a pipe or a device would block for ever), never more than the size
//! limit, and refuses what is not text by looking at the bytes: UTF-8, or UTF-16 with its byte-order
//! mark. Every refusal names the path and the reason.
//!
//! ```
//! use graphbit::load;
//!
//! let error = load::find("no/such/folder".as_ref()).unwrap_err();
//! assert!(error.message().contains("no/such/folder"));
//! ```

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::types::Document;

/// Files above this size are refused, unless the caller sets another limit.
pub const DEFAULT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Document formats that hold text, but not as text; saying so beats "byte 0x93 is not UTF-8".
const PACKED_FORMATS: &[&str] =
    &["pdf", "doc", "docx", "odt", "rtf", "xls", "xlsx", "ods", "ppt", "pptx", "odp", "epub"];

/// The files a path stands for: itself, or everything below a folder.
///
/// Folders are walked in name order; names starting with a dot are skipped, and links to folders are not
/// followed. A folder without files is an error, as is a path that does not exist.
///
/// # Errors
/// [`Kind::Document`] naming the path.
pub fn find(path: &Path) -> Result<Vec<PathBuf>> {
    let metadata = std::fs::metadata(path).map_err(|error| refused(path, &error.to_string()))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut inner = Vec::new();
        let mut entries = std::fs::read_dir(&folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(|error| refused(&folder, &error.to_string()))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => inner.push(entry.path()),
                Ok(kind) if kind.is_symlink() && entry.path().is_dir() => {}
                _ => files.push(entry.path()),
            }
        }
        folders.extend(inner.into_iter().rev());
    }
    if files.is_empty() {
        return Err(refused(
            path,
            "the folder holds no files (names starting with a dot are skipped)",
        ));
    }
    Ok(files)
}

/// Reads one file of at most `max_bytes` bytes as text; its source is the path.
///
/// # Errors
/// [`Kind::Document`] naming the path and why it cannot be read.
pub fn read(path: &Path, max_bytes: u64) -> Result<Document> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if PACKED_FORMATS.contains(&extension.as_str()) {
        return Err(refused(
            path,
            &format!("the format '{extension}' is not supported; convert it to text"),
        ));
    }
    let file = open(path).map_err(|error| refused(path, &error.to_string()))?;
    let metadata = file.metadata().map_err(|error| refused(path, &error.to_string()))?;
    if !metadata.is_file() {
        return Err(refused(path, "it is not a regular file"));
    }
    // The length may be a lie (a growing log, a kernel file), so the reading itself is limited too.
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| refused(path, &error.to_string()))?;
    if bytes.len() as u64 > max_bytes {
        return Err(refused(path, &format!("it is larger than the limit of {max_bytes} bytes")));
    }
    let text = decode(bytes).map_err(|reason| refused(path, &reason))?;
    Ok(Document { source: path.display().to_string(), text, ..Document::default() })
}

/// Opens without waiting for the writer of a named pipe.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}

fn refused(path: &Path, reason: &str) -> Error {
    Error::new(Kind::Document, format!("Cannot read '{}': {reason}", path.display()))
}

/// Text from UTF-8 (with or without mark) or marked UTF-16; the error says what stands in the way.
fn decode(mut bytes: Vec<u8>) -> Result<String, String> {
    let utf16 = match bytes.as_slice() {
        [0xEF, 0xBB, 0xBF, ..] => {
            bytes.drain(..3);
            None
        }
        [0xFF, 0xFE, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xFE, 0xFF, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, read)) = utf16 {
        let (pairs, odd) = rest.as_chunks();
        let units = pairs.iter().map(|pair| read(*pair));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        return match text {
            Ok(text) if odd.is_empty() => Ok(text),
            _ => Err("it starts like UTF-16 text but is not".to_owned()),
        };
    }
    if bytes.contains(&0) {
        return Err("it is a binary file, not text".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(place).copied().unwrap_or_default();
        format!("it is not UTF-8 text (byte 0x{byte:02x} at offset {place}); save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("graphbit-load-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_folder_is_walked_in_order_without_hidden_files() {
        let root = folder("walk");
        for name in ["b.txt", "a/z.md", "a/y.md", ".hidden", ".git/config", "c.txt"] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let found: Vec<_> = find(&root)
            .unwrap()
            .into_iter()
            .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, ["b.txt", "c.txt", "a/y.md", "a/z.md"]);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn an_empty_folder_and_a_missing_path_say_so() {
        let root = folder("empty");
        assert!(find(&root).unwrap_err().message().contains("holds no files"));
        let missing = find(&root.join("nope")).unwrap_err();
        assert_eq!(missing.kind(), Kind::Document);
        assert!(missing.message().contains("nope"));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn text_is_read_whatever_its_mark() {
        let root = folder("marks");
        let utf16: Vec<u8> = "\u{feff}grüße 😀".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16_big: Vec<u8> =
            "\u{feff}grüße 😀".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (name, bytes) in [
            ("plain", "grüße 😀".as_bytes().to_vec()),
            ("marked", "\u{feff}grüße 😀".as_bytes().to_vec()),
            ("little", utf16),
            ("big", utf16_big),
        ] {
            let path = root.join(name);
            std::fs::write(&path, bytes).unwrap();
            let document = read(&path, DEFAULT_MAX_BYTES).unwrap();
            assert_eq!(document.text, "grüße 😀", "{name}");
            assert_eq!(document.source, path.display().to_string());
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_not_text_is_refused_with_the_reason() {
        let root = folder("refused");
        for (name, bytes, reason) in [
            ("data.bin", b"a\0b".as_slice(), "binary"),
            ("latin.txt", b"caf\xe9".as_slice(), "0xe9 at offset 3"),
            ("paper.PDF", b"%PDF".as_slice(), "'pdf' is not supported"),
            ("large.txt", b"0123456789".as_slice(), "limit of 9 bytes"),
            ("odd.txt", b"\xff\xfea".as_slice(), "UTF-16"),
        ] {
            let path = root.join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path, 9).unwrap_err();
            assert!(error.message().contains(reason), "{error}");
            assert!(error.message().contains(name), "{error}");
        }
        assert!(read(&root, 9).unwrap_err().message().contains("not a regular file"));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_without_a_writer_does_not_block() {
        let root = folder("pipe");
        let pipe = root.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(read(&pipe, 9).unwrap_err().message().contains("not a regular file"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
