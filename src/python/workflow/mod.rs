//! Workflows for Python: thin classes over [`crate::workflow`], and Python functions as its callbacks.
//!
//! A tool or a handler runs on a callback thread in a copy of the context that the run was started in,
//! never on a worker and never under a lock, so it may call anything of this package again.

mod callables;
mod events;
mod executor;
mod graph;
mod node;
mod result;
mod surroundings;

pub(super) use events::PyWorkflowStream;
pub(super) use executor::PyExecutor;
pub(super) use graph::PyWorkflow;
pub(super) use node::PyNode;
pub(super) use result::PyWorkflowResult;
