//! Transformer embeddings whose network runs elsewhere: tokens in, hidden states out, pooled here.
//!
//! Tokenisation (the model's own markers, at most [`MAX_TOKENS`] tokens), padding, mean pooling over the
//! real tokens and normalisation follow sentence-transformers. The forward pass is an [`Inference`], so
//! that this crate links no inference library.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use graphbit::local::{Inference, TransformerEmbedding};
//! # fn open(session: Arc<dyn Inference>) -> graphbit::Result<()> {
//! let model = TransformerEmbedding::open("minilm", "tokenizer.json".into(), session)?;
//! # Ok(()) }
//! ```

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};

use super::tokenizer::TextTokenizer;
use super::{PROVIDER, normalise};
use crate::embeddings::EmbeddingModel;
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::types::{EmbeddingUsage, Embeddings, Matrix};

/// Longer texts are cut, as sentence-transformers cuts them for all-MiniLM-L6-v2.
pub const MAX_TOKENS: usize = 256;
/// Texts a forward pass: padding to the longest text makes bigger batches slower on a CPU.
const FORWARD_BATCH: usize = 16;
const MAX_BATCH: usize = 256;

/// Padded token ids of some texts, row-major, `rows` x `columns`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenBatch {
    /// Token ids; 0 where the text has ended.
    pub ids: Vec<i64>,
    /// 1 for a real token, 0 for padding.
    pub mask: Vec<i64>,
    /// Number of texts.
    pub rows: usize,
    /// Tokens a row, padding included.
    pub columns: usize,
}

/// The forward pass: hidden states of every token, `rows` x `columns` x width, row-major.
pub trait Inference: Send + Sync + 'static {
    /// Runs the network over one batch.
    fn run(&self, batch: TokenBatch) -> BoxFuture<'static, Result<Vec<f32>>>;
}

/// An embedding model over a tokenizer file and a forward pass.
pub struct TransformerEmbedding {
    name: String,
    tokenizer: Arc<TextTokenizer>,
    inference: Arc<dyn Inference>,
    width: OnceLock<usize>,
}

impl TransformerEmbedding {
    /// Reads the tokenizer file.
    ///
    /// # Errors
    /// [`Kind::Configuration`] naming the file and what is wrong with it.
    #[expect(clippy::needless_pass_by_value, reason = "callers have just built the path")]
    pub fn open(name: &str, tokenizer: PathBuf, inference: Arc<dyn Inference>) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            tokenizer: Arc::new(TextTokenizer::load(&tokenizer)?),
            inference,
            width: OnceLock::new(),
        })
    }

    async fn embed_in_order(&self, texts: &[String]) -> Result<Embeddings> {
        let tokenizer = Arc::clone(&self.tokenizer);
        let owned = texts.to_vec();
        let token_ids = runtime::spawn_blocking(move || {
            owned
                .iter()
                .map(|text| truncated(tokenizer.ids(text, true)?))
                .collect::<Result<Vec<_>>>()
        })
        .await?;
        let tokens: u64 = token_ids.iter().map(|ids| ids.len() as u64).sum();
        // Texts of like length share a pass, so that padding costs little.
        let mut order: Vec<usize> = (0..token_ids.len()).collect();
        order.sort_by_key(|&index| token_ids.get(index).map_or(0, Vec::len));
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); token_ids.len()];
        let passes = order.chunks(FORWARD_BATCH).map(|group| {
            let members: Vec<&[u32]> =
                group.iter().filter_map(|&index| token_ids.get(index).map(Vec::as_slice)).collect();
            let batch = pad(&members);
            let (mask, rows, columns) = (batch.mask.clone(), batch.rows, batch.columns);
            let inference = Arc::clone(&self.inference);
            // Lazy: a pass starts when the limit below lets it.
            async move {
                let states = inference.run(batch).await?;
                Ok((group, pool(&states, &mask, rows, columns)?))
            }
        });
        let passes: Vec<_> = passes.collect();
        // One pass uses one core.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut pooled = stream::iter(passes).buffer_unordered(cores);
        while let Some(pass) = pooled.next().await {
            let (group, vectors): (&[usize], Vec<Vec<f32>>) = pass?;
            for (&index, vector) in group.iter().zip(vectors) {
                let _ = self.width.set(vector.len());
                if let Some(row) = rows.get_mut(index) {
                    *row = vector;
                }
            }
        }
        Ok(Embeddings {
            vectors: Matrix::from_rows(&rows)?,
            usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
            pace: None,
        })
    }
}

impl EmbeddingModel for TransformerEmbedding {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> Option<usize> {
        self.width.get().copied()
    }

    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _single: bool,
    ) -> BoxFuture<'a, Result<Embeddings>> {
        self.embed_in_order(texts).boxed()
    }
}

/// Cuts to [`MAX_TOKENS`], keeping the closing marker.
fn truncated(mut ids: Vec<u32>) -> Result<Vec<u32>> {
    let closing = ids
        .last()
        .copied()
        .ok_or_else(|| Error::new(Kind::Internal, "a text without any marker"))?;
    if ids.len() > MAX_TOKENS {
        ids.truncate(MAX_TOKENS - 1);
        ids.push(closing);
    }
    Ok(ids)
}

fn pad(texts: &[&[u32]]) -> TokenBatch {
    let columns = texts.iter().map(|ids| ids.len()).max().unwrap_or(0);
    let mut batch = TokenBatch {
        ids: Vec::with_capacity(texts.len() * columns),
        mask: Vec::with_capacity(texts.len() * columns),
        rows: texts.len(),
        columns,
    };
    for ids in texts {
        batch.ids.extend(ids.iter().map(|&id| i64::from(id)));
        batch.mask.extend(std::iter::repeat_n(1, ids.len()));
        let length = batch.ids.len() + columns - ids.len();
        batch.ids.resize(length, 0);
        batch.mask.resize(length, 0);
    }
    batch
}

/// Mean of the hidden states of the real tokens, normalised, one vector a row.
#[expect(clippy::cast_precision_loss, reason = "a row has at most 256 tokens")]
fn pool(states: &[f32], mask: &[i64], rows: usize, columns: usize) -> Result<Vec<Vec<f32>>> {
    let cells = rows * columns;
    if cells == 0 || states.is_empty() || !states.len().is_multiple_of(cells) {
        return Err(Error::new(
            Kind::Decode,
            format!("the network returned {} values for {rows} x {columns} tokens", states.len()),
        ));
    }
    let width = states.len() / cells;
    let pooled = states.chunks_exact(columns * width).zip(mask.chunks_exact(columns)).map(
        |(states, mask)| {
            let mut sum = vec![0.0_f32; width];
            for (state, _) in states.chunks_exact(width).zip(mask).filter(|(_, bit)| **bit == 1) {
                sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += value);
            }
            let count = mask.iter().filter(|bit| **bit == 1).count().max(1) as f32;
            sum.iter_mut().for_each(|value| *value /= count);
            normalise(&mut sum);
            sum
        },
    );
    Ok(pooled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_marks_only_real_tokens() {
        let batch = pad(&[&[7, 8, 9], &[5]]);
        assert_eq!((batch.rows, batch.columns), (2, 3));
        assert_eq!(batch.ids, [7, 8, 9, 5, 0, 0]);
        assert_eq!(batch.mask, [1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn padding_does_not_enter_the_mean() {
        // Two texts of two columns, width two; the second text's second column is padding.
        let states = [3.0, 0.0, 1.0, 0.0, 0.0, 2.0, 90.0, 90.0];
        let vectors = pool(&states, &[1, 1, 1, 0], 2, 2).unwrap();
        assert_eq!(vectors, [vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert!(pool(&states, &[1, 1, 1], 1, 3).is_err());
    }

    #[test]
    fn a_long_text_keeps_its_closing_marker() {
        let ids: Vec<u32> = (0..1_000).collect();
        let cut = truncated(ids).unwrap();
        assert_eq!(cut.len(), MAX_TOKENS);
        assert_eq!(cut.last(), Some(&999));
    }
}
