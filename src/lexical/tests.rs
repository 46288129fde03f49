//! Scores against the formula written down the long way, and texts found by what they hold.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::words::{Purpose, each_term};
use super::*;

fn terms(text: &str, purpose: Purpose) -> Vec<String> {
    let mut terms = Vec::new();
    each_term(text, purpose, |term| terms.push(term.to_owned()));
    terms
}

/// Scores of all texts, straight from the definition.
fn defined(texts: &[String], query: &str) -> Vec<f64> {
    let all: Vec<Vec<String>> = texts.iter().map(|text| terms(text, Purpose::Index)).collect();
    let count = all.len() as f64;
    let average = all.iter().map(Vec::len).sum::<usize>() as f64 / count;
    all.iter()
        .map(|text| {
            terms(query, Purpose::Query)
                .iter()
                .map(|term| {
                    let holding = all.iter().filter(|text| text.contains(term)).count() as f64;
                    let times = text.iter().filter(|known| *known == term).count() as f64;
                    let idf = (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln();
                    let length = text.len() as f64 / average.max(1.0);
                    idf * times / (times + 1.2 * (1.0 - 0.75 + 0.75 * length))
                })
                .sum()
        })
        .collect()
}

fn found(segments: &[Segment], query: &str) -> Vec<(usize, usize, f32)> {
    let mut found = Vec::new();
    score(&segments.iter().collect::<Vec<_>>(), &Query::new(query), |segment, row, score| {
        found.push((segment, row, score));
    });
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// However the texts are cut into segments, the scores are those of one collection.
    #[test]
    fn scores_are_those_of_the_formula(
        texts in prop::collection::vec("([abc猫犬]{1,3}[ ,_]){0,30}", 1..40),
        query in "([abcd猫犬]{1,3} ){0,6}",
        cut in 1_usize..12,
    ) {
        let segments: Vec<Segment> =
            texts.chunks(cut).map(|some| Segment::of(some.iter().map(String::as_str))).collect();
        let mut scores = vec![0.0; texts.len()];
        for (segment, row, score) in found(&segments, &query) {
            prop_assert!(score > 0.0);
            scores[segment * cut + row] = f64::from(score);
        }
        for (score, defined) in scores.iter().zip(defined(&texts, &query)) {
            prop_assert!((score - defined).abs() <= 1e-5 * defined.max(1.0), "{score} {defined}");
        }
    }

    /// Any text is found by itself, whatever it is made of, and terms are never longer than promised.
    #[test]
    fn a_text_is_found_by_itself(text in "\\PC{0,300}") {
        let some = terms(&text, Purpose::Query);
        prop_assert!(some.iter().all(|term| !term.is_empty() && term.len() <= 255));
        let known: BTreeSet<_> = terms(&text, Purpose::Index).into_iter().collect();
        prop_assert!(some.iter().all(|term| known.contains(term)));
        let segment = Segment::of([text.as_str()]);
        prop_assert_eq!(found(&[segment], &text).len(), usize::from(!some.is_empty()));
    }
}

#[test]
fn terms_of_many_scripts() {
    for (text, expected) in [
        ("The QUICK fox's tail", "the quick fox s tail"),
        ("L’eau, l'été", "l eau l été"),
        ("max_context_tokens=3.14 a.b", "max context tokens 3.14 a b"),
        // Composed or not, full width or not.
        ("Cafe\u{301} ＡＢＣ", "café abc"),
        ("Straße ΟΔΟΣ", "straße οδος"),
        ("हिन्दी भाषा", "हिन्दी भाषा"),
        ("東京都 x 猫", "東京 京都 x 猫"),
        ("データbase", "デー ータ base"),
        ("ﾃﾞｰﾀ", "デー ータ"),
        ("한국어", "한국 국어"),
        ("ไทย", "ไท ทย"),
    ] {
        assert_eq!(terms(text, Purpose::Query).join(" "), expected);
    }
    assert_eq!(terms("東京", Purpose::Index), ["東", "京", "東京"]);
}

#[test]
fn one_character_finds_the_words_it_stands_in() {
    let segment = Segment::of(["黒猫が眠る", "犬が走る"]);
    let rows: Vec<usize> = found(&[segment], "猫").into_iter().map(|(_, row, _)| row).collect();
    assert_eq!(rows, [0]);
}

#[test]
fn postings_are_small() {
    let text = "alpha beta gamma delta epsilon zeta eta theta iota kappa ".repeat(20);
    let texts = vec![text.as_str(); 1000];
    let segment = Segment::of(texts.iter().copied());
    assert!(segment.bytes() < 10 * 1000 * 3 + 5000, "{}", segment.bytes());
}

#[test]
fn a_query_of_a_whole_book_is_cut() {
    let book: String = (0..5000).map(|number| format!("w{number} ")).collect();
    assert_eq!(Query::new(&book).terms.len(), MOST_TERMS);
    assert_eq!(found(&[], &book), []);
}
