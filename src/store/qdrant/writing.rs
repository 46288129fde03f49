//! Changes: points in requests of a few megabytes, the new ones first, and then what they take the place of.
//!
//! A request is as whole as the server makes it; a change of several is not whole. Whoever is killed in between
//! leaves the old beside the new, and the same change made again puts that right: an id that is there keeps its
//! place, and what was removed is passed over.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use super::QdrantVectorStore;
use super::condition::Condition;
use super::points::{NewPoint, PointId};
use super::wire::Call;
use crate::error::{Error, Kind, Result};
use crate::store::checks::some_values;
use crate::store::{Entry, Filter, check_rows, named, same_dimensions};
use crate::types::Matrix;

/// Bytes of a request, unless one point has more. The server takes 32 MB.
const LARGEST: usize = 6 << 20;
/// Points of one.
const MOST_POINTS: usize = 1000;
/// Names of one.
const MOST_NAMES: usize = 5000;
const BEGINNING: &[u8] = br#"{"points":["#;

impl QdrantVectorStore {
    /// See [`crate::store::VectorStore::replace`]; but a change of several requests is not whole.
    pub(super) async fn replace_all(
        &self,
        stale: Vec<String>,
        vectors: Matrix,
        entries: Vec<Entry>,
    ) -> Result<Vec<String>> {
        check_rows(&vectors, &entries)?;
        if stale.is_empty() && entries.is_empty() {
            return Ok(Vec::new());
        }
        let entries = named(entries)?;
        if !entries.is_empty() {
            some_values(vectors.dimensions())?;
            let shape = self.shape_for(vectors.dimensions()).await?;
            same_dimensions(shape.dimensions, vectors.dimensions())?;
        }
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        self.store(&ids, &vectors, &entries).await?;
        let given: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let gone: Vec<String> =
            stale.into_iter().filter(|id| !given.contains(id.as_str())).collect();
        if !gone.is_empty() && self.shape().await?.is_some() {
            self.remove(&gone.iter().map(|id| PointId::of(id)).collect::<Vec<_>>()).await?;
        }
        Ok(ids)
    }

    async fn store(&self, ids: &[String], vectors: &Matrix, entries: &[Entry]) -> Result<()> {
        let known = self.sequences(ids).await?;
        let fresh = ids.iter().filter(|id| !known.contains_key(&PointId::of(id))).count();
        let mut next = self.numbers(fresh);
        let mut body = Vec::new();
        let mut points = 0;
        for (entry, vector) in entries.iter().zip(vectors.iter()) {
            let sequence = known.get(&PointId::of(&entry.id)).copied().unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            let vector = self.sent(vector);
            let point = serde_json::to_vec(&NewPoint::new(entry, &vector, sequence))
                .map_err(|cause| Error::new(Kind::Internal, cause.to_string()))?;
            if points > 0 && (points == MOST_POINTS || body.len() + point.len() > LARGEST) {
                self.upsert(std::mem::take(&mut body)).await?;
                points = 0;
            }
            body.extend_from_slice(if points == 0 { BEGINNING } else { b"," });
            body.extend_from_slice(&point);
            points += 1;
        }
        if points > 0 { self.upsert(body).await } else { Ok(()) }
    }

    async fn upsert(&self, mut body: Vec<u8>) -> Result<()> {
        body.extend_from_slice(b"]}");
        self.server()?.send::<Value>(Call::Upsert, Bytes::from(body)).await?;
        Ok(())
    }

    /// The first of so many numbers that nobody in this process has had, and that are later than what others had.
    fn numbers(&self, count: usize) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or_default();
        let count = u64::try_from(count).unwrap_or_default();
        let first = |next: u64| next.max(now);
        let taken = self.next.fetch_update(Ordering::AcqRel, Ordering::Acquire, |next| {
            Some(first(next).saturating_add(count))
        });
        // It cannot fail, since there is always a next one.
        first(taken.unwrap_or_default())
    }

    pub(super) async fn delete_ids(&self, ids: Vec<String>) -> Result<usize> {
        let there = self.points(&ids, json!(false), MOST_NAMES).await?;
        let there: Vec<PointId> = there.into_iter().map(|point| point.id).collect();
        self.remove(&there).await?;
        Ok(there.len())
    }

    pub(super) async fn delete_meant(&self, filter: &Filter) -> Result<usize> {
        if self.shape().await?.is_none() {
            return Ok(0);
        }
        let condition = Condition::new(Some(filter));
        if !condition.is_exact() {
            let meant = self.meant(&condition).await?;
            self.remove(&meant).await?;
            return Ok(meant.len());
        }
        let count = self.count_meant(Some(filter)).await?;
        if count > 0 {
            let body = json!({"filter": condition.filter});
            self.server()?.ask::<Value>(Call::Delete, &body).await?;
        }
        Ok(count)
    }

    async fn remove(&self, points: &[PointId]) -> Result<()> {
        for some in points.chunks(MOST_NAMES) {
            self.server()?.ask::<Value>(Call::Delete, &json!({"points": some})).await?;
        }
        Ok(())
    }
}
