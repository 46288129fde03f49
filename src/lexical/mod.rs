//! BM25 over immutable pieces of a collection: which texts hold the words of a query, and how much that says.
//!
//! A [`Segment`] indexes some texts once and never changes; [`score`] ranks the texts of several segments as
//! one collection. So there is nothing to keep in step: whoever changes a text drops its segment and makes a
//! new one. It refuses to guess languages: words are compared lower-cased and in Unicode's NFKC form, without
//! stems or stop words, and scripts that put no spaces between words by pairs of characters.
//!
//! It is ours because the engines that exist index documents they own: keeping a second copy in step with the
//! vector store through their writers, commits and merges is more code than this. Tantivy, the best kept of them,
//! adds 44 crates to ours.
//!
//! ```
//! use graphbit::lexical::{Query, Segment, score};
//!
//! let segment = Segment::of(["The swift sleeps on the wing.", "The heron waits."]);
//! let mut found = Vec::new();
//! score(&[&segment], &Query::new("Where does the heron wait?"), |_, row, score| found.push((row, score)));
//! assert!(found[1].0 == 1 && found[1].1 > found[0].1);
//! ```
//!
//! Where an engine elsewhere adds up products of weights, [`weights`] and [`Query::terms`] are the two factors that
//! it cannot know; the rarity of a term is its own.

mod segment;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;

pub use segment::Segment;
use words::{Purpose, each_term};

/// How soon a repeated word stops to count for more, and how much a long text is held against it.
///
/// Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), find 1.2 < k1 < 2 and
/// 0.5 < b < 0.8 good in many circumstances; these two are what Lucene takes.
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// Distinct terms of a query that are looked for; a longer query is a document, and is cut.
const MOST_TERMS: usize = 1024;

/// What is looked for: the terms of a question.
#[derive(Clone, Debug)]
pub struct Query {
    /// Each once, in the order of their first appearance, with the number of times.
    terms: Vec<(String, u32)>,
}

impl Query {
    /// The terms of `text`; the first 1024 different ones.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut terms: Vec<(String, u32)> = Vec::new();
        let mut places = HashMap::new();
        each_term(text, Purpose::Query, |term| {
            if let Some(place) = places.get(term) {
                if let Some((_, times)) = terms.get_mut(*place) {
                    *times = u32::saturating_add(*times, 1);
                }
            } else if terms.len() < MOST_TERMS {
                places.insert(term.to_owned(), terms.len());
                terms.push((term.to_owned(), 1));
            }
        });
        Self { terms }
    }

    /// Each term once, with the number of times it is asked for.
    pub fn terms(&self) -> impl Iterator<Item = (&str, u32)> {
        self.terms.iter().map(|(term, times)| (term.as_str(), *times))
    }
}

/// What each term of `text` says of it, in the order of their first appearance: the part of BM25 that is above 0 and
/// below 1 and knows nothing of other texts but `average`, the number of terms that a text usually has.
#[must_use]
pub fn weights(text: &str, average: f64) -> Vec<(String, f64)> {
    let (mut terms, mut places) = (Vec::<(String, f64)>::new(), HashMap::new());
    let mut length = 0.0;
    each_term(text, Purpose::Index, |term| {
        length += 1.0;
        match places.get(term).and_then(|place: &usize| terms.get_mut(*place)) {
            Some((_, times)) => *times += 1.0,
            None => {
                places.insert(term.to_owned(), terms.len());
                terms.push((term.to_owned(), 1.0));
            }
        }
    });
    terms.iter_mut().for_each(|(_, weight)| *weight = saturated(*weight, length / average));
    terms
}

/// `times` held against how long the text is, as a multiple of the usual.
fn saturated(times: f64, length: f64) -> f64 {
    times / (times + K1 * (1.0 - B + B * length))
}

/// Calls `each` with segment, row and score of every text that holds a term of `query`, in order.
///
/// Scores are sums over the query's terms of idf * tf / (tf + k1 * (1 - b + b * length / average)), with Lucene's
/// idf ln(1 + (N - n + 0.5) / (n + 0.5)), which no common word makes negative. They are above 0, have no upper
/// limit, and compare within one collection only.
pub fn score(segments: &[&Segment], query: &Query, mut each: impl FnMut(usize, usize, f32)) {
    let rows: f64 = segments.iter().map(|segment| f64::from(segment.rows())).sum();
    let tokens: f64 = segments.iter().map(|segment| segment.tokens()).sum();
    let average = (tokens / rows.max(1.0)).max(1.0);
    let weights: Vec<f64> = query
        .terms
        .iter()
        .map(|(term, times)| {
            let holding: f64 =
                segments.iter().map(|segment| f64::from(segment.holding(term))).sum();
            f64::from(*times) * (1.0 + (rows - holding + 0.5) / (holding + 0.5)).ln()
        })
        .collect();
    let mut scores = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        scores.clear();
        scores.resize(segment.lengths().len(), 0.0_f64);
        for ((term, _), weight) in query.terms.iter().zip(&weights) {
            for (row, times) in segment.postings(term) {
                let (Some(sum), Some(length)) = (scores.get_mut(row), segment.lengths().get(row))
                else {
                    continue;
                };
                *sum += weight * saturated(f64::from(times), f64::from(*length) / average);
            }
        }
        for (row, score) in scores.iter().enumerate().filter(|(_, score)| **score > 0.0) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to f32 is the result wanted"
            )]
            each(number, row, *score as f32);
        }
    }
}
