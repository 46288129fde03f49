//! Golden bodies of the Messages dialect.

use super::super::decode;
use super::*;
use serde_json::json;

fn body(request: &ChatRequest, stream: bool) -> Value {
    serde_json::from_slice(&encode("m", request, stream).unwrap()).unwrap()
}

fn said(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

fn result(id: &str, content: &str) -> Message {
    Message { tool_call_id: Some(id.into()), ..said(Role::Tool, content) }
}

fn calling(content: &str, calls: Vec<ToolCall>) -> Message {
    Message { tool_calls: calls, ..said(Role::Assistant, content) }
}

fn conversation(messages: Vec<Message>) -> Value {
    let request = ChatRequest { messages, ..ChatRequest::default() };
    body(&request, false)["messages"].clone()
}

fn tool(name: &str, parameters: Value) -> ToolSpec {
    ToolSpec { name: name.into(), description: "d".into(), parameters }
}

#[test]
fn a_plain_request_is_golden() {
    let request = ChatRequest::from_prompt("Hi");
    let golden = r#"{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(encode("m", &request, false).unwrap(), golden.as_bytes());
    let streamed = golden.replace("]}", "],\"stream\":true}");
    assert_eq!(encode("m", &request, true).unwrap(), streamed.as_bytes());
    // Caching has nothing to mark in it.
    let cached = ChatRequest { prompt_caching: true, ..request };
    assert_eq!(encode("m", &cached, false).unwrap(), golden.as_bytes());
}

#[test]
fn every_option_travels_under_its_name() {
    let request = ChatRequest {
        max_tokens: Some(7),
        temperature: Some(0.7),
        top_p: Some(0.9),
        stop: vec!["END".into()],
        seed: Some(3),
        tools: vec![tool("f", json!({"type": "object"})), tool("g", json!({}))],
        tool_choice: Some(ToolChoice::Tool("f".into())),
        response_format: Some(ResponseFormat::Schema {
            name: "answer".into(),
            schema: json!({"type": "object"}),
            strict: true,
        }),
        extra_body: json!({"top_k": 5, "max_tokens": 9}).as_object().cloned(),
        ..ChatRequest::from_prompt("Hi")
    };
    let expected = json!({
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
        "tools": [
            {"name": "f", "description": "d", "input_schema": {"type": "object"}},
            {"name": "g", "description": "d", "input_schema": {"type": "object"}},
        ],
        "tool_choice": {"type": "tool", "name": "f"},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stream": true,
    });
    assert_eq!(body(&request, true), expected);
    for (choice, sent) in
        [(ToolChoice::Auto, "auto"), (ToolChoice::None, "none"), (ToolChoice::Required, "any")]
    {
        let request = ChatRequest { tool_choice: Some(choice), ..request.clone() };
        assert_eq!(body(&request, false)["tool_choice"], json!({"type": sent}));
    }
    let request = ChatRequest { tool_choice: None, ..request };
    assert_eq!(body(&request, false).get("tool_choice"), None, "the model decides anyway");
}

#[test]
fn all_system_messages_are_sent_and_marked_for_the_cache() {
    let mut request = ChatRequest {
        messages: vec![
            said(Role::System, "one"),
            said(Role::User, "u"),
            said(Role::System, ""),
            said(Role::System, "two"),
        ],
        tools: vec![tool("f", json!({"type": "object"})), tool("g", json!({"type": "object"}))],
        ..ChatRequest::default()
    };
    let plain = body(&request, false);
    assert_eq!(plain["system"], "one\n\ntwo");
    assert_eq!(plain["messages"], json!([{"role": "user", "content": "u"}]));
    assert_eq!(plain["tools"][1].get("cache_control"), None);

    request.prompt_caching = true;
    let cached = body(&request, false);
    let mark = json!({"type": "ephemeral"});
    assert_eq!(
        cached["system"],
        json!([{"type": "text", "text": "one\n\ntwo", "cache_control": mark}])
    );
    assert_eq!(cached["tools"][0].get("cache_control"), None, "one mark covers all before it");
    assert_eq!(cached["tools"][1]["cache_control"], mark);
    assert_eq!(body(&ChatRequest::from_prompt("u"), false).get("system"), None);
}

#[test]
fn what_the_wire_cannot_say_is_said_in_words() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let mut request = ChatRequest {
        messages: vec![said(Role::System, "be brief"), said(Role::User, "u")],
        response_format: Some(ResponseFormat::Schema {
            name: "answer".into(),
            schema: schema.clone(),
            strict: false,
        }),
        ..ChatRequest::default()
    };
    let sent = body(&request, false);
    let system = sent["system"].as_str().unwrap();
    assert!(system.starts_with("be brief\n\n") && system.contains(&schema.to_string()), "{system}");
    assert_eq!(sent.get("output_config"), None);

    request.messages.remove(0);
    request.response_format = Some(ResponseFormat::Json);
    assert!(body(&request, false)["system"].as_str().unwrap().contains("JSON object"));
}

#[test]
fn calls_and_their_results_are_blocks() {
    let sent = conversation(vec![
        said(Role::User, "u"),
        calling(
            "let me see",
            vec![
                ToolCall::new("c1", "add", json!({"a": 1})),
                ToolCall::new("c2", "now", Value::Null),
                ToolCall::new("c3", "odd", json!({"raw_arguments": "{oops"})),
                ToolCall::new("c4", "odd", json!([1])),
            ],
        ),
        result("c1", "2"),
        result("c2", ""),
        said(Role::User, "go on"),
        calling(" \n", vec![ToolCall::new("c5", "f", json!({}))]),
        result("c5", "5"),
    ]);
    assert_eq!(
        sent,
        json!([
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "now", "input": {}},
                {"type": "tool_use", "id": "c3", "name": "odd", "input": {"raw_arguments": "{oops"}},
                {"type": "tool_use", "id": "c4", "name": "odd", "input": {"raw_arguments": [1]}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "2"},
                {"type": "tool_result", "tool_use_id": "c2", "content": ""},
            ]},
            {"role": "user", "content": "go on"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c5", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c5", "content": "5"},
            ]},
        ])
    );
}

#[test]
fn blank_turns_of_the_assistant_are_left_out() {
    let sent = conversation(vec![
        said(Role::User, "a"),
        said(Role::Assistant, ""),
        said(Role::User, "b"),
        said(Role::Assistant, "c"),
        said(Role::Tool, "a result of no call"),
    ]);
    assert_eq!(
        sent,
        json!([
            {"role": "user", "content": "a"},
            {"role": "user", "content": "b"},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "a result of no call"},
        ])
    );
}

#[test]
fn a_tool_s_schema_always_names_its_type() {
    for (parameters, sent) in [
        (json!(null), json!({"type": "object"})),
        (json!({"properties": {}}), json!({"type": "object", "properties": {}})),
        (json!({"type": "object", "required": []}), json!({"type": "object", "required": []})),
    ] {
        let tools = vec![tool("f", parameters)];
        let request = ChatRequest { tools, ..ChatRequest::from_prompt("u") };
        assert_eq!(body(&request, false)["tools"][0]["input_schema"], sent);
    }
}

#[test]
fn thoughts_go_back_with_the_call_they_led_to() {
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "s1"});
    let hidden = json!({"type": "redacted_thinking", "data": "xyz"});
    let answer = json!({"stop_reason": "tool_use", "content": [
        thought, hidden, {"type": "text", "text": "I will"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}}]});
    let answer = decode("m", answer.to_string().as_bytes()).unwrap();
    assert_eq!(answer.metadata["reasoning"], "hm");
    let sent = conversation(vec![calling(&answer.content, answer.tool_calls)]);
    assert_eq!(
        sent[0]["content"],
        json!([thought, hidden, {"type": "text", "text": "I will"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}}])
    );
    for foreign in ["CpIBAdHtim8", "", "[{\"type\":\"text\"}]", "{}", "[1]"] {
        let signature = Some(foreign.to_owned());
        let call = ToolCall { signature, ..ToolCall::new("c", "f", json!({})) };
        let sent = conversation(vec![calling("", vec![call])]);
        assert_eq!(sent[0]["content"].as_array().unwrap().len(), 1, "{foreign}");
    }
}
