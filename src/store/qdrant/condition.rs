//! Filters as conditions of the server's.
//!
//! Equality, prefixes, and numbers and short texts in order are told by the server alone. What is left (an order
//! by a text of more than twelve bytes, or by a whole number of more than 53 bits) it is asked about too widely:
//! [`Condition::is_exact`] is then false, and whoever asks looks at the metadata of each entry with
//! [`Condition::keeps`]. So no condition is ever left out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::points::{
    METADATA, NUMBERS, NUMBERS_NEXT, ORDER, ORDER_NEXT, ORDERED, halves, order, step,
};
use crate::store::filter::{Filter, Node, Number, Operand, Side, Test};

/// Whole numbers below this, of either sign, are the same as double precision.
const EXACT: i128 = 1 << 53;

/// What the server is asked, and what is left to look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    /// `None` for every entry.
    pub(super) filter: Option<Value>,
    rest: Option<Filter>,
}

impl Condition {
    pub(super) fn new(filter: Option<&Filter>) -> Self {
        let Some(filter) = filter else { return Self::default() };
        let mut translation = Translation { is_exact: true };
        let root = translation.node(filter.root(), true);
        let rest = (!translation.is_exact).then(|| filter.clone());
        Self { filter: Some(json!({"must": [root]})), rest }
    }

    /// Whether the server means just the entries that the filter does.
    pub(super) const fn is_exact(&self) -> bool {
        self.rest.is_none()
    }

    /// Whether an entry that the server found is meant.
    pub(super) fn keeps(&self, metadata: &BTreeMap<String, String>) -> bool {
        self.rest.as_ref().is_none_or(|filter| filter.matches(metadata))
    }
}

struct Translation {
    is_exact: bool,
}

impl Translation {
    /// A condition that holds wherever `node` does (`wide`), or nowhere else.
    fn node(&mut self, node: &Node, wide: bool) -> Value {
        match node {
            Node::All(parts) if parts.is_empty() => none(&never()),
            Node::All(parts) => json!({"must": self.nodes(parts, wide)}),
            Node::Any(parts) => any(&self.nodes(parts, wide)),
            // What is denied too narrowly is denied widely.
            Node::Not(part) => none(&self.node(part, !wide)),
            Node::Key(key, test) => {
                let path = |object: &str| format!("{object}.{}", step(key));
                self.test(&path, test, wide)
            }
        }
    }

    fn nodes(&mut self, parts: &[Node], wide: bool) -> Vec<Value> {
        parts.iter().map(|part| self.node(part, wide)).collect()
    }

    fn test(&mut self, path: &dyn Fn(&str) -> String, test: &Test, wide: bool) -> Value {
        match test {
            Test::Among { texts, numbers } => {
                let mut parts = Vec::new();
                if !texts.is_empty() {
                    parts.push(json!({"key": path(METADATA), "match": {"any": texts}}));
                }
                for number in numbers {
                    if self.is_telling(*number) || wide {
                        let (first, next) = halves(*number);
                        let same = [equal(&path(NUMBERS), first), equal(&path(NUMBERS_NEXT), next)];
                        parts.push(json!({"must": same}));
                    }
                }
                any(&parts)
            }
            Test::Order(side, Operand::Number(number)) => {
                let last = if self.is_telling(*number) { bound(*side) } else { edge(*side, wide) };
                let paths = [path(NUMBERS), path(NUMBERS_NEXT)];
                beyond(&paths, halves(*number), strict(*side), last)
            }
            Test::Order(side, Operand::Text(text)) => self.order(path, *side, text, wide),
            // Every text begins with nothing, but there must be one.
            Test::Prefix(prefix) if prefix.is_empty() => ranged(&path(ORDER), &[("gte", 0)]),
            Test::Prefix(prefix) => json!({"key": path(METADATA), "match": {"prefix": prefix}}),
        }
    }

    /// Whether the server, which knows double precision only, can tell all numbers from this one.
    fn is_telling(&mut self, number: Number) -> bool {
        let telling = match number {
            Number::Whole(whole) => (1 - EXACT..EXACT).contains(&whole),
            // It compares as double precision here too.
            Number::Real(_) => true,
        };
        self.is_exact &= telling;
        telling
    }

    fn order(
        &mut self,
        path: &dyn Fn(&str) -> String,
        side: Side,
        text: &str,
        wide: bool,
    ) -> Value {
        let beyond =
            |strict, last| beyond(&[path(ORDER), path(ORDER_NEXT)], order(text), strict, last);
        if text.len() > ORDERED {
            self.is_exact = false;
            return beyond(strict(side), edge(side, wide));
        }
        let equal = json!({"key": path(METADATA), "match": {"value": text}});
        // What is as far as the numbers go begins with the text, and is not below it.
        match side {
            Side::Below => beyond("lt", "lt"),
            Side::AtMost => any(&[beyond("lt", "lt"), equal]),
            Side::AtLeast => beyond("gt", "gte"),
            Side::Above => json!({"must": [beyond("gt", "gte")], "must_not": [equal]}),
        }
    }
}

/// Holds for no entry.
fn never() -> Value {
    json!({"has_id": []})
}

fn none(condition: &Value) -> Value {
    json!({"must_not": [condition]})
}

fn any(parts: &[Value]) -> Value {
    if parts.is_empty() { never() } else { json!({"should": parts}) }
}

/// What is further than two numbers, the first of which counts for more; `last` is the bound for the second.
fn beyond(paths: &[String; 2], (first, next): (u64, u64), strict: &str, last: &str) -> Value {
    let [path, path_next] = paths;
    let next = ranged(path_next, &[(last, next)]);
    any(&[ranged(path, &[(strict, first)]), json!({"must": [equal(path, first), next]})])
}

fn equal(key: &str, number: u64) -> Value {
    ranged(key, &[("gte", number), ("lte", number)])
}

fn ranged(key: &str, bounds: &[(&str, u64)]) -> Value {
    let bounds: BTreeMap<&str, u64> = bounds.iter().copied().collect();
    json!({"key": key, "range": bounds})
}

const fn strict(side: Side) -> &'static str {
    edge(side, false)
}

const fn bound(side: Side) -> &'static str {
    match side {
        Side::Below => "lt",
        Side::AtMost => "lte",
        Side::Above => "gt",
        Side::AtLeast => "gte",
    }
}

/// The bound of a side where what looks equal may be on either.
const fn edge(side: Side, wide: bool) -> &'static str {
    match (side, wide) {
        (Side::Below | Side::AtMost, true) => "lte",
        (Side::Below | Side::AtMost, false) => "lt",
        (Side::Above | Side::AtLeast, true) => "gte",
        (Side::Above | Side::AtLeast, false) => "gt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(conditions: &Value) -> Condition {
        Condition::new(Some(&Filter::parse(conditions).unwrap()))
    }

    #[test]
    fn what_the_server_cannot_tell_is_asked_too_widely_and_looked_at() {
        let long = "2024-05-31T12:00:00Z";
        for (exact, conditions) in [
            (true, json!({"day": {"ge": "2024-05-31"}, "page": {"lt": 7.5}})),
            (true, json!({"n": {"in": [9007199254740991_i64, "text"]}, "x": {"prefix": long}})),
            (false, json!({"n": 9007199254740992_i64})),
            (false, json!({"n": {"gt": -9007199254740992_i64}})),
            (false, json!({"day": {"lt": long}})),
            (false, json!({"not": {"any": [{"a": "b"}, {"day": {"lt": long}}]}})),
        ] {
            assert_eq!(condition(&conditions).is_exact(), exact, "{conditions}");
        }
        let wide = condition(&json!({"day": {"lt": long}})).filter.unwrap().to_string();
        let narrow = condition(&json!({"not": {"day": {"lt": long}}})).filter.unwrap().to_string();
        assert!(wide.contains("\"order_next.day\",\"range\":{\"lte\""), "{wide}");
        assert!(narrow.contains("\"order_next.day\",\"range\":{\"lt\""), "{narrow}");
        let meant = |day: &str| {
            condition(&json!({"day": {"lt": long}})).keeps(&[("day".into(), day.into())].into())
        };
        assert!(meant("2024-05-31T11") && !meant("2024-05-31T13"));
    }

    #[test]
    fn nothing_and_everything_are_conditions_too() {
        assert_eq!(
            condition(&json!({})).filter.unwrap(),
            json!({"must": [{"must_not": [{"has_id": []}]}]})
        );
        for nothing in [json!({"any": []}), json!({"a": {"in": []}})] {
            assert_eq!(
                condition(&nothing).filter.unwrap(),
                json!({"must": [{"must": [{"has_id": []}]}]})
            );
        }
        assert!(Condition::new(None).filter.is_none());
    }
}
