//! Golden bodies, the tolerance matrix and chopped streams of the chat-completions dialect.

use super::super::testing::{events, same_however_cut};
use super::*;
use crate::types::{ChatRequest, Message, ResponseFormat, Role, ToolChoice, ToolSpec};
use serde_json::json;

fn body(wire: Wire, request: &ChatRequest, stream: bool) -> Value {
    serde_json::from_slice(&encode(&wire, "m", request, stream).unwrap()).unwrap()
}

fn read(sent: &Value) -> ChatResponse {
    decode(&Wire::COMMON, "m", sent.to_string().as_bytes()).unwrap()
}

fn decoder() -> StreamDecoder<ChatFrames> {
    stream_decoder(Wire::OPENAI)
}

fn noted(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect()
}

#[test]
fn bodies_are_golden() {
    let mut asked = Message::new(Role::Assistant, "");
    asked.tool_calls.push(ToolCall::new("c1", "add", json!({"b": "é", "a": 1})));
    let mut answered = Message::new(Role::Tool, "2");
    answered.tool_call_id = Some("c1".into());
    let request = ChatRequest {
        messages: vec![
            Message::new(Role::System, "s"),
            Message::new(Role::User, "u"),
            asked,
            answered,
        ],
        max_tokens: Some(7),
        temperature: Some(0.7),
        tools: vec![ToolSpec {
            name: "add".into(),
            description: "adds".into(),
            parameters: json!({"type": "object"}),
        }],
        ..ChatRequest::default()
    };
    let mut expected = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\":1,\"b\":\"é\"}"}}]},
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
        ],
        "max_completion_tokens": 7,
        "temperature": 0.7,
        "tools": [{"type": "function", "function": {
            "name": "add", "description": "adds", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
    });
    assert_eq!(body(Wire::OPENAI, &request, false), expected);

    expected["stream"] = json!(true);
    expected["stream_options"] = json!({"include_usage": true});
    assert_eq!(body(Wire::OPENAI, &request, true), expected);

    let common = body(Wire::COMMON, &request, true);
    assert_eq!(
        (&common["max_tokens"], &common["max_completion_tokens"]),
        (&json!(7), &Value::Null)
    );
    assert_eq!(common["stream_options"], Value::Null);
    assert_eq!(body(Wire::AZURE, &request, false)["model"], Value::Null);
}

#[test]
fn temperatures_are_sent_as_given() {
    for temperature in [0.0, 0.7, 1.0, 1.7, 2.0] {
        let request =
            ChatRequest { temperature: Some(temperature), ..ChatRequest::from_prompt("x") };
        assert_eq!(body(Wire::OPENAI, &request, false)["temperature"], json!(temperature));
    }
}

#[test]
fn a_full_answer_is_read() {
    let response = read(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "m-2024",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 99,
            "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1}},
    }));
    assert_eq!((response.content.as_str(), response.model.as_str()), ("hi", "m"));
    assert_eq!(response.id.as_deref(), Some("chatcmpl-1"));
    assert_eq!(response.usage.total_tokens, 7);
    assert_eq!(
        (response.usage.cache_read_tokens, response.usage.reasoning_tokens),
        (Some(2), Some(1))
    );
    assert_eq!(response.metadata["server_model"], json!("m-2024"));
    assert_eq!(response.metadata["provider_finish_reason"], json!("stop"));
    let azure = json!({"choices": [{}], "usage": {"total_tokens": 99}}).to_string();
    assert_eq!(decode(&Wire::AZURE, "m", azure.as_bytes()).unwrap().usage.total_tokens, 99);
}

#[test]
fn every_cell_of_the_tolerance_matrix_is_accepted() {
    let call = |arguments: Value| {
        json!({"choices": [{"message": {"content": null, "tool_calls": [
            {"id": "c", "function": {"name": "f", "arguments": arguments}}]}, "finish_reason": "tool_calls"}]})
    };
    for (message, content) in [
        (json!({"role": "assistant", "content": null}), ""),
        (json!({"role": "assistant"}), ""),
        (json!({"content": "no role"}), "no role"),
        (json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}), "ab"),
        (json!({"content": "t", "tool_calls": null}), "t"),
        (json!(null), ""),
    ] {
        let response = read(&json!({"choices": [{"message": message}]}));
        assert_eq!(response.content, content, "{message}");
        assert_eq!(response.finish_reason, FinishReason::Stop);
        assert_eq!((response.usage, response.id), (Usage::default(), None));
    }
    for (sent, parsed) in [
        (json!("{\"x\":1}"), json!({"x": 1})),
        (json!("not json"), json!({"raw_arguments": "not json"})),
        (json!(""), json!({})),
        (json!(null), json!({})),
        (json!({"x": 1}), json!({"x": 1})),
    ] {
        let response = read(&call(sent));
        assert_eq!(response.tool_calls[0].arguments, parsed);
        assert_eq!(response.content, "", "no filler text");
    }
    for (word, reason) in [
        (json!("stop"), FinishReason::Stop),
        (json!("length"), FinishReason::Length),
        (json!("tool_calls"), FinishReason::ToolCalls),
        (json!("content_filter"), FinishReason::ContentFilter),
        (json!("eos"), FinishReason::Other("eos".into())),
        (json!(null), FinishReason::Stop),
    ] {
        let sent = json!({"choices": [{"message": {"content": "x"}, "finish_reason": word}], "usage": null});
        assert_eq!(read(&sent).finish_reason, reason, "{word}");
    }
    let nameless = json!({"choices": [{"message": {"tool_calls": [{"function": {"name": "f"}}]}}]});
    assert!(read(&nameless).tool_calls[0].id.starts_with("call_"));
}

#[test]
fn answers_without_a_choice_are_errors() {
    for (sent, kind, text) in [
        (json!({"choices": []}), Kind::Decode, "No choices in response"),
        (json!({"choices": null}), Kind::Decode, "No choices in response"),
        (
            json!({"error": {"message": "upstream", "code": 502}}),
            Kind::Server,
            "API error: upstream",
        ),
        (json!({"error": {"message": "slow", "code": 429}}), Kind::RateLimited, "API error: slow"),
    ] {
        let error = decode(&Wire::COMMON, "m", sent.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, text));
    }
    let error = decode(&Wire::COMMON, "m", b"<html>").unwrap_err();
    assert_eq!(error.kind(), Kind::Decode);
    assert!(
        error.message().starts_with("Failed to parse response: error decoding response body: "),
        "{error}"
    );
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    let body = concat!(
        ": keep-alive\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[]}\r\n\r\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"日本\",\"tool_calls\":null}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"🦀\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );
    assert_eq!(
        same_however_cut(decoder, body.as_bytes()),
        [
            ChatEvent::Text("日本".into()),
            ChatEvent::Text("🦀".into()),
            ChatEvent::ToolCallDelta {
                index: 0,
                id: Some("c".into()),
                name: Some("f".into()),
                arguments: String::new()
            },
            ChatEvent::ToolCallDelta { index: 0, id: None, name: None, arguments: "{}".into() },
            ChatEvent::Done {
                usage: Some(Usage::new(1, 2)),
                finish_reason: FinishReason::ToolCalls,
                metadata: noted(&[("provider_finish_reason", "tool_calls")]),
            },
        ]
    );
}

#[test]
fn the_last_chunk_counts_without_newline_and_without_done() {
    let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}";
    assert_eq!(
        same_however_cut(decoder, body),
        [
            ChatEvent::Text("a".into()),
            ChatEvent::Done {
                usage: None,
                finish_reason: FinishReason::Stop,
                metadata: noted(&[("provider_finish_reason", "stop")]),
            },
        ]
    );
}

#[test]
fn known_unknown_and_corrupt_frames_are_told_apart() {
    let good = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let unknown = "data: {\"surprise\":1}\n\n";
    let corrupt = "data: {\"choices\":[{\n\n";
    let four = corrupt.repeat(4);
    // Four in a row are skipped, and a frame that parses starts the count again.
    let body = format!("{four}{good}{four}{unknown}{four}{good}data: [DONE]\n\n");
    let read = events(decoder(), body.as_bytes(), 3);
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(Result::is_ok));

    let body = format!("{good}{}{good}", corrupt.repeat(5));
    let mut read = events(decoder(), body.as_bytes(), 1000);
    assert_eq!(read.len(), 2, "nothing follows the error");
    let error = read.remove(1).unwrap_err();
    assert_eq!(error.kind(), Kind::Stream);
    assert!(
        error.message().starts_with("Stream corrupted: 5 consecutive parse errors."),
        "{error}"
    );
}

#[test]
fn an_error_frame_is_raised_with_its_kind() {
    for (frame, kind) in [
        (r#"{"error":{"message":"boom","code":429}}"#, Kind::RateLimited),
        (r#"{"error":{"message":"boom","type":"server_error"}}"#, Kind::Server),
        (r#"{"error":"boom"}"#, Kind::Stream),
    ] {
        let body = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}\n\ndata: {frame}\n\n"
        );
        let mut read = events(decoder(), body.as_bytes(), 11);
        assert_eq!(read.len(), 2);
        let error = read.remove(1).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, "Stream error: boom"));
    }
}

#[test]
fn options_travel_under_each_wire_s_names() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let request = ChatRequest {
        top_p: Some(0.9),
        stop: vec!["END".into()],
        seed: Some(7),
        tool_choice: Some(ToolChoice::Required),
        response_format: Some(ResponseFormat::Schema {
            name: "answer".into(),
            schema: schema.clone(),
            strict: true,
        }),
        ..ChatRequest::from_prompt("u")
    };
    let sent = body(Wire::COMMON, &request, false);
    let expected = json!({
        "model": "m",
        "messages": [{"role": "user", "content": "u"}],
        "top_p": 0.9,
        "tool_choice": "required",
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "schema": schema, "strict": true}},
        "stop": ["END"],
        "seed": 7,
    });
    assert_eq!(sent, expected);

    let other =
        Wire { random_seed_field: true, required_tool: "any", json_schema: false, ..Wire::COMMON };
    let sent = body(other, &request, false);
    assert_eq!((&sent["random_seed"], &sent["tool_choice"]), (&json!(7), &json!("any")));
    assert_eq!(sent["seed"], Value::Null);
    assert_eq!(sent["response_format"], json!({"type": "json_object"}));
    let told = sent["messages"][0]["content"].as_str().unwrap();
    assert!(told.contains(&schema.to_string()), "{told}");
    assert_eq!(sent["messages"][1], json!({"role": "user", "content": "u"}));

    let chosen = ChatRequest {
        tool_choice: Some(ToolChoice::Tool("add".into())),
        ..ChatRequest::from_prompt("u")
    };
    let expected = json!({"type": "function", "function": {"name": "add"}});
    assert_eq!(body(Wire::COMMON, &chosen, false)["tool_choice"], expected);
}

#[test]
fn extra_fields_are_added_and_win() {
    let extra = json!({"max_tokens": 9, "reasoning": {"effort": "low"}});
    let request = ChatRequest {
        max_tokens: Some(5),
        extra_body: extra.as_object().cloned(),
        ..ChatRequest::from_prompt("u")
    };
    let sent = body(Wire::COMMON, &request, false);
    assert_eq!((&sent["max_tokens"], &sent["reasoning"]["effort"]), (&json!(9), &json!("low")));
    assert_eq!(sent["model"], "m");
}

#[test]
fn mistral_gets_no_content_beside_calls() {
    let mut asked = Message::new(Role::Assistant, "");
    asked.tool_calls.push(ToolCall::new("c1", "add", json!({})));
    let request = ChatRequest { messages: vec![asked], ..ChatRequest::default() };
    let wire = Wire { calls_without_content: true, ..Wire::COMMON };
    assert_eq!(body(wire, &request, false)["messages"][0].get("content"), None);
    assert_eq!(body(Wire::COMMON, &request, false)["messages"][0]["content"], "");
}

#[test]
fn what_is_said_beside_the_answer_is_kept() {
    let answer = read(&json!({
        "id": "1", "model": "m-2", "citations": ["https://a"], "search_results": [{"url": "https://a"}],
        "choices": [{"message": {"content": "x", "reasoning_content": "hm", "reasoning": "hm"},
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_cache_hit_tokens": 1,
                  "completion_tokens_details": {"reasoning_tokens": 1}},
    }));
    assert_eq!(answer.metadata["citations"], json!(["https://a"]));
    assert_eq!(answer.metadata["search_results"], json!([{"url": "https://a"}]));
    assert_eq!(
        (&answer.metadata["reasoning"], &answer.metadata["server_model"]),
        (&json!("hm"), &json!("m-2"))
    );
    assert_eq!((answer.usage.cache_read_tokens, answer.usage.reasoning_tokens), (Some(1), Some(1)));
    assert_eq!(answer.content, "x");
    // Odd side fields are no reason to lose an answer.
    let odd = read(&json!({"choices": [{"message": {"content": "x", "reasoning": {"a": 1}}}]}));
    assert_eq!((odd.content.as_str(), odd.metadata.get("reasoning")), ("x", None));
}

#[test]
fn a_stream_tells_thoughts_from_text_and_ends_with_everything() {
    let body = concat!(
        "data: {\"id\":\"i\",\"model\":\"m-2\",\"choices\":[{\"delta\":{\"reasoning_content\":\"h\u{e9}\"}}]}\n\n",
        "data: {\"id\":\"i\",\"citations\":[\"https://a\"],\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    );
    let mut metadata =
        noted(&[("id", "i"), ("server_model", "m-2"), ("provider_finish_reason", "stop")]);
    metadata.insert("citations".into(), json!(["https://a"]));
    assert_eq!(
        same_however_cut(decoder, body.as_bytes()),
        [
            ChatEvent::Reasoning("hé".into()),
            ChatEvent::Text("x".into()),
            ChatEvent::Done { usage: None, finish_reason: FinishReason::Stop, metadata },
        ]
    );
}
