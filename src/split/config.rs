//! A splitter described by data: which strategy, its sizes, three flags.

use std::ops::ControlFlow;
use std::thread::Scope;

use super::{
    CharacterSplitter, DEFAULT_SEPARATORS, Each, ExactSplitter, Portions, RecursiveSplitter,
    SentenceSplitter, Source, Split, TokenSplitter, Unit, WIDE_OVERLAP, ZERO_SIZE,
};
use crate::error::{Error, Kind, Result};

/// How to split.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the parameters of the constructors below")]
#[non_exhaustive]
pub enum Strategy {
    /// See [`CharacterSplitter`].
    Character { chunk_size: usize, chunk_overlap: usize },
    /// See [`TokenSplitter`].
    Token { chunk_size: usize, chunk_overlap: usize, token_pattern: Option<String> },
    /// See [`SentenceSplitter`].
    Sentence { chunk_size: usize, chunk_overlap: usize, sentence_endings: Option<Vec<String>> },
    /// See [`RecursiveSplitter`].
    Recursive { chunk_size: usize, chunk_overlap: usize, separators: Option<Vec<String>> },
    /// Paragraphs, separated by blank lines; those of fewer than `min_paragraph_length` code points
    /// stay with the next one.
    Paragraph { chunk_size: usize, chunk_overlap: usize, min_paragraph_length: Option<usize> },
    /// Markdown: whole blocks where they fit, a chunk never in two sections if `split_by_headers`.
    Markdown { chunk_size: usize, chunk_overlap: usize, split_by_headers: bool },
    /// Definitions and blocks of program code; blocks of indented lines for an unknown language.
    Code { chunk_size: usize, chunk_overlap: usize, language: Option<String> },
    /// Pieces that each end with a match of the pattern.
    Regex { pattern: String, chunk_size: usize, chunk_overlap: usize },
}

impl Strategy {
    /// The strategy's name: `"character"`, `"token"` and so on.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Character { .. } => "character",
            Self::Token { .. } => "token",
            Self::Sentence { .. } => "sentence",
            Self::Recursive { .. } => "recursive",
            Self::Paragraph { .. } => "paragraph",
            Self::Markdown { .. } => "markdown",
            Self::Code { .. } => "code",
            Self::Regex { .. } => "regex",
        }
    }

    /// Whether there is only the exact mode, as GraphBit 0.6.8 has nothing to be equal to.
    #[must_use]
    pub const fn is_always_exact(&self) -> bool {
        matches!(
            self,
            Self::Paragraph { .. } | Self::Markdown { .. } | Self::Code { .. } | Self::Regex { .. }
        )
    }

    /// The separators of the recursive strategy, coarse to fine; none for any other.
    #[must_use]
    pub fn separators(&self) -> Vec<&str> {
        match self {
            Self::Recursive { separators: Some(list), .. } => {
                list.iter().map(String::as_str).collect()
            }
            Self::Recursive { separators: None, .. } => DEFAULT_SEPARATORS.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Chunk size and overlap, in the strategy's own units.
    #[must_use]
    pub const fn sizes(&self) -> (usize, usize) {
        match self {
            Self::Character { chunk_size, chunk_overlap }
            | Self::Token { chunk_size, chunk_overlap, .. }
            | Self::Sentence { chunk_size, chunk_overlap, .. }
            | Self::Recursive { chunk_size, chunk_overlap, .. }
            | Self::Paragraph { chunk_size, chunk_overlap, .. }
            | Self::Markdown { chunk_size, chunk_overlap, .. }
            | Self::Code { chunk_size, chunk_overlap, .. }
            | Self::Regex { chunk_size, chunk_overlap, .. } => (*chunk_size, *chunk_overlap),
        }
    }
}

/// A [`Strategy`] that passed its checks, and three flags that may be changed freely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSplitterConfig {
    strategy: Strategy,
    /// Whether cuts avoid the inside of words; only the character strategy can do otherwise.
    pub preserve_word_boundaries: bool,
    /// Whether white space at the ends of a chunk is removed. Off by default for code.
    pub trim_whitespace: bool,
    /// Whether the binding fills each chunk's metadata.
    pub include_metadata: bool,
    /// The exact mode in this unit. `None` is GraphBit's own way, and [`Unit::Chars`] for the
    /// strategies that have no other mode.
    pub unit: Option<Unit>,
}

impl TextSplitterConfig {
    /// Checks `strategy`. Patterns are compiled by [`TextSplitter::new`], not here.
    ///
    /// # Errors
    /// [`Kind::Validation`] with the bare reason: a size of 0, a character or token overlap not
    /// below the size, an empty pattern.
    pub fn new(strategy: Strategy) -> Result<Self> {
        let invalid = |reason: &'static str| Err(Error::new(Kind::Validation, reason));
        let (chunk_size, chunk_overlap) = strategy.sizes();
        if chunk_size == 0 {
            return invalid(ZERO_SIZE);
        }
        match &strategy {
            Strategy::Character { .. } | Strategy::Token { .. } if chunk_overlap >= chunk_size => {
                invalid(WIDE_OVERLAP)
            }
            Strategy::Regex { pattern, .. } if pattern.is_empty() => {
                invalid("Pattern cannot be empty")
            }
            _ => Ok(Self::unchecked(strategy, None)),
        }
    }

    fn unchecked(strategy: Strategy, unit: Option<Unit>) -> Self {
        Self {
            // Leading blanks are the structure of most program code.
            trim_whitespace: !matches!(strategy, Strategy::Code { .. }),
            preserve_word_boundaries: true,
            include_metadata: true,
            unit,
            strategy,
        }
    }

    /// How to split.
    #[must_use]
    pub const fn strategy(&self) -> &Strategy {
        &self.strategy
    }
}

#[derive(Clone, Debug)]
enum Engine {
    Character(CharacterSplitter),
    Token(TokenSplitter),
    Sentence(SentenceSplitter),
    Recursive(Box<RecursiveSplitter>),
    Exact(ExactSplitter),
}

impl Engine {
    fn exact(config: &TextSplitterConfig, unit: Unit) -> Result<Self> {
        let splitter = ExactSplitter::new(&config.strategy, unit)?;
        Ok(Self::Exact(
            splitter
                .with_trim(config.trim_whitespace)
                .with_whole_words(config.preserve_word_boundaries),
        ))
    }

    fn new(config: &TextSplitterConfig) -> Result<Self> {
        if let Some(unit) = config.unit {
            return Self::exact(config, unit);
        }
        let trim = config.trim_whitespace;
        match &config.strategy {
            Strategy::Character { chunk_size, chunk_overlap } => Ok(Self::Character(
                CharacterSplitter::new(*chunk_size, *chunk_overlap)?
                    .with_trim(trim)
                    .with_whole_words(config.preserve_word_boundaries),
            )),
            Strategy::Token { chunk_size, chunk_overlap, token_pattern } => Ok(Self::Token(
                TokenSplitter::new(*chunk_size, *chunk_overlap, token_pattern.as_deref())?
                    .with_trim(trim),
            )),
            Strategy::Sentence { chunk_size, chunk_overlap, sentence_endings } => {
                let endings = sentence_endings.as_deref();
                Ok(Self::Sentence(
                    SentenceSplitter::new(*chunk_size, *chunk_overlap, endings)?.with_trim(trim),
                ))
            }
            Strategy::Recursive { chunk_size, chunk_overlap, separators } => {
                let separators = separators.clone();
                let splitter = RecursiveSplitter::new(*chunk_size, *chunk_overlap, separators)?;
                Ok(Self::Recursive(Box::new(splitter.with_trim(trim))))
            }
            _ => Self::exact(config, Unit::default()),
        }
    }
}

/// The splitter a [`TextSplitterConfig`] describes, with its flags honoured.
#[derive(Clone, Debug)]
pub struct TextSplitter {
    engine: Engine,
    config: TextSplitterConfig,
}

impl TextSplitter {
    /// Builds the engine of the configured strategy.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter): what the strategy's splitter refuses.
    pub fn new(config: &TextSplitterConfig) -> Result<Self> {
        Ok(Self { engine: Engine::new(config)?, config: config.clone() })
    }

    /// `strategy` with the default flags, in the exact mode if there is a unit.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(strategy: Strategy, unit: Option<Unit>) -> Result<Self> {
        Self::new(&TextSplitterConfig::unchecked(strategy, unit))
    }

    /// What it was made from.
    #[must_use]
    pub const fn strategy(&self) -> &Strategy {
        &self.config.strategy
    }

    /// Whether the config asked for metadata.
    #[must_use]
    pub const fn include_metadata(&self) -> bool {
        self.config.include_metadata
    }
}

impl Engine {
    fn splitter(&self) -> &dyn Split {
        match self {
            Self::Character(splitter) => splitter,
            Self::Token(splitter) => splitter,
            Self::Sentence(splitter) => splitter,
            Self::Recursive(splitter) => &**splitter,
            Self::Exact(splitter) => splitter,
        }
    }
}

impl Split for TextSplitter {
    fn visit(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()> {
        self.engine.splitter().visit(source, each)
    }

    fn portions<'scope>(
        &'scope self,
        source: Source<'scope>,
        workers: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> Portions<'scope> {
        self.engine.splitter().portions(source, workers, scope)
    }
}
