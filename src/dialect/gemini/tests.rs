//! Recorded answers with all their oddities, and chopped streams of Google's dialect.

use super::super::testing::{events, same_however_cut};
use super::*;
use serde_json::json;

fn read(sent: &Value) -> ChatResponse {
    decode("m", sent.to_string().as_bytes()).unwrap()
}

fn parts(parts: &Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]})
}

// answers

#[test]
fn a_recorded_answer_is_read_whole() {
    let answer = read(&json!({
        "candidates": [{
            "content": {"role": "model", "parts": [
                {"text": "First I ", "thought": true}, {"text": "add.", "thought": true},
                {"text": "It is "}, {"executableCode": {"code": "1+1"}}, {"text": "two."},
            ]},
            "finishReason": "STOP", "index": 0,
            "citationMetadata": {"citationSources": [{"uri": "https://a"}]},
            "groundingMetadata": {"webSearchQueries": ["q"]},
        }],
        "usageMetadata": {"promptTokenCount": 10, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 3,
            "thoughtsTokenCount": 20, "cachedContentTokenCount": 8, "totalTokenCount": 99},
        "modelVersion": "gemini-3.5-flash-lite-001", "responseId": "r-1",
    }));
    assert_eq!((answer.content.as_str(), answer.model.as_str()), ("It is two.", "m"));
    assert_eq!(answer.id.as_deref(), Some("r-1"));
    assert_eq!(answer.finish_reason, FinishReason::Stop);
    let usage =
        Usage { cache_read_tokens: Some(8), reasoning_tokens: Some(20), ..Usage::new(12, 23) };
    assert_eq!(answer.usage, usage);
    assert_eq!(
        json!(answer.metadata),
        json!({
            "reasoning": "First I add.",
            "citations": {"citationSources": [{"uri": "https://a"}]},
            "grounding": {"webSearchQueries": ["q"]},
            "provider_finish_reason": "STOP",
            "server_model": "gemini-3.5-flash-lite-001",
        })
    );
}

#[test]
fn calls_without_arguments_or_id_are_calls() {
    let answer = read(&parts(&json!([
        {"text": ""},
        {"functionCall": {"name": "f"}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g", "args": null, "id": ""}},
        {"functionCall": {"name": "h", "args": {"b": 1}, "id": "fc-1"}, "thoughtSignature": 7},
        {"functionCall": {}},
    ])));
    let read: Vec<_> = answer
        .tool_calls
        .iter()
        .map(|call| (call.name.as_str(), call.arguments.clone(), call.signature.as_deref()))
        .collect();
    assert_eq!(
        read,
        [
            ("f", json!({}), Some("c2ln")),
            ("g", json!({}), None),
            ("h", json!({"b": 1}), None),
            ("", json!({}), None),
        ]
    );
    assert!(answer.tool_calls[..2].iter().all(|call| call.id.starts_with("call_")));
    assert_ne!(answer.tool_calls[0].id, answer.tool_calls[1].id);
    assert_eq!(answer.tool_calls[2].id, "fc-1");
    assert_eq!((answer.content.as_str(), answer.finish_reason), ("", FinishReason::ToolCalls));
}

#[test]
fn every_end_has_its_reason() {
    let call = json!([{"functionCall": {"name": "f"}}]);
    for (word, parts, reason) in [
        (json!("STOP"), json!([]), FinishReason::Stop),
        (json!(null), json!([]), FinishReason::Stop),
        (json!(""), call.clone(), FinishReason::ToolCalls),
        (json!("STOP"), call.clone(), FinishReason::ToolCalls),
        (json!("MAX_TOKENS"), call, FinishReason::Length),
        (json!("max_tokens"), json!([]), FinishReason::Length),
        (json!("SAFETY"), json!([]), FinishReason::ContentFilter),
        (json!("RECITATION"), json!([]), FinishReason::ContentFilter),
        (json!("BLOCKLIST"), json!([]), FinishReason::ContentFilter),
        (json!("PROHIBITED_CONTENT"), json!([]), FinishReason::ContentFilter),
        (json!("SPII"), json!([]), FinishReason::ContentFilter),
        (json!("MALFORMED_FUNCTION_CALL"), json!([]), FinishReason::Error),
        (json!("LANGUAGE"), json!([]), FinishReason::Other("LANGUAGE".into())),
        (json!("Odd"), json!([]), FinishReason::Other("ODD".into())),
    ] {
        let sent = json!({"candidates": [{"content": {"parts": parts}, "finishReason": word}]});
        assert_eq!(read(&sent).finish_reason, reason, "{sent}");
    }
    let malformed = read(&json!({"candidates": [
        {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "Malformed function call: f("}]}));
    assert_eq!(malformed.metadata["finish_message"], json!("Malformed function call: f("));
    assert_eq!(malformed.metadata["provider_finish_reason"], json!("MALFORMED_FUNCTION_CALL"));
}

#[test]
fn nothing_odd_loses_an_answer() {
    for candidate in [
        json!({"finishReason": "SAFETY", "safetyRatings": []}),
        json!({"content": {"role": "model"}}),
        json!({"content": null}),
        json!({"content": {"parts": null}}),
        json!({"content": {"parts": "?"}}),
        json!({"content": {"parts": [null, 7, {"inlineData": {}}, {"text": null}, {"functionCall": "?"}]}}),
        json!({}),
        json!(null),
        json!("?"),
    ] {
        let answer = read(&json!({"candidates": [candidate]}));
        assert_eq!((answer.content.as_str(), answer.id.as_deref()), ("", Some("")), "{candidate}");
        assert_eq!((answer.usage, answer.tool_calls.len()), (Usage::default(), 0), "{candidate}");
    }
    let odd = json!({
        "candidates": [{"content": {"parts": [{"text": "yes", "thought": "?", "thoughtSignature": {}}]},
            "finishReason": 7, "citationMetadata": "?"}],
        "usageMetadata": "many", "modelVersion": false, "responseId": [], "promptFeedback": 3,
    });
    let answer = read(&odd);
    assert_eq!((answer.content.as_str(), answer.usage), ("yes", Usage::default()));
    assert_eq!(answer.finish_reason, FinishReason::Other("7".into()));
    assert_eq!(answer.metadata["citations"], json!("?"));
    let counts =
        json!({"promptTokenCount": null, "candidatesTokenCount": "3", "thoughtsTokenCount": null});
    let answer = read(&json!({"candidates": [{}], "usageMetadata": counts}));
    assert_eq!(answer.usage, Usage::new(0, 3));
}

#[test]
fn a_blocked_prompt_is_an_empty_answer_that_says_why() {
    let feedback = json!({"blockReason": "PROHIBITED_CONTENT", "safetyRatings": []});
    for candidates in [json!([]), json!(null)] {
        let answer = read(&json!({
            "candidates": candidates, "promptFeedback": feedback, "responseId": "r",
            "usageMetadata": {"promptTokenCount": 4},
        }));
        assert_eq!((answer.content.as_str(), answer.id.as_deref()), ("", Some("r")));
        assert_eq!(answer.finish_reason, FinishReason::ContentFilter);
        assert_eq!(answer.usage, Usage::new(4, 0));
        assert_eq!(answer.metadata["prompt_feedback"], feedback);
        assert_eq!(answer.metadata["provider_finish_reason"], json!("PROHIBITED_CONTENT"));
    }
}

#[test]
fn no_answer_at_all_is_an_error() {
    for (sent, kind, text) in [
        (json!({}), Kind::Decode, "No candidates in response"),
        (json!({"candidates": []}), Kind::Decode, "No candidates in response"),
        (
            json!({"candidates": "?", "promptFeedback": {"blockReason": null}}),
            Kind::Decode,
            "No candidates in response",
        ),
        (
            json!({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}),
            Kind::RateLimited,
            "API error: slow",
        ),
        (
            json!({"error": {"message": "gone", "status": "NOT_FOUND"}}),
            Kind::NotFound,
            "API error: gone",
        ),
        (json!({"error": "down"}), Kind::Server, "API error: down"),
        (json!({"error": ["down"]}), Kind::Server, r#"API error: ["down"]"#),
    ] {
        let error = decode("m", sent.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, text));
    }
    let error = decode("m", b"<html>").unwrap_err();
    assert_eq!(error.kind(), Kind::Decode);
    assert!(
        error.message().starts_with("Failed to parse response: error decoding response body: "),
        "{error}"
    );
}

#[test]
fn a_refusal_s_details_say_how_long_to_wait() {
    let refusal = |details: &Value| json!({"error": {"code": 429, "details": details}});
    let delayed = |delay: &str| {
        refusal(&json!([
            {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
        ]))
    };
    let wait = |seconds| Some(Advice::Retry { after: Some(Duration::from_secs_f64(seconds)) });
    assert_eq!(advice(&delayed("34.5s").to_string()), wait(34.5));
    assert_eq!(advice(&json!([delayed("3s")]).to_string()), wait(3.0));
    assert_eq!(advice(&delayed("1e9s").to_string()), wait(120.0));
    for nonsense in ["-3s", "soon", "3", "NaNs"] {
        assert!(
            !matches!(advice(&delayed(nonsense).to_string()), Some(Advice::Never)),
            "{nonsense}"
        );
    }
    let quota = |id: &str| {
        refusal(&json!([{"violations": [{"quotaId": id}]}, {"retryDelay": "3s"}])).to_string()
    };
    assert_eq!(advice(&quota("GenerateRequestsPerMinutePerProject")), wait(3.0));
    assert_eq!(advice(&quota("GenerateRequestsPerDayPerProjectPerModel")), Some(Advice::Never));
    for other in ["", "slow down", "{}", r#"{"error":{"details":{}}}"#] {
        assert_eq!(advice(other), None, "{other}");
    }
}

// streams

fn event(frame: &Value) -> String {
    format!("data: {frame}\r\n\r\n")
}

fn text(text: &str) -> String {
    event(&json!({"candidates": [{"content": {"parts": [{"text": text}]}}]}))
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    let body = [
        event(&json!({"candidates": [{"content": {"parts": [
            {"text": "hm", "thought": true}, {"text": "žl"}, {"text": ""}, {"text": "uť"}]}}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
            "modelVersion": "m-2", "responseId": "r"})),
        ": ping\n".to_owned(),
        event(&json!({"candidates": [{"content": {"parts": [{"text": "🦀[{"}], "role": "model"}}]})),
        event(&json!({"candidates": [{"content": {"parts": [
            {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "b", "name": "g"}}]}}]})),
        // No blank line and no line end behind the last event.
        event(&json!({"candidates": [{"content": {"parts": [{"text": "!"}]}, "finishReason": "STOP",
            "groundingMetadata": {"x": 1}}],
            "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 6}}))
        .trim_end()
        .to_owned(),
    ]
    .concat();
    let call = |index, id: &str, name: &str, arguments: &str| ChatEvent::ToolCallDelta {
        index,
        id: Some(id.into()),
        name: Some(name.into()),
        arguments: arguments.into(),
    };
    let metadata = json!({
        "id": "r", "server_model": "m-2", "provider_finish_reason": "STOP", "grounding": {"x": 1},
        "thought_signatures": {"a": "c2ln"},
    });
    assert_eq!(
        same_however_cut(stream_decoder, body.as_bytes()),
        [
            ChatEvent::Reasoning("hm".into()),
            ChatEvent::Text("žl".into()),
            ChatEvent::Text("uť".into()),
            ChatEvent::Text("🦀[{".into()),
            call(0, "a", "f", r#"{"x":1}"#),
            call(1, "b", "g", "{}"),
            ChatEvent::Text("!".into()),
            ChatEvent::Done {
                usage: Some(Usage { reasoning_tokens: Some(6), ..Usage::new(4, 11) }),
                finish_reason: FinishReason::ToolCalls,
                metadata: metadata.as_object().unwrap().clone().into_iter().collect(),
            },
        ]
    );
}

fn end(body: &str) -> (usize, FinishReason, Metadata) {
    let read = same_however_cut(stream_decoder, body.as_bytes());
    match read.last() {
        Some(ChatEvent::Done { finish_reason, metadata, .. }) => {
            (read.len(), finish_reason.clone(), metadata.clone())
        }
        other => panic!("no end: {other:?}"),
    }
}

#[test]
fn a_stream_tells_why_it_ended() {
    let block = event(&json!({"promptFeedback": {"blockReason": "SAFETY"}, "candidates": []}));
    let (count, reason, metadata) = end(&block);
    assert_eq!((count, reason), (1, FinishReason::ContentFilter));
    assert_eq!(metadata["prompt_feedback"], json!({"blockReason": "SAFETY"}));
    let last = event(&json!({"candidates": [{"finishReason": "MAX_TOKENS"}]}));
    // Counts alone may follow the last word.
    let counts = event(&json!({"usageMetadata": {"promptTokenCount": 1}}));
    let (count, reason, _) = end(&(text("a") + &last + &counts));
    assert_eq!((count, reason), (2, FinishReason::Length));
    let (count, reason, _) = end(&text("a"));
    assert_eq!((count, reason), (2, FinishReason::Other("unknown".into())));
    let silence = event(&json!({"candidates": []}));
    let (count, _, metadata) = end(&silence);
    assert_eq!((count, metadata), (1, Metadata::new()));
}

#[test]
fn an_error_frame_is_raised_with_its_kind() {
    for (error, kind, message) in [
        (json!({"code": 503, "message": "boom", "status": "UNAVAILABLE"}), Kind::Server, "boom"),
        (json!({"code": 429, "message": "boom"}), Kind::RateLimited, "boom"),
        (json!({"message": "boom", "status": "PERMISSION_DENIED"}), Kind::PermissionDenied, "boom"),
        (json!({"message": "boom"}), Kind::Stream, "boom"),
        (json!("boom"), Kind::Stream, "boom"),
        (json!(7), Kind::Stream, "7"),
    ] {
        let fault = json!({ "error": error });
        let pretty = serde_json::to_string_pretty(&fault).unwrap();
        // As an event, as a bare document in the middle of a stream, and as a list.
        for tail in [event(&fault), pretty.clone(), format!("[{pretty}\n]\n")] {
            let body = text("a") + &tail + &text("b");
            for step in [1, 2, 7, 1000] {
                // What follows a document is taken for a part of it, so it comes without.
                let body = if tail.starts_with("data") { &body } else { &(text("a") + &tail) };
                let mut read = events(stream_decoder(), body.as_bytes(), step);
                assert_eq!(read.len(), 2, "{body}");
                let error = read.remove(1).unwrap_err();
                assert_eq!(error.kind(), kind, "{body}");
                assert_eq!(error.message(), format!("Stream error: {message}"));
            }
        }
    }
}

#[test]
fn a_list_of_answers_is_a_stream_too() {
    let one = |text: &str| json!({"candidates": [{"content": {"parts": [{"text": text}]}}]});
    let list = serde_json::to_string_pretty(&json!([one("a"), one("b")])).unwrap();
    let texts = |body: &str| {
        let read = same_however_cut(stream_decoder, body.as_bytes());
        let text = |event: &ChatEvent| match event {
            ChatEvent::Text(text) => Some(text.clone()),
            _ => None,
        };
        read.iter().filter_map(text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&list), ["a", "b"]);
    assert_eq!(texts(&one("c").to_string()), ["c"]);
    assert_eq!(texts(&format!("{}\r\n{list}", text("x").trim_end())), ["x", "a", "b"]);
}

#[test]
fn corrupt_frames_are_skipped_until_there_are_too_many() {
    let corrupt = "data: {\"candidates\":[{\n\n";
    let (count, ..) = end(&format!("{0}{1}{0}{1}", corrupt.repeat(4), text("a")));
    assert_eq!(count, 3);
    let body = format!("{}{}", text("a"), corrupt.repeat(5));
    let mut read = events(stream_decoder(), body.as_bytes(), 1000);
    assert_eq!((read.len(), read.remove(1).unwrap_err().kind()), (2, Kind::Stream));
}

#[test]
fn an_endless_document_is_refused() {
    let mut decoder = stream_decoder();
    let mut read = Events::new();
    decoder.feed(b"{", &mut read);
    for _ in 0..18 {
        decoder.feed(&vec![b' '; 1 << 20], &mut read);
    }
    assert_eq!(read.pop_front().unwrap().unwrap_err().kind(), Kind::Stream);
    assert!(decoder.is_closed());
}
