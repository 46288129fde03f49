//! Workflows: agents, conditions and transforms in a graph, run by one engine.
//!
//! | file | job |
//! |---|---|
//! | `node`, `graph` | what the author writes down: nodes, edges, and what is wrong with them |
//! | `template`, `transform` | the author's texts: placeholders filled once, and text operations |
//! | `plan` | a workflow made ready to run: who waits for whom, what is reachable from where |
//! | `run` | one run: starts each node as soon as nothing is left to wait for |
//! | `agent`, `guarded` | what an agent node does: ask, run the tools, ask again; what of it a policy hides |
//! | `event`, `record`, `result` | what is told during a run and after it |
//! | `checkpoint` | finished nodes on disk, so that a second run pays only for what is missing |
//! | `executor` | limits, timeouts, statistics, and the three ways to run a workflow |
//!
//! It refuses to know what a tool or a handler is made of: they arrive as [`Tool`] and [`Route`], and are
//! called without a lock being held. Control never travels in the text of a model: what a model writes
//! is output, and the calls it asks for are checked against what its own node offers.
//!
//! ```
//! use graphbit::workflow::{Agent, Node, Workflow};
//!
//! let mut workflow = Workflow::new("report");
//! let draft = workflow.add_node(Node::agent("draft", Agent::new("Write a paragraph about tides."))?)?;
//! let check = workflow.add_node(Node::agent("check", Agent::new("Correct the paragraph above."))?)?;
//! workflow.connect(&draft, &check)?;
//! workflow.validate()?;
//! # Ok::<(), graphbit::Error>(())
//! ```

mod agent;
mod callback;
mod checkpoint;
mod event;
mod executor;
mod graph;
mod guarded;
mod node;
mod plan;
mod record;
mod result;
mod run;
mod template;
mod transform;

pub use callback::{Ambient, Route, Situation, Tool, ToolReply};
pub use event::{Event, EventKind, NodeName, StreamMode};
pub use executor::{Events, Executor, ExecutorStats, Limits, Prepared, Progress, RunOptions};
pub use graph::Workflow;
pub use node::{Agent, Node};
pub use record::rfc3339;
pub use result::{NodeOutcome, NodeState, RunState, WorkflowResult};

/// The names of the operations of a transform node, in alphabetical order.
#[must_use]
pub fn text_operations() -> Vec<&'static str> {
    transform::names().collect()
}
