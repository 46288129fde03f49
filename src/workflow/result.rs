//! [`WorkflowResult`]: what became of each node.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::record::{rfc3339, total_usage};
use super::template::text_of;
use crate::error::{Error, Result};
use crate::guard::{Mask, Policy};

/// What became of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// Its turn has not come, or it had not finished when the run ended.
    #[default]
    Pending,
    /// It has an output.
    Completed,
    /// It has an error.
    Failed,
    /// A condition went another way, or a node above it failed.
    Skipped,
}

/// A node at the end of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeOutcome {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The further name of its output.
    pub output_name: Option<String>,
    /// What became of it.
    pub state: NodeState,
    /// What it returned; `null` unless completed.
    pub output: Value,
    /// What went wrong, if it failed.
    pub error: Option<String>,
    /// What is told of an agent's work; `None` for other kinds and for agents that did not run.
    pub metadata: Option<Value>,
    /// Its place among the finished nodes, from 1.
    pub finished: usize,
}

impl NodeOutcome {
    /// Everything it is known by: id, name and output name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [self.id.as_str(), self.name.as_str()].into_iter().chain(self.output_name.as_deref())
    }

    /// The output as text: a string as it is, other JSON compact.
    #[must_use]
    pub fn text(&self) -> String {
        text_of(&self.output)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// Every node completed or was rightly skipped.
    Completed,
    /// A node failed; the text says which and why.
    Failed(String),
    /// The run was ended from outside.
    Cancelled,
}

/// The outcome of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowResult {
    /// The workflow's id.
    pub workflow_id: String,
    /// The workflow's name.
    pub workflow_name: String,
    /// How it ended.
    pub state: RunState,
    /// When it began.
    #[serde(with = "moment")]
    pub started: Timestamp,
    /// When it ended.
    #[serde(with = "moment")]
    pub ended: Timestamp,
    /// The nodes, in the order in which they were added.
    pub nodes: Vec<NodeOutcome>,
    /// What no model was to read; metadata do not show it either.
    #[serde(with = "document")]
    pub policy: Option<Arc<Policy>>,
}

impl WorkflowResult {
    /// Whether no node failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.state == RunState::Completed
    }

    /// Whether a node failed.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self.state, RunState::Failed(_))
    }

    /// `Completed`, `Cancelled`, or `Failed { error: "..." }`.
    #[must_use]
    pub fn state_text(&self) -> String {
        match &self.state {
            RunState::Completed => "Completed".to_owned(),
            RunState::Cancelled => "Cancelled".to_owned(),
            RunState::Failed(error) => format!("Failed {{ error: {error:?} }}"),
        }
    }

    /// What went wrong first.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match &self.state {
            RunState::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// From begin to end, tools included.
    #[must_use]
    pub fn execution_time_ms(&self) -> u64 {
        let elapsed = self.ended.duration_since(self.started).as_millis();
        u64::try_from(elapsed).unwrap_or_default()
    }

    /// The completed nodes in the order in which they finished.
    fn completed(&self) -> Vec<&NodeOutcome> {
        let mut nodes: Vec<_> =
            self.nodes.iter().filter(|node| node.state == NodeState::Completed).collect();
        nodes.sort_by_key(|node| node.finished);
        nodes
    }

    /// The node of that id, or the last to finish of those with that name.
    fn find(&self, reference: &str) -> Option<&NodeOutcome> {
        let by_id = self.nodes.iter().find(|node| node.id == reference);
        let named = |node: &&NodeOutcome| node.names().any(|name| name == reference);
        by_id.or_else(|| self.nodes.iter().filter(named).max_by_key(|node| node.finished))
    }

    /// The output of the node of that id, name or output name as text: strings as they are, other JSON
    /// compact. `None` for unknown and unfinished nodes and for `null`.
    #[must_use]
    pub fn node_output(&self, reference: &str) -> Option<String> {
        let output = &self.find(reference)?.output;
        (!output.is_null()).then(|| text_of(output))
    }

    /// All outputs under id, name and output name, in the order in which the nodes finished; of several
    /// nodes of one name the last stands.
    #[must_use]
    pub fn outputs(&self) -> Vec<(String, &Value)> {
        let mut outputs: Vec<(String, &Value)> = Vec::new();
        let mut places = HashMap::new();
        for node in self.completed() {
            for name in node.names() {
                let place = *places.entry(name).or_insert(outputs.len());
                match outputs.get_mut(place) {
                    Some((_, output)) => *output = &node.output,
                    None => outputs.push((name.to_owned(), &node.output)),
                }
            }
        }
        outputs
    }

    /// The text of every output that is not `null`, under the names of [`WorkflowResult::outputs`].
    #[must_use]
    pub fn output_texts(&self) -> Vec<(String, String)> {
        let outputs = self.outputs().into_iter().filter(|(_, output)| !output.is_null());
        outputs.map(|(name, output)| (name, text_of(output))).collect()
    }

    /// The text of every output, `null` included, under the names of [`WorkflowResult::outputs`].
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        self.outputs().into_iter().map(|(name, output)| (name, text_of(output))).collect()
    }

    /// The last output of the run.
    #[must_use]
    pub fn output(&self) -> Option<String> {
        self.completed().last().map(|node| node.text())
    }

    /// The last output as metadata may show it.
    fn shown_output(&self) -> String {
        let Some(last) = self.completed().last().copied() else { return String::new() };
        let Some(policy) = self.policy.as_ref().filter(|policy| policy.masks()) else {
            return last.text();
        };
        let told = last.metadata.as_ref().and_then(|told| told.get("final_output")?.as_str());
        // No agent: what a transform or a condition made of outputs with the values in them.
        told.map_or_else(|| Mask::new(Arc::clone(policy)).encode(&last.text()), str::to_owned)
    }

    /// What is told of an agent's work; `None` for other kinds and for agents that did not run.
    #[must_use]
    pub fn node_metadata(&self, reference: &str) -> Option<&Value> {
        self.find(reference)?.metadata.as_ref()
    }

    /// What is told of the whole run.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let mut nodes: Vec<&Value> =
            self.nodes.iter().filter_map(|node| node.metadata.as_ref()).collect();
        let started = |node: &&Value| node.get("start_time").map(Value::to_string);
        nodes.sort_by_cached_key(started);
        let calls = nodes.iter().filter_map(|node| node.get("total_tool_calls")?.as_u64());
        let user_input = nodes.first().and_then(|node| node.get("user_input"));
        let state = match self.state {
            RunState::Completed => "completed",
            RunState::Failed(_) => "failed",
            RunState::Cancelled => "cancelled",
        };
        let elapsed = self.ended.duration_since(self.started).as_secs_f64() * 1000.0;
        json!({
            "workflow_id": self.workflow_id,
            "workflow_name": self.workflow_name,
            "start_time": rfc3339(self.started),
            "end_time": rfc3339(self.ended),
            "duration_ms": elapsed,
            "user_input": user_input.cloned().unwrap_or_else(|| "".into()),
            "user_input_masked": "",
            "final_output": self.shown_output(),
            "final_output_masked": "",
            "workflow_state": state,
            "total_usage": total_usage(nodes.iter().copied()),
            "total_tool_calls": calls.fold(0, u64::saturating_add),
            "nodes": nodes,
        })
    }

    /// The result as a JSON text from which [`WorkflowResult::restored`] makes it again, in another process
    /// too.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when a value in it is nested too deep to be read again.
    pub fn saved(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|cause| unreadable(&cause))?;
        // Whoever reads it could no longer ask for another.
        Self::restored(&text)?;
        Ok(text)
    }

    /// The result that [`WorkflowResult::saved`] wrote down.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when the text is no such result.
    pub fn restored(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|cause| unreadable(&cause))
    }

    /// All outputs as one JSON object.
    #[must_use]
    pub fn outputs_json(&self) -> String {
        let outputs = self.outputs().into_iter();
        let outputs: Map<String, Value> =
            outputs.map(|(name, output)| (name, output.clone())).collect();
        Value::Object(outputs).to_string()
    }
}

fn unreadable(cause: &serde_json::Error) -> Error {
    Error::validation("result", None, &format!("it cannot be written down: {cause}"))
}

/// A point in time as text, to the nanosecond.
mod moment {
    use jiff::Timestamp;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        moment: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(moment)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A policy as its document.
mod document {
    use std::sync::Arc;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::guard::Policy;

    pub(super) fn serialize<S: Serializer>(
        policy: &Option<Arc<Policy>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        policy.as_ref().map(|policy| policy.document().to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<Policy>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        Ok(Some(Arc::new(Policy::from_json(&text).map_err(D::Error::custom)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(output: Value) -> WorkflowResult {
        let node = NodeOutcome {
            id: "1".to_owned(),
            name: "a".to_owned(),
            output_name: Some("b".to_owned()),
            state: NodeState::Completed,
            output,
            error: None,
            metadata: Some(json!({"total_tool_calls": 2})),
            finished: 1,
        };
        let policy = r#"{"guardrail_policy": {"pii_rules": [{"type": "regex", "name": "N", "pattern": "x"}]}}"#;
        WorkflowResult {
            workflow_id: "w".to_owned(),
            workflow_name: "name".to_owned(),
            state: RunState::Failed("why \"so\"".to_owned()),
            started: Timestamp::from_nanosecond(1_800_000_000_123_456_789).unwrap(),
            ended: Timestamp::from_nanosecond(1_800_000_001_987_654_321).unwrap(),
            nodes: vec![node, NodeOutcome::default()],
            policy: Some(Arc::new(Policy::from_json(policy).unwrap())),
        }
    }

    #[test]
    fn what_was_written_down_is_the_same_result() {
        for output in
            [Value::Null, json!("text"), json!({"n": [0.1, u64::MAX, i64::MIN, "\u{fc}"]})]
        {
            let result = result(output);
            let again = WorkflowResult::restored(&result.saved().unwrap()).unwrap();
            assert_eq!(format!("{again:?}"), format!("{result:?}"));
            // Names that stand for what a policy hides are others each time.
            let told = |it: &WorkflowResult| {
                let mut metadata = it.metadata();
                if let Value::Object(members) = &mut metadata {
                    members.remove("final_output");
                }
                metadata
            };
            assert_eq!(told(&again), told(&result));
            let document = |it: &WorkflowResult| it.policy.as_ref().map(|policy| policy.document());
            assert_eq!(document(&again), document(&result));
        }
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written_down() {
        let deep = (0..127).fold(json!(1), |inner, _| json!([inner]));
        assert!(result(deep).saved().is_err());
        assert!(WorkflowResult::restored("{}").is_err());
    }
}
