//! Whole sentences, gathered until a chunk holds enough bytes.

use std::borrow::Cow;

use regex::Regex;

use super::chunk::{Chunk, Count};
use super::measure::{CodePoints, slice, white_space_end};
use super::segments::Segments;
use super::{Split, ZERO_SIZE, compile, refused};
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

    fn sentences<'text>(&self, text: &'text str) -> Segments<'text> {
        let mut sentences = Segments::new(text);
        let mut start = 0;
        let mut end_at = |end: usize| {
            if !slice(text, start..end).trim_start().is_empty() {
                sentences.push(start..end);
            }
            start = end;
        };
        match &self.endings {
            Some(endings) => endings.find_iter(text).for_each(|ending| end_at(ending.end())),
            None => {
                let mut at = 0;
                while let Some(end) = next_sentence_end(text, at) {
                    end_at(end);
                    at = end;
                }
            }
        }
        end_at(text.len());
        sentences
    }
}

impl Split for SentenceSplitter {
    fn cut<'text>(&self, text: &'text str) -> Vec<Chunk<Cow<'text, str>>> {
        let sentences = self.sentences(text);
        let mut points = CodePoints::new(text);
        let mut chunks = Vec::new();
        let (mut first, mut end, mut bytes, mut last_end) = (0, 0, 0_usize, 0);
        while first < sentences.len() {
            while end < sentences.len() && bytes < self.chunk_size {
                bytes += sentences.size(end);
                end += 1;
            }
            let window = first..end;
            // A chunk that ends where the last one ended would only repeat its tail.
            if end > last_end
                && let Some((content, span)) = sentences.join(&window, self.trim)
            {
                let outer = sentences.span(&window);
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
                });
            }
            last_end = end;
            let next = if end < sentences.len() {
                end.saturating_sub(self.chunk_overlap).max(first + 1)
            } else {
                end
            };
            bytes -= (first..next).map(|index| sentences.size(index)).sum::<usize>();
            first = next;
        }
        chunks
    }
}

/// Bytes that a sentence ending can start with: `.!?`, line ends, and the lead bytes of `。！？`.
const fn may_end(byte: u8) -> bool {
    matches!(byte, b'.' | b'!' | b'?' | b'\n' | b'\r' | 0xE3 | 0xEF)
}

/// First position at or after `at` whose byte may start an ending.
fn next_candidate(bytes: &[u8], mut at: usize) -> Option<usize> {
    const BLOCK: usize = 32;
    // Whole blocks first, without a branch in them: the compiler turns this into vector compares.
    let (blocks, _) = bytes.get(at..)?.as_chunks::<BLOCK>();
    for block in blocks {
        if block.iter().fold(false, |any, byte| any | may_end(*byte)) {
            break;
        }
        at += BLOCK;
    }
    bytes.get(at..)?.iter().position(|byte| may_end(*byte)).map(|found| at + found)
}

/// The default endings `[.!?]+\s+`, `[。！？]+\s*` and `[\n\r]+` by hand: where the first of them at
/// or after `at` ends.
fn next_sentence_end(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let run = |from: usize, wanted: fn(&u8) -> bool| {
        from + bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|b| wanted(b)).count())
    };
    loop {
        at = next_candidate(bytes, at)?;
        match bytes.get(at)? {
            b'\n' | b'\r' => return Some(run(at, |byte| matches!(byte, b'\n' | b'\r'))),
            b'.' | b'!' | b'?' => {
                at = run(at, |byte| matches!(byte, b'.' | b'!' | b'?'));
                let end = white_space_end(text, at);
                if end > at {
                    return Some(end);
                }
            }
            _ => {
                let rest = slice(text, at..text.len());
                let ending = rest.trim_start_matches(['。', '！', '？']);
                let end = text.len() - ending.len();
                if end > at {
                    return Some(white_space_end(text, end));
                }
                at += 1;
            }
        }
        if at >= bytes.len() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_scanner_is_the_regex(text in "[.!?。！？\n\r \u{3000}a世、\u{ff02}]{0,80}") {
            let regex = Regex::new(r"([.!?]+[\s\n]+|[。！？]+[\s\n]*|[\n\r]+)").unwrap();
            let theirs: Vec<usize> = regex.find_iter(&text).map(|ending| ending.end()).collect();
            let mut ours = Vec::new();
            while let Some(end) = next_sentence_end(&text, ours.last().copied().unwrap_or(0)) {
                ours.push(end);
            }
            prop_assert_eq!(ours, theirs);
        }
    }
}
