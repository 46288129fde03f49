//! What the exact mode promises on top: a hard cap in any unit, overlap included; slices of the source
//! between graphemes; nothing lost but white space. Sizes are counted here in the plainest way.

use std::borrow::Cow;
use std::collections::BTreeSet;

use graphbit::split::{Chunk, Count, ExactSplitter, Split, Strategy, Unit};
use graphbit::tokens::Encoding;
use unicode_segmentation::UnicodeSegmentation;

use super::{Case, DEFAULT_TOKENS, blank, owned, points};

/// Patterns count their own matches under [`Unit::Pattern`]; this one is counted by the case.
const PATTERN: &str = r"\w+\s?|[^\w\s]";

fn unit_of(case: &Case) -> Unit {
    const UNITS: [Unit; 7] = [
        Unit::Chars,
        Unit::Graphemes,
        Unit::Bytes,
        Unit::Words,
        Unit::Pattern,
        Unit::Tokens(Encoding::Cl100kBase),
        Unit::Tokens(Encoding::O200kBase),
    ];
    // The low digit picks among a strategy's own parameters.
    UNITS[case.choice / 16 % UNITS.len()]
}

fn measured(text: &str, unit: Unit) -> usize {
    match unit {
        Unit::Chars => text.chars().count(),
        Unit::Graphemes => text.graphemes(true).count(),
        Unit::Bytes => text.len(),
        Unit::Words => text.unicode_words().count(),
        Unit::Tokens(encoding) => encoding.tokenizer().count(text),
        _ => DEFAULT_TOKENS.find_iter(text).count(),
    }
}

/// Offsets between graphemes, the ends of the text among them.
fn edges(text: &str) -> BTreeSet<usize> {
    text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect()
}

/// All promises, for one strategy in the unit that the case picks.
pub(super) fn holds(case: &Case, strategy: &Strategy) {
    let own_pattern = matches!(strategy, Strategy::Token { token_pattern: Some(_), .. });
    let unit = match unit_of(case) {
        // What a custom pattern matches is counted by nobody but the splitter itself.
        Unit::Pattern if own_pattern => Unit::Chars,
        unit => unit,
    };
    let (size, overlap) = strategy.sizes();
    let splitter = ExactSplitter::new(strategy, unit)
        .unwrap()
        .with_trim(case.trim)
        .with_whole_words(case.whole_words);
    let chunks = splitter.cut(&case.text);
    each_is_a_slice_under_the_cap(case, &chunks, unit, size);
    in_order_and_whole(case, &chunks, unit, overlap);
    assert_eq!(splitter.cut(&case.text), chunks, "the same again");
}

fn each_is_a_slice_under_the_cap(
    case: &Case,
    chunks: &[Chunk<Cow<'_, str>>],
    unit: Unit,
    size: usize,
) {
    let text = &case.text;
    let (edges, points) = (edges(text), points(text));
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.chunk_index, index);
        assert_eq!(text.get(chunk.start_byte..chunk.end_byte), Some(&*chunk.content));
        assert_eq!(
            (points[chunk.start_byte], points[chunk.end_byte]),
            (chunk.start_char, chunk.end_char)
        );
        assert!(!blank(&chunk.content), "{chunk:?}");
        assert!(!case.trim || chunk.content.trim() == chunk.content, "{chunk:?}");
        let count = measured(&chunk.content, unit);
        assert!(
            count <= size || chunk.content.chars().nth(1).is_none(),
            "{count} {unit:?}: {chunk:?}"
        );
        if let Some(Count::Tokens(tokens)) = chunk.count {
            assert_eq!(tokens, count, "{chunk:?}");
        }
        for at in [chunk.start_byte, chunk.end_byte] {
            if edges.contains(&at) {
                continue;
            }
            let before = edges.range(..at).next_back().copied().unwrap_or_default();
            let behind = edges.range(at..).next().copied().unwrap_or(text.len());
            // A mark on a blank, or a prefix of one, is one grapheme with it, and trimming takes the
            // blank away.
            let trimmed = case.trim
                && (at == chunk.start_byte && blank(&text[before..at])
                    || at == chunk.end_byte && blank(&text[at..behind]));
            let grapheme = &text[before..behind];
            assert!(
                trimmed || measured(grapheme, unit) > size,
                "cut inside {grapheme:?}: {chunk:?}"
            );
        }
    }
}

fn in_order_and_whole(case: &Case, chunks: &[Chunk<Cow<'_, str>>], unit: Unit, overlap: usize) {
    let text = &case.text;
    let (mut covered, mut begun) = (0, None);
    for chunk in chunks {
        if chunk.start_byte > covered {
            assert!(blank(&text[covered..chunk.start_byte]), "lost before {chunk:?}");
        } else {
            let shared = &text[chunk.start_byte..covered];
            assert!(measured(shared, unit) <= overlap, "{shared:?} shared, {unit:?}");
        }
        assert!(chunk.end_byte > covered, "no progress: {chunk:?}");
        assert!(begun.is_none_or(|begun| chunk.start_byte > begun), "no progress: {chunk:?}");
        (covered, begun) = (chunk.end_byte, Some(chunk.start_byte));
    }
    assert!(blank(&text[covered..]), "lost at the end: {:?}", &text[covered..]);
}

/// A target: reads the case, builds the strategy from it, checks.
macro_rules! targets {
    ($($name:ident($case:ident, $chunk_size:ident, $chunk_overlap:ident) $strategy:expr;)+) => {$(
        #[doc = concat!("The exact mode of the strategy `", stringify!($name), "`.")]
        pub(crate) fn $name(data: &[u8]) {
            let $case = &Case::read(data);
            let ($chunk_size, $chunk_overlap) = ($case.size, $case.narrow_overlap());
            holds($case, &$strategy);
        }
    )+};
}

targets! {
    exact_character(case, chunk_size, chunk_overlap)
        Strategy::Character { chunk_size, chunk_overlap };
    exact_token(case, chunk_size, chunk_overlap) Strategy::Token {
        chunk_size,
        chunk_overlap,
        token_pattern: case.pick(&[None, None, Some(PATTERN), Some("a*")]).map(str::to_owned),
    };
    exact_sentence(case, chunk_size, chunk_overlap) Strategy::Sentence {
        chunk_size,
        chunk_overlap,
        sentence_endings: case.pick(&[None, None, Some(&[r"\|", "-"][..])]).map(owned),
    };
    exact_recursive(case, chunk_size, chunk_overlap) Strategy::Recursive {
        chunk_size,
        chunk_overlap,
        separators: case
            .pick(&[None, None, Some(&["\n\n", "-", "世", " "][..]), Some(&["", "\n"][..])])
            .map(owned),
    };
    exact_paragraph(case, chunk_size, chunk_overlap) Strategy::Paragraph {
        chunk_size,
        chunk_overlap,
        min_paragraph_length: *case.pick(&[None, Some(0), Some(9)]),
    };
    exact_markdown(case, chunk_size, chunk_overlap) Strategy::Markdown {
        chunk_size,
        chunk_overlap,
        split_by_headers: case.choice.is_multiple_of(2),
    };
    exact_code(case, chunk_size, chunk_overlap) Strategy::Code {
        chunk_size,
        chunk_overlap,
        language: case
            .pick(&[None, Some("python"), Some("rust"), Some("javascript"), Some("go"), Some("java"),
                Some("c"), Some("cpp"), Some("typescript"), Some("unheard of")])
            .map(str::to_owned),
    };
    exact_regex(case, chunk_size, chunk_overlap) Strategy::Regex {
        pattern: (*case.pick(&["[,.;]", r"\n+", r"\b", "a*", "世|-"])).to_owned(),
        chunk_size,
        chunk_overlap,
    };
}
