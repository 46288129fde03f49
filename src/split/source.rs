//! A text to split, with what its owner knows about it.

/// A text and whether all of it is ASCII, so that nobody who knows has to look again.
#[derive(Clone, Copy, Debug)]
pub struct Source<'text> {
    text: &'text str,
    ascii: bool,
}

impl<'text> Source<'text> {
    /// A text about whose length in code points nothing is known: it is looked through once.
    #[must_use]
    pub const fn new(text: &'text str) -> Self {
        Self { text, ascii: text.is_ascii() }
    }

    /// A text of `length` code points. A wrong number makes wrong `start_char` and `end_char`.
    #[must_use]
    pub const fn with_length(text: &'text str, length: usize) -> Self {
        Self { text, ascii: text.len() == length }
    }

    /// The text.
    #[must_use]
    pub const fn text(self) -> &'text str {
        self.text
    }

    /// Whether each code point is one byte.
    #[must_use]
    pub const fn is_ascii(self) -> bool {
        self.ascii
    }
}

impl<'text> From<&'text str> for Source<'text> {
    fn from(text: &'text str) -> Self {
        Self::new(text)
    }
}
