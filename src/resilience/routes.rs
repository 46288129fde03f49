//! [`Routes`]: a client's models, each behind its own layers, and the way from one to the next.

use std::future::Future;
use std::sync::Arc;

use super::LOG;
use super::failover::{Failover, Order};
use super::stack::{Protection, Stack};
use crate::error::{Error, Kind, Result};

/// A model, of whatever sort, and the layers before it.
#[derive(Debug)]
pub struct Route<M: ?Sized> {
    /// Who answers.
    pub model: Arc<M>,
    /// What stands before it.
    pub stack: Arc<Stack>,
}

impl<M: ?Sized> Clone for Route<M> {
    fn clone(&self) -> Self {
        Self { model: Arc::clone(&self.model), stack: Arc::clone(&self.stack) }
    }
}

/// The models of one client, at least one. A clone shares their layers and what is known of them.
#[derive(Debug)]
pub struct Routes<M: ?Sized> {
    first: Route<M>,
    /// All of them, the first included.
    all: Arc<[Route<M>]>,
    failover: Failover,
}

impl<M: ?Sized> Clone for Routes<M> {
    fn clone(&self) -> Self {
        let Self { first, all, failover } = self;
        Self { first: first.clone(), all: Arc::clone(all), failover: failover.clone() }
    }
}

impl<M: ?Sized> Routes<M> {
    /// To one model, behind fresh layers; `name` stands in log lines.
    #[must_use]
    pub fn single(model: Arc<M>, name: &str, protection: Protection) -> Self {
        let first = Route { model, stack: Arc::new(Stack::new(name, protection)) };
        Self { all: Arc::new([first.clone()]), first, failover: Failover::single() }
    }

    /// To all that `several` lead to, asked in `order`. Their layers are shared with them.
    ///
    /// # Errors
    /// [`Kind::Validation`] for none, or weights that do not fit them.
    pub fn any_of<'a>(several: impl IntoIterator<Item = &'a Self>, order: Order) -> Result<Self>
    where
        M: 'a,
    {
        let all: Arc<[Route<M>]> =
            several.into_iter().flat_map(|routes| routes.all.iter().cloned()).collect();
        let Some(first) = all.first().cloned() else {
            return Err(Error::validation("config", None, "config must name at least one model"));
        };
        Ok(Self { failover: Failover::new(all.len(), order)?, first, all })
    }

    /// The first as they are listed.
    #[must_use]
    pub fn first(&self) -> &Route<M> {
        &self.first
    }

    /// All as they are listed.
    #[must_use]
    pub fn all(&self) -> &[Route<M>] {
        &self.all
    }

    /// What `attempt` brings from the first of them that has an answer.
    ///
    /// # Errors
    /// The error of a request that all would refuse; else the last one's, an open breaker aside.
    pub async fn ask<T, F>(&self, attempt: impl Fn(Route<M>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        // In a box: a call is large, and each future around it would hold it once more.
        if self.all.len() == 1 {
            return Box::pin(attempt(self.first.clone())).await;
        }
        let mut failed: Option<(Error, &Route<M>)> = None;
        for position in self.failover.sequence() {
            let Some(route) = self.all.get(position) else { continue };
            if let Some((error, from)) = &failed {
                let (from, to) = (from.stack.name(), route.stack.name());
                let (kind, status) = (error.kind().as_str(), error.status());
                tracing::info!(target: LOG, from, to, kind, status, "moving on to the next model");
            }
            let error = match Box::pin(attempt(route.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !self.failover.moves_on(position, &error) {
                return Err(error);
            }
            // That a breaker is open says less than what somebody else answered.
            failed = match failed {
                Some((before, _)) if error.kind() == Kind::CircuitOpen => Some((before, route)),
                _ => Some((error, route)),
            };
        }
        Err(failed.map_or_else(|| Error::configuration("there is no model to ask"), |it| it.0))
    }
}
