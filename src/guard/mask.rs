//! [`Mask`]: the values of one conversation, and the tokens that stand for them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;
use uuid::Uuid;

use super::policy::Policy;
use super::rule::{Found, claims};
use super::token::{self, Shape};

/// How often a text is looked at again. A token in the place of a value can make its neighbour match (`\b`);
/// a pattern for which that never ends has what is left of the text hidden whole.
const LOOKS: usize = 8;

/// How many values were replaced, and by which rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The values, equal ones each time.
    pub count: usize,
    /// The rules, in the order of their first use.
    pub names: Vec<Arc<str>>,
}

impl Applied {
    fn add(&mut self, name: &Arc<str>) {
        self.count = self.count.saturating_add(1);
        if !self.names.contains(name) {
            self.names.push(Arc::clone(name));
        }
    }
}

/// The values of one conversation. `Debug` does not show them.
pub struct Mask {
    policy: Arc<Policy>,
    seal: u16,
    tokens: BTreeMap<u32, Token>,
    by_value: HashMap<Arc<str>, u32>,
    /// Numbers of tokens that stand in the texts already and are not of this mask.
    foreign: HashSet<u32>,
    encoded: Applied,
    decoded: Applied,
}

struct Token {
    name: Arc<str>,
    value: Arc<str>,
}

/// Which tokens a text that begins with `<` may turn out to be.
pub(super) enum Start<'m> {
    Token {
        name: &'m Arc<str>,
        value: &'m str,
        length: usize,
    },
    /// More of the text has to be known.
    Open,
    Other,
}

impl Mask {
    /// A mask that knows no value yet.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        let seal = Uuid::new_v4().as_u128() % 1000;
        Self {
            policy,
            seal: u16::try_from(seal).unwrap_or_default(),
            tokens: BTreeMap::new(),
            by_value: HashMap::new(),
            foreign: HashSet::new(),
            encoded: Applied::default(),
            decoded: Applied::default(),
        }
    }

    /// Whether there is a token at all.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// What was hidden since this was last asked.
    pub fn take_encoded(&mut self) -> Applied {
        std::mem::take(&mut self.encoded)
    }

    /// What was put back since this was last asked.
    pub fn take_decoded(&mut self) -> Applied {
        std::mem::take(&mut self.decoded)
    }

    /// The text with a token in the place of every match. Tokens of this mask stay as they are, and no match
    /// is left outside of them; matches of nothing are none.
    pub fn encode(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        if !self.policy.masks() {
            return text;
        }
        for look in 0..=LOOKS {
            let parts = self.outside(&text);
            let rules = self.policy.rules();
            let claimed = parts.into_iter().flat_map(|part| {
                let mut found = claims(rules, &text, part.clone());
                if look == LOOKS {
                    found.truncate(1);
                    found.iter_mut().for_each(|found| found.range = part.clone());
                }
                found
            });
            let claimed: Vec<Found> = claimed.collect();
            if claimed.is_empty() {
                break;
            }
            text = self.replaced(&text, &claimed);
        }
        text
    }

    /// The text with its values in the place of this mask's tokens. In a text that is JSON they are put
    /// in as its strings are written.
    pub fn decode(&mut self, text: &str) -> String {
        let quoted = text.trim_start().starts_with(['{', '[', '"'])
            && serde_json::from_str::<IgnoredAny>(text).is_ok();
        self.restored(text, quoted)
    }

    pub(super) fn restored(&mut self, text: &str, quoted: bool) -> String {
        let mut whole = String::with_capacity(text.len());
        let mut applied = std::mem::take(&mut self.decoded);
        let mut rest = text;
        while let Some((before, from)) = rest.find('<').and_then(|at| rest.split_at_checked(at)) {
            whole.push_str(before);
            let length = match self.start(from) {
                Start::Token { name, value, length } => {
                    applied.add(name);
                    push_value(&mut whole, value, quoted);
                    length
                }
                _ => {
                    whole.push('<');
                    1
                }
            };
            rest = from.get(length..).unwrap_or_default();
        }
        whole.push_str(rest);
        self.decoded = applied;
        whole
    }

    /// What `text`, which begins with `<`, begins with.
    pub(super) fn start(&self, text: &str) -> Start<'_> {
        let mut open = false;
        for rule in self.policy.rules() {
            match token::shape(text, rule.name()) {
                Shape::Whole { id, length } => {
                    if let Some(token) = self.tokens.get(&id).filter(|it| it.name == *rule.name()) {
                        return Start::Token { name: &token.name, value: &token.value, length };
                    }
                }
                Shape::Cut { id, digits } => {
                    let free = 32_u32.saturating_sub(digits.saturating_mul(4));
                    let first = u64::from(id) << free;
                    let last = first.saturating_add((1_u64 << free).saturating_sub(1));
                    let number = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
                    let mut tokens = self.tokens.range(number(first)..=number(last));
                    open |= tokens.any(|(_, token)| token.name == *rule.name());
                }
                Shape::Other => {}
            }
        }
        if open { Start::Open } else { Start::Other }
    }

    /// The parts of the text between this mask's tokens. Takes note of tokens that are not its own.
    fn outside(&mut self, text: &str) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut from = 0;
        let mut next = 0;
        while let Some(at) = text.get(next..).and_then(|rest| rest.find('<')) {
            let at = next.saturating_add(at);
            let rest = text.get(at..).unwrap_or_default();
            next = at.saturating_add(1);
            if let Start::Token { length, .. } = self.start(rest) {
                parts.push(from..at);
                from = at.saturating_add(length);
                next = from;
                continue;
            }
            for rule in self.policy.rules() {
                if let Shape::Whole { id, .. } = token::shape(rest, rule.name()) {
                    self.foreign.insert(id);
                }
            }
        }
        parts.push(from..text.len());
        parts.retain(|part| !part.is_empty());
        parts
    }

    fn replaced(&mut self, text: &str, claimed: &[Found]) -> String {
        let mut whole = String::with_capacity(text.len());
        let mut from = 0;
        for Found { range, rule } in claimed {
            whole.push_str(text.get(from..range.start).unwrap_or_default());
            let value = text.get(range.clone()).unwrap_or_default();
            let (id, name) = self.token_for(value, *rule);
            self.encoded.add(&name);
            whole.push_str(&token::write(&name, id, self.seal));
            from = range.end;
        }
        whole.push_str(text.get(from..).unwrap_or_default());
        whole
    }

    /// One token for each value, whichever rule finds it again.
    fn token_for(&mut self, value: &str, rule: usize) -> (u32, Arc<str>) {
        if let Some(id) = self.by_value.get(value)
            && let Some(token) = self.tokens.get(id)
        {
            return (*id, Arc::clone(&token.name));
        }
        let id = loop {
            let (id, ..) = Uuid::new_v4().as_fields();
            if !self.tokens.contains_key(&id) && !self.foreign.contains(&id) {
                break id;
            }
        };
        let name = self.policy.rules().get(rule).map(|rule| Arc::clone(rule.name()));
        let name = name.unwrap_or_else(|| "".into());
        let value: Arc<str> = value.into();
        self.by_value.insert(Arc::clone(&value), id);
        self.tokens.insert(id, Token { name: Arc::clone(&name), value });
        (id, name)
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.tokens.len();
        f.debug_struct("Mask").field("tokens", &tokens).finish_non_exhaustive()
    }
}

/// Appends a value; `quoted` as JSON writes it within a string.
pub(super) fn push_value(text: &mut String, value: &str, quoted: bool) {
    if !quoted {
        text.push_str(value);
        return;
    }
    let written = Value::from(value).to_string();
    let inner = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    text.push_str(inner.unwrap_or_default());
}
