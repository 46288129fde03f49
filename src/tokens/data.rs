//! The vocabularies as they lie in `data/`: written by the ignored test below, checked by the other.
//!
//! A file holds, compressed with raw DEFLATE, the length of each token by id (a byte; 0 for an id that
//! is no token) and then their bytes. Two little-endian numbers stand before it: how many tokens, how
//! many bytes. r50k_base has no file: its tokens are the first 50,256 of p50k_base.

use super::encoding::Encoding;

/// Every token, one after the other, and where each begins; one start more than there are tokens.
pub(super) struct Packed {
    pub(super) text: Vec<u8>,
    pub(super) starts: Vec<u32>,
}

/// The tokens r50k_base shares with p50k_base, all it has.
const R50K_TOKENS: usize = 50_256;

impl Packed {
    /// Unpacks an encoding's vocabulary. The files are part of the program, so a damaged one is
    /// found by the tests; here it would be an empty vocabulary.
    pub(super) fn of(encoding: Encoding) -> Self {
        let file: &[u8] = match encoding {
            Encoding::Cl100kBase => include_bytes!("data/cl100k_base.bin"),
            Encoding::O200kBase => include_bytes!("data/o200k_base.bin"),
            Encoding::P50kBase | Encoding::R50kBase => include_bytes!("data/p50k_base.bin"),
        };
        let mut packed = Self::unpack(file).unwrap_or(Self { text: Vec::new(), starts: vec![0] });
        if encoding == Encoding::R50kBase {
            packed.starts.truncate(R50K_TOKENS + 1);
            packed.text.truncate(packed.starts.last().map_or(0, |end| *end as usize));
        }
        packed
    }

    fn unpack(file: &[u8]) -> Option<Self> {
        let (tokens, rest) = file.split_first_chunk::<4>()?;
        let (bytes, compressed) = rest.split_first_chunk::<4>()?;
        let tokens = u32::from_le_bytes(*tokens) as usize;
        let size = tokens + u32::from_le_bytes(*bytes) as usize;
        let mut text = miniz_oxide::inflate::decompress_to_vec_with_limit(compressed, size).ok()?;
        let mut starts = Vec::with_capacity(tokens + 1);
        let mut end = 0;
        starts.push(end);
        for length in text.get(..tokens)? {
            end += u32::from(*length);
            starts.push(end);
        }
        text.drain(..tokens);
        text.shrink_to_fit();
        Some(Self { text, starts })
    }
}
