//! Whole sentences, gathered until a chunk holds enough bytes.

use std::mem;

use regex::Regex;

use super::chunk::{Chunk, Content, Count};
use super::measure::{BLOCK, CodePoints, Marks, mask_of, slice, white_space_end};
use super::segments::Segments;
use super::{Source, Split, ZERO_SIZE, compile, refused};
use crate::error::Result;

/// Splits by sentences. `chunk_size` counts UTF-8 bytes and is where a chunk stops growing, not a
/// cap: the sentence that crosses it stays whole. `chunk_overlap` counts sentences.
#[derive(Clone, Debug)]
pub struct SentenceSplitter {
    chunk_size: usize,
    chunk_overlap: usize,
    endings: Option<Regex>,
    trim: bool,
}

impl SentenceSplitter {
    /// Chunks of sentences that reach `chunk_size` bytes, neighbours sharing up to `chunk_overlap`
    /// sentences; fewer where a chunk would otherwise end where the one before it ended.
    ///
    /// `sentence_endings` are regular expressions, tried in order. By default a sentence ends after
    /// `.`, `!` or `?` with white space behind it, after their ideographic forms, and at a line end.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter) when the size is 0 or an ending is not a regular
    /// expression. An overlap above the size is accepted, as their units differ.
    pub fn new(
        chunk_size: usize,
        chunk_overlap: usize,
        sentence_endings: Option<&[String]>,
    ) -> Result<Self> {
        if chunk_size == 0 {
            return Err(refused(ZERO_SIZE));
        }
        let endings = sentence_endings
            .map(|endings| compile(&format!("({})", endings.join("|"))))
            .transpose()?;
        Ok(Self { chunk_size, chunk_overlap, endings, trim: true })
    }

    /// Whether white space at the ends of a chunk is removed (the default).
    #[must_use]
    pub const fn with_trim(mut self, trim: bool) -> Self {
        self.trim = trim;
        self
    }

    /// Bytes at which a chunk stops growing.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Sentences that neighbours share.
    #[must_use]
    pub const fn chunk_overlap(&self) -> usize {
        self.chunk_overlap
    }

    /// Gathers the sentences that end at `ends`; what follows the last end is one more.
    fn gather(&self, source: Source<'_>, ends: impl Iterator<Item = usize>) -> Vec<Chunk<Content>> {
        let text = source.text();
        let mut window = Segments::new(text);
        let mut start = 0;
        let mut sentences = ends
            .chain([text.len()])
            .map(|end| mem::replace(&mut start, end)..end)
            .filter(|sentence| !slice(text, sentence.clone()).trim_start().is_empty())
            .peekable();
        let mut points = CodePoints::new(source);
        let mut chunks = Vec::new();
        let mut bytes = 0_usize;
        while sentences.peek().is_some() {
            // A chunk that ends where the last one ended would only repeat its tail.
            let mut grown = false;
            while bytes < self.chunk_size
                && let Some(sentence) = sentences.next()
            {
                bytes += sentence.len();
                window.push(&sentence, true);
                grown = true;
            }
            if grown && let Some((content, span)) = window.join(self.trim) {
                let outer = window.span();
                let chars = points.span(&span);
                chunks.push(Chunk {
                    content,
                    start_index: outer.start,
                    end_index: outer.end,
                    start_byte: span.start,
                    end_byte: span.end,
                    start_char: chars.start,
                    end_char: chars.end,
                    chunk_index: chunks.len(),
                    count: Some(Count::Sentences(window.len())),
                    headings: None,
                });
            }
            let left = window.len().saturating_sub(1).min(self.chunk_overlap);
            while window.len() > left {
                bytes -= window.pop();
            }
        }
        chunks
    }
}

impl Split for SentenceSplitter {
    fn places(&self, source: Source<'_>) -> Vec<Chunk<Content>> {
        let text = source.text();
        match &self.endings {
            Some(endings) => self.gather(source, endings.find_iter(text).map(|hit| hit.end())),
            None if source.is_ascii() => self.gather(source, Endings::new(text, ascii_marks)),
            None => self.gather(source, Endings::new(text, marks)),
        }
    }
}

/// Bytes that may begin one of the default endings.
fn ascii_marks(block: &[u8; BLOCK]) -> u64 {
    mask_of(block, |byte| {
        (byte == b'.') | (byte == b'!') | (byte == b'?') | (byte == b'\n') | (byte == b'\r')
    })
}

fn marks(block: &[u8; BLOCK]) -> u64 {
    let ascii = ascii_marks(block);
    if block.is_ascii() {
        return ascii;
    }
    // `。！？` begin with E3 80 or EF BC, as little else does. What follows the block is not known.
    let lead = mask_of(block, |byte| (byte == 0xE3) | (byte == 0xEF));
    let second = mask_of(block, |byte| (byte == 0x80) | (byte == 0xBC));
    ascii | lead & (second >> 1 | 1 << (BLOCK - 1))
}

/// The default endings `[.!?]+\s+`, `[。！？]+\s*` and `[\n\r]+`, looked for by hand.
struct Endings<'text, F> {
    text: &'text str,
    marks: Marks<'text, F>,
    at: usize,
}

impl<'text, F: Fn(&[u8; BLOCK]) -> u64> Endings<'text, F> {
    fn new(text: &'text str, find: F) -> Self {
        Self { text, marks: Marks::new(text, find), at: 0 }
    }
}

/// Yields where each ending ends.
impl<F: Fn(&[u8; BLOCK]) -> u64> Iterator for Endings<'_, F> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let run = |from: usize, wanted: fn(&u8) -> bool| {
            from + bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|b| wanted(b)).count())
        };
        loop {
            let at = self.marks.next_from(self.at)?;
            let (reached, is_ending) = match bytes.get(at)? {
                b'\n' | b'\r' => (run(at, |byte| matches!(byte, b'\n' | b'\r')), true),
                b'.' | b'!' | b'?' => {
                    let stop = run(at, |byte| matches!(byte, b'.' | b'!' | b'?'));
                    let end = white_space_end(self.text, stop);
                    (end, end > stop)
                }
                _ => {
                    let rest = slice(self.text, at..self.text.len());
                    let stop = self.text.len() - rest.trim_start_matches(['。', '！', '？']).len();
                    if stop > at {
                        (white_space_end(self.text, stop), true)
                    } else {
                        (at + 1, false)
                    }
                }
            };
            self.at = reached;
            if is_ending {
                return Some(reached);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_scanner_is_the_regex(text in "[.!?。！？\n\r \u{3000}a世、\u{ff02}]{0,200}") {
            let regex = Regex::new(r"([.!?]+[\s\n]+|[。！？]+[\s\n]*|[\n\r]+)").unwrap();
            let theirs: Vec<usize> = regex.find_iter(&text).map(|ending| ending.end()).collect();
            prop_assert_eq!(Endings::new(&text, marks).collect::<Vec<_>>(), theirs);
        }
    }
}
