//! The splitters on one megabyte, in the core alone: `cargo bench --bench splitting`.
//!
//! What Python programs see, and the rivals, are measured by `benches/splitting.py`; here a change of
//! an algorithm is seen without the cost of CPython's strings. The texts are made by a seeded
//! generator, so two machines measure the same.

#![allow(clippy::expect_used, reason = "a benchmark that cannot build its splitter cannot run")]

use std::fmt;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use graphbit::split::{
    CharacterSplitter, ExactSplitter, RecursiveSplitter, SentenceSplitter, Source, Split, Strategy,
    TokenSplitter, Unit, split_texts,
};
use graphbit::tokens::Encoding;

const SIZE: usize = 1_000_000;

fn main() {
    divan::main();
}

/// What a text is made of.
#[derive(Clone, Copy)]
enum Letters {
    English,
    Accents,
    Ideographs,
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::English => "English",
            Self::Accents => "accents",
            Self::Ideographs => "CJK, emoji",
        })
    }
}

const KINDS: [Letters; 3] = [Letters::English, Letters::Accents, Letters::Ideographs];

impl Letters {
    const fn alphabet(self) -> (&'static [&'static str], &'static str, &'static str) {
        match self {
            Self::English => (
                &["e", "t", "a", "o", "in", "s", "h", "r", "d", "l", "u", "c", "m", "f", "w", "y"],
                " ",
                ". ",
            ),
            Self::Accents => (
                &["e", "é", "a", "à", "i", "ô", "û", "n", "ñ", "s", "ß", "ř", "t", "ž", "ç", "l"],
                " ",
                ". ",
            ),
            Self::Ideographs => (
                &[
                    "世",
                    "界",
                    "你",
                    "好",
                    "朋",
                    "友",
                    "の",
                    "は",
                    "한",
                    "국",
                    "明",
                    "天",
                    "水",
                    "火",
                    "🚀",
                    "👩\u{200d}👧",
                ],
                "",
                "。",
            ),
        }
    }

    /// Paragraphs of 3 to 8 sentences of 6 to 22 words.
    fn text(self, size: usize) -> String {
        let (letters, space, stop) = self.alphabet();
        let mut chance = fastrand::Rng::with_seed(20260);
        let words: Vec<String> = (0..2000)
            .map(|_| {
                (0..chance.usize(1..9)).filter_map(|_| chance.choice(letters)).copied().collect()
            })
            .collect();
        let mut text = String::with_capacity(size + 4096);
        while text.len() < size {
            for _ in 0..chance.usize(3..9) {
                for number in 0..chance.usize(6..23) {
                    if number > 0 {
                        text.push_str(space);
                    }
                    // The square prefers the first words, as languages do.
                    let rank = chance.f32() * chance.f32() * 1999.0;
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "0 to 1999"
                    )]
                    text.push_str(words.get(rank as usize).map_or("", String::as_str));
                }
                text.push_str(stop);
            }
            text.push_str("\n\n");
        }
        text
    }
}

fn run(bencher: Bencher<'_, '_>, splitter: &impl Split, letters: Letters) {
    let text = letters.text(SIZE);
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| splitter.cut(black_box(&text)));
}

#[divan::bench(args = KINDS)]
fn character(bencher: Bencher<'_, '_>, letters: Letters) {
    run(bencher, &CharacterSplitter::new(1000, 100).expect("sizes"), letters);
}

#[divan::bench(args = KINDS)]
fn token(bencher: Bencher<'_, '_>, letters: Letters) {
    run(bencher, &TokenSplitter::new(200, 20, None).expect("sizes"), letters);
}

#[divan::bench(args = KINDS)]
fn token_with_a_pattern(bencher: Bencher<'_, '_>, letters: Letters) {
    run(bencher, &TokenSplitter::new(200, 20, Some(r"\w+|\W")).expect("a pattern"), letters);
}

#[divan::bench(args = KINDS)]
fn sentence(bencher: Bencher<'_, '_>, letters: Letters) {
    run(bencher, &SentenceSplitter::new(1000, 1, None).expect("sizes"), letters);
}

#[divan::bench(args = KINDS)]
fn recursive(bencher: Bencher<'_, '_>, letters: Letters) {
    run(bencher, &RecursiveSplitter::new(1000, 100, None).expect("sizes"), letters);
}

#[divan::bench(args = KINDS)]
fn recursive_without_overlap(bencher: Bencher<'_, '_>, letters: Letters) {
    run(bencher, &RecursiveSplitter::new(1000, 0, None).expect("sizes"), letters);
}

/// A hundred documents of 10 KB on all cores.
#[divan::bench(args = KINDS)]
fn recursive_batch(bencher: Bencher<'_, '_>, letters: Letters) {
    let splitter = RecursiveSplitter::new(1000, 100, None).expect("sizes");
    let text = letters.text(10_000);
    let texts = vec![Source::new(&text); 100];
    let bytes = BytesCount::new(text.len() * texts.len());
    bencher.counter(bytes).bench_local(|| split_texts(&splitter, black_box(&texts)));
}

#[divan::bench(args = KINDS)]
fn exact_recursive(bencher: Bencher<'_, '_>, letters: Letters) {
    let strategy = Strategy::Recursive { chunk_size: 1000, chunk_overlap: 100, separators: None };
    run(bencher, &ExactSplitter::new(&strategy, Unit::Chars).expect("sizes"), letters);
}

#[divan::bench(args = KINDS)]
fn exact_tokens(bencher: Bencher<'_, '_>, letters: Letters) {
    let strategy = Strategy::Token { chunk_size: 200, chunk_overlap: 20, token_pattern: None };
    let unit = Unit::Tokens(Encoding::Cl100kBase);
    run(bencher, &ExactSplitter::new(&strategy, unit).expect("sizes"), letters);
}

#[divan::bench(args = KINDS)]
fn count_tokens(bencher: Bencher<'_, '_>, letters: Letters) {
    let text = letters.text(1_000_000);
    let tokenizer = Encoding::Cl100kBase.tokenizer();
    let bytes = BytesCount::new(text.len());
    bencher.counter(bytes).bench_local(|| tokenizer.count(black_box(&text)));
}

/// The same 50 MB in documents of so many megabytes: time grows with the text alone.
const GROWTH: [usize; 3] = [1, 10, 50];

fn grow(bencher: Bencher<'_, '_>, splitter: &impl Split, megabytes: usize) {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let part = Letters::English.text(SIZE);
        part.get(..SIZE).unwrap_or(&part).repeat(50)
    });
    let size = megabytes * SIZE;
    bencher.counter(BytesCount::of_str(text)).bench_local(|| {
        for start in (0..text.len()).step_by(size) {
            let document = text.get(start..start + size).unwrap_or_default();
            let _ = splitter.visit(Source::with_length(document, size), &mut |chunk| {
                black_box(chunk);
                ControlFlow::Continue(())
            });
        }
    });
}

#[divan::bench(args = GROWTH, sample_count = 10)]
fn growth_character(bencher: Bencher<'_, '_>, megabytes: usize) {
    grow(bencher, &CharacterSplitter::new(1000, 100).expect("sizes"), megabytes);
}

#[divan::bench(args = GROWTH, sample_count = 10)]
fn growth_token(bencher: Bencher<'_, '_>, megabytes: usize) {
    grow(bencher, &TokenSplitter::new(200, 20, None).expect("sizes"), megabytes);
}

#[divan::bench(args = GROWTH, sample_count = 10)]
fn growth_sentence(bencher: Bencher<'_, '_>, megabytes: usize) {
    grow(bencher, &SentenceSplitter::new(1000, 1, None).expect("sizes"), megabytes);
}

#[divan::bench(args = GROWTH, sample_count = 10)]
fn growth_recursive(bencher: Bencher<'_, '_>, megabytes: usize) {
    grow(bencher, &RecursiveSplitter::new(1000, 100, None).expect("sizes"), megabytes);
}

#[divan::bench(args = GROWTH, sample_count = 10)]
fn growth_exact_recursive(bencher: Bencher<'_, '_>, megabytes: usize) {
    let strategy = Strategy::Recursive { chunk_size: 1000, chunk_overlap: 100, separators: None };
    grow(bencher, &ExactSplitter::new(&strategy, Unit::Chars).expect("sizes"), megabytes);
}
