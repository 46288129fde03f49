//! What an agent node does: ask the model, run the tools it asks for, ask again.
//!
//! The conversation is kept whole from the first message to the last. Tools are looked up among those the
//! node offers and nowhere else; calls of one answer run at the same time and are answered in the order
//! in which they were asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::callback::{Tool, ToolReply};
use super::event::{EventKind, NodeName, error_type};
use super::guarded::Guarded;
use super::node::{Agent, Node, TOOL_ROUNDS};
use super::record::{self, NodeRecord, Span};
use super::run::{Ended, Run};
use crate::error::{Error, Kind, Result};
use crate::guard::Reveal;
use crate::llm::{Assembly, BoxFuture, LlmClient};
use crate::types::{
    ChatEvent, ChatRequest, ChatResponse, Message, Role, ToolCall, ToolChoice, ToolSpec,
};

/// Calls of one answer that run at the same time.
const CONCURRENT_CALLS: usize = 16;

/// An agent at work.
struct Worker<'r> {
    run: &'r Run,
    name: &'r NodeName,
    agent: &'r Agent,
    client: &'r LlmClient,
    guard: Guarded,
    /// The tools as the model sees them.
    specs: Vec<ToolSpec>,
}

/// What the model said last.
struct Said {
    /// For the nodes below.
    text: String,
    /// For metadata, where a policy hides.
    shown: Option<String>,
}

/// Runs the agent of node `index` to its last answer.
///
/// # Errors
/// Only what ends the run; see [`super::callback`].
pub(super) async fn work(
    run: &Run,
    index: usize,
    node: &Node,
    agent: &Agent,
    client: &LlmClient,
) -> Result<Ended> {
    let name = &run.name(index);
    let texts = run.agent_texts(index, agent);
    let tools = agent.offered().iter().map(|tool| tool.spec().name.clone()).collect();
    let rounds = agent.max_iterations.unwrap_or(TOOL_ROUNDS);
    let guard = Guarded::new(run.around.policy.as_ref());
    let specs = guard.specs(agent.offered().iter().map(|tool| tool.spec()));
    let system = agent.system_prompt.clone().map(|text| guard.hide(text));
    let (message, prompt) = guard.message(texts);
    let mut record = NodeRecord::begin(prompt, tools, rounds);
    record.guarded(guard.encoded(true));
    let worker = Worker { run, name, agent, client, guard, specs };
    let outcome = worker.converse(system, message, rounds, &mut record).await;
    let (id, name) = (node.id(), node.name());
    match outcome {
        Ok(Said { text, shown }) => {
            let shown = shown.as_deref().unwrap_or(&text);
            let metadata = Some(record.finish(id, name, Ok(shown)));
            let output = if agent.tools.is_some() { text.into() } else { parsed(text) };
            Ok(Ended::Completed { output, metadata, chosen: None })
        }
        Err(Stopped::Failed(error)) => {
            let metadata = Some(record.finish(id, name, Err(error.message())));
            let text = format!("Node '{name}' failed: {}", error.message());
            Ok(Ended::Failed { text, error_type: error_type(error.kind()), metadata })
        }
        Err(Stopped::Aborted(error)) => Err(error),
    }
}

/// A call that the model asked for.
struct Requested {
    /// The tool, or words for the model.
    tool: std::result::Result<Arc<dyn Tool>, String>,
    /// What the tool gets, where a policy shows others.
    arguments: Option<Value>,
    /// The call as everybody else may see it.
    shown: ToolCall,
}

/// Why there is no answer.
enum Stopped {
    /// The model did not answer: the node fails.
    Failed(Error),
    /// A callback ends the run.
    Aborted(Error),
}

impl Worker<'_> {
    async fn converse(
        &self,
        system: Option<String>,
        message: String,
        rounds: u32,
        record: &mut NodeRecord,
    ) -> std::result::Result<Said, Stopped> {
        let mut messages: Vec<Message> =
            system.map(|text| Message::new(Role::System, text)).into_iter().collect();
        let mut input = message.clone();
        messages.push(Message::new(Role::User, message));
        let mut iteration = 1;
        loop {
            let span = Span::begin();
            let attempts = AtomicU32::new(0);
            let asked = self.ask(&messages, iteration, &attempts).await;
            let attempts = attempts.into_inner();
            let answer = asked.map_err(|error| {
                record.retried(attempts);
                Stopped::Failed(error)
            })?;
            let provider = answer.provider.as_deref();
            let provider = provider.unwrap_or_else(|| self.client.model().provider());
            let hidden = self.guard.answer(&answer);
            let seen = hidden.as_ref().unwrap_or(&answer);
            record.answered(&span, provider, &input, seen, attempts);
            self.tell_answer(&span, iteration, seen).await;
            let (shown, hidden) = hidden.map(|hidden| (hidden.content, hidden.tool_calls)).unzip();
            let (text, asked) = (self.guard.show(answer.content), answer.tool_calls);
            if asked.is_empty() || self.agent.offered().is_empty() || iteration > rounds {
                record.guarded(self.guard.decoded(iteration == 1));
                return Ok(Said { text, shown });
            }
            let calls = self.requested(asked, hidden);
            record.guarded(self.guard.decoded(iteration == 1));
            let replies = self.call_tools(&calls, record).await.map_err(Stopped::Aborted)?;
            record.guarded(self.guard.encoded(false));
            input = told(&calls, &replies);
            let answers =
                calls.iter().zip(replies).map(|(Requested { shown: call, .. }, reply)| Message {
                    tool_call_id: Some(call.id.clone()),
                    ..Message::new(Role::Tool, reply.text())
                });
            let answers: Vec<_> = answers.collect();
            let tool_calls = calls.into_iter().map(|call| call.shown).collect();
            let content = shown.unwrap_or(text);
            messages.push(Message { tool_calls, ..Message::new(Role::Assistant, content) });
            messages.extend(answers);
            iteration = iteration.saturating_add(1);
        }
    }

    /// The id that all events of a call carry.
    fn call_id(&self, iteration: u32) -> String {
        format!("{}-llm-{iteration}", self.name.id)
    }

    async fn ask(
        &self,
        messages: &[Message],
        iteration: u32,
        attempts: &AtomicU32,
    ) -> Result<ChatResponse> {
        let agent = self.agent;
        let tools = self.specs.clone();
        let mut messages = messages.to_vec();
        self.guard.instruct(&mut messages);
        let request = ChatRequest {
            messages,
            max_tokens: agent.max_tokens,
            temperature: agent.temperature,
            tool_choice: (!tools.is_empty()).then_some(ToolChoice::Auto),
            tools,
            prompt_caching: agent.prompt_caching,
            ..ChatRequest::default()
        };
        // Held while the model works and not while tools do, which may be runs of their own.
        let _permit = self.run.permit().await;
        let announce = |attempt: u32| async move {
            // A model that cannot stream is asked a second time, in the other way: no second attempt.
            if attempts.fetch_max(attempt, Ordering::Relaxed) < attempt {
                let started = || EventKind::LlmCallStarted {
                    node: self.name.clone(),
                    llm_call_id: self.call_id(iteration),
                    iteration,
                    model: self.client.model().model().to_owned(),
                };
                self.run.around.sink.tell(started).await;
            }
        };
        if !self.run.around.sink.wants_tokens() {
            return self.client.complete_observed(request, announce).await;
        }
        let mut events = match self.client.stream_observed(request.clone(), announce).await {
            Ok(events) => events,
            // Nothing was sent. A model that merely cannot stream answers in one piece.
            Err(error) if error.kind() == Kind::Configuration => {
                return self.client.complete_observed(request, announce).await;
            }
            Err(error) => return Err(error),
        };
        let (mut assembly, mut reveal) = (Assembly::default(), Reveal::default());
        while let Some(event) = events.next().await.transpose()? {
            assembly.add(&event);
            if let ChatEvent::Text(piece) = event {
                self.tell_piece(iteration, self.guard.piece(&mut reveal, piece)).await;
            }
        }
        self.tell_piece(iteration, reveal.finish()).await;
        Ok(assembly.finish(self.client.model().model()))
    }

    async fn tell_piece(&self, iteration: u32, content: String) {
        if content.is_empty() {
            return;
        }
        let token = || EventKind::Token {
            node: self.name.clone(),
            llm_call_id: self.call_id(iteration),
            content,
        };
        self.run.around.sink.tell(token).await;
    }

    async fn tell_answer(&self, span: &Span, iteration: u32, answer: &ChatResponse) {
        let completed = || EventKind::LlmCallCompleted {
            node: self.name.clone(),
            llm_call_id: self.call_id(iteration),
            iteration,
            finish_reason: answer.finish_reason.as_str().to_owned(),
            output: shown(answer),
            duration_ms: span.milliseconds(),
        };
        self.run.around.sink.tell(completed).await;
    }

    /// One reply for each call, in their order.
    async fn call_tools(
        &self,
        calls: &[Requested],
        record: &mut NodeRecord,
    ) -> Result<Vec<ToolReply>> {
        let mut waiting: Vec<BoxFuture<'_, Result<_>>> = Vec::with_capacity(calls.len());
        for (place, call) in calls.iter().enumerate() {
            waiting.push(Box::pin(async move { Ok((place, self.call_tool(call).await?)) }));
        }
        // As they end: what ends the run does so at once, whatever runs beside it.
        let running = stream::iter(waiting).buffer_unordered(CONCURRENT_CALLS);
        let mut ended: Vec<_> = running.try_collect().await?;
        ended.sort_by_key(|(place, _)| *place);
        let mut replies = Vec::with_capacity(calls.len());
        for (call, (_, (entry, reply))) in calls.iter().zip(ended) {
            record.called(&call.shown.name, entry);
            replies.push(reply);
        }
        Ok(replies)
    }

    /// The calls as they are made: the values are put back here, so that they count for the answer they came in.
    fn requested(&self, asked: Vec<ToolCall>, hidden: Option<Vec<ToolCall>>) -> Vec<Requested> {
        let mut hidden = hidden.into_iter().flatten();
        let request = |asked: ToolCall| {
            let tool = self.find(&asked).cloned();
            match hidden.next() {
                Some(shown) => {
                    let arguments = Some(self.guard.arguments(asked.arguments));
                    Requested { tool, arguments, shown }
                }
                None => Requested { tool, arguments: None, shown: asked },
            }
        };
        asked.into_iter().map(request).collect()
    }

    async fn call_tool(&self, request: &Requested) -> Result<(Value, ToolReply)> {
        let span = Span::begin();
        let (node, sink, call) = (self.name, &self.run.around.sink, &request.shown);
        let started = || EventKind::ToolCallStarted {
            node: node.clone(),
            tool_name: call.name.clone(),
            tool_call_id: call.id.clone(),
            parameters: call.arguments.to_string(),
        };
        sink.tell(started).await;
        let reply = match &request.tool {
            Ok(tool) => {
                let arguments = request.arguments.as_ref().unwrap_or(&call.arguments).clone();
                tool.call(arguments, &self.run.around.ambient).await?
            }
            Err(refusal) => ToolReply::Failure(refusal.clone()),
        };
        let error_type = tool_error_type(reply.text());
        let reply = self.guard.reply(reply);
        let ended = || match &reply {
            ToolReply::Output(text) => EventKind::ToolCallCompleted {
                node: node.clone(),
                tool_name: call.name.clone(),
                tool_call_id: call.id.clone(),
                output: Value::from(text.as_str()).to_string(),
                duration_ms: span.milliseconds(),
            },
            ToolReply::Failure(text) => EventKind::ToolCallFailed {
                node: node.clone(),
                tool_name: call.name.clone(),
                tool_call_id: call.id.clone(),
                error: text.clone(),
                error_type,
            },
        };
        sink.tell(ended).await;
        Ok((record::tool_entry(&span, call, &reply), reply))
    }

    /// The tool that is asked for, or words for the model.
    fn find(&self, call: &ToolCall) -> std::result::Result<&Arc<dyn Tool>, String> {
        let offered = self.agent.offered();
        let Some(tool) = offered.iter().find(|tool| tool.spec().name == call.name) else {
            let names: Vec<_> = offered.iter().map(|tool| tool.spec().name.as_str()).collect();
            let names = names.join(", ");
            return Err(format!(
                "ValueError: Tool '{}' not found; the tools of this agent are: {names}",
                call.name
            ));
        };
        if well_formed(&call.arguments, &tool.spec().parameters) {
            return Ok(tool);
        }
        Err("Invalid tool call format".to_owned())
    }
}

/// Whether the arguments are an object of the model's making: text that was no JSON arrives as
/// `raw_arguments`, unless the tool has a parameter of that name.
fn well_formed(arguments: &Value, schema: &Value) -> bool {
    const RAW: &str = "raw_arguments";
    let Some(fields) = arguments.as_object() else { return false };
    let parameter = schema.get("properties").and_then(|properties| properties.get(RAW));
    parameter.is_some() || fields.len() != 1 || !fields.contains_key(RAW)
}

/// An answer without tools that is JSON becomes that value. A bare number stays text: `1.50` and
/// numbers of many digits would come back as others.
fn parsed(text: String) -> Value {
    match serde_json::from_str(&text) {
        Ok(Value::Number(_)) | Err(_) => Value::String(text),
        Ok(value) => value,
    }
}

/// What `llm_call_completed` shows of an answer.
fn shown(answer: &ChatResponse) -> String {
    if answer.tool_calls.is_empty() {
        return answer.content.clone();
    }
    let call =
        |call: &ToolCall| json!({ "id": call.id, "name": call.name, "parameters": call.arguments });
    let calls: Value = answer.tool_calls.iter().map(call).collect();
    match answer.content.trim() {
        "" => format!("[tool_calls] {calls}"),
        _ => format!("{}\n[tool_calls] {calls}", answer.content),
    }
}

/// What the metadata of a further request show as its input: the new part of the conversation.
fn told(calls: &[Requested], replies: &[ToolReply]) -> String {
    let line = |(call, reply): (&Requested, &ToolReply)| match reply {
        ToolReply::Output(text) => format!("{}: {text}", call.shown.name),
        ToolReply::Failure(text) => format!("{}: ERROR - {text}", call.shown.name),
    };
    calls.iter().zip(replies).map(line).collect::<Vec<_>>().join("\n")
}

/// GraphBit's word for what a tool raised, by the name of the exception in the reply.
fn tool_error_type(text: &str) -> &'static str {
    let raised = text.strip_prefix("Tool execution failed: ").unwrap_or(text);
    let (class, _) = raised.split_once(':').unwrap_or((raised, ""));
    match class {
        class if class.ends_with("TimeoutError") => "timeout_error",
        class if class.starts_with("Connection") || class == "NetworkError" => "connection_error",
        "PermissionError" | "AuthenticationError" => "permission_error",
        "ValueError" | "TypeError" | "ValidationError" | "Invalid tool call format" => {
            "value_error"
        }
        _ => "runtime_error",
    }
}
