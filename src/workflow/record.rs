//! What is kept of a node's run: its metadata, in the shape that GraphBit's users read.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::callback::ToolReply;
use crate::types::{ChatResponse, ToolCall, Usage};

/// A span of time with its beginning on the clock on the wall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    started: Timestamp,
    clock: tokio::time::Instant,
}

impl Span {
    pub(super) fn begin() -> Self {
        Self { started: Timestamp::now(), clock: tokio::time::Instant::now() }
    }

    pub(super) fn milliseconds(&self) -> f64 {
        self.clock.elapsed().as_secs_f64() * 1000.0
    }

    /// `start_time`, `end_time` and the duration under the given name.
    fn fields(&self, duration: &str) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("start_time".to_owned(), rfc3339(self.started).into());
        fields.insert("end_time".to_owned(), rfc3339(Timestamp::now()).into());
        fields.insert(duration.to_owned(), self.milliseconds().into());
        fields
    }
}

/// A time as text, with microseconds and `+00:00`, which every version of Python's `fromisoformat` reads.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let printer = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6));
    printer.timestamp_with_offset_to_string(&time, jiff::tz::Offset::UTC)
}

/// What an agent did, step by step.
#[derive(Debug)]
pub(super) struct NodeRecord {
    span: Span,
    user_input: String,
    tools_available: Vec<String>,
    max_iterations: u32,
    executions: Vec<Value>,
    usage: Usage,
    llm_calls: u32,
    retries: u32,
    tools_used: Vec<String>,
    tool_calls: usize,
    exit_reason: String,
}

impl NodeRecord {
    pub(super) fn begin(
        user_input: String,
        tools_available: Vec<String>,
        max_iterations: u32,
    ) -> Self {
        Self {
            span: Span::begin(),
            user_input,
            tools_available,
            max_iterations,
            executions: Vec::new(),
            usage: Usage::default(),
            llm_calls: 0,
            retries: 0,
            tools_used: Vec::new(),
            tool_calls: 0,
            exit_reason: String::new(),
        }
    }

    /// Keeps an answer that took `attempts` requests.
    pub(super) fn answered(
        &mut self,
        span: &Span,
        provider: &str,
        input: &str,
        answer: &ChatResponse,
        attempts: u32,
    ) {
        let mut entry = span.fields("duration_ms");
        entry.insert("type".to_owned(), "llm_call".into());
        entry.insert("id".to_owned(), answer.id.clone().unwrap_or_default().into());
        entry.insert("model".to_owned(), answer.model.clone().into());
        entry.insert("provider".to_owned(), provider.into());
        entry.insert("input".to_owned(), input.into());
        entry.insert("output".to_owned(), answer.content.clone().into());
        entry.insert("finish_reason".to_owned(), answer.finish_reason.as_str().into());
        entry.insert("tool_calls".to_owned(), answer.tool_calls.iter().map(asked).collect());
        entry.insert("usage".to_owned(), usage_value(&answer.usage));
        entry.insert("retries".to_owned(), retries(attempts));
        self.executions.push(entry.into());
        self.usage = self.usage.plus(&answer.usage);
        self.llm_calls = self.llm_calls.saturating_add(1);
        self.retried(attempts);
        answer.finish_reason.as_str().clone_into(&mut self.exit_reason);
    }

    /// Counts the attempts of a call, answered or not.
    pub(super) fn retried(&mut self, attempts: u32) {
        self.retries = self.retries.saturating_add(attempts.saturating_sub(1));
    }

    /// Keeps what came of a call of the tool `name`; see [`tool_entry`].
    pub(super) fn called(&mut self, name: &str, entry: Value) {
        self.executions.push(entry);
        self.tool_calls = self.tool_calls.saturating_add(1);
        if !self.tools_used.iter().any(|used| used == name) {
            self.tools_used.push(name.to_owned());
        }
    }

    /// Keeps what a policy did.
    pub(super) fn guarded(&mut self, entry: Option<Value>) {
        self.executions.extend(entry);
    }

    /// The metadata of a node that ended with `outcome`: its text, or what went wrong.
    pub(super) fn finish(self, id: &str, name: &str, outcome: Result<&str, &str>) -> Value {
        let mut fields = self.span.fields("duration_ms");
        let mut put = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        put("node_id", id.into());
        put("node_name", name.into());
        put("node_type", "Agent".into());
        put("user_input", self.user_input.into());
        put("total_tools_available", self.tools_available.len().into());
        put("tools_available", self.tools_available.into());
        put("success", outcome.is_ok().into());
        put("error", outcome.err().into());
        put("final_output", outcome.unwrap_or_default().into());
        put("total_iterations", self.llm_calls.saturating_sub(1).into());
        put("max_iterations", self.max_iterations.into());
        let reason = if outcome.is_ok() { self.exit_reason } else { "error".to_owned() };
        put("exit_reason", reason.into());
        put("total_usage", usage_value(&self.usage));
        put("total_tool_calls", self.tool_calls.into());
        put("total_retries", self.retries.into());
        put("tools_used", self.tools_used.into());
        put("executions", self.executions.into());
        fields.into()
    }
}

/// What is kept of a tool call that has just ended.
pub(super) fn tool_entry(span: &Span, call: &ToolCall, reply: &ToolReply) -> Value {
    let (output, error) = match reply {
        ToolReply::Output(text) => (text.as_str(), Value::Null),
        ToolReply::Failure(text) => ("", text.as_str().into()),
    };
    let mut entry = span.fields("latency_ms");
    entry.insert("type".to_owned(), "tool_call".into());
    entry.insert("id".to_owned(), call.id.clone().into());
    entry.insert("tool_name".to_owned(), call.name.clone().into());
    entry.insert("parameters".to_owned(), call.arguments.clone());
    entry.insert("output".to_owned(), output.into());
    entry.insert("success".to_owned(), error.is_null().into());
    entry.insert("error".to_owned(), error);
    entry.insert("retries".to_owned(), json!([]));
    entry.into()
}

/// A requested call, under both the names that GraphBit has for its parts.
fn asked(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "name": call.name,
        "parameters": call.arguments,
        "function": { "name": call.name, "arguments": call.arguments.to_string() },
    })
}

fn retries(attempts: u32) -> Value {
    (2..=attempts).map(|attempt| json!({ "attempt": attempt })).collect()
}

fn usage_value(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens.unwrap_or_default(),
            "cache_creation_tokens": usage.cache_creation_tokens.unwrap_or_default(),
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens.unwrap_or_default(),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// The sum of the usages of several nodes, as their metadata hold them.
pub(super) fn total_usage<'m>(nodes: impl Iterator<Item = &'m Value>) -> Value {
    let mut total = usage_value(&Usage::default());
    for usage in nodes.filter_map(|metadata| metadata.get("total_usage")) {
        add(&mut total, usage);
    }
    total
}

fn add(total: &mut Value, more: &Value) {
    match total {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(more) = more.get(name.as_str()) {
                    add(value, more);
                }
            }
        }
        total => {
            let (sum, more) = (total.as_u64().unwrap_or(0), more.as_u64().unwrap_or(0));
            *total = sum.saturating_add(more).into();
        }
    }
}
