//! A function of the user's own as a language model.
//!
//! It gets what would have been sent to a server, and what it answers is read as a server's answer would
//! be. It never runs on a worker of the runtime.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::bridge;
use super::chat_response::read_answer;
use crate::dialect::openai_chat::{self, Wire};
use crate::error::Result;
use crate::llm::{BoxFuture, ChatModel};
use crate::types::{ChatRequest, ChatResponse};

/// A user's function as a model.
pub(super) struct CallableModel {
    function: Arc<Py<PyAny>>,
    model: String,
}

impl CallableModel {
    pub(super) fn new(function: Bound<'_, PyAny>, model: &str) -> Self {
        Self { function: Arc::new(function.unbind()), model: model.to_owned() }
    }
}

impl ChatModel for CallableModel {
    fn provider(&self) -> &str {
        "callable"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = openai_chat::encode(&Wire::COMMON, &self.model, request, false)?;
            let (function, model) = (Arc::clone(&self.function), self.model.clone());
            bridge::call_python(move |py| {
                // Messages and options are what would have been sent to a server.
                let body = PyBytes::new(py, &body);
                let options = py.import("json")?.call_method1("loads", (body,))?;
                let options = options.cast_into::<PyDict>()?;
                let messages = options.call_method1("pop", ("messages",))?;
                options.del_item("model")?;
                let mut answer = function.bind(py).call((messages,), Some(&options))?;
                if py.import("inspect")?.call_method1("iscoroutine", (&answer,))?.is_truthy()? {
                    answer = py.import("asyncio")?.call_method1("run", (answer,))?;
                }
                read_answer(&answer, &model)
            })
            .await
            .map_err(|error| error.with_provider("callable"))
        })
    }
}
