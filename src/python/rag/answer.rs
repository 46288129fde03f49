//! An answer and the passages it rests on, for Python.

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::python::chat_types::PyLlmUsage;
use crate::rag::{Answer, Citation};

/// Characters of a text that a repr shows.
const SHOWN: usize = 60;

/// A passage, with the number that marks it in an answer.
#[pyclass(name = "Citation", module = "graphbit", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(in crate::python) struct PyCitation(Citation);

/// Passages with their numbers; those are cited whose marks stand in `text`.
pub(super) fn cited(passages: Vec<crate::types::Passage>, text: &str) -> Vec<PyCitation> {
    Citation::all(passages, text).into_iter().map(PyCitation).collect()
}

#[pymethods]
impl PyCitation {
    /// The passage's number, from 1, best first.
    #[getter]
    fn number(&self) -> usize {
        self.0.number
    }
    /// The document's path or name.
    #[getter]
    fn source(&self) -> &str {
        &self.0.passage.source
    }
    /// The passage.
    #[getter]
    fn text(&self) -> &str {
        &self.0.passage.text
    }
    /// First character of the passage in the document.
    #[getter]
    fn start_char(&self) -> usize {
        self.0.passage.start_char
    }
    /// One past its last character.
    #[getter]
    fn end_char(&self) -> usize {
        self.0.passage.end_char
    }
    /// The reranker's score if there is one, else BM25 in lexical mode, else the similarity to the question.
    #[getter]
    fn score(&self) -> f32 {
        self.0.passage.score
    }
    /// Whether the answer's text carries this passage's number.
    #[getter]
    fn cited(&self) -> bool {
        self.0.cited
    }
    fn __repr__(&self) -> String {
        let Citation { number, passage, cited } = &self.0;
        let cited = if *cited { "True" } else { "False" };
        format!(
            "Citation(number={number}, source={:?}, score={:.3}, cited={cited}, text={:?})",
            passage.source,
            passage.score,
            shown(&passage.text)
        )
    }
}

/// An answer and the passages it rests on.
#[pyclass(name = "Answer", module = "graphbit", frozen)]
pub(in crate::python) struct PyAnswer {
    answer: Answer,
    citations: Py<PyList>,
}

impl PyAnswer {
    pub(super) fn new(py: Python<'_>, answer: Answer) -> PyResult<Self> {
        let citations = answer.citations.iter().cloned().map(PyCitation);
        let citations = PyList::new(py, citations.collect::<Vec<_>>())?.unbind();
        Ok(Self { answer, citations })
    }
}

#[pymethods]
impl PyAnswer {
    /// What the model said.
    #[getter]
    fn text(&self) -> &str {
        &self.answer.text
    }
    /// The passages given to the model, best first.
    #[getter]
    fn citations(&self, py: Python<'_>) -> Py<PyList> {
        self.citations.clone_ref(py)
    }
    /// Names of the documents the text cites, each once, in the order of the passages.
    #[getter]
    fn sources(&self) -> Vec<&str> {
        let mut sources = Vec::new();
        for citation in self.answer.citations.iter().filter(|citation| citation.cited) {
            let source = citation.passage.source.as_str();
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }
    /// Tokens of the model call.
    #[getter]
    fn usage(&self) -> PyLlmUsage {
        PyLlmUsage(self.answer.usage)
    }
    /// The model that answered.
    #[getter]
    fn model(&self) -> &str {
        &self.answer.model
    }
    /// Whether there were passages to answer from; if not, no model was asked.
    #[getter]
    fn found(&self) -> bool {
        self.answer.found
    }
    fn __str__(&self) -> &str {
        &self.answer.text
    }
    fn __repr__(&self) -> String {
        format!(
            "Answer(model={:?}, sources={:?}, text={:?})",
            self.answer.model,
            self.sources(),
            shown(&self.answer.text)
        )
    }
}

/// The beginning of a text, for a repr.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}
