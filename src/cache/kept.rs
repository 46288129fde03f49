//! What a cache can keep: answers that can be written down and read again.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

/// An answer as callers have it, and the form in which it is kept.
pub trait Kept: Any + Send + Sync {
    /// Its form in memory and in a file, all of its buffer: what is cut from a larger one keeps the whole of
    /// it. `None` when it has none: it is not kept, and reaches its caller all the same.
    fn write(&self) -> Option<Bytes>;

    /// The answer that was written so; `None` when this version cannot read it, and then it is brought anew.
    fn read(entry: &Bytes) -> Option<Self>
    where
        Self: Sized;
}

/// An answer of any type, on its way to those who wait for it.
pub(super) type Anything = Arc<dyn Kept>;

/// The answer as what it is; `None` when it is something else. Keys of different domains never meet, so it is not.
pub(super) fn of_type<T: Kept>(answer: Anything) -> Option<Arc<T>> {
    let answer: Arc<dyn Any + Send + Sync> = answer;
    answer.downcast().ok()
}

impl Kept for Bytes {
    fn write(&self) -> Option<Bytes> {
        Some(self.clone())
    }

    fn read(entry: &Bytes) -> Option<Self> {
        Some(entry.clone())
    }
}
