//! `GuardRailPolicyConfig`: a policy, from wherever it is written down.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::bridge;
use super::given::{GivenPath, import};
use crate::guard::Policy;
use crate::runtime;

/// What no model may read, and whether it is put back into answers. Made by its static methods only.
#[pyclass(name = "GuardRailPolicyConfig", module = "graphbit", frozen)]
pub(super) struct PyGuardRailPolicy {
    pub(super) policy: Arc<Policy>,
}

impl From<Policy> for PyGuardRailPolicy {
    fn from(policy: Policy) -> Self {
        Self { policy: Arc::new(policy) }
    }
}

#[pymethods]
impl PyGuardRailPolicy {
    /// The policy in a JSON text.
    #[staticmethod]
    fn from_json(py: Python<'_>, json_str: String) -> PyResult<Self> {
        // A pattern may take megabytes when compiled.
        bridge::detach(py, move || Policy::from_json(&json_str)).map(Self::from)
    }

    /// The policy in a file.
    #[staticmethod]
    fn from_file(py: Python<'_>, path: GivenPath) -> PyResult<Self> {
        // A pipe may keep the reader waiting; from this door Ctrl-C gets out.
        let read = runtime::spawn_blocking(move || Policy::from_file(&path.0));
        bridge::wait(py, read).map(Self::from)
    }

    /// The policy that a server gives.
    #[staticmethod]
    fn from_url(py: Python<'_>, url: String) -> PyResult<Self> {
        bridge::block_on(py, async move { Policy::from_url(&url).await }).map(Self::from)
    }

    /// A policy that does nothing.
    #[staticmethod]
    fn default_config() -> Self {
        Policy::default().into()
    }

    /// Its name; "default" unless given.
    fn policy_name(&self) -> &str {
        self.policy.name()
    }

    /// Its version; "0.0.0" unless given.
    fn policy_version(&self) -> &str {
        self.policy.version()
    }

    /// Whether it is in force.
    fn is_active(&self) -> bool {
        self.policy.is_active()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.policy.document() == other.policy.document()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.policy.document().to_string().hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let restore = import(py, "graphbit._pickling")?.getattr("guard_rail_policy")?;
        Ok((restore, PyTuple::new(py, [self.policy.document().to_string()])?))
    }

    fn __repr__(&self) -> String {
        let active = if self.policy.is_active() { "True" } else { "False" };
        format!(
            "GuardRailPolicyConfig(policy_name='{}', policy_version='{}', active={active})",
            self.policy.name(),
            self.policy.version(),
        )
    }
}
