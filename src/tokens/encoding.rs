//! The encodings and what they are called: their own names and those of the models that use them.

use std::fmt;
use std::str::FromStr;

use once_cell::race::OnceBox;

use super::tokenizer::Tokenizer;
use crate::error::{Error, Kind, Result};

/// One of OpenAI's byte-pair encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// GPT-4, GPT-3.5 and the embedding models since `text-embedding-ada-002`; 100,256 tokens.
    #[default]
    Cl100kBase,
    /// GPT-4o and everything after it; 199,998 tokens.
    O200kBase,
    /// `text-davinci-003` and the Codex models; 50,280 tokens.
    P50kBase,
    /// GPT-2 and GPT-3; 50,256 tokens.
    R50kBase,
}

use Encoding::{Cl100kBase, O200kBase, P50kBase, R50kBase};

/// Names as they stand, encodings first. What `encode_ordinary` gives is the same for `o200k_harmony`
/// and o200k_base, for `p50k_edit` and p50k_base, for `gpt2` and r50k_base. The models are those of
/// tiktoken 0.14.
const NAMES: [(&str, Encoding); 54] = [
    ("cl100k_base", Cl100kBase),
    ("o200k_base", O200kBase),
    ("o200k_harmony", O200kBase),
    ("p50k_base", P50kBase),
    ("p50k_edit", P50kBase),
    ("r50k_base", R50kBase),
    ("gpt2", R50kBase),
    ("gpt-2", R50kBase),
    ("o1", O200kBase),
    ("o3", O200kBase),
    ("o4-mini", O200kBase),
    ("gpt-5", O200kBase),
    ("gpt-4.1", O200kBase),
    ("gpt-4o", O200kBase),
    ("gpt-4", Cl100kBase),
    ("gpt-3.5-turbo", Cl100kBase),
    ("gpt-3.5", Cl100kBase),
    ("gpt-35-turbo", Cl100kBase),
    ("davinci-002", Cl100kBase),
    ("babbage-002", Cl100kBase),
    ("text-embedding-ada-002", Cl100kBase),
    ("text-embedding-3-small", Cl100kBase),
    ("text-embedding-3-large", Cl100kBase),
    ("text-davinci-003", P50kBase),
    ("text-davinci-002", P50kBase),
    ("text-davinci-001", R50kBase),
    ("text-curie-001", R50kBase),
    ("text-babbage-001", R50kBase),
    ("text-ada-001", R50kBase),
    ("davinci", R50kBase),
    ("curie", R50kBase),
    ("babbage", R50kBase),
    ("ada", R50kBase),
    ("code-davinci-002", P50kBase),
    ("code-davinci-001", P50kBase),
    ("code-cushman-002", P50kBase),
    ("code-cushman-001", P50kBase),
    ("davinci-codex", P50kBase),
    ("cushman-codex", P50kBase),
    ("text-davinci-edit-001", P50kBase),
    ("code-davinci-edit-001", P50kBase),
    ("text-similarity-davinci-001", R50kBase),
    ("text-similarity-curie-001", R50kBase),
    ("text-similarity-babbage-001", R50kBase),
    ("text-similarity-ada-001", R50kBase),
    ("text-search-davinci-doc-001", R50kBase),
    ("text-search-curie-doc-001", R50kBase),
    ("text-search-babbage-doc-001", R50kBase),
    ("text-search-ada-doc-001", R50kBase),
    ("code-search-babbage-code-001", R50kBase),
    ("code-search-ada-code-001", R50kBase),
    // No entry of tiktoken's, but the plain names of models its prefixes know.
    ("o3-mini", O200kBase),
    ("gpt-4.5", O200kBase),
    ("gpt-oss", O200kBase),
];

/// Beginnings of versioned and fine-tuned models' names; the first that fits counts.
const PREFIXES: [(&str, Encoding); 17] = [
    ("o1-", O200kBase),
    ("o3-", O200kBase),
    ("o4-mini-", O200kBase),
    ("gpt-5", O200kBase),
    ("gpt-4.5-", O200kBase),
    ("gpt-4.1-", O200kBase),
    ("chatgpt-4o-", O200kBase),
    ("gpt-4o-", O200kBase),
    ("gpt-4-", Cl100kBase),
    ("gpt-3.5-turbo-", Cl100kBase),
    ("gpt-35-turbo-", Cl100kBase),
    ("gpt-oss-", O200kBase),
    ("ft:gpt-4o", O200kBase),
    ("ft:gpt-4", Cl100kBase),
    ("ft:gpt-3.5-turbo", Cl100kBase),
    ("ft:davinci-002", Cl100kBase),
    ("ft:babbage-002", Cl100kBase),
];

impl Encoding {
    /// Every encoding, for tables and tests.
    pub const ALL: [Self; 4] = [Cl100kBase, O200kBase, P50kBase, R50kBase];

    /// The encoding of that name, or the one a model of that name uses: `"o200k_base"`, `"gpt-4o"`,
    /// `"gpt-4o-2024-08-06"`, `"ft:gpt-4o:team::id"`.
    ///
    /// # Errors
    /// [`Kind::Parameter`] for a name that is neither.
    pub fn from_name(name: &str) -> Result<Self> {
        let exact = NAMES.iter().find(|(known, _)| *known == name);
        let found = exact.or_else(|| PREFIXES.iter().find(|(start, _)| name.starts_with(start)));
        found.map(|(_, encoding)| *encoding).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let shown = name.chars().take(80).collect::<String>();
            Error::new(
                Kind::Parameter,
                format!(
                    "encoding: {shown:?} is neither an encoding ({names}) nor an OpenAI model known \
                     to use one; pass the encoding's own name"
                ),
            )
        })
    }

    /// The encoding's own name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cl100kBase => "cl100k_base",
            O200kBase => "o200k_base",
            P50kBase => "p50k_base",
            R50kBase => "r50k_base",
        }
    }

    /// The encoding's tokenizer; its tables are built when it is first asked for and then kept.
    #[must_use]
    pub fn tokenizer(self) -> &'static Tokenizer {
        static BUILT: [OnceBox<Tokenizer>; 4] = [const { OnceBox::new() }; 4];
        let [cl100k, o200k, p50k, r50k] = &BUILT;
        // A race rather than a lock: a forked child must not wait for a thread it does not have.
        match self {
            Cl100kBase => cl100k,
            O200kBase => o200k,
            P50kBase => p50k,
            R50kBase => r50k,
        }
        .get_or_init(|| Box::new(Tokenizer::new(self)))
    }

    /// Tokens that no text has, only a conversation's frame; they can be decoded all the same.
    pub(super) fn special(self) -> &'static [(u32, &'static str)] {
        match self {
            Cl100kBase => &[
                (100_257, "<|endoftext|>"),
                (100_258, "<|fim_prefix|>"),
                (100_259, "<|fim_middle|>"),
                (100_260, "<|fim_suffix|>"),
                (100_276, "<|endofprompt|>"),
            ],
            O200kBase => &[(199_999, "<|endoftext|>"), (200_018, "<|endofprompt|>")],
            P50kBase | R50kBase => &[(50_256, "<|endoftext|>")],
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_encodings_and_models() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.name().parse::<Encoding>().unwrap(), encoding);
        }
        for (name, encoding) in [
            ("gpt2", R50kBase),
            ("gpt-4o", O200kBase),
            ("gpt-4o-2024-08-06", O200kBase),
            ("gpt-4-0613", Cl100kBase),
            ("gpt-4.1-mini", O200kBase),
            ("gpt-5-nano", O200kBase),
            ("o3-mini", O200kBase),
            ("text-embedding-3-small", Cl100kBase),
            ("ft:gpt-4o:team::id", O200kBase),
            ("ft:gpt-4:team::id", Cl100kBase),
            ("text-davinci-003", P50kBase),
        ] {
            assert_eq!(Encoding::from_name(name).unwrap(), encoding, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_what_there_is() {
        for name in ["", "cl100k", "CL100K_BASE", "claude", "gpt-4o2", "p50k_base "] {
            let error = Encoding::from_name(name).unwrap_err();
            assert_eq!(error.kind(), Kind::Parameter);
            let message = error.to_string();
            assert!(message.contains(&format!("{name:?}")) && message.contains("o200k_base"));
        }
    }
}
