//! Replicate over a real socket, with what only the core can ask for: tools, seeds, extra inputs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use futures_util::StreamExt;
use graphbit::llm::LlmClient;
use graphbit::providers::{LlmConfig, ProviderSettings};
use graphbit::runtime;
use graphbit::secret::ApiKey;
use graphbit::types::{ChatEvent, ChatRequest, FinishReason, Message, Role, ToolCall, ToolSpec};
use serde_json::{Value, json};
use support::Simulator;

const SAID: &str = "Let me add.\nTOOL_CALL: add({\"a\": 1,\n \"b\": [2]})\nTOOL_CALL: oops\n";

fn client(simulator: &Simulator, scope: &str) -> LlmClient {
    let mut settings = ProviderSettings::new("replicate").with_key(ApiKey::new("r8_0123456789"));
    settings.connection.base_url = Some(format!("{}/v1/", simulator.url(scope)));
    LlmClient::with_defaults(LlmConfig::new(settings).unwrap().model())
}

fn asking() -> ChatRequest {
    ChatRequest {
        tools: vec![ToolSpec {
            name: "add".into(),
            description: "Adds.".into(),
            parameters: json!({"type": "object"}),
        }],
        seed: Some(7),
        stop: vec!["END".into()],
        extra_body: json!({"input": {"verbosity": "low"}}).as_object().cloned(),
        keep_raw: true,
        ..ChatRequest::from_prompt("1+2?")
    }
}

#[test]
fn tools_are_described_called_and_answered() {
    let simulator = Simulator::start();
    let client = client(&simulator, "tools");
    let prediction = json!({"id": "p1", "status": "succeeded", "output": SAID});
    simulator.behaviour("tools", &json!({ "body": prediction }));
    let answer = runtime::block_on({
        let client = client.clone();
        async move { client.complete(asking()).await }
    })
    .unwrap();
    assert_eq!(answer.content, "Let me add.\nTOOL_CALL: oops", "what is no call stays");
    let call = ToolCall::new("call_0", "add", json!({"a": 1, "b": [2]}));
    assert_eq!(
        (answer.tool_calls.as_slice(), answer.finish_reason),
        ([call.clone()].as_slice(), FinishReason::ToolCalls)
    );
    assert_eq!(serde_json::from_str::<Value>(&answer.raw.unwrap()).unwrap(), prediction);

    let mut asked = Message::new(Role::Assistant, answer.content);
    asked.tool_calls.push(call);
    let mut request = asking();
    request.messages.extend([asked, Message::new(Role::Tool, "3")]);
    runtime::block_on(async move { client.complete(request).await }).unwrap();

    let log = simulator.log("tools");
    let input = |entry: &Value| -> Value {
        let body: Value = serde_json::from_str(entry["body"].as_str().unwrap()).unwrap();
        body["input"].clone()
    };
    let first = input(&log[0]);
    assert_eq!(
        (&first["seed"], &first["stop_sequences"], &first["verbosity"]),
        (&json!(7), &json!("END"), &json!("low"))
    );
    let prompt = first["prompt"].as_str().unwrap();
    assert!(prompt.contains("- add: Adds. ") && prompt.contains("TOOL_CALL: name(parameters)"));
    assert!(prompt.ends_with("\n\nUser: 1+2?\nAssistant: "), "{prompt}");
    let second = input(&log[1])["prompt"].as_str().unwrap().to_owned();
    let told = "Assistant: Let me add.\nTOOL_CALL: oops\n\
                Tool Call: add with parameters: {\"a\":1,\"b\":[2]}\nTool Result: 3\nAssistant: ";
    assert!(second.ends_with(told), "{second}");
}

#[test]
fn calls_are_told_from_text_in_streams_too() {
    let simulator = Simulator::start();
    let client = client(&simulator, "stream");
    let frame = |piece: &str| {
        let lines: String = piece.split('\n').map(|line| format!("data: {line}\n")).collect();
        format!("event: output\n{lines}\n")
    };
    let pieces: String =
        ["Let me add", ".\nTOOL_", "CALL: add({\"a\":\n", "1})\n"].map(frame).concat();
    let stream = pieces + "event: done\ndata: {}\n\n";
    let url = format!("{}/v1/anywhere", simulator.url("stream"));
    let begun = json!({"id": "p1", "status": "starting", "urls": {"stream": url}});
    let ended = json!({"id": "p1", "status": "succeeded", "output": "x", "metrics": {
        "input_token_count": 5, "output_token_count": 6, "predict_time": 0.5}});
    // Scripted replies come as they are, whatever their media type says.
    let steps = json!([[201, begun], [200, stream], [200, ended]]);
    simulator.behaviour("stream", &json!({ "status": steps }));
    let events: Vec<ChatEvent> = runtime::block_on(async move {
        let events: Vec<_> = client.stream(asking()).await?.collect().await;
        events.into_iter().collect()
    })
    .unwrap();
    assert_eq!(events[..2], [ChatEvent::Text("Let me add".into()), ChatEvent::Text(".\n".into())]);
    let call = ChatEvent::ToolCallDelta {
        index: 0,
        id: Some("call_0".into()),
        name: Some("add".into()),
        arguments: "{\"a\":1}".into(),
    };
    assert_eq!(events[2], call);
    let ChatEvent::Done { usage: Some(usage), finish_reason, metadata } = &events[3] else {
        panic!("{:?}", events[3])
    };
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (5, 6));
    assert_eq!(finish_reason, &FinishReason::ToolCalls);
    assert_eq!((&metadata["id"], &metadata["predict_time_seconds"]), (&json!("p1"), &json!(0.5)));
    assert_eq!(events.len(), 4);
}
