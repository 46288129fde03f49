//! What every store refuses, in the same words, wherever its vectors are.
//!
//! A store asks before it writes anything down or sends anything, so that what is refused has changed nothing.
//! What only one store cannot hold is refused beside that store.

use std::collections::HashMap;

use uuid::Uuid;

use super::Entry;
use crate::error::{Error, Kind, Result};
use crate::types::Matrix;

/// Refuses 0. What is not given is left to whoever has a default for it.
pub(crate) fn at_least_one(field: &str, value: impl Into<Option<usize>>) -> Result<()> {
    if value.into() == Some(0) {
        return Err(Error::validation(field, Some("0"), "must be at least 1"));
    }
    Ok(())
}

/// Refuses 0, and more than `most`.
pub(crate) fn within(field: &str, value: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    let text = format!("must be between 1 and {most}");
    Err(Error::validation(field, Some(&value.to_string()), &text))
}

/// Refuses a vector of another length than those of a store.
pub(crate) fn same_dimensions(store: usize, given: usize) -> Result<()> {
    if store == given {
        return Ok(());
    }
    Err(Error::new(
        Kind::Store,
        format!("the store holds vectors of {store} dimensions, this one has {given}"),
    ))
}

/// Refuses vectors of no values, from which no store can learn its dimensions.
pub(super) fn some_values(dimensions: usize) -> Result<()> {
    if dimensions == 0 {
        return Err(Error::validation("vectors", None, "a vector has no values"));
    }
    Ok(())
}

/// Refuses vectors that are not one for each entry, and values that nothing can be compared with.
pub(crate) fn check_rows(vectors: &Matrix, entries: &[Entry]) -> Result<()> {
    if vectors.rows() != entries.len() {
        let text = format!("there are {} vectors; each needs one entry", vectors.rows());
        return Err(Error::validation("entries", Some(&entries.len().to_string()), &text));
    }
    all_finite("vectors", vectors)
}

/// [`finite`] for every row.
pub(crate) fn all_finite(field: &str, vectors: &Matrix) -> Result<()> {
    vectors.iter().enumerate().try_for_each(|(row, vector)| finite(field, Some(row), vector))
}

/// Refuses a vector with a value that nothing can be compared with.
pub(crate) fn finite(field: &str, row: Option<usize>, vector: &[f32]) -> Result<()> {
    // Looked at to the end: a loop that may stop early is not made of vector instructions.
    if !vector.iter().fold(false, |wrong, value| wrong | !value.is_finite()) {
        return Ok(());
    }
    match vector.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let value = vector.get(at).copied().unwrap_or(f32::NAN).to_string();
            let place = row.map_or_else(String::new, |row| format!("row {row}, "));
            let text = format!("{place}position {at} is not a finite number");
            Err(Error::validation(field, Some(&value), &text))
        }
    }
}

/// Refuses an id that comes twice. Entries without one are none of its business.
pub(super) fn distinct_ids(entries: &[Entry]) -> Result<()> {
    let mut rows = HashMap::with_capacity(entries.len());
    for (row, entry) in entries.iter().enumerate().filter(|(_, entry)| !entry.id.is_empty()) {
        if let Some(first) = rows.insert(entry.id.as_str(), row) {
            let text = format!("rows {first} and {row} carry the same id");
            return Err(Error::validation("ids", Some(&entry.id), &text));
        }
    }
    Ok(())
}

/// The entries with an id each, none of them twice: those without one get a random UUID, which is free without
/// anybody being asked.
pub(crate) fn named(mut entries: Vec<Entry>) -> Result<Vec<Entry>> {
    distinct_ids(&entries)?;
    for entry in entries.iter_mut().filter(|entry| entry.id.is_empty()) {
        entry.id = Uuid::new_v4().to_string();
    }
    Ok(entries)
}

/// What a store says that has been closed.
pub(super) fn closed() -> Error {
    Error::new(Kind::Store, "the vector store is closed")
}

/// What a server's store says that is to index what it has not made yet.
pub(super) fn nothing_to_index() -> Error {
    let text =
        "nothing has been stored yet, and the dimensions are not known: there is nothing to index";
    Error::new(Kind::Store, text)
}
