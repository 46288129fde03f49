//! What an answer costs: list prices by provider and model, times the tokens of the answer.
//!
//! The built-in table holds only models whose price is one figure a token. It refuses those that cost
//! more for long prompts or at some hours (`gpt-5.5`, `claude-haiku-5-5`, `gemini-2.5-pro`, DeepSeek's),
//! and those we could not verify. Its figures are standard-tier list prices in US dollars, looked up on
//! 25 November 2026: Anthropic's from the vendor's page "Pricing" (platform.claude.com) and its model
//! pages "Claude Opus 5.5" and "Claude Sonnet 5.5"; OpenAI's from transcriptions, by others, of the page
//! "Pricing" (developers.openai.com) that agree, those of its embedding models from their pages there. Batch,
//! priority and regional prices differ. Prices change: replace them with [`set_prices`].
//!
//! ```
//! use graphbit::cost;
//! use graphbit::types::{ChatResponse, Usage};
//!
//! let usage = Usage::new(1_000_000, 100_000);
//! let answer = ChatResponse { model: "gpt-4o-mini".into(), usage, ..ChatResponse::default() };
//! assert_eq!(cost::of(Some("openai"), &answer), Some(0.15 + 0.06));
//! assert_eq!(cost::of(Some("azurellm"), &answer), None, "unknown is not free");
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::types::{ChatResponse, EmbeddingUsage, Usage};

/// US dollars for a million tokens of each sort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Tokens of the prompt.
    pub input: f64,
    /// Tokens of the answer, reasoning included.
    pub output: f64,
    /// Tokens of the prompt read from the provider's cache; unset: as `input`.
    pub cached_input: Option<f64>,
    /// Tokens of the prompt written to the provider's cache; unset: as `input`.
    pub cache_write: Option<f64>,
}

/// Prices by `model`, or by `provider:model`, which wins.
pub type PriceTable = BTreeMap<String, Price>;

const fn price(input: f64, output: f64, cached_input: Option<f64>) -> Price {
    Price { input, output, cached_input, cache_write: None }
}

/// Anthropic's: the third figure reads from the cache, the fourth keeps it for five minutes.
const fn cached(input: f64, output: f64, read: f64, write: f64) -> Price {
    Price { input, output, cached_input: Some(read), cache_write: Some(write) }
}

const LIST_PRICES: [(&str, Price); 29] = [
    ("openai:gpt-4o", price(2.5, 10.0, Some(1.25))),
    // The first snapshot never got the lower price of its successors.
    ("openai:gpt-4o-2024-05-13", price(5.0, 15.0, None)),
    ("openai:gpt-4o-mini", price(0.15, 0.6, Some(0.075))),
    ("openai:gpt-4.1", price(2.0, 8.0, Some(0.5))),
    ("openai:gpt-4.1-mini", price(0.4, 1.6, Some(0.1))),
    ("openai:gpt-4.1-nano", price(0.1, 0.4, Some(0.025))),
    ("openai:gpt-5", price(1.25, 10.0, Some(0.125))),
    ("openai:gpt-5-mini", price(0.25, 2.0, Some(0.025))),
    ("openai:gpt-5-nano", price(0.05, 0.4, Some(0.005))),
    ("openai:gpt-5.1", price(1.25, 10.0, Some(0.125))),
    ("openai:gpt-5.4-mini", price(0.75, 4.5, Some(0.075))),
    ("openai:gpt-5.4-nano", price(0.2, 1.25, Some(0.02))),
    ("openai:o3", price(2.0, 8.0, Some(0.5))),
    ("openai:o4-mini", price(1.1, 4.4, Some(0.275))),
    ("openai:text-embedding-3-large", price(0.13, 0.0, None)),
    ("openai:text-embedding-3-small", price(0.02, 0.0, None)),
    ("anthropic:claude-fable-5", cached(10.0, 50.0, 1.0, 12.5)),
    ("anthropic:claude-fable-5-1", cached(10.0, 50.0, 0.25, 12.5)),
    ("anthropic:claude-opus-4-5", cached(5.0, 25.0, 0.5, 6.25)),
    ("anthropic:claude-opus-4-6", cached(5.0, 25.0, 0.5, 6.25)),
    ("anthropic:claude-opus-4-7", cached(5.0, 25.0, 0.5, 6.25)),
    ("anthropic:claude-opus-4-8", cached(5.0, 25.0, 0.5, 6.25)),
    ("anthropic:claude-opus-5", cached(5.0, 25.0, 0.5, 6.25)),
    ("anthropic:claude-opus-5-5", cached(4.0, 20.0, 0.2, 5.0)),
    ("anthropic:claude-sonnet-4-5", cached(3.0, 15.0, 0.3, 3.75)),
    ("anthropic:claude-sonnet-4-6", cached(3.0, 15.0, 0.3, 3.75)),
    ("anthropic:claude-sonnet-5", cached(2.0, 10.0, 0.2, 2.5)),
    ("anthropic:claude-sonnet-5-5", cached(2.0, 10.0, 0.1, 2.5)),
    ("anthropic:claude-haiku-4-5", cached(1.0, 5.0, 0.1, 1.25)),
];

/// The table in force; `None` until somebody changes it. Locked for the moment of a pointer copy only:
/// a fork in the middle of one would leave the child's copy locked.
static IN_FORCE: RwLock<Option<Arc<PriceTable>>> = RwLock::new(None);

/// The built-in table.
#[must_use]
pub fn list_prices() -> PriceTable {
    LIST_PRICES.iter().map(|(name, price)| ((*name).to_owned(), *price)).collect()
}

/// The table in force.
#[must_use]
pub fn prices() -> Arc<PriceTable> {
    let known = IN_FORCE.read().unwrap_or_else(PoisonError::into_inner).clone();
    known.unwrap_or_else(|| {
        let table = Arc::new(list_prices());
        let mut in_force = IN_FORCE.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(in_force.get_or_insert(table))
    })
}

/// Adds prices to the table in force, or with `replace` puts them in its place.
///
/// # Errors
/// [`crate::Kind::Validation`] naming the first price that is negative or not a number; nothing is
/// changed then.
pub fn set_prices(prices: PriceTable, replace: bool) -> Result<()> {
    for (name, price) in &prices {
        let figures = [
            ("input", Some(price.input)),
            ("output", Some(price.output)),
            ("cached_input", price.cached_input),
            ("cache_write", price.cache_write),
        ];
        for (sort, figure) in figures {
            if let Some(figure) = figure.filter(|figure| !figure.is_finite() || *figure < 0.0) {
                let field = format!("prices['{name}'].{sort}");
                let text = "a price must be a number of US dollars, 0 or more";
                return Err(Error::validation(&field, Some(&figure.to_string()), text));
            }
        }
    }
    let mut table = if replace { PriceTable::new() } else { (*self::prices()).clone() };
    table.extend(prices);
    let table = Some(Arc::new(table));
    *IN_FORCE.write().unwrap_or_else(PoisonError::into_inner) = table;
    Ok(())
}

/// What an answer cost in US dollars; `None` when no price is known for it, or no token was counted.
///
/// A price is known for a model of exactly the server's or the configured name, or of that name without
/// a date behind it (`-2024-08-06`, `-20250929`) or `-latest`; never for a name that only begins alike.
#[must_use]
pub fn of(provider: Option<&str>, answer: &ChatResponse) -> Option<f64> {
    let table = prices();
    let served = answer.metadata.get("server_model").and_then(|name| name.as_str());
    let names = [served.unwrap_or_default(), answer.model.as_str()];
    let exact = names.iter().find_map(|name| find(&table, provider, name));
    let price = exact
        .or_else(|| names.iter().find_map(|name| find(&table, provider, without_date(name)?)))?;
    // Anthropic counts what its cache held beside the prompt, everybody else as a part of it.
    let beside = provider == Some("anthropic");
    price.times(&answer.usage, beside)
}

/// What embedding texts cost in US dollars; `None` when no price is known, or no token was counted.
#[must_use]
pub fn of_embeddings(provider: &str, model: &str, usage: &EmbeddingUsage) -> Option<f64> {
    // Some servers fill in one of the two.
    let usage = Usage::new(usage.prompt_tokens.max(usage.total_tokens), 0);
    of(Some(provider), &ChatResponse { model: model.to_owned(), usage, ..ChatResponse::default() })
}

/// What a million tokens in and a million out cost, to compare models by; `None` without a price.
#[must_use]
pub fn of_a_million(provider: &str, model: &str) -> Option<f64> {
    let usage = Usage::new(1_000_000, 1_000_000);
    let answer = ChatResponse { model: model.to_owned(), usage, ..ChatResponse::default() };
    of(Some(provider), &answer)
}

fn find(table: &PriceTable, provider: Option<&str>, name: &str) -> Option<Price> {
    let qualified = provider.and_then(|provider| table.get(&format!("{provider}:{name}")));
    qualified.or_else(|| table.get(name)).copied()
}

/// `gpt-4o` for `gpt-4o-2024-08-06`, `gpt-4o-20240806` and `gpt-4o-latest`; else nothing.
fn without_date(name: &str) -> Option<&str> {
    if let Some(stem) = name.strip_suffix("-latest") {
        return Some(stem);
    }
    let shaped = |text: &str, shape: &str| {
        let fits = |(byte, place): (u8, u8)| match place {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        };
        text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
    };
    ["-0000-00-00", "-00000000"].iter().find_map(|shape| {
        let (stem, end) = name.split_at_checked(name.len().checked_sub(shape.len())?)?;
        (!stem.is_empty() && shaped(end, shape)).then_some(stem)
    })
}

impl Price {
    /// The sum over a usage; `None` when it counts nothing.
    #[expect(clippy::cast_precision_loss, reason = "token counts stay far below 2^52")]
    fn times(&self, usage: &Usage, cache_beside_prompt: bool) -> Option<f64> {
        let read = usage.cache_read_tokens.unwrap_or_default();
        let written = usage.cache_creation_tokens.unwrap_or_default();
        let plain = if cache_beside_prompt {
            usage.prompt_tokens
        } else {
            usage.prompt_tokens.saturating_sub(read).saturating_sub(written)
        };
        if [plain, read, written, usage.completion_tokens] == [0; 4] {
            return None;
        }
        let parts = [
            (plain, self.input),
            (read, self.cached_input.unwrap_or(self.input)),
            (written, self.cache_write.unwrap_or(self.input)),
            (usage.completion_tokens, self.output),
        ];
        Some(parts.iter().map(|(tokens, price)| *tokens as f64 * price / 1e6).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(model: &str, served: Option<&str>, usage: Usage) -> ChatResponse {
        let mut answer = ChatResponse { model: model.into(), usage, ..ChatResponse::default() };
        if let Some(served) = served {
            answer.metadata.insert("server_model".into(), json!(served));
        }
        answer
    }

    fn million_in(model: &str, served: Option<&str>) -> Option<f64> {
        of(Some("openai"), &answer(model, served, Usage::new(1_000_000, 0)))
    }

    #[test]
    fn names_match_exactly_or_but_for_a_date() {
        for (model, served, cost) in [
            ("gpt-4o-mini", None, Some(0.15)),
            ("gpt-4o", None, Some(2.5)),
            ("gpt-4o-2024-08-06", None, Some(2.5)),
            ("gpt-4o-latest", None, Some(2.5)),
            ("gpt-4o-20240806", None, Some(2.5)),
            // Its own price, not that of the name without its date.
            ("gpt-4o-2024-05-13", None, Some(5.0)),
            ("gpt-4o", Some("gpt-4o-2024-05-13"), Some(5.0)),
            ("gpt-4o-mini-2024-07-18", None, Some(0.15)),
            ("my-alias", Some("gpt-4.1-2025-04-14"), Some(2.0)),
            ("gpt-4o-audio-preview", None, None),
            ("gpt-4o-2024-08", None, None),
            ("gpt-4o-2024-08-06-ft", None, None),
            ("gpt-4o-mini-realtime", None, None),
            ("gpt-4", None, None),
            ("-2024-08-06", None, None),
            ("", Some(""), None),
            ("gpt-4ö-2024-08-06", None, None),
        ] {
            assert_eq!(million_in(model, served), cost, "{model} {served:?}");
        }
        let elsewhere = answer("gpt-4o-mini", None, Usage::new(1, 1));
        assert_eq!(of(Some("openrouter"), &elsewhere), None);
        assert_eq!(of(None, &elsewhere), None);
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let usage = Usage { cache_read_tokens: Some(400_000), ..Usage::new(1_000_000, 500_000) };
        let cost = of(Some("openai"), &answer("gpt-4o-mini", None, usage)).unwrap();
        assert!((cost - (0.6 * 0.15 + 0.4 * 0.075 + 0.5 * 0.6)).abs() < 1e-12, "{cost}");
        // Anthropic's prompt does not include them.
        let usage = Usage {
            cache_read_tokens: Some(1_000_000),
            cache_creation_tokens: Some(1_000_000),
            ..Usage::new(1_000_000, 0)
        };
        let cost = of(Some("anthropic"), &answer("claude-haiku-4-5-20251001", None, usage));
        assert!((cost.unwrap() - (1.0 + 0.1 + 1.25)).abs() < 1e-12, "{cost:?}");
        // More cached than prompted is a server's slip, not a negative price.
        let usage = Usage { cache_read_tokens: Some(9), ..Usage::new(1, 0) };
        let cost = of(Some("openai"), &answer("gpt-4o-2024-05-13", None, usage)).unwrap();
        assert!(
            (cost - 9.0 * 5.0 / 1e6).abs() < 1e-15,
            "without a price of their own: the input's"
        );
    }

    #[test]
    fn nothing_counted_is_not_free() {
        assert_eq!(of(Some("openai"), &answer("gpt-4o", None, Usage::default())), None);
    }

    #[test]
    fn a_wrong_price_changes_nothing() {
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            let row = ("m".to_owned(), Price { cache_write: Some(wrong), ..price(1.0, 1.0, None) });
            let error = set_prices(PriceTable::from([row]), true).unwrap_err();
            assert!(error.message().contains("prices['m'].cache_write"), "{error}");
        }
        assert!(prices().contains_key("openai:gpt-4o"));
    }
}
