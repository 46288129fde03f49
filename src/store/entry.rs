//! What a store holds beside the vectors, and what it answers with.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How alike two vectors are; of each, more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The cosine of the angle, -1 to 1. A vector of zeros scores 0 with everything.
    #[default]
    Cosine,
    /// The dot product.
    Dot,
    /// The Euclidean distance with its sign turned, so that 0 is best.
    L2,
}

impl Metric {
    /// The metric's name: `"cosine"`, `"dot"` or `"l2"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::L2 => "l2",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Cosine, Self::Dot, Self::L2].into_iter().find(|one| one.as_str() == name).ok_or_else(
            || Error::validation("metric", Some(name), "must be 'cosine', 'dot' or 'l2'"),
        )
    }
}

/// How a store looks for the vectors most like a given one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Index {
    /// By comparing with all of them: nothing is ever missed.
    #[default]
    Exact,
    /// By walking a graph of near neighbours, from some 8,000 vectors on: many times faster in large stores, and
    /// nearly all of the best are found. Scores are exact.
    Hnsw,
}

impl Index {
    /// The index's name: `"exact"` or `"hnsw"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Hnsw => "hnsw",
        }
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Index {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Exact, Self::Hnsw]
            .into_iter()
            .find(|one| one.as_str() == name)
            .ok_or_else(|| Error::validation("index", Some(name), "must be 'exact' or 'hnsw'"))
    }
}

/// What is stored beside a vector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name to find, replace and delete it by; an empty one is replaced by a free number.
    pub id: String,
    /// The text the vector stands for.
    pub text: String,
    /// Free key-value data.
    pub metadata: BTreeMap<String, String>,
}

impl Entry {
    /// An entry with a text and nothing else.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// An entry with its place in the order of insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// What is stored.
    pub entry: Arc<Entry>,
    /// The how-manieth vector this was when it was first added, from 0; never given out twice.
    pub index: u64,
}

/// One answer to a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// What was found.
    pub entry: Arc<Entry>,
    /// See [`Metric`]; more is better.
    pub score: f32,
    /// The how-manieth vector this was when it was first added, from 0; never given out twice.
    pub index: u64,
}
