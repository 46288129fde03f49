//! The seams of the recursive strategy: behind literal separators, coarse to fine.

use memchr::memmem::FinderRev;

use super::super::measure::slice;
use super::seams::Seams;

/// A list of separators ready to be looked for.
#[derive(Clone, Debug)]
pub(super) struct Separators {
    finders: Vec<FinderRev<'static>>,
}

impl Separators {
    /// What stands behind an empty separator is never used, as that one always finds a place.
    pub(super) fn new(separators: &[String]) -> Self {
        let used = separators.iter().take_while(|separator| !separator.is_empty());
        Self { finders: used.map(|one| FinderRev::new(one.as_bytes()).into_owned()).collect() }
    }

    pub(super) const fn over<'text>(&'text self, text: &'text str) -> SeparatorSeams<'text> {
        SeparatorSeams { text, separators: self }
    }
}

pub(super) struct SeparatorSeams<'text> {
    text: &'text str,
    separators: &'text Separators,
}

impl Seams for SeparatorSeams<'_> {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        // A list may be long: one look at the window rules out most of it.
        let mut present = [false; 256];
        let many = self.separators.finders.len() > 32;
        if many {
            for byte in slice(self.text, after..upto).bytes() {
                if let Some(seen) = present.get_mut(usize::from(byte)) {
                    *seen = true;
                }
            }
        }
        self.separators.finders.iter().find_map(|finder| {
            let separator = finder.needle();
            let last = *separator.last()?;
            if many && !present.get(usize::from(last)).copied().unwrap_or_default() {
                return None;
            }
            // It may begin before the window, but has to end in it.
            let from = (after + 1).saturating_sub(separator.len());
            let found = finder.rfind(self.text.as_bytes().get(from..upto)?)?;
            Some(from + found + separator.len())
        })
    }
}
