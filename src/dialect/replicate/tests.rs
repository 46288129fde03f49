use serde_json::json;

use super::super::testing::{events as frames, same_however_cut};
use super::*;
use crate::types::{Message, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec};

const MODEL: &str = "openai/gpt-5";

fn with_tools() -> ChatRequest {
    ChatRequest {
        tools: vec![ToolSpec {
            name: "add".into(),
            description: "Adds numbers.".into(),
            parameters: json!({"type": "object"}),
        }],
        ..ChatRequest::from_prompt("1+1?")
    }
}

fn body(model: &str, version: Option<&str>, request: &ChatRequest) -> Value {
    serde_json::from_slice(&encode(model, version, request, false).unwrap()).unwrap()
}

fn prompt_of(model: &str, request: &ChatRequest) -> String {
    body(model, None, request)["input"]["prompt"].as_str().unwrap().to_owned()
}

fn answered(sent: &Value, request: &ChatRequest) -> Result<ChatResponse> {
    read(sent.to_string().as_bytes()).unwrap().answer(MODEL, request)
}

fn succeeded(output: &Value) -> ChatResponse {
    answered(&json!({"id": "p", "status": "succeeded", "output": output}), &with_tools()).unwrap()
}

#[test]
fn bodies_are_golden() {
    let plain = encode(MODEL, None, &ChatRequest::from_prompt("Hi"), false).unwrap();
    assert_eq!(
        plain,
        br#"{"version":"openai/gpt-5","input":{"prompt":"User: Hi\nAssistant: "}}"#.as_slice()
    );
    let mut asked = Message::new(Role::Assistant, "");
    asked.tool_calls.push(ToolCall::new("call_0", "add", json!({"a": 1})));
    let request = ChatRequest {
        messages: vec![
            Message::new(Role::System, "be brief"),
            Message::new(Role::User, "1+1?"),
            asked,
            Message::new(Role::Tool, "2"),
            Message::new(Role::Assistant, "two"),
            Message::new(Role::User, "sure?"),
        ],
        max_tokens: Some(9),
        temperature: Some(0.7),
        top_p: Some(0.9),
        seed: Some(3),
        stop: vec!["END".into(), "a,b".into(), "STOP".into()],
        ..ChatRequest::default()
    };
    let expected = json!({
        "version": "5c7d",
        "input": {
            "prompt": "System: be brief\nUser: 1+1?\nTool Call: add with parameters: {\"a\":1}\n\
                       Tool Result: 2\nAssistant: two\nUser: sure?\nAssistant: ",
            "max_new_tokens": 9, "temperature": 0.7, "top_p": 0.9, "seed": 3,
            "stop_sequences": "END,STOP",
        },
    });
    assert_eq!(body(MODEL, Some("5c7d"), &request), expected);
    let streamed = encode(MODEL, Some("5c7d"), &request, true).unwrap();
    let streamed: Value = serde_json::from_slice(&streamed).unwrap();
    assert_eq!(streamed["stream"], true);
}

#[test]
fn tools_are_told_of_in_the_prompt_of_models_that_can_use_them() {
    let told = "These tools can be called:\n\
                - add: Adds numbers. Parameters as JSON Schema: {\"type\":\"object\"}\n\
                To call one, answer with a line of its own for each call, the parameters as one JSON object:\n\
                TOOL_CALL: name(parameters)\n";
    let asked = "User: 1+1?\nAssistant: ";
    assert_eq!(prompt_of("openai/gpt-5-structured", &with_tools()), format!("{told}\n{asked}"));
    assert_eq!(prompt_of("meta/meta-llama-3-8b", &with_tools()), asked);
    for (choice, order) in [
        (ToolChoice::Auto, ""),
        (ToolChoice::Required, "Call at least one of them now.\n"),
        (ToolChoice::Tool("add".into()), "Call add now.\n"),
    ] {
        let request = ChatRequest { tool_choice: Some(choice), ..with_tools() };
        assert_eq!(prompt_of(MODEL, &request), format!("{told}{order}\n{asked}"));
    }
    let none = ChatRequest { tool_choice: Some(ToolChoice::None), ..with_tools() };
    assert_eq!(prompt_of(MODEL, &none), asked);
}

#[test]
fn a_format_is_asked_for_in_words_and_extra_inputs_join_ours() {
    let schema = json!({"type": "object"});
    let format = ResponseFormat::Schema { name: "x".into(), schema, strict: true };
    let extra = json!({"input": {"top_k": 5, "max_new_tokens": 1}, "webhook": "https://x"});
    let request = ChatRequest {
        max_tokens: Some(9),
        response_format: Some(format),
        extra_body: extra.as_object().cloned(),
        ..ChatRequest::from_prompt("Hi")
    };
    let sent = body(MODEL, None, &request);
    let prompt = sent["input"]["prompt"].as_str().unwrap();
    assert!(prompt.starts_with("System: ") && prompt.contains(r#"{"type":"object"}"#), "{prompt}");
    assert!(prompt.ends_with("\nUser: Hi\nAssistant: "), "{prompt}");
    assert_eq!((&sent["input"]["top_k"], &sent["input"]["max_new_tokens"]), (&json!(5), &json!(1)));
    assert_eq!((&sent["webhook"], &sent["version"]), (&json!("https://x"), &json!(MODEL)));

    let any = ChatRequest { response_format: Some(ResponseFormat::Json), ..ChatRequest::default() };
    assert_eq!(
        prompt_of(MODEL, &any),
        "System: Answer with nothing but one JSON object\nAssistant: "
    );
}

#[test]
fn output_is_text_whatever_its_shape() {
    for (output, text) in [
        (json!("a b"), "a b"),
        (json!(["a", " b", ""]), "a b"),
        (json!([]), ""),
        (json!(["a", null, {"b": 1}]), "a{\"b\":1}"),
        (json!({"text": "a"}), "{\"text\":\"a\"}"),
        (json!(7), "7"),
    ] {
        assert_eq!(succeeded(&output).content, text, "{output}");
    }
    let sent = json!({
        "id": "p1", "model": "openai/gpt-5", "status": "succeeded", "output": ["two ", "words"],
        "metrics": {"predict_time": 1.5},
    });
    let answer = answered(&sent, &ChatRequest::default()).unwrap();
    assert_eq!((answer.id.as_deref(), answer.model.as_str()), (Some("p1"), MODEL));
    assert_eq!(answer.usage, Usage::new(0, 2));
    assert_eq!(answer.finish_reason, FinishReason::Stop);
    assert_eq!(answer.metadata["predict_time_seconds"], json!(1.5));
    assert_eq!(answer.metadata["provider_finish_reason"], json!("succeeded"));
    let sent = json!({"status": "succeeded", "output": "two words",
        "metrics": {"input_token_count": 11, "output_token_count": 22, "predict_time": null}});
    let answer = answered(&sent, &ChatRequest::default()).unwrap();
    assert_eq!(answer.usage, Usage::new(11, 22));
    assert_eq!((answer.id, answer.metadata.get("predict_time_seconds")), (None, None));
}

#[test]
fn predictions_that_did_not_succeed_are_errors_that_are_never_repeated() {
    for (sent, text) in [
        (json!({"status": "failed", "error": "CUDA out of memory"}), "CUDA out of memory"),
        (json!({"status": "failed", "error": {"detail": 1}}), r#"{"detail":1}"#),
        (json!({"status": "failed"}), "Prediction failed with status: failed"),
        (json!({"status": "canceled", "error": null}), "Prediction failed with status: canceled"),
        (json!({"status": "aborted", "error": ""}), "Prediction failed with status: aborted"),
        (json!({"status": "dreaming"}), "Unknown prediction status: dreaming"),
        (json!({"urls": null, "metrics": null}), "Unknown prediction status: "),
        (json!({"status": "succeeded"}), "No output in successful prediction"),
        (json!({"status": "succeeded", "output": null}), "No output in successful prediction"),
    ] {
        let error = answered(&sent, &ChatRequest::default()).unwrap_err();
        if !sent["error"].is_object() {
            assert_eq!(error.message(), text, "{sent}");
        }
        assert_eq!(error.advice(), Advice::Never);
    }
    for status in ["starting", "processing", "queued"] {
        let prediction = read(json!({ "status": status }).to_string().as_bytes()).unwrap();
        assert!(prediction.is_running() && !prediction.is_over());
    }
}

#[test]
fn ids_that_cannot_stand_in_a_path_are_not_used() {
    for (id, usable) in [("gm3q-or_Z", true), ("", false), ("../account", false), ("a?b", false)] {
        let prediction = read(json!({ "id": id }).to_string().as_bytes()).unwrap();
        assert_eq!(prediction.id().is_some(), usable, "{id}");
    }
}

#[test]
fn calls_are_taken_out_and_what_only_looks_like_one_stays() {
    for (output, content, calls) in [
        ("TOOL_CALL: add({\"a\": 1})", "", vec![("add", json!({"a": 1}))]),
        (
            "Let me see.\nTOOL_CALL: add({\"a\": \"(\"})\nTOOL_CALL:sub(7)  \nDone.\n",
            "Let me see.\nDone.",
            vec![("add", json!({"a": "("})), ("sub", json!(7))],
        ),
        ("TOOL_CALL: say(hello there)", "", vec![("say", json!({"input": "hello there"}))]),
        ("TOOL_CALL: say(\"a\", \"b\")", "", vec![("say", json!({"input": "\"a\", \"b\""}))]),
        ("TOOL_CALL: now()\r\n", "", vec![("now", json!({}))]),
        (
            "TOOL_CALL: add({\n  \"a\": [1,\n 2]\n}\n)\nok",
            "ok",
            vec![("add", json!({"a": [1, 2]}))],
        ),
        ("I would write TOOL_CALL: add(1)", "I would write TOOL_CALL: add(1)", vec![]),
        (" TOOL_CALL: add(1)\n", " TOOL_CALL: add(1)\n", vec![]),
        ("TOOL_CALL: add\n(1)\n", "TOOL_CALL: add\n(1)\n", vec![]),
        ("TOOL_CALL: (1)", "TOOL_CALL: (1)", vec![]),
        ("TOOL_CALL: add(1", "TOOL_CALL: add(1", vec![]),
        ("TOOL_CALL: add(1) and so on", "TOOL_CALL: add(1) and so on", vec![]),
    ] {
        let answer = succeeded(&json!(output));
        assert_eq!(answer.content, content, "{output}");
        let read: Vec<_> = answer
            .tool_calls
            .iter()
            .map(|call| (call.name.as_str(), call.arguments.clone()))
            .collect();
        assert_eq!(read, calls, "{output}");
        let ids: Vec<_> = answer.tool_calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(ids, ["call_0", "call_1"][..calls.len()]);
        let calls_tools = answer.finish_reason == FinishReason::ToolCalls;
        assert_eq!(calls_tools, !calls.is_empty(), "{output}");

        let untold = answered(
            &json!({"status": "succeeded", "output": output}),
            &ChatRequest::from_prompt("x"),
        );
        assert_eq!(untold.unwrap().content, output, "nobody told the model of tools");
    }
}

fn stream_of(pieces: &[&str]) -> String {
    let output = |piece: &&str| {
        let lines: String = piece.split('\n').map(|line| format!("data: {line}\n")).collect();
        format!("event: output\nid: 1:0\n{lines}\n")
    };
    pieces.iter().map(output).collect::<String>() + "event: done\ndata: {}\n\n"
}

fn done(finish_reason: FinishReason) -> ChatEvent {
    ChatEvent::Done { usage: None, finish_reason, metadata: Metadata::new() }
}

fn texts(events: &[ChatEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            ChatEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    let plain = || stream_decoder(MODEL, &ChatRequest::from_prompt("x"));
    let body = ": hi\n\nevent: logs\ndata: noise\n\n".to_owned()
        + &stream_of(&["Zażół", "ć\n", "\n", "TOOL_CALL: f(1)", ""]);
    assert_eq!(
        same_however_cut(plain, body.as_bytes()),
        [
            ChatEvent::Text("Zażół".into()),
            ChatEvent::Text("ć\n".into()),
            ChatEvent::Text("\n".into()),
            ChatEvent::Text("TOOL_CALL: f(1)".into()),
            done(FinishReason::Stop),
        ]
    );

    let told = || stream_decoder(MODEL, &with_tools());
    let body =
        stream_of(&["Well", ".\nTOOL", "BOX\nTOO", "L_CALL: add({\"a\":", "1})\n", "\nTOOL_CALL:"]);
    let read = same_however_cut(told, body.as_bytes());
    assert_eq!(texts(&read), "Well.\nTOOLBOX\nTOOL_CALL:");
    let call = ChatEvent::ToolCallDelta {
        index: 0,
        id: Some("call_0".into()),
        name: Some("add".into()),
        arguments: r#"{"a":1}"#.into(),
    };
    assert_eq!(read[read.len() - 2..], [call, done(FinishReason::ToolCalls)]);
}

#[test]
fn a_stream_loses_nothing_to_an_early_end_or_to_code() {
    let told = || stream_decoder(MODEL, &with_tools());
    let cut = stream_of(&["a\nTOOL_C"]).replace("event: done\ndata: {}\n\n", "");
    let read = same_however_cut(told, cut.as_bytes());
    assert_eq!(texts(&read), "a\nTOOL_C");
    assert_eq!(read.last(), Some(&done(FinishReason::Other("unknown".into()))));
    // Two lines that read like documents of their own are one event all the same.
    let code = stream_of(&["}\n{", "x"]);
    assert_eq!(texts(&same_however_cut(told, code.as_bytes())), "}\n{x");
}

#[test]
fn a_failing_stream_raises_and_is_never_repeated() {
    for (frame, text) in [
        ("event: error\ndata: {\"detail\":\"out of memory\"}", "Stream error: out of memory"),
        ("event: error\ndata: gone", "Stream error: gone"),
        ("event: done\ndata: {\"reason\":\"canceled\"}", "Stream error: canceled"),
    ] {
        let body = format!("event: output\ndata: a\n\n{frame}\n\nevent: done\ndata: {{}}\n\n");
        let decoder = stream_decoder(MODEL, &ChatRequest::from_prompt("x"));
        let mut read = frames(decoder, body.as_bytes(), 5);
        assert_eq!(read.len(), 2);
        let error = read.remove(1).unwrap_err();
        assert_eq!((error.message(), error.advice()), (text, Advice::Never));
    }
}

#[test]
fn a_whole_answer_can_be_told_as_events() {
    let answer = succeeded(&json!("Sure.\nTOOL_CALL: add({\"a\":1})"));
    let told = events(answer);
    assert_eq!(texts(&told), "Sure.");
    assert!(matches!(&told[1], ChatEvent::ToolCallDelta { name: Some(name), .. } if name == "add"));
    let ChatEvent::Done { usage: Some(_), finish_reason, metadata } = &told[2] else { panic!() };
    assert_eq!((finish_reason, &metadata["id"]), (&FinishReason::ToolCalls, &json!("p")));
}
