//! What a run tells while it goes on.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::result::WorkflowResult;
use crate::error::{Error, Kind, Result};

/// Which events a listener wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamMode {
    /// Everything but tokens.
    #[default]
    Updates,
    /// Tokens and the terminal event.
    Messages,
    /// Everything.
    All,
}

impl StreamMode {
    /// The mode of that name, in any case of letters.
    ///
    /// # Errors
    /// [`Kind::Validation`] naming the three modes.
    pub fn from_name(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "updates" => Ok(Self::Updates),
            "messages" => Ok(Self::Messages),
            "all" => Ok(Self::All),
            _ => {
                let text = "Stream mode must be 'updates', 'messages' or 'all'";
                Err(Error::validation("stream_mode", Some(name), text))
            }
        }
    }

    fn wants(self, kind: &EventKind) -> bool {
        match kind {
            EventKind::WorkflowCompleted { .. } | EventKind::WorkflowFailed { .. } => true,
            EventKind::Token { .. } => self != Self::Updates,
            _ => self != Self::Messages,
        }
    }
}

/// A node, as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// Something that happened, and when.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "the fields are what their names say; `docs/workflows.md` has the table"
)]
pub enum EventKind {
    /// The first event.
    WorkflowStarted { workflow_id: String, workflow_name: String, total_nodes: usize },
    /// A node begins.
    NodeStarted { node: NodeName },
    /// A node has finished.
    NodeCompleted { node: NodeName, output: String },
    /// A node has failed.
    NodeFailed { node: NodeName, error: String, error_type: &'static str },
    /// A piece of an answer.
    Token { node: NodeName, llm_call_id: String, content: String },
    /// A request goes out; again for each further attempt.
    LlmCallStarted { node: NodeName, llm_call_id: String, iteration: u32, model: String },
    /// An answer is complete.
    LlmCallCompleted {
        node: NodeName,
        llm_call_id: String,
        iteration: u32,
        finish_reason: String,
        output: String,
        duration_ms: f64,
    },
    /// A tool begins. `parameters` is JSON text.
    ToolCallStarted { node: NodeName, tool_name: String, tool_call_id: String, parameters: String },
    /// A tool has returned. `output` is JSON text.
    ToolCallCompleted {
        node: NodeName,
        tool_name: String,
        tool_call_id: String,
        output: String,
        duration_ms: f64,
    },
    /// A tool has failed, was not offered, or was asked in the wrong way.
    ToolCallFailed {
        node: NodeName,
        tool_name: String,
        tool_call_id: String,
        error: String,
        error_type: &'static str,
    },
    /// The last event of a run in which no node failed. `outputs` is JSON text.
    WorkflowCompleted { result: Arc<WorkflowResult>, outputs: String },
    /// The last event of any other run.
    WorkflowFailed { error: String, error_type: &'static str },
}

/// Where events go; without a listener, nowhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Sink(Option<(mpsc::Sender<Event>, StreamMode)>);

impl Sink {
    pub(super) fn new(sender: mpsc::Sender<Event>, mode: StreamMode) -> Self {
        Self(Some((sender, mode)))
    }

    /// Whether anybody listens to tokens, so that answers have to be streamed.
    pub(super) fn wants_tokens(&self) -> bool {
        self.0.as_ref().is_some_and(|(_, mode)| *mode != StreamMode::Updates)
    }

    /// Tells `kind` if somebody wants to know, and waits while the listener is behind. The event is not
    /// even made when nobody does.
    pub(super) async fn tell(&self, kind: impl FnOnce() -> EventKind) {
        let Some((sender, mode)) = &self.0 else { return };
        let kind = kind();
        if mode.wants(&kind) {
            // A listener that is gone has the run cancelled; until then nobody is left to tell.
            sender.send(Event { time: Timestamp::now(), kind }).await.ok();
        }
    }
}

/// GraphBit's word for a kind of failure, chosen by cause.
pub(super) fn error_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Timeout => "timeout_error",
        Kind::Network => "connection_error",
        Kind::Authentication | Kind::PermissionDenied => "permission_error",
        Kind::Validation | Kind::Parameter | Kind::Configuration | Kind::Unsupported => {
            "value_error"
        }
        _ => "runtime_error",
    }
}
