//! What the exact mode promises, on generated texts: `PROPTEST_CASES` says how many.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use unicode_segmentation::UnicodeSegmentation;

use super::super::Count;
use super::ruler::Measure;
use super::{ExactSplitter, Split, Unit};
use crate::split;
use crate::tokens::Encoding;

/// Pieces that are hard to cut between: clusters, separators, runs, blanks of several kinds.
fn texts() -> impl Strategy<Value = String> {
    const PIECES: [&str; 44] = [
        "a",
        "word",
        "longer",
        "x1_y",
        "3.14",
        "Dr. Smith",
        "naïve",
        "e\u{301}",
        "\u{301}",
        "ß",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\n \n",
        "\r\n",
        "\t",
        "\u{a0}",
        "\u{3000}",
        "\u{2028}",
        "\u{1c}",
        "\u{200b}",
        ". ",
        "! ",
        "?",
        "; ",
        ": ",
        " - ",
        ", ",
        "-",
        "|",
        "`",
        "# ",
        "世界",
        "你好，朋友。",
        "🚀",
        "👩\u{200d}👩\u{200d}👧",
        "🇩🇪",
        "🇩",
        "\0",
        "क्षि",
        "한국",
        "(",
        "…",
    ];
    let few = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..6)
        .prop_flat_map(|some| prop::collection::vec(prop::sample::select(some), 0..40));
    let any = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..60);
    prop_oneof![few, any].prop_map(|pieces| pieces.concat())
}

fn units() -> impl Strategy<Value = Unit> {
    prop::sample::select(vec![
        Unit::Chars,
        Unit::Graphemes,
        Unit::Bytes,
        Unit::Words,
        Unit::Pattern,
        Unit::Tokens(Encoding::Cl100kBase),
        Unit::Tokens(Encoding::O200kBase),
    ])
}

/// Every strategy, with parameters that make a difference.
fn strategies() -> impl Strategy<Value = split::Strategy> {
    (0_usize..14, 1_usize..40, 0_usize..40).prop_map(|(kind, chunk_size, overlap)| {
        let chunk_overlap = overlap.min(chunk_size - 1);
        let list = |list: &[&str]| Some(list.iter().map(|one| (*one).to_owned()).collect());
        match kind {
            0 => split::Strategy::Character { chunk_size, chunk_overlap },
            1 => split::Strategy::Token { chunk_size, chunk_overlap, token_pattern: None },
            2 => split::Strategy::Token {
                chunk_size,
                chunk_overlap,
                token_pattern: Some(r"\w+\s?|[^\w\s]".to_owned()),
            },
            3 => split::Strategy::Token {
                chunk_size,
                chunk_overlap,
                token_pattern: Some("a*".to_owned()),
            },
            4 => split::Strategy::Sentence { chunk_size, chunk_overlap, sentence_endings: None },
            5 => split::Strategy::Sentence {
                chunk_size,
                chunk_overlap,
                sentence_endings: list(&[r"\|", "-"]),
            },
            6 | 7 => split::Strategy::Recursive { chunk_size, chunk_overlap, separators: None },
            8 => split::Strategy::Recursive {
                chunk_size,
                chunk_overlap,
                separators: list(&["\n\n", "-", "世", " "]),
            },
            9 => {
                split::Strategy::Paragraph { chunk_size, chunk_overlap, min_paragraph_length: None }
            }
            10 => split::Strategy::Paragraph {
                chunk_size,
                chunk_overlap,
                min_paragraph_length: Some(9),
            },
            11 => split::Strategy::Markdown {
                chunk_size,
                chunk_overlap,
                split_by_headers: overlap % 2 == 0,
            },
            12 => split::Strategy::Code {
                chunk_size,
                chunk_overlap,
                language: Some("python".to_owned()),
            },
            _ => split::Strategy::Regex { pattern: "[,.;]".to_owned(), chunk_size, chunk_overlap },
        }
    })
}

/// The size of a content as somebody who sees nothing else would count it.
fn size(content: &str, splitter: &ExactSplitter) -> usize {
    Measure::new(split::Source::new(content), &splitter.ruler).size(0..content.len())
}

fn blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold(text in texts(), strategy in strategies(), unit in units(), trim in any::<bool>()) {
        let splitter = ExactSplitter::new(&strategy, unit).unwrap().with_trim(trim);
        let graphemes: Vec<usize> =
            text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
        let chunks = splitter.cut(&text);
        let mut covered = 0;
        let mut begun = None;
        for (index, chunk) in chunks.iter().enumerate() {
            let content = &*chunk.content;
            prop_assert_eq!(chunk.chunk_index, index);
            prop_assert_eq!(&text[chunk.start_byte..chunk.end_byte], content);
            prop_assert_eq!(text[..chunk.start_byte].chars().count(), chunk.start_char);
            prop_assert_eq!(text[..chunk.end_byte].chars().count(), chunk.end_char);
            prop_assert!(!blank(content));
            prop_assert!(!trim || content.trim() == content);
            // The cap, overlap included; only a single grapheme may exceed it.
            let measured = size(content, &splitter);
            prop_assert!(measured <= strategy.sizes().0 || content.chars().nth(1).is_none(), "{measured} {content:?}");
            prop_assert_eq!(chunk.count, splitter.ruler.counts_tokens().then_some(Count::Tokens(measured)));
            // Between graphemes, unless that one alone exceeds the cap.
            for at in [chunk.start_byte, chunk.end_byte] {
                if let Err(next) = graphemes.binary_search(&at) {
                    let grapheme = &text[graphemes[next - 1]..graphemes[next]];
                    // A mark on a blank stays when the blank is trimmed.
                    prop_assert!(
                        grapheme.starts_with(char::is_whitespace)
                            || size(grapheme, &splitter) > strategy.sizes().0,
                        "{at} {chunks:?}"
                    );
                }
            }
            // Only white space is lost, every chunk ends later and begins later than the last one.
            if chunk.start_byte > covered {
                prop_assert!(blank(&text[covered..chunk.start_byte]));
            } else if chunk.start_byte < covered {
                let shared = &text[chunk.start_byte..covered];
                prop_assert!(size(shared, &splitter) <= strategy.sizes().1, "{shared:?}");
            }
            prop_assert!(chunk.end_byte > covered);
            prop_assert!(begun.is_none_or(|begun| chunk.start_byte > begun));
            (covered, begun) = (chunk.end_byte, Some(chunk.start_byte));
        }
        prop_assert!(blank(&text[covered..]));
    }
}
