//! The entries of a block, with the index of their words.
//!
//! The index is made from the entries when somebody first searches for words. Entries change through the
//! methods here only, and each of these drops it: there is no other step that could be forgotten.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Entry;
use crate::lexical::Segment;

#[derive(Default)]
pub(super) struct Entries {
    rows: Vec<Arc<Entry>>,
    /// No lock: a thread of a parent process may have held it at the fork.
    words: ArcSwapOption<Segment>,
}

impl Entries {
    pub(super) fn with_room(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), ..Self::default() }
    }

    /// The entries of both.
    pub(super) fn joined(&self, other: &Self) -> Self {
        Self { rows: [self.rows.as_slice(), &other.rows].concat(), ..Self::default() }
    }

    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        self.words = ArcSwapOption::empty();
        self.rows.push(entry);
    }

    pub(super) fn replace(&mut self, row: usize, entry: Arc<Entry>) {
        self.words = ArcSwapOption::empty();
        if let Some(place) = self.rows.get_mut(row) {
            *place = entry;
        }
    }

    /// Whether [`Entries::words`] has the index at hand.
    pub(super) fn are_indexed(&self) -> bool {
        self.words.load().is_some()
    }

    /// The index of the entries' texts, in their order.
    pub(super) fn words(&self) -> Arc<Segment> {
        self.words.load_full().unwrap_or_else(|| {
            let segment = Arc::new(Segment::of(self.rows.iter().map(|entry| entry.text.as_str())));
            self.words.store(Some(Arc::clone(&segment)));
            segment
        })
    }
}

impl Clone for Entries {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), words: ArcSwapOption::new(self.words.load_full()) }
    }
}

impl Deref for Entries {
    type Target = [Arc<Entry>];

    fn deref(&self) -> &[Arc<Entry>] {
        &self.rows
    }
}

impl<'e> IntoIterator for &'e Entries {
    type Item = &'e Arc<Entry>;
    type IntoIter = std::slice::Iter<'e, Arc<Entry>>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}
