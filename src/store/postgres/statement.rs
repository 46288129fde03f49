//! Statements with their parameters, and filters as conditions of SQL.
//!
//! Values travel as parameters, always; what is written into a statement is our own text and quoted names.
//! A filter means here what [`Filter::matches`] says: a number compares with values that are numbers written out,
//! whole ones exactly and others as double precision, a text with all values by their bytes, and only a denial
//! holds for an entry without the key.

use std::fmt::Write;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::failure::Failure;
use crate::store::filter::{Filter, LONGEST_NUMBER, Node, Number, Operand, Side, Test};

/// What a placeholder stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Texts(Vec<String>),
    Vector(Vec<f32>),
    Whole(i64),
    Real(f64),
}

impl Value {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(text) => (text, Type::TEXT),
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
            Self::Vector(values) => (values, Type::FLOAT4_ARRAY),
            Self::Whole(whole) => (whole, Type::INT8),
            Self::Real(real) => (real, Type::FLOAT8),
        }
    }

    const fn cast(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Texts(_) => "text[]",
            Self::Vector(_) => "real[]::vector",
            Self::Whole(_) => "bigint",
            Self::Real(_) => "double precision",
        }
    }
}

/// A statement in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    values: Vec<Value>,
}

impl Statement {
    /// Takes a value, and returns what stands for it.
    pub(super) fn bind(&mut self, value: Value) -> String {
        let cast = value.cast();
        self.values.push(value);
        format!("${}::{cast}", self.values.len())
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        self.bind(Value::Text(text.to_owned()))
    }

    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Its rows.
    pub(super) async fn query(&self, client: &Client) -> Result<Vec<Row>, Failure> {
        let values: Vec<_> = self.values.iter().map(Value::typed).collect();
        Ok(client.query_typed(&self.sql, &values).await?)
    }

    /// How many rows it was about.
    pub(super) async fn execute(&self, client: &Client) -> Result<u64, Failure> {
        let values: Vec<_> = self.values.iter().map(Value::typed).collect();
        Ok(client.execute_typed(&self.sql, &values).await?)
    }

    /// The condition of a filter, `true` without one.
    pub(super) fn condition(&mut self, filter: Option<&Filter>) -> String {
        filter.map_or_else(|| "true".to_owned(), |filter| self.node(filter.root()))
    }

    fn node(&mut self, node: &Node) -> String {
        match node {
            Node::All(parts) => self.joined(parts, " and ", "true"),
            Node::Any(parts) => self.joined(parts, " or ", "false"),
            Node::Not(part) => format!("not {}", self.node(part)),
            // No entry has a key that the server cannot hold.
            Node::Key(key, _) if key.contains('\0') => "false".to_owned(),
            Node::Key(key, test) => {
                let key = self.text(key);
                let value = format!("(metadata->>{key})");
                format!("coalesce({}, false)", self.test(&value, test))
            }
        }
    }

    fn joined(&mut self, parts: &[Node], word: &str, none: &str) -> String {
        if parts.is_empty() {
            return none.to_owned();
        }
        let parts: Vec<String> = parts.iter().map(|part| self.node(part)).collect();
        format!("({})", parts.join(word))
    }

    fn test(&mut self, value: &str, test: &Test) -> String {
        match test {
            Test::Among { texts, numbers } => {
                let mut parts = Vec::new();
                let texts: Vec<String> =
                    texts.iter().filter(|text| !text.contains('\0')).cloned().collect();
                if !texts.is_empty() {
                    let texts = self.bind(Value::Texts(texts));
                    parts.push(format!("{value} collate \"C\" = any({texts})"));
                }
                for number in numbers {
                    parts.push(self.number(value, "=", *number));
                }
                if parts.is_empty() {
                    "false".to_owned()
                } else {
                    format!("({})", parts.join(" or "))
                }
            }
            Test::Order(side, Operand::Number(number)) => {
                self.number(value, operator(*side), *number)
            }
            Test::Order(side, Operand::Text(text)) => {
                // Up to a character that no value has, below and at most are the same.
                let (text, side) = match text.split_once('\0') {
                    Some((before, _)) => (before, side.past()),
                    None => (text.as_str(), *side),
                };
                let text = self.text(text);
                format!("{value} collate \"C\" {} {text}", operator(side))
            }
            Test::Prefix(prefix) if prefix.contains('\0') => "false".to_owned(),
            Test::Prefix(prefix) => {
                let prefix = self.text(prefix);
                format!("starts_with({value}, {prefix})")
            }
        }
    }

    /// A comparison with what `value` is as a number; not known for any other text.
    ///
    /// The innermost query tells by its form what the text is and never fails on any, the next reads it, as a
    /// decimal of any length and as the double nearest to that, and the outermost parts whole numbers, which are
    /// exact, from the others. A double is turned into a whole number by halves, since PostgreSQL would round it to
    /// 15 digits.
    fn number(&mut self, value: &str, operator: &str, number: Number) -> String {
        let compared = match number {
            Number::Whole(whole) => {
                let whole = self.text(&whole.to_string());
                format!(
                    "case when whole is not null then whole {operator} {whole}::numeric \
                     else nearest {operator} {whole}::numeric::double precision end"
                )
            }
            Number::Real(real) => {
                let real = self.bind(Value::Real(real));
                format!("coalesce(whole::double precision, nearest) {operator} {real}")
            }
        };
        let mut sql = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            sql,
            "(select {compared} from (select nearest, case \
             when digits and decimal between {LEAST} and {GREATEST} then decimal \
             when nearest = trunc(nearest) and abs(nearest) < 1e38 then \
             case when abs(nearest) < 9007199254740992 then nearest::bigint::numeric \
             else trunc(nearest / {HALF})::bigint::numeric * {HALF} \
             + ((nearest - trunc(nearest / {HALF}) * {HALF}) / 2)::bigint::numeric * 2 end \
             end as whole from (select digits, decimal, case \
             when abs(decimal) < 2.4703282292062328e-324 then 0 \
             when abs(decimal) < 1.797693134862315807e308 then decimal::double precision end as nearest \
             from (select form ~ '^[+-]?[0-9]+$' as digits, case \
             when form ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{{1,4}})?$' \
             then form::numeric end as decimal \
             from (select case when octet_length({value}) <= {LONGEST_NUMBER} then {value} end as form) \
             as formed) as read) as rounded) as parted)"
        );
        sql
    }
}

/// What a whole number of ours can be.
const LEAST: &str = "-170141183460469231731687303715884105728";
const GREATEST: &str = "170141183460469231731687303715884105727";
/// 2 to the 64th: a double below 1e38 has no more than two whole parts of this size.
const HALF: &str = "18446744073709551616";

const fn operator(side: Side) -> &'static str {
    match side {
        Side::Below => "<",
        Side::AtMost => "<=",
        Side::Above => ">",
        Side::AtLeast => ">=",
    }
}
