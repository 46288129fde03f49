//! The store from outside: exact answers, whole batches, and files that are whole or refused.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::Kind;
use crate::types::Matrix;

fn row(seed: usize, dimensions: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed as u64);
    (0..dimensions).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn filled(metric: Metric, rows: usize, dimensions: usize) -> VectorStore {
    kept(metric, Precision::F32, rows, dimensions)
}

fn kept(metric: Metric, precision: Precision, rows: usize, dimensions: usize) -> VectorStore {
    let store = VectorStore::with_precision(metric, None, precision).unwrap();
    let vectors: Vec<_> = (0..rows).map(|seed| row(seed, dimensions)).collect();
    let entries = (0..rows).map(|at| Entry::text(format!("text {at}"))).collect();
    store.add(Matrix::from_rows(&vectors).unwrap(), entries).unwrap();
    store
}

/// A folder that is gone when the test is over.
struct Folder(std::path::PathBuf);

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder() -> Folder {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("graphbit-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    Folder(folder)
}

#[test]
fn every_metric_finds_what_sorting_everything_finds() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        // 3000 rows of 1000 values make several blocks and several threads.
        let store = filled(metric, 3000, 1000);
        let queries: Vec<_> = (0..3).map(|seed| row(90_000 + seed, 1000)).collect();
        let many = store.search_many(&Matrix::from_rows(&queries).unwrap(), 10).unwrap();
        for (query, hits) in queries.iter().zip(&many) {
            let score = |seed: usize| {
                let vector = row(seed, 1000);
                let pairs =
                    || vector.iter().zip(query).map(|(x, y)| (f64::from(*x), f64::from(*y)));
                let dot: f64 = pairs().map(|(x, y)| x * y).sum();
                match metric {
                    Metric::Dot => dot,
                    Metric::L2 => -pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
                    Metric::Cosine => {
                        let x: f64 = pairs().map(|(x, _)| x * x).sum();
                        let y: f64 = pairs().map(|(_, y)| y * y).sum();
                        dot / (x * y).sqrt()
                    }
                }
            };
            let mut expected: Vec<(usize, f64)> =
                (0..3000).map(|seed| (seed, score(seed))).collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (hit, (at, score)) in hits.iter().zip(&expected) {
                assert_eq!(hit.entry.text, format!("text {at}"));
                assert_eq!(hit.index, *at as u64);
                assert!((f64::from(hit.score) - score).abs() < 1e-3, "{metric}");
            }
            assert_eq!(hits, &store.search(query, 10).unwrap());
        }
    }
}

#[test]
fn a_compact_store_is_exact_about_what_it_keeps() {
    // Rows of 37 leave part of a word empty.
    let (rows, dimensions) = (1200, 37);
    for (precision, error) in [(Precision::F16, 1.0 / 2048.0), (Precision::I8, 1.0 / 254.0)] {
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let store = kept(metric, precision, rows, dimensions);
            let exact = VectorStore::new(metric, None).unwrap();
            let current = store.current();
            let vectors = current.blocks.iter().flat_map(|block| block.vectors.iter());
            for (seed, vector) in vectors.enumerate() {
                let values = vector.values(precision, dimensions);
                for (value, given) in values.iter().zip(row(seed, dimensions)) {
                    assert!((value - given).abs() <= error, "{given} kept as {value}");
                }
                let vector = Matrix::from_rows(&[values]).unwrap();
                exact.add(vector, vec![Entry::text(format!("text {seed}"))]).unwrap();
            }
            let query = row(77_777, dimensions);
            let found = store.search(&query, 100).unwrap();
            for (hit, other) in found.iter().zip(exact.search(&query, 100).unwrap()) {
                assert_eq!(hit.index, other.index, "{metric} {precision}");
                assert!((hit.score - other.score).abs() < 1e-5);
            }
            let folder = folder();
            store.save(&folder.join("store")).unwrap();
            let loaded = VectorStore::load(&folder.join("store")).unwrap();
            assert_eq!(loaded.precision(), precision);
            assert_eq!(loaded.search(&query, 100).unwrap(), found);
        }
    }
}

#[test]
fn compact_vectors_of_any_size_keep_their_direction() {
    for precision in [Precision::F16, Precision::I8] {
        for size in [1e-44_f32, 1e-30, 1.0, 1e30, f32::MAX] {
            let store = VectorStore::with_precision(Metric::Cosine, None, precision).unwrap();
            let vectors = [vec![size, 0.0, -size], vec![0.0, size, 0.0], vec![0.0; 3]];
            store.add(Matrix::from_rows(&vectors).unwrap(), vec![Entry::default(); 3]).unwrap();
            let hits = store.search(&[1.0, 0.0, -1.0], 3).unwrap();
            assert_eq!(hits.iter().map(|hit| hit.index).collect::<Vec<_>>(), [0, 1, 2], "{size}");
            assert!((hits[0].score - 1.0).abs() < 1e-6 && hits[1].score == 0.0);
        }
    }
}

/// 3000 rows in several blocks, every seventh with `part` 0, every third without a `part`.
fn parted(dimensions: usize) -> (VectorStore, Vec<Entry>) {
    let entries: Vec<Entry> = (0..3000)
        .map(|at: usize| {
            let metadata = match at % 3 {
                0 => BTreeMap::new(),
                _ => BTreeMap::from([("part".to_owned(), (at % 7).to_string())]),
            };
            Entry { id: format!("n{at}"), text: String::new(), metadata }
        })
        .collect();
    let store = VectorStore::new(Metric::L2, None).unwrap();
    let vectors: Vec<_> = (0..3000).map(|seed| row(seed, dimensions)).collect();
    store.add(Matrix::from_rows(&vectors).unwrap(), entries.clone()).unwrap();
    (store, entries)
}

#[test]
fn a_filtered_search_is_a_search_among_what_is_meant() {
    // With 1000 dimensions several threads share the rows; with 2 one does it alone.
    for dimensions in [2, 1000] {
        let (store, entries) = parted(dimensions);
        let queries: Vec<_> = (0..3).map(|seed| row(70_000 + seed, dimensions)).collect();
        let queries = Matrix::from_rows(&queries).unwrap();
        for filter in [
            json!({"part": "0"}),
            json!({"part": {"ge": 5}}),
            json!({"part": {"ne": 1}}),
            json!({"part": "none"}),
            json!({}),
        ] {
            let filter = Filter::parse(&filter).unwrap();
            let meant = |id: &str| {
                entries.iter().any(|entry| entry.id == id && filter.matches(&entry.metadata))
            };
            let all = store.search_many(&queries, usize::MAX).unwrap();
            let found = store.search_many_where(&queries, 20, Some(&filter)).unwrap();
            for (row, (mut all, found)) in all.into_iter().zip(found).enumerate() {
                all.retain(|hit| meant(&hit.entry.id));
                all.truncate(20);
                assert_eq!(found, all);
                let query = queries.row(row).unwrap();
                assert_eq!(store.search_where(query, 20, Some(&filter)).unwrap(), all);
            }
        }
    }
}

#[test]
fn entries_are_listed_counted_and_deleted_by_filter() {
    let (store, entries) = parted(2);
    let filter = Filter::parse(&json!({"part": {"in": ["2", 5]}})).unwrap();
    let pages = |filter: Option<&Filter>, limit| {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.entries(filter, after, limit).unwrap();
            let Some(last) = page.last() else { return listed };
            assert!(page.len() <= limit);
            after = Some(last.index);
            listed.extend(page.into_iter().map(|stored| stored.entry.id.clone()));
        }
    };
    let meant: Vec<String> = entries
        .iter()
        .filter(|entry| filter.matches(&entry.metadata))
        .map(|entry| entry.id.clone())
        .collect();
    let rest: Vec<String> =
        entries.into_iter().map(|entry| entry.id).filter(|id| !meant.contains(id)).collect();
    assert_eq!(pages(Some(&filter), 7), meant);
    assert_eq!(pages(Some(&filter), 100_000), meant);
    assert_eq!(store.count(&filter), meant.len());
    assert_eq!(store.delete_where(&filter).unwrap(), meant.len());
    assert_eq!((store.count(&filter), store.delete_where(&filter).unwrap()), (0, 0));
    assert_eq!(pages(None, 1024), rest);
    // An entry that is gone still marks the place behind which a page begins.
    let page = store.entries(None, Some(2), 1).unwrap();
    assert_eq!((page[0].entry.id.as_str(), page[0].index), ("n3", 3));
    let found = store.get_many(&["n3", "unknown", "n1", "n2"]).unwrap();
    let found: Vec<_> = found.iter().map(|one| one.as_ref().map(|stored| stored.index)).collect();
    assert_eq!(found, [Some(3), None, Some(1), None]);
    assert!(store.entries(None, None, 0).is_err());
}

#[test]
fn equal_scores_come_in_the_order_of_insertion() {
    let store = VectorStore::new(Metric::L2, Some(2)).unwrap();
    for _ in 0..50 {
        store.add(Matrix::new(vec![1.0, 1.0], 1, 2).unwrap(), vec![Entry::default()]).unwrap();
    }
    let hits = store.search(&[0.0, 0.0], 20).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.index).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
}

#[test]
fn extreme_values_give_true_scores() {
    let vectors = [vec![0.0, 0.0], vec![1e-40, 0.0], vec![3e38, 3e38], vec![1e-25, 1e-25]];
    let store = VectorStore::new(Metric::Cosine, None).unwrap();
    let entries = vec![Entry::default(); 4];
    store.add(Matrix::from_rows(&vectors).unwrap(), entries).unwrap();
    for scale in [1.0, 1e-40, 3e38] {
        let hits = store.search(&[scale, scale], 4).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.index).collect::<Vec<_>>(), [2, 3, 1, 0], "{scale}");
        assert!((hits[0].score - 1.0).abs() < 1e-6);
        assert!((hits[2].score - 0.5_f32.sqrt()).abs() < 1e-4);
        assert_eq!(hits[3].score, 0.0);
    }
    assert!(store.search(&[0.0, 0.0], 4).unwrap().iter().all(|hit| hit.score == 0.0));
}

#[test]
fn refusals_name_what_is_wrong_and_change_nothing() {
    let store = filled(Metric::Cosine, 3, 4);
    let add = |data: Vec<f32>, rows, entries| {
        let dimensions = data.len() / rows;
        store.add(Matrix::new(data, rows, dimensions).unwrap(), entries).unwrap_err()
    };
    let error = add(vec![0.0; 5], 1, vec![Entry::default()]);
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.message().contains("of 4 dimensions, this one has 5"));
    let error =
        add(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, f32::NAN, 7.0], 2, vec![Entry::default(); 2]);
    assert!(error.message().contains("row 1, position 2"), "{error}");
    let twin = Entry { id: "x".to_owned(), ..Entry::default() };
    assert!(add(vec![0.0; 8], 2, vec![twin; 2]).message().contains("rows 0 and 1"));
    assert!(add(vec![0.0; 8], 2, vec![Entry::default()]).message().contains("2 vectors"));
    assert_eq!(store.search(&[1.0], 1).unwrap_err().kind(), Kind::Store);
    assert_eq!(store.search(&[f32::INFINITY; 4], 1).unwrap_err().kind(), Kind::Validation);
    assert_eq!(store.search(&[0.0; 4], 0).unwrap_err().kind(), Kind::Validation);
    assert_eq!(store.len(), 3);
    assert!("euclid".parse::<Metric>().unwrap_err().message().contains("euclid"));
}

#[test]
fn an_id_that_exists_is_replaced_in_its_place() {
    let store = filled(Metric::Dot, 3, 2);
    let entry = Entry { id: "1".to_owned(), text: "new".to_owned(), ..Entry::default() };
    store.add(Matrix::new(vec![100.0, 0.0], 1, 2).unwrap(), vec![entry]).unwrap();
    let hits = store.search(&[1.0, 0.0], 5).unwrap();
    assert_eq!((store.len(), hits[0].index, hits[0].entry.text.as_str()), (3, 1, "new"));
    assert_eq!(store.get("1").unwrap().unwrap().text, "new");
    assert!(store.get("7").unwrap().is_none());
    // A user's own id may look like one of ours; a free one is found all the same.
    let taken = Entry { id: "3".to_owned(), ..Entry::default() };
    let vectors = Matrix::new(vec![0.0; 4], 2, 2).unwrap();
    assert_eq!(store.add(vectors, vec![Entry::default(), taken]).unwrap(), ["4", "3"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// Adds, replacements and deletions in any order end where a plain map ends.
    #[test]
    fn it_behaves_like_a_map(steps in prop::collection::vec((0_u8..4, 0_u16..60, 1_usize..40), 1..60)) {
        let store = VectorStore::new(Metric::L2, Some(1)).unwrap();
        let mut model: Vec<(String, f32)> = Vec::new();
        for (step, (kind, first, count)) in steps.into_iter().enumerate() {
            let names: Vec<String> =
                (0..count).map(|at| format!("n{}", usize::from(first) + at)).collect();
            if kind == 0 {
                let before = model.len();
                model.retain(|(id, _)| !names.contains(id));
                prop_assert_eq!(store.delete(&names).unwrap(), before - model.len());
                continue;
            }
            let values: Vec<f32> = (0..count).map(|at| (step * 100 + at) as f32).collect();
            for (name, value) in names.iter().zip(&values) {
                match model.iter_mut().find(|(id, _)| id == name) {
                    Some(known) => known.1 = *value,
                    None => model.push((name.clone(), *value)),
                }
            }
            let entries =
                names.into_iter().map(|id| Entry { id, ..Entry::default() }).collect();
            store.add(Matrix::new(values, count, 1).unwrap(), entries).unwrap();
        }
        prop_assert_eq!(store.len(), model.len());
        let mut hits = store.search(&[0.0], usize::MAX).unwrap();
        hits.sort_by_key(|hit| hit.index);
        let found: Vec<(String, f32)> =
            hits.into_iter().map(|hit| (hit.entry.id.clone(), -hit.score)).collect();
        prop_assert_eq!(found, model);
    }
}

#[test]
fn what_was_saved_is_what_is_loaded() {
    let folder = folder();
    let path = folder.join("store.safetensors");
    let store = filled(Metric::L2, 2500, 3);
    store.delete(&["7", "8", "2499"]).unwrap();
    let entry = Entry {
        id: "é\"\n".to_owned(),
        text: "世界".to_owned(),
        metadata: BTreeMap::from([("page".to_owned(), "7".to_owned())]),
    };
    store.add(Matrix::new(vec![0.5, 0.25, 0.125], 1, 3).unwrap(), vec![entry]).unwrap();
    store.save(&path).unwrap();
    let loaded = VectorStore::load(&path).unwrap();
    assert_eq!((loaded.len(), loaded.dimensions(), loaded.metric()), (2498, Some(3), Metric::L2));
    assert_eq!(loaded.search(&[0.1; 3], 2498).unwrap(), store.search(&[0.1; 3], 2498).unwrap());
    // Numbers of deleted rows are not given out again.
    let id = loaded.add(Matrix::new(vec![0.0; 3], 1, 3).unwrap(), vec![Entry::default()]).unwrap();
    assert_eq!(id, ["2501"]);

    let empty = VectorStore::new(Metric::Dot, None).unwrap();
    empty.save(&path).unwrap();
    let loaded = VectorStore::load(&path).unwrap();
    assert_eq!((loaded.len(), loaded.dimensions(), loaded.metric()), (0, None, Metric::Dot));
    let names: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
}

#[test]
fn any_damage_is_noticed() {
    for precision in [Precision::F32, Precision::F16, Precision::I8] {
        damage_everywhere(precision);
    }
}

fn damage_everywhere(precision: Precision) {
    let folder = folder();
    let path = folder.join("store.safetensors");
    kept(Metric::Cosine, precision, 5, 3).save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        VectorStore::load(&path).err().map(|error| {
            assert_eq!(error.kind(), Kind::Store);
            assert!(error.message().ends_with("nothing was loaded"), "{error}");
        })
    };
    for length in 0..whole.len() {
        assert!(refused(&whole[..length]).is_some(), "cut to {length}");
    }
    let data = 8 + usize::from(whole[0]) + 256 * usize::from(whole[1]);
    for at in data..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(refused(&bytes).is_some(), "a bit at {at}");
    }
    // In the header some bytes carry nothing; damage there must be harmless or noticed.
    for at in 0..data {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        if refused(&bytes).is_none() {
            assert_eq!(VectorStore::load(&path).unwrap().len(), 5);
        }
    }
    assert!(VectorStore::load(path.parent().unwrap()).is_err());
    assert!(VectorStore::load(&path.with_file_name("missing")).is_err());
}

#[cfg(unix)]
#[test]
fn a_saved_file_has_the_permissions_of_the_one_it_replaces() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.join("store");
    let store = filled(Metric::Cosine, 5, 3);
    store.save(&path).unwrap();
    for mode in [0o600, 0o664, 0o400] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        store.save(&path).unwrap();
        let saved = std::fs::metadata(&path).unwrap();
        assert_eq!(saved.permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn a_save_that_fails_leaves_the_old_file() {
    let folder = folder();
    let store = filled(Metric::Cosine, 5, 3);
    let target = folder.join("occupied");
    std::fs::create_dir_all(target.join("inside")).unwrap();
    let error = store.save(&target).unwrap_err();
    assert!(error.message().contains("untouched"), "{error}");
    assert!(target.join("inside").is_dir());
    assert_eq!(std::fs::read_dir(&*folder).unwrap().count(), 1, "no temporary file is left");
    assert!(store.save(&folder.join("no/such/folder")).is_err());
}

#[test]
fn a_replacement_is_refused_whole_and_seen_whole() {
    let named = |from: usize| -> Vec<Entry> {
        (from..from + 10).map(|at| Entry { id: at.to_string(), ..Entry::default() }).collect()
    };
    let ids = |from: usize| named(from).into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    let store = VectorStore::new(Metric::Dot, Some(2)).unwrap();
    let vectors = Matrix::new(vec![1.0; 20], 10, 2).unwrap();
    store.add(vectors.clone(), named(0)).unwrap();
    let wrong = Matrix::new(vec![1.0; 30], 10, 3).unwrap();
    assert_eq!(store.replace(&ids(0), wrong, named(5)).unwrap_err().kind(), Kind::Store);
    assert!(store.replace(&ids(0), vectors.clone(), vec![Entry::default()]).is_err());
    assert_eq!(store.len(), 10, "a refused replacement removes nothing");
    thread::scope(|scope| {
        // Half of the ids come again each time, half are new.
        let writer = scope.spawn(|| {
            for round in 0..400 {
                store.replace(&ids(5 * round), vectors.clone(), named(5 * round + 5)).unwrap();
            }
        });
        while !writer.is_finished() {
            let hits = store.search(&[1.0, 1.0], usize::MAX).unwrap();
            let mut found: Vec<usize> =
                hits.iter().map(|hit| hit.entry.id.parse().unwrap()).collect();
            found.sort_unstable();
            assert_eq!(found, (found[0]..found[0] + 10).collect::<Vec<_>>());
        }
        writer.join().unwrap();
    });
    assert!(store.replace(&ids(2000), Matrix::default(), Vec::new()).unwrap().is_empty());
    assert!(store.is_empty());
}

#[test]
fn readers_see_whole_batches_while_a_writer_adds() {
    let store = filled(Metric::Dot, 10, 2);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..300 {
                let vectors = Matrix::new(vec![1.0; 20], 10, 2).unwrap();
                store.add(vectors.clone(), vec![Entry::default(); 10]).unwrap();
            }
        });
        let mut last = 0;
        while !writer.is_finished() {
            let found = store.search(&[1.0, 1.0], usize::MAX).unwrap().len();
            assert!(found.is_multiple_of(10) && found >= last, "{found} after {last}");
            last = found;
        }
        writer.join().unwrap();
    });
    assert_eq!(store.len(), 3010);
}
