//! One event of this crate, taken out of `tracing` so that another thread can tell of it.

use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::Level;
use tracing::field::{Field, Visit};

/// What happened, where and when.
#[derive(Clone, Debug)]
pub struct Event {
    /// How much it matters.
    pub level: Level,
    /// The part of this crate it is about, such as `graphbit::resilience`.
    pub target: &'static str,
    /// The source file, when known.
    pub file: Option<&'static str>,
    /// The line in it.
    pub line: Option<u32>,
    /// When it happened, which may be a moment before it is told.
    pub at: SystemTime,
    /// The words, without the fields.
    pub message: String,
    /// The facts, in their order.
    pub fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// Everything else, as it is displayed.
    Text(String),
}

impl Event {
    pub(super) fn new(event: &tracing::Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut taken = Self {
            level: *metadata.level(),
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
            at: SystemTime::now(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut taken);
        taken
    }

    /// The words and the facts in one line: `retrying attempt=2 pause_ms=200 provider=openai`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{space}{name}={value}");
        }
        text
    }

    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(words)) => self.message = words,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Event {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Integer(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Integer(value.into()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add(field, Value::Integer(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Float(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::Text(format!("{value:?}")));
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            // Quoted where it would not be clear where it ends, or could pass for a line of its own.
            Self::Text(text) if text.is_empty() || text.contains(needs_quotes) => {
                write!(f, "{text:?}")
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn needs_quotes(character: char) -> bool {
    character.is_whitespace() || character.is_control() || matches!(character, '"' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_words_and_then_the_facts_in_their_order() {
        let mut event = Event {
            level: Level::INFO,
            target: "graphbit",
            file: None,
            line: None,
            at: SystemTime::UNIX_EPOCH,
            message: "retrying".to_owned(),
            fields: vec![
                ("attempt", Value::Integer(2)),
                ("share", Value::Float(0.5)),
                ("last", Value::Bool(false)),
                ("provider", Value::Text("openai".to_owned())),
                ("error", Value::Text("no \"answer\"\nin time".to_owned())),
                ("model", Value::Text(String::new())),
            ],
        };
        let facts = r#"attempt=2 share=0.5 last=false provider=openai error="no \"answer\"\nin time" model="""#;
        assert_eq!(event.text(), format!("retrying {facts}"));
        event.message.clear();
        assert_eq!(event.text(), facts);
    }
}
