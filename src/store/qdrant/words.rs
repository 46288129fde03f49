//! Words as sparse vectors: a number for each term, and what it weighs.
//!
//! The terms, and their weights in a text, are those of [`crate::lexical`]; how rare a term is the server counts
//! itself (`modifier: idf`), by the same formula. What BM25 wants of the average length of a text nobody can say of
//! a collection that many write to, so it is a constant.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::lexical::{self, Query};

/// Terms that a text is taken to have on average: what Qdrant's own BM25 takes.
const USUAL_LENGTH: f64 = 256.0;

/// A sparse vector. No two of its indices are the same, as the server demands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sparse(BTreeMap<u32, f32>);

impl Sparse {
    /// That of a text to be found.
    pub(super) fn of_text(text: &str) -> Self {
        Self::of(lexical::weights(text, USUAL_LENGTH))
    }

    /// That of a question.
    pub(super) fn of_query(text: &str) -> Self {
        let query = Query::new(text);
        Self::of(query.terms().map(|(term, times)| (term, f64::from(times))))
    }

    fn of(terms: impl IntoIterator<Item = (impl AsRef<str>, f64)>) -> Self {
        let mut values = BTreeMap::new();
        for (term, weight) in terms {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the server keeps single precision"
            )]
            let weight = weight as f32;
            // Terms that share a number are one term to the server.
            *values.entry(number(term.as_ref())).or_insert(0.0) += weight;
        }
        Self(values)
    }

    /// Whether there is not one word.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Four bytes of a hash: of a hundred thousand different terms one or two share theirs.
fn number(term: &str) -> u32 {
    let [a, b, c, d, ..] = *blake3::hash(term.as_bytes()).as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl Serialize for Sparse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut vector = serializer.serialize_struct("Sparse", 2)?;
        vector.serialize_field("indices", &self.0.keys().collect::<Vec<_>>())?;
        vector.serialize_field("values", &self.0.values().collect::<Vec<_>>())?;
        vector.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_a_text_meet_in_their_words() {
        let text = Sparse::of_text("The heron waits. The HERON flies.");
        let query = Sparse::of_query("heron heron, where?");
        let shared: Vec<_> =
            query.0.iter().filter(|(index, _)| text.0.contains_key(index)).collect();
        assert_eq!(shared, [(&number("heron"), &2.0)]);
        assert_eq!(text.0.len(), 4, "the, heron, waits, flies");
        assert!(text.0[&number("heron")] > text.0[&number("waits")]);
        assert!(text.0.values().all(|weight| *weight > 0.0 && *weight < 1.0));
        assert!(Sparse::of_text("...").is_empty() && Sparse::of_query("").is_empty());
        assert_eq!(
            serde_json::to_string(&Sparse::of([("", 1.0)])).unwrap(),
            r#"{"indices":[3108574127],"values":[1.0]}"#
        );
    }
}
