//! A model that calls tools: what the setting `tool_rounds` makes of a chat that offers some.
//!
//! As long as the conversation has fewer rounds than that, every tool it offers is called once, without
//! arguments; afterwards the model says what the tools of the last round told it. Which round it is
//! follows from the conversation alone, so any number of them may be under way in one scope.
//!
//! ```text
//! [user] -> calls    [user, assistant, tool "4"] -> "told: 4"
//! ```

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Message, content_text};

/// What the model does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It calls tools: the JSON array of the calls.
    Calls(String),
    /// It answers.
    Says(String),
}

#[derive(Deserialize)]
struct Offered<'a> {
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// The model's turn, or `None` where it answers as it does without tools.
pub(super) fn turn(
    offered: Option<&RawValue>,
    messages: &[Message<'_>],
    rounds: usize,
) -> Option<Turn> {
    let offered: Vec<Offered<'_>> = serde_json::from_str(offered?.get()).unwrap_or_default();
    if offered.is_empty() || rounds == 0 {
        return None;
    }
    let round = messages.iter().filter(|message| message.role == "assistant").count();
    if round < rounds {
        let call = |(index, tool): (usize, &Offered<'_>)| {
            json!({"index": index, "id": format!("call-{round}-{index}"), "type": "function",
                "function": {"name": tool.function.name, "arguments": "{}"}})
        };
        let calls: serde_json::Value = offered.iter().enumerate().map(call).collect();
        return Some(Turn::Calls(calls.to_string()));
    }
    let last = messages.iter().rposition(|message| message.role == "assistant").unwrap_or(0);
    let told = messages.iter().skip(last).filter(|message| message.role == "tool");
    let told: Vec<_> = told.filter_map(|message| message.content.map(content_text)).collect();
    Some(Turn::Says(format!("told: {}", told.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn next(messages: &Value, rounds: usize) -> Option<Turn> {
        let (tools, messages) = (
            json!([{"type": "function", "function": {"name": "a"}}, {"function": {"name": "b"}}]),
            messages.to_string(),
        );
        let tools: Box<RawValue> = serde_json::from_str(&tools.to_string()).unwrap();
        let messages: Vec<Message<'_>> = serde_json::from_str(&messages).unwrap();
        turn(Some(&tools), &messages, rounds)
    }

    #[test]
    fn every_tool_is_called_in_each_round_and_then_repeated() {
        let user = json!({"role": "user", "content": "go"});
        let assistant = json!({"role": "assistant", "content": null});
        let tool = |text: &str| json!({"role": "tool", "content": text});
        let Some(Turn::Calls(calls)) = next(&json!([user]), 2) else { panic!() };
        let calls: Value = serde_json::from_str(&calls).unwrap();
        assert_eq!(calls[1]["function"], json!({"name": "b", "arguments": "{}"}));
        assert_eq!(calls[1]["id"], "call-0-1");
        let once = json!([user, assistant, tool("1"), tool("2")]);
        let Some(Turn::Calls(calls)) = next(&once, 2) else { panic!() };
        assert!(calls.contains("call-1-0"));
        assert_eq!(next(&once, 1), Some(Turn::Says("told: 1 2".into())));
        let twice = json!([user, assistant, tool("1"), assistant, tool("3")]);
        assert_eq!(next(&twice, 2), Some(Turn::Says("told: 3".into())));
        assert_eq!(next(&json!([user]), 0), None);
        assert_eq!(turn(None, &[], 1), None);
    }
}
