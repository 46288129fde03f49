//! A whole DOCX as Markdown: headings, lists, tables, links, notes, headers and footers.
//!
//! Headers come first, footers last, notes before the footers; each stands once. Blocks are separated by a
//! blank line. Of tracked changes the outcome is kept: what was inserted stays, what was deleted goes.
//! Within a cell paragraphs, and the rows of a table in a table, are separated by `<br>`.

use std::collections::HashMap;

use serde_json::Value;

use super::super::archive::Archive;
use super::super::elements::{Element, Elements, Item};
use super::super::extracted::Extracted;
use super::super::html::{Grid, Span};
use super::super::limits::Meter;
use super::super::relations::Relations;
use super::sheets::{Role, Sheets, note_role};
use crate::error::Result;

/// What Word allows is far less.
const MOST_COLUMNS: usize = 1000;

pub(super) fn extract(archive: &mut Archive<'_>, meter: &mut Meter) -> Result<Extracted> {
    let (main, body) = super::main_part(archive, meter)?;
    let mut sheets = Sheets::default();
    let references = sheets.relations(archive, &main, meter);
    sheets.read(&main, &references, archive, meter);
    let mut text = String::new();
    side_parts("header", &references, &mut text, &mut sheets, archive, meter)?;
    add_block(&mut text, &Writer::new(&sheets, &references).write(&body, meter)?, "\n\n");
    for notes in ["footnotes", "endnotes"] {
        side_parts(notes, &references, &mut text, &mut sheets, archive, meter)?;
    }
    side_parts("footer", &references, &mut text, &mut sheets, archive, meter)?;
    let mut extracted = Extracted { text: text.trim().to_owned(), ..Extracted::default() };
    if !sheets.damaged.is_empty() {
        sheets.damaged.sort();
        sheets.damaged.dedup();
        extracted.flags.insert("damaged_parts".to_owned(), Value::from(sheets.damaged));
    }
    Ok(extracted)
}

/// Adds what stands in the parts of one kind.
fn side_parts(
    kind: &str,
    references: &Relations,
    text: &mut String,
    sheets: &mut Sheets,
    archive: &mut Archive<'_>,
    meter: &mut Meter,
) -> Result<()> {
    for part in references.targets(kind) {
        meter.look()?;
        let inside = sheets.part(archive, &part, meter);
        let own = sheets.relations(archive, &part, meter);
        match Writer::new(sheets, &own).write(&inside, meter) {
            Ok(inside) => add_block(text, &inside, "\n\n"),
            Err(_) => sheets.damaged.push(part),
        }
    }
    // A limit that a side part ran into holds for the whole document.
    meter.look()
}

fn add_block(text: &mut String, block: &str, between: &str) {
    if block.trim().is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push_str(between);
    }
    text.push_str(block);
}

/// What an open element means for what stands in it.
enum Frame {
    Other,
    Paragraph,
    Text,
    Table,
    Row,
    Cell,
    Note(String),
    /// A link, and where in the paragraph its text starts.
    Link(Option<String>, usize),
}

#[derive(Default)]
struct Paragraph {
    text: String,
    style: Option<String>,
    role: Role,
}

/// Text on its way: the document's, or within it that of a cell.
#[derive(Default)]
struct Flow {
    text: String,
    /// Whether the last block was an item of a list, which the next item follows without a blank line.
    after_item: bool,
    /// How many columns a cell covers.
    columns: Option<usize>,
}

struct Writer<'a> {
    sheets: &'a Sheets,
    references: &'a Relations,
    frames: Vec<Frame>,
    paragraphs: Vec<Paragraph>,
    flows: Vec<Flow>,
    /// The open tables.
    tables: Vec<Grid>,
    counters: HashMap<(String, usize), u64>,
}

impl<'a> Writer<'a> {
    fn new(sheets: &'a Sheets, references: &'a Relations) -> Self {
        Self {
            sheets,
            references,
            frames: Vec::new(),
            paragraphs: Vec::new(),
            flows: vec![Flow::default()],
            tables: Vec::new(),
            counters: HashMap::new(),
        }
    }

    fn write(mut self, part: &str, meter: &mut Meter) -> Result<String> {
        let mut elements = Elements::new(part);
        loop {
            match elements.next(meter)? {
                Item::Open(element) => {
                    // Deleted text, the old state of properties, and the second telling of a drawing.
                    let skipped = match element.name() {
                        "del" | "moveFrom" | "Fallback" | "pPrChange" | "rPrChange"
                        | "tcPrChange" | "trPrChange" => true,
                        // The line between the text and its notes is a note too, of another type.
                        "footnote" | "endnote" => {
                            element.attribute("type").is_some_and(|kind| kind != "normal")
                        }
                        _ => false,
                    };
                    if skipped {
                        elements.skip(meter)?;
                    } else {
                        let frame = self.open(&element, meter)?;
                        self.frames.push(frame);
                    }
                }
                Item::Close => self.close(meter)?,
                Item::Text(piece) => {
                    if let (Some(Frame::Text), Some(paragraph)) =
                        (self.frames.last(), self.paragraphs.last_mut())
                    {
                        meter.push(&mut paragraph.text, &piece)?;
                    }
                }
                Item::End => return Ok(self.flows.pop().unwrap_or_default().text),
            }
        }
    }

    fn open(&mut self, element: &Element<'_>, meter: &mut Meter) -> Result<Frame> {
        let piece = match element.name() {
            "p" => {
                self.paragraphs.push(Paragraph::default());
                return Ok(Frame::Paragraph);
            }
            "t" => return Ok(Frame::Text),
            "tbl" => {
                self.tables.push(Grid::default());
                return Ok(Frame::Table);
            }
            "tr" => {
                if let Some(table) = self.tables.last_mut() {
                    table.row(meter)?;
                }
                return Ok(Frame::Row);
            }
            "tc" => {
                meter.cell()?;
                self.flows.push(Flow::default());
                return Ok(Frame::Cell);
            }
            "gridSpan" => {
                if let Some(cell) = self.flows.last_mut() {
                    cell.columns = number(element);
                }
                return Ok(Frame::Other);
            }
            "gridBefore" => {
                if let Some(table) = self.tables.last_mut() {
                    table.skip(number(element).unwrap_or(0));
                }
                return Ok(Frame::Other);
            }
            "footnote" | "endnote" => {
                self.flows.push(Flow::default());
                return Ok(Frame::Note(note_name(element)));
            }
            "hyperlink" => {
                let target = element.prefixed_attribute("id");
                let target = target.and_then(|id| self.references.target(&id)).map(str::to_owned);
                let anchor = || Some(format!("#{}", element.attribute("anchor")?));
                let start = self.paragraphs.last().map_or(0, |paragraph| paragraph.text.len());
                return Ok(Frame::Link(target.or_else(anchor), start));
            }
            "footnoteReference" | "endnoteReference" => format!("[^{}]", note_name(element)),
            // A tab of a run; the tabs of the properties are stops, not text.
            "tab" if element.attribute("val").is_none() => "\t".to_owned(),
            "br" | "cr" => "\n".to_owned(),
            "noBreakHyphen" => "\u{2011}".to_owned(),
            "pStyle" => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.style = element.attribute("val");
                }
                return Ok(Frame::Other);
            }
            _ => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    note_role(element, &mut paragraph.role);
                }
                return Ok(Frame::Other);
            }
        };
        if let Some(paragraph) = self.paragraphs.last_mut() {
            meter.push(&mut paragraph.text, &piece)?;
        }
        Ok(Frame::Other)
    }

    fn close(&mut self, meter: &mut Meter) -> Result<()> {
        match self.frames.pop() {
            Some(Frame::Paragraph) => {
                let paragraph = self.paragraphs.pop().unwrap_or_default();
                self.close_paragraph(paragraph, meter)?;
            }
            Some(Frame::Link(Some(target), start)) => {
                let Some(text) = self.paragraphs.last_mut().map(|last| &mut last.text) else {
                    return Ok(());
                };
                if text.get(start..).is_some_and(|shown| !shown.trim().is_empty()) {
                    text.insert(start, '[');
                    meter.push(text, "](")?;
                    meter.push(text, &target)?;
                    meter.push(text, ")")?;
                }
            }
            Some(Frame::Cell) => {
                let cell = self.flows.pop().unwrap_or_default();
                if let Some(table) = self.tables.last_mut() {
                    // A cell that goes on below stands there again, without text.
                    let columns = cell.columns.unwrap_or(1).clamp(1, MOST_COLUMNS);
                    table.cell(cell.text, Span { columns, rows: Some(1) }, meter)?;
                }
            }
            Some(Frame::Table) => {
                let grid = self.tables.pop().unwrap_or_default();
                let table = if self.in_cell() { inner_table(&grid) } else { table(&grid, meter)? };
                self.block(&table, false);
            }
            Some(Frame::Note(name)) => {
                let text = self.flows.pop().unwrap_or_default().text;
                self.block(&format!("[^{name}]: {}", text.trim()), false);
            }
            _ => {}
        }
        Ok(())
    }

    fn close_paragraph(&mut self, paragraph: Paragraph, meter: &mut Meter) -> Result<()> {
        if paragraph.text.trim().is_empty() {
            return Ok(());
        }
        let style = paragraph.style.and_then(|style| self.sheets.styles.get(&style));
        let of_style = style.cloned().unwrap_or_default();
        let role = paragraph.role;
        if let Some(level) = role.heading.or(of_style.heading) {
            let text = format!("{} {}", "#".repeat(level), paragraph.text.trim());
            self.block(&text, false);
            return Ok(());
        }
        let list = role.list.or(of_style.list).filter(|list| list != "0");
        let Some(list) = list else {
            self.block(&paragraph.text, false);
            return Ok(());
        };
        // Word has nine levels.
        let level = role.level.or(of_style.level).unwrap_or(0).min(8);
        let kind = self.sheets.level(&list, level);
        for deeper in level + 1..9 {
            self.counters.remove(&(list.clone(), deeper));
        }
        let mark = if kind.numbered {
            let counter = self.counters.entry((list, level)).or_insert(kind.start);
            let number = *counter;
            *counter = counter.saturating_add(1);
            format!("{}{number}. ", "   ".repeat(level))
        } else {
            format!("{}- ", "   ".repeat(level))
        };
        let mut text = String::new();
        meter.push(&mut text, &mark)?;
        text.push_str(&paragraph.text);
        self.block(&text, true);
        Ok(())
    }

    fn in_cell(&self) -> bool {
        self.frames.iter().any(|frame| matches!(frame, Frame::Cell))
    }

    fn block(&mut self, block: &str, item: bool) {
        let in_cell = self.in_cell();
        let Some(flow) = self.flows.last_mut() else { return };
        let between = match (in_cell, item && flow.after_item) {
            (true, _) => "<br>",
            (_, true) => "\n",
            _ => "\n\n",
        };
        add_block(&mut flow.text, block, between);
        flow.after_item = item;
    }
}

/// Notes at the foot and at the end are numbered apart.
fn note_name(element: &Element<'_>) -> String {
    let mark = if element.name().starts_with("end") { "e" } else { "" };
    format!("{mark}{}", element.attribute("id").unwrap_or_default())
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', "<br>")
}

fn number(element: &Element<'_>) -> Option<usize> {
    element.attribute("val")?.trim().parse().ok()
}

fn table(grid: &Grid, meter: &mut Meter) -> Result<String> {
    let (width, lines) = grid.lines();
    let mut text = String::new();
    for (place, line) in lines.enumerate() {
        // A short row is filled up, which costs text that the document did not.
        for place in line {
            meter.push(&mut text, "| ")?;
            text.push_str(&cell(place));
            text.push(' ');
        }
        text.push_str("|\n");
        if place == 0 {
            meter.push(&mut text, &"| --- ".repeat(width))?;
            text.push_str("|\n");
        }
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}

fn inner_table(grid: &Grid) -> String {
    let row = |row: Vec<&str>| row.iter().map(|text| text.trim()).collect::<Vec<_>>().join(", ");
    grid.texts().map(row).collect::<Vec<_>>().join("<br>")
}
