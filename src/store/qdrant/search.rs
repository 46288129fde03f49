//! Searches: by vector, by words, by both.
//!
//! The server puts equals in any order and this store in that of their insertion, so a little more is asked for
//! than is wanted: when what is wanted ends among equals, all of these are asked for, without their texts. So it is
//! with conditions that the server cannot tell alone, until enough of the entries found fulfil them.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::QdrantVectorStore;
use super::condition::Condition;
use super::points::{METADATA, Point, PointId, SEQUENCE, VECTOR, WORDS};
use super::wire::Call;
use super::words::Sparse;
use crate::error::{Error, Kind, Result};
use crate::store::candidates::{FUSED_RANKS, Found, joined};
use crate::store::distance::inverse_norm;
use crate::store::search::similarity;
use crate::store::vectors::{Packed, Precision};
use crate::store::{
    Candidate, Filter, Hit, Metric, Sought, all_finite, at_least_one, finite, same_dimensions,
};
use crate::types::Matrix;

/// Points looked through beyond those wanted, for equals and for conditions.
const MOST_LOOKED_THROUGH: usize = 1 << 17;
const GROWTH: usize = 8;
/// More than this are asked for only where there are as many.
const MANY: usize = 10_000;

/// What points are compared with.
#[derive(Serialize)]
#[serde(untagged)]
enum Probe {
    Vector(Vec<f32>),
    Words(Sparse),
}

impl Probe {
    const fn name(&self) -> &'static str {
        match self {
            Self::Vector(_) => VECTOR,
            Self::Words(_) => WORDS,
        }
    }
}

/// What is asked of a search.
struct Asked<'a> {
    limit: usize,
    condition: &'a Condition,
    ef_search: Option<usize>,
    with_vectors: bool,
}

#[derive(Deserialize)]
struct Queried {
    points: Vec<Point>,
}

/// A point on its way to a hit.
struct Ranked {
    score: f32,
    index: u64,
    point: Point,
}

impl QdrantVectorStore {
    pub(super) async fn search_one(
        &self,
        query: Vec<f32>,
        top_k: usize,
        filter: Option<&Filter>,
        ef_search: Option<usize>,
    ) -> Result<Vec<Hit>> {
        finite("query", None, &query)?;
        at_least_one("top_k", top_k)?;
        at_least_one("ef_search", ef_search)?;
        let condition = Condition::new(filter);
        self.hits(&query, top_k, &condition, ef_search).await
    }

    pub(super) async fn search_all(
        &self,
        queries: Matrix,
        top_k: usize,
        filter: Option<Filter>,
        ef_search: Option<usize>,
    ) -> Result<Vec<Vec<Hit>>> {
        all_finite("queries", &queries)?;
        at_least_one("top_k", top_k)?;
        at_least_one("ef_search", ef_search)?;
        let condition = Arc::new(Condition::new(filter.as_ref()));
        let one = |query: &[f32]| {
            let (query, condition) = (query.to_vec(), Arc::clone(&condition));
            async move { self.hits(&query, top_k, &condition, ef_search).await }
        };
        let asked: Vec<_> = queries.iter().map(one).collect();
        stream::iter(asked).buffered(self.writers).try_collect().await
    }

    async fn hits(
        &self,
        query: &[f32],
        limit: usize,
        condition: &Condition,
        ef_search: Option<usize>,
    ) -> Result<Vec<Hit>> {
        let asked = Asked { limit, condition, ef_search, with_vectors: false };
        let found = self.by_vector(query, asked).await?;
        Ok(found.into_iter().map(|found| found.hit).collect())
    }

    pub(super) async fn best_candidates(
        &self,
        sought: Sought,
        limit: usize,
        filter: Option<Filter>,
    ) -> Result<Vec<Candidate>> {
        at_least_one("limit", limit)?;
        let condition = &Condition::new(filter.as_ref());
        let asked = |limit| Asked { limit, condition, ef_search: None, with_vectors: true };
        let alone = |found: Vec<Found>| found.into_iter().map(Found::alone).collect();
        match sought {
            Sought::Vector(vector) => {
                finite("query", None, &vector)?;
                Ok(alone(self.by_vector(&vector, asked(limit)).await?))
            }
            Sought::Words(words) => Ok(alone(self.by_words(&words, asked(limit)).await?)),
            Sought::Both(vector, words) => {
                finite("query", None, &vector)?;
                let depth = limit.max(FUSED_RANKS);
                let (near, mut said) = tokio::try_join!(
                    self.by_vector(&vector, asked(depth)),
                    self.by_words(&words, asked(depth))
                )?;
                for found in &mut said {
                    found.similarity = Some(self.similarity(&vector, &found.vector));
                }
                Ok(joined([near, said], limit))
            }
        }
    }

    async fn by_vector(&self, query: &[f32], asked: Asked<'_>) -> Result<Vec<Found>> {
        let Some(shape) = self.shape().await? else { return Ok(Vec::new()) };
        same_dimensions(shape.dimensions, query.len())?;
        let probe = Probe::Vector(self.sent(query));
        let metric = self.metric;
        self.best(&probe, asked, |score| shown(metric, score)).await
    }

    /// The entries with any of the words.
    async fn by_words(&self, words: &str, asked: Asked<'_>) -> Result<Vec<Found>> {
        let words = Sparse::of_query(words);
        if words.is_empty() || self.shape().await?.is_none() {
            return Ok(Vec::new());
        }
        self.best(&Probe::Words(words), asked, |score| score).await
    }

    /// The best, best first, equals in the order they were added.
    async fn best(
        &self,
        probe: &Probe,
        asked: Asked<'_>,
        shown: impl Fn(f32) -> f32 + Send,
    ) -> Result<Vec<Found>> {
        let Asked { condition, with_vectors, .. } = asked;
        let mut limit = asked.limit;
        if limit > MANY {
            // The server makes room for as many as it is asked for.
            limit = limit.min(self.count_meant(None).await?.max(1));
        }
        // With one more than is wanted it is seen whether the last place is disputed.
        let mut size = limit.saturating_add(1);
        let mut payload = json!(true);
        let mut is_whole = true;
        loop {
            let points =
                self.query(probe, size, &asked, &payload, with_vectors && is_whole).await?;
            let is_last = points.len() < size;
            let worst = points.last().map(|point| shown(point.score));
            let ranked = |point: Point| {
                let is_meant = condition.is_exact() || condition.keeps(&point.metadata());
                let (score, index) = (shown(point.score), point.index());
                is_meant.then_some(Ranked { score, index, point })
            };
            let mut ranked: Vec<Ranked> = points.into_iter().filter_map(ranked).collect();
            ranked.sort_unstable_by(by_score_and_age);
            let is_settled = ranked.get(limit - 1).is_some_and(|last| Some(last.score) != worst);
            if is_last || is_settled || size >= MOST_LOOKED_THROUGH.max(limit) {
                if !is_last && ranked.len() < limit && !condition.is_exact() {
                    let text = format!(
                        "fewer than {limit} of the first {size} entries fulfil the condition, which Qdrant \
                         cannot tell by itself; narrow it by another one"
                    );
                    return Err(Error::new(Kind::Store, text));
                }
                ranked.truncate(limit);
                return self.whole(ranked, is_whole, with_vectors).await;
            }
            size = size.saturating_add(16).saturating_mul(GROWTH);
            size = size.min(MOST_LOOKED_THROUGH.max(limit));
            payload =
                if condition.is_exact() { json!([SEQUENCE]) } else { json!([SEQUENCE, METADATA]) };
            is_whole = false;
        }
    }

    async fn query(
        &self,
        probe: &Probe,
        size: usize,
        asked: &Asked<'_>,
        payload: &Value,
        with_vectors: bool,
    ) -> Result<Vec<Point>> {
        #[derive(Serialize)]
        struct Body<'b> {
            query: &'b Probe,
            using: &'static str,
            limit: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            filter: Option<&'b Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            params: Option<Value>,
            with_payload: &'b Value,
            with_vector: Value,
        }
        let ef_search = asked.ef_search.or(self.ef_search);
        let body = Body {
            query: probe,
            using: probe.name(),
            limit: size,
            filter: asked.condition.filter.as_ref(),
            params: ef_search.map(|ef| json!({"hnsw_ef": ef})),
            with_payload: payload,
            with_vector: if with_vectors { json!([VECTOR]) } else { json!(false) },
        };
        Ok(self.server()?.ask::<Queried>(Call::Query, &body).await?.points)
    }

    /// What was found, with what has not been asked for yet.
    async fn whole(
        &self,
        ranked: Vec<Ranked>,
        is_whole: bool,
        with_vectors: bool,
    ) -> Result<Vec<Found>> {
        let found = |score: f32, mut point: Point| {
            let vector = point.vector();
            let stored = point.into_stored();
            let hit = Hit { entry: stored.entry, score, index: stored.index };
            Found { hit, similarity: None, vector }
        };
        if is_whole {
            return Ok(ranked.into_iter().map(|one| found(one.score, one.point)).collect());
        }
        let ids: Vec<PointId> = ranked.iter().map(|one| one.point.id.clone()).collect();
        let with_vector = if with_vectors { json!([VECTOR]) } else { json!(false) };
        let body = json!({"ids": ids, "with_payload": true, "with_vector": with_vector});
        let points: Vec<Point> = self.server()?.ask(Call::Points, &body).await?;
        let mut points: HashMap<PointId, Point> =
            points.into_iter().map(|point| (point.id.clone(), point)).collect();
        // What was deleted meanwhile is not there any more.
        let one = |one: Ranked| Some(found(one.score, points.remove(&one.point.id)?));
        Ok(ranked.into_iter().filter_map(one).collect())
    }

    /// A vector as the server is to have it. Its own way of giving a cosine's vectors the length 1 leaves very
    /// short ones as they are, and very long ones overflow.
    pub(super) fn sent(&self, vector: &[f32]) -> Vec<f32> {
        if self.metric != Metric::Cosine {
            return vector.to_vec();
        }
        let scale = inverse_norm(vector);
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the result wanted")]
        let scaled = |value: &f32| (f64::from(*value) * scale) as f32;
        vector.iter().map(scaled).collect()
    }

    fn similarity(&self, query: &[f32], vector: &[f32]) -> f32 {
        let packed = Packed {
            words: bytemuck::cast_slice(vector),
            scale: 1.0,
            inverse_norm: inverse_norm(vector),
        };
        similarity(query, packed, self.metric, Precision::F32)
    }
}

fn by_score_and_age(one: &Ranked, other: &Ranked) -> Ordering {
    other.score.total_cmp(&one.score).then(one.index.cmp(&other.index))
}

/// The score that a score of the server's stands for.
fn shown(metric: Metric, score: f32) -> f32 {
    let score = match metric {
        Metric::Cosine => score.clamp(-1.0, 1.0),
        Metric::Dot => score,
        Metric::L2 => -score,
    };
    // Adding zero makes -0 and 0 the same score.
    score + 0.0
}
