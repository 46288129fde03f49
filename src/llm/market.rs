//! What the market's servers send that OpenAI's do not, as seen in their documents and in reports of their users.

use serde_json::{Value, json};

use super::Assembly;
use crate::dialect::anthropic;
use crate::dialect::openai_chat::{Wire, decode, encode, stream_decoder};
use crate::dialect::testing::{events, same_however_cut};
use crate::error::{Kind, Result};
use crate::types::{
    ChatEvent, ChatRequest, ChatResponse, FinishReason, Message, Role, ToolCall, Usage,
};

fn read(wire: Wire, sent: &Value) -> Result<ChatResponse> {
    decode(&wire, "m", sent.to_string().as_bytes())
}

fn sse(frames: &[Value]) -> String {
    frames.iter().map(|frame| format!("data: {frame}\n\n")).collect()
}

fn streamed(wire: Wire, frames: &[Value]) -> ChatResponse {
    let mut assembly = Assembly::default();
    for event in same_however_cut(|| stream_decoder(wire), sse(frames).as_bytes()) {
        assembly.add(&event);
    }
    assembly.finish("m")
}

fn choice(said: &Value) -> Value {
    json!({"choices": [{"index": 0, "delta": said}]})
}

#[test]
fn perplexity_says_everything_twice() {
    let whole = json!({"choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Hello"}, "delta": {"role": "assistant", "content": ""}}]});
    assert_eq!(read(Wire::COMMON, &whole).unwrap().content, "Hello");
    let frame = |piece: &str, so_far: &str| json!({"choices": [{"index": 0, "delta": {"content": piece}, "message": {"content": so_far}}]});
    let frames = [frame("Hel", "Hel"), frame("lo", "Hello"), frame("", "Hello")];
    assert_eq!(streamed(Wire::COMMON, &frames).content, "Hello");
}

#[test]
fn an_upstream_failure_is_no_answer() {
    let fault = json!({"code": 502, "message": "down"});
    let failed = |said: &str| {
        json!({"choices": [{"index": 0, "finish_reason": "error", "error": fault,
            "message": {"role": "assistant", "content": said}}]})
    };
    let flat = json!({"object": "error", "message": "down", "type": "EngineDead", "code": 502});
    for sent in [failed(""), flat.clone(), json!({"error": fault, "choices": []})] {
        let error = read(Wire::COMMON, &sent).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Server, "API error: down"), "{sent}");
    }
    // What was said before the failure is paid for.
    let response = read(Wire::COMMON, &failed("half")).unwrap();
    assert_eq!((response.content.as_str(), response.finish_reason.as_str()), ("half", "error"));
    assert_eq!(response.metadata["error"], json!("down"));

    let said = format!("data: {}\n\n", choice(&json!({"content": "a"})));
    let in_choice = json!({"choices": [{"index": 0, "delta": {"content": ""}, "error": fault,
        "finish_reason": "error"}]});
    for frame in [
        format!("data: {in_choice}"),
        format!("data: {flat}"),
        r#"event: error
data: {"message":"down","code":502}"#
            .to_owned(),
        format!("event: error\ndata: {{\"error\":{fault}}}"),
    ] {
        let body = format!("{said}{frame}\n\n");
        let mut read = events(stream_decoder(Wire::COMMON), body.as_bytes(), 7);
        let error = read.pop().unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Server, "Stream error: down"),
            "{frame}"
        );
        assert_eq!(read.len(), 1, "{frame}");
    }
}

#[test]
fn a_body_that_is_no_stream_is_read_as_a_whole() {
    let fault = json!({"error": {"message": "bad", "code": 429}});
    let mut read = events(stream_decoder(Wire::COMMON), fault.to_string().as_bytes(), 9);
    assert_eq!(read.pop().unwrap().unwrap_err().kind(), Kind::RateLimited);
    for unread in [json!({"choices": [{"message": {"tool_calls": [7]}}]}), json!({"choices": []})] {
        let mut read = events(stream_decoder(Wire::COMMON), unread.to_string().as_bytes(), 9);
        assert_eq!(read.pop().unwrap().unwrap_err().kind(), Kind::Decode, "{unread}");
    }
    let whole = json!({"id": "r", "choices": [{"message": {"content": "all of it"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    let body = serde_json::to_string_pretty(&whole).unwrap();
    let mut assembly = Assembly::default();
    for event in events(stream_decoder(Wire::COMMON), body.as_bytes(), 9) {
        assembly.add(&event.unwrap());
    }
    let answer = assembly.finish("m");
    assert_eq!((answer.content.as_str(), answer.usage), ("all of it", Usage::new(1, 2)));
    assert_eq!(answer.finish_reason, FinishReason::Stop);
}

#[test]
fn calls_are_told_apart_however_they_are_numbered() {
    let named = |index: Option<u64>, id: &str, name: &str, arguments: &str| {
        let mut call = json!({"id": id, "function": {"name": name, "arguments": arguments}});
        if let (Some(index), Value::Object(members)) = (index, &mut call) {
            members.insert("index".to_owned(), json!(index));
        }
        call
    };
    let piece = |index: u64, id: Value, arguments: &str| json!({"index": index, "id": id, "function": {"arguments": arguments}});
    let frame = |calls: &[Value]| choice(&json!({"tool_calls": calls}));
    let (first, second) = (r#"{"a":1}"#, r#"{"b":2}"#);
    for frames in [
        // Whole calls in frames of their own, without a number or all with the same.
        vec![frame(&[named(None, "c1", "f", first)]), frame(&[named(None, "c2", "g", second)])],
        vec![
            frame(&[named(Some(0), "c1", "f", first)]),
            frame(&[named(Some(0), "c2", "g", second)]),
        ],
        vec![frame(&[named(Some(0), "c1", "f", first), named(Some(0), "c2", "g", second)])],
        // In pieces: without an id, with it again, and with another one each time.
        vec![
            frame(&[named(Some(0), "c1", "f", "")]),
            frame(&[piece(0, json!(null), r#"{"a""#)]),
            frame(&[named(Some(1), "c2", "g", r#"{"b""#)]),
            frame(&[piece(1, json!("c2"), ":2}"), piece(0, json!(""), ":1}")]),
        ],
        vec![
            frame(&[named(Some(0), "c1", "f", r#"{"a""#)]),
            frame(&[piece(0, json!("random"), ":1}")]),
            frame(&[named(Some(0), "c2", "g", r#"{"b""#)]),
            frame(&[named(Some(0), "c2", "g", ":2}")]),
        ],
    ] {
        let calls = streamed(Wire::COMMON, &frames).tool_calls;
        let meant =
            [ToolCall::new("c1", "f", json!({"a": 1})), ToolCall::new("c2", "g", json!({"b": 2}))];
        assert_eq!(calls, meant, "{frames:?}");
    }
}

#[test]
fn thoughts_return_to_the_server_that_wants_them() {
    let deepseek = Wire { returns_reasoning: true, ..Wire::COMMON };
    let call = json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let whole = json!({"choices": [{"message": {"content": "", "reasoning_content": "so \"it\"",
        "tool_calls": [call]}, "finish_reason": "tool_calls"}]});
    let frames = [
        choice(&json!({"reasoning_content": "so "})),
        choice(&json!({"reasoning_content": "\"it\""})),
        choice(&json!({"tool_calls": [call]})),
    ];
    let sent_back = |wire: Wire, answer: ChatResponse| {
        let mut turn = Message::new(Role::Assistant, answer.content);
        turn.tool_calls = answer.tool_calls;
        let request = ChatRequest { messages: vec![turn], ..ChatRequest::default() };
        let body: Value =
            serde_json::from_slice(&encode(&wire, "m", &request, false).unwrap()).unwrap();
        body["messages"][0]["reasoning_content"].clone()
    };
    for answer in [read(deepseek, &whole).unwrap(), streamed(deepseek, &frames)] {
        assert_eq!(answer.metadata["reasoning"], json!("so \"it\""));
        assert_eq!(sent_back(Wire::OPENAI, answer.clone()), Value::Null);
        assert_eq!(sent_back(deepseek, answer), json!("so \"it\""));
    }
    let plain = read(Wire::OPENAI, &whole).unwrap();
    assert_eq!(plain.tool_calls[0].signature, None);
    // Another provider's signature is none of theirs.
    let mut foreign = plain;
    foreign.tool_calls[0].signature = Some("c2ln".to_owned());
    assert_eq!(sent_back(deepseek, foreign), Value::Null);
}

#[test]
fn thoughts_count_once_wherever_the_server_counts_them() {
    let usage = |completion: u64, total: u64| {
        let sent = json!({"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 32,
            "completion_tokens": completion, "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 94}}});
        read(Wire::COMMON, &sent).unwrap().usage
    };
    for usage in [usage(9, 135), usage(103, 135)] {
        let Usage { completion_tokens, total_tokens, reasoning_tokens, .. } = usage;
        assert_eq!((completion_tokens, total_tokens, reasoning_tokens), (103, 135, Some(94)));
    }
}

#[test]
fn odd_side_values_cost_no_answer() {
    for (name, odd) in [("model", json!(false)), ("usage", json!("x")), ("id", json!({}))] {
        let mut sent =
            json!({"choices": [{"message": {"content": "x", "refusal": false, "tool_calls": {}}}]});
        sent[name] = odd;
        assert_eq!(read(Wire::COMMON, &sent).unwrap().content, "x", "{name}");
    }
    let broken = json!({"choices": [{"message": {"tool_calls": [7]}}]});
    assert_eq!(read(Wire::COMMON, &broken).unwrap_err().kind(), Kind::Decode, "calls are not lost");

    let body = br#"{"choices":[{"message":{"content":"x\ud83d"},"logprobs":[-Infinity,NaN]}]}"#;
    assert_eq!(decode(&Wire::COMMON, "m", body).unwrap().content, "x\u{fffd}");
    let halves = r#"data: {"choices":[{"delta":{"content":"a\ud83d"}}]}

data: {"choices":[{"delta":{"content":"\ude00b"},"finish_reason":"stop"}]}

"#;
    let read = same_however_cut(|| stream_decoder(Wire::COMMON), halves.as_bytes());
    assert_eq!(read[..2], [ChatEvent::Text("a".into()), ChatEvent::Text("😀b".into())]);
}

#[test]
fn thoughts_of_anthropics_streams_travel_with_the_call_they_led_to() {
    let thought = json!({"type": "thinking", "thinking": "hm, so", "signature": "EqQB"});
    let hidden = json!({"type": "redacted_thinking", "data": "x"});
    let tool = json!({"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}});
    let whole = json!({"content": [thought, hidden, tool], "stop_reason": "tool_use"});
    let whole = anthropic::decode("m", whole.to_string().as_bytes()).unwrap();
    let opened = |index: u64, block: &Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    let body = sse(&[
        opened(0, &json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(json!({"type": "thinking_delta", "thinking": "hm, "})),
        delta(json!({"type": "thinking_delta", "thinking": "so"})),
        delta(json!({"type": "signature_delta", "signature": "EqQB"})),
        opened(1, &hidden),
        opened(2, &tool),
        json!({"type": "message_stop"}),
    ]);
    let mut assembly = Assembly::default();
    for event in same_however_cut(anthropic::stream_decoder, body.as_bytes()) {
        assembly.add(&event);
    }
    let answer = assembly.finish("m");
    assert_eq!(answer.tool_calls, whole.tool_calls);
    assert!(answer.tool_calls[0].signature.is_some());
}
