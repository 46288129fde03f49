//! Looking into the collection: by id, in the order of insertion, by what the metadata say.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::QdrantVectorStore;
use super::condition::Condition;
use super::points::{METADATA, Point, PointId, SEQUENCE, sequence_of, step};
use super::wire::Call;
use crate::error::Result;
use crate::store::{Filter, StoredEntry, at_least_one};

/// Entries of one answer, with their texts.
const PAGE: usize = 1000;
/// Points of one answer, without them.
const GLIMPSES: usize = 5000;

#[derive(Deserialize)]
struct Scrolled {
    points: Vec<Point>,
    next_page_offset: Option<PointId>,
}

#[derive(Deserialize)]
struct Counted {
    count: usize,
}

impl QdrantVectorStore {
    pub(super) async fn count_meant(&self, filter: Option<&Filter>) -> Result<usize> {
        if self.shape().await?.is_none() {
            return Ok(0);
        }
        let condition = Condition::new(filter);
        if !condition.is_exact() {
            return Ok(self.meant(&condition).await?.len());
        }
        let body = json!({"filter": condition.filter, "exact": true});
        Ok(self.server()?.ask::<Counted>(Call::Count, &body).await?.count)
    }

    /// The points that a condition means which the server cannot tell alone.
    pub(super) async fn meant(&self, condition: &Condition) -> Result<Vec<PointId>> {
        let mut meant = Vec::new();
        let see = |point: Point| {
            if condition.keeps(&point.metadata()) {
                meant.push(point.id);
            }
        };
        self.each(condition, &[METADATA.to_owned()], see).await?;
        Ok(meant)
    }

    pub(super) async fn count_values_of(&self, key: &str) -> Result<usize> {
        Ok(self.different_values(key).await?.len())
    }

    pub(super) async fn values_of(&self, key: &str) -> Result<Vec<String>> {
        Ok(self.different_values(key).await?.into_iter().collect())
    }

    async fn different_values(&self, key: &str) -> Result<HashSet<String>> {
        let mut values = HashSet::new();
        if self.shape().await?.is_some() {
            let see = |mut point: Point| values.extend(point.value(key));
            self.each(&Condition::default(), &[path(key)], see).await?;
        }
        Ok(values)
    }

    /// Shows every point that the server means, in any order, with these parts of its payload.
    async fn each(
        &self,
        condition: &Condition,
        payload: &[String],
        mut see: impl FnMut(Point) + Send,
    ) -> Result<()> {
        let mut offset: Option<PointId> = None;
        loop {
            let body = json!({
                "filter": condition.filter, "limit": GLIMPSES, "offset": offset,
                "with_payload": payload, "with_vector": false,
            });
            let page: Scrolled = self.server()?.ask(Call::Scroll, &body).await?;
            page.points.into_iter().for_each(&mut see);
            offset = page.next_page_offset;
            if offset.is_none() {
                return Ok(());
            }
        }
    }

    pub(super) async fn values_at_ids(
        &self,
        ids: &[String],
        key: &str,
    ) -> Result<Vec<Option<Option<String>>>> {
        let mut found = HashMap::new();
        for mut point in self.points(ids, json!([path(key)]), GLIMPSES).await? {
            let value = point.value(key);
            found.insert(point.id, value);
        }
        Ok(ids.iter().map(|id| found.get(&PointId::of(id)).cloned()).collect())
    }

    pub(super) async fn entries_at(&self, ids: &[String]) -> Result<Vec<Option<StoredEntry>>> {
        let points = self.points(ids, json!(true), PAGE).await?;
        let found: HashMap<PointId, StoredEntry> =
            points.into_iter().map(|point| (point.id.clone(), point.into_stored())).collect();
        Ok(ids.iter().map(|id| found.get(&PointId::of(id)).cloned()).collect())
    }

    /// The sequences of those of the ids that there are.
    pub(super) async fn sequences(&self, ids: &[String]) -> Result<HashMap<PointId, u64>> {
        let points = self.points(ids, json!([SEQUENCE]), GLIMPSES).await?;
        Ok(points.into_iter().map(|point| (point.id.clone(), point.sequence())).collect())
    }

    /// The points of the ids that there are, with parts of their payload, so many of an answer.
    pub(super) async fn points(
        &self,
        ids: &[String],
        payload: Value,
        of_one: usize,
    ) -> Result<Vec<Point>> {
        let mut found = Vec::new();
        if self.shape().await?.is_none() {
            return Ok(found);
        }
        let mut seen = HashSet::with_capacity(ids.len());
        let wanted: Vec<PointId> =
            ids.iter().map(|id| PointId::of(id)).filter(|id| seen.insert(id.clone())).collect();
        for some in wanted.chunks(of_one) {
            let body = json!({"ids": some, "with_payload": payload, "with_vector": false});
            found.append(&mut self.server()?.ask(Call::Points, &body).await?);
        }
        Ok(found)
    }

    pub(super) async fn page(
        &self,
        filter: Option<&Filter>,
        mut after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEntry>> {
        at_least_one("limit", limit)?;
        let mut found = Vec::new();
        if self.shape().await?.is_none() {
            return Ok(found);
        }
        let condition = Condition::new(filter);
        // One more at the beginning, which was the last, and one at the end, which may be one of several.
        let mut size = limit.saturating_add(2).min(PAGE);
        while found.len() < limit {
            let (page, is_last) = self.in_order(&condition, after, size).await?;
            let Some(end) = page.last().map(|stored| stored.index) else {
                if is_last {
                    break;
                }
                // All of one microsecond.
                size = size.saturating_mul(2);
                continue;
            };
            found.extend(page.into_iter().filter(|stored| condition.keeps(&stored.entry.metadata)));
            after = Some(end);
            if is_last {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Entries behind an index in their order, of an answer with `size` points, and whether there are no more.
    /// Those of one sequence, which the server puts in any order, are all there or none of them is.
    async fn in_order(
        &self,
        condition: &Condition,
        after: Option<u64>,
        size: usize,
    ) -> Result<(Vec<StoredEntry>, bool)> {
        let body = json!({
            "filter": condition.filter, "limit": size, "with_payload": true, "with_vector": false,
            "order_by": {"key": SEQUENCE, "direction": "asc", "start_from": after.map(sequence_of)},
        });
        let mut points = self.server()?.ask::<Scrolled>(Call::Scroll, &body).await?.points;
        let is_last = points.len() < size;
        if !is_last {
            let cut = points.last().map(Point::sequence);
            points.retain(|point| Some(point.sequence()) != cut);
        }
        points.retain(|point| after.is_none_or(|after| point.index() > after));
        points.sort_unstable_by_key(Point::index);
        Ok((points.into_iter().map(Point::into_stored).collect(), is_last))
    }
}

fn path(key: &str) -> String {
    format!("{METADATA}.{}", step(key))
}
