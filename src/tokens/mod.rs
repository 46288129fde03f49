//! Byte-pair tokens as OpenAI's models count them, without a network.
//!
//! Ids and counts are those of tiktoken's `encode_ordinary` on every text: the words of a special token
//! are ordinary text. The four vocabularies are part of the program; each is unpacked when it is first
//! asked for. Time is linear in the text but for a single piece (a word, a run of white space) of more
//! than 64 bytes, which takes n log n; nothing here panics, waits or does I/O. Refused are unknown
//! names and, when decoding, unknown ids.
//!
//! How it goes: [`blocks`] finds where pieces start, 64 bytes at a time; what it cannot tell, [`scan`]
//! cuts the way the encoding's published pattern does. Most pieces are known to the thread's [`memo`].
//! What is not is looked for among the tokens ([`vocabulary`]), cut at its [`seams`] and, at last,
//! merged pair by pair ([`merge`]).
//!
//! ```
//! use graphbit::tokens::Encoding;
//!
//! let tokenizer = Encoding::from_name("gpt-4o")?.tokenizer();
//! let text = "Tokens are counted here, not guessed.";
//! assert_eq!(tokenizer.count(text), 8);
//! assert_eq!(tokenizer.truncate(text, 3), "Tokens are counted");
//! assert_eq!(tokenizer.decode(&tokenizer.encode(text))?, text.as_bytes());
//! # Ok::<(), graphbit::Error>(())
//! ```

mod batch;
mod blocks;
mod classes;
mod count;
mod data;
mod encoding;
mod memo;
mod merge;
mod scan;
mod seams;
#[cfg(test)]
mod tests;
mod tokenizer;
mod vocabulary;

pub use encoding::Encoding;
pub use tokenizer::Tokenizer;
