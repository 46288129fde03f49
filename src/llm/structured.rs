//! Answers that are JSON: how they are asked for, and where in the reply they stand.
//!
//! A provider that can guarantee a schema takes only some schemas for that. [`schema_format`] asks for
//! the guarantee exactly when it can be given, so that no schema is refused for being rich; it refuses
//! to change what a schema means.
//!
//! ```
//! use graphbit::llm::structured::json_part;
//!
//! assert_eq!(json_part("```json\n{\"a\": 1}\n```"), "{\"a\": 1}");
//! ```

use serde_json::{Map, Value};

use crate::types::ResponseFormat;

const LONGEST_NAME: usize = 64;
const FENCE: &str = "```";

/// Keywords that every provider's guaranteed mode takes, beside those that hold schemas.
const PLAIN_KEYWORDS: [&str; 5] = ["type", "enum", "const", "title", "description"];

/// Asks for JSON that fits `schema`. `name` is made fit for the wire; empty, it becomes `answer`.
#[must_use]
pub fn schema_format(name: &str, schema: Value) -> ResponseFormat {
    let fit = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => letter,
        _ => '_',
    };
    let mut name: String = name.chars().map(fit).take(LONGEST_NAME).collect();
    if name.is_empty() {
        name.push_str("answer");
    }
    let strict = schema.get("type").is_some_and(|word| word == "object") && guaranteed(&schema);
    ResponseFormat::Schema { name, schema, strict }
}

/// Closes each object of a schema whose fields are all required, for readers that ignore further fields
/// anyway: it is what the guarantee wants, and costs such a reader nothing.
pub fn close_objects(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            if keywords.contains_key("properties") && all_required(keywords) {
                keywords.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            keywords.values_mut().for_each(close_objects);
        }
        Value::Array(values) => values.iter_mut().for_each(close_objects),
        _ => {}
    }
}

fn all_required(keywords: &Map<String, Value>) -> bool {
    let Some(Value::Object(properties)) = keywords.get("properties") else { return false };
    let required = keywords.get("required").and_then(Value::as_array);
    properties.keys().all(|name| {
        required.is_some_and(|list| list.iter().any(|required| required.as_str() == Some(name)))
    })
}

/// Whether a provider can hold answers to this schema: objects closed with every field required, and no
/// keyword that some guaranteed mode does not know.
fn guaranteed(schema: &Value) -> bool {
    let Value::Object(keywords) = schema else { return false };
    if keywords.contains_key("$ref") {
        return keywords.len() == 1;
    }
    let is_object = keywords.get("type").is_some_and(|word| word == "object");
    if is_object {
        let closed = keywords.get("additionalProperties") == Some(&Value::Bool(false));
        if !closed || !all_required(keywords) {
            return false;
        }
    }
    keywords.iter().all(|(keyword, value)| match (keyword.as_str(), value) {
        ("properties" | "$defs" | "definitions", Value::Object(named)) => {
            named.values().all(guaranteed)
        }
        ("items", value) => guaranteed(value),
        ("anyOf", Value::Array(choices)) => choices.iter().all(guaranteed),
        ("required" | "additionalProperties", _) => is_object,
        (keyword, _) => PLAIN_KEYWORDS.contains(&keyword),
    })
}

/// A reply without white space and without the Markdown fence that many models put around JSON.
#[must_use]
pub fn json_part(reply: &str) -> &str {
    let text = reply.trim();
    let inside = text
        .strip_prefix(FENCE)
        .and_then(|rest| rest.strip_suffix(FENCE))
        .and_then(|fenced| fenced.split_once('\n'))
        // What stands behind the opening fence is the name of a language.
        .filter(|(language, _)| language.trim().chars().all(char::is_alphanumeric));
    inside.map_or(text, |(_, json)| json.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn strict(schema: Value) -> bool {
        match schema_format("n", schema) {
            ResponseFormat::Schema { strict, .. } => strict,
            ResponseFormat::Json => panic!("a schema was given"),
        }
    }

    #[test]
    fn the_guarantee_is_asked_for_where_it_can_be_given() {
        let inner = json!({"type": "object", "properties": {"b": {"type": "string"}},
            "required": ["b"], "additionalProperties": false});
        let with = |field: Value| {
            json!({"type": "object", "properties": {"a": field}, "required": ["a"],
                "additionalProperties": false, "title": "T", "$defs": {"I": inner}})
        };
        for field in [
            json!({"type": "integer", "description": "how many"}),
            json!({"$ref": "#/$defs/I"}),
            json!({"type": "array", "items": inner}),
            json!({"anyOf": [{"type": "null"}, {"enum": ["x"]}]}),
        ] {
            assert!(strict(with(field.clone())), "{field}");
        }
        for field in [
            json!({"type": "object"}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "integer", "default": 3}),
            json!({"type": "string", "minLength": 1}),
            json!({"$ref": "#/$defs/I", "description": "d"}),
            json!({"type": "array", "items": {"type": "object", "properties": {}}}),
            json!({"oneOf": [{"type": "null"}]}),
            json!(true),
        ] {
            assert!(!strict(with(field.clone())), "{field}");
        }
        assert!(!strict(json!({"type": "array", "items": inner})), "the root must be an object");
        assert!(!strict(json!({"type": "object", "properties": {"a": {"type": "null"}}})));
    }

    #[test]
    fn objects_are_closed_only_where_nothing_is_optional() {
        let mut schema = json!({"$defs": {"I": {"type": "object", "properties": {"b": {}}}},
            "type": "object", "properties": {"a": {"$ref": "#/$defs/I"}}, "required": ["a"]});
        close_objects(&mut schema);
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["$defs"]["I"].get("additionalProperties"), None);
        let mut open = json!({"properties": {}, "additionalProperties": true});
        close_objects(&mut open);
        assert_eq!(open["additionalProperties"], json!(true));
    }

    #[test]
    fn names_are_made_fit_for_the_wire() {
        for (given, sent) in [("Point[int]", "Point_int_"), ("", "answer"), ("Größe", "Gr__e")] {
            let ResponseFormat::Schema { name, .. } = schema_format(given, json!({})) else {
                panic!("a schema was given")
            };
            assert_eq!(name, sent);
        }
    }

    #[test]
    fn json_stands_behind_its_fence() {
        for reply in [
            "{}",
            " {}\n",
            "```json\n{}\n```",
            "```\n{}\n```\n",
            "\n```JSON \n {} ```",
            "```json\r\n{}```",
        ] {
            assert_eq!(json_part(reply), "{}", "{reply:?}");
        }
        for whole in ["```{}```", "``` no language\n{}\n```", "see: ```json\n{}\n```", "``````", ""]
        {
            assert_eq!(json_part(whole), whole);
        }
    }
}
