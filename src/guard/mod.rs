//! Guard rails: what a policy calls private never reaches a model.
//!
//! A [`Policy`] is a document of rules. A [`Mask`] applies it to the texts of one conversation: what a rule
//! matches becomes a token, `<EMAIL:1f0c93ab-204>`, the same one for equal values, and a [`Mask`] that maps
//! puts the values back into what the model says. Tokens are random: nothing about a value follows from its
//! token, and no text is turned into a value unless this very mask has given that token out.
//!
//! | file | job |
//! |---|---|
//! | `policy`, `source` | the document, from text, a file or a server |
//! | `rule` | one pattern, and which of several rules has a place in a text |
//! | `mask`, `token` | values out, tokens in, and back |
//! | `structure` | the same for JSON: arguments of tools, and their schemas |
//! | `reveal` | the way back for an answer that comes in pieces |
//!
//! It refuses patterns that need more than linear time, and to print or keep a value anywhere but in the
//! mask, which lives as long as its conversation.
//!
//! ```
//! use std::sync::Arc;
//!
//! use graphbit::guard::{Mask, Policy};
//!
//! let rule = r#"{"type": "regex", "name": "EMAIL", "pattern": "[a-z]+@[a-z]+\\.com"}"#;
//! let policy = Policy::from_json(&format!(
//!     r#"{{"guardrail_policy": {{"pii_rules": [{rule}], "mapping": true}}}}"#
//! ))?;
//! let mut mask = Mask::new(Arc::new(policy));
//! let hidden = mask.encode("Write to ann@example.com.");
//! assert!(hidden.starts_with("Write to <EMAIL:"));
//! assert_eq!(mask.decode(&hidden), "Write to ann@example.com.");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod mask;
mod policy;
mod reveal;
mod rule;
mod source;
mod structure;
#[cfg(test)]
mod tests;
mod token;

pub use mask::{Applied, Mask};
pub use policy::Policy;
pub use reveal::Reveal;
