//! Semantic splitting with similarities made up by the test.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::super::Split;
use super::*;

const TEXT: &str = "Cats purr. Cats sleep. Stocks fell. Stocks rose. Rain came.";

fn plan(size: usize, overlap: usize) -> SemanticPlan {
    SemanticPlan::new(size, overlap, Unit::Chars).unwrap()
}

fn contents<'text>(plan: &SemanticPlan, text: &'text str, similarities: &[f32]) -> Vec<&'text str> {
    let sentences = plan.sentences(text);
    let breaks = plan.breaks(&sentences, similarities);
    let chunks = plan.places(Source::new(text), &sentences, &breaks);
    chunks.iter().map(|chunk| &text[chunk.start_byte..chunk.end_byte]).collect()
}

#[test]
fn chunks_end_where_the_similarity_drops() {
    let plan = plan(100, 0).with_boundary(Boundary::Threshold(0.5)).unwrap();
    let expected = ["Cats purr. Cats sleep.", "Stocks fell. Stocks rose.", "Rain came."];
    assert_eq!(contents(&plan, TEXT, &[0.9, 0.1, 0.8, 0.2]), expected);
    assert_eq!(contents(&plan, TEXT, &[0.5; 4]), [TEXT]);
    assert_eq!(contents(&plan, TEXT, &[f32::NAN; 4]), [TEXT]);
    assert_eq!(contents(&plan, TEXT, &[]), [TEXT]);
}

#[test]
fn the_percentile_is_that_of_the_text() {
    let strongest = plan(100, 0);
    let by_topic = ["Cats purr. Cats sleep.", "Stocks fell. Stocks rose. Rain came."];
    assert_eq!(contents(&strongest, TEXT, &[0.9, 0.1, 0.8, 0.2]), by_topic);
    let half = strongest.clone().with_boundary(Boundary::Percentile(60.0)).unwrap();
    assert_eq!(contents(&half, TEXT, &[0.9, 0.1, 0.8, 0.2]).len(), 3);
    // Equal drops are all drops, but rounding is none.
    assert_eq!(contents(&strongest, TEXT, &[0.9, 0.100_000_01, 0.9, 0.1]).len(), 3);
    assert_eq!(contents(&strongest, TEXT, &[1.0, 0.999_999_9, 1.0, 0.999_999_8]), [TEXT]);
    assert_eq!(contents(&strongest, TEXT, &[0.9, f32::NAN, 0.9, 0.1]).len(), 2);
}

#[test]
fn a_short_stretch_joins_the_next_and_the_last_one_that_before() {
    let plan = plan(100, 0).with_boundary(Boundary::Threshold(0.5)).unwrap();
    let all = [0.1; 4];
    assert_eq!(contents(&plan, TEXT, &all).len(), 5);
    let joined = plan.clone().with_min_chunk_size(12).unwrap();
    let expected = ["Cats purr. Cats sleep.", "Stocks fell.", "Stocks rose. Rain came."];
    assert_eq!(contents(&joined, TEXT, &all), expected);
    let joined = plan.with_min_chunk_size(100).unwrap();
    assert_eq!(contents(&joined, TEXT, &all), [TEXT]);
}

#[test]
fn the_cap_cuts_a_stretch_at_a_sentence_and_repeats_nothing_across_a_break() {
    let plan = plan(24, 12).with_boundary(Boundary::Threshold(0.5)).unwrap();
    let text = "Cats purr. Cats sleep. Cats eat. Stocks fell. Stocks rose.";
    let expected =
        ["Cats purr. Cats sleep.", "Cats sleep. Cats eat.", "Stocks fell.", "Stocks rose."];
    let found = contents(&plan, text, &[0.9, 0.9, 0.1, 0.9]);
    assert_eq!(found[..2], expected[..2]);
    assert!(found[2].starts_with("Stocks fell."), "{found:?}");
}

#[test]
fn what_is_embedded_is_a_sentence_and_its_neighbours() {
    let text = "\n\n A one. B two. C three. \n";
    let plan = plan(50, 0);
    let sentences = plan.sentences(text);
    assert_eq!(
        plan.windows(text, &sentences),
        ["A one. B two.", "A one. B two. C three.", "B two. C three."]
    );
    let alone = plan.clone().with_window(0).unwrap();
    assert_eq!(alone.windows(text, &sentences), ["A one.", "B two.", "C three."]);
    for text in ["", " \n ", "Only one."] {
        assert!(plan.windows(text, &plan.sentences(text)).is_empty());
    }
}

#[test]
fn refusals_name_field_value_and_range() {
    let message = |refused: Result<SemanticPlan>| refused.unwrap_err().message().to_owned();
    assert!(
        message(SemanticPlan::new(0, 0, Unit::Chars))
            .contains("chunk_size must be at least 1, not 0")
    );
    let message_of_overlap = message(SemanticPlan::new(5, 5, Unit::Chars));
    assert!(message_of_overlap.contains("chunk_overlap must be below chunk_size (5), not 5"));
    for (drop, expected) in [
        (Boundary::Percentile(100.5), "percentile must be between 0 and 100, not 100.5"),
        (Boundary::Percentile(f64::NAN), "percentile must be between 0 and 100, not NaN"),
        (Boundary::Threshold(-2.0), "threshold must be between -1 and 1, not -2"),
    ] {
        assert!(message(plan(5, 0).with_boundary(drop)).contains(expected));
    }
    assert!(
        message(plan(5, 0).with_window(11)).contains("window must be between 0 and 10, not 11")
    );
    let message = message(plan(5, 0).with_min_chunk_size(6));
    assert!(message.contains("min_chunk_size must be between 0 and chunk_size (5), not 6"));
}

fn texts() -> impl Strategy<Value = String> {
    const PIECES: [&str; 14] = [
        "Cats purr. ",
        "No! ",
        "Why? ",
        "word ",
        "\n\n",
        "Dr. Smith ",
        "世界。",
        "e\u{301} ",
        "A. ",
        " ",
        "\r\n",
        "👩\u{200d}👧. ",
        "end. ",
        "3.14 ",
    ];
    prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..50).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold(
        text in texts(),
        similarities in prop::collection::vec(-1.0_f32..1.0, 50),
        size in 1_usize..60,
        overlap in 0_usize..60,
        shortest in 0_usize..60,
        trim in any::<bool>(),
        percentile in prop::option::of(0.0_f64..100.0),
    ) {
        let drop = percentile.map_or(Boundary::Threshold(0.0), Boundary::Percentile);
        let shortest = shortest.min(size);
        let plan = SemanticPlan::new(size, overlap.min(size - 1), Unit::Chars)
            .and_then(|plan| plan.with_boundary(drop)?.with_min_chunk_size(shortest))
            .unwrap()
            .with_trim(trim);
        let sentences = plan.sentences(&text);
        let mut end = 0;
        for sentence in &sentences {
            prop_assert_eq!(sentence.start, end);
            prop_assert!(!text[sentence.clone()].trim().is_empty());
            end = sentence.end;
        }
        prop_assert!(text[end..].trim().is_empty());
        let breaks = plan.breaks(&sentences, &similarities);
        let mut covered = 0;
        for chunk in plan.places(Source::new(&text), &sentences, &breaks) {
            let content = &text[chunk.start_byte..chunk.end_byte];
            let length = content.chars().count();
            prop_assert!(length <= size);
            if chunk.start_byte > covered {
                prop_assert!(text[covered..chunk.start_byte].trim().is_empty());
            }
            prop_assert!(chunk.end_byte > covered);
            covered = chunk.end_byte;
            let spans = |at: &&usize| chunk.start_byte < **at && **at < chunk.end_byte;
            for at in breaks.iter().filter(spans) {
                // The stretch before it, or all that follows, was too short to stand alone.
                let before = breaks.iter().rfind(|one| *one < at).copied().unwrap_or(0);
                let chars = |range: Range<usize>| text[range].trim().chars().count();
                prop_assert!(
                    chars(before..*at) < shortest || chars(*at..text.len()) < shortest,
                    "{content:?} spans {at}"
                );
            }
        }
        prop_assert!(text[covered..].trim().is_empty());
        // Without a break it is the exact sentence splitter, for which blank lines before the first
        // sentence are a sentence of their own.
        let strategy = crate::split::Strategy::Sentence {
            chunk_size: size,
            chunk_overlap: overlap.min(size - 1),
            sentence_endings: None,
        };
        let plain = ExactSplitter::new(&strategy, Unit::Chars).unwrap().with_trim(trim);
        if plan.chunk_overlap() == 0 && (trim || !text.starts_with(char::is_whitespace)) {
            prop_assert_eq!(
                plan.places(Source::new(&text), &sentences, &[]),
                plain.places(Source::new(&text))
            );
        }
    }
}
