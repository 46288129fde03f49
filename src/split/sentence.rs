//! Whole sentences, gathered until a chunk holds enough bytes.

use std::ops::{ControlFlow, Range};
use std::thread::Scope;

use regex::Regex;

use super::chains::{Chain, ahead, divided};
use super::chunk::{Chunk, Content, Count};
use super::measure::{CodePoints, Marks, boundary_after, is_blank, slice, white_space_end};
use super::segments::Segments;
use super::{Each, Portions, Source, Split, ZERO_SIZE, compile, refused};
use crate::error::Result;
use crate::lanes::{BLOCK, mask_of};

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

    /// The chain of the sentences that end at `ends`, the first of them starting at `from`.
    fn chain<'text, I: Iterator<Item = usize>>(
        &self,
        source: Source<'text>,
        from: usize,
        ends: I,
    ) -> SentenceChain<'text, I> {
        let mut chain = SentenceChain {
            text: source.text(),
            chunk_size: self.chunk_size,
            chunk_overlap: self.chunk_overlap,
            trim: self.trim,
            window: Segments::new(source.text()),
            bytes: 0,
            ends,
            end: from,
            next: None,
            points: CodePoints::from_place(source, from),
            made: 0,
        };
        chain.advance();
        chain
    }

    fn divided_by<'scope, F: Fn(&[u8; BLOCK]) -> u64 + Copy + Send + 'scope>(
        &self,
        source: Source<'scope>,
        workers: usize,
        find: F,
        scope: &'scope Scope<'scope, '_>,
    ) -> Portions<'scope> {
        let text = source.text();
        let endings = move |at| Endings { text, marks: Marks::new(text, find), at };
        let start = |near: Range<usize>| {
            let near = boundary_after(text, near.start)..near.end;
            let from = endings(near.start).next().filter(|end| *end < near.end)?;
            Some(self.chain(source, from, endings(from)))
        };
        divided(text.len(), workers, self.chain(source, 0, endings(0)), start, scope)
    }
}

impl Split for SentenceSplitter {
    fn visit(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
        let text = source.text();
        match &self.endings {
            Some(endings) => {
                self.chain(source, 0, endings.find_iter(text).map(|hit| hit.end())).run(each)
            }
            None if source.is_ascii() => {
                self.chain(source, 0, Endings::new(text, ascii_marks)).run(each)
            }
            None => self.chain(source, 0, Endings::new(text, marks)).run(each),
        }
    }

    fn portions<'scope>(
        &'scope self,
        source: Source<'scope>,
        workers: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> Portions<'scope> {
        match &self.endings {
            // A pattern may look at what stands before the place where it is asked to begin.
            Some(_) => ahead(scope, move |each| self.visit(source, each)),
            None if source.is_ascii() => self.divided_by(source, workers, ascii_marks, scope),
            None => self.divided_by(source, workers, marks, scope),
        }
    }
}

/// Sentences gathered from left to right.
struct SentenceChain<'text, I> {
    text: &'text str,
    chunk_size: usize,
    chunk_overlap: usize,
    trim: bool,
    window: Segments<'text>,
    /// Of the sentences in the window.
    bytes: usize,
    ends: I,
    /// Where the last sentence that was looked at ends.
    end: usize,
    /// The next sentence that is more than white space.
    next: Option<Range<usize>>,
    points: CodePoints<'text>,
    made: usize,
}

impl<I: Iterator<Item = usize>> SentenceChain<'_, I> {
    /// Looks for the next sentence; what follows the last end is one more.
    fn advance(&mut self) {
        self.next = loop {
            let start = self.end;
            let end = self.ends.next();
            self.end = end.unwrap_or(self.text.len());
            let sentence = start..self.end;
            if !is_blank(self.text, &sentence) {
                break Some(sentence);
            }
            if end.is_none() {
                break None;
            }
        };
    }
}

impl<I: Iterator<Item = usize>> Chain for SentenceChain<'_, I> {
    /// Where the window begins, how many sentences it holds, and where the next one stands: two
    /// chains in whose windows a sentence begins at the same place agree on all that follow.
    type State = (usize, usize, Option<Range<usize>>);

    fn next_chunk(&mut self) -> Option<Chunk<Content>> {
        while self.next.is_some() {
            // A chunk that ends where the last one ended would only repeat its tail.
            let mut grown = false;
            while self.bytes < self.chunk_size
                && let Some(sentence) = self.next.take()
            {
                self.bytes += sentence.len();
                self.window.push(&sentence, true);
                grown = true;
                self.advance();
            }
            let joined = if grown { self.window.join(self.trim) } else { None };
            let (outer, sentences) = (self.window.span(), self.window.len());
            let left = sentences.saturating_sub(1).min(self.chunk_overlap);
            while self.window.len() > left {
                self.bytes -= self.window.pop();
            }
            let Some((content, span)) = joined else { continue };
            let chars = self.points.span(&span);
            let chunk_index = self.made;
            self.made = self.made.wrapping_add(1);
            return Some(Chunk {
                content,
                start_index: outer.start,
                end_index: outer.end,
                start_byte: span.start,
                end_byte: span.end,
                start_char: chars.start,
                end_char: chars.end,
                chunk_index,
                count: Some(Count::Sentences(sentences)),
                headings: None,
            });
        }
        None
    }

    fn state(&self) -> Self::State {
        (self.window.span().start, self.window.len(), self.next.clone())
    }

    fn place(&self) -> usize {
        self.next.as_ref().map_or(self.text.len(), |sentence| sentence.start)
    }

    fn chunk_index(&self) -> usize {
        self.made
    }

    fn code_point(&mut self, byte: usize) -> usize {
        self.points.offset(byte)
    }

    fn shift(&mut self, chunks: usize, code_points: usize) {
        self.made = self.made.wrapping_add(chunks);
        self.points.shift(code_points);
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
