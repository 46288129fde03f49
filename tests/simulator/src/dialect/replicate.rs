//! Replicate's shapes: create a prediction, look at it, cancel it, read its stream.
//!
//! A prediction is over when it has been looked at as often as the setting `polls` says; with 0 it is
//! over in the reply that creates it, unless it is made for a stream. A scope remembers its last
//! predictions.
//!
//! ```text
//! POST /v1/predictions {"version": "m", "input": {"prompt": "User: hi\nAssistant: "}}
//!     -> {"id": "prediction-0", "status": "starting", "urls": {"get": ...}}
//! GET /v1/predictions/prediction-0 -> {"status": "succeeded", "output": ["echo: ", "hi"]}
//! ```

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Place, Refusal, count_words, parse, pieces};
use crate::answer::{Answer, JSON};
use crate::behaviour::Settings;

/// More predictions than one test looks at.
const KEPT: usize = 1000;

/// The predictions of one scope.
#[derive(Default)]
pub(crate) struct Predictions(Mutex<Made>);

#[derive(Default)]
struct Made {
    kept: VecDeque<Prediction>,
    /// Number of the oldest kept.
    first: usize,
}

impl Predictions {
    /// Forgets all.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Made::default();
    }
}

struct Prediction {
    model: String,
    prompt: String,
    status: &'static str,
    looks_left: u64,
}

#[derive(Deserialize)]
struct CreateRequest<'a> {
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    input: Input<'a>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    prompt: Cow<'a, str>,
}

pub(super) fn create(
    path: &str,
    body: &[u8],
    settings: &Settings,
    place: &Place<'_>,
) -> Result<Answer, Refusal> {
    let request: CreateRequest<'_> = parse(body)?;
    let status = match (settings.polls, request.stream) {
        (0, false) => "succeeded",
        _ => "starting",
    };
    let prediction = Prediction {
        model: request.version.into_owned(),
        prompt: request.input.prompt.into_owned(),
        status,
        looks_left: settings.polls,
    };
    let mut made = place.predictions.0.lock().unwrap_or_else(PoisonError::into_inner);
    let number = made.first + made.kept.len();
    let document = prediction.document(path, number, settings, place);
    made.kept.push_back(prediction);
    if made.kept.len() > KEPT {
        made.kept.pop_front();
        made.first += 1;
    }
    Ok(Answer::document(StatusCode::CREATED, JSON, document.to_string().into_bytes()))
}

/// What is asked of a prediction that exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Look,
    Cancel,
    Stream,
}

/// The collection's path, the prediction's number and the verb of a path.
fn taken_apart(path: &str) -> Option<(&str, usize, Verb)> {
    let (rest, verb) = match path.rsplit_once('/')? {
        (rest, "cancel") => (rest, Verb::Cancel),
        (rest, "stream") => (rest, Verb::Stream),
        _ => (path, Verb::Look),
    };
    let (collection, id) = rest.rsplit_once('/')?;
    let number = id.strip_prefix("prediction-")?.parse().ok()?;
    collection.ends_with("/predictions").then_some((collection, number, verb))
}

pub(super) fn existing(
    method: &str,
    path: &str,
    settings: &Settings,
    place: &Place<'_>,
) -> Result<Answer, Refusal> {
    let missing = || (StatusCode::NOT_FOUND, format!("Unknown request URL: {method} {path}"));
    let (collection, number, verb) = taken_apart(path).ok_or_else(missing)?;
    if (method == "POST") != (verb == Verb::Cancel) {
        return Err(missing());
    }
    let mut made = place.predictions.0.lock().unwrap_or_else(PoisonError::into_inner);
    let position = number.checked_sub(made.first).ok_or_else(missing)?;
    let prediction = made.kept.get_mut(position).ok_or_else(missing)?;
    if verb == Verb::Stream {
        prediction.status = "succeeded";
        return Ok(Answer::stream("text/event-stream", prediction.frames(settings)));
    }
    let running = prediction.status != "succeeded";
    match (verb, prediction.looks_left) {
        (Verb::Cancel, _) if running => prediction.status = "canceled",
        (Verb::Look, 0 | 1) if prediction.status != "canceled" => prediction.status = "succeeded",
        (Verb::Look, _) if prediction.status == "starting" => prediction.status = "processing",
        _ => {}
    }
    prediction.looks_left = prediction.looks_left.saturating_sub(1);
    let document = prediction.document(collection, number, settings, place);
    Ok(Answer::json(document.to_string().into_bytes()))
}

impl Prediction {
    /// The last thing the user says in the prompt, echoed.
    fn text(&self) -> String {
        let said = self.prompt.rsplit_once("User: ").map_or("", |(_, said)| said);
        let said = said.strip_suffix("Assistant: ").unwrap_or(said);
        format!("echo: {}", said.strip_suffix('\n').unwrap_or(said))
    }

    fn document(&self, path: &str, number: usize, settings: &Settings, place: &Place<'_>) -> Value {
        let id = format!("prediction-{number}");
        let url = format!("http://{}{}{path}/{id}", place.host, place.prefix);
        let done = self.status == "succeeded";
        let text = self.text();
        json!({
            "id": id, "model": self.model, "version": "simulated", "status": self.status,
            "created_at": "2024-01-01T00:00:00Z", "error": null, "logs": "",
            "output": done.then(|| pieces(&text, settings)),
            "urls": {
                "get": url, "cancel": format!("{url}/cancel"), "stream": format!("{url}/stream"),
            },
            "metrics": done.then(|| json!({
                "predict_time": 0.25, "input_token_count": count_words(&self.prompt),
                "output_token_count": count_words(&text),
            })),
        })
    }

    fn frames(&self, settings: &Settings) -> Vec<Bytes> {
        let frame = |event: &str, data: &str| {
            let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
            Bytes::from(format!("event: {event}\nid: 1700000000:0\n{lines}\n"))
        };
        let mut frames: Vec<Bytes> =
            pieces(&self.text(), settings).iter().map(|piece| frame("output", piece)).collect();
        if settings.stream_error_frame {
            frames.truncate(2);
            frames.push(frame("error", r#"{"detail": "simulated stream failure"}"#));
        } else {
            frames.push(frame("done", "{}"));
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene(Predictions, Settings);

    impl Scene {
        fn new(settings: &Value) -> Self {
            Self(Predictions::default(), serde_json::from_value(settings.clone()).unwrap())
        }

        fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
            let place = Place { host: "h:1", prefix: "/s/a", predictions: &self.0 };
            let method = hyper::Method::from_bytes(method.as_bytes()).unwrap();
            let body = body.to_string();
            let answer = super::super::answer(&method, path, body.as_bytes(), &self.1, 4, &place);
            (answer.status.as_u16(), String::from_utf8(answer.frames.concat()).unwrap())
        }

        fn json(&self, method: &str, path: &str, body: &Value) -> Value {
            serde_json::from_str(&self.ask(method, path, body).1).unwrap()
        }
    }

    fn prompt() -> Value {
        json!({"version": "m", "input": {"prompt": "System: s\nUser: one\ntwo\nAssistant: "}})
    }

    #[test]
    fn a_prediction_is_over_after_as_many_looks_as_set() {
        let scene = Scene::new(&json!({"polls": 2}));
        let made = scene.json("POST", "/v1/predictions", &prompt());
        assert_eq!((&made["status"], &made["output"]), (&json!("starting"), &Value::Null));
        assert_eq!(made["urls"]["get"], "http://h:1/s/a/v1/predictions/prediction-0");
        let path = "/v1/predictions/prediction-0";
        assert_eq!(scene.json("GET", path, &Value::Null)["status"], "processing");
        let over = scene.json("GET", path, &Value::Null);
        assert_eq!((&over["status"], &over["output"][0]), (&json!("succeeded"), &json!("echo: ")));
        let text: String =
            over["output"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(text, "echo: one\ntwo");
        assert_eq!(
            scene.json("POST", &format!("{path}/cancel"), &json!({}))["status"],
            "succeeded"
        );
    }

    #[test]
    fn a_prediction_can_be_cancelled_or_be_over_at_once() {
        let scene = Scene::new(&json!({"polls": 9}));
        scene.json("POST", "/v1/models/o/m/predictions", &prompt());
        let path = "/v1/models/o/m/predictions/prediction-0";
        scene.json("POST", &format!("{path}/cancel"), &json!({}));
        assert_eq!(scene.json("GET", path, &Value::Null)["status"], "canceled");
        assert_eq!(scene.ask("GET", "/v1/predictions/prediction-7", &Value::Null).0, 404);
        assert_eq!(scene.ask("GET", "/v1/predictions/other", &Value::Null).0, 404);
        let scene = Scene::new(&json!({}));
        let made = scene.json("POST", "/v1/predictions", &prompt());
        assert_eq!(
            (&made["status"], &made["metrics"]["output_token_count"]),
            (&json!("succeeded"), &json!(3))
        );
    }

    #[test]
    fn a_stream_is_the_whole_output() {
        let scene = Scene::new(&json!({}));
        let mut body = prompt();
        body["stream"] = json!(true);
        assert_eq!(scene.json("POST", "/v1/predictions", &body)["status"], "starting");
        let path = "/v1/predictions/prediction-0";
        let (_, text) = scene.ask("GET", &format!("{path}/stream"), &Value::Null);
        assert!(text.starts_with("event: output\n") && text.ends_with("data: {}\n\n"), "{text}");
        assert!(text.contains("data: one\ndata: two\n"), "{text}");
        assert_eq!(scene.json("GET", path, &Value::Null)["status"], "succeeded");
    }
}
