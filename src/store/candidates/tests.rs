//! Candidates from outside: words found as the store stands now, ranks fused, neighbours told apart.

use proptest::prelude::*;

use super::*;
use crate::store::{Entry, Metric};
use crate::types::Matrix;

fn entry(id: &str, text: &str) -> Entry {
    Entry { id: id.to_owned(), text: text.to_owned(), ..Entry::default() }
}

fn store<const N: usize>(rows: &[(&str, [f32; N])]) -> VectorStore {
    let store = VectorStore::new(Metric::Cosine, None).unwrap();
    let vectors: Vec<Vec<f32>> = rows.iter().map(|(_, vector)| vector.to_vec()).collect();
    let entries = rows.iter().map(|(text, _)| Entry::text(*text)).collect();
    store.add(Matrix::from_rows(&vectors).unwrap(), entries).unwrap();
    store
}

fn indexes(candidates: &[Candidate]) -> Vec<u64> {
    candidates.iter().map(|candidate| candidate.hit.index).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    /// After any changes, with searches in between, words find what they find in a store made afresh.
    #[test]
    fn words_are_those_of_the_entries_as_they_are(
        steps in prop::collection::vec((0_u8..4, 0_u16..30, 1_usize..20, "[abc]{1,2} [abc]{1,2}"), 1..40),
    ) {
        let store = VectorStore::new(Metric::Dot, Some(1)).unwrap();
        let mut model: Vec<(String, String)> = Vec::new();
        for (kind, first, count, text) in steps {
            let names: Vec<String> =
                (0..count).map(|at| format!("n{}", usize::from(first) + at)).collect();
            if kind == 0 {
                model.retain(|(id, _)| !names.contains(id));
                store.delete(&names).unwrap();
            } else {
                for name in &names {
                    match model.iter_mut().find(|(id, _)| id == name) {
                        Some(known) => known.1.clone_from(&text),
                        None => model.push((name.clone(), text.clone())),
                    }
                }
                let entries = names.iter().map(|name| entry(name, &text)).collect();
                store.add(Matrix::new(vec![1.0; count], count, 1).unwrap(), entries).unwrap();
            }
            let fresh = VectorStore::new(Metric::Dot, Some(1)).unwrap();
            let entries: Vec<Entry> = model.iter().map(|(id, text)| entry(id, text)).collect();
            let vectors = Matrix::new(vec![1.0; entries.len()], entries.len(), 1).unwrap();
            fresh.add(vectors, entries).unwrap();
            let found = |store: &VectorStore| -> Vec<(String, f32)> {
                let found = store.candidates(Wanted::Words("a b ca"), 1000, None).unwrap();
                found.into_iter().map(|one| (one.hit.entry.id.clone(), one.hit.score)).collect()
            };
            prop_assert_eq!(found(&store), found(&fresh));
        }
    }
}

#[test]
fn words_find_only_what_holds_them_and_the_rarer_word_counts_for_more() {
    let store = store(&[
        ("the heron waits", [1.0, 0.0]),
        ("the swift sleeps", [0.0, 1.0]),
        ("the swift and the heron", [1.0, 1.0]),
        ("the wing", [1.0, 1.0]),
    ]);
    let found = store.candidates(Wanted::Words("The swift sleeps?"), 3, None).unwrap();
    assert_eq!(indexes(&found)[..2], [1, 2]);
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].hit.score, found[0].relevance);
    assert_eq!(found[0].vector, [0.0, 1.0]);
    assert_eq!(store.candidates(Wanted::Words("owl ?!"), 3, None).unwrap(), []);
    assert!(store.candidates(Wanted::Words("owl"), 0, None).is_err());
}

#[test]
fn ranks_are_fused_and_scores_stay_similarities() {
    let store = store(&[
        ("plain", [1.0, 0.0]),
        ("needle needle needle", [0.0, 1.0]),
        ("a needle in a lot of hay", [0.9, 0.1]),
    ]);
    let found = store.candidates(Wanted::Both(&[1.0, 0.0], "needle"), 10, None).unwrap();
    // Row 1 is first and third in the lists, row 2 second in both, row 0 first in one and not in the other.
    assert_eq!(indexes(&found), [1, 2, 0]);
    let expected = [1.0 / 61.0 + 1.0 / 63.0, 1.0 / 62.0 + 1.0 / 62.0, 1.0 / 61.0];
    for (candidate, expected) in found.iter().zip(expected) {
        assert!((candidate.relevance - expected).abs() < 1e-7);
    }
    let scores = store.search(&[1.0, 0.0], 10).unwrap();
    for candidate in &found {
        let hit = scores.iter().find(|hit| hit.index == candidate.hit.index).unwrap();
        assert_eq!(candidate.hit, *hit);
    }
}

#[test]
fn a_different_one_is_preferred_to_a_twin() {
    let store = store(&[
        ("one", [1.0, 0.1, 0.0]),
        ("twin", [1.0, 0.11, 0.0]),
        ("other", [0.6, -0.5, 0.6]),
        ("far", [0.0, 1.0, 0.0]),
    ]);
    let found = || store.candidates(Wanted::Vector(&[1.0, 0.0, 0.0]), 4, None).unwrap();
    assert_eq!(indexes(&diverse(found(), 0.0, 4)), [0, 1, 2, 3]);
    assert_eq!(indexes(&diverse(found(), 0.5, 2)), [0, 2]);
    assert_eq!(indexes(&diverse(found(), 1.0, 2)), [0, 3]);
    assert_eq!(diverse(Vec::new(), 0.5, 2), []);
}

#[test]
fn many_searches_at_once_share_one_index() {
    let rows: Vec<(&str, [f32; 2])> =
        (0..3000).map(|_| ("some common words", [1.0, 0.0])).collect();
    let store = store(&rows);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let found = store.candidates(Wanted::Words("common"), 5, None).unwrap();
                assert_eq!(indexes(&found), [0, 1, 2, 3, 4]);
            });
        }
    });
}
