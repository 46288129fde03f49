//! Searches: by vector, by words, by both.
//!
//! Without an index every row is compared with, as the store of this process does; with one of
//! [`super::IndexKind::Hnsw`] the server looks at some. Words are those of PostgreSQL's `simple` configuration,
//! and ranked by its `ts_rank`, which knows nothing of how rare a word is and is not BM25.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio_postgres::{Client, Row};

use super::failure::Failure;
use super::rows::{READ, entry};
use super::schema::WORDS;
use super::statement::{Statement, Value};
use super::{PgVectorStore, count_of};
use crate::error::Result;
use crate::store::candidates::{FUSED_RANKS, Found, joined};
use crate::store::{
    Candidate, Filter, Hit, Metric, Sought, all_finite, at_least_one, finite, same_dimensions,
    within,
};
use crate::types::Matrix;

/// What an HNSW index looks at, unless it is told otherwise.
pub(super) const EF_SEARCH: usize = 40;
const MOST_EF_SEARCH: usize = 1000;

impl PgVectorStore {
    pub(super) async fn search_one(
        &self,
        query: Vec<f32>,
        top_k: usize,
        filter: Option<&Filter>,
        ef_search: Option<usize>,
    ) -> Result<Vec<Hit>> {
        finite("query", None, &query)?;
        at_least_one("top_k", top_k)?;
        ef_search.map(check_ef_search).transpose()?;
        let found = self.by_vector(&query, top_k, filter, ef_search, false).await?;
        Ok(found.into_iter().map(|found| found.hit).collect())
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
        ef_search.map(check_ef_search).transpose()?;
        let one = |query: &[f32]| {
            let (query, filter) = (query.to_vec(), filter.clone());
            async move {
                let found = self.by_vector(&query, top_k, filter.as_ref(), ef_search, false);
                let found = found.await?;
                Ok(found.into_iter().map(|found| found.hit).collect())
            }
        };
        let asked: Vec<_> = queries.iter().map(one).collect();
        stream::iter(asked).buffered(self.connections).try_collect().await
    }

    pub(super) async fn best_candidates(
        &self,
        sought: Sought,
        limit: usize,
        filter: Option<Filter>,
    ) -> Result<Vec<Candidate>> {
        at_least_one("limit", limit)?;
        let filter = filter.as_ref();
        match sought {
            Sought::Vector(vector) => {
                finite("query", None, &vector)?;
                let found = self.by_vector(&vector, limit, filter, None, true).await?;
                Ok(found.into_iter().map(Found::alone).collect())
            }
            Sought::Words(words) => {
                let found = self.by_words(&words, None, limit, filter).await?;
                Ok(found.into_iter().map(Found::alone).collect())
            }
            Sought::Both(vector, words) => {
                finite("query", None, &vector)?;
                let depth = limit.max(FUSED_RANKS);
                let lists = tokio::try_join!(
                    self.by_vector(&vector, depth, filter, None, true),
                    self.by_words(&words, Some(&vector), depth, filter)
                )?;
                Ok(joined([lists.0, lists.1], limit))
            }
        }
    }

    async fn by_vector(
        &self,
        query: &[f32],
        top_k: usize,
        filter: Option<&Filter>,
        ef_search: Option<usize>,
        with_vectors: bool,
    ) -> Result<Vec<Found>> {
        let Some(shape) = self.shape().await? else { return Ok(Vec::new()) };
        shape.dimensions.map_or(Ok(()), |known| same_dimensions(known, query.len()))?;
        let mut statement = Statement::default();
        let condition = statement.condition(filter);
        let limit = statement.bind(Value::Whole(count_of(top_k)));
        let vector = statement.bind(Value::Vector(query.to_vec()));
        let distance = format!("embedding {} {vector}", operator(self.metric));
        let columns = columns(with_vectors);
        let table = &self.table.quoted;
        let nearest = format!(
            "select {columns}, {distance} as distance from {table} where {condition} \
             order by {distance}, sequence limit {limit}"
        );
        let sql = match self.metric {
            Metric::Dot | Metric::L2 => nearest,
            // Alike to nothing, and to nothing more than to anything else.
            Metric::Cosine if query.iter().all(|value| *value == 0.0) => format!(
                "select {columns}, 1::double precision as distance from {table} where {condition} \
                 order by sequence limit {limit} + 0 * coalesce(vector_dims({vector}), 0)"
            ),
            // The server's cosine with zeros is not a number; the score of theirs is 0.
            Metric::Cosine => format!(
                "select * from (({nearest}) union all (select {columns}, 1::double precision \
                 from {table} where {condition} and vector_norm(embedding) = 0 \
                 order by sequence limit {limit})) as found \
                 where distance <> 'NaN'::double precision order by distance, sequence limit {limit}"
            ),
        };
        statement.push(&sql);
        let metric = self.metric;
        let ef_search = ef_search.unwrap_or_else(|| self.ef_search());
        let ef_search = ef_search.max(top_k).min(MOST_EF_SEARCH);
        let mut settings = format!("begin; set local hnsw.ef_search = {ef_search}");
        if shape.iterates {
            settings.push_str("; set local hnsw.iterative_scan = strict_order");
        }
        let rows = self.in_transaction(settings, statement).await?;
        let found = |row: &Row| {
            let stored = entry(row)?;
            let (vector, distance) = (row.try_get(4)?, row.try_get(5)?);
            let hit =
                Hit { entry: stored.entry, score: score(metric, distance), index: stored.index };
            Ok(Found { hit, similarity: None, vector })
        };
        rows.iter().map(|row| found(row).map_err(|failure| self.refused(failure))).collect()
    }

    /// The entries with any of the words, and with a query their score by vector too.
    async fn by_words(
        &self,
        words: &str,
        query: Option<&[f32]>,
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Found>> {
        let mut statement = Statement::default();
        let condition = statement.condition(filter);
        let words = statement.text(&words.replace('\0', " "));
        let limit = statement.bind(Value::Whole(count_of(limit)));
        let distance = match query {
            Some(query) => {
                let vector = statement.bind(Value::Vector(query.to_vec()));
                format!("embedding {} {vector}", operator(self.metric))
            }
            None => "null::double precision".to_owned(),
        };
        let (columns, table) = (columns(true), &self.table.quoted);
        // Each word on its own, quoted, and any of them is enough.
        statement.push(&format!(
            "with asked as materialized (select coalesce(string_agg('''' || \
             replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | '), '')::tsquery as query \
             from unnest(to_tsvector('simple', left({words}, 100000)))) \
             select {columns}, {distance}, ts_rank({WORDS}, (select query from asked), 1) as rank \
             from {table} where {WORDS} @@ (select query from asked) and {condition} \
             order by rank desc, sequence limit {limit}"
        ));
        let metric = self.metric;
        let found = |row: &Row| {
            let stored = entry(row)?;
            let (vector, distance): (_, Option<f64>) = (row.try_get(4)?, row.try_get(5)?);
            let hit = Hit { entry: stored.entry, score: row.try_get(6)?, index: stored.index };
            Ok(Found { hit, similarity: distance.map(|it| score(metric, it)), vector })
        };
        let rows = self.rows_if_any(statement).await?;
        rows.iter().map(|row| found(row).map_err(|failure| self.refused(failure))).collect()
    }

    /// The rows of a statement with settings that end with it. The three are sent at once.
    async fn in_transaction(&self, settings: String, statement: Statement) -> Result<Vec<Row>> {
        let work = Arc::new((settings, statement));
        self.pool()?
            .run(move |client: &mut Client| {
                let work = Arc::clone(&work);
                async move {
                    let (settings, statement) = &*work;
                    let (begun, rows, ended) = tokio::join!(
                        client.batch_execute(settings),
                        statement.query(client),
                        client.batch_execute("commit")
                    );
                    begun?;
                    let rows = rows?;
                    ended?;
                    Ok::<_, Failure>(rows)
                }
                .boxed()
            })
            .await
    }
}

/// What of a row is read; the vector only where it is wanted.
fn columns(with_vectors: bool) -> String {
    let vector = if with_vectors { "embedding::real[]" } else { "'{}'::real[]" };
    format!("{READ}, {vector} as vector")
}

const fn operator(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "<=>",
        Metric::Dot => "<#>",
        Metric::L2 => "<->",
    }
}

/// The score that a distance of the server's stands for.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the result wanted")]
fn score(metric: Metric, distance: f64) -> f32 {
    let score = match metric {
        Metric::Cosine if distance.is_nan() => 0.0,
        Metric::Cosine => (1.0 - distance).clamp(-1.0, 1.0),
        Metric::Dot | Metric::L2 => -distance,
    };
    // Adding zero makes -0 and 0 the same score.
    score as f32 + 0.0
}

/// The number of candidates an HNSW index is to look at.
///
/// # Errors
/// [`crate::Kind::Validation`] when the server would refuse it.
pub(super) fn check_ef_search(ef_search: usize) -> Result<usize> {
    within("ef_search", ef_search, MOST_EF_SEARCH)?;
    Ok(ef_search)
}
