//! Google's shape: content generated whole or as server-sent events, and embeddings in batches.
//!
//! As strict as the service about what it demands: contents, the two roles, batches of at most a
//! hundred, and requests of a batch that name the model of the URL. With tools, the first that may be
//! called is called without arguments, until its result arrives. Identifiers are constants, so that
//! the same request gives the same bytes.
//!
//! ```text
//! {"contents": [{"parts": [{"text": "hi"}]}]} -> candidates[0].content.parts[0].text "echo: hi"
//! ```

use std::borrow::Cow;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, count_words, parse, pieces, quoted};
use crate::answer::Answer;
use crate::behaviour::Settings;
use crate::vectors;

const MOST_REQUESTS: usize = 100;

/// Whether this dialect is spoken at a path: its verbs stand behind a colon.
pub(super) fn is_spoken_at(path: &str) -> bool {
    let verbs = ["generateContent", "streamGenerateContent", "batchEmbedContents"];
    verb(path).is_some_and(|verb| verbs.contains(&verb))
}

fn verb(path: &str) -> Option<&str> {
    path.rsplit_once(':').map(|(_, verb)| verb)
}

pub(super) fn answer(
    path: &str,
    body: &[u8],
    settings: &Settings,
    dimensions: usize,
) -> Result<Answer, Refusal> {
    match verb(path) {
        Some("batchEmbedContents") => embed(path, body, dimensions),
        verb => generate(path, body, settings, verb == Some("streamGenerateContent")),
    }
}

/// The body of a refusal.
pub(super) fn error_body(status: StatusCode, message: &str) -> String {
    json!({ "error": error(status, message) }).to_string()
}

fn error(status: StatusCode, message: &str) -> Value {
    let word = match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    json!({ "code": status.as_u16(), "message": message, "status": word })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerateRequest<'a> {
    #[serde(borrow, default)]
    contents: Vec<Content<'a>>,
    #[serde(borrow, default)]
    system_instruction: Option<Content<'a>>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    tool_config: ToolConfig,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    parts: Vec<Part<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(default)]
    function_response: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    #[serde(default)]
    function_declarations: Vec<Declaration>,
}

#[derive(Deserialize)]
struct Declaration {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ToolConfig {
    function_calling_config: CallingConfig,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CallingConfig {
    mode: String,
    allowed_function_names: Vec<String>,
}

impl Content<'_> {
    fn text(&self) -> String {
        self.parts.iter().filter_map(|part| part.text.as_deref()).collect()
    }
}

impl GenerateRequest<'_> {
    /// The tool to call now.
    fn called(&self) -> Option<&str> {
        let config = &self.tool_config.function_calling_config;
        let last = self.contents.last()?;
        if config.mode == "NONE" || last.parts.iter().any(|part| part.function_response.is_some()) {
            return None;
        }
        let declared = self.tools.iter().flat_map(|tool| &tool.function_declarations);
        let allowed = |name: &&str| {
            let names = &config.allowed_function_names;
            names.is_empty() || names.iter().any(|allowed| allowed == name)
        };
        declared.map(|declaration| declaration.name.as_str()).find(allowed)
    }
}

fn generate(path: &str, body: &[u8], settings: &Settings, stream: bool) -> Result<Answer, Refusal> {
    let request: GenerateRequest<'_> = parse(body)?;
    check(&request)?;
    let heard = request.contents.iter().chain(&request.system_instruction);
    let prompt: usize = heard.map(|content| count_words(&content.text())).sum();
    // Results of tools come as the user's, who has not said anything by them.
    let said = request
        .contents
        .iter()
        .rfind(|content| content.role != "model" && !content.text().is_empty());
    let text = format!("echo: {}", said.map(Content::text).unwrap_or_default());
    let (parts, completion) = match request.called() {
        Some(name) => {
            let call = json!({"id": "fc-simulated", "name": name, "args": {}});
            let part = json!({"functionCall": call, "thoughtSignature": "c2ltdWxhdGVk"});
            (vec![part.to_string()], 1)
        }
        None if stream => {
            let parts = pieces(&text, settings);
            (parts.iter().map(|piece| text_part(piece)).collect(), count_words(&text))
        }
        None => (vec![text_part(&text)], count_words(&text)),
    };
    let usage = format!(
        r#"{{"promptTokenCount":{prompt},"candidatesTokenCount":{completion},"totalTokenCount":{}}}"#,
        prompt + completion
    );
    let model = quoted(model_of(path));
    // Written by hand: this is the hot path of every benchmark.
    let document = |part: &str, finish: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}}{finish},"index":0}}],"usageMetadata":{usage},"modelVersion":{model},"responseId":"response-simulated"}}"#
        )
    };
    let stop = r#","finishReason":"STOP""#;
    if !stream {
        return Ok(Answer::json(document(&parts.concat(), stop).into_bytes()));
    }
    let frame = |text: String| Bytes::from(format!("data: {text}\r\n\r\n"));
    let last = parts.len().saturating_sub(1);
    let finish = |number: usize| if number == last { stop } else { "" };
    let mut frames: Vec<Bytes> = parts
        .iter()
        .enumerate()
        .map(|(number, part)| frame(document(part, finish(number))))
        .collect();
    if settings.stream_error_frame {
        frames.truncate(2);
        let error = error(StatusCode::SERVICE_UNAVAILABLE, "simulated stream failure");
        frames.push(frame(json!({ "error": error }).to_string()));
    }
    Ok(Answer::stream("text/event-stream", frames))
}

fn check(request: &GenerateRequest<'_>) -> Result<(), Refusal> {
    let refuse = |message: String| Err((StatusCode::BAD_REQUEST, message));
    if request.contents.is_empty() {
        return refuse("* GenerateContentRequest.contents: contents is not specified".into());
    }
    for (place, content) in request.contents.iter().enumerate() {
        if !["", "user", "model"].contains(&content.role.as_ref()) {
            return refuse("Please use a valid role: user, model.".into());
        }
        if content.parts.is_empty() {
            return refuse(format!("contents[{place}].parts must not be empty"));
        }
    }
    Ok(())
}

fn text_part(text: &str) -> String {
    format!(r#"{{"text":{}}}"#, quoted(text))
}

/// The model the path names.
fn model_of(path: &str) -> &str {
    let before = path.rsplit_once(':').map_or(path, |(before, _)| before);
    before.rsplit('/').next().unwrap_or_default()
}

#[derive(Deserialize)]
struct EmbedRequest<'a> {
    #[serde(borrow)]
    requests: Vec<Single<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Single<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(default)]
    output_dimensionality: Option<usize>,
}

fn embed(path: &str, body: &[u8], dimensions: usize) -> Result<Answer, Refusal> {
    let request: EmbedRequest<'_> = parse(body)?;
    let refuse = |message: String| Err((StatusCode::BAD_REQUEST, message));
    if request.requests.is_empty() || request.requests.len() > MOST_REQUESTS {
        let count = request.requests.len();
        return refuse(format!(
            "* BatchEmbedContentsRequest.requests: at most {MOST_REQUESTS} requests can be in one batch, not {count}"
        ));
    }
    let model = model_of(path);
    let mut words = 0;
    let mut out = br#"{"embeddings":["#.to_vec();
    for (place, single) in request.requests.iter().enumerate() {
        if single.model.rsplit('/').next() != Some(model) {
            let named = &single.model;
            return refuse(format!("requests[{place}].model is {named}, the URL's is {model}"));
        }
        let text = single.content.text();
        words += count_words(&text);
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"values":"#);
        let dimensions = single.output_dimensionality.unwrap_or(dimensions);
        out.extend_from_slice(&vectors::render(&text, dimensions, false));
        out.push(b'}');
    }
    out.extend_from_slice(
        format!(r#"],"usageMetadata":{{"promptTokenCount":{words}}}}}"#).as_bytes(),
    );
    Ok(Answer::json(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "/v1beta/models/m:generateContent";
    const STREAM: &str = "/v1beta/models/m:streamGenerateContent";
    const EMBED: &str = "/v1beta/models/m:batchEmbedContents";

    fn ask(path: &str, body: &Value, settings: &Value) -> Result<String, Refusal> {
        assert!(is_spoken_at(path));
        let settings: Settings = serde_json::from_value(settings.clone()).unwrap();
        let answer = answer(path, body.to_string().as_bytes(), &settings, 4)?;
        Ok(String::from_utf8(answer.frames.concat()).unwrap())
    }

    fn answered(path: &str, body: &Value) -> Value {
        serde_json::from_str(&ask(path, body, &json!({})).unwrap()).unwrap()
    }

    fn frames(text: &str) -> Vec<Value> {
        let frames = text.split("\r\n\r\n").filter_map(|frame| frame.strip_prefix("data: "));
        frames.map(|frame| serde_json::from_str(frame).unwrap()).collect()
    }

    fn chat(text: &str) -> Value {
        json!({
            "contents": [
                {"role": "user", "parts": [{"text": text}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            ],
            "systemInstruction": {"parts": [{"text": "be"}, {"text": " brief"}]},
        })
    }

    #[test]
    fn the_last_user_text_is_echoed_whole_and_in_pieces() {
        let reply = answered(WHOLE, &chat("say \"ä\" now"));
        let candidate = &reply["candidates"][0];
        assert_eq!(candidate["content"]["parts"], json!([{"text": "echo: say \"ä\" now"}]));
        assert_eq!(candidate["finishReason"], "STOP");
        let usage = json!({"promptTokenCount": 5, "candidatesTokenCount": 4, "totalTokenCount": 9});
        assert_eq!((&reply["usageMetadata"], &reply["modelVersion"]), (&usage, &json!("m")));

        let frames = frames(&ask(STREAM, &chat("one two"), &json!({})).unwrap());
        let text = |frame: &Value| {
            frame["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap().to_owned()
        };
        assert_eq!(frames.iter().map(text).collect::<Vec<_>>(), ["echo: ", "one ", "two"]);
        let ends: Vec<_> =
            frames.iter().map(|it| it["candidates"][0].get("finishReason")).collect();
        assert_eq!(ends, [None, None, Some(&json!("STOP"))]);
    }

    #[test]
    fn tools_are_called_until_their_result_is_there() {
        let mut body = chat("x");
        body["tools"] = json!([{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]);
        let called = |body: &Value| {
            let reply = answered(WHOLE, body);
            reply["candidates"][0]["content"]["parts"][0]["functionCall"]["name"].clone()
        };
        assert_eq!(called(&body), "f");
        let config = |config: Value| json!({ "functionCallingConfig": config });
        body["toolConfig"] = config(json!({"mode": "ANY", "allowedFunctionNames": ["g"]}));
        assert_eq!(called(&body), "g");
        let stream = frames(&ask(STREAM, &body, &json!({})).unwrap());
        let part = &stream[0]["candidates"][0]["content"]["parts"][0];
        assert_eq!((&part["functionCall"]["name"], stream.len()), (&json!("g"), 1));
        body["toolConfig"] = config(json!({"mode": "NONE"}));
        assert_eq!(called(&body), Value::Null);
        body["toolConfig"] = config(json!({}));
        let result = json!({"functionResponse": {"name": "f", "response": {"result": "1"}}});
        let contents = body["contents"].as_array_mut().unwrap();
        contents.push(json!({"role": "user", "parts": [result]}));
        let reply = answered(WHOLE, &body);
        assert_eq!(reply["candidates"][0]["content"]["parts"][0]["text"], "echo: x");
    }

    #[test]
    fn embeddings_keep_order_and_length() {
        let single = |text: &str, dimensions: Option<usize>| json!({"model": "models/m", "content": {"parts": [{"text": text}]}, "outputDimensionality": dimensions});
        let body = json!({"requests": [single("a b", None), single("c", Some(7))]});
        let reply = answered(EMBED, &body);
        let length = |place: usize| reply["embeddings"][place]["values"].as_array().unwrap().len();
        assert_eq!((length(0), length(1)), (4, 7));
        assert_eq!(reply["usageMetadata"]["promptTokenCount"], 3);
    }

    #[test]
    fn what_the_service_refuses_is_refused() {
        let other = json!({"model": "models/n", "content": {"parts": [{"text": "a"}]}});
        let many = vec![json!({"model": "models/m", "content": {"parts": [{"text": "a"}]}}); 101];
        for (path, body) in [
            (WHOLE, json!({})),
            (WHOLE, json!({"contents": []})),
            (WHOLE, json!({"contents": [{"role": "tool", "parts": [{"text": "a"}]}]})),
            (STREAM, json!({"contents": [{"role": "user", "parts": []}]})),
            (EMBED, json!({"requests": []})),
            (EMBED, json!({"requests": [other]})),
            (EMBED, json!({"requests": many})),
        ] {
            assert_eq!(ask(path, &body, &json!({})).unwrap_err().0, 400, "{body}");
        }
        assert!(!is_spoken_at("/v1beta/models/m") && !is_spoken_at("/v1beta/models/m:countTokens"));
        let refusal: Value =
            serde_json::from_str(&error_body(StatusCode::TOO_MANY_REQUESTS, "slow")).unwrap();
        let error = json!({"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"});
        assert_eq!(refusal["error"], error);
    }

    #[test]
    fn an_error_frame_ends_a_stream_early() {
        let settings = json!({"stream_error_frame": true});
        let frames = frames(&ask(STREAM, &chat("one two three"), &settings).unwrap());
        assert_eq!((frames.len(), &frames[2]["error"]["code"]), (3, &json!(503)));
    }
}
