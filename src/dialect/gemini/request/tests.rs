//! Golden bodies of Google's dialect.

use super::super::decode;
use super::*;
use serde_json::json;

fn body(model: &str, request: &ChatRequest) -> Value {
    serde_json::from_slice(&encode(model, request).unwrap()).unwrap()
}

fn sent(messages: Vec<Message>) -> Value {
    let request = ChatRequest { messages, ..ChatRequest::default() };
    body("gemini-2.5-flash", &request)["contents"].take()
}

fn calling(calls: Vec<ToolCall>) -> Message {
    Message { tool_calls: calls, ..Message::new(Role::Assistant, "") }
}

fn answering(id: &str, text: &str) -> Message {
    Message { tool_call_id: Some(id.into()), ..Message::new(Role::Tool, text) }
}

fn tool(name: &str, parameters: Value) -> ToolSpec {
    ToolSpec { name: name.into(), description: "d".into(), parameters }
}

#[test]
fn a_prompt_is_one_user_entry_beside_an_empty_configuration() {
    let plain = encode("m", &ChatRequest::from_prompt("Hi")).unwrap();
    let expected =
        br#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{}}"#;
    assert_eq!(plain, expected.as_slice());
}

#[test]
fn every_system_message_is_kept_wherever_it_stands() {
    let request = ChatRequest {
        messages: vec![
            Message::new(Role::System, "one"),
            Message::new(Role::User, "u"),
            Message::new(Role::System, ""),
            Message::new(Role::Assistant, ""),
            Message::new(Role::System, "two"),
            Message::new(Role::User, ""),
        ],
        ..ChatRequest::default()
    };
    assert_eq!(
        body("m", &request),
        json!({
            "contents": [
                {"role": "user", "parts": [{"text": "u"}]},
                {"role": "model", "parts": [{"text": ""}]},
                {"role": "user", "parts": [{"text": ""}]},
            ],
            "systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]},
            "generationConfig": {},
        })
    );
}

#[test]
fn all_options_travel_under_google_s_names() {
    let schema = json!({"$schema": "x", "type": "object", "additionalProperties": false,
        "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "integer"}}});
    let request = ChatRequest {
        max_tokens: Some(7),
        temperature: Some(0.7),
        top_p: Some(0.9),
        stop: vec!["END".into()],
        seed: Some(5),
        tools: vec![
            tool("add", schema.clone()),
            tool("now", json!({"type": "object", "properties": {}, "required": []})),
            tool("open", json!({"type": "object", "additionalProperties": true})),
            tool("nothing", Value::Null),
        ],
        tool_choice: Some(ToolChoice::Tool("add".into())),
        response_format: Some(ResponseFormat::Schema {
            name: "answer".into(),
            schema: schema.clone(),
            strict: true,
        }),
        prompt_caching: true,
        ..ChatRequest::from_prompt("u")
    };
    assert_eq!(
        body("m", &request),
        json!({
            "contents": [{"role": "user", "parts": [{"text": "u"}]}],
            "generationConfig": {
                "maxOutputTokens": 7, "temperature": 0.7, "topP": 0.9, "stopSequences": ["END"],
                "seed": 5, "responseMimeType": "application/json", "responseJsonSchema": schema,
            },
            "tools": [{"functionDeclarations": [
                {"name": "add", "description": "d", "parametersJsonSchema": schema},
                {"name": "now", "description": "d"},
                {"name": "open", "description": "d",
                    "parametersJsonSchema": {"type": "object", "additionalProperties": true}},
                {"name": "nothing", "description": "d"},
            ]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]}},
        })
    );
}

#[test]
fn a_choice_of_tools_is_told_only_beside_tools() {
    for (choice, mode) in
        [(ToolChoice::Auto, "AUTO"), (ToolChoice::None, "NONE"), (ToolChoice::Required, "ANY")]
    {
        let mut request =
            ChatRequest { tool_choice: Some(choice), ..ChatRequest::from_prompt("u") };
        assert_eq!(body("m", &request)["toolConfig"], Value::Null);
        request.tools.push(tool("f", json!({})));
        assert_eq!(
            body("m", &request)["toolConfig"],
            json!({"functionCallingConfig": {"mode": mode}})
        );
        request.tool_choice = None;
        assert_eq!(body("m", &request)["toolConfig"], Value::Null);
    }
    let json = ChatRequest {
        response_format: Some(ResponseFormat::Json),
        ..ChatRequest::from_prompt("u")
    };
    assert_eq!(
        body("m", &json)["generationConfig"],
        json!({"responseMimeType": "application/json"})
    );
}

#[test]
fn results_made_together_share_an_entry_and_bear_their_calls_names() {
    let conversation = vec![
        Message::new(Role::User, "u"),
        calling(vec![
            ToolCall::new("call_1", "add", json!({"a": "é"})),
            ToolCall::new("call_2", "now", json!(null)),
            ToolCall::new("call_3", "list", json!([1])),
        ]),
        answering("call_2", "noon"),
        answering("call_1", "2"),
        answering("call_9", "?"),
        Message::new(Role::Tool, "!"),
        Message {
            content: "so".into(),
            ..calling(vec![ToolCall::new("call_1", "sub", json!({}))])
        },
        answering("call_1", "0"),
    ];
    let result = |name: &str, text: &str| json!({"functionResponse": {"name": name, "response": {"result": text}}});
    assert_eq!(
        sent(conversation),
        json!([
            {"role": "user", "parts": [{"text": "u"}]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "add", "args": {"a": "é"}}},
                {"functionCall": {"name": "now", "args": {}}},
                {"functionCall": {"name": "list", "args": {"value": [1]}}},
            ]},
            {"role": "user", "parts": [
                result("now", "noon"), result("add", "2"), result("unknown", "?"), result("unknown", "!"),
            ]},
            {"role": "model", "parts": [
                {"text": "so"}, {"functionCall": {"name": "sub", "args": {}}},
            ]},
            {"role": "user", "parts": [result("sub", "0")]},
        ])
    );
}

#[test]
fn ids_and_signatures_of_the_server_go_back_to_it() {
    let answer = json!({"candidates": [{"content": {"parts": [
        {"functionCall": {"id": "fc-7", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": "fc-8", "name": "g"}},
        {"functionCall": {"name": "h"}},
    ]}}]});
    let answer = decode("m", answer.to_string().as_bytes()).unwrap();
    let ours = answer.tool_calls[2].id.clone();
    let conversation = vec![
        calling(answer.tool_calls),
        answering("fc-7", "x"),
        answering("fc-8", "y"),
        answering(&ours, "z"),
    ];
    assert_eq!(
        sent(conversation),
        json!([
            {"role": "model", "parts": [
                {"functionCall": {"id": "fc-7", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "fc-8", "name": "g", "args": {}}},
                {"functionCall": {"name": "h", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "fc-7", "name": "f", "response": {"result": "x"}}},
                {"functionResponse": {"id": "fc-8", "name": "g", "response": {"result": "y"}}},
                {"functionResponse": {"name": "h", "response": {"result": "z"}}},
            ]},
        ])
    );
}

#[test]
fn a_call_without_signature_is_excused_where_one_is_demanded() {
    let call = |id: &str| ToolCall::new(id, "f", json!({}));
    let signed = ToolCall { signature: Some("c2ln".into()), ..call("call_2") };
    let signatures = |model: &str, calls: &[ToolCall]| {
        let request =
            ChatRequest { messages: vec![calling(calls.to_vec())], ..ChatRequest::default() };
        let turn = body(model, &request)["contents"][0]["parts"].take();
        let parts = turn.as_array().unwrap().iter();
        parts.map(|part| part["thoughtSignature"].clone()).collect::<Vec<_>>()
    };
    let unsigned = [call("call_1"), call("call_2")];
    let excuse = json!("skip_thought_signature_validator");
    for model in ["gemini-3.5-flash-lite", "models/gemini-3-pro-preview", "gemini-flash-latest"] {
        assert_eq!(signatures(model, &unsigned), [excuse.clone(), Value::Null], "{model}");
        let foreign = ToolCall { signature: Some("[{}]".into()), ..call("call_1") };
        assert_eq!(signatures(model, &[foreign]), std::slice::from_ref(&excuse), "{model}");
        let calls = [call("call_1"), signed.clone()];
        assert_eq!(signatures(model, &calls), [Value::Null, json!("c2ln")], "{model}");
    }
    for model in ["gemini-2.5-flash", "models/gemini-1.5-pro", "tunedModels/mine", "gemma-3-27b-it"]
    {
        assert_eq!(signatures(model, &unsigned), [Value::Null, Value::Null], "{model}");
    }
}

#[test]
fn extra_fields_win_and_the_configuration_is_merged() {
    let extra = json!({
        "safetySettings": [],
        "generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {"includeThoughts": true}},
    });
    let mut request = ChatRequest {
        max_tokens: Some(5),
        temperature: Some(0.5),
        extra_body: extra.as_object().cloned(),
        ..ChatRequest::from_prompt("u")
    };
    let merged = json!({"maxOutputTokens": 9, "temperature": 0.5, "thinkingConfig": {"includeThoughts": true}});
    let sent = body("m", &request);
    assert_eq!((&sent["generationConfig"], &sent["safetySettings"]), (&merged, &json!([])));
    request.extra_body = json!({"cachedContent": "cachedContents/1"}).as_object().cloned();
    let sent = body("m", &request);
    assert_eq!(sent["cachedContent"], "cachedContents/1");
    assert_eq!(sent["generationConfig"], json!({"maxOutputTokens": 5, "temperature": 0.5}));
}
