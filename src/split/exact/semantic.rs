//! Semantic splitting, the pure part: sentences, what to embed of them, and the cuts where the
//! similarity of neighbours drops.
//!
//! Somebody who has embeddings calls in this order: [`SemanticPlan::sentences`],
//! [`SemanticPlan::windows`], then [`SemanticPlan::breaks`] with the similarities of neighbouring
//! windows, and [`SemanticPlan::places`]. No chunk spans a break; within a stretch between two of
//! them the exact mode cuts at sentences, under its cap.
//!
//! It refuses sizes that cannot work and options out of their range, never a text.

use std::ops::Range;

use super::ranked::Ranked;
use super::ruler::Measure;
use super::windows::Windows;
use super::{ExactSplitter, Unit, sentences};
use crate::error::Result;
use crate::split::chains::Chain;
use crate::split::chunk::{Chunk, Content};
use crate::split::measure::slice;
use crate::split::{Source, Strategy, refused};

/// Neighbours on each side that a sentence can be embedded with. Each one more costs another copy
/// of the text.
const WIDEST_WINDOW: usize = 10;

/// Cosines of 32-bit vectors that differ by less than this are the same.
const ROUNDING: f64 = 1e-5;

/// What counts as a drop in similarity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Boundary {
    /// A distance (1 - similarity) at or above this percentile of all those of the text, from 0 to
    /// 100, interpolated linearly. Where all are equal, none is a drop.
    Percentile(f64),
    /// A similarity below this, from -1 to 1.
    Threshold(f64),
}

impl Default for Boundary {
    fn default() -> Self {
        Self::Percentile(95.0)
    }
}

/// How to split by meaning, but for the meaning.
#[derive(Clone, Debug)]
pub struct SemanticPlan {
    exact: ExactSplitter,
    boundary: Boundary,
    window: usize,
    min_chunk_size: usize,
}

impl SemanticPlan {
    /// Chunks of at most `chunk_size` units, overlap included. By default a drop is one of the
    /// strongest 5 %, a sentence is embedded with one neighbour on each side, and every stretch
    /// between two drops is kept apart.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter): a size of 0, an overlap not below the size.
    pub fn new(chunk_size: usize, chunk_overlap: usize, unit: Unit) -> Result<Self> {
        if chunk_size == 0 {
            return Err(refused("chunk_size must be at least 1, not 0"));
        }
        if chunk_overlap >= chunk_size {
            return Err(refused(format_args!(
                "chunk_overlap must be below chunk_size ({chunk_size}), not {chunk_overlap}"
            )));
        }
        let strategy = Strategy::Sentence { chunk_size, chunk_overlap, sentence_endings: None };
        Ok(Self {
            exact: ExactSplitter::new(&strategy, unit)?,
            boundary: Boundary::default(),
            window: 1,
            min_chunk_size: 0,
        })
    }

    /// What counts as a drop.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter): a number out of its range, or none.
    pub fn with_boundary(mut self, boundary: Boundary) -> Result<Self> {
        let (field, value, range) = match boundary {
            Boundary::Percentile(value) => ("percentile", value, 0.0..=100.0),
            Boundary::Threshold(value) => ("threshold", value, -1.0..=1.0),
        };
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            return Err(refused(format_args!(
                "{field} must be between {low} and {high}, not {value}"
            )));
        }
        self.boundary = boundary;
        Ok(self)
    }

    /// Neighbours on each side that a sentence is embedded with: 1 by default. Without any, short
    /// sentences such as `Yes.` look like a change of topic.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter): more than 10.
    pub fn with_window(mut self, window: usize) -> Result<Self> {
        if window > WIDEST_WINDOW {
            return Err(refused(format_args!(
                "window must be between 0 and {WIDEST_WINDOW}, not {window}"
            )));
        }
        self.window = window;
        Ok(self)
    }

    /// A stretch between two drops that is shorter than this joins the next one, the last of the
    /// text the one before it. 0, the default, joins none.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter): more than the size of a chunk.
    pub fn with_min_chunk_size(mut self, min_chunk_size: usize) -> Result<Self> {
        let chunk_size = self.exact.chunk_size();
        if min_chunk_size > chunk_size {
            return Err(refused(format_args!(
                "min_chunk_size must be between 0 and chunk_size ({chunk_size}), not {min_chunk_size}"
            )));
        }
        self.min_chunk_size = min_chunk_size;
        Ok(self)
    }

    /// See [`ExactSplitter::with_trim`].
    #[must_use]
    pub fn with_trim(mut self, trim: bool) -> Self {
        self.exact = self.exact.with_trim(trim);
        self
    }

    /// Units a chunk, overlap included.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        self.exact.chunk_size()
    }

    /// Units that neighbours share, at most.
    #[must_use]
    pub const fn chunk_overlap(&self) -> usize {
        self.exact.chunk_overlap()
    }

    /// The sentences of `text` as byte ranges: in order, without gaps, none of them blank. Nothing
    /// for a blank text.
    #[must_use]
    pub fn sentences(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for end in sentences(text) {
            // Blank lines before the first sentence are a sentence of their own for Unicode.
            if slice(text, start..end).trim().is_empty() {
                continue;
            }
            found.push(start..end);
            start = end;
        }
        if let Some(last) = found.last_mut() {
            last.end = text.len();
        }
        found
    }

    /// What to embed: for each sentence, itself and its neighbours. Nothing when there is only one
    /// sentence, as there is nothing to compare it with.
    #[must_use]
    pub fn windows(&self, text: &str, sentences: &[Range<usize>]) -> Vec<String> {
        if sentences.len() < 2 {
            return Vec::new();
        }
        let last = sentences.len() - 1;
        let around = |middle: usize| {
            let first = sentences.get(middle.saturating_sub(self.window))?;
            let last = sentences.get(middle.saturating_add(self.window).min(last))?;
            Some(slice(text, first.start..last.end).trim().to_owned())
        };
        (0..sentences.len()).filter_map(around).collect()
    }

    /// The offsets at which a sentence begins that differs from the one before it.
    ///
    /// `similarities` are the cosines of neighbouring windows, one fewer than there are sentences.
    /// Where one is missing or not a number, there is no break.
    #[must_use]
    pub fn breaks(&self, sentences: &[Range<usize>], similarities: &[f32]) -> Vec<usize> {
        let is_drop: Box<dyn Fn(f64) -> bool> = match self.boundary {
            Boundary::Threshold(threshold) => Box::new(move |similarity| similarity < threshold),
            Boundary::Percentile(percentile) => {
                let mut known: Vec<f64> = similarities
                    .iter()
                    .filter(|similarity| !similarity.is_nan())
                    .map(|similarity| 1.0 - f64::from(*similarity))
                    .collect();
                known.sort_by(f64::total_cmp);
                let Some((smallest, cut)) =
                    known.first().copied().zip(percentile_of(&known, percentile))
                else {
                    return Vec::new();
                };
                // Rounding alone must neither make a drop nor hide one of two that are equal.
                Box::new(move |similarity| {
                    let distance = 1.0 - similarity;
                    distance >= cut - ROUNDING && distance > smallest + ROUNDING
                })
            }
        };
        let starts = sentences.iter().skip(1).map(|sentence| sentence.start);
        starts
            .zip(similarities)
            .filter(|(_, similarity)| is_drop(f64::from(**similarity)))
            .map(|(start, _)| start)
            .collect()
    }

    /// The chunks of a text with these sentences and breaks, each as the methods above return them.
    #[must_use]
    pub fn places(
        &self,
        source: Source<'_>,
        sentences: &[Range<usize>],
        breaks: &[usize],
    ) -> Vec<Chunk<Content>> {
        let mut seams = Ranked::new(1);
        let mut coarse = breaks.iter().copied().peekable();
        for end in sentences.iter().map(|sentence| sentence.end) {
            while coarse.next_if(|at| *at < end).is_some() {}
            seams.push(end, u8::from(coarse.peek() != Some(&end)));
        }
        for wall in self.walls(source, breaks) {
            seams.wall_at(wall);
        }
        let mut windows = Windows::new(&self.exact, source, seams, 0);
        std::iter::from_fn(|| windows.next_chunk()).collect()
    }

    /// The breaks that no chunk may span: those with enough text on both sides.
    fn walls(&self, source: Source<'_>, breaks: &[usize]) -> Vec<usize> {
        let Some(too_few) = self.min_chunk_size.checked_sub(1) else { return breaks.to_vec() };
        let text = source.text();
        let mut measure = Measure::new(source, &self.exact.ruler);
        let mut walls = Vec::new();
        let mut start = 0;
        // Measured once a stretch, so that joining many short ones stays linear.
        let mut short_upto = measure.reach(start, too_few);
        let content_end =
            |start: usize, end: usize| start + slice(text, start..end).trim_end().len();
        for at in breaks.iter().copied() {
            if at > start && content_end(start, at) > short_upto {
                walls.push(at);
                start = at;
                short_upto = measure.reach(start, too_few);
            }
        }
        if content_end(start, text.len()) <= short_upto {
            walls.pop();
        }
        walls
    }
}

/// The `percentile` of `sorted`, between two values the linear mean.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in a list, never negative"
)]
fn percentile_of(sorted: &[f64], percentile: f64) -> Option<f64> {
    let position = percentile / 100.0 * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(position.floor() as usize)?;
    let above = sorted.get(position.ceil() as usize).copied().unwrap_or(below);
    Some(below + (above - below) * position.fract())
}

#[cfg(test)]
#[path = "semantic_tests.rs"]
mod tests;
