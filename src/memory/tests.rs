use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::database::Database;
use super::record::{Memory, Scope};
use super::rows::{self, Step, Text};
use super::search::{Found, Search};
use crate::error::{Kind, Result};
use crate::runtime;

const MODEL: &str = "example/model";

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("graphbit-memory-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("memory.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run<T: Send + 'static>(
    database: &Database,
    work: impl Fn(&mut Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
) -> Result<T> {
    let database = database.clone();
    runtime::block_on(async move { database.run(work).await })
}

fn private() -> Database {
    Database::new(Path::new(":memory:"))
}

fn user(name: &str) -> Scope {
    Scope { user_id: Some(name.to_owned()), ..Scope::default() }
}

fn text(content: &str, vector: &[f32]) -> Text {
    Text { content: content.to_owned(), vector: Some(vector.to_vec()) }
}

fn apply(database: &Database, scope: &Scope, steps: Vec<Step>) -> Vec<Memory> {
    let scope = scope.clone();
    run(database, move |connection| rows::apply(connection, &steps, &scope, MODEL)).unwrap()
}

fn add(database: &Database, scope: &Scope, content: &str, vector: &[f32]) -> String {
    let mut added = apply(database, scope, vec![Step::Add(text(content, vector))]);
    added.pop().unwrap().id
}

fn find(database: &Database, scope: Scope, threshold: f64, top_k: usize) -> Found {
    let (query, model) = (vec![1.0, 0.0], MODEL.to_owned());
    let search = Search { query, scope, model, threshold, top_k };
    run(database, move |connection| search.run(connection)).unwrap()
}

fn contents(found: Found) -> Vec<String> {
    match found {
        Found::Hits(hits) => hits.into_iter().map(|hit| hit.memory.content).collect(),
        Found::Bare(bare) => panic!("without vectors: {bare:?}"),
    }
}

#[test]
fn a_search_counts_within_its_scope_only() {
    let database = private();
    for number in 0..300 {
        add(&database, &user("many"), &format!("near {number}"), &[1.0, 0.0]);
    }
    add(&database, &user("one"), "far", &[0.8, 0.6]);
    add(&database, &user("one"), "beside", &[0.0, 1.0]);
    add(&database, &user("one"), "farther", &[0.6, 0.8]);
    assert_eq!(contents(find(&database, user("one"), 0.5, 2)), ["far", "farther"]);
    assert_eq!(contents(find(&database, user("one"), 0.0, 1)), ["far"]);
    // Of equals the one that was added first.
    assert_eq!(contents(find(&database, Scope::default(), 0.5, 2)), ["near 0", "near 1"]);
    assert_eq!(contents(find(&database, Scope::default(), 0.0, 1000)).len(), 303);
}

#[test]
fn a_vector_of_another_text_length_or_model_does_not_count() {
    let database = private();
    let id = add(&database, &user("a"), "first", &[1.0, 0.0]);
    add(&database, &user("b"), "other", &[1.0, 0.0, 0.0]);
    assert!(matches!(find(&database, user("b"), 0.0, 1), Found::Bare(_)));
    let same = id.clone();
    run(&database, move |connection| {
        // As another program does, which knows nothing of vectors.
        connection.execute("UPDATE memories SET content = 'second' WHERE id = ?1", [&same])
    })
    .unwrap();
    let Found::Bare(bare) = find(&database, user("a"), 0.0, 1) else { panic!("it was found") };
    assert_eq!(bare, [(id.clone(), "second".to_owned())]);
    let entries = [(id, text("second", &[0.6, 0.8])), ("gone".to_owned(), text("x", &[1.0, 0.0]))];
    run(&database, move |connection| rows::add_vectors(connection, &entries, MODEL)).unwrap();
    assert_eq!(contents(find(&database, user("a"), 0.0, 1)), ["second"]);
    let (query, model) = (vec![1.0, 0.0], "another".to_owned());
    let search = Search { query, scope: user("a"), model, threshold: 0.0, top_k: 1 };
    let found = run(&database, move |connection| search.run(connection)).unwrap();
    assert!(matches!(found, Found::Bare(_)));
}

#[test]
fn a_decision_is_applied_within_its_scope_and_in_its_order() {
    let database = private();
    let (mine, theirs) = (user("mine"), user("theirs"));
    let own = add(&database, &mine, "own", &[1.0, 0.0]);
    let foreign = add(&database, &theirs, "foreign", &[1.0, 0.0]);
    let changed = apply(
        &database,
        &mine,
        vec![
            Step::Update(foreign.clone(), text("taken over", &[1.0, 0.0])),
            Step::Delete(foreign),
            Step::Update(own.clone(), text("newer", &[1.0, 0.0])),
            Step::Add(text("more", &[1.0, 0.0])),
            Step::Delete(own.clone()),
            Step::Update(own.clone(), text("too late", &[1.0, 0.0])),
        ],
    );
    let said: Vec<_> = changed.iter().map(|memory| memory.content.as_str()).collect();
    assert_eq!(said, ["newer", "more"]);
    let all = run(&database, |connection| rows::all(connection, &Scope::default())).unwrap();
    let left: Vec<_> = all.iter().map(|memory| memory.content.as_str()).collect();
    assert_eq!(left, ["foreign", "more"]);
    let history = run(&database, move |connection| rows::history(connection, &own)).unwrap();
    let changes: Vec<_> = history
        .iter()
        .map(|change| (change.action.as_str(), &*change.old_content, &*change.new_content))
        .collect();
    assert_eq!(changes, [("ADD", "", "own"), ("UPDATE", "own", "newer"), ("DELETE", "newer", "")]);
}

#[test]
fn a_failure_in_the_middle_leaves_nothing() {
    let folder = Folder::new();
    let database = Database::new(&folder.file());
    run(&database, |connection| {
        connection.execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON memory_history WHEN NEW.new_content = 'second'
             BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
    })
    .unwrap();
    let steps = vec![Step::Add(text("first", &[1.0, 0.0])), Step::Add(text("second", &[1.0, 0.0]))];
    let apply = move |connection: &mut Connection| {
        rows::apply(connection, &steps, &Scope::default(), MODEL)
    };
    let error = run(&database, apply).unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert_eq!(error.message(), "Internal error: SQLite error: disk full");
    let count = |connection: &mut Connection| {
        connection.query_row(
            "SELECT (SELECT count(*) FROM memories) + (SELECT count(*) FROM memory_vectors)
                + (SELECT count(*) FROM memory_history)",
            [],
            |row| row.get::<_, i64>(0),
        )
    };
    assert_eq!(run(&database, count).unwrap(), 0);
}

#[test]
fn histories_are_kept_unless_they_are_not_wanted() {
    let database = private();
    let ids: Vec<_> =
        ["a", "a", "b"].map(|name| add(&database, &user(name), "said", &[1.0, 0.0])).to_vec();
    let changes = |id: &String| {
        let id = id.clone();
        run(&database, move |connection| rows::history(connection, &id)).unwrap().len()
    };
    let delete = |id: Option<&String>, scope: Scope, keep| {
        let id = id.cloned();
        let work = move |connection: &mut Connection| {
            rows::delete(connection, id.as_deref(), &scope, keep)
        };
        run(&database, work).unwrap();
    };
    delete(Some(&ids[0]), Scope::default(), true);
    assert_eq!([changes(&ids[0]), changes(&ids[1])], [2, 1]);
    delete(Some(&ids[0]), Scope::default(), false);
    assert_eq!([changes(&ids[0]), changes(&ids[1])], [0, 1]);
    delete(None, user("a"), true);
    delete(None, user("b"), false);
    assert_eq!([changes(&ids[1]), changes(&ids[2])], [2, 0]);
    delete(None, Scope::default(), false);
    assert_eq!(changes(&ids[1]), 0);
}

#[test]
fn a_locked_file_is_waited_for() {
    let folder = Folder::new();
    let database = Database::new(&folder.file());
    add(&database, &Scope::default(), "first", &[1.0, 0.0]);
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let waiting = std::thread::spawn(move || {
        add(&database, &Scope::default(), "second", &[1.0, 0.0]);
        run(&database, |connection| rows::all(connection, &Scope::default())).unwrap().len()
    });
    // Longer than SQLite itself is told to wait.
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert!(!waiting.is_finished());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(waiting.join().unwrap(), 2);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let folder = Folder::new();
    let missing = folder.0.join("no folder").join("memory.db");
    let other = folder.0.join("other");
    std::fs::write(&other, "no database at all, but a text that is long enough".repeat(10))
        .unwrap();
    for (path, reason) in [
        (missing.clone(), format!("unable to open database file: {}", missing.display())),
        (other, "file is not a database".to_owned()),
    ] {
        let error = run(&Database::new(&path), |_| Ok(())).unwrap_err();
        assert_eq!(error.message(), format!("Internal error: SQLite error: {reason}"));
    }
    let closed = private();
    run(&closed, |_| Ok(())).unwrap();
    for _ in 0..2 {
        let database = closed.clone();
        runtime::block_on(async move { database.close().await }).unwrap();
        let error = run(&closed, |_| Ok(())).unwrap_err();
        assert_eq!(error.message(), "Memory error: this client is closed");
    }
}

#[test]
fn metadata_of_others_are_read_as_texts() {
    let database = private();
    add(&database, &Scope::default(), "said", &[1.0, 0.0]);
    for (written, expected) in [
        (
            r#"{"b": "text", "a": 5, "c": [null]}"#,
            &[("a", "5"), ("b", "text"), ("c", "[null]")][..],
        ),
        ("no JSON", &[]),
        ("[1]", &[]),
    ] {
        run(&database, move |connection| {
            connection.execute("UPDATE memories SET metadata = ?1", [written])
        })
        .unwrap();
        let all = run(&database, |connection| rows::all(connection, &Scope::default())).unwrap();
        let read = all[0].metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }
}
