//! What holds for every splitter on every text, and a slow model of the recursive one.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;

use super::*;

/// Words, blanks, line ends, accents, combining marks, CJK, emoji, exotic spaces.
fn texts() -> impl Generator<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "word",
        "longer",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\n\n\n",
        "\r\n",
        "\t",
        ". ",
        ".",
        "! ",
        "? ",
        "; ",
        ": ",
        " - ",
        ",",
        "é",
        "e\u{301}",
        "世",
        "界。",
        "！",
        "🚀",
        "👩\u{200d}👧",
        "\u{a0}",
        "\u{3000}",
        "\u{1c}",
        "\u{200b}",
        "_",
        "7",
        "\0",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn spans_are_true(text: &str, chunks: &[Chunk<Cow<'_, str>>]) {
    for chunk in chunks {
        let span = text.get(chunk.start_byte..chunk.end_byte).expect("on character boundaries");
        assert_eq!(text[..chunk.start_byte].chars().count(), chunk.start_char);
        assert_eq!(span.chars().count(), chunk.end_char - chunk.start_char);
        assert!(text.get(chunk.start_index..chunk.end_index).is_some(), "{chunk:?}");
        assert!(!chunk.content.trim().is_empty());
        if let Cow::Borrowed(content) = chunk.content {
            assert_eq!(content, span);
        }
    }
}

/// The recursive algorithm as the contract states it, on strings. `None` where it would cut a
/// character in two.
fn model(text: &str, size: usize, separators: &[&str]) -> Option<Vec<String>> {
    let Some((separator, finer)) = separators.split_first().filter(|_| text.len() > size) else {
        return Some(vec![text.to_owned()]);
    };
    if separator.is_empty() {
        let mut cuts: Vec<usize> = (0..text.len()).step_by(size).collect();
        cuts.push(text.len());
        return cuts.windows(2).map(|cut| text.get(cut[0]..cut[1]).map(str::to_owned)).collect();
    }
    let (mut pieces, mut buffer) = (Vec::new(), String::new());
    for part in text.split(separator) {
        let candidate =
            if buffer.is_empty() { part.to_owned() } else { format!("{buffer}{separator}{part}") };
        if candidate.len() <= size {
            buffer = candidate;
            continue;
        }
        if !buffer.is_empty() {
            pieces.push(std::mem::take(&mut buffer));
        }
        if part.len() > size {
            pieces.extend(model(part, size, finer)?);
        } else {
            buffer = part.to_owned();
        }
    }
    if !buffer.is_empty() {
        pieces.push(buffer);
    }
    Some(pieces)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn character(text in texts(), size in 1_usize..40, overlap in 0_usize..40) {
        let overlap = overlap % size;
        for (trim, words) in [(true, true), (true, false), (false, true), (false, false)] {
            let splitter =
                CharacterSplitter::new(size, overlap).unwrap().with_trim(trim).with_whole_words(words);
            let chunks = splitter.cut(&text);
            spans_are_true(&text, &chunks);
            for (index, chunk) in chunks.iter().enumerate() {
                prop_assert!(chunk.content.chars().count() <= size);
                prop_assert_eq!(chunk.chunk_index, index);
                prop_assert!(!trim || chunk.content.trim() == chunk.content);
            }
            for pair in chunks.windows(2) {
                let spans = [0, 1].map(|at: usize| (pair[at].start_byte, pair[at].end_byte));
                prop_assert!(spans[0].0 <= spans[1].0 && spans[0].1 <= spans[1].1);
                // Only white space lies between neighbours: no letter is lost.
                if pair[0].end_byte < pair[1].start_byte {
                    prop_assert!(text[pair[0].end_byte..pair[1].start_byte].trim().is_empty());
                }
            }
        }
    }

    #[test]
    fn token(text in texts(), size in 1_usize..12, overlap in 0_usize..12) {
        let overlap = overlap % size;
        let runs = TokenSplitter::new(size, overlap, None).unwrap();
        let regex = TokenSplitter::new(size, overlap, Some(r"\b\w+\b|\s+|[^\w\s]+")).unwrap();
        let chunks = runs.cut(&text);
        spans_are_true(&text, &chunks);
        for chunk in &chunks {
            let Some(Count::Tokens(tokens)) = chunk.count else { panic!("no count") };
            prop_assert!(tokens <= size && tokens > 0);
        }
        prop_assert_eq!(chunks, regex.cut(&text), "the hand-written runs are the default pattern");
    }

    #[test]
    fn token_patterns(
        text in texts(),
        size in 1_usize..6,
        overlap in 0_usize..6,
        trim: bool,
        pattern in prop::sample::select(vec![r"\w+", "a*", r"\S+\s", "[^a]", "", r"\s"]),
    ) {
        let splitter = TokenSplitter::new(size, overlap % size, Some(pattern)).unwrap();
        spans_are_true(&text, &splitter.with_trim(trim).cut(&text));
    }

    #[test]
    fn sentence(text in texts(), size in 1_usize..40, overlap in 0_usize..9, trim: bool) {
        let chunks = SentenceSplitter::new(size, overlap, None).unwrap().with_trim(trim).cut(&text);
        spans_are_true(&text, &chunks);
        for pair in chunks.windows(2) {
            prop_assert!(pair[0].start_index < pair[1].start_index);
            prop_assert!(pair[0].end_index < pair[1].end_index);
        }
    }

    #[test]
    fn recursive(text in texts(), size in 1_usize..30, overlap in 0_usize..35, trim: bool) {
        let splitter = RecursiveSplitter::new(size, overlap, None).unwrap().with_trim(trim);
        let chunks = splitter.cut(&text);
        spans_are_true(&text, &chunks);
        for chunk in &chunks {
            // A single character may be larger than the size.
            prop_assert!(chunk.content.len() <= size.max(4) + 2 * overlap);
        }
    }

    #[test]
    fn recursive_is_its_model(
        text in texts(),
        size in 1_usize..30,
        list in prop::sample::select(vec![
            vec!["\n\n", "\n", ". ", "! ", "? ", "; ", ": ", " - ", " ", ""],
            vec!["\n\n", " "],
            vec!["aa", "a", ""],
            vec![" ", "", "\n"],
            vec!["\n\n", "\n\n"],
            vec!["世", "  "],
        ]),
    ) {
        let owned = list.iter().map(|one| (*one).to_owned()).collect();
        let splitter = RecursiveSplitter::new(size, 0, Some(owned)).unwrap();
        if let Some(pieces) = model(&text, size, &list) {
            let theirs: Vec<(usize, &str)> = pieces
                .iter()
                .enumerate()
                .map(|(index, piece)| (index, piece.trim()))
                .filter(|(_, piece)| !piece.is_empty())
                .collect();
            let chunks = splitter.cut(&text);
            let ours: Vec<(usize, &str)> =
                chunks.iter().map(|chunk| (chunk.chunk_index, &*chunk.content)).collect();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_divided_text_has_the_same_chunks(
        texts in prop::collection::vec(texts(), 1..12),
        size in 1_usize..60,
        overlap in 0_usize..30,
        workers in 2_usize..7,
        trim: bool,
        list in prop::sample::select(vec![
            vec!["\n\n", "\n", ". ", "! ", "? ", "; ", ": ", " - ", " ", ""],
            vec!["\n\n", " "],
            vec!["aa", "a", ""],
            vec![" ", "\n"],
            vec![""],
        ]),
    ) {
        let text = texts.concat();
        let source = Source::new(&text);
        let owned = list.iter().map(|one| (*one).to_owned()).collect();
        let recursive =
            RecursiveSplitter::new(size, overlap, Some(owned)).unwrap().with_trim(trim);
        let sentence = SentenceSplitter::new(size, overlap % 5, None).unwrap().with_trim(trim);
        let strategy = crate::split::Strategy::Recursive { chunk_size: size, chunk_overlap: overlap.min(size - 1), separators: None };
        let exact = ExactSplitter::new(&strategy, Unit::Chars).unwrap().with_trim(trim);
        let strategy = crate::split::Strategy::Sentence { chunk_size: size, chunk_overlap: overlap.min(size - 1), sentence_endings: None };
        let exact_sentence = ExactSplitter::new(&strategy, Unit::Bytes).unwrap().with_trim(trim);
        let character = CharacterSplitter::new(size, overlap.min(size - 1)).unwrap();
        for splitter in [&recursive as &dyn Split, &sentence, &exact, &exact_sentence, &character] {
            let divided: Vec<_> = std::thread::scope(|scope| {
                splitter.portions(source, workers, scope).flatten().collect()
            });
            prop_assert_eq!(divided, splitter.places(source));
        }
    }

    #[test]
    fn batches_keep_their_order(sizes in prop::collection::vec(0_usize..200_000, 0..9)) {
        let texts: Vec<String> =
            sizes.iter().enumerate().map(|(at, size)| format!("{at} ").repeat(size / 2)).collect();
        let texts: Vec<Source<'_>> = texts.iter().map(|text| Source::new(text)).collect();
        let splitter = CharacterSplitter::new(1000, 100).unwrap();
        let one_by_one: Vec<_> = texts.iter().map(|text| splitter.places(*text)).collect();
        prop_assert_eq!(split_texts(&splitter, &texts), one_by_one);
    }
}

#[test]
fn a_byte_cut_never_falls_inside_a_character() {
    let chunks = RecursiveSplitter::new(5, 0, None).unwrap().split("世界世界");
    let contents: Vec<_> = chunks.iter().map(|chunk| chunk.content.as_str()).collect();
    assert_eq!(contents, ["世", "界", "世", "界"]);
    let chunks = RecursiveSplitter::new(10, 2, None).unwrap().split("世界 世界 世界");
    assert!(chunks.iter().all(|chunk| chunk.content == "世界"));
}

#[test]
fn a_hundred_thousand_separators_do_not_exhaust_the_stack() {
    let separators = (0..100_000).map(|number| format!("<{number}>")).collect();
    let splitter = RecursiveSplitter::new(2, 0, Some(separators)).unwrap();
    assert_eq!(splitter.split("ab<99999>cd<7>ef").len(), 3);
}

#[test]
fn sizes_without_bound_give_one_chunk() {
    let text = "One. Two! 世界\n\nThree";
    assert_eq!(CharacterSplitter::new(usize::MAX, usize::MAX - 1).unwrap().split(text).len(), 1);
    assert_eq!(TokenSplitter::new(usize::MAX, usize::MAX - 1, None).unwrap().split(text).len(), 1);
    assert_eq!(
        TokenSplitter::new(usize::MAX, usize::MAX - 1, Some(".")).unwrap().split(text).len(),
        1
    );
    assert_eq!(SentenceSplitter::new(usize::MAX, usize::MAX, None).unwrap().split(text).len(), 1);
    assert_eq!(RecursiveSplitter::new(usize::MAX, usize::MAX, None).unwrap().split(text).len(), 1);
}

#[test]
fn one_long_text_among_short_ones_is_divided() {
    let sentence = |at: usize| format!("Number {at} {}.", "of many ".repeat(at * 7 % 13));
    let paragraphs = (0..60_000).map(|at| {
        let blank = if at % 5 == 0 { "\n\n" } else { " " };
        format!("{}{blank}", sentence(at))
    });
    let long: String = paragraphs.collect();
    assert!(long.len() > 1 << 21, "{}", long.len());
    let long = long.repeat(3);
    let splitters: [&dyn Split; 2] = [
        &RecursiveSplitter::new(1000, 100, None).unwrap(),
        &SentenceSplitter::new(1000, 1, None).unwrap(),
    ];
    for splitter in splitters {
        let source = Source::new(&long);
        let texts = [Source::new("First."), source, Source::new("Last.")];
        let one_by_one: Vec<_> = texts.iter().map(|text| splitter.places(*text)).collect();
        assert_eq!(split_texts(splitter, &texts), one_by_one);
    }
}

/// Inputs on which GraphBit's time or output grows with the square of the text.
#[test]
fn hostile_parameters_stay_linear() {
    let start = std::time::Instant::now();
    let spaced = format!("{} ", "a".repeat(1000)).repeat(200);
    assert!(CharacterSplitter::new(1000, 500).unwrap().split(&spaced).len() < 1000);
    let blank = "\u{3000}".repeat(300_000);
    assert!(CharacterSplitter::new(100_000, 99_999).unwrap().split(&blank).is_empty());
    let words = "word ".repeat(100_000);
    assert!(RecursiveSplitter::new(250_000, 0, None).unwrap().split(&words).len() <= 3);
    let sentences = "A sentence. ".repeat(50_000);
    assert!(SentenceSplitter::new(1000, 200, None).unwrap().cut(&sentences).len() <= 50_000);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn refusals_keep_their_words() {
    let messages = [
        CharacterSplitter::new(0, 0).unwrap_err(),
        TokenSplitter::new(5, 5, None).unwrap_err(),
        TokenSplitter::new(5, 0, Some("(")).unwrap_err(),
        RecursiveSplitter::new(5, 0, Some(Vec::new())).unwrap_err(),
    ]
    .map(|error| {
        assert_eq!(error.kind(), Kind::Parameter);
        error.message().to_owned()
    });
    assert_eq!(
        messages,
        [
            "Validation error: text_splitter - Chunk size must be greater than 0",
            "Validation error: text_splitter - Chunk overlap must be less than chunk size",
            "Validation error: text_splitter - Invalid regex pattern: regex parse error:\n    (\n    ^\nerror: unclosed group",
            "Validation error: text_splitter - At least one separator must be provided",
        ]
    );
}
