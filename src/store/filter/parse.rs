//! Reading a filter from JSON; every refusal names the place and what stands there.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::number::Number;
use super::{Filter, Node, Operand, Side, Test};
use crate::error::{Error, Result, shortened};

/// Filters within filters at most. A deeper one is a mistake, and would be a danger to the stack.
const DEEPEST: usize = 32;
/// Bytes of a refused value that are shown.
const SHOWN: usize = 80;

impl Filter {
    /// Reads an object of conditions, all of which must hold.
    ///
    /// | condition | holds for entries |
    /// |---|---|
    /// | `"key": value` | whose `key` is `value` |
    /// | `"key": {"in": [..]}` | whose `key` is one of these |
    /// | `"key": {"lt": value}`, `le`, `gt`, `ge` | whose `key` is below, at most, above, at least `value` |
    /// | `"key": {"prefix": text}` | whose `key` begins with `text` |
    /// | `"key": {"ne": value}` | whose `key` is something else, or missing |
    /// | `"any": [..]`, `"all": [..]` | that fulfil one of these objects, all of them |
    /// | `"not": {..}` | that do not fulfil this object |
    ///
    /// Several conditions on one key stand in one object; `{}` holds for every entry. A value is a text or a
    /// number; `true` and `false` stand for these words. But for `ne`, an entry without the key fulfils nothing.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] naming the condition that is not understood.
    pub fn parse(conditions: &Value) -> Result<Self> {
        let root = object(conditions, "where", 0)?;
        Ok(Self { root, conditions: Arc::new(conditions.clone()) })
    }
}

fn object(value: &Value, place: &str, depth: usize) -> Result<Node> {
    let Value::Object(conditions) = value else {
        return refuse(place, value, "must be an object of conditions");
    };
    if depth > DEEPEST {
        return refuse(place, value, "is nested too deeply");
    }
    let mut parts = Vec::with_capacity(conditions.len());
    for (key, value) in conditions {
        let place = format!("{place}.{key}");
        let within = |value: &Value| -> Result<Vec<Node>> {
            let Value::Array(items) = value else {
                return refuse(&place, value, "must be a list of objects of conditions");
            };
            items.iter().map(|item| object(item, &place, depth + 1)).collect()
        };
        match key.as_str() {
            "any" => parts.push(Node::Any(within(value)?)),
            "all" => parts.push(Node::All(within(value)?)),
            "not" => parts.push(Node::Not(Box::new(object(value, &place, depth + 1)?))),
            _ => match value {
                Value::Object(tests) => several(key, tests, value, &place, &mut parts)?,
                _ => {
                    let same = Test::among(vec![operand(value, &place)?]);
                    parts.push(Node::Key(key.clone(), same));
                }
            },
        }
    }
    Ok(Node::All(parts))
}

/// The conditions on one key.
fn several(
    key: &str,
    tests: &Map<String, Value>,
    whole: &Value,
    place: &str,
    parts: &mut Vec<Node>,
) -> Result<()> {
    if tests.is_empty() {
        return refuse(place, whole, "names no condition");
    }
    for (name, value) in tests {
        let place = format!("{place}.{name}");
        let order = |side| Ok(Test::Order(side, operand(value, &place)?));
        let same = || Ok(Test::among(vec![operand(value, &place)?]));
        let test = match (name.as_str(), value) {
            ("eq" | "ne", _) => same(),
            ("lt", _) => order(Side::Below),
            ("le", _) => order(Side::AtMost),
            ("gt", _) => order(Side::Above),
            ("ge", _) => order(Side::AtLeast),
            ("in", Value::Array(items)) => {
                let items: Result<_> = items.iter().map(|item| operand(item, &place)).collect();
                Ok(Test::among(items?))
            }
            ("in", _) => refuse(&place, value, "must be a list"),
            ("prefix", Value::String(prefix)) => Ok(Test::Prefix(prefix.clone())),
            ("prefix", _) => refuse(&place, value, "must be a text"),
            _ => {
                let text = "is no condition; there are eq, ne, in, lt, le, gt, ge and prefix";
                refuse(&place, value, text)
            }
        }?;
        let node = Node::Key(key.to_owned(), test);
        parts.push(if name == "ne" { Node::Not(Box::new(node)) } else { node });
    }
    Ok(())
}

fn operand(value: &Value, place: &str) -> Result<Operand> {
    match value {
        Value::String(text) => Ok(Operand::Text(text.clone())),
        Value::Bool(truth) => Ok(Operand::Text(truth.to_string())),
        Value::Number(number) => {
            let whole = number.as_i128().map(Number::Whole);
            match whole.or_else(|| number.as_f64().and_then(Number::real)) {
                Some(number) => Ok(Operand::Number(number)),
                None => refuse(place, value, "is not a finite number"),
            }
        }
        Value::Array(_) => {
            refuse(place, value, r#"must be one value; for several write {"in": [..]}"#)
        }
        Value::Null | Value::Object(_) => {
            refuse(place, value, "must be a text, a number or a truth value")
        }
    }
}

fn refuse<T>(place: &str, value: &Value, text: &str) -> Result<T> {
    let value = shortened(value.to_string(), SHOWN, "...");
    Err(Error::validation(place, Some(&value), text))
}
