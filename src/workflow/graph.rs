//! [`Workflow`]: nodes and edges, and what can be wrong with them before anything is paid for.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::node::{Node, NodeKind};
use super::plan;
use crate::error::{Error, Kind, Result};

/// A graph of nodes. Cloning is cheap: nodes are shared.
#[derive(Clone, Debug)]
pub struct Workflow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    /// From, to; in the order of the `connect` calls.
    pub(super) edges: Vec<(usize, usize)>,
    unique_names: bool,
}

impl Workflow {
    /// A workflow without nodes. The name may be empty.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            name: name.into(),
            nodes: Vec::new(),
            edges: Vec::new(),
            unique_names: false,
        }
    }

    /// A random UUID, fixed when the workflow was made.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its nodes, in the order in which they were added.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many nodes it has.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node and returns its id. Names need not be unique.
    ///
    /// # Errors
    /// [`Kind::Workflow`] when this very node is part of the workflow already.
    pub fn add_node(&mut self, node: Node) -> Result<String> {
        let id = node.id().to_owned();
        if let Some(existing) = self.nodes.iter().find(|existing| existing.id() == id) {
            return Err(broken(format_args!(
                "Node already exists: id={id} (named '{}'); a node can be part of a workflow once, so \
                 make another one for a second place",
                existing.name()
            )));
        }
        self.nodes.push(node);
        Ok(id)
    }

    /// Lets `to` follow `from`. Each is a node's id, or its name; of several nodes of one name the first
    /// added is meant. Cycles are found by [`Workflow::validate`].
    ///
    /// # Errors
    /// [`Kind::Validation`] when there is no such node.
    pub fn connect(&mut self, from: &str, to: &str) -> Result<()> {
        let from = self.find(from, "Source")?;
        let to = self.find(to, "Target")?;
        self.edges.push((from, to));
        Ok(())
    }

    fn find(&self, reference: &str, end: &str) -> Result<usize> {
        let by_id = self.nodes.iter().position(|node| node.id() == reference);
        let by_name = || self.nodes.iter().position(|node| node.name() == reference);
        by_id.or_else(by_name).ok_or_else(|| {
            let prefix = if Uuid::parse_str(reference).is_ok() { "Graph error: " } else { "" };
            Error::new(Kind::Validation, format!("{prefix}{end} node {reference} not found"))
        })
    }

    /// Whether two nodes of one name are an error.
    pub fn require_unique_names(&mut self, required: bool) {
        self.unique_names = required;
    }

    /// Looks for everything that can be wrong before a run. An empty workflow is not wrong.
    ///
    /// # Errors
    /// [`Kind::Workflow`] for a cycle, an unknown text operation, two successors of a condition with one
    /// name, two agents with one `agent_id`, and where they are required, names that are not unique.
    pub fn validate(&self) -> Result<()> {
        if plan::order(self).is_none() {
            return Err(broken("Workflow graph contains cycles"));
        }
        for node in &self.nodes {
            if let NodeKind::Transform(transform) = node.kind() {
                transform.check().map_err(|text| {
                    broken(format_args!("Transform node '{}': {text}", node.name()))
                })?;
            }
        }
        self.check_successors()?;
        let identities = |node: &Node| node.as_agent().and_then(super::Agent::identity);
        let conflicts = self.conflicts(identities, |identity, nodes| {
            let nodes: Vec<_> = nodes
                .iter()
                .map(|node| format!("{{id={}, name='{}'}}", node.id(), node.name()))
                .collect();
            format!("agent_id='{identity}' used by: [{}]", nodes.join(", "))
        });
        if let Some(conflicts) = conflicts {
            return Err(broken(format_args!(
                "Duplicate agent_id detected. Each agent_id must be unique across the workflow. \
                 Conflicts: {conflicts}"
            )));
        }
        let names = |node: &Node| self.unique_names.then(|| node.name().to_owned());
        let conflicts = self.conflicts(names, |name, nodes| {
            let ids: Vec<_> = nodes.iter().map(|node| node.id()).collect();
            format!("name='{name}' used by node ids: [{}]", ids.join(", "))
        });
        match conflicts {
            Some(conflicts) => Err(broken(format_args!(
                "Duplicate node names not allowed (enforce_unique_node_names=true). \
                 Conflicts: {conflicts}"
            ))),
            None => Ok(()),
        }
    }

    fn check_successors(&self) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            if !matches!(node.kind(), NodeKind::Condition(_)) {
                continue;
            }
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            let targets = self.edges.iter().filter(|(from, _)| *from == index).map(|(_, to)| *to);
            for target in targets {
                let Some(successor) = self.nodes.get(target) else { continue };
                // The same edge twice is not a second successor.
                if *seen.entry(successor.name()).or_insert(target) != target {
                    return Err(broken(format_args!(
                        "Condition node '{}' has duplicate successor name '{}'",
                        node.name(),
                        successor.name()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Every value that several nodes share, told by `tell`; `None` when there is none.
    fn conflicts<K: Ord>(
        &self,
        key: impl Fn(&Node) -> Option<K>,
        tell: impl Fn(&K, &[&Node]) -> String,
    ) -> Option<String> {
        let mut users: BTreeMap<K, Vec<&Node>> = BTreeMap::new();
        for node in &self.nodes {
            if let Some(key) = key(node) {
                users.entry(key).or_default().push(node);
            }
        }
        let shared = users.iter().filter(|(_, nodes)| nodes.len() > 1);
        let told: Vec<_> = shared.map(|(key, nodes)| tell(key, nodes)).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

fn broken(text: impl std::fmt::Display) -> Error {
    Error::new(Kind::Workflow, format!("Graph error: {text}"))
}
