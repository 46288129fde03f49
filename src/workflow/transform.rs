//! What a transform node does to the text of its parents.
//!
//! A transformation with a placeholder is a template, in which `{input}` is that text; any other is a row
//! of operations, `trim | uppercase`. An operation that does not exist is refused before the run.

use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use super::template;

type Operation = fn(&str) -> Result<Value, String>;

/// Name and effect. The second names are those that other languages use.
const OPERATIONS: [(&str, Operation); 16] = [
    ("capitalize", |text| done(capitalized(text))),
    ("collapse_whitespace", |text| done(text.split_whitespace().collect::<Vec<_>>().join(" "))),
    ("extract_json", extract_json),
    ("first_line", |text| done(text.lines().next().unwrap_or_default())),
    ("last_line", |text| done(text.lines().next_back().unwrap_or_default())),
    ("length", |text| Ok(text.chars().count().into())),
    ("lower", |text| done(text.to_lowercase())),
    ("lowercase", |text| done(text.to_lowercase())),
    ("reverse", |text| done(text.graphemes(true).rev().collect::<String>())),
    ("sort_lines", |text| done(sorted_lines(text))),
    ("strip", |text| done(text.trim())),
    ("title", |text| done(text.split_word_bounds().map(capitalized).collect::<String>())),
    ("trim", |text| done(text.trim())),
    ("upper", |text| done(text.to_uppercase())),
    ("uppercase", |text| done(text.to_uppercase())),
    ("word_count", |text| Ok(text.unicode_words().count().into())),
];

/// What a transform node was made from.
#[derive(Debug)]
pub(super) struct Transform {
    text: String,
    operations: Result<Vec<(&'static str, Operation)>, String>,
}

impl Transform {
    pub(super) fn new(text: &str) -> Self {
        let operations = text.split('|').map(str::trim).map(|name| {
            let known = OPERATIONS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
            known.copied().ok_or_else(|| name.to_owned())
        });
        let operations = operations.collect();
        Self { text: text.to_owned(), operations }
    }

    /// The text, if it is a template.
    pub(super) fn template(&self) -> Option<&str> {
        let written = || !template::candidates(&self.text).is_empty();
        (self.operations.is_err() && written()).then_some(self.text.as_str())
    }

    /// What it was made from.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Says what is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.operations {
            Err(unknown) if self.template().is_none() => Err(format!(
                "there is no text operation '{unknown}'; use {} (several with '|' between them), or a \
                 template with '{{input}}' in it",
                names().collect::<Vec<_>>().join(", ")
            )),
            _ => Ok(()),
        }
    }

    /// The output for `input`; `output` knows the finished nodes by name and id.
    pub(super) fn apply<'v>(
        &'v self,
        input: &'v Value,
        output: impl Fn(&str) -> Option<&'v Value>,
    ) -> Result<Value, String> {
        let Ok(operations) = &self.operations else {
            self.check()?;
            let lookup = |name: &str| if name == "input" { Some(input) } else { output(name) };
            return Ok(template::fill(&self.text, lookup).into());
        };
        let mut value = input.clone();
        for (name, operation) in operations {
            let text = template::text_of(&value);
            value = operation(&text).map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(value)
    }
}

/// The names of all operations, in alphabetical order.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|(name, _)| *name)
}

fn done(text: impl Into<String>) -> Result<Value, String> {
    Ok(Value::String(text.into()))
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters.as_str().to_lowercase().chars()).collect()
}

fn sorted_lines(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// The first JSON object or array in a text: models like to write around it.
fn extract_json(text: &str) -> Result<Value, String> {
    for (start, _) in text.match_indices(['{', '[']) {
        let (_, from) = text.split_at(start);
        if let Some(Ok(value)) = serde_json::Deserializer::from_str(from).into_iter().next() {
            return Ok(value);
        }
    }
    Err("there is no JSON object or array in the text".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn apply(transformation: &str, input: &str) -> Result<Value, String> {
        let other = json!("O");
        let input = Value::from(input);
        let transform = Transform::new(transformation);
        transform.apply(&input, |name| (name == "other").then_some(&other))
    }

    #[test]
    fn operations_follow_each_other() {
        for (transformation, input, output) in [
            ("uppercase", "straße", json!("STRASSE")),
            (" TRIM | Lowercase ", " A B ", json!("a b")),
            ("title", "the quick-brown fox's", json!("The Quick-Brown Fox's")),
            ("capitalize", "élan VITAL", json!("Élan vital")),
            ("reverse", "ae\u{301}b", json!("be\u{301}a")),
            ("first_line", "a\nb", json!("a")),
            ("last_line | length", "a\nbcd", json!(3)),
            ("word_count", "one, two", json!(2)),
            ("sort_lines", "b\na", json!("a\nb")),
            ("collapse_whitespace", " a \n b ", json!("a b")),
            ("extract_json", "Here: {oops} [1, {\"a\": 2}] done", json!([1, {"a": 2}])),
        ] {
            assert_eq!(apply(transformation, input).as_ref(), Ok(&output), "{transformation}");
        }
        assert!(
            apply("extract_json", "none").unwrap_err().starts_with("extract_json: there is no")
        );
    }

    #[test]
    fn templates_hold_the_input_and_other_nodes() {
        assert_eq!(apply("<{input}> {{node.other}} {x}", "{other}"), Ok(json!("<{other}> O {x}")));
    }

    #[test]
    fn an_unknown_operation_is_named() {
        for (transformation, unknown) in [("to_upper", "to_upper"), ("trim | shout", "shout")] {
            let text = Transform::new(transformation).check().unwrap_err();
            assert!(text.contains(&format!("'{unknown}'")) && text.contains("uppercase"), "{text}");
        }
        assert!(Transform::new("Dear {input}").check().is_ok());
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(names().is_sorted());
    }
}
