//! Seams found by walking the text once, each kind its own layer: paragraphs, sentences, matches.

use std::collections::VecDeque;
use std::iter::Fuse;

use memchr::memchr_iter;

use super::super::measure::{slice, white_space_end};
use super::seams::Seams;

/// Yields offsets of one text in rising order.
pub(super) type Offsets<'text> = Box<dyn Iterator<Item = usize> + Send + 'text>;

/// One kind of seam, looked for no further than somebody asked.
struct Layer<'text> {
    ahead: Fuse<Offsets<'text>>,
    found: VecDeque<usize>,
}

impl Layer<'_> {
    fn look_upto(&mut self, offset: usize) {
        while self.found.back().is_none_or(|last| *last <= offset)
            && let Some(next) = self.ahead.next()
        {
            self.found.push_back(next);
        }
    }

    fn forget(&mut self, before: usize) {
        while self.found.front().is_some_and(|first| *first < before) {
            self.found.pop_front();
        }
    }

    fn last_upto(&mut self, after: usize, upto: usize) -> Option<usize> {
        self.look_upto(upto);
        let count = self.found.partition_point(|at| *at <= upto);
        let last = *self.found.get(count.checked_sub(1)?)?;
        (last > after).then_some(last)
    }

    fn first_from(&mut self, from: usize, before: usize) -> Option<usize> {
        self.look_upto(before);
        let count = self.found.partition_point(|at| *at < from);
        self.found.get(count).copied().filter(|at| *at < before)
    }
}

/// Layers of seams, coarse to fine. A repeated part begins at a seam of the finest.
pub(super) struct Layers<'text> {
    layers: Vec<Layer<'text>>,
}

impl<'text> Layers<'text> {
    pub(super) fn new(layers: impl IntoIterator<Item = Offsets<'text>>) -> Self {
        let layer = |ahead: Offsets<'text>| Layer { ahead: ahead.fuse(), found: VecDeque::new() };
        Self { layers: layers.into_iter().map(layer).collect() }
    }
}

impl Seams for Layers<'_> {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        self.layers.iter_mut().find_map(|layer| layer.last_upto(after, upto))
    }

    fn resume(&mut self, from: usize, before: usize) -> Option<usize> {
        self.layers.last_mut()?.first_from(from, before)
    }

    fn forget(&mut self, before: usize) {
        for layer in &mut self.layers {
            layer.forget(before);
        }
    }
}

/// Where paragraphs of `text` begin: behind blank lines. A paragraph of fewer than `shortest` code
/// points stays with the next one.
pub(super) fn paragraphs(text: &str, shortest: usize) -> impl Iterator<Item = usize> + '_ {
    let mut begun = 0;
    let mut done = 0;
    memchr_iter(b'\n', text.as_bytes()).filter_map(move |line_end| {
        if line_end < done {
            return None;
        }
        let gap = slice(text, line_end..text.len());
        let blank_lines = gap.len() - gap.trim_start().len();
        done = line_end + blank_lines;
        let lines = slice(text, line_end..done).bytes().filter(|byte| *byte == b'\n').count();
        if lines < 2 || done == text.len() {
            return None;
        }
        // The next paragraph keeps its indentation.
        let next = slice(text, line_end..done).rfind('\n').map_or(done, |last| line_end + last + 1);
        let long_enough = |part: &str| shortest == 0 || part.chars().nth(shortest - 1).is_some();
        if !long_enough(slice(text, begun..line_end)) {
            return None;
        }
        begun = next;
        Some(next)
    })
}

/// The word that begins first in `from..before`, none of it left out.
pub(super) fn word_start(text: &str, from: usize, before: usize) -> Option<usize> {
    let head = slice(text, 0..from);
    let behind_blank = head.chars().next_back().is_none_or(char::is_whitespace);
    let blank = if behind_blank {
        from
    } else {
        from + slice(text, from..before).find(char::is_whitespace)?
    };
    Some(white_space_end(text, blank)).filter(|at| *at < before)
}
