//! Values in JSON: what models and tools hand to each other, and the schemas of tools.

use serde_json::{Map, Value};

use super::mask::Mask;

/// Entries of a schema that are words for the model or data, whatever they contain.
const TEXTS: [&str; 7] =
    ["$comment", "const", "default", "description", "enum", "examples", "title"];
/// Entries of a schema whose names are the author's and whose values are schemas.
const NAMED: [&str; 5] =
    ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];

impl Mask {
    /// The same JSON with every text in it encoded, names included. A number in which a rule matches becomes
    /// a text, for a token is one.
    pub fn encode_json(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.encode(text).into(),
            Value::Number(number) => {
                let text = number.to_string();
                let hidden = self.encode(&text);
                if hidden == text { value.clone() } else { hidden.into() }
            }
            Value::Array(items) => items.iter().map(|item| self.encode_json(item)).collect(),
            Value::Object(fields) => {
                let hidden = fields.iter();
                let hidden =
                    hidden.map(|(name, value)| (self.encode(name), self.encode_json(value)));
                hidden.collect::<Map<_, _>>().into()
            }
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    /// The same JSON with every text in it decoded, names included.
    pub fn decode_json(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.restored(text, false).into(),
            Value::Array(items) => items.iter().map(|item| self.decode_json(item)).collect(),
            Value::Object(fields) => {
                let shown = fields.iter();
                let shown = shown
                    .map(|(name, value)| (self.restored(name, false), self.decode_json(value)));
                shown.collect::<Map<_, _>>().into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// A JSON Schema with its descriptions and its data encoded. The names of parameters and the words of
    /// the schema itself are the structure by which a model calls a tool: they stay.
    pub fn encode_schema(&mut self, schema: &Value) -> Value {
        match schema {
            Value::Array(items) => items.iter().map(|item| self.encode_schema(item)).collect(),
            Value::Object(fields) => {
                let hidden = fields.iter().map(|(name, value)| {
                    let hidden = match value {
                        _ if TEXTS.contains(&name.as_str()) => self.encode_json(value),
                        Value::Object(named) if NAMED.contains(&name.as_str()) => {
                            let named = named.iter();
                            let named = named
                                .map(|(name, inner)| (name.clone(), self.encode_schema(inner)));
                            named.collect::<Map<_, _>>().into()
                        }
                        value => self.encode_schema(value),
                    };
                    (name.clone(), hidden)
                });
                hidden.collect::<Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }
}
