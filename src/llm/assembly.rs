//! Puts an answer together from the events of its stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::client::{ANSWERED_BY, MODEL};
use crate::dialect::lenient::arguments;
use crate::dialect::{SIGNATURES, random_id};
use crate::types::{ChatEvent, ChatResponse, FinishReason, ToolCall, Usage};

/// The answer so far. Give it each event, in order, and take the whole behind the terminal one.
///
/// ```
/// use graphbit::llm::Assembly;
/// use graphbit::types::ChatEvent;
///
/// let mut assembly = Assembly::default();
/// for piece in ["Good ", "day"] {
///     assembly.add(&ChatEvent::Text(piece.into()));
/// }
/// assert_eq!(assembly.finish("m").content, "Good day");
/// ```
#[derive(Debug, Default)]
pub struct Assembly {
    content: String,
    reasoning: String,
    calls: BTreeMap<usize, Pieces>,
    usage: Option<Usage>,
    finish_reason: FinishReason,
    metadata: BTreeMap<String, Value>,
}

#[derive(Debug, Default)]
struct Pieces {
    id: Option<String>,
    name: String,
    arguments: String,
}

impl Assembly {
    /// Takes one event.
    pub fn add(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Text(text) => self.content.push_str(text),
            ChatEvent::Reasoning(text) => self.reasoning.push_str(text),
            ChatEvent::ToolCallDelta { index, id, name, arguments } => {
                let call = self.calls.entry(*index).or_default();
                // Some servers repeat them in every piece.
                call.id = call.id.take().or_else(|| id.clone());
                if let (true, Some(name)) = (call.name.is_empty(), name) {
                    call.name.clone_from(name);
                }
                call.arguments.push_str(arguments);
            }
            ChatEvent::Done { usage, finish_reason, metadata } => {
                self.usage = *usage;
                self.finish_reason = finish_reason.clone();
                self.metadata.clone_from(metadata);
            }
        }
    }

    /// The whole answer, in the shape of one that was not streamed; `model` is the configured name.
    #[must_use]
    pub fn finish(self, model: &str) -> ChatResponse {
        let mut metadata = self.metadata;
        let mut text = |name: &str| match metadata.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let id = text("id");
        // Of several models the one that answered is named there.
        let provider = text(ANSWERED_BY).map(Arc::from);
        let model = text(MODEL).unwrap_or_else(|| model.to_owned());
        // An event has no place for a call's signature, so a dialect that has some leaves them here.
        let mut signatures = match metadata.remove(SIGNATURES) {
            Some(Value::Object(signatures)) => signatures,
            _ => Map::new(),
        };
        if !self.reasoning.is_empty() {
            metadata.insert("reasoning".to_owned(), Value::String(self.reasoning));
        }
        let call = |pieces: Pieces| {
            // The answer to a call has to name it, so a call without an id gets one.
            let id = pieces.id.unwrap_or_else(|| random_id("call_"));
            let signature = match signatures.remove(&id) {
                Some(Value::String(signature)) => Some(signature),
                _ => None,
            };
            let arguments = arguments(Some(Value::String(pieces.arguments)));
            ToolCall { signature, ..ToolCall::new(id, pieces.name, arguments) }
        };
        ChatResponse {
            content: self.content,
            model,
            id,
            tool_calls: self.calls.into_values().map(call).collect(),
            usage: self.usage.unwrap_or_default(),
            finish_reason: self.finish_reason,
            metadata,
            provider,
            ..ChatResponse::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn piece(index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> ChatEvent {
        ChatEvent::ToolCallDelta {
            index,
            id: id.map(str::to_owned),
            name: name.map(str::to_owned),
            arguments: arguments.to_owned(),
        }
    }

    #[test]
    fn pieces_become_the_answer_they_came_from() {
        let events = [
            ChatEvent::Reasoning("so".into()),
            ChatEvent::Text("a".into()),
            piece(1, Some("c1"), Some("g"), ""),
            piece(0, Some("c0"), Some("f"), r#"{"x""#),
            piece(0, Some("c0"), Some("f"), ":1}"),
            piece(1, None, None, "not json"),
            piece(2, None, Some("h"), ""),
            ChatEvent::Text("b".into()),
            ChatEvent::Done {
                usage: Some(Usage::new(1, 2)),
                finish_reason: FinishReason::ToolCalls,
                metadata: [
                    ("id".to_owned(), json!("r")),
                    ("k".to_owned(), json!(1)),
                    (SIGNATURES.to_owned(), json!({"c1": "opaque"})),
                ]
                .into(),
            },
        ];
        let mut assembly = Assembly::default();
        for event in &events {
            assembly.add(event);
        }
        let answer = assembly.finish("m");
        assert_eq!((answer.content.as_str(), answer.model.as_str()), ("ab", "m"));
        assert_eq!(answer.id.as_deref(), Some("r"));
        assert_eq!(answer.usage, Usage::new(1, 2));
        assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
        let metadata = [("k".to_owned(), json!(1)), ("reasoning".to_owned(), json!("so"))];
        assert_eq!(answer.metadata, metadata.into());
        let [first, second, third] = &answer.tool_calls[..] else { panic!("{answer:?}") };
        assert_eq!(*first, ToolCall::new("c0", "f", json!({"x": 1})));
        let raw = json!({"raw_arguments": "not json"});
        let signature = Some("opaque".to_owned());
        assert_eq!(*second, ToolCall { signature, ..ToolCall::new("c1", "g", raw) });
        assert_eq!((third.name.as_str(), &third.arguments), ("h", &json!({})));
        assert!(third.id.starts_with("call_"), "{third:?}");
    }
}
