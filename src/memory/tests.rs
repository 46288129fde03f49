use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::database::Database;
use super::record::{Memory, Scope, ScoredMemory};
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

fn like(scope: Scope, threshold: f64, top_k: usize) -> Search {
    Search { query: vec![1.0, 0.0], scope, model: MODEL.to_owned(), threshold, top_k }
}

fn searched(database: &Database, search: Search) -> Found {
    let database = database.clone();
    runtime::block_on(async move { Arc::new(search).run(&database).await }).unwrap()
}

fn find(database: &Database, scope: Scope, threshold: f64, top_k: usize) -> Found {
    searched(database, like(scope, threshold, top_k))
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
    let found =
        searched(&database, Search { model: "another".to_owned(), ..like(user("a"), 0.0, 1) });
    assert!(matches!(found, Found::Bare(_)));
}

fn add_many(database: &Database, contents: impl Iterator<Item = String>) -> Vec<Memory> {
    let steps = contents.map(|content| Step::Add(text(&content, &direction(&content))));
    apply(database, &Scope::default(), steps.collect())
}

/// What is far has a similarity of 0.6 to the query, all else one of 1.
fn direction(content: &str) -> [f32; 2] {
    if content.ends_with("far") { [0.6, 0.8] } else { [1.0, 0.0] }
}

#[test]
fn the_order_is_one_over_all_pages() {
    let database = private();
    let named = |number: i32| format!("{number} {}", if number % 2 == 0 { "far" } else { "near" });
    add_many(&database, (0..5000).map(named));
    let found = contents(find(&database, Scope::default(), 0.5, 3000));
    let near = (0..5000).filter(|number| number % 2 == 1);
    let far = (0..5000).filter(|number| number % 2 == 0);
    assert_eq!(found, near.chain(far).take(3000).map(named).collect::<Vec<_>>());
    let change = "UPDATE memories SET content = 'changed' WHERE rowid > 4900 OR rowid < 50";
    run(&database, |connection| connection.execute(change, [])).unwrap();
    let Found::Bare(bare) = find(&database, Scope::default(), 0.5, 1) else { panic!("found") };
    assert_eq!(bare.len(), 149);
    run(&database, |connection| connection.execute("DELETE FROM memory_vectors", [])).unwrap();
    let Found::Bare(bare) = find(&database, Scope::default(), 0.5, 1) else { panic!("found") };
    assert_eq!(bare.len(), 1024);
}

#[test]
fn what_changes_after_it_was_compared_is_compared_anew() {
    let database = private();
    let [_, farther, worse, moved, gone] = ["same", "farther", "worse", "moved", "gone"]
        .map(|it| add(&database, &user("a"), it, &[1.0, 0.0]));
    let (search, own) = (Arc::new(like(user("a"), 0.5, 9)), database.clone());
    let (same, on) = (Arc::clone(&search), database.clone());
    let (best, _) = runtime::block_on(async move { same.compare_all(&on).await }).unwrap();
    let steps = vec![
        Step::Update(farther, text("far", &[0.6, 0.8])),
        Step::Update(worse, text("beside", &[0.0, 1.0])),
        Step::Delete(gone),
    ];
    apply(&database, &user("a"), steps);
    // It gets the number of the row that has gone.
    add(&database, &user("a"), "new", &[0.0, 1.0]);
    run(&database, move |connection| {
        connection.execute("UPDATE memories SET user_id = 'b' WHERE id = ?1", [&moved])
    })
    .unwrap();
    let settled = runtime::block_on(async move { search.settle(&own, best).await }).unwrap();
    let hits = settled.hits.iter().map(|(_, hit)| (hit.memory.content.as_str(), hit.score));
    assert_eq!(hits.collect::<Vec<_>>(), [("same", 1.0), ("far", 0.6)]);
    assert!(settled.stale && settled.bare.is_empty());
}

#[test]
fn a_hit_has_the_score_of_what_it_says_while_others_write() {
    let database = private();
    let memories = add_many(&database, (0..5000).map(|number| format!("{number} near")));
    let (over, writing) = (Arc::new(AtomicBool::new(false)), database.clone());
    let ended = Arc::clone(&over);
    let writer = std::thread::spawn(move || {
        let ids: Vec<_> = memories.iter().take(9).map(|memory| memory.id.clone()).collect();
        let mut last = memories.last().unwrap().id.clone();
        while !ended.load(Ordering::Relaxed) {
            for word in ["far", "near"] {
                let content = format!("changed {word}");
                let text = text(&content, &direction(&content));
                let update = |id: &String| Step::Update(id.clone(), text.clone());
                apply(&writing, &Scope::default(), ids.iter().map(update).collect());
                apply(&writing, &Scope::default(), vec![Step::Delete(last)]);
                last = add(&writing, &Scope::default(), &content, &direction(&content));
            }
        }
    });
    for _ in 0..40 {
        let Found::Hits(hits) = find(&database, Scope::default(), 0.5, 20) else { panic!("bare") };
        assert!(!hits.is_empty());
        assert!(hits.is_sorted_by(|one, other| one.score >= other.score));
        for ScoredMemory { memory, score } in hits {
            let [expected, _] = direction(&memory.content);
            assert!((score - expected).abs() < 1e-6, "{} has {score}", memory.content);
        }
    }
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
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
