//! Anthropic's shape: messages, whole or as a stream of named events.
//!
//! As strict as the service about what it demands: a limit, and turns that only the user and the
//! assistant take, none of them empty. Identifiers are constants, so that the same request gives the
//! same bytes.
//!
//! ```text
//! {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]} -> content[0].text "echo: hi"
//! ```

use std::borrow::Cow;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Message, Refusal, content_text, count_words, parse, pieces, quoted, read_messages};
use crate::answer::Answer;
use crate::behaviour::Settings;

#[derive(Deserialize)]
struct MessagesRequest<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
}

pub(super) fn messages(body: &[u8], settings: &Settings) -> Result<Answer, Refusal> {
    let mut request: MessagesRequest<'_> = parse(body)?;
    check(&request)?;
    // Results of tools come as the user's, who has not said anything by them.
    request.messages.retain(|message| message.role != "user" || !said(message).is_empty());
    let (words, content) = read_messages(&request.messages);
    let input = words + request.system.map_or(0, |system| count_words(&content_text(system)));
    let output = count_words(&content);
    let model = quoted(&request.model);
    if request.stream != Some(true) {
        // Written by hand: this is the hot path of every benchmark.
        let body = format!(
            r#"{{"id":"msg_simulated","type":"message","role":"assistant","model":{model},"content":[{{"type":"text","text":{}}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":{output}}}}}"#,
            quoted(&content)
        );
        return Ok(Answer::json(body.into_bytes()));
    }
    let mut frames = vec![
        frame(&json!({"type": "message_start", "message": {
            "id": "msg_simulated", "type": "message", "role": "assistant", "model": request.model,
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": input, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0, "output_tokens": 1}}})),
        frame(&json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}})),
        frame(&json!({"type": "ping"})),
    ];
    for (number, piece) in pieces(&content, settings).iter().enumerate() {
        if settings.stream_error_frame && number == 2 {
            break;
        }
        frames.push(frame(&json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": piece}})));
    }
    if settings.stream_error_frame {
        frames.push(frame(&json!({"type": "error",
            "error": {"type": "overloaded_error", "message": "simulated stream failure"}})));
    } else {
        frames.push(frame(&json!({"type": "content_block_stop", "index": 0})));
        frames.push(frame(&json!({"type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": output}})));
        frames.push(frame(&json!({"type": "message_stop"})));
    }
    Ok(Answer::stream("text/event-stream", frames))
}

fn check(request: &MessagesRequest<'_>) -> Result<(), Refusal> {
    let refuse = |message: String| Err((StatusCode::BAD_REQUEST, message));
    if request.max_tokens.is_none() {
        return refuse("max_tokens: Field required".into());
    }
    if request.messages.is_empty() {
        return refuse("messages: at least one message is required".into());
    }
    for (place, message) in request.messages.iter().enumerate() {
        if message.role != "user" && message.role != "assistant" {
            return refuse(format!("messages.{place}: role must be 'user' or 'assistant'"));
        }
        if is_empty(message.content) {
            return refuse(format!("messages.{place}: text content blocks must be non-empty"));
        }
    }
    Ok(())
}

fn is_empty(content: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Block {
        r#type: String,
        #[serde(default)]
        text: String,
    }
    let raw = content.map_or("null", RawValue::get);
    let blocks: Vec<Block> = serde_json::from_str(raw).unwrap_or_default();
    matches!(raw, "null" | "\"\"" | "[]")
        || blocks.iter().any(|block| block.r#type == "text" && block.text.is_empty())
}

fn said<'a>(message: &Message<'a>) -> Cow<'a, str> {
    message.content.map(content_text).unwrap_or_default()
}

fn frame(event: &Value) -> Bytes {
    let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {kind}\ndata: {event}\n\n").into()
}

/// The body of a refusal.
pub(super) fn error_body(status: StatusCode, message: &str) -> String {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let error = json!({"type": kind, "message": message});
    json!({"type": "error", "error": error, "request_id": "req_simulated"}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &Value, settings: &Value) -> Result<String, Refusal> {
        let settings: Settings = serde_json::from_value(settings.clone()).unwrap();
        let answer = messages(body.to_string().as_bytes(), &settings)?;
        Ok(String::from_utf8(answer.frames.concat()).unwrap())
    }

    fn conversation() -> Value {
        json!({"model": "m", "max_tokens": 9, "system": "be brief", "messages": [
            {"role": "user", "content": "one two"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "3"}]}]})
    }

    #[test]
    fn the_last_thing_the_user_said_is_echoed() {
        let reply: Value =
            serde_json::from_str(&ask(&conversation(), &json!({})).unwrap()).unwrap();
        assert_eq!(reply["content"][0]["text"], "echo: one two");
        assert_eq!((&reply["type"], &reply["model"]), (&json!("message"), &json!("m")));
        assert_eq!(
            (&reply["usage"]["input_tokens"], &reply["usage"]["output_tokens"]),
            (&json!(4), &json!(3))
        );
    }

    #[test]
    fn a_stream_names_its_events_and_can_fail() {
        let mut body = conversation();
        body["stream"] = json!(true);
        let text = ask(&body, &json!({})).unwrap();
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!(
            names,
            [
                "message_start",
                "content_block_start",
                "ping",
                "content_block_delta",
                "content_block_delta",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ]
        );
        let failed = ask(&body, &json!({"stream_error_frame": true})).unwrap();
        assert!(failed.contains("overloaded_error") && !failed.contains("message_stop"));
    }

    #[test]
    fn what_the_service_refuses_is_refused() {
        for (field, value) in [
            ("max_tokens", json!(null)),
            ("messages", json!([])),
            ("messages", json!([{"role": "system", "content": "x"}])),
            ("messages", json!([{"role": "user", "content": ""}])),
            ("messages", json!([{"role": "user", "content": [{"type": "text", "text": ""}]}])),
        ] {
            let mut body = conversation();
            body[field] = value;
            let (status, message) = ask(&body, &json!({})).unwrap_err();
            assert_eq!(status, 400, "{body}");
            let error: Value = serde_json::from_str(&error_body(status, &message)).unwrap();
            assert_eq!(error["error"]["type"], "invalid_request_error");
        }
    }
}
