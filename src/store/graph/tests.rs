//! The graph from outside: nearly all of what comparing with everything finds, and never what is gone.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use super::chart::{FROM, STEP};
use crate::store::search::{Query, Wanted};
use crate::store::{
    Asked, Entry, Filter, Hit, Index, Metric, Precision, StoreOptions, VectorStore,
};
use crate::types::Matrix;

const DIMENSIONS: usize = 16;
const ROWS: usize = FROM + 10 * STEP + 100;
/// In sight of a walk through so few rows.
const SIGHT: Option<usize> = Some(48);

/// Rows in clusters of about a hundred, some of them longer than others.
fn rows(count: usize, seed: u64) -> Matrix {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut centres = fastrand::Rng::with_seed(1);
    let centres: Vec<f32> = (0..100 * DIMENSIONS).map(|_| centres.f32() * 2.0 - 1.0).collect();
    let mut values = Vec::with_capacity(count * DIMENSIONS);
    for _ in 0..count {
        let centre = random.usize(..100) * DIMENSIONS;
        let length = 0.5 + random.f32();
        let noise = |at| centres[centre + at] + 0.7 * (random.f32() * 2.0 - 1.0);
        values.extend((0..DIMENSIONS).map(noise).map(|value| value * length));
    }
    Matrix::new(values, count, DIMENSIONS).unwrap()
}

fn entries(numbers: std::ops::Range<usize>) -> Vec<Entry> {
    let part = |at: usize| BTreeMap::from([("part".to_owned(), (at % 100).to_string())]);
    numbers
        .map(|at| Entry { id: at.to_string(), text: String::new(), metadata: part(at) })
        .collect()
}

fn empty(metric: Metric, precision: Precision, index: Index) -> VectorStore {
    VectorStore::with_precision(metric, None, precision).unwrap().with_index(index).unwrap()
}

/// The same rows in an exact store and in one with a graph.
fn both(metric: Metric, precision: Precision) -> [VectorStore; 2] {
    [Index::Exact, Index::Hnsw].map(|index| {
        let store = empty(metric, precision, index);
        store.add(rows(ROWS, 2), entries(0..ROWS)).unwrap();
        store
    })
}

/// Of what `exact` finds, how much `store` finds; scores and order must be right.
fn recall(exact: &VectorStore, store: &VectorStore, filter: Option<&Filter>) -> f64 {
    let queries = rows(100, 3);
    let asked = Asked { top_k: 10, filter, ef_search: SIGHT };
    let truth = exact.search_many_as(&queries, asked).unwrap();
    let found = store.search_many_as(&queries, asked).unwrap();
    let mut same = 0;
    for (truth, found) in truth.iter().zip(&found) {
        assert_eq!(truth.len(), found.len());
        assert!(found.is_sorted_by(|one, next| one.score >= next.score));
        for hit in found {
            assert!(filter.is_none_or(|filter| filter.matches(&hit.entry.metadata)));
            if let Some(twin) = truth.iter().find(|twin| twin.index == hit.index) {
                assert_eq!(twin, hit);
                same += 1;
            }
        }
    }
    same as f64 / 1000.0
}

fn part(below: usize) -> Filter {
    Filter::parse(&json!({"part": {"lt": below}})).unwrap()
}

/// Whether nearly all searches walk, instead of comparing with everything.
fn walks(store: &VectorStore, filter: Option<&Filter>) -> bool {
    let (snapshot, metric) = (store.current(), store.metric());
    let queries = rows(100, 3);
    let query = |query| Query::new(query, metric, snapshot.precision);
    let queries: Vec<_> = queries.iter().map(query).collect();
    let wanted = Wanted { metric, top_k: 10, filter, sight: SIGHT };
    let found = super::search(&snapshot, snapshot.chart.as_ref().unwrap(), &queries, wanted);
    found.iter().filter(|best| best.is_some()).count() > 90
}

/// How far the graph is, to tell a walk from a scan.
fn nodes(store: &VectorStore) -> (usize, usize) {
    let chart = store.current().chart.clone().unwrap();
    (chart.nodes(), chart.pending.len())
}

#[test]
fn nearly_all_of_the_best_are_found_by_every_metric_and_precision() {
    for (metric, precision) in [
        (Metric::Cosine, Precision::F32),
        (Metric::Dot, Precision::F32),
        (Metric::L2, Precision::I8),
    ] {
        let [exact, store] = both(metric, precision);
        assert!(walks(&store, None) && !walks(&store, Some(&part(1))));
        // Long rows are neighbours of many: of a filtered walk that meets them all, little is saved in so small a store.
        assert!(metric == Metric::Dot || walks(&store, Some(&part(50))));
        for filter in [None, Some(part(50)), Some(part(1))] {
            let recall = recall(&exact, &store, filter.as_ref());
            assert!(recall >= 0.95, "{metric} {precision} {filter:?}: {recall}");
        }
    }
}

/// Of the ten best of each query, how much a graph over the rows finds, linked in this order.
fn found_by_a_graph(
    metric: Metric,
    vectors: &[Vec<f32>],
    queries: &[Vec<f32>],
    sight: Option<usize>,
) -> f64 {
    let [exact, store] = [Index::Exact, Index::Hnsw].map(|index| {
        let store = empty(metric, Precision::F32, index);
        store.add(Matrix::from_rows(vectors).unwrap(), entries(0..vectors.len())).unwrap();
        store
    });
    found_by(&exact, &store, queries, sight)
}

/// Of the ten best of each query, how much the second store finds.
fn found_by(
    exact: &VectorStore,
    store: &VectorStore,
    queries: &[Vec<f32>],
    sight: Option<usize>,
) -> f64 {
    let queries = Matrix::from_rows(queries).unwrap();
    let asked = Asked { top_k: 10, filter: None, ef_search: sight };
    let truth = exact.search_many_as(&queries, asked).unwrap();
    let found = store.search_many_as(&queries, asked).unwrap();
    let same = |(truth, found): (&Vec<Hit>, &Vec<Hit>)| {
        found.iter().filter(|hit| truth.contains(hit)).count()
    };
    let same: usize = truth.iter().zip(&found).map(same).sum();
    same as f64 / (10 * truth.len()) as f64
}

/// About normal: directions that are not favour the corners of a cube.
fn normal(random: &mut fastrand::Rng, dimensions: usize) -> Vec<f32> {
    let mut value = || (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
    (0..dimensions).map(|_| value()).collect()
}

/// Rows that differ in eight directions only, and are longer than that in the first dimension.
fn rows_so_long(random: &mut fastrand::Rng, length: u16, count: usize) -> Vec<Vec<f32>> {
    let mut same = fastrand::Rng::with_seed(17);
    let directions: Vec<Vec<f32>> = (0..8).map(|_| normal(&mut same, 64)).collect();
    let row = |_| {
        let mut row = vec![0.0; 64];
        for (direction, share) in directions.iter().zip(normal(random, 8)) {
            row.iter_mut().zip(direction).for_each(|(value, step)| *value += share * step);
        }
        row[0] = length.into();
        row
    };
    (0..count).map(row).collect()
}

#[test]
fn short_rows_are_found_among_long_ones() {
    let mut random = fastrand::Rng::with_seed(18);
    let lengths = (300..310).chain([5, 35]);
    let rows: Vec<_> = lengths.flat_map(|length| rows_so_long(&mut random, length, 300)).collect();
    let queries: Vec<_> = (0..100).map(|_| normal(&mut random, 64)).collect();
    let found = found_by_a_graph(Metric::Dot, &rows, &queries, None);
    assert!(found >= 0.95, "{found}");
}

#[test]
fn what_stays_while_all_around_it_is_deleted_is_found() {
    // By how much each batch is longer than the one before, and what has to be found.
    for (growth, wanted) in [(1, 0.98), (3, 0.9)] {
        let found = found_of_what_stays(growth);
        assert!(found >= wanted, "{growth}: {found}");
    }
}

/// Of the ten best of each query, how much is found where one batch in five stays and the others go.
fn found_of_what_stays(growth: u16) -> f64 {
    let mut random = fastrand::Rng::with_seed(20);
    let [exact, store] =
        [Index::Exact, Index::Hnsw].map(|index| empty(Metric::Dot, Precision::F32, index));
    let entries = |batch: u16| {
        let id = move |at| format!("{batch}-{at}");
        (0..STEP).map(move |at| Entry {
            id: id(at),
            text: String::new(),
            metadata: BTreeMap::new(),
        })
    };
    // The others go twelve batches later.
    for batch in 1..=30 {
        let rows = rows_so_long(&mut random, growth * batch, STEP);
        let rows = Matrix::from_rows(&rows).unwrap();
        for store in [&exact, &store] {
            store.add(rows.clone(), entries(batch).collect()).unwrap();
            if let Some(old) = batch.checked_sub(12).filter(|old| *old > 0 && old % 5 != 2) {
                let ids: Vec<String> = entries(old).map(|entry| entry.id).collect();
                assert_eq!(store.delete(&ids).unwrap(), STEP);
            }
        }
    }
    let queries: Vec<_> = (0..100).map(|_| normal(&mut random, 64)).collect();
    found_by(&exact, &store, &queries, SIGHT)
}

#[test]
fn dot_products_of_rows_with_much_in_common_are_found() {
    // As vectors of texts are that nobody made equally long: by subject, about a mean that is not 0. Queries are alike.
    let mut random = fastrand::Rng::with_seed(22);
    let mean = normal(&mut random, 64);
    let subjects: Vec<Vec<f32>> = (0..100).map(|_| normal(&mut random, 64)).collect();
    let mut text = || -> Vec<f32> {
        let subject = &subjects[random.usize(..subjects.len())];
        let own = normal(&mut random, 64);
        let length = (normal(&mut random, 1)[0] * 0.1).exp();
        let parts = mean.iter().zip(subject).zip(own);
        parts.map(|((mean, subject), own)| (mean + 0.7 * subject + 0.6 * own) * length).collect()
    };
    let rows: Vec<_> = (0..6400).map(|_| text()).collect();
    let queries: Vec<_> = (0..100).map(|_| text()).collect();
    let found = found_by_a_graph(Metric::Dot, &rows, &queries, SIGHT);
    assert!(found >= 0.98, "{found}");
}

#[test]
fn dot_products_of_rows_of_any_length_are_found() {
    let mut random = fastrand::Rng::with_seed(19);
    let row = |_| {
        let mut row = normal(&mut random, 32);
        let length = (normal(&mut random, 1)[0] * 0.5).exp();
        row.iter_mut().for_each(|value| *value *= length);
        row
    };
    let rows: Vec<_> = (0..3200).map(row).collect();
    let queries: Vec<_> = (0..100).map(|_| normal(&mut random, 32)).collect();
    let found = found_by_a_graph(Metric::Dot, &rows, &queries, SIGHT);
    assert!(found >= 0.95, "{found}");
}

#[test]
fn subjects_that_come_one_after_the_other_are_all_found() {
    let mut random = fastrand::Rng::with_seed(21);
    let centres: Vec<Vec<f32>> = (0..13).map(|_| normal(&mut random, 32)).collect();
    let mut near = |centre: &Vec<f32>| -> Vec<f32> {
        let noise = normal(&mut random, 32);
        centre.iter().zip(noise).map(|(value, noise)| value * 30.0 + noise).collect()
    };
    let rows: Vec<_> = centres.iter().flat_map(|centre| [centre; 250]).map(&mut near).collect();
    let queries: Vec<_> = centres.iter().map(near).collect();
    let found = found_by_a_graph(Metric::Cosine, &rows, &queries, None);
    assert!(found >= 0.98, "{found}");
}

#[test]
fn more_in_sight_finds_more() {
    let [exact, store] = both(Metric::L2, Precision::F32);
    let queries = rows(200, 4);
    let found = |sight| -> usize {
        let asked = Asked { top_k: 10, filter: None, ef_search: Some(sight) };
        let truth = exact.search_many_as(&queries, asked).unwrap();
        let found = store.search_many_as(&queries, asked).unwrap();
        let same = |(truth, found): (&Vec<Hit>, &Vec<Hit>)| {
            found.iter().filter(|hit| truth.contains(hit)).count()
        };
        truth.iter().zip(&found).map(same).sum()
    };
    let (few, many) = (found(10), found(256));
    assert!(few < many && many >= 1990, "{few} {many}");
    let asked = Asked { top_k: 1, filter: None, ef_search: Some(0) };
    assert!(store.search_as(&[0.0; DIMENSIONS], asked).is_err());
}

#[test]
fn what_is_deleted_replaced_or_just_added_counts_at_once() {
    let [exact, store] = both(Metric::L2, Precision::F32);
    let far = vec![100.0; DIMENSIONS];
    for store in [&exact, &store] {
        // A tenth goes, a tenth gets another vector, and one that nobody linked yet is the best for `far`.
        let gone: Vec<String> = (0..ROWS).step_by(10).map(|at| at.to_string()).collect();
        assert_eq!(store.delete(&gone).unwrap(), gone.len());
        let moved: Vec<Entry> = entries(0..ROWS).into_iter().skip(1).step_by(10).collect();
        store.add(rows(moved.len(), 5), moved).unwrap();
        let one = Matrix::new(far.clone(), 1, DIMENSIONS).unwrap();
        store.add(one, vec![Entry::text("new")]).unwrap();
    }
    assert_eq!(store.search(&far, 1).unwrap()[0].entry.text, "new");
    assert!(walks(&store, None));
    for filter in [None, Some(part(50))] {
        assert!(recall(&exact, &store, filter.as_ref()) >= 0.95);
    }
    // More than half goes: the graph begins anew, and then there is none to speak of.
    for store in [&exact, &store] {
        store.delete_where(&part(75)).unwrap();
    }
    assert!(recall(&exact, &store, None) >= 0.95);
    assert_eq!(store.delete_where(&part(100)).unwrap(), store_rows_above(75));
    assert!(store.search(&far, 5).unwrap().iter().all(|hit| hit.entry.text == "new"));
}

fn store_rows_above(part: usize) -> usize {
    (0..ROWS).filter(|at| at % 100 >= part && at % 10 != 0).count()
}

#[test]
fn many_equal_rows_hide_neither_each_other_nor_the_rest() {
    let store = empty(Metric::Cosine, Precision::F32, Index::Hnsw);
    let exact = empty(Metric::Cosine, Precision::F32, Index::Exact);
    let pattern = rows(20, 6);
    let patterns: Vec<Vec<f32>> = pattern.iter().map(<[f32]>::to_vec).collect();
    let equal: Vec<Vec<f32>> = patterns.iter().cycle().take(ROWS).cloned().collect();
    let vectors = Matrix::from_rows(&equal).unwrap();
    for store in [&store, &exact] {
        store.add(vectors.clone(), entries(0..ROWS)).unwrap();
    }
    for query in pattern.iter() {
        let scores = |store: &VectorStore| -> Vec<f32> {
            store.search(query, 20).unwrap().iter().map(|hit| hit.score).collect()
        };
        assert_eq!(scores(&store), scores(&exact));
    }
}

#[test]
fn one_history_has_one_graph_however_the_rows_are_divided_among_calls() {
    let answers = |batch: usize| {
        let store = empty(Metric::Dot, Precision::F32, Index::Hnsw);
        let rows = rows(ROWS, 7);
        let all: Vec<&[f32]> = rows.iter().collect();
        for (number, part) in all.chunks(batch).enumerate() {
            let first = number * batch;
            let part: Vec<Vec<f32>> = part.iter().map(|row| row.to_vec()).collect();
            let entries = entries(first..first + part.len());
            store.add(Matrix::from_rows(&part).unwrap(), entries).unwrap();
        }
        let asked = Asked { top_k: 10, filter: None, ef_search: Some(10) };
        store.search_many_as(&self::rows(100, 8), asked).unwrap()
    };
    let whole = answers(ROWS);
    assert_eq!(whole, answers(77));
}

#[test]
fn searches_beside_a_writer_never_see_what_was_gone_before_they_began() {
    let store = empty(Metric::Cosine, Precision::F32, Index::Hnsw);
    store.add(rows(ROWS, 9), entries(0..ROWS)).unwrap();
    // Of the first rows, how many are gone; behind the last change all that will be.
    let (gone, turns) = (AtomicU64::new(0), 20);
    thread::scope(|scope| {
        scope.spawn(|| {
            let queries = rows(20, 10);
            loop {
                let known = gone.load(Ordering::Acquire);
                for query in queries.iter() {
                    let hits = store.search(query, 10).unwrap();
                    let ids: HashSet<&str> = hits.iter().map(|hit| hit.entry.id.as_str()).collect();
                    assert_eq!(ids.len(), 10);
                    assert_eq!(hits.iter().find(|hit| hit.index < known), None);
                }
                if known == turns * 90 {
                    break;
                }
            }
        });
        for number in 0..turns {
            let ids: Vec<String> =
                (number * 90..(number + 1) * 90).map(|at| at.to_string()).collect();
            assert_eq!(store.delete(&ids).unwrap(), 90);
            gone.store((number + 1) * 90, Ordering::Release);
            let entries = (0..90).map(|_| Entry::text("later")).collect();
            store.add(rows(90, 100 + number), entries).unwrap();
        }
    });
    assert_eq!(store.len(), ROWS);
}

/// A folder that is gone when the test is over.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("graphbit-graph-{name}-{}-{}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self, read_only: bool) -> VectorStore {
        let options = StoreOptions { index: Index::Hnsw, read_only, ..StoreOptions::default() };
        VectorStore::open(&self.0, options).unwrap()
    }

    /// Nodes that opening finds in the folder's file.
    fn kept(&self) -> usize {
        let options =
            StoreOptions { index: Index::Hnsw, read_only: true, ..StoreOptions::default() };
        VectorStore::open_rows(&self.0, options).unwrap().current().chart.as_ref().unwrap().live
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_folder_keeps_its_graph_and_believes_no_other() {
    let scratch = Scratch::new("kept");
    let store = scratch.open(false);
    store.add(rows(ROWS, 11), entries(0..ROWS)).unwrap();
    let queries = rows(50, 12);
    let answers = |store: &VectorStore| store.search_many(&queries, 10).unwrap();
    let expected = answers(&store);
    // As after a kill: nothing was closed.
    assert!(scratch.kept() > FROM / 2);
    store.close().unwrap();
    assert_eq!(scratch.kept(), nodes(&store).0);
    assert_eq!(answers(&scratch.open(true)), expected);

    let place = scratch.0.join("graph.bin");
    let whole = std::fs::read(&place).unwrap();
    let mut changed = whole.clone();
    changed[5000] ^= 1;
    for wrong in [&whole[..0], &whole[..whole.len() / 2], &changed, b"a text"] {
        std::fs::write(&place, wrong).unwrap();
        assert_eq!(scratch.kept(), 0);
    }
    let again = scratch.open(false);
    assert_eq!(answers(&again), expected);
    drop(again);
    assert!(scratch.kept() > FROM / 2);

    // One that was right before rows were deleted and replaced by a process that searches exactly.
    std::fs::write(&place, &whole).unwrap();
    let exact = VectorStore::open(&scratch.0, StoreOptions::default()).unwrap();
    exact.delete(&["0", "1", "2"]).unwrap();
    exact.add(rows(50, 13), entries(100..150)).unwrap();
    drop(exact);
    assert_eq!(scratch.kept(), nodes(&store).0 - 53);
    let [again, exact] = [scratch.open(true), {
        let read_only = StoreOptions { read_only: true, ..StoreOptions::default() };
        VectorStore::open(&scratch.0, read_only).unwrap()
    }];
    assert!(recall(&exact, &again, None) >= 0.95);
}

#[test]
fn a_reader_follows_with_its_graph() {
    let scratch = Scratch::new("follow");
    let store = scratch.open(false);
    store.add(rows(ROWS, 14), entries(0..ROWS)).unwrap();
    let reader = scratch.open(true);
    store.delete(&["7"]).unwrap();
    store.add(rows(700, 15), entries(ROWS..ROWS + 700)).unwrap();
    assert!(reader.refresh().unwrap());
    assert!(nodes(&reader).1 < STEP);
    let queries = rows(50, 16);
    let found = reader.search_many(&queries, 10).unwrap();
    assert!(found.iter().flatten().all(|hit| hit.entry.id != "7"));
    let same =
        |(one, other): (&Vec<Hit>, &Vec<Hit>)| one.iter().filter(|hit| other.contains(hit)).count();
    let found: usize = found.iter().zip(&store.search_many(&queries, 10).unwrap()).map(same).sum();
    assert!(found >= 475, "{found}");
}
