//! XLSX: a workbook as an archive of XML.
//!
//! Read in the order of the workbook; sheets of charts have no cells but a name. A cell without an address
//! stands behind the one before it. What stands in `v` is kept as it is when it is not the number that it
//! should be.

use std::collections::HashMap;

use super::super::archive::Archive;
use super::super::elements::{Element, Elements, Item};
use super::super::extracted::Extracted;
use super::super::limits::Meter;
use super::super::relations::Relations;
use super::dates::Shown;
use super::refused;
use super::sheet::{Book, Cell, Value};
use crate::error::Result;

pub(super) fn extract(
    archive: &mut Archive<'_>,
    full: bool,
    meter: &mut Meter,
) -> Result<Extracted> {
    let root = Relations::of("", archive, meter)?;
    let workbook = root.of_kind("officeDocument").unwrap_or("xl/workbook.xml").to_owned();
    let relations = Relations::of(&workbook, archive, meter)?;
    let Some(text) = archive.text(&workbook, meter)? else {
        return Err(refused(format!("the archive holds no {workbook}")));
    };
    let mut book = Book::default();
    let sheets = sheets(&text, &mut book, meter)?;
    if let Some(part) = relations.of_kind("sharedStrings") {
        let text = archive.text(part, meter)?.unwrap_or_default();
        book.shared = shared_strings(&text, full, meter)?;
    }
    let mut styles = Vec::new();
    if let (true, Some(part)) = (full, relations.of_kind("styles")) {
        styles = formats(&archive.text(part, meter)?.unwrap_or_default(), meter)?;
    }
    for (name, id) in sheets {
        let part = relations.target(&id).map(str::to_owned);
        let text = match part {
            Some(part) => archive.text(&part, meter)?.unwrap_or_default(),
            None => String::new(),
        };
        let cells = cells(&text, full, &styles, meter)?;
        book.sheet(&name, cells, meter)?;
    }
    Ok(book.finish(full))
}

/// Name and reference of each sheet.
fn sheets(text: &str, book: &mut Book, meter: &mut Meter) -> Result<Vec<(String, String)>> {
    let mut elements = Elements::new(text);
    let mut sheets = Vec::new();
    loop {
        match elements.next(meter)? {
            Item::Open(element) if element.name() == "sheet" => {
                let name = element.attribute("name").unwrap_or_default();
                sheets.push((name, element.prefixed_attribute("id").unwrap_or_default()));
            }
            Item::Open(element) if element.name() == "workbookPr" => {
                let from_1904 = element.attribute("date1904");
                book.from_1904 = from_1904.is_some_and(|value| value == "1" || value == "true");
            }
            Item::End => return Ok(sheets),
            _ => {}
        }
    }
}

fn shared_strings(text: &str, full: bool, meter: &mut Meter) -> Result<Vec<String>> {
    let mut elements = Elements::new(text);
    let mut strings = Vec::new();
    loop {
        match elements.next(meter)? {
            Item::Open(element) if element.name() == "si" => {
                meter.cell()?;
                let text = rich_text(&mut elements, meter)?;
                strings.push(if full { unescaped(text) } else { text });
            }
            Item::End => return Ok(strings),
            _ => {}
        }
    }
}

/// The text of the open element, its runs together, without the reading aids of East Asian scripts.
fn rich_text(elements: &mut Elements<'_>, meter: &mut Meter) -> Result<String> {
    let outside = elements.depth().saturating_sub(1);
    let mut text = String::new();
    let mut of_text = None;
    while elements.depth() > outside {
        match elements.next(meter)? {
            Item::Open(element) if element.name() == "rPh" => elements.skip(meter)?,
            Item::Open(element) if element.name() == "t" => of_text = Some(elements.depth()),
            Item::Text(piece) if of_text == Some(elements.depth()) => text.push_str(&piece),
            Item::Close if of_text.is_some_and(|depth| elements.depth() < depth) => of_text = None,
            Item::End => break,
            _ => {}
        }
    }
    Ok(text)
}

/// Characters that XML cannot hold are written as `_x000D_`, which 0.6.8 shows as it stands.
fn unescaped(text: String) -> String {
    if !text.contains("_x") {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(place) = rest.find("_x") {
        let (before, found) = rest.split_at(place);
        plain.push_str(before);
        let character = found
            .get(2..7)
            .and_then(|code| code.strip_suffix('_'))
            .filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|code| u32::from_str_radix(code, 16).ok())
            .and_then(char::from_u32);
        let passed = if character.is_some() { 7 } else { 2 };
        let (mark, behind) = found.split_at(passed);
        match character {
            Some(character) => plain.push(character),
            None => plain.push_str(mark),
        }
        rest = behind;
    }
    plain.push_str(rest);
    plain
}

/// What the number of each style is shown as.
fn formats(text: &str, meter: &mut Meter) -> Result<Vec<Shown>> {
    let mut elements = Elements::new(text);
    let mut custom = HashMap::new();
    let mut styles = Vec::new();
    let mut in_cells = false;
    loop {
        let element = match elements.next(meter)? {
            Item::Open(element) => element,
            Item::End => return Ok(styles),
            _ => continue,
        };
        let number = || element.attribute("numFmtId").and_then(|number| number.parse().ok());
        match element.name() {
            "numFmt" => {
                let code = element.attribute("formatCode").unwrap_or_default();
                custom.insert(number().unwrap_or(0), Shown::of_format(&code));
            }
            "cellXfs" => in_cells = true,
            "cellStyles" | "dxfs" | "cellStyleXfs" => in_cells = false,
            "xf" if in_cells => {
                let number: u32 = number().unwrap_or(0);
                styles.push(custom.get(&number).copied().unwrap_or(Shown::built_in(number)));
            }
            _ => {}
        }
    }
}

fn cells(text: &str, full: bool, styles: &[Shown], meter: &mut Meter) -> Result<Vec<Cell>> {
    let mut elements = Elements::new(text);
    let mut cells = Vec::new();
    let (mut row, mut column) = (0_u32, 0_u32);
    loop {
        match elements.next(meter)? {
            Item::Open(element) if element.name() == "row" => {
                let number = element.attribute("r").and_then(|number| number.parse::<u32>().ok());
                row = number.map_or(row.saturating_add(1), |number| number.max(1));
                column = 0;
            }
            Item::Open(element) if element.name() == "c" => {
                let address = element.attribute("r").and_then(|address| place(&address));
                let (own_row, own_column) = address.unwrap_or((row.saturating_sub(1), column));
                column = own_column.saturating_add(1);
                if let Some(value) = value(&element, &mut elements, full, styles, meter)? {
                    meter.cell()?;
                    cells.push(Cell { row: own_row, column: own_column, value });
                }
            }
            Item::End => return Ok(cells),
            _ => {}
        }
    }
}

/// Row and column of an address such as `B12`, from zero.
fn place(address: &str) -> Option<(u32, u32)> {
    let digits = address.find(|character: char| character.is_ascii_digit())?;
    let (letters, digits) = address.split_at(digits);
    let mut column = 0_u32;
    for letter in letters.bytes() {
        let letter = letter.to_ascii_uppercase();
        let place = letter.is_ascii_uppercase().then(|| u32::from(letter - b'A') + 1)?;
        column = column.checked_mul(26)?.checked_add(place)?;
    }
    Some((digits.parse::<u32>().ok()?.checked_sub(1)?, column.checked_sub(1)?))
}

fn value(
    cell: &Element<'_>,
    elements: &mut Elements<'_>,
    full: bool,
    styles: &[Shown],
    meter: &mut Meter,
) -> Result<Option<Value>> {
    let kind = cell.attribute("t").unwrap_or_default();
    let style = cell.attribute("s").and_then(|style| style.parse::<usize>().ok());
    let outside = elements.depth().saturating_sub(1);
    let mut text: Option<String> = None;
    let mut in_value = false;
    while elements.depth() > outside {
        match elements.next(meter)? {
            Item::Open(element) => match element.name() {
                "is" => text = Some(rich_text(elements, meter)?),
                "v" => {
                    in_value = true;
                    text.get_or_insert_default();
                }
                _ => elements.skip(meter)?,
            },
            Item::Close => in_value = false,
            Item::Text(piece) if in_value => text.get_or_insert_default().push_str(&piece),
            Item::Text(_) => {}
            Item::End => break,
        }
    }
    let Some(text) = text else { return Ok(None) };
    let number = || text.trim().parse::<f64>().ok();
    Ok(match kind.as_str() {
        "s" => text.trim().parse().ok().map(Value::Shared),
        "b" => Some(Value::Truth(text.trim() != "0")),
        "e" => Some(Value::Text(error(&text).into())),
        "str" | "inlineStr" if full => Some(Value::Text(unescaped(text).into())),
        "str" | "inlineStr" | "d" => Some(Value::Text(text.into())),
        _ => Some(match number() {
            Some(number) => match style.and_then(|style| styles.get(style)) {
                None | Some(Shown::Number) => Value::Number(number),
                Some(shown) => Value::Moment(number, *shown),
            },
            None => Value::Text(text.into()),
        }),
    })
}

/// The name that 0.6.8 prints for an error value.
fn error(text: &str) -> String {
    let name = match text {
        "#DIV/0!" => "Div0",
        "#N/A" => "NA",
        "#NAME?" => "Name",
        "#NULL!" => "Null",
        "#NUM!" => "Num",
        "#REF!" => "Ref",
        "#VALUE!" => "Value",
        "#GETTING_DATA" | "#DATA!" => "GettingData",
        text => return text.to_owned(),
    };
    format!("Error({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_is_not() {
        assert_eq!(place("A1"), Some((0, 0)));
        assert_eq!(place("XFD1048576"), Some((1_048_575, 16_383)));
        for address in ["", "1", "A", "A0", "É1", "A-1", "ZZZZZZZZZ1"] {
            assert_eq!(place(address), None, "{address}");
        }
    }

    #[test]
    fn escaped_characters_come_back() {
        assert_eq!(unescaped("a_x000D_b_x0041_".into()), "a\rbA");
        assert_eq!(unescaped("a_xb_x12_x00é_".into()), "a_xb_x12_x00é_");
    }
}
