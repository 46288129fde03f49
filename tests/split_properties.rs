//! The promises of the splitters on generated texts, and on every case the fuzzer found worth keeping.
//!
//! `GRAPHBIT_SPLIT_CASES` is the number of generated cases for each splitter:
//! `GRAPHBIT_SPLIT_CASES=1000000 cargo test --profile quick --test split_properties`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod splitting;
#[path = "splitting/corpus.rs"]
mod splitting_corpus;

use std::panic::catch_unwind;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Bytes as [`splitting::Case`] reads them. Half of the texts come from a few kinds of pieces, so
/// that runs and repetitions are common.
fn cases() -> impl Strategy<Value = Vec<u8>> {
    let few = prop::collection::vec(any::<u8>(), 1..6)
        .prop_flat_map(|some| prop::collection::vec(prop::sample::select(some), 0..60));
    let text = prop_oneof![few, prop::collection::vec(any::<u8>(), 0..60)];
    (any::<[u8; 5]>(), text).prop_map(|(parameters, text)| [&parameters[..], &text].concat())
}

fn wanted() -> u32 {
    std::env::var("GRAPHBIT_SPLIT_CASES").map_or(4000, |number| number.parse().unwrap())
}

fn on_generated_texts(target: &str) {
    let (_, check) = splitting::TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let config = Config { cases: wanted(), failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&cases(), |case| {
            check(&case);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

macro_rules! on_generated_texts {
    ($($target:ident),+) => {$(
        #[test]
        fn $target() {
            on_generated_texts(stringify!($target));
        }
    )+};
}
on_generated_texts!(
    character,
    token,
    sentence,
    recursive,
    exact_character,
    exact_token,
    exact_sentence,
    exact_recursive,
    exact_paragraph,
    exact_markdown,
    exact_code,
    exact_regex
);

#[test]
fn the_kept_corpora_pass() {
    for (target, check) in splitting::TARGETS {
        for case in splitting_corpus::kept(target) {
            let shown = splitting::Case::read(&case);
            assert!(catch_unwind(|| check(&case)).is_ok(), "{target}: {case:?}: {shown:?}");
        }
    }
}
