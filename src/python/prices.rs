//! `set_prices` and `get_prices`: the price table behind `LlmResponse.cost`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{exit, json};
use crate::cost::{self, Price, PriceTable};
use crate::error::Error;

const SORTS: [&str; 4] = ["input", "output", "cached_input", "cache_write"];

/// Sets prices in US dollars for a million tokens, by model, or by `provider:model`, which wins. They
/// join the table in force, or replace it whole.
#[pyfunction]
#[pyo3(signature = (prices, replace=false))]
pub(super) fn set_prices(prices: &Bound<'_, PyAny>, replace: bool) -> PyResult<()> {
    let table = exit::inside(prices.py(), || read(prices))?;
    Ok(cost::set_prices(table, replace)?)
}

fn read(prices: &Bound<'_, PyAny>) -> PyResult<PriceTable> {
    let wrong = |field: &str, text: &str| -> PyErr { Error::validation(field, None, text).into() };
    let Some(prices) = json::mapping(prices)? else {
        return Err(pyo3::exceptions::PyTypeError::new_err(format!(
            "argument 'prices': must be a mapping, not '{}'",
            json::class_of(prices)
        )));
    };
    let mut table = PriceTable::new();
    for (name, row) in prices {
        let name: String = name.extract()?;
        let field = format!("prices['{name}']");
        let Some(row) = json::mapping(&row)?.filter(|_| !name.is_empty()) else {
            return Err(wrong(&field, "must be a model's name with a mapping of prices"));
        };
        for sort in row.keys() {
            if !SORTS.contains(&sort.to_string().as_str()) {
                let text = "must be 'input', 'output', 'cached_input' or 'cache_write'";
                return Err(Error::validation(&field, Some(&sort.to_string()), text).into());
            }
        }
        let figure = |sort: &str| -> PyResult<Option<f64>> {
            let figure = row.get_item(sort)?.filter(|figure| !figure.is_none());
            figure.map(|figure| figure.extract()).transpose()
        };
        let needed = |sort: &str| -> PyResult<f64> {
            figure(sort)?.ok_or_else(|| wrong(&format!("{field}.{sort}"), "is missing"))
        };
        let price = Price {
            input: needed("input")?,
            output: needed("output")?,
            cached_input: figure("cached_input")?,
            cache_write: figure("cache_write")?,
        };
        table.insert(name, price);
    }
    Ok(table)
}

/// A copy of the table in force, in the form that `set_prices` takes.
#[pyfunction]
pub(super) fn get_prices(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let table = PyDict::new(py);
    for (name, price) in cost::prices().iter() {
        let row = PyDict::new(py);
        let figures =
            [Some(price.input), Some(price.output), price.cached_input, price.cache_write];
        for (sort, figure) in SORTS.iter().zip(figures) {
            if let Some(figure) = figure {
                row.set_item(sort, figure)?;
            }
        }
        table.set_item(name, row)?;
    }
    Ok(table)
}
