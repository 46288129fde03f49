//! Which separators of a long list occur in a text at all, found out in one pass over it.
//!
//! A separator that does not occur changes nothing at its level, so it can be left out; with it, a
//! text would be searched once for each. Short lists are not worth the pass.

use std::collections::HashSet;

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;

/// A list longer than this is looked through before it is used.
const LONG: usize = 32;

/// Bytes of a separator that are looked for: the automaton takes about forty bytes for each.
const PREFIX: usize = 64;

/// A long list of separators, ready to be looked for all at once.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    automaton: Box<NFA>,
}

impl Presence {
    /// `None` for a list that is better tried one by one.
    pub(super) fn new<'list>(
        separators: impl ExactSizeIterator<Item = &'list str>,
    ) -> Option<Self> {
        if separators.len() <= LONG {
            return None;
        }
        let prefixes = separators.map(|separator| {
            let bytes = separator.as_bytes();
            bytes.get(..PREFIX).unwrap_or(bytes)
        });
        let automaton = NFA::builder().prefilter(false).build(prefixes).ok()?;
        Some(Self { automaton: Box::new(automaton) })
    }

    /// Positions in the list, ascending, of all that occur in `text`, and perhaps of some more: of
    /// a long separator only the beginning is looked for.
    pub(super) fn of(&self, text: &str) -> Vec<usize> {
        let automaton = &*self.automaton;
        let Ok(mut state) = automaton.start_state(Anchored::No) else { return Vec::new() };
        let mut found = Vec::new();
        // A state knows all that end there, which may be many: it is asked once.
        let mut asked = HashSet::new();
        let mut note = |state| {
            if automaton.is_match(state) && asked.insert(state) {
                let matches = 0..automaton.match_len(state);
                found.extend(matches.map(|nth| automaton.match_pattern(state, nth).as_usize()));
            }
        };
        // An empty one occurs before the first byte.
        note(state);
        for byte in text.bytes() {
            state = automaton.next_state(Anchored::No, state, byte);
            note(state);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_contains_finds(
            text in "[abc世]{0,40}",
            list in prop::collection::vec("[abc世]{0,4}", 33..80),
        ) {
            let presence = Presence::new(list.iter().map(String::as_str)).unwrap();
            let theirs: Vec<usize> =
                (0..list.len()).filter(|at| text.contains(&list[*at])).collect();
            prop_assert_eq!(presence.of(&text), theirs);
        }

        #[test]
        fn long_lists_change_nothing(
            text in "[abc 世]{0,80}",
            size in 1_usize..12,
            overlap in 0_usize..4,
            list in prop::collection::vec("[abc 世]{0,3}", 33..60),
            exact: bool,
        ) {
            use super::super::{ExactSplitter, RecursiveSplitter, Strategy as Chosen, Unit};
            // Whatever is short enough not to be looked through says what is right: only those that
            // occur, up to the first empty one.
            let mut used: Vec<String> = Vec::new();
            for one in &list {
                if text.contains(one) && !used.contains(one) {
                    used.push(one.clone());
                }
                if one.is_empty() || used.len() == LONG {
                    break;
                }
            }
            prop_assume!(used.len() < LONG);
            if used.is_empty() {
                used.push("#".to_owned());
            }
            let cut = |list: Vec<String>| if exact {
                let overlap = overlap % size;
                let separators = Some(list);
                let chosen =
                    Chosen::Recursive { chunk_size: size, chunk_overlap: overlap, separators };
                ExactSplitter::new(&chosen, Unit::Chars).unwrap().split(&text)
            } else {
                RecursiveSplitter::new(size, overlap, Some(list)).unwrap().split(&text)
            };
            prop_assert_eq!(cut(list), cut(used));
        }
    }
}
