//! What the engine calls: tools and the handlers of condition nodes.
//!
//! Both are asked for a future and never called under a lock. Their failures are words for the model or
//! for the result; only an `Err` of the outer kind (the user pressed Ctrl-C, the program is exiting) ends
//! the run.

use std::any::Any;
use std::sync::Arc;

use serde_json::Value;

use super::result::NodeOutcome;
use crate::error::Result;
use crate::llm::BoxFuture;
use crate::types::ToolSpec;

/// What the caller of a run wants to be around every callback (in Python: its context variables and its
/// event loop). The engine passes it on and never looks inside.
pub type Ambient = Option<Arc<dyn Any + Send + Sync>>;

/// A tool that a model may call.
pub trait Tool: Any + Send + Sync {
    /// Name, description and schema, as the model sees them.
    fn spec(&self) -> &ToolSpec;

    /// One call. `arguments` is a JSON object.
    ///
    /// # Errors
    /// Only what has to end the run; a tool that fails says so in its reply.
    fn call(&self, arguments: Value, ambient: &Ambient) -> BoxFuture<'static, Result<ToolReply>>;
}

/// What came of a call, in words for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolReply {
    /// What the tool returned.
    Output(String),
    /// Why it did not work.
    Failure(String),
}

impl ToolReply {
    /// The words, whichever they are.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Output(text) | Self::Failure(text) => text,
        }
    }
}

/// The handler of a condition node.
pub trait Route: Any + Send + Sync {
    /// The name of the successor to go on with, or in words why there is none.
    ///
    /// # Errors
    /// Only what has to end the run.
    fn choose(
        &self,
        situation: Situation,
        ambient: &Ambient,
    ) -> BoxFuture<'static, Result<std::result::Result<String, String>>>;
}

/// What a handler is told.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The id of the condition's one parent.
    pub parent_node_id: String,
    /// What the parent returned.
    pub parent_output: Value,
    /// The completed nodes, in the order in which they finished.
    pub finished: Vec<NodeOutcome>,
    /// `node_dependencies` ({id: [ids of parents]}), `node_id_to_name` and, always true,
    /// `workflow_llm_configs_validated`.
    pub graph: Arc<Value>,
}
