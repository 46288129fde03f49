//! The seams of the recursive strategy: behind literal separators, coarse to fine.

use std::ops::Range;

use memchr::memmem::{self, FinderRev};

use super::super::presence::Presence;
use super::seams::Seams;

/// A list of separators ready to be looked for.
#[derive(Clone, Debug)]
pub(super) struct Separators {
    finders: Vec<FinderRev<'static>>,
    presence: Option<Presence>,
}

impl Separators {
    /// What stands behind an empty separator is never used, as that one always finds a place.
    pub(super) fn new(separators: &[String]) -> Self {
        let used = separators.iter().position(String::is_empty).unwrap_or(separators.len());
        let used = separators.get(..used).unwrap_or_default();
        Self {
            finders: used.iter().map(|one| FinderRev::new(one.as_bytes()).into_owned()).collect(),
            presence: Presence::new(used.iter().map(String::as_str)),
        }
    }

    /// Behind the first occurrence, in `near`, of the coarsest separator that occurs there.
    pub(super) fn first_in(&self, text: &str, near: &Range<usize>) -> Option<usize> {
        let bytes = text.as_bytes().get(near.clone())?;
        let behind = |finder: &FinderRev<'_>| {
            let separator = finder.needle();
            Some(near.start + memmem::find(bytes, separator)? + separator.len())
        };
        self.finders.iter().find_map(behind)
    }

    pub(super) fn over<'text>(&'text self, text: &'text str) -> SeparatorSeams<'text> {
        let finders = match &self.presence {
            Some(presence) => {
                presence.of(text).into_iter().filter_map(|at| self.finders.get(at)).collect()
            }
            None => self.finders.iter().collect(),
        };
        SeparatorSeams { text, finders }
    }
}

pub(super) struct SeparatorSeams<'text> {
    text: &'text str,
    finders: Vec<&'text FinderRev<'static>>,
}

impl Seams for SeparatorSeams<'_> {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        self.finders.iter().find_map(|finder| {
            let separator = finder.needle();
            // It may begin before the window, but has to end in it.
            let from = (after + 1).saturating_sub(separator.len());
            let found = finder.rfind(self.text.as_bytes().get(from..upto)?)?;
            Some(from + found + separator.len())
        })
    }
}
