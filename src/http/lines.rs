//! Lines out of a byte stream that is cut anywhere.

use crate::error::{Error, Kind, Result};

/// A longer line is a broken or hostile server.
pub(super) const LONGEST: usize = 16 << 20;

/// Collects pieces and hands out complete lines without their `\n` or `\r\n`.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to here there is no line end, so a long line is searched only once.
    searched: usize,
    finished: bool,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<()> {
        self.buffer.drain(..self.start);
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
        // Only what is left over counts: one piece may hold any number of complete lines.
        if self.buffer.len() > LONGEST {
            return Err(too_long());
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// The rest is a line too, even without a line end.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let line = match memchr::memchr(b'\n', unsearched) {
            Some(offset) => {
                let end = self.searched.saturating_add(offset);
                let line = self.start..end;
                self.start = end.saturating_add(1);
                self.searched = self.start;
                line
            }
            None if self.finished && self.start < self.buffer.len() => {
                let line = self.start..self.buffer.len();
                self.start = self.buffer.len();
                self.searched = self.start;
                line
            }
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        let line = self.buffer.get(line).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

pub(super) fn too_long() -> Error {
    let text = format!("Stream error: a frame is longer than {} MiB", LONGEST >> 20);
    Error::new(Kind::Stream, text)
}
