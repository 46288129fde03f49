use super::super::testing::{events, same_however_cut};
use super::*;
use crate::types::{ChatRequest, Message, ResponseFormat, Role, ToolChoice, ToolSpec};
use serde_json::json;

fn body(request: &ChatRequest) -> Value {
    serde_json::from_slice(&encode("gpt-4o", request, false).unwrap()).unwrap()
}

#[test]
fn a_conversation_with_tools_is_replayed_as_items() {
    let call = ToolCall::new("c1", "add", json!({"a": 1}));
    let mut asked = Message::new(Role::Assistant, "");
    asked.tool_calls.push(call);
    let mut answered = Message::new(Role::Tool, "2");
    answered.tool_call_id = Some("c1".into());
    let request = ChatRequest {
        messages: vec![
            Message::new(Role::System, "be brief"),
            Message::new(Role::User, "1+1?"),
            asked,
            answered,
        ],
        max_tokens: Some(5),
        temperature: Some(1.7),
        tools: vec![ToolSpec {
            name: "add".into(),
            description: "adds".into(),
            parameters: json!({"type": "object"}),
        }],
        ..ChatRequest::default()
    };
    assert_eq!(
        body(&request),
        json!({
            "model": "gpt-4o",
            "input": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": "1+1?"},
                {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{\"a\":1}"},
                {"type": "function_call_output", "call_id": "c1", "output": "2"},
            ],
            "max_output_tokens": 5,
            "temperature": 1.7,
            "tools": [{"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}}],
        })
    );
}

#[test]
fn an_answer_with_text_and_a_call_is_read() {
    let sent = json!({
        "id": "resp_1", "model": "gpt-4o-2024", "status": "completed",
        "output": [
            {"type": "reasoning", "summary": [
                {"type": "summary_text", "text": "hm"}, {"type": "summary_text", "text": "yes"}]},
            {"type": "message", "content": [
                {"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"},
                {"type": "refusal", "refusal": "no"}]},
            {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}"},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7,
            "input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1}},
    });
    let read = decode("dep", sent.to_string().as_bytes()).unwrap();
    assert_eq!(read.content, "a\nb");
    assert_eq!((read.model.as_str(), read.id.as_deref()), ("dep", Some("resp_1")));
    assert_eq!(read.finish_reason, FinishReason::ToolCalls);
    assert_eq!(read.tool_calls[0].id, "c1");
    assert_eq!(read.tool_calls[0].arguments, json!({"x": 1}));
    assert_eq!((read.usage.cache_read_tokens, read.usage.reasoning_tokens), (Some(2), Some(1)));
    assert_eq!(read.metadata["server_model"], json!("gpt-4o-2024"));
    assert_eq!(read.metadata["refusal"], json!("no"));
    assert_eq!(read.metadata["reasoning"], json!("hm\n\nyes"));
}

#[test]
fn every_status_has_its_finish_reason() {
    for (sent, finish) in [
        (json!({"status": "completed"}), FinishReason::Stop),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}),
            FinishReason::Length,
        ),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
            FinishReason::ContentFilter,
        ),
        (
            json!({"status": "incomplete", "incomplete_details": null}),
            FinishReason::Other("unknown".into()),
        ),
        (
            json!({"status": "queued", "usage": null, "output": null}),
            FinishReason::Other("queued".into()),
        ),
        (json!({}), FinishReason::Other("unknown".into())),
    ] {
        assert_eq!(
            decode("d", sent.to_string().as_bytes()).unwrap().finish_reason,
            finish,
            "{sent}"
        );
    }
    let failed =
        json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}});
    let error = decode("d", failed.to_string().as_bytes()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::RateLimited, "Responses API failed: slow"));
    let error = decode("d", br#"{"status":"failed","error":null}"#).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Server, "Responses API failed: Unknown error")
    );
}

#[test]
fn options_travel_under_this_api_s_names() {
    let schema = json!({"type": "object"});
    let format =
        ResponseFormat::Schema { name: "answer".into(), schema: schema.clone(), strict: true };
    let extra = json!({"text": {"verbosity": "low"}, "reasoning": {"effort": "low"}});
    let request = ChatRequest {
        top_p: Some(0.9),
        seed: Some(7),
        stop: vec!["END".into()],
        tool_choice: Some(ToolChoice::Tool("add".into())),
        response_format: Some(format),
        extra_body: extra.as_object().cloned(),
        ..ChatRequest::from_prompt("u")
    };
    assert_eq!(
        body(&request),
        json!({
            "model": "gpt-4o",
            "input": [{"role": "user", "content": "u"}],
            "top_p": 0.9,
            "tool_choice": {"type": "function", "name": "add"},
            "text": {
                "format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": true},
                "verbosity": "low",
            },
            "reasoning": {"effort": "low"},
        })
    );
    for (choice, word) in
        [(ToolChoice::Auto, "auto"), (ToolChoice::None, "none"), (ToolChoice::Required, "required")]
    {
        let request = ChatRequest {
            tool_choice: Some(choice),
            response_format: Some(ResponseFormat::Json),
            ..ChatRequest::from_prompt("u")
        };
        let sent = body(&request);
        assert_eq!(sent["tool_choice"], json!(word));
        assert_eq!(sent["text"], json!({"format": {"type": "json_object"}}));
    }
}

#[test]
fn an_error_in_place_of_an_answer_is_raised() {
    let sent = json!({"error": {"message": "upstream", "code": 502}}).to_string();
    let error = decode("d", sent.as_bytes()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Server, "Responses API failed: upstream"));
    // A raw thought is better than none.
    let sent = json!({"status": "completed", "error": null, "output": [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "raw"}]}]});
    let read = decode("d", sent.to_string().as_bytes()).unwrap();
    assert_eq!(read.metadata["reasoning"], json!("raw"));
}

fn frames(list: &[Value]) -> String {
    list.iter()
        .map(|event| format!("event: {}\r\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect()
}

fn done(pairs: &[(&str, &str)], finish_reason: FinishReason) -> ChatEvent {
    let metadata = pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    ChatEvent::Done { usage: Some(Usage::new(1, 2)), finish_reason, metadata }
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    let usage = json!({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3});
    let body = frames(&[
        json!({"type": "response.created", "response": {}}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "h"}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "m"}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "yes"}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "za"}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "żó"}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 1, "delta": "b"}),
        json!({"type": "response.completed", "response": {
            "id": "resp_1", "model": "gpt-4o-2024", "status": "completed", "usage": usage,
            "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]}}),
        json!({"type": "response.output_text.delta", "delta": "late"}),
    ]);
    let said = [
        ("provider_finish_reason", "completed"),
        ("server_model", "gpt-4o-2024"),
        ("id", "resp_1"),
        ("refusal", "no"),
    ];
    assert_eq!(
        same_however_cut(stream_decoder, body.as_bytes()),
        [
            ChatEvent::Reasoning("h".into()),
            ChatEvent::Reasoning("m".into()),
            ChatEvent::Reasoning("\n\nyes".into()),
            ChatEvent::Text("za".into()),
            ChatEvent::Text("żó".into()),
            ChatEvent::Text("\nb".into()),
            done(&said, FinishReason::Stop),
        ]
    );
}

#[test]
fn streamed_calls_are_said_once_however_they_are_told() {
    let call = |arguments: &str| json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments});
    let delta = |id: Option<&str>, name: Option<&str>, arguments: &str| ChatEvent::ToolCallDelta {
        index: 1,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    };
    let begun = json!({"type": "response.output_item.added", "output_index": 1, "item": call("")});
    let piece =
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"});
    let ended = json!({"type": "response.output_item.done", "output_index": 1, "item": call("{}")});
    let completed = json!({"type": "response.completed", "response": {"status": "completed",
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}});
    let whole = [delta(Some("c"), Some("f"), ""), delta(None, None, "{}")];
    for (told, expected) in [
        (vec![&begun, &piece, &ended], whole.to_vec()),
        (vec![&begun, &ended], whole.to_vec()),
        (vec![&ended], vec![delta(Some("c"), Some("f"), "{}")]),
        (vec![&piece, &ended], vec![delta(None, None, "{}"), delta(Some("c"), Some("f"), "")]),
    ] {
        let list: Vec<Value> = told.into_iter().chain([&completed]).cloned().collect();
        let mut read = same_however_cut(stream_decoder, frames(&list).as_bytes());
        let last = read.pop();
        let said = [("provider_finish_reason", "completed")];
        assert_eq!((read, last), (expected, Some(done(&said, FinishReason::ToolCalls))));
    }
}

#[test]
fn an_incomplete_stream_says_why() {
    let body = frames(&[json!({"type": "response.incomplete", "response": {
        "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}})]);
    let read = same_however_cut(stream_decoder, body.as_bytes());
    let ChatEvent::Done { usage: None, finish_reason, metadata } = &read[0] else { panic!() };
    assert_eq!(finish_reason, &FinishReason::Length);
    assert_eq!(metadata["provider_finish_reason"], json!("max_output_tokens"));
}

#[test]
fn a_failing_stream_raises() {
    for (frame, text) in [
        (r#"{"type":"error","code":"server_error","message":"m"}"#, "Stream error: m"),
        (
            r#"{"type":"response.failed","response":{"error":{"message":"m"}}}"#,
            "Responses API failed: m",
        ),
    ] {
        let body = format!("data: {frame}\n\n");
        let mut read = events(stream_decoder(), body.as_bytes(), 7);
        assert_eq!(read.len(), 1);
        assert_eq!(read.remove(0).unwrap_err().message(), text);
    }
}
