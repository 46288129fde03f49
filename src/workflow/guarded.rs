//! What a policy makes of an agent's conversation.
//!
//! [`Guarded`] stands between the node and everything that leaves it: the model reads what [`Guarded::hide`]
//! returns, and so do metadata and events; tools and the nodes below get what [`Guarded::show`] returns.
//! Without a policy that hides, both return what they are given, and nothing is copied. The values live as long
//! as the node runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::callback::ToolReply;
use super::run::AgentTexts;
use crate::guard::{Applied, Mask, Policy, Reveal};
use crate::types::{ChatResponse, Message, Role, ToolCall, ToolSpec};

/// Told to the model as soon as there is a token in its conversation. No digit and no address is in it, so
/// that no rule finds something here.
const HINT: &str = "Some values in this conversation are kept back. A code such as <NAME:code> stands in the \
     place of each; equal codes stand for equal values. Wherever an answer or an argument of a tool needs \
     such a value, put the code there exactly as it is written here, from < to >.";

/// A policy at work on one node.
pub(super) struct Guarded {
    policy: Option<Arc<Policy>>,
    /// `None` where nothing is hidden.
    mask: Option<Mutex<Mask>>,
}

impl Guarded {
    pub(super) fn new(policy: Option<&Arc<Policy>>) -> Self {
        let hides = policy.filter(|policy| policy.masks());
        let mask = hides.map(|policy| Mutex::new(Mask::new(Arc::clone(policy))));
        Self { policy: policy.cloned(), mask }
    }

    /// The mask, for a moment: nobody waits with it in hand.
    fn mask(&self) -> Option<MutexGuard<'_, Mask>> {
        let mask = self.mask.as_ref()?;
        Some(mask.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The mask, if values are put back.
    fn map(&self) -> Option<MutexGuard<'_, Mask>> {
        self.policy.as_ref().filter(|policy| policy.maps()).and_then(|_| self.mask())
    }

    /// A text as it may leave the node.
    pub(super) fn hide(&self, text: String) -> String {
        match self.mask() {
            Some(mut mask) => mask.encode(&text),
            None => text,
        }
    }

    /// The user message, and the prompt alone. The parts are looked at one by one, for a pattern may ask for
    /// the beginning of a text, and then as the one text that they become.
    pub(super) fn message(&self, texts: AgentTexts) -> (String, String) {
        let prompt = self.hide(texts.prompt);
        let [context, parents] = [texts.context, texts.parents].map(|text| self.hide(text));
        (self.hide(format!("{context}{parents}{prompt}")), prompt)
    }

    /// Tools as the model may see them.
    pub(super) fn specs<'t>(&self, specs: impl Iterator<Item = &'t ToolSpec>) -> Vec<ToolSpec> {
        let specs = specs.map(|spec| match self.mask() {
            Some(mut mask) => ToolSpec {
                name: spec.name.clone(),
                description: mask.encode(&spec.description),
                parameters: mask.encode_schema(&spec.parameters),
            },
            None => spec.clone(),
        });
        specs.collect()
    }

    /// An answer as it goes back to the model, and into metadata. `None` where it does so as it is.
    pub(super) fn answer(&self, answer: &ChatResponse) -> Option<ChatResponse> {
        let mut mask = self.mask()?;
        let mut hidden = answer.clone();
        hidden.content = mask.encode(&hidden.content);
        for ToolCall { arguments, .. } in &mut hidden.tool_calls {
            *arguments = mask.encode_json(arguments);
        }
        Some(hidden)
    }

    /// What a tool said, as the model may read it.
    pub(super) fn reply(&self, reply: ToolReply) -> ToolReply {
        match reply {
            ToolReply::Output(text) => ToolReply::Output(self.hide(text)),
            ToolReply::Failure(text) => ToolReply::Failure(self.hide(text)),
        }
    }

    /// The text of an answer with the values in it, where the policy maps.
    pub(super) fn show(&self, text: String) -> String {
        match self.map() {
            Some(mut mask) => mask.decode(&text),
            None => text,
        }
    }

    /// Arguments with the values in them, where the policy maps.
    pub(super) fn arguments(&self, arguments: Value) -> Value {
        match self.map() {
            Some(mut mask) => mask.decode_json(&arguments),
            None => arguments,
        }
    }

    /// A piece of a streamed answer with the values in it, where the policy maps. Less than `piece` while
    /// that may end in the middle of a token.
    pub(super) fn piece(&self, reveal: &mut Reveal, piece: String) -> String {
        match self.map() {
            Some(mask) => reveal.push(&mask, &piece),
            None => piece,
        }
    }

    /// Tells the model of the tokens, if there are any.
    pub(super) fn instruct(&self, messages: &mut [Message]) {
        if self.mask().is_some_and(|mask| mask.is_used())
            && let Some(first) = messages.iter_mut().find(|message| message.role == Role::User)
        {
            first.content.insert_str(0, "\n\n");
            first.content.insert_str(0, HINT);
        }
    }

    /// The entry of the metadata for what a request hides; for the first request also where nothing is hidden.
    pub(super) fn encoded(&self, first: bool) -> Option<Value> {
        let applied = self.mask().map(|mut mask| mask.take_encoded());
        if applied.is_none() && !first {
            return None;
        }
        self.entry("encode", &applied.unwrap_or_default())
    }

    /// The entry for what was put back into an answer, that of the first request or a further one.
    pub(super) fn decoded(&self, first: bool) -> Option<Value> {
        let applied = self.map().map(|mut mask| mask.take_decoded());
        if applied.is_none() && !first {
            return None;
        }
        self.entry(if first { "rehydrate" } else { "decode" }, &applied.unwrap_or_default())
    }

    fn entry(&self, operation: &str, applied: &Applied) -> Option<Value> {
        let policy = self.policy.as_ref()?;
        Some(json!({
            "type": "guardrail_policy",
            "operation": operation,
            "policy_name": policy.name(),
            "pii_rules_applied_count": applied.count,
            "pii_rule_names": applied.names.iter().map(|name| &**name).collect::<Vec<_>>(),
        }))
    }
}
