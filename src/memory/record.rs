//! What is remembered, as callers meet it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::error::{Error, Kind, Result};

/// One thing remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// A UUID, hyphenated and in small letters.
    pub id: String,
    /// The fact itself.
    pub content: String,
    /// Whom it is about.
    pub user_id: Option<String>,
    /// Which agent learned it.
    pub agent_id: Option<String>,
    /// In which run.
    pub run_id: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; the moment of the last change.
    pub updated_at: String,
    /// Whatever stands beside it in the file; empty for what is added here.
    pub metadata: BTreeMap<String, String>,
}

/// A memory that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredMemory {
    /// What was found.
    pub memory: Memory,
    /// Cosine similarity to the query.
    pub score: f32,
}

/// One change of a memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// Which memory.
    pub memory_id: String,
    /// The content before; empty for one that was added.
    pub old_content: String,
    /// The content after; empty for one that was deleted.
    pub new_content: String,
    /// `ADD`, `UPDATE` or `DELETE`.
    pub action: String,
    /// RFC 3339.
    pub timestamp: String,
}

/// Whose memories are meant. What is `None` stands for all; the rest must be equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Memories about this user.
    pub user_id: Option<String>,
    /// Memories of this agent.
    pub agent_id: Option<String>,
    /// Memories of this run.
    pub run_id: Option<String>,
}

impl Scope {
    /// Column and value of each part that is set.
    fn parts(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let parts =
            [("user_id", &self.user_id), ("agent_id", &self.agent_id), ("run_id", &self.run_id)];
        parts.into_iter().filter_map(|(column, value)| Some((column, value.as_ref()?)))
    }

    /// The condition in SQL, with a `?` for each of [`Scope::values`]. Columns that are meant by no part do not
    /// occur in it, so that the index of one that is can be used.
    pub(super) fn condition(&self) -> String {
        let conditions: Vec<_> = self.parts().map(|(column, _)| format!("{column} = ?")).collect();
        if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") }
    }

    pub(super) fn values(&self) -> Vec<String> {
        self.parts().map(|(_, value)| value.clone()).collect()
    }
}

/// An id in the form in which it is stored, from any form in which UUIDs are written.
pub(super) fn parsed_id(text: &str) -> Result<String> {
    match Uuid::parse_str(text) {
        Ok(id) => Ok(id.to_string()),
        Err(reason) => {
            let text = format!("Invalid memory ID '{text}': {reason}");
            Err(Error::new(Kind::Validation, text))
        }
    }
}
