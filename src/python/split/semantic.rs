//! Semantic splitting as Python calls it: sentences and cuts without the interpreter on the calling
//! thread, embeddings through the one doorway, so that Ctrl-C works while a request is under way.

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList};

use super::batch::{Document, Lists};
use crate::embeddings::SemanticSplitter;
use crate::python::bridge;
use crate::python::documents::wrong_type;
use crate::python::embeddings::EmbeddingClient;
use crate::split::{Boundary, Chunk, Content, Packed, SemanticPlan, Strategy, Unit};

/// Bytes of text whose sentences are embedded together: each is copied with its neighbours.
const PORTION_BYTES: usize = 8 << 20;

/// What `TextSplitterConfig.semantic` was given, in its words.
pub(super) struct Wanted<'given> {
    pub(super) chunk_size: usize,
    pub(super) chunk_overlap: usize,
    pub(super) percentile: f64,
    pub(super) threshold: Option<f64>,
    pub(super) window: usize,
    pub(super) min_chunk_size: usize,
    pub(super) unit: Option<&'given str>,
    pub(super) encoding: Option<&'given str>,
}

impl Wanted<'_> {
    /// The sentences' strategy: what the chunks of a semantic splitter are made of.
    pub(super) const fn strategy(&self) -> Strategy {
        let (chunk_size, chunk_overlap) = (self.chunk_size, self.chunk_overlap);
        Strategy::Sentence { chunk_size, chunk_overlap, sentence_endings: None }
    }

    /// The splitter, all of it checked.
    pub(super) fn splitter(&self, client: &Bound<'_, PyAny>) -> PyResult<SemanticSplitter> {
        let client = client
            .cast::<EmbeddingClient>()
            .map_err(|_| wrong_type("client", "an EmbeddingClient", client))?;
        let unit = Unit::chosen(&self.strategy(), true, self.unit, self.encoding)?;
        // Both are checked, also when the threshold makes the percentile idle.
        let mut plan =
            SemanticPlan::new(self.chunk_size, self.chunk_overlap, unit.unwrap_or_default())?
                .with_boundary(Boundary::Percentile(self.percentile))?
                .with_window(self.window)?
                .with_min_chunk_size(self.min_chunk_size)?;
        if let Some(threshold) = self.threshold {
            plan = plan.with_boundary(Boundary::Threshold(threshold))?;
        }
        Ok(SemanticSplitter::new(client.get().shared().clone(), plan))
    }
}

/// The chunks of each document.
pub(super) fn places_each(
    py: Python<'_>,
    splitter: &SemanticSplitter,
    documents: &[Document<'_>],
) -> PyResult<Vec<Vec<Chunk<Content>>>> {
    let sources: Vec<_> = documents.iter().map(Document::source).collect();
    let plan = splitter.plan();
    let sentences = bridge::detach(py, || {
        Ok(sources.iter().map(|source| plan.sentences(source.text())).collect::<Vec<_>>())
    })?;
    let windows = bridge::detach(py, || {
        let pairs = sources.iter().zip(&sentences);
        Ok(pairs.map(|(source, sentences)| plan.windows(source.text(), sentences)).collect())
    })?;
    let asking = splitter.clone();
    let similarities = bridge::block_on(py, async move { asking.similarities(windows).await })?;
    bridge::detach(py, || {
        let all = sources.iter().zip(sentences.iter().zip(&similarities));
        let places = all.map(|(source, (sentences, similarities))| {
            plan.places(*source, sentences, &plan.breaks(sentences, similarities))
        });
        Ok(places.collect())
    })
}

/// A list of chunks for each document, some megabytes of documents at a time.
pub(super) fn split_documents<'py>(
    py: Python<'py>,
    splitter: &SemanticSplitter,
    documents: &[Document<'py>],
    with_metadata: bool,
) -> PyResult<Vec<Bound<'py, PyList>>> {
    let lists = Lists::new(with_metadata);
    let mut results = Vec::with_capacity(documents.len());
    let mut rest = documents;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |document: &&Document<'_>| {
            let fits = bytes < PORTION_BYTES;
            bytes += document.source().text().len();
            fits
        };
        let (portion, later) = rest.split_at(rest.iter().take_while(fits).count());
        for (document, chunks) in portion.iter().zip(places_each(py, splitter, portion)?) {
            let list = PyList::empty(py);
            lists.extend(&list, document.text(), chunks.into_iter().map(Packed::from))?;
            results.push(list);
        }
        rest = later;
    }
    Ok(results)
}
