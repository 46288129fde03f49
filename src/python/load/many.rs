//! `load_many` and `load_iter`: an outcome for each path, in their order, loaded side by side.
//!
//! What one document raises stands in its place. It refuses to run ahead of a slow reader: an iterator
//! has at most as many documents under way as there are workers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyString};

use super::content::DocumentContent;
use super::place;
use crate::error::{Error, Kind, Result};
use crate::load::{self, Loader, Request, load_each, usual_workers};
use crate::python::bridge::{self, Slices};
use crate::python::errors::to_py_err;
use crate::python::exit;
use crate::python::finished::Conversion;
use crate::python::given::{Items, draw};
use crate::runtime::{self, Task};

type Outcome = Result<load::DocumentContent>;

/// Documents to be loaded, and the outcomes so far.
pub(super) struct Batch {
    loader: Loader,
    requests: Vec<Request>,
    workers: usize,
}

#[derive(Clone)]
struct Gathered(Arc<Mutex<Vec<Option<Outcome>>>>);

impl Gathered {
    fn keep(&self, number: usize, outcome: Outcome) {
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = outcomes.get_mut(number) {
            *place = Some(outcome);
        }
    }

    /// A list of the outcomes, `None` for those that did not come about.
    fn deliver(&self, py: Python<'_>, raised: Option<PyErr>) -> PyResult<Py<PyList>> {
        let outcomes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut conversion = Conversion::new(raised);
        let list = conversion.list(py, outcomes, |outcome| match outcome {
            Some(outcome) => into_python(py, outcome),
            None => Ok(py.None()),
        })?;
        conversion.end(&list)?;
        Ok(list.unbind())
    }
}

impl Batch {
    pub(super) fn new(
        loader: Loader,
        paths: &Bound<'_, PyAny>,
        document_type: Option<&str>,
        max_workers: Option<usize>,
    ) -> PyResult<Self> {
        let workers = workers(max_workers)?;
        let mut requests = Vec::new();
        let slices = Slices::new();
        for path in iterate(paths)? {
            requests.push(request(requests.len(), &path?, document_type)?);
            slices.breathe(paths.py())?;
        }
        Ok(Self { loader, requests, workers })
    }

    fn work(self) -> (Gathered, impl Future<Output = ()> + Send + 'static) {
        let Self { loader, requests, workers } = self;
        let empty = requests.iter().map(|_| None).collect();
        let gathered = Gathered(Arc::new(Mutex::new(empty)));
        let kept = gathered.clone();
        let work = async move {
            load_each(&loader, requests, workers, |number, outcome| kept.keep(number, outcome))
                .await;
        };
        (gathered, work)
    }

    /// The outcomes; what cuts the call short carries those that came about.
    pub(super) fn block(self, py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let (gathered, work) = self.work();
        let ended = bridge::block_on(py, async move {
            work.await;
            Ok(())
        });
        Ok(gathered.deliver(py, ended.err())?.into_bound(py))
    }

    /// The same as an `asyncio.Future`.
    pub(super) fn start(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let (gathered, work) = self.work();
        let so_far = gathered.clone();
        bridge::future_with_results(
            py,
            async move {
                work.await;
                Ok(())
            },
            move |py, ()| Ok(gathered.deliver(py, None)?.into_any()),
            move |py| Ok(so_far.deliver(py, None)?.into_any()),
        )
    }
}

fn into_python(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(loaded) => Ok(Py::new(py, DocumentContent::new(py, loaded))?.into_any()),
        Err(error) => Ok(to_py_err(error).into_value(py).into_any()),
    }
}

fn workers(max_workers: Option<usize>) -> PyResult<usize> {
    if max_workers == Some(0) {
        let text = "max_workers must be at least 1";
        return Err(Error::validation("max_workers", Some("0"), text).into());
    }
    Ok(max_workers.unwrap_or_else(usual_workers))
}

fn iterate<'py>(paths: &Bound<'py, PyAny>) -> PyResult<Items<'py>> {
    // A string is an iterable of strings too, but nobody means that.
    let is_path = || exit::inside(paths.py(), || paths.hasattr("__fspath__"));
    if paths.is_instance_of::<PyString>() || is_path()? {
        return Err(PyTypeError::new_err("paths must be an iterable of paths, not one path"));
    }
    Items::of(paths)
}

fn request(
    position: usize,
    path: &Bound<'_, PyAny>,
    document_type: Option<&str>,
) -> PyResult<Request> {
    let place = place(&format!("paths[{position}]"), path)?;
    Ok(Request { place, document_type: document_type.map(str::to_owned) })
}

/// Documents under way, in the order of their paths.
struct UnderWay {
    generation: u64,
    tasks: VecDeque<Task<load::DocumentContent>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.generation != runtime::generation() {
            #[expect(clippy::mem_forget, reason = "the tasks belong to the parent process")]
            std::mem::forget(std::mem::take(&mut self.tasks));
        }
    }
}

struct Window {
    /// `None` when there is nothing more to draw.
    paths: Option<Py<PyIterator>>,
    drawn: usize,
    under_way: UnderWay,
    /// What drawing raised, for when the documents drawn before it are given out.
    raised: Option<PyErr>,
}

impl Window {
    fn fill(&mut self, py: Python<'_>, about: &DocumentIterator) {
        while self.under_way.tasks.len() < about.workers {
            let Some(paths) = &self.paths else { return };
            let drawn = draw(&mut paths.bind(py).clone())
                .map(|path| request(self.drawn, &path?, about.document_type.as_deref()));
            match drawn {
                Some(Ok(request)) => {
                    let loader = about.loader.clone();
                    let work = async move { request.load(&loader).await };
                    self.under_way.tasks.push_back(runtime::spawn(work));
                    self.drawn = self.drawn.saturating_add(1);
                }
                Some(Err(error)) => {
                    self.raised = Some(error);
                    self.paths = None;
                }
                None => self.paths = None,
            }
        }
    }

    fn next(&mut self, py: Python<'_>, about: &DocumentIterator) -> PyResult<Option<Py<PyAny>>> {
        if self.under_way.generation != runtime::generation() {
            let text = "the iterator was begun in another process; make a new one here";
            return Err(Error::new(Kind::Cancelled, text).into());
        }
        self.fill(py, about);
        let Some(task) = self.under_way.tasks.pop_front() else {
            return self.raised.take().map_or(Ok(None), Err);
        };
        // The error of a document is a value here, one of the waiting itself is not.
        let outcome = bridge::block_on(py, async move { Ok(task.await) })?;
        into_python(py, outcome).map(Some)
    }
}

/// One outcome a path, loaded a window ahead.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct DocumentIterator {
    loader: Loader,
    document_type: Option<String>,
    workers: usize,
    /// Taken out while somebody is in `__next__`, so that no lock is held while Python runs.
    window: Mutex<Option<Window>>,
}

impl DocumentIterator {
    pub(super) fn new(
        loader: Loader,
        paths: &Bound<'_, PyAny>,
        document_type: Option<&str>,
        max_workers: Option<usize>,
    ) -> PyResult<Self> {
        let under_way = UnderWay { generation: runtime::generation(), tasks: VecDeque::new() };
        let paths = Some(iterate(paths)?.unbind());
        let window = Window { paths, drawn: 0, under_way, raised: None };
        Ok(Self {
            loader,
            document_type: document_type.map(str::to_owned),
            workers: workers(max_workers)?,
            window: Mutex::new(Some(window)),
        })
    }

    fn replace(&self, window: Option<Window>) -> Option<Window> {
        let mut held = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, window)
    }
}

#[pymethods]
impl DocumentIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(mut window) = self.replace(None) else {
            return Err(PyValueError::new_err("iterator already executing"));
        };
        let next = window.next(py, self);
        self.replace(Some(window));
        next
    }
}
