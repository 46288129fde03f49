//! Measuring in the unit the caller chose: how far a window reaches, where an overlap may begin.
//!
//! Sizes are those of the content alone, as somebody who only sees the chunk would count them. For
//! most units a window's parts add up; for BPE tokens and the matches of a pattern they do not, as a
//! cut changes what stands around it, and so the engine asks for the finished content's size again.

use std::ops::Range;

use regex::Regex;
use unicode_segmentation::UnicodeSegmentation;

use super::super::Source;
use super::super::measure::{CodePoints, boundary_after, boundary_before, slice};
use super::super::runs::run_end;
use crate::tokens::{Encoding, Tokenizer};

/// Pre-tokens of more tokens than this are cut inside: ideographs without a blank, base64, digests.
/// The longest English words stay below it.
const LONGEST_WORD: usize = 16;

/// A [`Unit`](super::Unit) with what it needs to count.
#[derive(Clone, Debug)]
pub(super) enum Ruler {
    Chars,
    Graphemes,
    Bytes,
    Words,
    Runs,
    Matches(Regex),
    Bpe(Encoding),
}

impl Ruler {
    pub(super) const fn counts_tokens(&self) -> bool {
        matches!(self, Self::Runs | Self::Matches(_) | Self::Bpe(_))
    }

    /// Whether the size of a part can exceed the size of the whole.
    pub(super) const fn depends_on_context(&self) -> bool {
        matches!(self, Self::Words | Self::Matches(_) | Self::Bpe(_))
    }
}

/// A ruler laid on one text.
pub(super) struct Measure<'text> {
    text: &'text str,
    ruler: &'text Ruler,
    points: CodePoints<'text>,
    /// The pre-tokens or runs of the last window: where each ends, and the tokens up to there.
    marks: Vec<(usize, usize)>,
    marked_from: usize,
    /// Where the word begins that the last window can hold a part of only.
    word: Option<usize>,
    bpe: Option<&'static Tokenizer>,
}

impl<'text> Measure<'text> {
    pub(super) fn new(source: Source<'text>, ruler: &'text Ruler) -> Self {
        let bpe = match ruler {
            Ruler::Bpe(encoding) => Some(encoding.tokenizer()),
            _ => None,
        };
        let points = CodePoints::new(source);
        Self {
            text: source.text(),
            ruler,
            points,
            marks: Vec::new(),
            marked_from: 0,
            word: None,
            bpe,
        }
    }

    /// The largest end for which `start..end` holds at most `limit` units: a character boundary,
    /// `start` itself when not even one character fits.
    pub(super) fn reach(&mut self, start: usize, limit: usize) -> usize {
        let rest = slice(self.text, start..self.text.len());
        match self.ruler {
            Ruler::Bytes => {
                boundary_before(self.text, start.saturating_add(limit).min(self.text.len()))
            }
            Ruler::Chars => self.points.advance(start, limit).0,
            Ruler::Graphemes => {
                // One byte more: a line feed after a carriage return belongs to it.
                let plain = rest.as_bytes().get(..=limit);
                if plain.is_some_and(|head| head.is_ascii() && !head.contains(&b'\r')) {
                    return start + limit;
                }
                let after = rest.grapheme_indices(true).nth(limit);
                after.map_or(self.text.len(), |(at, _)| start + at)
            }
            Ruler::Words => {
                let mut words = rest.split_word_bound_indices().filter(|(_, part)| is_word(part));
                words.nth(limit).map_or(self.text.len(), |(at, _)| start + at)
            }
            Ruler::Runs => {
                self.marks.clear();
                self.marked_from = start;
                let mut at = start;
                for run in 1..=limit {
                    if at == self.text.len() {
                        break;
                    }
                    at = run_end(self.text, at);
                    self.marks.push((at, run));
                }
                at
            }
            Ruler::Matches(pattern) => {
                // What a pattern leaves out stays with the match on its left.
                let after = matches(pattern, rest).nth(limit);
                after.map_or(self.text.len(), |hit| start + hit.start)
            }
            Ruler::Bpe(_) => self.reach_tokens(start, limit),
        }
    }

    fn reach_tokens(&mut self, start: usize, limit: usize) -> usize {
        let Some(tokenizer) = self.bpe else { return self.text.len() };
        let marks = &mut self.marks;
        marks.clear();
        self.marked_from = start;
        self.word = None;
        let (end, tokens) =
            tokenizer.advance(self.text, start, limit, |end, sum| marks.push((end, sum)));
        if end == self.text.len() {
            return end;
        }
        let piece = slice(self.text, end..tokenizer.piece_end(self.text, end));
        let mut ends = Vec::new();
        tokenizer.token_ends(piece, &mut ends);
        if tokens > 0 && ends.len() <= LONGEST_WORD {
            self.word = Some(end);
        }
        let room = limit.saturating_sub(tokens);
        let inside = room.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        end + boundary_before(piece, inside)
    }

    /// Where the last window of tokens ends when its last word is not cut; `None` when none is.
    pub(super) fn before_word(&self) -> Option<usize> {
        self.word
    }

    /// The smallest start, from `floor` on, for which `start..end` holds at most `limit` units.
    pub(super) fn retreat(&self, floor: usize, end: usize, limit: usize) -> usize {
        let window = slice(self.text, floor..end);
        match self.ruler {
            Ruler::Bytes => {
                boundary_after(self.text, end.saturating_sub(limit).max(floor)).min(end)
            }
            Ruler::Chars => self.points.retreat(end, limit).max(floor),
            Ruler::Graphemes => {
                let first = window.grapheme_indices(true).rev().nth(limit.saturating_sub(1));
                floor + first.map_or(0, |(at, _)| at)
            }
            Ruler::Words => {
                let mut words =
                    window.split_word_bound_indices().rev().filter(|(_, part)| is_word(part));
                // Up to the end of the first word that is too many.
                floor + words.nth(limit).map_or(0, |(at, word)| at + word.len())
            }
            Ruler::Runs if self.marked(floor..end).is_some() => {
                self.retreat_tokens(floor, end, limit)
            }
            Ruler::Runs => {
                let starts = std::iter::successors(Some(floor), |at| {
                    Some(run_end(self.text, *at)).filter(|next| *next < end)
                });
                nth_from_the_end(starts, limit).unwrap_or(floor)
            }
            Ruler::Matches(pattern) => {
                let starts = matches(pattern, window).map(|hit| floor + hit.start);
                nth_from_the_end(starts, limit).unwrap_or(floor)
            }
            Ruler::Bpe(_) => self.retreat_tokens(floor, end, limit),
        }
    }

    fn retreat_tokens(&self, floor: usize, end: usize, limit: usize) -> usize {
        // The pre-tokens behind a boundary are the same whatever stands before it.
        let upto = self.marks.partition_point(|(at, _)| *at <= end);
        let known = self.marks.get(..upto).unwrap_or_default();
        let total = known.last().map_or(0, |(_, sum)| *sum);
        let first = known.partition_point(|(_, sum)| total - sum > limit);
        let from = known.get(first).map_or(end, |(at, _)| *at);
        from.clamp(floor, end)
    }

    /// Units in `range`, counted on that part alone.
    pub(super) fn size(&self, range: Range<usize>) -> usize {
        let part = slice(self.text, range.clone());
        match self.ruler {
            Ruler::Bytes => part.len(),
            Ruler::Chars => self.points.count(range),
            Ruler::Graphemes => part.graphemes(true).count(),
            Ruler::Words => part.split_word_bounds().filter(|part| is_word(part)).count(),
            Ruler::Runs => self.marked(range).unwrap_or_else(|| {
                let mut at = 0;
                let mut runs = 0;
                while at < part.len() {
                    at = run_end(part, at);
                    runs += 1;
                }
                runs
            }),
            Ruler::Matches(pattern) => matches(pattern, part).count(),
            Ruler::Bpe(_) => self.count_tokens(range),
        }
    }

    fn count_tokens(&self, range: Range<usize>) -> usize {
        // A window that ends where a pre-token ends, and not in white space, was counted already.
        if !slice(self.text, range.clone()).ends_with(char::is_whitespace)
            && let Some(known) = self.marked(range.clone())
        {
            return known;
        }
        self.bpe.map_or(0, |tokenizer| tokenizer.count(slice(self.text, range)))
    }

    /// What `range` was found to hold when the last window was measured.
    fn marked(&self, range: Range<usize>) -> Option<usize> {
        let known = self.marks.binary_search_by_key(&range.end, |(at, _)| *at).ok()?;
        let (_, sum) = self.marks.get(known)?;
        (range.start == self.marked_from).then_some(*sum)
    }
}

/// The matches that hold something: an empty one stands everywhere and nowhere.
fn matches<'a>(pattern: &'a Regex, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    pattern.find_iter(text).map(|hit| hit.range()).filter(|hit| !hit.is_empty())
}

fn is_word(part: &str) -> bool {
    part.chars().any(char::is_alphanumeric)
}

/// The element that `count` elements, itself included, follow to the end; needs `count` of memory.
fn nth_from_the_end(all: impl Iterator<Item = usize>, count: usize) -> Option<usize> {
    let mut last = std::collections::VecDeque::new();
    for one in all {
        if last.len() == count {
            last.pop_front();
        }
        last.push_back(one);
    }
    last.pop_front()
}
