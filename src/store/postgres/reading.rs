//! Looking into the table: by id, in the order of insertion, by what the metadata say.

use std::collections::HashMap;

use super::rows::{READ, entry};
use super::statement::{Statement, Value};
use super::{PgVectorStore, count_of};
use crate::error::Result;
use crate::store::{Filter, StoredEntry, at_least_one};

impl PgVectorStore {
    pub(super) async fn count_meant(&self, filter: Option<&Filter>) -> Result<usize> {
        let mut statement = Statement::default();
        let condition = statement.condition(filter);
        let table = &self.table.quoted;
        statement.push(&format!("select count(*) from {table} where {condition}"));
        self.number(statement).await
    }

    pub(super) async fn count_values_of(&self, key: &str) -> Result<usize> {
        if key.contains('\0') {
            return Ok(0);
        }
        let mut statement = Statement::default();
        let key = statement.text(key);
        let table = &self.table.quoted;
        statement.push(&format!("select count(distinct metadata->>{key}) from {table}"));
        self.number(statement).await
    }

    async fn number(&self, statement: Statement) -> Result<usize> {
        let rows = self.rows_if_any(statement).await?;
        let number = rows.first().map(|row| row.try_get::<_, i64>(0)).transpose();
        let number = number.map_err(|error| self.refused(error.into()))?;
        Ok(usize::try_from(number.unwrap_or_default()).unwrap_or_default())
    }

    pub(super) async fn values_of(&self, key: &str) -> Result<Vec<String>> {
        if key.contains('\0') {
            return Ok(Vec::new());
        }
        let mut statement = Statement::default();
        let key = statement.text(key);
        let table = &self.table.quoted;
        statement.push(&format!(
            "select distinct metadata->>{key} from {table} where metadata->>{key} is not null"
        ));
        let rows = self.rows_if_any(statement).await?;
        let values: Result<_, _> = rows.iter().map(|row| row.try_get(0)).collect();
        values.map_err(|error| self.refused(error.into()))
    }

    pub(super) async fn values_at_ids(
        &self,
        ids: &[String],
        key: &str,
    ) -> Result<Vec<Option<Option<String>>>> {
        let mut statement = Statement::default();
        let wanted = statement.bind(Value::Texts(askable(ids)));
        let key = statement.text(&key.replace('\0', "\u{fffd}"));
        let table = &self.table.quoted;
        statement
            .push(&format!("select id, metadata->>{key} from {table} where id = any({wanted})"));
        let mut found = HashMap::new();
        for row in self.rows_if_any(statement).await? {
            let pair = row.try_get::<_, String>(0).and_then(|id| Ok((id, row.try_get(1)?)));
            let (id, value) = pair.map_err(|error| self.refused(error.into()))?;
            found.insert(id, value);
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    pub(super) async fn entries_at(&self, ids: &[String]) -> Result<Vec<Option<StoredEntry>>> {
        let mut statement = Statement::default();
        let wanted = statement.bind(Value::Texts(askable(ids)));
        let table = &self.table.quoted;
        statement.push(&format!("select {READ} from {table} where id = any({wanted})"));
        let found: HashMap<String, StoredEntry> = self
            .stored(statement)
            .await?
            .into_iter()
            .map(|stored| (stored.entry.id.clone(), stored))
            .collect();
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    pub(super) async fn page(
        &self,
        filter: Option<&Filter>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEntry>> {
        at_least_one("limit", limit)?;
        let mut statement = Statement::default();
        let condition = statement.condition(filter);
        let after = after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let after = statement.bind(Value::Whole(after));
        let limit = statement.bind(Value::Whole(count_of(limit)));
        let table = &self.table.quoted;
        statement.push(&format!(
            "select {READ} from {table} where sequence > {after} and {condition} \
             order by sequence limit {limit}"
        ));
        self.stored(statement).await
    }

    async fn stored(&self, statement: Statement) -> Result<Vec<StoredEntry>> {
        let rows = self.rows_if_any(statement).await?;
        rows.iter().map(|row| entry(row).map_err(|failure| self.refused(failure))).collect()
    }
}

/// The ids that can be in the table.
fn askable(ids: &[String]) -> Vec<String> {
    ids.iter().filter(|id| !id.contains('\0')).cloned().collect()
}
