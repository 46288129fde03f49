//! Conditions on metadata: which entries a search, a listing, a count or a deletion is about.
//!
//! A filter is read from JSON in [`Filter::parse`] and nowhere else, and then only looks at one entry's
//! metadata. Metadata is text; a number in a condition compares with the values that are numbers written out,
//! a text with all of them, character by character. It refuses conditions it does not know, and names them.
//!
//! ```
//! use graphbit::store::Filter;
//! use serde_json::json;
//!
//! let filter = Filter::parse(&json!({"lang": "en", "page": {"ge": 10, "lt": 20}}))?;
//! let page = |page: &str| [("lang", "en"), ("page", page)].map(|(k, v)| (k.into(), v.into())).into();
//! assert!(filter.matches(&page("12")) && !filter.matches(&page("9")));
//! # Ok::<(), graphbit::Error>(())
//! ```

mod number;
mod parse;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

pub(super) use number::{LONGEST_NUMBER, Number};

/// Which entries, by their metadata. See [`Filter::parse`].
#[derive(Clone, Debug)]
pub struct Filter {
    root: Node,
    /// As it was written, for stores that are written elsewhere.
    conditions: Arc<Value>,
}

impl Filter {
    /// The entries whose `key`, which is none of the words `any`, `all` and `not`, is exactly `value`.
    #[must_use]
    pub fn equal(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        let conditions = Arc::new(json!({ key.as_str(): value.as_str() }));
        Self { root: Node::Key(key, Test::text(value)), conditions }
    }

    /// The entries whose `key`, which is none of the words `any`, `all` and `not`, is exactly one of these values.
    #[must_use]
    pub fn one_of(key: impl Into<String>, values: impl IntoIterator<Item = String>) -> Self {
        let (key, values) = (key.into(), values.into_iter().collect::<Vec<_>>());
        let conditions = Arc::new(json!({ key.as_str(): { "in": &values } }));
        let operands = values.into_iter().map(Operand::Text).collect();
        Self { root: Node::Key(key, Test::among(operands)), conditions }
    }

    /// The conditions as [`Filter::parse`] reads them.
    #[must_use]
    pub fn conditions(&self) -> &Value {
        &self.conditions
    }

    /// What it is made of, for a store that puts it into other words.
    pub(super) const fn root(&self) -> &Node {
        &self.root
    }

    /// Whether an entry with this metadata is meant.
    #[must_use]
    pub fn matches(&self, metadata: &BTreeMap<String, String>) -> bool {
        self.root.matches(metadata)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Key(String, Test),
}

impl Node {
    fn matches(&self, metadata: &BTreeMap<String, String>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(metadata)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(metadata)),
            Self::Not(part) => !part.matches(metadata),
            Self::Key(key, test) => metadata.get(key).is_some_and(|value| test.holds(value)),
        }
    }
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// One of these; both are sorted.
    Among {
        texts: Vec<String>,
        numbers: Vec<Number>,
    },
    Order(Side, Operand),
    Prefix(String),
}

impl Test {
    fn text(value: String) -> Self {
        Self::Among { texts: vec![value], numbers: Vec::new() }
    }

    fn among(operands: Vec<Operand>) -> Self {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for operand in operands {
            match operand {
                Operand::Text(text) => texts.push(text),
                Operand::Number(number) => numbers.push(number),
            }
        }
        texts.sort_unstable();
        numbers.sort_unstable();
        Self::Among { texts, numbers }
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Among { texts, numbers } => {
                texts.binary_search_by(|text| text.as_str().cmp(value)).is_ok()
                    || (!numbers.is_empty()
                        && Number::parse(value)
                            .is_some_and(|number| numbers.binary_search(&number).is_ok()))
            }
            Self::Order(side, Operand::Text(text)) => side.takes(value.cmp(text)),
            Self::Order(side, Operand::Number(number)) => {
                Number::parse(value).is_some_and(|value| side.takes(value.cmp(number)))
            }
            Self::Prefix(prefix) => value.starts_with(prefix.as_str()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Side {
    /// The side of a bound that no value is equal to, for one that ends before it.
    pub(super) const fn past(self) -> Self {
        match self {
            Self::Below | Self::AtMost => Self::AtMost,
            Self::Above | Self::AtLeast => Self::Above,
        }
    }

    const fn takes(self, ordering: Ordering) -> bool {
        match self {
            Self::Below => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Above => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Text(String),
    Number(Number),
}

#[cfg(test)]
mod tests;
