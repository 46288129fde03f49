//! Text splitting: four strategies, each a pure function from a text to chunks of it.
//!
//! Chunk contents are those of GraphBit 0.6.8 wherever that returns; where it aborts, repeats itself
//! or cuts a character in two, the result is the nearest one that makes sense. A splitter holds no
//! state, does no I/O, cannot panic, and takes time linear in its input and output. It refuses only
//! parameters that cannot work, with [`Kind::Parameter`](crate::Kind::Parameter).
//!
//! ```
//! use graphbit::split::SentenceSplitter;
//!
//! let text = "One sentence. Another one.";
//! let chunks = SentenceSplitter::new(10, 0, None)?.split(text);
//! assert_eq!(chunks[1].content, "Another one.");
//! assert_eq!(&text[chunks[1].start_byte..chunks[1].end_byte], "Another one.");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod batch;
mod chains;
mod character;
mod chunk;
mod config;
mod edges;
mod exact;
mod measure;
mod packed;
mod presence;
#[cfg(test)]
mod properties;
mod recursive;
mod runs;
mod segments;
mod sentence;
mod source;
mod token;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::thread::Scope;

pub use batch::{split_each, split_texts};
pub use chains::Portions;
pub use character::CharacterSplitter;
pub use chunk::{Chunk, Content, Count};
pub use config::{Strategy, TextSplitter, TextSplitterConfig};
pub use exact::{Boundary, ExactSplitter, SemanticPlan, Unit};
pub use packed::Packed;
use recursive::DEFAULT_SEPARATORS;
pub use recursive::RecursiveSplitter;
pub use sentence::SentenceSplitter;
pub use source::Source;
pub use token::TokenSplitter;

use crate::error::{Error, Kind, Result};

/// Takes one chunk after the other; the cutting ends when it breaks.
pub type Each<'each> = dyn FnMut(Chunk<Content>) -> ControlFlow<()> + 'each;

/// Anything that cuts a text into chunks. Share it as `Arc<dyn Split>`.
pub trait Split: Send + Sync {
    /// Hands the chunks of a text to `each`, in order, as places in it; [`Chunk::read`] makes the
    /// content. Memory does not grow with the number of chunks.
    fn visit(&self, source: Source<'_>, each: &mut Each<'_>) -> ControlFlow<()>;

    /// The same chunks, a portion at a time, made ahead by up to `workers` threads, of which the one
    /// that asks is one. A splitter that cannot divide a text makes them on one other thread.
    fn portions<'scope>(
        &'scope self,
        source: Source<'scope>,
        workers: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> Portions<'scope> {
        let _ = workers;
        chains::ahead(scope, move |each| self.visit(source, each))
    }

    /// The chunks of a text as places in it.
    fn places(&self, source: Source<'_>) -> Vec<Chunk<Content>> {
        let mut chunks = Vec::new();
        let _ = self.visit(source, &mut |chunk| {
            chunks.push(chunk);
            ControlFlow::Continue(())
        });
        chunks
    }

    /// The chunks of `text`, borrowing from it whatever is a slice of it.
    fn cut<'text>(&self, text: &'text str) -> Vec<Chunk<Cow<'text, str>>> {
        let read = |chunk: Chunk<Content>| {
            let content = chunk.read(text);
            chunk.map(|_| content)
        };
        self.places(Source::new(text)).into_iter().map(read).collect()
    }

    /// The chunks of `text`, each owning its content.
    fn split(&self, text: &str) -> Vec<Chunk> {
        self.cut(text).into_iter().map(Chunk::into_owned).collect()
    }
}

/// Lets callers split without importing the trait.
macro_rules! inherent_split {
    ($($splitter:ty),+ $(,)?) => {$(
        impl $splitter {
            /// The chunks of `text`, each owning its content; see [`Split::cut`] to borrow instead.
            #[must_use]
            pub fn split(&self, text: &str) -> Vec<Chunk> {
                Split::split(self, text)
            }
        }
    )+};
}
inherent_split!(
    CharacterSplitter,
    TokenSplitter,
    SentenceSplitter,
    RecursiveSplitter,
    ExactSplitter,
    TextSplitter
);

const ZERO_SIZE: &str = "Chunk size must be greater than 0";
const WIDE_OVERLAP: &str = "Chunk overlap must be less than chunk size";

/// A refused parameter of a splitter.
fn refused(reason: impl std::fmt::Display) -> Error {
    Error::new(Kind::Parameter, format!("Validation error: text_splitter - {reason}"))
}

/// `regex` compiled, or the engine's own account of what is wrong with it.
fn compile(pattern: &str) -> Result<regex::Regex> {
    regex::Regex::new(pattern)
        .map_err(|error| refused(format_args!("Invalid regex pattern: {error}")).with_source(error))
}
