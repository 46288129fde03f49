//! Placeholders in the author's texts, filled once and in one pass.
//!
//! `{{node.<name or id>}}` is the output of a finished node, `{{node.<name>.<key>.<key>}}` a part of an
//! output that is JSON, `{<name or id>}` the output again. What cannot be resolved stays as it is
//! written. What was put in is never looked at again: a model's text cannot reach for other outputs.

use serde_json::Value;

const OPENING: &str = "{{node.";
const CLOSING: &str = "}}";

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    /// What stands between `{{node.` and `}}`, and all of it.
    Reference(&'t str, &'t str),
    /// What stands between single braces, and all of it.
    Name(&'t str, &'t str),
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(brace) = rest.find('{') {
        let (before, from) = rest.split_at(brace);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let (piece, behind) = placeholder(from).unwrap_or_else(|| {
            let (brace, behind) = from.split_at(1);
            (Piece::Text(brace), behind)
        });
        pieces.push(piece);
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The placeholder that `text` begins with, and what is behind it.
fn placeholder(text: &str) -> Option<(Piece<'_>, &str)> {
    if let Some(inside) = text.strip_prefix(OPENING)
        && let Some(end) = inside.find(CLOSING)
        && let (reference, behind) = inside.split_at(end)
        && !reference.is_empty()
        && !reference.contains(['{', '\n'])
    {
        let behind = behind.strip_prefix(CLOSING)?;
        let whole = text.strip_suffix(behind)?;
        return Some((Piece::Reference(reference, whole), behind));
    }
    let inside = text.strip_prefix('{')?;
    let end = inside.find(['{', '}', '\n'])?;
    let (name, behind) = inside.split_at(end);
    let behind = behind.strip_prefix('}')?;
    let whole = text.strip_suffix(behind)?;
    Some((Piece::Name(name, whole), behind))
}

/// What may be the name or id of a node in `template`, in the order in which it is looked for.
pub(super) fn candidates(template: &str) -> Vec<Vec<&str>> {
    let named = |piece| match piece {
        Piece::Text(_) => None,
        Piece::Reference(reference, _) => Some(heads(reference).map(|(head, _)| head).collect()),
        Piece::Name(name, _) => Some(vec![name]),
    };
    pieces(template).into_iter().filter_map(named).collect()
}

/// `a.b.c` as a name with keys behind it: `a.b.c`, then `a.b` and `c`, then `a` and `b.c`.
fn heads(reference: &str) -> impl Iterator<Item = (&str, &str)> {
    let cuts = reference.rmatch_indices('.').map(|(dot, _)| {
        let (head, tail) = reference.split_at(dot);
        (head, tail.strip_prefix('.').unwrap_or(tail))
    });
    [(reference, "")].into_iter().chain(cuts)
}

/// The template with its placeholders filled; `output` knows the finished nodes by name and id.
pub(super) fn fill<'v>(template: &str, output: impl Fn(&str) -> Option<&'v Value>) -> String {
    let mut filled = String::with_capacity(template.len());
    for piece in pieces(template) {
        let (found, whole) = match piece {
            Piece::Text(text) => {
                filled.push_str(text);
                continue;
            }
            Piece::Reference(reference, whole) => (resolve(reference, &output), whole),
            Piece::Name(name, whole) => (output(name), whole),
        };
        match found {
            Some(value) => filled.push_str(&text_of(value)),
            None => filled.push_str(whole),
        }
    }
    filled
}

fn resolve<'v>(reference: &str, output: &impl Fn(&str) -> Option<&'v Value>) -> Option<&'v Value> {
    let (mut value, keys) =
        heads(reference).find_map(|(head, keys)| Some((output(head)?, keys)))?;
    for key in keys.split('.').filter(|_| !keys.is_empty()) {
        value = match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
            value => value.get(key)?,
        };
    }
    Some(value)
}

/// An output as text: strings as they are, everything else as compact JSON.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> String {
        let deep = json!({"a": {"b": [1, "two"]}, "n": null});
        let trap = json!("{{node.deep}} {plain}");
        let plain = json!("P");
        fill(template, |name| match name {
            "deep" => Some(&deep),
            "two words" | "v1.2" | "plain" => Some(&plain),
            "trap" => Some(&trap),
            _ => None,
        })
    }

    #[test]
    fn references_are_names_with_keys_behind_them() {
        assert_eq!(filled("{{node.plain}}{{node.two words}}{plain}{v1.2}"), "PPPP");
        assert_eq!(filled("{{node.v1.2}}"), "P", "a dot in a name");
        assert_eq!(filled("{{node.deep.a}}"), r#"{"b":[1,"two"]}"#);
        assert_eq!(filled("{{node.deep.a.b.1}} {{node.deep.n}}"), "two null");
    }

    #[test]
    fn what_cannot_be_resolved_stays() {
        for text in [
            "{input}",
            "{{node.nobody}}",
            "{{node.deep.x}}",
            "{{node.plain.x}}",
            "{{node. plain}}",
            "{",
            "}}{{",
            "{{node.}}",
            "{\"plain\": 1}",
            "{{node.plain",
        ] {
            assert_eq!(filled(text), text);
        }
        assert_eq!(filled("{{plain}}"), "{P}", "as in GraphBit");
    }

    #[test]
    fn what_was_put_in_is_not_looked_at_again() {
        assert_eq!(filled("{{node.trap}}|{trap}"), "{{node.deep}} {plain}|{{node.deep}} {plain}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_when_nothing_is_known(text in r"[\{\}nodea\.\n ]{0,40}") {
            prop_assert_eq!(fill(&text, |_| None), text);
        }
    }
}
