//! The collection: how it comes about, what it must look like, and its indexes.
//!
//! It refuses one with other vectors, and says what was found and what was wanted.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::points::{
    METADATA, NUMBERS, NUMBERS_NEXT, ORDER, ORDER_NEXT, SEQUENCE, VECTOR, WORDS, step,
};
use super::wire::{Call, Server};
use crate::error::{Error, Kind, Result};
use crate::store::Metric;

/// What is said of a collection that has to be made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    pub(super) shard_number: Option<u32>,
    pub(super) replication_factor: Option<u32>,
    pub(super) on_disk: bool,
}

/// What is known of a collection that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) dimensions: usize,
}

#[derive(Deserialize)]
struct Described {
    config: Config,
    #[serde(default)]
    payload_schema: Map<String, Value>,
}

#[derive(Deserialize)]
struct Config {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    vectors: Value,
    #[serde(default)]
    sparse_vectors: Value,
}

/// What the collection looks like; `None` when there is none.
pub(super) async fn find(server: &Server, metric: Metric) -> Result<Option<Shape>> {
    let described: Described = match server.send(Call::Describe, bytes::Bytes::new()).await {
        Ok(described) => described,
        Err(error) if error.status() == Some(404) => return Ok(None),
        Err(error) => return Err(error),
    };
    let dimensions = check(&described.config.params, metric)?;
    // Whoever made the collection may have been killed before its index.
    if !described.payload_schema.contains_key(SEQUENCE) {
        index(server, SEQUENCE, "integer").await?;
    }
    Ok(Some(Shape { dimensions }))
}

/// Makes the collection, unless somebody else does so at the same time.
pub(super) async fn create(
    server: &Server,
    metric: Metric,
    dimensions: usize,
    layout: Layout,
) -> Result<()> {
    let mut body = json!({
        "vectors": {VECTOR: {"size": dimensions, "distance": distance(metric), "on_disk": layout.on_disk}},
        "sparse_vectors": {WORDS: {"modifier": "idf"}},
    });
    if let Some(body) = body.as_object_mut() {
        let given = [
            ("shard_number", layout.shard_number),
            ("replication_factor", layout.replication_factor),
        ];
        body.extend(
            given.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!((*value)?)))),
        );
    }
    match server.ask::<Value>(Call::Create, &body).await {
        Err(error) if error.status() != Some(409) => Err(error),
        _ => Ok(()),
    }
}

/// Makes the indexes by which conditions on one key of the metadata are fast.
pub(super) async fn index_key(server: &Server, key: &str) -> Result<()> {
    let step = step(key);
    for (object, kind) in [
        (METADATA, "keyword"),
        (NUMBERS, "integer"),
        (NUMBERS_NEXT, "integer"),
        (ORDER, "integer"),
        (ORDER_NEXT, "integer"),
    ] {
        index(server, &format!("{object}.{step}"), kind).await?;
    }
    Ok(())
}

async fn index(server: &Server, field: &str, kind: &str) -> Result<()> {
    server.ask::<Value>(Call::Index, &json!({"field_name": field, "field_schema": kind})).await?;
    Ok(())
}

/// The dimensions of a collection that is ours.
fn check(params: &Params, metric: Metric) -> Result<usize> {
    let vector = params.vectors.get(VECTOR);
    let size = vector.and_then(|vector| usize::try_from(vector.get("size")?.as_u64()?).ok());
    let measured = vector.and_then(|vector| vector.get("distance")?.as_str());
    let modifier =
        params.sparse_vectors.get(WORDS).and_then(|words| words.get("modifier")?.as_str());
    let (Some(size), Some(measured), Some("idf")) = (size, measured, modifier) else {
        let text = format!(
            "the collection has the vectors {} and the sparse vectors {}; a vector '{VECTOR}' is wanted, and a \
             sparse vector '{WORDS}' with the modifier idf",
            params.vectors, params.sparse_vectors
        );
        return Err(Error::new(Kind::Store, text));
    };
    if measured != distance(metric) {
        let text = format!(
            "the collection's distance is {measured}, and that of the metric '{metric}' is {}",
            distance(metric)
        );
        return Err(Error::new(Kind::Store, text));
    }
    Ok(size)
}

const fn distance(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "Cosine",
        Metric::Dot => "Dot",
        Metric::L2 => "Euclid",
    }
}
