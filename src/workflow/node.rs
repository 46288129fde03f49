//! [`Node`]: one box of a workflow, checked when it is made and never changed afterwards.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::callback::{Route, Tool};
use super::transform::Transform;
use crate::error::{Error, Kind, Result};
use crate::providers::LlmConfig;

/// How many rounds of tool calls an agent may make unless it says otherwise.
pub(super) const TOOL_ROUNDS: u32 = 10;

/// A node. Cloning shares it: the same node may be part of several workflows.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    name: String,
    kind: NodeKind,
}

pub(super) enum NodeKind {
    Agent(Box<Agent>),
    Condition(Condition),
    Transform(Transform),
}

pub(super) struct Condition {
    /// Names the handler in messages, as GraphBit does.
    pub(super) handler_id: String,
    pub(super) route: Arc<dyn Route>,
}

/// What an agent node asks a model, and how.
#[derive(Clone, Default)]
pub struct Agent {
    /// The question; placeholders are filled from finished nodes.
    pub prompt: String,
    /// A text in front of the question and of the parents' outputs; templated as the prompt is.
    pub context: Option<String>,
    /// The agent's identity, unique within a workflow: a UUID, or any text that stands for one.
    pub agent_id: Option<String>,
    /// A further name under which the output is published.
    pub output_name: Option<String>,
    /// The tools it may call, and no others. `Some` and empty is an agent "with tools" that offers none.
    pub tools: Option<Vec<Arc<dyn Tool>>>,
    /// Instructions to the model, sent as they are.
    pub system_prompt: Option<String>,
    /// The model, where it is not the executor's.
    pub llm_config: Option<LlmConfig>,
    /// Sampling temperature, 0.0 to 2.0.
    pub temperature: Option<f64>,
    /// Upper bound on the tokens of each answer.
    pub max_tokens: Option<u32>,
    /// Rounds of tool calls, 1 to 100; 10 unless set.
    pub max_iterations: Option<u32>,
    /// Ask the provider to cache the prompt, where it has such a switch.
    pub prompt_caching: bool,
}

impl Agent {
    /// An agent that asks `prompt` and has no further wishes.
    #[must_use]
    pub fn new(prompt: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }

    /// Looks for values that cannot be meant, in GraphBit's order.
    ///
    /// # Errors
    /// As [`Node::agent`].
    pub fn check(&self, name: &str) -> Result<()> {
        if name.trim().is_empty() {
            return Err(refused("Name cannot be empty"));
        }
        if self.prompt.trim().is_empty() {
            return Err(refused("Prompt cannot be empty"));
        }
        if self.temperature.is_some_and(f64::is_nan) {
            return Err(refused("Invalid temperature value"));
        }
        if self.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return Err(refused("Temperature must be between 0.0 and 2.0"));
        }
        if self.max_tokens == Some(0) {
            return Err(refused("max_tokens must be greater than 0"));
        }
        if self.max_iterations.is_some_and(|rounds| !(1..=100).contains(&rounds)) {
            return Err(refused("max_iterations must be between 1 and 100"));
        }
        Ok(())
    }

    pub(super) fn offered(&self) -> &[Arc<dyn Tool>] {
        self.tools.as_deref().unwrap_or_default()
    }

    /// The identity that must be unique: UUIDs as they are, other texts as version 5 in the DNS namespace.
    pub(super) fn identity(&self) -> Option<Uuid> {
        let text = self.agent_id.as_deref()?;
        let derived = || Uuid::new_v5(&Uuid::NAMESPACE_DNS, text.as_bytes());
        Some(Uuid::parse_str(text).unwrap_or_else(|_| derived()))
    }
}

impl Node {
    /// An agent.
    ///
    /// # Errors
    /// [`Kind::Validation`] for a blank name or prompt, a temperature that is not within 0.0 and 2.0,
    /// `max_tokens` 0, or `max_iterations` outside 1 to 100.
    pub fn agent(name: impl Into<String>, agent: Agent) -> Result<Self> {
        let name = name.into();
        agent.check(&name)?;
        Ok(Self::new(name, NodeKind::Agent(Box::new(agent))))
    }

    /// A condition: `route` names the one successor to go on with.
    ///
    /// # Errors
    /// [`Kind::Validation`] for a blank name.
    pub fn condition(name: impl Into<String>, route: Arc<dyn Route>) -> Result<Self> {
        let name = name.into();
        if name.trim().is_empty() {
            return Err(refused("Condition name cannot be empty"));
        }
        let handler_id = Uuid::new_v4().to_string();
        Ok(Self::new(name, NodeKind::Condition(Condition { handler_id, route })))
    }

    /// A transform: text operations (`"trim | uppercase"`) or a template (`"Summary: {input}"`).
    ///
    /// # Errors
    /// [`Kind::Validation`] for a blank name or transformation. Whether the operations exist is
    /// [`super::Workflow::validate`]'s to say.
    pub fn transform(name: impl Into<String>, transformation: impl Into<String>) -> Result<Self> {
        let (name, transformation) = (name.into(), transformation.into());
        if name.trim().is_empty() {
            return Err(refused("Transform name cannot be empty"));
        }
        if transformation.trim().is_empty() {
            return Err(refused("Transform transformation cannot be empty"));
        }
        Ok(Self::new(name, NodeKind::Transform(Transform::new(&transformation))))
    }

    fn new(name: String, kind: NodeKind) -> Self {
        let id = Uuid::new_v4().to_string();
        Self { inner: Arc::new(Inner { id, name, kind }) }
    }

    /// A random UUID, fixed when the node was made.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// `"Agent"`, `"Condition"` or `"Transform"`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.inner.kind {
            NodeKind::Agent(_) => "Agent",
            NodeKind::Condition(_) => "Condition",
            NodeKind::Transform(_) => "Transform",
        }
    }

    /// Whether others hold this node, too: another clone, a workflow, a run.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// The handler of a condition; `None` for other kinds.
    #[must_use]
    pub fn route(&self) -> Option<&Arc<dyn Route>> {
        match &self.inner.kind {
            NodeKind::Condition(condition) => Some(&condition.route),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> &NodeKind {
        &self.inner.kind
    }

    /// The agent's settings; `None` for other kinds.
    #[must_use]
    pub fn as_agent(&self) -> Option<&Agent> {
        match &self.inner.kind {
            NodeKind::Agent(agent) => Some(agent),
            _ => None,
        }
    }

    /// What was set, for people to read: keys are left out of it.
    #[must_use]
    pub fn config(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        let Some(agent) = self.as_agent() else { return shown };
        let mut put = |name: &str, value: Option<Value>| {
            shown.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("output_name", agent.output_name.as_deref().map(Value::from));
        put("system_prompt", agent.system_prompt.as_deref().map(Value::from));
        put("llm_config", agent.llm_config.as_ref().map(shown_config));
        put("temperature", agent.temperature.map(Value::from));
        put("max_tokens", agent.max_tokens.map(Value::from));
        put("max_iterations", agent.max_iterations.map(Value::from));
        put("enable_prompt_caching", agent.prompt_caching.then_some(Value::Bool(true)));
        let tools = agent.tools.as_ref();
        let names = |tools: &Vec<Arc<dyn Tool>>| {
            tools.iter().map(|tool| Value::from(tool.spec().name.clone())).collect()
        };
        let schemas =
            |tools: &Vec<Arc<dyn Tool>>| tools.iter().map(|tool| schema(&**tool)).collect();
        put("tools", tools.map(names));
        put("tool_schemas", tools.map(schemas));
        shown
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, name, kind) = (self.id(), self.name(), self.type_name());
        write!(f, "Node(id='{id}', name='{name}', type='{kind}')")
    }
}

fn schema(tool: &dyn Tool) -> Value {
    let spec = tool.spec();
    json!({ "name": spec.name, "description": spec.description, "parameters": spec.parameters })
}

/// Provider, model and address; whether there is a key, but not which.
fn shown_config(config: &LlmConfig) -> Value {
    let mut shown = Map::new();
    shown.insert("provider".to_owned(), config.provider().into());
    shown.insert("model".to_owned(), config.model_name().into());
    if let Some(settings) = config.settings() {
        let base_url = settings.connection.base_url.as_deref().map(crate::http::shown_address);
        shown.insert("base_url".to_owned(), base_url.into());
        let names = settings.options.iter();
        shown.extend(names.map(|(name, value)| (name.clone(), value.clone().into())));
        if settings.key.as_ref().is_some_and(|key| !key.is_empty()) {
            shown.insert("api_key".to_owned(), "***".into());
        }
    }
    shown.into()
}

fn refused(text: &'static str) -> Error {
    Error::new(Kind::Validation, text)
}
