//! What a server found, on its way to candidates.

use std::collections::HashMap;

use super::super::Hit;
use super::{Candidate, fused};

/// A hit with what only some callers want.
pub(in crate::store) struct Found {
    pub(in crate::store) hit: Hit,
    /// The score by vector, of a hit that was found by words.
    pub(in crate::store) similarity: Option<f32>,
    pub(in crate::store) vector: Vec<f32>,
}

impl Found {
    /// As a candidate of the only list there is.
    pub(in crate::store) fn alone(self) -> Candidate {
        Candidate { relevance: self.hit.score, hit: self.hit, vector: self.vector }
    }
}

/// Two lists fused by their ranks, with the scores by vector.
pub(in crate::store) fn joined(lists: [Vec<Found>; 2], limit: usize) -> Vec<Candidate> {
    let mut rest = HashMap::new();
    let lists = lists.map(|list| {
        let one = |found: Found| {
            let score = found.similarity.unwrap_or(found.hit.score);
            rest.insert(found.hit.index, (score, found.vector));
            found.hit
        };
        list.into_iter().map(one).collect()
    });
    let ranked = fused(lists, |index| rest.get(&index).map(|(score, _)| *score), limit);
    let candidate = |(hit, relevance): (Hit, f32)| {
        let vector = rest.get(&hit.index).map(|(_, vector)| vector.clone()).unwrap_or_default();
        Candidate { hit, relevance, vector }
    };
    ranked.into_iter().map(candidate).collect()
}
