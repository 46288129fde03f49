//! A tokenizer file (`tokenizer.json`), one text at a time.
//!
//! It refuses the library's own batch call: that one runs on a global thread pool which a forked
//! child inherits dead. Parallelism is the caller's business, by slices of texts.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::error::{Error, Kind, Result};

/// Reads a whole model file, naming it in the error.
pub(super) fn read_model_file(path: &Path, role: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::configuration(format_args!(
            "cannot read the {role} file '{}': {error}",
            path.display()
        ))
        .with_source(error)
    })
}

/// A loaded vocabulary with its normalisation rules; truncation and padding are switched off.
#[derive(Debug)]
pub(super) struct TextTokenizer(Tokenizer);

impl TextTokenizer {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let bytes = read_model_file(path, "tokenizer")?;
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| {
            Error::configuration(format_args!(
                "the tokenizer file '{}' is not a usable tokenizer.json: {error}",
                path.display()
            ))
        })?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(broken)?;
        Ok(Self(tokenizer))
    }

    /// Token ids of `text`; `special` adds the markers the model was trained with.
    pub(super) fn ids(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.0.encode_fast(text, special).map_err(broken)?;
        Ok(encoding.get_ids().to_vec())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` wants")]
fn broken(error: tokenizers::Error) -> Error {
    Error::new(Kind::Internal, format!("the tokenizer failed: {error}"))
}
