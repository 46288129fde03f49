//! Static embeddings: a table of token vectors, gathered, averaged and normalised.
//!
//! The vectors equal those of the `wordllama` package's `embed(texts, norm=True)`: no special tokens,
//! no truncation, the mean over all tokens, unit length. Where that package divides by zero (a text
//! without tokens) the vector here is all zeros. It refuses to guess: weights must be a safetensors
//! file with one 2-D table (`embedding.weight` when there are several tensors), in f32, f16 or bf16.
//!
//! ```no_run
//! use graphbit::local::StaticEmbedding;
//!
//! let model = StaticEmbedding::load("weights.safetensors".as_ref(), None)?;
//! let vectors = model.embed_now(&["one text".to_owned()])?.vectors;
//! assert_eq!(vectors.rows(), 1);
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use safetensors::{Dtype, SafeTensors};

use super::tokenizer::{TextTokenizer, read_model_file};
use super::{PROVIDER, normalise};
use crate::embeddings::EmbeddingModel;
use crate::error::{Error, Result};
use crate::runtime;
use crate::types::{EmbeddingUsage, Embeddings, Matrix};

/// The tensor that is the table, where a file holds several.
const TABLE_NAMES: [&str; 2] = ["embedding.weight", "embeddings"];
/// Tables kept a process; one table is tens of megabytes, and programs use one or two.
const CACHED_TABLES: usize = 4;
/// Up to this much text costs less than handing it to another thread.
const INLINE_BYTES: usize = 2 * 1024;
/// A slice smaller than this is not worth a thread of its own.
const SLICE_BYTES: usize = 16 * 1024;
const MAX_BATCH: usize = 1024;

/// A static embedding model over files on disk. Cheap to open: the files are read on first use, once a
/// process, and shared by every instance that names them.
#[derive(Debug)]
pub struct StaticEmbedding {
    name: String,
    weights: PathBuf,
    tokenizer: PathBuf,
    // Filled once. A forked child reads it but never waits for it: a parent thread caught in the middle
    // of filling it does not exist there, so the child then goes through its own per-process cache.
    table: OnceLock<Arc<Table>>,
    born: u64,
}

#[derive(Debug)]
struct Table {
    tokenizer: TextTokenizer,
    vectors: Vec<f32>,
    dimensions: usize,
}

impl StaticEmbedding {
    /// Names the files; see [`super::open`].
    ///
    /// # Errors
    /// [`crate::Kind::Configuration`] naming the file that is missing.
    pub fn open(name: &str, weights: &Path, tokenizer: Option<PathBuf>) -> Result<Self> {
        let tokenizer = tokenizer.unwrap_or_else(|| weights.with_file_name("tokenizer.json"));
        for (path, role) in [(weights, "weights"), (tokenizer.as_path(), "tokenizer")] {
            if !path.is_file() {
                return Err(Error::configuration(format_args!(
                    "there is no {role} file '{}'",
                    path.display()
                )));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            weights: weights.to_path_buf(),
            tokenizer,
            table: OnceLock::new(),
            born: runtime::generation(),
        })
    }

    /// Opens and reads the files now; the model's name is the weights file's.
    ///
    /// # Errors
    /// [`crate::Kind::Configuration`] naming the file and what is wrong with it.
    pub fn load(weights: &Path, tokenizer: Option<PathBuf>) -> Result<Self> {
        let name =
            weights.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        let model = Self::open(&name, weights, tokenizer)?;
        model.table()?;
        Ok(model)
    }

    /// Embeds on the calling thread: tens of microseconds a sentence, after a first load of about 0.1 s.
    ///
    /// # Errors
    /// [`crate::Kind::Configuration`] when the files cannot be used.
    pub fn embed_now(&self, texts: &[String]) -> Result<Embeddings> {
        self.table()?.embed(texts)
    }

    fn table(&self) -> Result<Arc<Table>> {
        if let Some(table) = self.table.get() {
            return Ok(Arc::clone(table));
        }
        let table = shared_table(&self.weights, &self.tokenizer)?;
        if runtime::generation() == self.born {
            let _ = self.table.set(Arc::clone(&table));
        }
        Ok(table)
    }

    async fn embed_in_slices(&self, texts: &[String]) -> Result<Embeddings> {
        let bytes: usize = texts.iter().map(String::len).sum();
        if bytes <= INLINE_BYTES
            && let Some(table) = self.table.get()
        {
            return table.embed(texts);
        }
        let table = match self.table.get() {
            Some(table) => Arc::clone(table),
            None => self.load_off_worker().await?,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = (bytes / SLICE_BYTES).clamp(1, cores);
        let slices = slice_by_bytes(texts, bytes.div_ceil(wanted).max(1));
        let parts = try_join_all(slices.into_iter().map(|slice| {
            let table = Arc::clone(&table);
            runtime::spawn_blocking(move || table.embed(&slice))
        }))
        .await?;
        let mut all = Embeddings::default();
        for part in parts {
            all.vectors.append(part.vectors)?;
            all.usage.prompt_tokens += part.usage.prompt_tokens;
            all.usage.total_tokens += part.usage.total_tokens;
        }
        Ok(all)
    }

    async fn load_off_worker(&self) -> Result<Arc<Table>> {
        let (weights, tokenizer) = (self.weights.clone(), self.tokenizer.clone());
        let table = runtime::spawn_blocking(move || shared_table(&weights, &tokenizer)).await?;
        if runtime::generation() == self.born {
            let _ = self.table.set(Arc::clone(&table));
        }
        Ok(table)
    }
}

impl EmbeddingModel for StaticEmbedding {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> Option<usize> {
        self.table.get().map(|table| table.dimensions)
    }

    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _single: bool,
    ) -> BoxFuture<'a, Result<Embeddings>> {
        self.embed_in_slices(texts).boxed()
    }
}

/// Cuts `texts` into runs of about `target` bytes, in order.
fn slice_by_bytes(texts: &[String], target: usize) -> Vec<Vec<String>> {
    let mut slices = Vec::new();
    let mut slice = Vec::new();
    let mut bytes = 0_usize;
    for text in texts {
        slice.push(text.clone());
        bytes += text.len();
        if bytes >= target {
            slices.push(std::mem::take(&mut slice));
            bytes = 0;
        }
    }
    if !slice.is_empty() {
        slices.push(slice);
    }
    slices
}

/// A file as it was when it was read: a replaced file is read again.
#[derive(Debug, PartialEq)]
struct FileMark(PathBuf, u64, Option<SystemTime>);

impl FileMark {
    fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Self(
            path.to_path_buf(),
            metadata.as_ref().map_or(0, std::fs::Metadata::len),
            metadata.and_then(|metadata| metadata.modified().ok()),
        )
    }
}

/// Tables by file, most recently used last.
#[derive(Default)]
struct TableCache(Mutex<Vec<([FileMark; 2], Arc<Table>)>>);

/// The table over these files, read at most once a process: whoever comes second waits for the first.
fn shared_table(weights: &Path, tokenizer: &Path) -> Result<Arc<Table>> {
    let key = [FileMark::of(weights), FileMark::of(tokenizer)];
    let cache = runtime::per_process::<TableCache>()?;
    let mut tables = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = tables.iter().position(|(known, _)| *known == key) {
        let entry = tables.remove(found);
        let table = Arc::clone(&entry.1);
        tables.push(entry);
        return Ok(table);
    }
    let table = Arc::new(Table::read(weights, tokenizer)?);
    if tables.len() >= CACHED_TABLES {
        tables.remove(0);
    }
    tables.push((key, Arc::clone(&table)));
    Ok(table)
}

impl Table {
    fn read(weights: &Path, tokenizer: &Path) -> Result<Self> {
        let bytes = read_model_file(weights, "weights")?;
        let unusable = |what: String| {
            Error::configuration(format_args!("the weights file '{}' {what}", weights.display()))
        };
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| unusable(format!("is not a safetensors file: {error}")))?;
        let names = tensors.names();
        let name = match names.as_slice() {
            [only] => *only,
            _ => TABLE_NAMES.into_iter().find(|name| names.contains(name)).ok_or_else(|| {
                unusable(format!("has no tensor named {TABLE_NAMES:?}; it has {names:?}"))
            })?,
        };
        let tensor = tensors.tensor(name).map_err(|error| unusable(error.to_string()))?;
        let &[rows, dimensions] = tensor.shape() else {
            return Err(unusable(format!(
                "holds '{name}' of shape {:?}, not a table",
                tensor.shape()
            )));
        };
        if rows == 0 || dimensions == 0 {
            return Err(unusable(format!("holds an empty table '{name}'")));
        }
        let data = tensor.data();
        let vectors: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => {
                data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            Dtype::F16 => data
                .as_chunks()
                .0
                .iter()
                .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
                .collect(),
            Dtype::BF16 => data
                .as_chunks()
                .0
                .iter()
                .map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())
                .collect(),
            other => {
                return Err(unusable(format!("holds {other:?} values; use F32, F16 or BF16")));
            }
        };
        if !vectors.iter().all(|value| value.is_finite()) {
            return Err(unusable(format!("holds NaN or infinite values in '{name}'")));
        }
        Ok(Self { tokenizer: TextTokenizer::load(tokenizer)?, vectors, dimensions })
    }

    fn embed(&self, texts: &[String]) -> Result<Embeddings> {
        let mut data = Vec::with_capacity(texts.len().saturating_mul(self.dimensions));
        let mut tokens = 0_u64;
        for text in texts {
            let ids = self.tokenizer.ids(text, false)?;
            tokens += ids.len() as u64;
            let start = data.len();
            data.resize(start + self.dimensions, 0.0_f32);
            if let Some(vector) = data.get_mut(start..) {
                self.average(&ids, vector);
            }
        }
        Ok(Embeddings {
            vectors: Matrix::new(data, texts.len(), self.dimensions)?,
            usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
            pace: None,
        })
    }

    /// The unit-length mean of the tokens' vectors. An id past the table stands for its last row, as in
    /// the reference package.
    #[expect(clippy::cast_precision_loss, reason = "a text has far fewer than 2^24 tokens")]
    fn average(&self, ids: &[u32], sum: &mut [f32]) {
        let last = (self.vectors.len() / self.dimensions).saturating_sub(1);
        for &id in ids {
            let start = (id as usize).min(last) * self.dimensions;
            let row = self.vectors.get(start..start + self.dimensions).unwrap_or_default();
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let count = ids.len().max(1) as f32;
        sum.iter_mut().for_each(|value| *value /= count);
        normalise(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    /// Three words, known vectors.
    fn write_model(folder: &Path, dtype: Dtype, values: &[f32]) -> PathBuf {
        let bytes: Vec<u8> = match dtype {
            Dtype::F16 => {
                values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect()
            }
            Dtype::BF16 => {
                values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect()
            }
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let view = TensorView::new(dtype, vec![values.len() / 2, 2], &bytes).unwrap();
        let weights = folder.join("weights.safetensors");
        let file = safetensors::serialize([("embedding.weight", view)], None).unwrap();
        std::fs::write(&weights, file).unwrap();
        std::fs::write(
            folder.join("tokenizer.json"),
            r#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Whitespace"},
                "model":{"type":"WordLevel","vocab":{"[UNK]":0,"north":1,"east":2},"unk_token":"[UNK]"}}"#,
        )
        .unwrap();
        weights
    }

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("graphbit-static-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    const TABLE: [f32; 6] = [0.0, 0.0, 0.0, 2.0, 2.0, 0.0];

    #[test]
    fn averages_and_normalises_in_every_number_format() {
        for (name, dtype) in [("f32", Dtype::F32), ("f16", Dtype::F16), ("bf16", Dtype::BF16)] {
            let folder = folder(name);
            let model = StaticEmbedding::load(&write_model(&folder, dtype, &TABLE), None).unwrap();
            let texts = ["north", "north east", ""].map(str::to_owned);
            let embeddings = model.embed_now(&texts).unwrap();
            assert_eq!(embeddings.vectors.row(0), Some([0.0, 1.0].as_slice()));
            let diagonal = embeddings.vectors.row(1).unwrap();
            assert!(diagonal.iter().all(|value| (value - 0.5_f32.sqrt()).abs() < 1e-6));
            assert_eq!(embeddings.vectors.row(2), Some([0.0, 0.0].as_slice()), "no tokens, no NaN");
            assert_eq!(embeddings.usage.prompt_tokens, 3);
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn the_future_gives_the_rows_of_the_plain_call_in_order() {
        let folder = folder("slices");
        let weights = write_model(&folder, Dtype::F32, &TABLE);
        let model = Arc::new(StaticEmbedding::open("m", &weights, None).unwrap());
        let texts: Vec<String> = (0..4_000)
            .map(|index| if index % 3 == 0 { "north north ".repeat(9) } else { "east".to_owned() })
            .collect();
        let expected = model.embed_now(&texts).unwrap();
        let shared = Arc::clone(&model);
        let found = runtime::block_on(async move { shared.embed(&texts, false).await }).unwrap();
        assert_eq!(found, expected);
        assert_eq!(model.dimensions(), Some(2));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_instances_share_one_table_until_the_file_changes() {
        let folder = folder("shared");
        let weights = write_model(&folder, Dtype::F32, &TABLE);
        let first = StaticEmbedding::load(&weights, None).unwrap();
        let second = StaticEmbedding::load(&weights, None).unwrap();
        assert!(Arc::ptr_eq(&first.table().unwrap(), &second.table().unwrap()));
        write_model(&folder, Dtype::F32, &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let third = StaticEmbedding::load(&weights, None).unwrap();
        let row = third.embed_now(&["north".to_owned()]).unwrap().vectors;
        assert_eq!(row.row(0), Some([1.0, 0.0].as_slice()));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn unusable_files_are_named_with_what_is_wrong() {
        let folder = folder("broken");
        let missing = StaticEmbedding::load(&folder.join("none.safetensors"), None).unwrap_err();
        assert!(missing.message().contains("none.safetensors"), "{missing}");
        let weights = write_model(&folder, Dtype::F32, &TABLE);
        std::fs::write(&weights, b"junk").unwrap();
        let junk = StaticEmbedding::load(&weights, None).unwrap_err();
        assert!(junk.message().contains("is not a safetensors file"), "{junk}");
        write_model(&folder, Dtype::F32, &[f32::NAN, 0.0]);
        let nan = StaticEmbedding::load(&weights, None).unwrap_err();
        assert!(nan.message().contains("NaN"), "{nan}");
        write_model(&folder, Dtype::F32, &TABLE);
        std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
        let tokenizer = StaticEmbedding::load(&weights, None).unwrap_err();
        assert!(tokenizer.message().contains("tokenizer.json"), "{tokenizer}");
        assert!(tokenizer.kind() == crate::Kind::Configuration);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
