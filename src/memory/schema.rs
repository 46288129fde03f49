//! The tables of a memory file, as GraphBit 0.6.8 makes them, and what stands beside them.
//!
//! `memories` and `memory_history` are the original's, column by column: either package reads and writes what the
//! other wrote. Beside them are two tables that the original does not know. `memory_vectors` keeps what was paid
//! for, with the model and the content it was made of. `memory_history_kept` outlives its memory, whose own history
//! goes with it by the foreign key; a trigger fills it, so that it does so whoever deletes.

use rusqlite::{Connection, TransactionBehavior};

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS memories (
        id TEXT PRIMARY KEY,
        content TEXT NOT NULL,
        user_id TEXT,
        agent_id TEXT,
        run_id TEXT,
        hash TEXT NOT NULL,
        metadata TEXT NOT NULL DEFAULT '{}',
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS memory_history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        memory_id TEXT NOT NULL,
        old_content TEXT NOT NULL DEFAULT '',
        new_content TEXT NOT NULL DEFAULT '',
        action TEXT NOT NULL,
        timestamp TEXT NOT NULL,
        FOREIGN KEY (memory_id) REFERENCES memories(id) ON DELETE CASCADE
    );
    CREATE INDEX IF NOT EXISTS idx_memories_user_id ON memories(user_id);
    CREATE INDEX IF NOT EXISTS idx_memories_agent_id ON memories(agent_id);
    CREATE INDEX IF NOT EXISTS idx_memories_run_id ON memories(run_id);
    CREATE INDEX IF NOT EXISTS idx_memories_hash ON memories(hash);
    CREATE INDEX IF NOT EXISTS idx_history_memory_id ON memory_history(memory_id);
    CREATE TABLE IF NOT EXISTS memory_vectors (
        memory_id TEXT NOT NULL REFERENCES memories(id) ON DELETE CASCADE,
        model TEXT NOT NULL,
        content_hash BLOB NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (memory_id, model)
    );
    CREATE TABLE IF NOT EXISTS memory_history_kept (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        memory_id TEXT NOT NULL,
        old_content TEXT NOT NULL,
        new_content TEXT NOT NULL,
        action TEXT NOT NULL,
        timestamp TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS idx_history_kept_memory_id ON memory_history_kept(memory_id);
    CREATE TRIGGER IF NOT EXISTS memory_history_is_kept BEFORE DELETE ON memories BEGIN
        INSERT INTO memory_history_kept (memory_id, old_content, new_content, action, timestamp)
            SELECT memory_id, old_content, new_content, action, timestamp
            FROM memory_history WHERE memory_id = OLD.id ORDER BY id;
        INSERT INTO memory_history_kept (memory_id, old_content, new_content, action, timestamp)
            VALUES (OLD.id, OLD.content, '', 'DELETE', strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'));
    END;
";
/// Which of the above are there. Asked first, because making sure of it takes the file's one lock for writing.
const THERE: &str = "SELECT count(*) FROM sqlite_schema WHERE name IN (
    'memories', 'memory_history', 'memory_vectors', 'memory_history_kept', 'memory_history_is_kept')";
const ALL: i64 = 5;

/// Sets a new connection up, and the file if it needs it.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "foreign_keys", true)?;
    let there: i64 = connection.query_row(THERE, [], |row| row.get(0))?;
    if there < ALL {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(CREATE)?;
        transaction.commit()?;
    }
    Ok(())
}
