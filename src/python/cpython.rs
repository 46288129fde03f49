//! Two calls of CPython's stable interface that PyO3's safe one leaves out. Without them a chunk's
//! content goes through a slice object or a decoder, and large results wake the garbage collector.
//!
//! All `unsafe` of the binding is here. It refuses nothing: both functions are total.
//!
//! ```ignore
//! let word = cpython::substring(&text, 4..9)?; // text[4:9], without a slice object
//! ```

use std::ops::Range;

use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{PyClass, ffi};

/// `text[range]` in code points, an end behind the text meaning its end.
#[expect(unsafe_code, reason = "PyO3 slices a string only through a slice object or through UTF-8")]
pub(super) fn substring<'py>(
    text: &Bound<'py, PyString>,
    range: Range<usize>,
) -> PyResult<Bound<'py, PyString>> {
    let (start, end) = (isize::try_from(range.start)?, isize::try_from(range.end)?);
    // SAFETY: `text` is a live str and this thread is attached, as its `Bound` proves. The call
    // checks both numbers itself and returns a new reference to a str, or null with an exception set.
    let part = unsafe {
        Bound::from_owned_ptr_or_err(text.py(), ffi::PyUnicode_Substring(text.as_ptr(), start, end))
    };
    Ok(part?.cast_into()?)
}

/// Takes an object off the garbage collector's list. For classes without `__traverse__`, which show the
/// collector nothing, so that visiting them is wasted.
#[expect(unsafe_code, reason = "PyO3 makes every class one that the collector visits")]
pub(super) fn untrack<T: PyClass>(object: &Bound<'_, T>) {
    // SAFETY: the object is live, this thread is attached, and each class of PyO3's has the
    // collector's header. Deallocation takes an object off the list only if it is still there.
    unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) }
}
