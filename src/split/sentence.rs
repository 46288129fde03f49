//! Whole sentences, gathered until a chunk holds enough bytes.

use std::borrow::Cow;

use memchr::{memchr2, memchr3};
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
            None => Endings::new(text).for_each(&mut end_at),
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
                    headings: None,
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

/// The default endings `[.!?]+\s+`, `[。！？]+\s*` and `[\n\r]+`, looked for by hand.
struct Endings<'text> {
    text: &'text str,
    /// Where the next byte of each kind stands: `.!?`, line ends, the lead bytes of `。！？`. The end
    /// of the text when there is none, so that nothing is looked for twice.
    next: [usize; 3],
}

impl<'text> Endings<'text> {
    fn new(text: &'text str) -> Self {
        let mut endings = Self { text, next: [0; 3] };
        endings.look_from(0);
        endings
    }

    /// Looks again, from `at`, for the kinds that lie behind it.
    fn look_from(&mut self, at: usize) {
        const LOOK: [Look; 3] = [
            |rest| memchr3(b'.', b'!', b'?', rest),
            |rest| memchr2(b'\n', b'\r', rest),
            |rest| memchr2(0xE3, 0xEF, rest),
        ];
        let bytes = self.text.as_bytes();
        for (next, look) in self.next.iter_mut().zip(LOOK) {
            if *next <= at {
                let found = bytes.get(at..).and_then(look);
                *next = found.map_or(bytes.len(), |found| at + found);
            }
        }
    }
}

/// Finds the first byte of one kind.
type Look = fn(&[u8]) -> Option<usize>;

/// Yields where each ending ends.
impl Iterator for Endings<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let run = |from: usize, wanted: fn(&u8) -> bool| {
            from + bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|b| wanted(b)).count())
        };
        loop {
            let at = self.next.into_iter().min()?;
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
            self.look_from(reached);
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
        fn the_scanner_is_the_regex(text in "[.!?。！？\n\r \u{3000}a世、\u{ff02}]{0,80}") {
            let regex = Regex::new(r"([.!?]+[\s\n]+|[。！？]+[\s\n]*|[\n\r]+)").unwrap();
            let theirs: Vec<usize> = regex.find_iter(&text).map(|ending| ending.end()).collect();
            prop_assert_eq!(Endings::new(&text).collect::<Vec<_>>(), theirs);
        }
    }
}
