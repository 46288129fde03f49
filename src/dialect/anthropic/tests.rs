//! Recorded answers, odd answers and chopped streams of the Messages dialect.

use super::super::testing::{events, same_however_cut};
use super::*;
use serde_json::json;

fn read(sent: &Value) -> ChatResponse {
    decode("m", sent.to_string().as_bytes()).unwrap()
}

fn refused(sent: &Value) -> Error {
    decode("m", sent.to_string().as_bytes()).unwrap_err()
}

/// Frames as the service sends them, each under the name of its event.
fn sse(frames: &[Value]) -> String {
    let frame = |frame: &Value| {
        let kind = frame["type"].as_str().unwrap_or("message");
        format!("event: {kind}\ndata: {frame}\n\n")
    };
    frames.iter().map(frame).collect()
}

fn started() -> Value {
    json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1", "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}}})
}

fn opened(index: u64, block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u64, delta: &Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn ended(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": 15}})
}

// whole answers

#[test]
fn a_full_answer_is_read() {
    let response = read(&json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "one", "citations": [{"type": "char_location", "cited_text": "o"}]},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
            {"type": "text", "text": "two", "citations": null},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use", "stop_sequence": null, "stop_details": null,
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 2},
            "output_tokens_details": {"thinking_tokens": 4}, "service_tier": "standard"},
    }));
    assert_eq!((response.content.as_str(), response.model.as_str()), ("one\ntwo", "m"));
    assert_eq!(response.id.as_deref(), Some("msg_1"));
    let [call] = response.tool_calls.as_slice() else { panic!("{:?}", response.tool_calls) };
    assert_eq!((call.id.as_str(), call.name.as_str()), ("toolu_1", "f"));
    assert_eq!(call.arguments, json!({"a": 1}));
    assert_eq!(response.finish_reason, FinishReason::ToolCalls);
    assert_eq!(
        response.usage,
        Usage {
            cache_read_tokens: Some(3),
            cache_creation_tokens: Some(2),
            reasoning_tokens: Some(4),
            ..Usage::new(10, 5)
        }
    );
    assert_eq!(
        Value::from_iter(response.metadata),
        json!({
            "provider_finish_reason": "tool_use",
            "server_model": "claude-1",
            "reasoning": "hm",
            "citations": [{"type": "char_location", "cited_text": "o"}],
        })
    );
}

#[test]
fn every_reason_for_stopping_is_known() {
    for (word, reason) in [
        (json!("end_turn"), FinishReason::Stop),
        (json!("stop_sequence"), FinishReason::Stop),
        (json!(null), FinishReason::Stop),
        (json!("max_tokens"), FinishReason::Length),
        (json!("model_context_window_exceeded"), FinishReason::Length),
        (json!("tool_use"), FinishReason::ToolCalls),
        (json!("refusal"), FinishReason::ContentFilter),
        (json!("pause_turn"), FinishReason::Other("pause_turn".into())),
    ] {
        let answer = read(&json!({"content": [], "stop_reason": word}));
        assert_eq!(answer.finish_reason, reason, "{word}");
        assert_eq!(
            answer.metadata.get("provider_finish_reason"),
            Some(&word).filter(|w| !w.is_null())
        );
    }
    let answer =
        read(&json!({"content": [], "stop_reason": "stop_sequence", "stop_sequence": "END"}));
    assert_eq!(answer.metadata["stop_sequence"], "END");
    let details = json!({"type": "refusal", "category": "cyber"});
    let answer = read(&json!({"content": [], "stop_reason": "refusal", "stop_details": details}));
    assert_eq!(answer.metadata["stop_details"], details);
}

#[test]
fn odd_and_missing_fields_lose_no_answer() {
    let text = |text: Value| json!({"type": "text", "text": text});
    for (content, read_as) in [
        (json!([]), ""),
        (json!("bare"), "bare"),
        (json!(["bare", {"text": "untyped"}]), "bare\nuntyped"),
        (json!({"type": "text", "text": "one block"}), "one block"),
        (json!([text(json!(null)), text(json!("a")), text(json!(7)), text(json!(true))]), "a\n7"),
        (json!([null, 5, [], {}, {"type": 3}, {"type": "invented", "text": "?"}]), ""),
        (json!(5), ""),
    ] {
        assert_eq!(read(&json!({"content": content})).content, read_as, "{content}");
    }
    for odd in [json!(null), json!(true), json!([1]), json!({"a": 1}), json!("?"), json!(-1.5)] {
        let answer = read(&json!({
            "id": odd, "type": odd, "model": odd, "role": odd, "stop_sequence": odd, "usage": odd,
            "stop_details": odd, "request_id": odd, "surprise": odd,
            "content": [{"type": "text", "text": "kept", "citations": odd}],
        }));
        assert_eq!(answer.content, "kept", "{odd}");
        assert_eq!((answer.usage, answer.finish_reason), (Usage::default(), FinishReason::Stop));
        let usage = json!({"input_tokens": 3, "output_tokens_details": odd, "surprise": odd});
        let answer = read(&json!({"content": "kept", "usage": usage, "stop_reason": "end_turn"}));
        assert_eq!(answer.usage, Usage::new(3, 0), "{odd}");
    }
    let quiet = read(&json!({"stop_reason": "end_turn", "content": null}));
    assert_eq!((quiet.content.as_str(), quiet.id), ("", None));
    for (input, parsed) in [
        (json!(null), json!({})),
        (json!("{\"x\":1}"), json!({"x": 1})),
        (json!("{oops"), json!({"raw_arguments": "{oops"})),
        (json!({"x": 1}), json!({"x": 1})),
    ] {
        let answer = read(&json!({"content": [{"type": "tool_use", "input": input}]}));
        assert_eq!(answer.tool_calls[0].arguments, parsed);
        assert!(answer.tool_calls[0].id.starts_with("toolu_"), "an answer has to name it");
        assert_eq!(answer.tool_calls[0].name, "");
    }
}

#[test]
fn an_error_inside_a_success_is_an_error() {
    for (word, kind) in [
        ("overloaded_error", Kind::Server),
        ("api_error", Kind::Server),
        ("timeout_error", Kind::Server),
        ("rate_limit_error", Kind::RateLimited),
        ("authentication_error", Kind::Authentication),
        ("permission_error", Kind::PermissionDenied),
        ("not_found_error", Kind::NotFound),
        ("invalid_request_error", Kind::BadRequest),
        ("request_too_large", Kind::BadRequest),
        ("billing_error", Kind::QuotaExhausted),
        ("invented_error", Kind::Server),
    ] {
        let error = refused(&json!({"type": "error", "request_id": "req_7",
            "error": {"type": word, "message": "no"}}));
        assert_eq!((error.kind(), error.message()), (kind, "API error: no"), "{word}");
        assert_eq!(error.request_id(), Some("req_7"));
    }
    let error = refused(&json!({"error": "upstream is gone"}));
    assert_eq!((error.kind(), error.message()), (Kind::Server, "API error: upstream is gone"));
    for sent in [json!({}), json!({"choices": []}), json!({"type": "error"}), json!([])] {
        let error = refused(&sent);
        assert_eq!((error.kind(), error.message()), (Kind::Decode, "No content in response"));
    }
    for sent in ["<html>", "", "null", "{\"content\": [{\"type\":"] {
        let error = decode("m", sent.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Decode, "{sent}");
        assert!(error.message().starts_with("Failed to parse response: "), "{error}");
    }
}

// streams

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    let body = sse(&[
        started(),
        opened(0, &json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, &json!({"type": "thinking_delta", "thinking": "hé"})),
        delta(0, &json!({"type": "signature_delta", "signature": "EqQB"})),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "ping"}),
        opened(1, &json!({"type": "text", "text": ""})),
        delta(1, &json!({"type": "text_delta", "text": "日本"})),
        delta(1, &json!({"type": "text_delta", "text": "🦀"})),
        delta(1, &json!({"type": "citations_delta", "citation": {"cited_text": "a"}})),
        delta(1, &json!({"type": "citations_delta", "citation": {"cited_text": "b"}})),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "invented_later", "index": 1, "delta": {"type": "x", "text": ""}}),
        ended("max_tokens"),
        json!({"type": "message_stop"}),
    ]);
    let metadata = json!({
        "id": "msg_1", "server_model": "claude-1", "provider_finish_reason": "max_tokens",
        "citations": [{"cited_text": "a"}, {"cited_text": "b"}],
    });
    assert_eq!(
        same_however_cut(stream_decoder, body.as_bytes()),
        [
            ChatEvent::Reasoning("hé".into()),
            ChatEvent::Text("日本".into()),
            ChatEvent::Text("🦀".into()),
            ChatEvent::Done {
                usage: Some(Usage { cache_read_tokens: Some(7), ..Usage::new(25, 15) }),
                finish_reason: FinishReason::Length,
                metadata: serde_json::from_value(metadata).unwrap(),
            },
        ]
    );
}

fn call(index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> ChatEvent {
    ChatEvent::ToolCallDelta {
        index,
        id: id.map(Into::into),
        name: name.map(Into::into),
        arguments: arguments.into(),
    }
}

#[test]
fn calls_are_numbered_among_themselves() {
    let input = |piece: &str| json!({"type": "input_json_delta", "partial_json": piece});
    let body = sse(&[
        started(),
        opened(0, &json!({"type": "text", "text": "first"})),
        opened(
            1,
            &json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        ),
        delta(1, &input("{\"query\":\"q\"}")),
        opened(2, &json!({"type": "tool_use", "id": "c1", "name": "f", "input": {}})),
        delta(2, &input("")),
        delta(2, &input("{\"a\":")),
        delta(2, &input("1}")),
        opened(3, &json!({"type": "tool_use", "id": "c2", "name": "g", "input": {}})),
        // Some servers leave the number out, others send the input at once and then again.
        json!({"type": "content_block_delta", "delta": input("{}")}),
        opened(4, &json!({"type": "tool_use", "id": "c3", "name": "h", "input": {"b": 2}})),
        delta(4, &input("{\"b\":2}")),
        ended("tool_use"),
        json!({"type": "message_stop"}),
    ]);
    let read = same_however_cut(stream_decoder, body.as_bytes());
    assert_eq!(
        read[..read.len() - 1],
        [
            ChatEvent::Text("first".into()),
            call(0, Some("c1"), Some("f"), ""),
            call(0, None, None, "{\"a\":"),
            call(0, None, None, "1}"),
            call(1, Some("c2"), Some("g"), ""),
            call(1, None, None, "{}"),
            call(2, Some("c3"), Some("h"), "{\"b\":2}"),
        ]
    );
    let Some(ChatEvent::Done { finish_reason, .. }) = read.last() else { panic!("{read:?}") };
    assert_eq!(*finish_reason, FinishReason::ToolCalls);
}

#[test]
fn the_end_is_understood_in_every_form() {
    let text = delta(0, &json!({"type": "text_delta", "text": "a"}));
    let stop = json!({"type": "message_stop"});
    for (frames, finish) in [
        (vec![text.clone(), stop.clone()], FinishReason::Stop),
        (vec![text.clone(), ended("refusal")], FinishReason::ContentFilter),
        (vec![text.clone(), ended("end_turn"), stop, text.clone()], FinishReason::Stop),
        (vec![text.clone()], FinishReason::Other("unknown".into())),
    ] {
        let body = sse(&frames);
        // The last line may lack its end.
        let read = same_however_cut(stream_decoder, body.trim_end().as_bytes());
        assert_eq!(read[0], ChatEvent::Text("a".into()));
        let [_, ChatEvent::Done { finish_reason, .. }] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(*finish_reason, finish);
    }
    let body = sse(&[text]) + "data: [DONE]\n\n";
    assert_eq!(same_however_cut(stream_decoder, body.as_bytes()).len(), 2);
}

#[test]
fn counts_are_totals_whoever_sends_them() {
    let usage = |sent: Value| json!({"type": "message_delta", "delta": {}, "usage": sent});
    let body = sse(&[
        started(),
        usage(json!({"input_tokens": 0, "output_tokens": 4, "cache_creation_input_tokens": 2})),
        usage(
            json!({"input_tokens": 30, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}}),
        ),
        usage(json!(null)),
        usage(json!("odd")),
    ]);
    let read = same_however_cut(stream_decoder, body.as_bytes());
    let [ChatEvent::Done { usage, .. }] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(
        *usage,
        Some(Usage {
            cache_read_tokens: Some(7),
            cache_creation_tokens: Some(2),
            reasoning_tokens: Some(5),
            ..Usage::new(30, 9)
        })
    );
    let silent = sse(&[json!({"type": "message_stop"})]);
    let read = same_however_cut(stream_decoder, silent.as_bytes());
    let [ChatEvent::Done { usage: None, .. }] = read.as_slice() else { panic!("{read:?}") };
}

#[test]
fn an_error_event_is_raised_with_its_kind() {
    for (fault, kind) in [
        (json!({"type": "overloaded_error", "message": "boom"}), Kind::Server),
        (json!({"type": "api_error", "message": "boom"}), Kind::Server),
        (json!({"type": "rate_limit_error", "message": "boom"}), Kind::RateLimited),
        (json!({"type": "authentication_error", "message": "boom"}), Kind::Authentication),
        (json!({"type": "invented_error", "message": "boom"}), Kind::Stream),
        (json!("boom"), Kind::Stream),
    ] {
        let body = sse(&[
            started(),
            delta(0, &json!({"type": "text_delta", "text": "a"})),
            json!({"type": "error", "error": fault}),
            delta(0, &json!({"type": "text_delta", "text": "never"})),
        ]);
        let mut read = events(stream_decoder(), body.as_bytes(), 7);
        assert_eq!(read.len(), 2, "nothing follows the error");
        let error = read.remove(1).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, "Stream error: boom"));
    }
}

#[test]
fn known_odd_and_corrupt_frames_are_told_apart() {
    let good = sse(&[delta(0, &json!({"type": "text_delta", "text": "a"}))]);
    let odd = sse(&[
        json!({"surprise": 1}),
        json!({"type": "content_block_start"}),
        json!({"type": "content_block_start", "content_block": 5}),
        json!({"type": "content_block_delta", "delta": null}),
        json!({"type": "content_block_delta", "index": null, "delta": {"text": null, "partial_json": {}}}),
        json!({"type": "message_start", "message": null}),
        json!({"type": "message_delta", "delta": null, "usage": [1]}),
    ]);
    let corrupt = "event: content_block_delta\ndata: {\"type\":\n\n".repeat(4);
    let body = format!("{corrupt}{good}{corrupt}{odd}{corrupt}{good}");
    let read = events(stream_decoder(), body.as_bytes(), 3);
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(Result::is_ok), "{read:?}");

    let body = format!("{good}{corrupt}{corrupt}{good}");
    let mut read = events(stream_decoder(), body.as_bytes(), 1000);
    assert_eq!(read.len(), 2, "nothing follows the error");
    let error = read.remove(1).unwrap_err();
    assert_eq!(error.kind(), Kind::Stream);
    let text = "Stream corrupted: 5 consecutive parse errors.";
    assert!(error.message().starts_with(text), "{error}");
}
