//! Reading and writing memories. What belongs together is one transaction: all of it is there, or nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::record::{Change, Memory, Scope};

/// What [`memory`] reads.
pub(super) const COLUMNS: &str =
    "id, content, user_id, agent_id, run_id, created_at, updated_at, metadata";

/// What stands beside a vector.
pub(super) type Hash = [u8; 16];

/// One change that was decided on, with what it costs already paid.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Add(Text),
    Update(String, Text),
    Delete(String),
}

/// A content and its vector; none for a content that says nothing.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) content: String,
    pub(super) vector: Option<Vec<f32>>,
}

pub(super) fn get(connection: &Connection, id: &str) -> rusqlite::Result<Option<Memory>> {
    let query = format!("SELECT {COLUMNS} FROM memories WHERE id = ?1");
    connection.query_row(&query, [id], memory).optional()
}

/// In the order in which they were added.
pub(super) fn all(connection: &Connection, scope: &Scope) -> rusqlite::Result<Vec<Memory>> {
    let condition = scope.condition();
    let query = format!("SELECT {COLUMNS} FROM memories WHERE {condition} ORDER BY rowid");
    let mut statement = connection.prepare(&query)?;
    statement.query_map(params_from_iter(scope.values()), memory)?.collect()
}

/// Id and content of all, in the order in which they were added.
pub(super) fn contents(
    connection: &Connection,
    scope: &Scope,
) -> rusqlite::Result<Vec<(String, String)>> {
    let condition = scope.condition();
    let query = format!("SELECT id, content FROM memories WHERE {condition} ORDER BY rowid");
    let mut statement = connection.prepare(&query)?;
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    statement.query_map(params_from_iter(scope.values()), pair)?.collect()
}

/// Whether there is a memory to compare with.
pub(super) fn any(connection: &Connection, scope: &Scope) -> rusqlite::Result<bool> {
    let query = format!("SELECT EXISTS (SELECT 1 FROM memories WHERE {})", scope.condition());
    connection.query_row(&query, params_from_iter(scope.values()), |row| row.get(0))
}

/// Oldest first; of a memory that is gone, too.
pub(super) fn history(connection: &Connection, id: &str) -> rusqlite::Result<Vec<Change>> {
    let query = "
        SELECT memory_id, old_content, new_content, action, timestamp FROM (
            SELECT 0 AS part, * FROM memory_history_kept WHERE memory_id = ?1
            UNION ALL SELECT 1, * FROM memory_history WHERE memory_id = ?1
        ) ORDER BY part, id";
    let change = |row: &Row<'_>| {
        Ok(Change {
            memory_id: row.get(0)?,
            old_content: row.get(1)?,
            new_content: row.get(2)?,
            action: row.get(3)?,
            timestamp: row.get(4)?,
        })
    };
    connection.prepare(query)?.query_map([id], change)?.collect()
}

/// Takes all steps whose memory is there and within the scope. What was added or updated, as it was then.
pub(super) fn apply(
    connection: &mut Connection,
    steps: &[Step],
    scope: &Scope,
    model: &str,
) -> rusqlite::Result<Vec<Memory>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut changed = Vec::new();
    for step in steps {
        let id = match step {
            Step::Add(text) => Some(add(&transaction, text, scope, model)?),
            Step::Update(id, text) => {
                update(&transaction, id, text, scope, model)?.then(|| id.clone())
            }
            Step::Delete(id) => {
                let condition = scope.condition();
                let query = format!("DELETE FROM memories WHERE {condition} AND id = ?");
                let values = scope.values().into_iter().chain([id.clone()]);
                transaction.execute(&query, params_from_iter(values))?;
                None
            }
        };
        if let Some(id) = id {
            changed.extend(get(&transaction, &id)?);
        }
    }
    transaction.commit()?;
    Ok(changed)
}

/// Deletes everything in the scope, or the one memory of this id.
pub(super) fn delete(
    connection: &mut Connection,
    id: Option<&str>,
    scope: &Scope,
    keep_history: bool,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut condition = scope.condition();
    let mut values = scope.values();
    if let Some(id) = id {
        condition.push_str(" AND id = ?");
        values.push(id.to_owned());
    }
    let query = format!("DELETE FROM memories WHERE {condition} RETURNING id");
    let mut statement = transaction.prepare(&query)?;
    let gone = statement.query_map(params_from_iter(&values), |row| row.get(0))?;
    let mut gone: Vec<String> = gone.collect::<rusqlite::Result<_>>()?;
    drop(statement);
    if !keep_history {
        // One that was deleted before has its history here only.
        gone.extend(id.map(str::to_owned));
        if values.is_empty() {
            transaction.execute("DELETE FROM memory_history_kept", [])?;
        }
        for id in gone {
            transaction.execute("DELETE FROM memory_history_kept WHERE memory_id = ?1", [id])?;
        }
    }
    transaction.commit()
}

/// Puts vectors beside memories that had none that fits. One whose memory has gone meanwhile is dropped.
pub(super) fn add_vectors(
    connection: &mut Connection,
    entries: &[(String, Text)],
    model: &str,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, text) in entries {
        put_vector(&transaction, id, text, model)?;
    }
    transaction.commit()
}

/// What a vector was made of.
pub(super) fn content_hash(content: &str) -> Hash {
    let whole = blake3::hash(content.as_bytes());
    whole.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn add(
    transaction: &Transaction<'_>,
    text: &Text,
    scope: &Scope,
    model: &str,
) -> rusqlite::Result<String> {
    let (id, now) = (Uuid::new_v4().to_string(), now());
    let insert = "
        INSERT INTO memories
            (id, content, user_id, agent_id, run_id, hash, metadata, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, '{}', ?7, ?7)";
    let Scope { user_id, agent_id, run_id } = scope;
    let hash = short_hash(&text.content);
    transaction.execute(insert, params![id, text.content, user_id, agent_id, run_id, hash, now])?;
    write_down(transaction, &id, "", &text.content, "ADD", &now)?;
    put_vector(transaction, &id, text, model)?;
    Ok(id)
}

/// Whether there was such a memory.
fn update(
    transaction: &Transaction<'_>,
    id: &str,
    text: &Text,
    scope: &Scope,
    model: &str,
) -> rusqlite::Result<bool> {
    let condition = scope.condition();
    let query = format!("SELECT content FROM memories WHERE {condition} AND id = ?");
    let values = scope.values().into_iter().chain([id.to_owned()]);
    let before = transaction.query_row(&query, params_from_iter(values), |row| row.get(0));
    let Some(before): Option<String> = before.optional()? else { return Ok(false) };
    let now = now();
    let change = "UPDATE memories SET content = ?2, hash = ?3, updated_at = ?4 WHERE id = ?1";
    transaction.execute(change, params![id, text.content, short_hash(&text.content), now])?;
    write_down(transaction, id, &before, &text.content, "UPDATE", &now)?;
    // Those of other models, too: they were made of what it said before.
    transaction.execute("DELETE FROM memory_vectors WHERE memory_id = ?1", [id])?;
    put_vector(transaction, id, text, model)?;
    Ok(true)
}

fn write_down(
    transaction: &Transaction<'_>,
    id: &str,
    old: &str,
    new: &str,
    action: &str,
    now: &str,
) -> rusqlite::Result<()> {
    let insert = "
        INSERT INTO memory_history (memory_id, old_content, new_content, action, timestamp)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    transaction.execute(insert, [id, old, new, action, now]).map(drop)
}

fn put_vector(
    transaction: &Transaction<'_>,
    id: &str,
    text: &Text,
    model: &str,
) -> rusqlite::Result<()> {
    let Some(vector) = &text.vector else { return Ok(()) };
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let insert = "
        INSERT OR REPLACE INTO memory_vectors (memory_id, model, content_hash, vector)
        SELECT id, ?2, ?3, ?4 FROM memories WHERE id = ?1";
    let hash = content_hash(&text.content);
    transaction.execute(insert, params![id, model, hash.as_slice(), bytes]).map(drop)
}

pub(super) fn memory(row: &Row<'_>) -> rusqlite::Result<Memory> {
    Ok(Memory {
        id: row.get(0)?,
        content: row.get(1)?,
        user_id: row.get(2)?,
        agent_id: row.get(3)?,
        run_id: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
        metadata: metadata(row.get_ref(7)?.as_str().unwrap_or_default()),
    })
}

/// Others may have written into the column, and not only texts.
fn metadata(json: &str) -> BTreeMap<String, String> {
    let entries: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    entries.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// The column `hash`, which has the original's form and which nobody reads.
fn short_hash(content: &str) -> String {
    blake3::hash(content.as_bytes()).to_hex().chars().take(16).collect()
}

/// As the original writes dates, but with microseconds, which every version of Python reads.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
