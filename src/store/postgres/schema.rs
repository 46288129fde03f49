//! The table: its names, how it comes about, what it must look like, and its indexes.
//!
//! Names are quoted and never come from values. It refuses a table that lacks a column, and creates nothing twice
//! however many processes begin at once: they take turns.

use std::fmt;
use std::str::FromStr;

use tokio_postgres::Client;

use super::failure::Failure;
use super::statement::Statement;
use crate::error::{Error, Kind, Result};
use crate::store::Metric;

/// Bytes of a name at most; PostgreSQL would cut a longer one.
const LONGEST_NAME: usize = 63;
/// What all that create something queue for: "gbpg".
const TURN: i64 = 0x6762_7067;
/// The columns and the types they must have, those of `embedding` without the dimensions.
const COLUMNS: [(&str, &str); 5] = [
    ("id", "text"),
    ("text", "text"),
    ("metadata", "jsonb"),
    ("embedding", "vector"),
    ("sequence", "bigint"),
];

/// A table's name, as it is written into statements.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// As it was given.
    pub(super) name: String,
    /// With its schema, if one was given, quoted.
    pub(super) quoted: String,
    schema: Option<String>,
    bare: String,
}

impl FromStr for Table {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (schema, bare) = match name.split_once('.') {
            Some((schema, bare)) => (Some(schema), bare),
            None => (None, name),
        };
        let fits =
            |part: &str| (1..=LONGEST_NAME).contains(&part.len()) && !part.contains(['\0', '.']);
        if !fits(bare) || !schema.is_none_or(fits) {
            let text = "must be a name of 1 to 63 bytes, or a schema's and a table's, as in 'app.documents'";
            return Err(Error::validation("table", Some(name), text));
        }
        let quoted = match schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(bare)),
            None => quote(bare),
        };
        let (schema, bare) = (schema.map(str::to_owned), bare.to_owned());
        Ok(Self { name: name.to_owned(), quoted, schema, bare })
    }
}

impl Table {
    /// A name for an index, quoted, and with the schema where it is looked for.
    fn index(&self, ending: &str) -> (String, String) {
        let room = LONGEST_NAME.saturating_sub(ending.len());
        let bare = crate::error::shortened(self.bare.clone(), room, "");
        let name = quote(&format!("{bare}{ending}"));
        let full = match &self.schema {
            Some(schema) => format!("{}.{name}", quote(schema)),
            None => name.clone(),
        };
        (name, full)
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What is known of a table that is there.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) dimensions: Option<usize>,
    /// What gives the numbers of new rows.
    pub(super) counter: String,
    /// Whether an index is followed until there are enough rows that a condition takes: since pgvector 0.8.
    pub(super) iterates: bool,
}

/// Looks the table up; `None` when there is none.
pub(super) async fn find(client: &Client, table: &Table) -> Result<Option<Shape>, Failure> {
    let mut statement = Statement::default();
    let name = statement.text(&table.quoted);
    statement.push(&format!(
        "select attname::text, format_type(atttypid, null), atttypmod, \
         pg_get_serial_sequence({name}, 'sequence') from pg_attribute \
         where attrelid = to_regclass({name}) and attnum > 0 and not attisdropped \
         and attname in ('id', 'text', 'metadata', 'embedding', 'sequence')"
    ));
    // `to_regclass` is null for a table that there is not; the sequence's name would be an error.
    let mut there = Statement::default();
    let name = there.text(&table.quoted);
    there.push(&format!(
        "select extversion from pg_extension where extname = 'vector' \
         and to_regclass({name}) is not null"
    ));
    let there = there.query(client).await?;
    let Some(version) = there.first() else { return Ok(None) };
    let version: String = version.try_get(0)?;
    let rows = statement.query(client).await?;
    let (mut dimensions, mut counter) = (None, None);
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        counter = row.try_get(3)?;
        if name == "embedding" {
            dimensions = usize::try_from(row.try_get::<_, i32>(2)?).ok().filter(|it| *it > 0);
        }
        columns.push((name, kind));
    }
    let missing = COLUMNS.iter().find(|(name, kind)| {
        // A type outside the search path is shown with its schema.
        let fits = |found: &str| found == *kind || found.ends_with(&format!(".{kind}"));
        !columns.iter().any(|(column, found)| column == name && fits(found))
    });
    if let Some((name, kind)) = missing {
        let text = format!("the table {} has no column \"{name}\" of type {kind}", table.quoted);
        return Err(Error::new(Kind::Store, text).into());
    }
    let counter = counter.ok_or_else(|| {
        let text = format!("the column \"sequence\" of {} counts nothing", table.quoted);
        Error::new(Kind::Store, text)
    })?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let iterates = (parts.next(), parts.next()) >= (Some(0), Some(8));
    Ok(Some(Shape { dimensions, counter, iterates }))
}

/// Creates what is missing. With the table's dimensions, if there is to be one.
pub(super) async fn create(
    client: &Client,
    table: &Table,
    metric: Metric,
    dimensions: Option<usize>,
) -> Result<(), Failure> {
    let mut sql = format!(
        "begin; select pg_advisory_xact_lock({TURN}); create extension if not exists vector;"
    );
    if let Some(dimensions) = dimensions {
        let quoted = &table.quoted;
        // By bytes: the order of identifiers, in which rows are locked, must not hang on a language.
        sql.push_str(&format!(
            "create table if not exists {quoted} (id text collate \"C\" primary key, \
             text text not null, metadata jsonb not null, embedding vector({dimensions}) not null, \
             sequence bigint generated by default as identity (minvalue 0 start with 0));"
        ));
        let (name, _) = table.index("_sequence");
        sql.push_str(&format!("create index if not exists {name} on {quoted} (sequence);"));
        if metric == Metric::Cosine {
            // Zeros are alike to nothing and no distance says so; a search finds them here.
            let (name, _) = table.index("_zeros");
            sql.push_str(&format!(
                "create index if not exists {name} on {quoted} (sequence) \
                 where vector_norm(embedding) = 0;"
            ));
        }
    }
    sql.push_str("commit");
    Ok(client.batch_execute(&sql).await?)
}

/// An index over a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// A graph of near neighbours: searches by vector look at some rows instead of all and may miss some of the
    /// best. `m` neighbours a row (2 to 100, the server's default is 16), `ef_construction` candidates while
    /// it is built (4 to 1000, at least twice `m`; default 64).
    Hnsw {
        /// Neighbours a row.
        m: Option<u32>,
        /// Candidates while it is built.
        ef_construction: Option<u32>,
    },
    /// The words of the texts, for searches by words.
    Words,
}

impl IndexKind {
    /// Refuses numbers that the server would refuse after having waited for a lock.
    pub(super) fn check(self) -> Result<()> {
        let Self::Hnsw { m, ef_construction } = self else { return Ok(()) };
        for (field, value, range) in
            [("m", m, 2..=100), ("ef_construction", ef_construction, 4..=1000)]
        {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let text = format!("must be between {} and {}", range.start(), range.end());
                return Err(Error::validation(field, Some(&value.to_string()), &text));
            }
        }
        let (m, ef) = (m.unwrap_or(16), ef_construction.unwrap_or(64));
        if ef < m.saturating_mul(2) {
            let text = format!("must be at least twice m, which is {m}");
            return Err(Error::validation("ef_construction", Some(&ef.to_string()), &text));
        }
        Ok(())
    }

    /// Makes it, while others go on reading and writing.
    pub(super) async fn create(
        self,
        client: &Client,
        table: &Table,
        metric: Metric,
    ) -> Result<(), Failure> {
        let (ending, what) = match self {
            Self::Hnsw { m, ef_construction } => {
                let class = match metric {
                    Metric::Cosine => "vector_cosine_ops",
                    Metric::Dot => "vector_ip_ops",
                    Metric::L2 => "vector_l2_ops",
                };
                let given = [("m", m), ("ef_construction", ef_construction)];
                let given = given.iter().filter_map(|(name, value)| Some((name, (*value)?)));
                let given: Vec<String> =
                    given.map(|(name, value)| format!("{name} = {value}")).collect();
                let with = match given.is_empty() {
                    true => String::new(),
                    false => format!(" with ({})", given.join(", ")),
                };
                (format!("_hnsw_{metric}"), format!("using hnsw (embedding {class}){with}"))
            }
            Self::Words => ("_words".to_owned(), format!("using gin ({WORDS})")),
        };
        let (name, full) = table.index(&ending);
        // What an attempt that was broken off has left behind is there, and no use to anybody.
        let mut broken = Statement::default();
        let full_name = broken.text(&full);
        broken.push(&format!(
            "select true from pg_index where indexrelid = to_regclass({full_name}) and not indisvalid"
        ));
        if !broken.query(client).await?.is_empty() {
            client.batch_execute(&format!("drop index concurrently if exists {full}")).await?;
        }
        client.batch_execute("set statement_timeout = 0").await?;
        let sql =
            format!("create index concurrently if not exists {name} on {} {what}", table.quoted);
        Ok(client.batch_execute(&sql).await?)
    }
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hnsw { .. } => "hnsw",
            Self::Words => "words",
        })
    }
}

/// The words of a row's text. What stands far behind the beginning of an enormous one is left out: the server
/// refuses lists of words above 1 MB, and with them the search.
pub(super) const WORDS: &str = "to_tsvector('simple', left(text, 100000))";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_nothing_else_gets_into_a_statement() {
        let table: Table = "my \"x\"; drop table y".parse().unwrap();
        assert_eq!(table.quoted, "\"my \"\"x\"\"; drop table y\"");
        assert_eq!("app.documents".parse::<Table>().unwrap().quoted, "\"app\".\"documents\"");
        for wrong in ["", ".", "a.", ".b", "a.b.c", "a\0b", &"x".repeat(64)] {
            assert!(wrong.parse::<Table>().is_err(), "{wrong:?}");
        }
        let (name, full) =
            format!("s.{}", "\u{e9}".repeat(31)).parse::<Table>().unwrap().index("_words");
        assert!(name.len() <= LONGEST_NAME + 2 && full.starts_with("\"s\".\""), "{full}");
    }

    #[test]
    fn numbers_of_an_index_are_checked() {
        let hnsw = |m, ef_construction| IndexKind::Hnsw { m, ef_construction }.check();
        assert!(hnsw(None, None).is_ok() && hnsw(Some(16), Some(32)).is_ok());
        for (m, ef) in [(Some(1), None), (None, Some(1001)), (Some(40), None), (Some(16), Some(31))]
        {
            assert!(hnsw(m, ef).is_err(), "{m:?} {ef:?}");
        }
    }
}
