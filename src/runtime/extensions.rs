//! Typed values that live exactly as long as one runtime generation.

use std::any::{Any, TypeId};
use std::sync::{Mutex, PoisonError};

/// A small type map. Values are leaked on purpose: they share the runtime's lifetime, and a forked
/// child must never run their destructors.
#[derive(Default)]
pub(super) struct Extensions {
    values: Mutex<Vec<(TypeId, &'static (dyn Any + Send + Sync))>>,
}

impl Extensions {
    /// The value of type `T`, made on first use. `T::default` must be cheap and must not come back here.
    pub(super) fn get<T: Default + Send + Sync + 'static>(&self) -> &'static T {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let id = TypeId::of::<T>();
        let known = values.iter().find(|(key, _)| *key == id).and_then(|(_, v)| v.downcast_ref());
        if let Some(value) = known {
            return value;
        }
        let value: &'static T = Box::leak(Box::default());
        values.push((id, value));
        value
    }
}
