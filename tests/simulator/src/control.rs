//! The control routes: `behaviour`, `reset`, `forget`, `log`, `stats`, below `/control/` of a scope.
//!
//! They are outside the simulation: neither logged nor counted nor delayed, so a test can look while
//! its requests hang. Unknown settings are refused with the reason.
//!
//! ```text
//! POST /s/mine/control/behaviour {"hang": true}   -> 204
//! GET  /s/mine/control/stats                      -> {"in_flight": 1, ...}
//! ```

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use crate::answer::JSON;
use crate::behaviour::Behaviour;
use crate::scope::{Scope, Scopes};

/// Answers one control request; `verb` is what follows `/control/`.
pub(crate) fn answer(
    scopes: &Scopes,
    scope: &Arc<Scope>,
    method: &Method,
    verb: &str,
    body: &[u8],
) -> Response<Full<Bytes>> {
    match (method.as_str(), verb) {
        ("GET", "log") => reply(StatusCode::OK, scope.log.to_json()),
        ("GET", "stats") => reply(StatusCode::OK, scope.stats.to_json()),
        ("POST", "behaviour") => {
            let parsed = serde_json::from_slice(body).map_err(|error| error.to_string());
            match parsed.and_then(Behaviour::new) {
                Ok(behaviour) => {
                    scope.set_behaviour(behaviour);
                    reply(StatusCode::NO_CONTENT, Vec::new())
                }
                Err(error) => refuse(StatusCode::BAD_REQUEST, &error),
            }
        }
        ("POST", "reset") => {
            scope.reset();
            reply(StatusCode::NO_CONTENT, Vec::new())
        }
        ("POST", "forget") => {
            scopes.forget(scope);
            reply(StatusCode::NO_CONTENT, Vec::new())
        }
        _ => refuse(StatusCode::NOT_FOUND, &format!("no control route {method} {verb}")),
    }
}

/// A refusal that is not part of any simulated dialect.
pub(crate) fn refuse(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    reply(status, serde_json::json!({ "error": message }).to_string().into_bytes())
}

fn reply(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}
