//! NDJSON: one JSON document a line (Ollama's streams).
//!
//! ```
//! let mut decoder = graphbit::http::ndjson::Decoder::default();
//! decoder.push(b"{\"a\":1}\n\n{\"b\"")?;
//! assert_eq!(decoder.next().as_deref(), Some(r#"{"a":1}"#));
//! assert_eq!(decoder.next(), None);
//! decoder.push(b":2}")?;
//! decoder.finish();
//! assert_eq!(decoder.next().as_deref(), Some(r#"{"b":2}"#));
//! # Ok::<(), graphbit::Error>(())
//! ```

use super::lines::Lines;
use crate::error::Result;

/// Splits a byte stream into its non-empty lines, however the network cut it.
#[derive(Debug, Default)]
pub struct Decoder {
    lines: Lines,
}

impl Decoder {
    /// Adds a piece; take everything out with [`Decoder::next`] before the next one.
    ///
    /// # Errors
    /// [`crate::Kind::Stream`] when an unfinished line exceeds 16 MiB.
    pub fn push(&mut self, piece: &[u8]) -> Result<()> {
        self.lines.push(piece)
    }

    /// The stream has ended: a last line without a line end becomes available.
    pub fn finish(&mut self) {
        self.lines.finish();
    }

    /// The next complete line that is not blank.
    #[expect(clippy::should_implement_trait, reason = "it goes on after None, once more is pushed")]
    pub fn next(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.trim_ascii();
            if !line.is_empty() {
                return Some(String::from_utf8_lossy(line).into_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            lines in proptest::collection::vec("[^\r\n]{0,12}", 0..8),
            cuts in proptest::collection::vec(1_usize..7, 0..60),
            end in "(\n|\r\n|)",
        ) {
            let body = lines.join("\r\n") + &end;
            let mut rest = body.as_bytes();
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                decoder.push(piece).unwrap();
                seen.extend(std::iter::from_fn(|| decoder.next()));
                rest = tail;
            }
            decoder.push(rest).unwrap();
            decoder.finish();
            seen.extend(std::iter::from_fn(|| decoder.next()));
            let trim = |line: &str| line.trim_matches(|c: char| c.is_ascii_whitespace()).to_owned();
            let expected: Vec<String> =
                lines.iter().map(|line| trim(line)).filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
