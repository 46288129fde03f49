//! Answers as entries of a cache: what tells one question from another, and the form in which an
//! answer is kept.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::cache::{Completions, Kept, Key, Shelf};
use crate::error::{Error, Kind, Result};
use crate::types::{ChatRequest, ChatResponse, Message};

/// Under this name of its metadata an answer says that it was not made for this call.
const CACHED: &str = "cached";

/// Whether the answer to `request` may be kept, and a kept one given.
pub(super) fn belongs(completions: Completions, request: &ChatRequest) -> bool {
    match completions {
        Completions::All => true,
        Completions::Deterministic => request.temperature == Some(0.0),
        Completions::None => false,
    }
}

/// What is hashed, and the version of how.
pub(super) const DOMAIN: &str = "graphbit chat 2";
/// Bytes of a request or an answer beside its texts, of most of them.
const FRAME: usize = 512;

/// Of everything that changes an answer: the model as the shelf describes it, and the whole request. What
/// most requests have is hashed as it lies there; the rest as JSON, when there is any.
pub(super) fn key(shelf: &Shelf, request: &ChatRequest) -> Result<Key> {
    let ChatRequest {
        messages,
        max_tokens,
        temperature,
        top_p,
        tools,
        tool_choice,
        response_format,
        stop,
        seed,
        extra_body,
        keep_raw,
        prompt_caching,
        passages,
    } = request;
    let texts: usize = messages.iter().map(|message| message.content.len()).sum();
    let mut key = shelf.key(texts.saturating_add(FRAME));
    // Which of the numbers are there, and those that are: a short key is a quick one.
    let numbers = [
        max_tokens.map(u64::from),
        temperature.map(f64::to_bits),
        top_p.map(f64::to_bits),
        seed.map(i64::cast_unsigned),
        keep_raw.then_some(1),
        prompt_caching.then_some(1),
    ];
    let present = numbers.map(|number| u8::from(number.is_some()));
    key.part(&present);
    for number in numbers.into_iter().flatten() {
        key.part(&number.to_le_bytes());
    }
    key.part(&(messages.len() as u64).to_le_bytes());
    for Message { role, content, tool_calls, tool_call_id } in messages {
        key.part(role.as_str().as_bytes()).part(content.as_bytes());
        let plain = tool_calls.is_empty() && tool_call_id.is_none();
        key.part(&json((!plain).then_some((tool_calls, tool_call_id)))?);
    }
    let plain = tools.is_empty()
        && tool_choice.is_none()
        && response_format.is_none()
        && stop.is_empty()
        && extra_body.is_none()
        && passages.is_empty();
    let rest = (tools, tool_choice, response_format, stop, extra_body, passages);
    key.part(&json((!plain).then_some(rest))?);
    Ok(key.finish())
}

/// As JSON; nothing for nothing.
fn json(value: Option<impl Serialize>) -> Result<Vec<u8>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    serde_json::to_vec(&value).map_err(|cause| {
        let text = format!("Internal error: a request cannot be hashed: {cause}");
        Error::new(Kind::Internal, text)
    })
}

/// An answer that was made for another call, which says so.
pub(super) fn told(mut answer: ChatResponse) -> ChatResponse {
    answer.metadata.insert(CACHED.to_owned(), Value::Bool(true));
    answer
}

impl Kept for ChatResponse {
    /// MessagePack, with the fields' names.
    fn write(&self) -> Option<Bytes> {
        let mut entry = Vec::with_capacity(self.content.len().saturating_add(FRAME));
        if let Err(cause) = rmp_serde::encode::write_named(&mut entry, self) {
            tracing::warn!(%cause, "an answer cannot be cached");
            return None;
        }
        // Exactly as large as it is: it may be kept for long.
        Some(Bytes::copy_from_slice(&entry))
    }

    fn read(entry: &Bytes) -> Option<Self> {
        rmp_serde::from_slice(entry).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;
    use crate::cache::{Cache, CacheSettings};
    use crate::types::{
        FinishReason, Passage, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec, Usage,
    };

    fn shelf(identity: &str) -> Shelf {
        Shelf::new(Cache::new(CacheSettings::default()).unwrap(), DOMAIN, identity)
    }

    #[test]
    fn whatever_changes_an_answer_changes_its_key() {
        let plain = || ChatRequest::from_prompt("Why?");
        let message = |change: fn(&mut Message)| {
            let mut request = plain();
            change(&mut request.messages[0]);
            request
        };
        let tool = ToolSpec {
            name: "add".into(),
            description: String::new(),
            parameters: json!({"type": "object"}),
        };
        let two = [Message::new(Role::User, "Wh"), Message::new(Role::User, "y?")];
        let requests = [
            plain(),
            message(|message| message.content.push('?')),
            message(|message| message.role = Role::System),
            message(|message| message.tool_call_id = Some("1".into())),
            message(|message| message.tool_calls = vec![ToolCall::new("1", "add", json!({}))]),
            ChatRequest { messages: two.into(), ..plain() },
            ChatRequest { max_tokens: Some(1), ..plain() },
            ChatRequest { temperature: Some(0.0), ..plain() },
            ChatRequest { temperature: Some(1.0), ..plain() },
            ChatRequest { top_p: Some(1.0), ..plain() },
            ChatRequest { seed: Some(1), ..plain() },
            ChatRequest { seed: Some(0), ..plain() },
            ChatRequest { tools: vec![tool], ..plain() },
            ChatRequest { tool_choice: Some(ToolChoice::None), ..plain() },
            ChatRequest { response_format: Some(ResponseFormat::Json), ..plain() },
            ChatRequest { stop: vec![".".into()], ..plain() },
            ChatRequest { extra_body: Some(serde_json::Map::new()), ..plain() },
            ChatRequest { keep_raw: true, ..plain() },
            ChatRequest { prompt_caching: true, ..plain() },
            ChatRequest { passages: vec![Passage::default()], ..plain() },
        ];
        let one = shelf("one");
        let keys: HashSet<Key> =
            requests.iter().map(|request| key(&one, request).unwrap()).collect();
        assert_eq!(keys.len(), requests.len());
        assert!(!keys.contains(&key(&shelf("another"), &plain()).unwrap()));
        assert_eq!(key(&one, &plain()).unwrap(), key(&shelf("one"), &plain()).unwrap());
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let metadata = [("number", json!(0.1)), ("list", json!([1, null, {"a": u64::MAX}]))];
        let answer = ChatResponse {
            content: "because".into(),
            id: Some("1".into()),
            tool_calls: vec![ToolCall::new("2", "add", json!({"b": [-1, true]}))],
            usage: Usage { reasoning_tokens: Some(3), ..Usage::new(1, 2) },
            finish_reason: FinishReason::Other("sleepy".into()),
            metadata: metadata.map(|(name, value)| (name.to_owned(), value)).into(),
            provider: Some("somebody".into()),
            ..ChatResponse::default()
        };
        assert_eq!(ChatResponse::read(&answer.write().unwrap()).unwrap(), answer);
        let unreadable = [&b""[..], br#"{"content":"of an earlier version"}"#];
        assert!(unreadable.iter().all(|entry| ChatResponse::read(&(*entry).into()).is_none()));
    }
}
