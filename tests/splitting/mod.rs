//! What every splitter promises on every text, checked from outside: shared by the property tests,
//! the replay of the kept corpus (`tests/split_properties.rs`) and the fuzz targets (`tests/fuzz`).
//!
//! A case is a byte string, so that one generator serves all three: five bytes of parameters, then
//! the text. A check panics when a promise is broken and never on its input.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failed test, and not every user needs all of it"
)]

mod exact;

use std::borrow::Cow;
use std::sync::LazyLock;

use graphbit::split::{
    CharacterSplitter, Chunk, Count, RecursiveSplitter, SentenceSplitter, Split, Strategy,
    TextSplitter, TextSplitterConfig, TokenSplitter,
};
use regex::Regex;

#[allow(unused_imports, reason = "a fuzz target takes one")]
pub(crate) use self::exact::{
    exact_character, exact_code, exact_markdown, exact_paragraph, exact_recursive, exact_regex,
    exact_sentence, exact_token,
};

type Cut<'text> = Vec<Chunk<Cow<'text, str>>>;

/// A check of one case.
pub(crate) type Check = fn(&[u8]);

/// Every target of the fuzzer, by the name of its corpus.
pub(crate) const TARGETS: [(&str, Check); 12] = [
    ("character", character as Check),
    ("token", token),
    ("sentence", sentence),
    ("recursive", recursive),
    ("exact_character", exact_character),
    ("exact_token", exact_token),
    ("exact_sentence", exact_sentence),
    ("exact_recursive", exact_recursive),
    ("exact_paragraph", exact_paragraph),
    ("exact_markdown", exact_markdown),
    ("exact_code", exact_code),
    ("exact_regex", exact_regex),
];

/// What a text is put together from when [`Case`] reads its bytes as pieces: everything that is hard
/// to cut between. At random, bytes would hardly ever spell an emoji of five code points.
pub(crate) const PIECES: [&str; 64] = [
    "a",
    "word",
    "longer",
    "x1_y",
    "3.14",
    "Dr. Smith",
    "e.g. ",
    "p.m.",
    "naïve",
    "e\u{301}",
    "\u{301}",
    "ß",
    "Ω",
    "क्षि",
    "한국",
    "世界",
    "你好，朋友。",
    "！",
    "🚀",
    "👩\u{200d}👩\u{200d}👧",
    "🇩🇪",
    "🇩",
    "\u{200d}",
    "\u{fe0f}",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\n \n",
    "\r\n",
    "\r",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{85}",
    "\u{1c}",
    "\u{200b}",
    "\u{feff}",
    "\0",
    ". ",
    "! ",
    "?",
    "...",
    "…",
    "; ",
    ": ",
    " - ",
    ", ",
    "-",
    "|",
    "(",
    ")",
    "`",
    "```\n",
    "# ",
    "## ",
    "[link](to)",
    "| cell | cell |\n",
    "def f(x):\n    ",
    "fn f() {\n",
    "}\n",
    "\"",
    "<|endoftext|>",
];

/// One case: parameters and text.
#[derive(Debug)]
pub(crate) struct Case {
    /// At least 1; small, large or without bound.
    pub(crate) size: usize,
    /// Anything up to a little more than the size.
    pub(crate) overlap: usize,
    /// Whether white space at the ends of chunks goes.
    pub(crate) trim: bool,
    /// Whether words are kept whole where that is a choice.
    pub(crate) whole_words: bool,
    /// Whether the generic splitter is asked as well: building one compiles its patterns again.
    pub(crate) twice: bool,
    /// Picks among patterns, separators, units.
    pub(crate) choice: usize,
    /// What is split.
    pub(crate) text: String,
}

impl Case {
    /// Reads a case; too few bytes make an empty text.
    pub(crate) fn read(data: &[u8]) -> Self {
        let byte = |at: usize| usize::from(data.get(at).copied().unwrap_or_default());
        let rest = data.get(5..).unwrap_or_default();
        let flags = byte(3);
        let size = match byte(1) % 8 {
            0..=3 => 1 + byte(0) % 16,
            4..=5 => 1 + byte(0),
            6 => 1 + byte(0) * 16,
            _ => usize::MAX - byte(0),
        };
        let overlap = match byte(1) / 8 % 4 {
            0 => 0,
            1 => byte(2) % 8,
            2 => size - size.min(1 + byte(2)),
            _ => size.saturating_add(byte(2) % 4),
        };
        let text = if flags & 1 == 0 {
            rest.iter().map(|byte| PIECES[usize::from(*byte) % PIECES.len()]).collect()
        } else {
            String::from_utf8_lossy(rest).into_owned()
        };
        Self {
            size,
            overlap,
            trim: flags & 2 == 0,
            whole_words: flags & 4 == 0,
            twice: flags & 0x38 == 0,
            choice: byte(4),
            text,
        }
    }

    /// The overlap where it must be below the size.
    pub(crate) const fn narrow_overlap(&self) -> usize {
        if self.overlap < self.size { self.overlap } else { self.size - 1 }
    }

    /// One of `all`, the same for the same case.
    pub(crate) fn pick<'all, T>(&self, all: &'all [T]) -> &'all T {
        &all[self.choice % all.len()]
    }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| (*one).to_owned()).collect()
}

pub(crate) fn blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// Code points before each byte of `text`, and of all of it.
pub(crate) fn points(text: &str) -> Vec<usize> {
    let mut counted = Vec::with_capacity(text.len() + 1);
    for (number, character) in text.chars().enumerate() {
        counted.extend(std::iter::repeat_n(number, character.len_utf8()));
    }
    counted.push(text.chars().count());
    counted
}

/// Offsets that are true, contents that are slices where they say so, no blank chunk, progress.
fn spans_hold(case: &Case, chunks: &Cut<'_>) {
    let text = &case.text;
    let points = points(text);
    for chunk in chunks {
        let span = text.get(chunk.start_byte..chunk.end_byte).expect("a span between characters");
        assert!(text.get(chunk.start_index..chunk.end_index).is_some(), "{chunk:?}");
        assert_eq!(points[chunk.start_byte], chunk.start_char, "{chunk:?}");
        assert_eq!(points[chunk.end_byte], chunk.end_char, "{chunk:?}");
        assert!(!blank(&chunk.content), "{chunk:?}");
        if let Cow::Borrowed(content) = chunk.content {
            assert_eq!(content, span);
        }
    }
    for pair in chunks.windows(2) {
        assert!(pair[0].chunk_index < pair[1].chunk_index, "{pair:?}");
        assert!(pair[0].start_byte <= pair[1].start_byte, "{pair:?}");
        assert!(pair[0].end_byte <= pair[1].end_byte, "{pair:?}");
        assert!(
            (pair[0].start_byte, pair[0].end_byte) != (pair[1].start_byte, pair[1].end_byte)
                || pair[0].content != pair[1].content
                || case.overlap > 0,
            "no progress: {pair:?}"
        );
    }
}

/// Only white space lies between, before and behind the chunks.
fn nothing_is_lost(text: &str, chunks: &Cut<'_>) {
    let mut covered = 0;
    for chunk in chunks {
        assert!(blank(text.get(covered..chunk.start_byte).unwrap_or_default()), "{chunk:?}");
        covered = covered.max(chunk.end_byte);
    }
    assert!(blank(&text[covered..]), "{:?}", &text[covered..]);
}

/// The whole text, where neither trimming nor overlap changes it; blank chunks are left out.
fn joins_back(case: &Case, chunks: &Cut<'_>) {
    let mut covered = 0;
    for chunk in chunks {
        assert!(blank(&case.text[covered..chunk.start_byte]), "{chunk:?}");
        assert_eq!(chunk.content, &case.text[chunk.start_byte..chunk.end_byte]);
        covered = chunk.end_byte;
    }
    assert!(blank(&case.text[covered..]));
}

/// A `TextSplitter` made for the same strategy cuts the same.
fn the_generic_one_agrees(strategy: Strategy, case: &Case, whole_words: bool, chunks: &Cut<'_>) {
    if !case.twice {
        return;
    }
    let mut config = TextSplitterConfig::new(strategy).unwrap();
    config.trim_whitespace = case.trim;
    config.preserve_word_boundaries = whole_words;
    assert_eq!(&TextSplitter::new(&config).unwrap().cut(&case.text), chunks);
}

/// [`CharacterSplitter`].
pub(crate) fn character(data: &[u8]) {
    let case = Case::read(data);
    let (size, overlap) = (case.size, case.narrow_overlap());
    let splitter = CharacterSplitter::new(size, overlap)
        .unwrap()
        .with_trim(case.trim)
        .with_whole_words(case.whole_words);
    let chunks = splitter.cut(&case.text);
    spans_hold(&case, &chunks);
    nothing_is_lost(&case.text, &chunks);
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.chunk_index, index);
        assert!(matches!(chunk.content, Cow::Borrowed(_)));
        assert!(chunk.content.chars().count() <= size);
        assert!(!case.trim || chunk.content.trim() == chunk.content);
        assert_eq!((chunk.start_index, chunk.end_index), (chunk.start_byte, chunk.end_byte));
    }
    for pair in chunks.windows(2) {
        assert!(pair[0].end_char.saturating_sub(pair[1].start_char) <= overlap, "{pair:?}");
    }
    if overlap == 0 && !case.trim {
        joins_back(&case, &chunks);
    }
    let strategy = Strategy::Character { chunk_size: size, chunk_overlap: overlap };
    the_generic_one_agrees(strategy, &case, case.whole_words, &chunks);
}

/// The default tokens, as the contract states them.
static DEFAULT_TOKENS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b\w+\b|\s+|[^\w\s]+").unwrap());

/// Windows of the default tokens: contents with their untrimmed spans and numbers of tokens.
fn windows_of_tokens(case: &Case, size: usize, overlap: usize) -> Vec<(&str, usize, usize, usize)> {
    let tokens: Vec<_> = DEFAULT_TOKENS.find_iter(&case.text).map(|token| token.range()).collect();
    let (mut first, mut windows) = (0, Vec::new());
    while first < tokens.len() {
        let end = first.saturating_add(size).min(tokens.len());
        let (start, stop) = (tokens[first].start, tokens[end - 1].end);
        let raw = &case.text[start..stop];
        if !blank(raw) {
            windows.push((if case.trim { raw.trim() } else { raw }, start, stop, end - first));
        }
        first = if end < tokens.len() { end - overlap } else { end };
    }
    windows
}

/// [`TokenSplitter`] with the default pattern and with others.
pub(crate) fn token(data: &[u8]) {
    const PATTERNS: [Option<&str>; 10] = [
        None,
        None,
        None,
        Some(r"\w+"),
        Some("a*"),
        Some(r"\S+\s"),
        Some("[^a]"),
        Some(""),
        Some(r"\s"),
        Some(r"世|\n+|."),
    ];
    let case = Case::read(data);
    let (size, overlap) = (case.size, case.narrow_overlap());
    let pattern = *case.pick(&PATTERNS);
    let splitter = TokenSplitter::new(size, overlap, pattern).unwrap().with_trim(case.trim);
    let chunks = splitter.cut(&case.text);
    spans_hold(&case, &chunks);
    for chunk in &chunks {
        let Some(Count::Tokens(tokens)) = chunk.count else { panic!("no count: {chunk:?}") };
        assert!((1..=size).contains(&tokens), "{chunk:?}");
    }
    if pattern.is_none() {
        nothing_is_lost(&case.text, &chunks);
        let ours: Vec<_> = chunks
            .iter()
            .map(|chunk| {
                let Some(Count::Tokens(tokens)) = chunk.count else { panic!("no count") };
                (&*chunk.content, chunk.start_index, chunk.end_index, tokens)
            })
            .collect();
        assert_eq!(ours, windows_of_tokens(&case, size, overlap));
        if overlap == 0 && !case.trim {
            joins_back(&case, &chunks);
        }
    }
    let strategy = Strategy::Token {
        chunk_size: size,
        chunk_overlap: overlap,
        token_pattern: pattern.map(str::to_owned),
    };
    the_generic_one_agrees(strategy, &case, true, &chunks);
}

/// [`SentenceSplitter`].
pub(crate) fn sentence(data: &[u8]) {
    const ENDINGS: [Option<&[&str]>; 9] = [
        None,
        None,
        None,
        Some(&[]),
        Some(&[r"\|", "-"]),
        Some(&[r"[.]\s"]),
        Some(&["", "a"]),
        Some(&["\n\n"]),
        Some(&["。", "！"]),
    ];
    let case = Case::read(data);
    let endings = case.pick(&ENDINGS).map(owned);
    let splitter = SentenceSplitter::new(case.size, case.overlap, endings.as_deref())
        .unwrap()
        .with_trim(case.trim);
    let chunks = splitter.cut(&case.text);
    spans_hold(&case, &chunks);
    nothing_is_lost(&case.text, &chunks);
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.chunk_index, index);
        assert!(matches!(chunk.count, Some(Count::Sentences(count)) if count > 0));
    }
    for pair in chunks.windows(2) {
        assert!(pair[0].start_index < pair[1].start_index, "{pair:?}");
        assert!(pair[0].end_index < pair[1].end_index, "{pair:?}");
    }
    let strategy = Strategy::Sentence {
        chunk_size: case.size,
        chunk_overlap: case.overlap,
        sentence_endings: endings,
    };
    the_generic_one_agrees(strategy, &case, true, &chunks);
}

const RECURSIVE_DEFAULTS: [&str; 10] = ["\n\n", "\n", ". ", "! ", "? ", "; ", ": ", " - ", " ", ""];

/// [`RecursiveSplitter`].
pub(crate) fn recursive(data: &[u8]) {
    const SEPARATORS: [&[&str]; 9] = [
        &RECURSIVE_DEFAULTS,
        &RECURSIVE_DEFAULTS,
        &["\n\n", " "],
        &[" ", "", "\n"],
        &["\n\n", "\n", "-", "|", ""],
        &["世", "  "],
        &["aa", "a", ""],
        &["\n\n", "\n\n"],
        &[""],
    ];
    let case = Case::read(data);
    let separators = *case.pick(&SEPARATORS);
    let splitter = RecursiveSplitter::new(case.size, case.overlap, Some(owned(separators)))
        .unwrap()
        .with_trim(case.trim);
    let chunks = splitter.cut(&case.text);
    spans_hold(&case, &chunks);
    if separators.contains(&"") {
        for chunk in &chunks {
            // One character alone may be larger than the size.
            let cap = case.size.max(4).saturating_add(case.overlap.saturating_mul(2));
            assert!(chunk.content.len() <= cap, "{chunk:?}");
        }
    }
    let strategy = Strategy::Recursive {
        chunk_size: case.size,
        chunk_overlap: case.overlap,
        separators: Some(owned(separators)),
    };
    the_generic_one_agrees(strategy, &case, true, &chunks);
    if separators != RECURSIVE_DEFAULTS {
        return;
    }
    let unnamed = RecursiveSplitter::new(case.size, case.overlap, None).unwrap();
    assert_eq!(chunks, unnamed.with_trim(case.trim).cut(&case.text), "the default separators");
    if case.overlap == 0 {
        only_separators_are_lost(&case.text, &chunks);
    }
}

/// Whatever lies between the chunks of the default separators is made of them.
fn only_separators_are_lost(text: &str, chunks: &Cut<'_>) {
    let mut covered = 0;
    let spans = chunks.iter().map(|chunk| (chunk.start_byte, chunk.end_byte));
    for (start, end) in spans.chain([(text.len(), text.len())]) {
        let lost = &text[covered..start];
        assert!(
            lost.chars().all(|one| one.is_whitespace() || ".!?;:-".contains(one)),
            "{lost:?} is lost"
        );
        covered = end;
    }
}
