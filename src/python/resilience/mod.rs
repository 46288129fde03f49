//! The layers of a client, as Python asks for them and looks at them.
//!
//! `settings` reads the objects of `graphbit.resilience`, `keywords` makes a client of those it was given
//! and the models behind it, `report` tells what the layers were doing. `LlmClient` and `EmbeddingClient` are
//! both made and described here; what sets them apart is [`Layered`].

mod keywords;
mod report;
mod settings;

pub(super) use keywords::{Asked, Entry, Keywords, Layered, NewArguments, Recipe};
pub(super) use report::{describe, statistics};
pub(super) use settings::{PreparedSettings, prepare_settings};
