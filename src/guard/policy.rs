//! [`Policy`]: a document of rules, checked when it is read and never changed afterwards.

use std::fmt;

use serde_json::{Map, Value, json};

use super::rule::Rule;
use crate::error::{Error, Kind, Result};

/// What is private, and what is done about it.
#[derive(Clone)]
pub struct Policy {
    name: String,
    version: String,
    active: bool,
    rules: Vec<Rule>,
    masking: Option<bool>,
    mapping: Option<bool>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            version: "0.0.0".to_owned(),
            active: false,
            rules: Vec::new(),
            masking: None,
            mapping: None,
        }
    }
}

impl Policy {
    /// The policy in a document: `{"policy_name", "policy_version", "active", "guardrail_policy":
    /// {"pii_rules": [{"type": "regex", "name", "pattern"}], "masking", "mapping"}}`, all of it optional. As
    /// in GraphBit, what is not understood is passed over, and JSON that is no object is the inactive
    /// default; a rule that is passed over protects nothing, so the log says so.
    ///
    /// # Errors
    /// [`Kind::GuardRail`] when the text is no JSON, a name or version is empty, or a pattern cannot be used,
    /// also in a policy that is not active.
    pub fn from_json(text: &str) -> Result<Self> {
        // Editors on Windows put a mark in front of a file.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document: Value = serde_json::from_str(text)
            .map_err(|error| refused(format_args!("the policy is not valid JSON: {error}")))?;
        let Value::Object(document) = document else {
            tracing::warn!("the document of a policy is no JSON object: inactive");
            return Ok(Self::default());
        };
        let Self { name, version, .. } = Self::default();
        let name = word(&document, "policy_name", name)?;
        let inner = document.get("guardrail_policy");
        let active = match document.get("active") {
            None => inner.is_some(),
            Some(Value::Bool(active)) => *active,
            Some(_) => {
                tracing::warn!(policy = name, "'active' is not true or false: inactive");
                false
            }
        };
        if inner.is_some_and(|inner| !inner.is_object()) {
            tracing::warn!(policy = name, "'guardrail_policy' is no object: passed over");
        }
        let entry = |entry: &str| inner?.get(entry).filter(|given| !given.is_null());
        let flag = |flag: &str| {
            let given = entry(flag)?;
            if !given.is_boolean() {
                tracing::warn!(policy = name, "'{flag}' is not true or false: passed over");
            }
            given.as_bool()
        };
        let listed = entry("pii_rules");
        if listed.is_some_and(|listed| !listed.is_array()) {
            tracing::warn!(policy = name, "'pii_rules' is no list: passed over");
        }
        let listed = listed.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let policy = Self {
            version: word(&document, "policy_version", version)?,
            active,
            rules: rules(&name, listed)?,
            masking: flag("masking"),
            mapping: flag("mapping"),
            name,
        };
        // Rules under another name, or in another place, are no rules here.
        if policy.masks() && policy.rules.is_empty() {
            let policy = policy.name();
            tracing::warn!(policy, "active without rules in 'guardrail_policy': nothing is hidden");
        }
        Ok(policy)
    }

    /// Its name; `default` unless given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version; `0.0.0` unless given.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the document says: `active`, else whether it has a `guardrail_policy`.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Whether anything is hidden: it is active, and `masking` is not false unless `mapping` is true.
    #[must_use]
    pub fn masks(&self) -> bool {
        self.active && (self.masking.unwrap_or(true) || self.mapping == Some(true))
    }

    /// Whether values are put back into answers and the arguments of tools.
    #[must_use]
    pub fn maps(&self) -> bool {
        self.active && self.mapping == Some(true)
    }

    /// What it does, as data: equal for policies that treat every text alike, `None` when it does nothing.
    #[must_use]
    pub fn effect(&self) -> Option<Value> {
        self.masks().then(|| json!([self.listed(), self.maps()]))
    }

    /// The document again, without what was passed over.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut inner = Map::new();
        inner.insert("pii_rules".to_owned(), self.listed());
        for (name, flag) in [("masking", self.masking), ("mapping", self.mapping)] {
            inner.extend(flag.map(|flag| (name.to_owned(), flag.into())));
        }
        json!({
            "policy_name": self.name,
            "policy_version": self.version,
            "active": self.active,
            "guardrail_policy": inner,
        })
    }

    fn listed(&self) -> Value {
        let rule = |rule: &Rule| json!({ "type": "regex", "name": &**rule.name(), "pattern": rule.pattern() });
        self.rules.iter().map(rule).collect()
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("active", &self.active)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// The text of that name; other than text counts as not given.
fn word(document: &Map<String, Value>, name: &str, unless: String) -> Result<String> {
    match document.get(name).and_then(Value::as_str) {
        None => Ok(unless),
        Some("") => Err(refused(format_args!("'{name}' is empty; leave it out or give it a text"))),
        Some(text) => Ok(text.to_owned()),
    }
}

fn rules(policy: &str, listed: &[Value]) -> Result<Vec<Rule>> {
    let mut rules = Vec::with_capacity(listed.len());
    for (place, rule) in listed.iter().enumerate() {
        let text = |name: &str| rule.get(name).and_then(Value::as_str);
        match (text("type"), text("name"), text("pattern")) {
            (Some("regex"), Some(name), Some(pattern)) => {
                let rule = Rule::new(name, pattern).map_err(|reason| {
                    refused(format_args!("rule '{name}' (number {}): {reason}", place + 1))
                })?;
                rules.push(rule);
            }
            _ => tracing::warn!(
                policy,
                number = place + 1,
                "a rule is passed over: only those of the type 'regex' with a name and a pattern are known"
            ),
        }
    }
    Ok(rules)
}

/// A policy that cannot be used, in the form of GraphBit's messages.
pub(super) fn refused(reason: impl fmt::Display) -> Error {
    Error::new(Kind::GuardRail, format!("GuardRail config error: {reason}"))
}
