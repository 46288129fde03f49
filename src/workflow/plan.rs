//! A workflow made ready to run: who waits for whom, and what is reachable from where.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::graph::Workflow;
use super::node::{Node, NodeKind};
use super::template;

/// The graph by indices into its nodes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) workflow_id: String,
    pub(super) workflow_name: String,
    pub(super) nodes: Vec<Planned>,
}

#[derive(Debug)]
pub(super) struct Planned {
    pub(super) node: Node,
    /// In reverse order of the `connect` calls, which is the order of the preamble; a doubled edge counts
    /// twice.
    pub(super) parents: Vec<usize>,
    /// In the order of the `connect` calls.
    pub(super) children: Vec<usize>,
    /// Nodes that its texts name: it starts after them, but neither fails nor is skipped with them.
    pub(super) mentions: Vec<usize>,
}

impl Plan {
    /// The plan of a workflow that has been validated.
    pub(super) fn new(workflow: &Workflow) -> Self {
        let mut nodes: Vec<_> = workflow
            .nodes
            .iter()
            .map(|node| Planned {
                node: node.clone(),
                parents: Vec::new(),
                children: Vec::new(),
                mentions: Vec::new(),
            })
            .collect();
        for &(from, to) in &workflow.edges {
            if let Some(source) = nodes.get_mut(from) {
                source.children.push(to);
            }
            if let Some(target) = nodes.get_mut(to) {
                target.parents.insert(0, from);
            }
        }
        let (workflow_id, workflow_name) = (workflow.id.clone(), workflow.name.clone());
        let mut plan = Self { workflow_id, workflow_name, nodes };
        plan.find_mentions();
        plan
    }

    /// A text that names a node is only right once that node has finished. A mention that would close a
    /// circle is left out: its placeholder stays as it is written.
    fn find_mentions(&mut self) {
        let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, planned) in self.nodes.iter().enumerate() {
            named.entry(planned.node.id()).or_default().push(index);
            named.entry(planned.node.name()).or_default().push(index);
            let further = planned.node.as_agent().and_then(|agent| agent.output_name.as_deref());
            if let Some(name) = further {
                named.entry(name).or_default().push(index);
            }
        }
        let mut found = Vec::new();
        for (index, planned) in self.nodes.iter().enumerate() {
            for candidates in texts(&planned.node).into_iter().flat_map(template::candidates) {
                let meant = candidates.iter().find_map(|name| named.get(name));
                found.extend(meant.into_iter().flatten().map(|other| (index, *other)));
            }
        }
        for (index, other) in found {
            // Parents are named most often, and the way up may be long.
            let known = self.nodes.get(index).is_none_or(|planned| {
                planned.parents.contains(&other) || planned.mentions.contains(&other)
            });
            if !known
                && !self.waits_for(other, index)
                && let Some(planned) = self.nodes.get_mut(index)
            {
                planned.mentions.push(other);
            }
        }
    }

    /// Whether `node` is `other` or starts after it, directly or through further nodes.
    fn waits_for(&self, node: usize, other: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut pending = vec![node];
        while let Some(next) = pending.pop() {
            if next == other {
                return true;
            }
            if seen.insert(next)
                && let Some(planned) = self.nodes.get(next)
            {
                pending.extend(planned.parents.iter().chain(&planned.mentions));
            }
        }
        false
    }

    /// The node and everything below it.
    fn reachable(&self, from: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut pending = vec![from];
        while let Some(next) = pending.pop() {
            if seen.insert(next)
                && let Some(planned) = self.nodes.get(next)
            {
                pending.extend(&planned.children);
            }
        }
        seen
    }

    /// The graph as handlers are told it.
    pub(super) fn described(&self) -> Value {
        let (mut dependencies, mut names) = (Map::new(), Map::new());
        for planned in &self.nodes {
            let id = planned.node.id().to_owned();
            let parents = planned.parents.iter().filter_map(|parent| self.nodes.get(*parent));
            let parents = parents.map(|parent| Value::from(parent.node.id())).collect();
            dependencies.insert(id.clone(), parents);
            names.insert(id, planned.node.name().into());
        }
        json!({
            "node_dependencies": dependencies,
            "node_id_to_name": names,
            "workflow_llm_configs_validated": true,
        })
    }

    /// What does not run once the condition `condition` has gone on with `chosen`.
    pub(super) fn rejected(&self, condition: usize, chosen: usize) -> BTreeSet<usize> {
        let alive = self.reachable(chosen);
        let children = self.nodes.get(condition).map(|planned| planned.children.as_slice());
        let others = children.unwrap_or_default().iter().filter(|child| **child != chosen);
        others
            .flat_map(|other| self.reachable(*other))
            .filter(|node| !alive.contains(node))
            .collect()
    }
}

/// The author's texts of a node, in which placeholders are filled.
fn texts(node: &Node) -> Vec<&str> {
    match node.kind() {
        NodeKind::Agent(agent) => {
            agent.context.as_deref().into_iter().chain([agent.prompt.as_str()]).collect()
        }
        NodeKind::Transform(transform) => transform.template().into_iter().collect(),
        NodeKind::Condition(_) => Vec::new(),
    }
}

/// The nodes in an order in which parents come first; `None` when there is a cycle.
pub(super) fn order(workflow: &Workflow) -> Option<Vec<usize>> {
    let mut waiting = vec![0_usize; workflow.nodes.len()];
    for &(_, to) in &workflow.edges {
        if let Some(count) = waiting.get_mut(to) {
            *count = count.saturating_add(1);
        }
    }
    let mut children = vec![Vec::new(); workflow.nodes.len()];
    for &(from, to) in &workflow.edges {
        if let Some(list) = children.get_mut(from) {
            list.push(to);
        }
    }
    let ready = waiting.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut order: Vec<usize> = ready.map(|(index, _)| index).collect();
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next = next.saturating_add(1);
        for &child in children.get(node).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(child) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    order.push(child);
                }
            }
        }
    }
    (order.len() == workflow.nodes.len()).then_some(order)
}
