//! Changes: a batch goes by COPY into a table of the connection's own, and from there, in one transaction, into
//! the place of what it replaces.
//!
//! Rows are locked and inserted in the order of their ids, so that two that write the same documents wait for each
//! other rather than lock each other up; the numbers of the rows follow the order they were given in. The same
//! change made twice leaves what it left the first time, which is why it may be tried again.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{FutureExt, SinkExt};
use tokio_postgres::Client;

use super::failure::Failure;
use super::rows::{self, Copy, SENT};
use super::schema::Shape;
use super::statement::{Statement, Value};
use super::{PgVectorStore, count_of};
use crate::error::Result;
use crate::store::checks::{distinct_ids, some_values};
use crate::store::{Entry, Filter, check_rows, same_dimensions};
use crate::types::Matrix;

/// The table that a batch arrives in. It is the connection's own and empties itself.
const STAGING: &str = "begin; create temp table if not exists graphbit_staging (place bigint, \
    id text collate \"C\", text text, metadata jsonb, embedding vector) on commit delete rows";

/// A change, checked, and the same however often it is made.
struct Change {
    /// Sorted, and none of them among the entries.
    stale: Vec<String>,
    vectors: Matrix,
    entries: Vec<Entry>,
}

impl PgVectorStore {
    /// See [`crate::store::VectorStore::replace`].
    pub(super) async fn replace_all(
        &self,
        stale: Vec<String>,
        vectors: Matrix,
        entries: Vec<Entry>,
    ) -> Result<Vec<String>> {
        check_rows(&vectors, &entries)?;
        rows::check(&entries)?;
        if stale.is_empty() && entries.is_empty() {
            return Ok(Vec::new());
        }
        let shape = if entries.is_empty() {
            let Some(shape) = self.shape().await? else { return Ok(Vec::new()) };
            shape
        } else {
            some_values(vectors.dimensions())?;
            let shape = self.shape_for(vectors.dimensions()).await?;
            if let Some(known) = shape.dimensions {
                same_dimensions(known, vectors.dimensions())?;
            }
            shape
        };
        let entries = self.named(entries, &shape).await?;
        let given: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let mut stale: Vec<String> = stale
            .into_iter()
            .filter(|id| !given.contains(id.as_str()) && !id.contains('\0'))
            .collect();
        stale.sort_unstable();
        let ids = entries.iter().map(|entry| entry.id.clone()).collect();
        let change = Arc::new(Change { stale, vectors, entries });
        let table = self.table.quoted.clone();
        self.pool()?
            .run(move |client: &mut Client| {
                let (change, shape, table) = (Arc::clone(&change), shape.clone(), table.clone());
                async move { change.make(client, &table, &shape).await }.boxed()
            })
            .await?;
        Ok(ids)
    }

    /// The entries with an id each: those without one get free numbers.
    async fn named(&self, mut entries: Vec<Entry>, shape: &Shape) -> Result<Vec<Entry>> {
        distinct_ids(&entries)?;
        let mut taken: HashSet<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        let mut nameless: Vec<usize> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.id.is_empty())
            .map(|(row, _)| row)
            .collect();
        nameless.reverse();
        while !nameless.is_empty() {
            let mut statement = Statement::default();
            let count = statement.bind(Value::Whole(count_of(nameless.len())));
            let counter = statement.text(&shape.counter);
            let table = &self.table.quoted;
            statement.push(&format!(
                "select number::text from (select nextval({counter}::regclass) as number \
                 from generate_series(1, {count})) as fresh \
                 where not exists (select from {table} where id = number::text) order by number"
            ));
            for row in self.rows(statement).await? {
                let id: String = row.try_get(0).map_err(|error| self.refused(error.into()))?;
                if !taken.insert(id.clone()) {
                    continue;
                }
                let Some(place) = nameless.pop() else { break };
                if let Some(entry) = entries.get_mut(place) {
                    entry.id = id;
                }
            }
        }
        Ok(entries)
    }

    pub(super) async fn delete_ids(&self, mut ids: Vec<String>) -> Result<usize> {
        ids.retain(|id| !id.contains('\0'));
        let mut statement = Statement::default();
        let ids = statement.bind(Value::Texts(ids));
        self.delete(statement, &format!("id = any({ids})")).await
    }

    pub(super) async fn delete_meant(&self, filter: &Filter) -> Result<usize> {
        let mut statement = Statement::default();
        let condition = statement.condition(Some(filter));
        self.delete(statement, &condition).await
    }

    async fn delete(&self, mut statement: Statement, condition: &str) -> Result<usize> {
        if self.shape().await?.is_none() {
            return Ok(0);
        }
        statement.push(&deletion(&self.table.quoted, condition));
        let pool = self.pool()?;
        let statement = Arc::new(statement);
        let deleted = pool
            .run_once(move |client: &mut Client| {
                let statement = Arc::clone(&statement);
                async move { statement.execute(client).await }.boxed()
            })
            .await?;
        Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
    }
}

/// Deletes in the order in which everybody locks.
fn deletion(table: &str, condition: &str) -> String {
    format!(
        "with gone as materialized (select id from {table} where {condition} order by id for update) \
         delete from {table} using gone where {table}.id = gone.id"
    )
}

impl Change {
    async fn make(&self, client: &Client, table: &str, shape: &Shape) -> Result<(), Failure> {
        if self.entries.is_empty() {
            self.remove_stale(client, table).await?;
            return Ok(());
        }
        client.batch_execute(STAGING).await?;
        let sql = format!("copy graphbit_staging ({SENT}) from stdin (format binary)");
        let mut sink = pin!(client.copy_in(&sql).await?);
        let mut copy = Copy::new(&self.entries, &self.vectors);
        while let Some(piece) = copy.piece()? {
            sink.send(piece).await?;
        }
        sink.finish().await?;
        if !self.stale.is_empty() {
            self.remove_stale(client, table).await?;
        }
        let mut statement = Statement::default();
        let counter = statement.text(&shape.counter);
        statement.push(&format!(
            "insert into {table} (id, text, metadata, embedding, sequence) \
             select id, text, metadata, embedding, number from (\
             select ordered.*, nextval({counter}::regclass) as number from (\
             select * from graphbit_staging order by place) as ordered offset 0) as numbered order by id \
             on conflict (id) do update set text = excluded.text, metadata = excluded.metadata, \
             embedding = excluded.embedding"
        ));
        statement.execute(client).await?;
        client.batch_execute("commit").await?;
        Ok(())
    }

    async fn remove_stale(&self, client: &Client, table: &str) -> Result<(), Failure> {
        let mut statement = Statement::default();
        let ids = statement.bind(Value::Texts(self.stale.clone()));
        statement.push(&deletion(table, &format!("id = any({ids})")));
        statement.execute(client).await?;
        Ok(())
    }
}
