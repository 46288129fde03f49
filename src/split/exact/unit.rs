//! What sizes count, and how callers name it.

use super::super::{Strategy, refused};
use crate::error::Result;
use crate::tokens::Encoding;

/// What a chunk's size and overlap count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Unit {
    /// Unicode code points, as Python's `len` counts.
    #[default]
    Chars,
    /// User-perceived characters (UAX #29 extended grapheme clusters).
    Graphemes,
    /// Bytes of the UTF-8 form.
    Bytes,
    /// Words (UAX #29 word boundaries; segments with a letter or a digit).
    Words,
    /// BPE tokens of an encoding.
    Tokens(Encoding),
    /// Matches of the token strategy's own pattern; for any other strategy those of the default one.
    Pattern,
}

impl Unit {
    /// The unit for `strategy` that these words ask for; `None` when they do not ask for the exact
    /// mode and the strategy has another. A unit or an encoding asks for it.
    ///
    /// `unit` is one of `"chars"` (the default), `"graphemes"`, `"bytes"`, `"words"` and `"tokens"`.
    /// Tokens are those of `encoding` (an encoding's or a model's name; `"cl100k_base"` by default),
    /// but for [`Strategy::Token`], where they are by default the strategy's own.
    ///
    /// # Errors
    /// [`Kind::Parameter`](crate::Kind::Parameter): an unknown name, an encoding for another unit
    /// than tokens, or beside a token pattern, `exact` off for a strategy that has no other mode.
    pub fn chosen(
        strategy: &Strategy,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> Result<Option<Self>> {
        if strategy.is_always_exact() && !exact {
            let name = strategy.name();
            return Err(refused(format_args!("exact=False: {name} has only the exact mode")));
        }
        let own_tokens = matches!(strategy, Strategy::Token { .. });
        if matches!(strategy, Strategy::Token { token_pattern: Some(_), .. }) && encoding.is_some()
        {
            return Err(refused("token_pattern and encoding exclude each other: give one of them"));
        }
        let unit = match (unit, encoding) {
            (None | Some("tokens"), Some(name)) => Self::Tokens(Encoding::from_name(name)?),
            (Some(unit), Some(name)) => {
                return Err(refused(format_args!(
                    "encoding={name:?} needs unit=\"tokens\", not unit={unit:?}"
                )));
            }
            (None, None) if !exact => return Ok(None),
            (None | Some("tokens"), None) if own_tokens => Self::Pattern,
            (Some("tokens"), None) => Self::Tokens(Encoding::default()),
            (None | Some("chars"), None) => Self::Chars,
            (Some("graphemes"), None) => Self::Graphemes,
            (Some("bytes"), None) => Self::Bytes,
            (Some("words"), None) => Self::Words,
            (Some(other), None) => {
                return Err(refused(format_args!(
                    "unit must be \"chars\", \"graphemes\", \"bytes\", \"words\" or \"tokens\", \
                     not {other:?}"
                )));
            }
        };
        Ok(Some(unit))
    }
}
