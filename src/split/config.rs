//! A splitter described by data: which strategy, its sizes, three flags.

use super::{
    CharacterSplitter, Chunk, Content, RecursiveSplitter, SentenceSplitter, Source, Split,
    TokenSplitter, WIDE_OVERLAP, ZERO_SIZE, refused,
};
use crate::error::{Error, Kind, Result};

/// How to split. The `Debug` form is what the error for a strategy without an engine shows.
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
    /// Paragraphs, separated by blank lines.
    Paragraph { chunk_size: usize, chunk_overlap: usize, min_paragraph_length: Option<usize> },
    /// Markdown blocks.
    Markdown { chunk_size: usize, chunk_overlap: usize, split_by_headers: bool },
    /// Definitions and blocks of program code.
    Code { chunk_size: usize, chunk_overlap: usize, language: Option<String> },
    /// The text between the matches of a pattern.
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
            _ => Ok(Self {
                // Leading blanks are the structure of most program code.
                trim_whitespace: !matches!(strategy, Strategy::Code { .. }),
                preserve_word_boundaries: true,
                include_metadata: true,
                strategy,
            }),
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
    Recursive(RecursiveSplitter),
}

/// The splitter a [`TextSplitterConfig`] describes, with its flags honoured.
#[derive(Clone, Debug)]
pub struct TextSplitter {
    engine: Engine,
    include_metadata: bool,
}

impl TextSplitter {
    /// Builds the engine of the configured strategy.
    ///
    /// # Errors
    /// [`Kind::Parameter`]: what the concrete splitter refuses, or a strategy without an engine
    /// (paragraph, markdown, code, regex).
    pub fn new(config: &TextSplitterConfig) -> Result<Self> {
        let trim = config.trim_whitespace;
        let engine = match &config.strategy {
            Strategy::Character { chunk_size, chunk_overlap } => Engine::Character(
                CharacterSplitter::new(*chunk_size, *chunk_overlap)?
                    .with_trim(trim)
                    .with_whole_words(config.preserve_word_boundaries),
            ),
            Strategy::Token { chunk_size, chunk_overlap, token_pattern } => Engine::Token(
                TokenSplitter::new(*chunk_size, *chunk_overlap, token_pattern.as_deref())?
                    .with_trim(trim),
            ),
            Strategy::Sentence { chunk_size, chunk_overlap, sentence_endings } => Engine::Sentence(
                SentenceSplitter::new(*chunk_size, *chunk_overlap, sentence_endings.as_deref())?
                    .with_trim(trim),
            ),
            Strategy::Recursive { chunk_size, chunk_overlap, separators } => Engine::Recursive(
                RecursiveSplitter::new(*chunk_size, *chunk_overlap, separators.clone())?
                    .with_trim(trim),
            ),
            other => {
                return Err(refused(format_args!("Unsupported splitter strategy: {other:?}")));
            }
        };
        Ok(Self { engine, include_metadata: config.include_metadata })
    }

    /// Whether the config asked for metadata.
    #[must_use]
    pub const fn include_metadata(&self) -> bool {
        self.include_metadata
    }
}

impl Split for TextSplitter {
    fn places(&self, source: Source<'_>) -> Vec<Chunk<Content>> {
        match &self.engine {
            Engine::Character(splitter) => splitter.places(source),
            Engine::Token(splitter) => splitter.places(source),
            Engine::Sentence(splitter) => splitter.places(source),
            Engine::Recursive(splitter) => splitter.places(source),
        }
    }
}
