//! What a model's replies say. Whatever is in them, they are never an error: a reply that cannot be read says
//! nothing.
//!
//! Models put words or a fence of Markdown around the JSON they were asked for, so the text between the first and
//! the last square bracket is tried as well.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::record::parsed_id;

/// What is to become of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Add(String),
    /// The memory of this id is to say this from now on.
    Update(String, String),
    Delete(String),
}

/// The facts in a reply. `None` when it cannot be read.
pub(super) fn facts(reply: &str) -> Option<Vec<String>> {
    let mut facts: Vec<String> = array(reply)?;
    facts.retain(|fact| !fact.trim().is_empty());
    Some(facts)
}

/// The decisions in a reply, in its order, without those that change nothing. `None` when it cannot be read.
pub(super) fn decisions(reply: &str) -> Option<Vec<Decision>> {
    let entries: Vec<Value> = array(reply)?;
    Some(entries.iter().filter_map(decision).collect())
}

fn decision(entry: &Value) -> Option<Decision> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let (fact, action) = (text("fact")?, text("action")?);
    let target = || parsed_id(text("target_memory_id")?).ok();
    // A memory without content could be neither found nor understood.
    let content = || Some(fact.to_owned()).filter(|fact| !fact.trim().is_empty());
    match action.trim().to_ascii_uppercase().as_str() {
        "ADD" => content().map(Decision::Add),
        "UPDATE" => Some(Decision::Update(target()?, content()?)),
        "DELETE" => target().map(Decision::Delete),
        _ => None,
    }
}

fn array<T: DeserializeOwned>(reply: &str) -> Option<Vec<T>> {
    let parsed = serde_json::from_str(reply).ok();
    parsed.or_else(|| {
        let (begin, end) = (reply.find('[')?, reply.rfind(']')?);
        serde_json::from_str(reply.get(begin..=end)?).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6ed8a056-daaf-49b6-93d8-f3641c8bbbfd";

    #[test]
    fn facts_are_found_among_other_words() {
        for reply in [
            r#"["a", "b"]"#,
            " [\"a\", \"b\"]\n",
            "```json\n[\"a\", \"b\"]\n```",
            r#"Here they are: ["a", "b"]. Anything else?"#,
            r#"{"facts": ["a", " ", "b", ""]}"#,
        ] {
            assert_eq!(facts(reply).unwrap(), ["a", "b"], "{reply}");
        }
        assert_eq!(facts("[]").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_array_of_texts_says_nothing() {
        for reply in ["", "none", "]a[", r#"["a""#, r#"["a", 1]"#, "[[\"a\"]]", "{}", "é] [é"] {
            assert_eq!(facts(reply), None, "{reply}");
        }
    }

    #[test]
    fn decisions_are_taken_one_by_one() {
        let reply = format!(
            r#"[{{"fact": "new", "action": "add", "target_memory_id": 5}}, "text", 7, null,
                {{"fact": "other", "action": " Update ", "target_memory_id": "{}"}},
                {{"fact": "", "action": "DELETE", "target_memory_id": "{ID}"}},
                {{"fact": "kept", "action": "NOOP"}}, {{"fact": "x", "action": "FROB"}},
                {{"fact": 5, "action": "ADD"}}, {{"action": "ADD"}}, {{"fact": "x"}},
                {{"fact": " ", "action": "ADD"}}, {{"fact": "x", "action": "UPDATE"}},
                {{"fact": "x", "action": "DELETE", "target_memory_id": "ID"}}]"#,
            ID.to_uppercase()
        );
        let id = || ID.to_owned();
        let expected = [
            Decision::Add("new".to_owned()),
            Decision::Update(id(), "other".to_owned()),
            Decision::Delete(id()),
        ];
        assert_eq!(decisions(&reply).unwrap(), expected);
        assert_eq!(decisions(r#"{"fact": "one", "action": "ADD"}"#), None);
    }
}
