//! One run of a workflow: a node starts as soon as nothing is left for it to wait for.
//!
//! Each node is a task of its own; dropping the run aborts them all. A failed node fails the run, but
//! what does not depend on it goes on: finished answers are kept, whatever happens beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::agent;
use super::callback::{Ambient, Situation};
use super::checkpoint::{Checkpoint, Saved};
use super::event::{EventKind, NodeName, Sink};
use super::node::{Agent, Condition, Node, NodeKind};
use super::plan::Plan;
use super::result::{NodeOutcome, NodeState, RunState, WorkflowResult};
use super::template::{fill, text_of};
use super::transform::Transform;
use crate::error::{Error, Kind, Result};
use crate::guard::Policy;
use crate::llm::LlmClient;
use crate::runtime;

/// A run and everything it needs.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) around: Around,
    /// By node; `None` for those that ask nobody.
    clients: Vec<Option<LlmClient>>,
    permits: Semaphore,
    /// The file, and the nodes' keys in it.
    checkpoint: Option<(Arc<Checkpoint>, Vec<String>)>,
    started: Timestamp,
    board: Mutex<Board>,
    /// What handlers are told of the plan; made for the first of them.
    graph: OnceLock<Arc<Value>>,
}

/// What every node of a run has around it.
pub(super) struct Around {
    pub(super) sink: Sink,
    pub(super) ambient: Ambient,
    pub(super) policy: Option<Arc<Policy>>,
}

/// What has become of the nodes so far.
#[derive(Default)]
struct Board {
    nodes: Vec<NodeOutcome>,
    finished: usize,
    error: Option<String>,
    /// Nodes that ran although something above them had no output, with what was missing.
    gaps: BTreeMap<usize, Uuid>,
    /// When every node had been settled; unset in a run that is interrupted.
    ended: Option<Timestamp>,
}

/// How a node ended.
pub(super) enum Ended {
    Completed {
        output: Value,
        metadata: Option<Value>,
        /// For a condition: the node to go on with.
        chosen: Option<usize>,
    },
    Failed {
        text: String,
        error_type: &'static str,
        metadata: Option<Value>,
    },
}

impl Ended {
    fn output(output: Value) -> Self {
        Self::Completed { output, metadata: None, chosen: None }
    }

    fn failed(text: String) -> Self {
        Self::Failed { text, error_type: "runtime_error", metadata: None }
    }
}

/// An agent's texts, filled, in the order in which the model reads them.
pub(super) struct AgentTexts {
    /// With the blank line behind it; may be empty.
    pub(super) context: String,
    /// The outputs of the parents, each with its blank line.
    pub(super) parents: String,
    pub(super) prompt: String,
}

impl Run {
    pub(super) fn new(
        plan: Plan,
        clients: Vec<Option<LlmClient>>,
        concurrency: usize,
        around: Around,
        checkpoint: Option<(Arc<Checkpoint>, Vec<String>)>,
    ) -> Self {
        let outcome = |node: &Node| NodeOutcome {
            id: node.id().to_owned(),
            name: node.name().to_owned(),
            output_name: node.as_agent().and_then(|agent| agent.output_name.clone()),
            ..NodeOutcome::default()
        };
        let nodes = plan.nodes.iter().map(|planned| outcome(&planned.node)).collect();
        Self {
            plan,
            around,
            clients,
            permits: Semaphore::new(concurrency),
            checkpoint,
            started: Timestamp::now(),
            board: Mutex::new(Board { nodes, ..Board::default() }),
            graph: OnceLock::new(),
        }
    }

    /// Runs every node that can run.
    ///
    /// # Errors
    /// What a callback ends the run with. A failed node is no error here; see [`Run::result`].
    pub(super) async fn drive(self: &Arc<Self>) -> Result<()> {
        let started = || EventKind::WorkflowStarted {
            workflow_id: self.plan.workflow_id.clone(),
            workflow_name: self.plan.workflow_name.clone(),
            total_nodes: self.plan.nodes.len(),
        };
        self.around.sink.tell(started).await;
        let mut schedule = Schedule::new(&self.plan);
        let mut running = FuturesUnordered::new();
        loop {
            for index in std::mem::take(&mut schedule.ready) {
                let run = Arc::clone(self);
                let task = runtime::spawn(async move { run.execute(index).await });
                running.push(async move { (index, task.await) });
            }
            let Some((index, ended)) = running.next().await else { break };
            let fate = match ended {
                Ok(fate) => fate,
                // A panic of ours in one node is no reason to lose the others.
                Err(error) if error.kind() == Kind::Internal => {
                    let ended = Ended::failed(error.message().to_owned());
                    self.conclude(index, ended).await
                }
                Err(error) => return Err(error),
            };
            let skipped = schedule.settle(&self.plan, index, fate);
            let mut board = self.board();
            for index in skipped {
                if let Some(outcome) = board.nodes.get_mut(index) {
                    outcome.state = NodeState::Skipped;
                }
            }
        }
        self.board().ended = Some(Timestamp::now());
        Ok(())
    }

    /// The outcome as it is now.
    pub(super) fn result(&self) -> WorkflowResult {
        let board = self.board();
        let state = match &board.error {
            Some(error) => RunState::Failed(format!("Workflow execution error: {error}")),
            None if board.ended.is_none() => RunState::Cancelled,
            None => RunState::Completed,
        };
        WorkflowResult {
            workflow_id: self.plan.workflow_id.clone(),
            workflow_name: self.plan.workflow_name.clone(),
            state,
            started: self.started,
            ended: board.ended.unwrap_or_else(Timestamp::now),
            nodes: board.nodes.clone(),
            policy: self.around.policy.clone(),
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How events name the node.
    pub(super) fn name(&self, index: usize) -> NodeName {
        let node = self.plan.nodes.get(index).map(|planned| &planned.node);
        let (id, name) = node.map_or(("", ""), |node| (node.id(), node.name()));
        NodeName { id: id.into(), name: name.into() }
    }

    /// A place among the requests of this run that are under way.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.permits.acquire().await.ok()
    }

    async fn execute(&self, index: usize) -> Result<Fate> {
        let node = self.name(index);
        self.around.sink.tell(|| EventKind::NodeStarted { node }).await;
        let key = self.key(index);
        if let Some((file, key)) = &key
            && let Some(ended) = file.saved(key).and_then(|saved| self.resumed(index, saved))
        {
            return Ok(self.conclude(index, ended).await);
        }
        let Some(planned) = self.plan.nodes.get(index) else {
            return Err(Error::new(Kind::Internal, "Internal error: a node is not in its plan"));
        };
        let ended = match planned.node.kind() {
            NodeKind::Agent(settings) => {
                let Some(Some(client)) = self.clients.get(index) else {
                    return Err(Error::new(
                        Kind::Internal,
                        "Internal error: an agent has no client",
                    ));
                };
                agent::work(self, index, &planned.node, settings, client).await?
            }
            NodeKind::Condition(condition) => self.choose(index, &planned.node, condition).await?,
            NodeKind::Transform(transform) => self.transform(index, &planned.node, transform),
        };
        if let Some((file, key)) = key
            && let Ended::Completed { output, metadata, .. } = &ended
        {
            let saved = Saved { output: output.clone(), metadata: metadata.clone() };
            if let Err(error) = runtime::spawn_blocking(move || file.save(&key, &saved)).await {
                // The answer is there and paid for; only a repeated run would have to ask again.
                tracing::warn!(%error, "a finished node could not be saved");
            }
        }
        Ok(self.conclude(index, ended).await)
    }

    /// What the checkpoint knows a node by: another key when something above it has no output, since its
    /// texts are then others. Everything above it has been settled.
    fn key(&self, index: usize) -> Option<(Arc<Checkpoint>, String)> {
        let (file, keys) = self.checkpoint.as_ref()?;
        let (key, planned) = (keys.get(index)?, self.plan.nodes.get(index)?);
        let mut board = self.board();
        let above = planned.parents.iter().chain(&planned.mentions).enumerate();
        let gaps: Vec<_> = above
            .filter_map(|(place, other)| match board.nodes.get(*other)?.state {
                NodeState::Completed => Some(format!("{place}:{}", board.gaps.get(other)?)),
                _ => Some(place.to_string()),
            })
            .collect();
        if gaps.is_empty() {
            return Some((Arc::clone(file), key.clone()));
        }
        let gap = Uuid::new_v5(&Uuid::NAMESPACE_OID, gaps.join(" ").as_bytes());
        board.gaps.insert(index, gap);
        Some((Arc::clone(file), format!("{key}-{gap}")))
    }

    /// A node that an earlier run has finished.
    fn resumed(&self, index: usize, saved: &Saved) -> Option<Ended> {
        let planned = self.plan.nodes.get(index)?;
        let chosen = match planned.node.kind() {
            NodeKind::Condition(_) => Some(self.successor(index, saved.output.as_str()?)?),
            _ => None,
        };
        let mut metadata = saved.metadata.clone();
        if let Some(Value::Object(fields)) = &mut metadata {
            // The same node has another id in each process.
            fields.insert("node_id".to_owned(), planned.node.id().into());
        }
        Some(Ended::Completed { output: saved.output.clone(), metadata, chosen })
    }

    /// Writes the end of a node down and tells it.
    async fn conclude(&self, index: usize, ended: Ended) -> Fate {
        let node = self.name(index);
        match ended {
            Ended::Completed { output, metadata, chosen } => {
                let text = text_of(&output);
                self.write(index, |outcome, _| {
                    outcome.state = NodeState::Completed;
                    outcome.output = output;
                    outcome.metadata = metadata;
                });
                self.around.sink.tell(|| EventKind::NodeCompleted { node, output: text }).await;
                Fate::Completed { chosen }
            }
            Ended::Failed { text, error_type, metadata } => {
                self.write(index, |outcome, error| {
                    outcome.state = NodeState::Failed;
                    outcome.error = Some(text.clone());
                    outcome.metadata = metadata;
                    error.get_or_insert_with(|| text.clone());
                });
                self.around
                    .sink
                    .tell(|| EventKind::NodeFailed { node, error: text, error_type })
                    .await;
                Fate::Failed
            }
        }
    }

    fn write(&self, index: usize, change: impl FnOnce(&mut NodeOutcome, &mut Option<String>)) {
        let mut board = self.board();
        let Board { nodes, finished, error, .. } = &mut *board;
        *finished = finished.saturating_add(1);
        if let Some(outcome) = nodes.get_mut(index) {
            outcome.finished = *finished;
            change(outcome, error);
        }
    }

    /// The outputs of the parents of a node, in the order of its plan; skipped ones have none.
    fn parent_outputs(&self, board: &Board, index: usize) -> Vec<Value> {
        let parents = self.plan.nodes.get(index).map(|planned| planned.parents.as_slice());
        let outcomes =
            parents.unwrap_or_default().iter().filter_map(|parent| board.nodes.get(*parent));
        let completed = outcomes.filter(|outcome| outcome.state == NodeState::Completed);
        completed.map(|outcome| outcome.output.clone()).collect()
    }

    /// The agent's texts with everything in them that has finished by now.
    pub(super) fn agent_texts(&self, index: usize, agent: &Agent) -> AgentTexts {
        let board = self.board();
        let prompt = fill(&agent.prompt, |name| board.output(name));
        let mut context = String::new();
        if let Some(text) = agent.context.as_deref().filter(|text| !text.is_empty()) {
            context.push_str(&fill(text, |name| board.output(name)));
            context.push_str("\n\n");
        }
        let mut parents = String::new();
        for output in self.parent_outputs(&board, index) {
            parents.push_str(&text_of(&output));
            parents.push_str("\n\n");
        }
        AgentTexts { context, parents, prompt }
    }

    fn transform(&self, index: usize, node: &Node, transform: &Transform) -> Ended {
        let board = self.board();
        let mut outputs = self.parent_outputs(&board, index);
        let input = match (outputs.pop(), outputs.as_slice()) {
            (Some(only), []) => only,
            (last, _) => {
                let texts: Vec<_> = outputs.iter().chain(&last).map(text_of).collect();
                texts.join("\n\n").into()
            }
        };
        match transform.apply(&input, |name| board.output(name)) {
            Ok(output) => Ended::output(output),
            Err(reason) => Ended::failed(format!("Transform node '{}': {reason}", node.name())),
        }
    }

    async fn choose(&self, index: usize, node: &Node, condition: &Condition) -> Result<Ended> {
        let planned = self.plan.nodes.get(index);
        let parents: BTreeSet<_> =
            planned.into_iter().flat_map(|planned| &planned.parents).collect();
        let name = node.name();
        let Some(parent) = parents.first().filter(|_| parents.len() == 1) else {
            return Ok(Ended::failed(format!(
                "Condition node '{name}' must have exactly one incoming dependency, found {}",
                parents.len()
            )));
        };
        let names: Vec<_> = self.successors(index).map(|(_, node)| node.name()).collect();
        if names.is_empty() {
            return Ok(Ended::failed(format!(
                "Condition routing: condition node '{name}' has no direct successors"
            )));
        }
        let situation = self.situation(**parent);
        let chosen = match condition.route.choose(situation, &self.around.ambient).await? {
            Ok(chosen) => chosen.trim().to_owned(),
            Err(reason) => return Ok(Ended::failed(format!("{}: {reason}", condition.handler_id))),
        };
        if chosen.is_empty() {
            return Ok(Ended::failed(format!(
                "Condition routing: the handler of '{name}' returned an empty text; it has to return \
                 the name of a direct successor ({})",
                names.join(", ")
            )));
        }
        Ok(match self.successor(index, &chosen) {
            Some(successor) => {
                Ended::Completed { output: chosen.into(), metadata: None, chosen: Some(successor) }
            }
            None => Ended::failed(format!(
                "Condition routing: no direct successor named '{chosen}' (there are: {})",
                names.join(", ")
            )),
        })
    }

    fn successors(&self, index: usize) -> impl Iterator<Item = (usize, &Node)> {
        let children = self.plan.nodes.get(index).map(|planned| planned.children.as_slice());
        let nodes = children.unwrap_or_default().iter();
        nodes.filter_map(|child| Some((*child, &self.plan.nodes.get(*child)?.node)))
    }

    fn successor(&self, index: usize, name: &str) -> Option<usize> {
        self.successors(index).find(|(_, node)| node.name() == name).map(|(child, _)| child)
    }

    fn situation(&self, parent: usize) -> Situation {
        let graph = Arc::clone(self.graph.get_or_init(|| Arc::new(self.plan.described())));
        let board = self.board();
        let outcome = board.nodes.get(parent);
        Situation {
            parent_node_id: outcome.map(|outcome| outcome.id.clone()).unwrap_or_default(),
            parent_output: outcome.map(|outcome| outcome.output.clone()).unwrap_or_default(),
            finished: board.completed().into_iter().cloned().collect(),
            graph,
        }
    }
}

impl Board {
    fn completed(&self) -> Vec<&NodeOutcome> {
        let completed = |outcome: &&NodeOutcome| outcome.state == NodeState::Completed;
        let mut outcomes: Vec<_> = self.nodes.iter().filter(completed).collect();
        outcomes.sort_by_key(|outcome| outcome.finished);
        outcomes
    }

    /// The output of a finished node by id, name or output name.
    fn output(&self, reference: &str) -> Option<&Value> {
        let named = |outcome: &&NodeOutcome| {
            outcome.state == NodeState::Completed && outcome.names().any(|name| name == reference)
        };
        self.nodes
            .iter()
            .filter(named)
            .max_by_key(|outcome| outcome.finished)
            .map(|found| &found.output)
    }
}

/// What a node's end means for those that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Completed {
        chosen: Option<usize>,
    },
    Failed,
    /// A condition went another way.
    Rejected,
    /// A node above it failed.
    Orphaned,
}

/// Who may start.
struct Schedule {
    /// How many nodes each one waits for.
    blockers: Vec<usize>,
    /// Who waits for each one.
    dependents: Vec<Vec<usize>>,
    fates: Vec<Option<Fate>>,
    ready: Vec<usize>,
}

impl Schedule {
    fn new(plan: &Plan) -> Self {
        let count = plan.nodes.len();
        let (mut blockers, mut dependents) = (vec![0; count], vec![Vec::new(); count]);
        for (index, planned) in plan.nodes.iter().enumerate() {
            let above: BTreeSet<_> = planned.parents.iter().chain(&planned.mentions).collect();
            if let Some(blockers) = blockers.get_mut(index) {
                *blockers = above.len();
            }
            for other in above {
                if let Some(list) = dependents.get_mut(*other) {
                    list.push(index);
                }
            }
        }
        let free = blockers.iter().enumerate().filter(|(_, count)| **count == 0);
        let ready = free.map(|(index, _)| index).collect();
        Self { blockers, dependents, fates: vec![None; count], ready }
    }

    /// Takes the end of a node into account and returns those that will not run because of it.
    fn settle(&mut self, plan: &Plan, index: usize, fate: Fate) -> Vec<usize> {
        let rejected = match fate {
            Fate::Completed { chosen: Some(chosen) } => plan.rejected(index, chosen),
            _ => BTreeSet::new(),
        };
        let mut skipped = Vec::new();
        let mut pending = Vec::new();
        // All fates first: freeing one rejected node must not start another.
        for (node, fate) in
            rejected.into_iter().map(|node| (node, Fate::Rejected)).chain([(index, fate)])
        {
            if let Some(place @ None) = self.fates.get_mut(node) {
                *place = Some(fate);
                pending.push(node);
                skipped.extend((fate == Fate::Rejected).then_some(node));
            }
        }
        while let Some(index) = pending.pop() {
            for dependent in self.dependents.get(index).into_iter().flatten().copied() {
                let Some(blockers) = self.blockers.get_mut(dependent) else { continue };
                *blockers = blockers.saturating_sub(1);
                if *blockers > 0 || self.fates.get(dependent).is_none_or(Option::is_some) {
                    continue;
                }
                let parents = plan.nodes.get(dependent).map(|planned| planned.parents.as_slice());
                let lost = parents.unwrap_or_default().iter().any(|parent| {
                    let fate = self.fates.get(*parent).copied().flatten();
                    matches!(fate, Some(Fate::Failed | Fate::Orphaned))
                });
                if lost {
                    if let Some(place) = self.fates.get_mut(dependent) {
                        *place = Some(Fate::Orphaned);
                    }
                    skipped.push(dependent);
                    pending.push(dependent);
                } else {
                    self.ready.push(dependent);
                }
            }
        }
        skipped
    }
}
