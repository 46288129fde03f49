//! What a cache may keep, for how long, and where.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// The settings of a [`super::Cache`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Bound of the entries in memory in bytes: keys, values and bookkeeping. Default 64 MiB; with 0
    /// nothing is kept in memory. A value larger than an eighth of it is kept on disk only.
    pub max_bytes: usize,
    /// How long an entry may be used after it was made; default `None`, for ever. This also is what
    /// bounds the file: without it the file only ever grows.
    pub ttl: Option<Duration>,
    /// The file that keeps entries over the end of the process, shared by all processes that name it;
    /// default `None`. Missing folders are created.
    pub path: Option<PathBuf>,
    /// Which completions are cached. Embeddings always are.
    pub completions: Completions,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, ttl: None, path: None, completions: Completions::default() }
    }
}

impl CacheSettings {
    /// # Errors
    /// [`crate::Kind::Validation`] when `ttl` is zero or `path` cannot name a file.
    pub(super) fn validate(&self) -> Result<()> {
        if self.ttl.is_some_and(|ttl| ttl.is_zero()) {
            let text = "ttl must be longer than zero; without it entries are kept for ever";
            return Err(Error::validation("ttl", Some("0"), text));
        }
        if let Some(path) = &self.path {
            let shown = path.display().to_string();
            if path.file_name().is_none() {
                return Err(Error::validation("path", Some(&shown), "path must name a file"));
            }
            if path.is_dir() {
                let text = "path must name a file, and this is a folder";
                return Err(Error::validation("path", Some(&shown), text));
            }
        }
        Ok(())
    }
}

/// Which completions are answered from the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Completions {
    /// Those whose temperature is 0: the same request is meant to get the same answer.
    #[default]
    Deterministic,
    /// All. A second sample of the same prompt is then the first one.
    All,
    /// None.
    None,
}

impl Completions {
    /// The choice's name: `"deterministic"`, `"all"` or `"none"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deterministic => "deterministic",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Completions {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Deterministic, Self::All, Self::None];
        all.into_iter().find(|one| one.as_str() == name).ok_or_else(|| {
            let text = "completions must be 'deterministic', 'all' or 'none'";
            Error::validation("completions", Some(name), text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(settings: &CacheSettings) -> String {
        settings.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_the_field_and_what_is_right() {
        let settings = CacheSettings { ttl: Some(Duration::ZERO), ..CacheSettings::default() };
        assert!(refusal(&settings).contains("'ttl' with value '0': ttl must be longer than zero"));
        for path in ["", "/", "..", env!("CARGO_MANIFEST_DIR")] {
            let settings = CacheSettings { path: Some(path.into()), ..CacheSettings::default() };
            assert!(refusal(&settings).contains("must name a file"), "{path}");
        }
        assert!(CacheSettings { max_bytes: 0, ..CacheSettings::default() }.validate().is_ok());
    }

    #[test]
    fn choices_are_read_by_their_names() {
        for choice in [Completions::Deterministic, Completions::All, Completions::None] {
            assert_eq!(choice.as_str().parse::<Completions>().unwrap(), choice);
        }
        assert!("some".parse::<Completions>().unwrap_err().to_string().contains("'some'"));
    }
}
