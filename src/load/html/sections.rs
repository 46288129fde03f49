//! A page the way GraphBit 0.6.8 prints it: headings, paragraphs, lists, links and tables, each kind in
//! a section of its own. What is in none of them is left out, and what is in several is repeated.

use super::page::{Node, Page};
use crate::error::Result;
use crate::load::limits::Meter;

pub(super) fn print(page: &Page, meter: &mut Meter) -> Result<String> {
    let mut printer = Printer { page, out: String::new(), meter };
    printer.head()?;
    printer.headings()?;
    printer.paragraphs()?;
    printer.lists()?;
    printer.links()?;
    printer.tables()?;
    printer.print(&["HTML parsing completed.\n"])?;
    Ok(printer.out)
}

struct Printer<'a> {
    page: &'a Page,
    out: String,
    meter: &'a mut Meter,
}

impl<'a> Printer<'a> {
    fn print(&mut self, pieces: &[&str]) -> Result<()> {
        pieces.iter().try_for_each(|piece| self.meter.push(&mut self.out, piece))
    }

    fn text(&self, node: &Node) -> &'a str {
        self.page.text(node).trim()
    }

    fn head(&mut self) -> Result<()> {
        self.print(&["HTML Document Content:\n\n"])?;
        let title = self.page.created().find(|(_, node)| node.name() == "title");
        if let Some((_, title)) = title {
            self.print(&["Title: ", self.text(title), "\n\n"])?;
        }
        let described =
            |node: &Node| node.name() == "meta" && node.attribute("name") == Some("description");
        let description = self.page.created().find(|(_, node)| described(node));
        if let Some(text) = description.and_then(|(_, node)| node.attribute("content")) {
            self.print(&["Description: ", text.trim(), "\n\n"])?;
        }
        Ok(())
    }

    fn headings(&mut self) -> Result<()> {
        for (indent, name) in ["h1", "h2", "h3", "h4", "h5", "h6"].into_iter().enumerate() {
            for (_, node) in self.page.created() {
                self.meter.step()?;
                let text = self.text(node);
                if node.name() == name && !text.is_empty() {
                    self.print(&[&"  ".repeat(indent), &name.to_uppercase(), ": ", text, "\n"])?;
                }
            }
        }
        Ok(())
    }

    fn paragraphs(&mut self) -> Result<()> {
        self.print(&["\nParagraphs:\n"])?;
        for (_, node) in self.page.created() {
            self.meter.step()?;
            if node.name() == "p" && !self.text(node).is_empty() {
                self.print(&["  ", self.text(node), "\n\n"])?;
            }
        }
        Ok(())
    }

    fn lists(&mut self) -> Result<()> {
        self.print(&["Lists:\n"])?;
        for (number, node) in self.page.created() {
            self.meter.step()?;
            let ordered = node.name() == "ol";
            if !ordered && node.name() != "ul" {
                continue;
            }
            self.print(&[if ordered { "  Ordered List:\n" } else { "  Unordered List:\n" }])?;
            let mut items = 0_usize;
            for (_, item) in self.page.inside(number) {
                self.meter.step()?;
                if item.name() != "li" {
                    continue;
                }
                items = items.saturating_add(1);
                let text = self.text(item);
                if !text.is_empty() {
                    let mark = if ordered { format!("{items}. ") } else { "• ".to_owned() };
                    self.print(&["    ", &mark, text, "\n"])?;
                }
            }
            self.print(&["\n"])?;
        }
        Ok(())
    }

    fn links(&mut self) -> Result<()> {
        self.print(&["Links:\n"])?;
        for (_, node) in self.page.created() {
            self.meter.step()?;
            let target = node.attribute("href").filter(|target| !target.is_empty());
            if let ("a", Some(target)) = (node.name(), target)
                && !self.text(node).is_empty()
            {
                self.print(&["  ", self.text(node), " -> ", target, "\n"])?;
            }
        }
        self.print(&["\n"])
    }

    fn tables(&mut self) -> Result<()> {
        self.print(&["Tables:\n"])?;
        let mut tables = 0_usize;
        for (number, node) in self.page.created() {
            self.meter.step()?;
            if node.name() != "table" {
                continue;
            }
            tables = tables.saturating_add(1);
            self.print(&["  Table ", &tables.to_string(), ":\n"])?;
            self.cells(number, "th", "    Headers: ")?;
            let mut rows = 0_usize;
            for (number, row) in self.page.inside(number) {
                self.meter.step()?;
                if row.name() == "tr" {
                    rows = rows.saturating_add(1);
                    self.cells(number, "td", &format!("    Row {rows}: "))?;
                }
            }
            self.print(&["\n"])?;
        }
        Ok(())
    }

    /// A line of the cells inside a node that are not blank; none where there is no such cell.
    fn cells(&mut self, number: usize, name: &str, label: &str) -> Result<()> {
        let mut before = label;
        for (_, cell) in self.page.inside(number) {
            self.meter.step()?;
            if cell.name() == name && !self.text(cell).is_empty() {
                self.print(&[before, self.text(cell)])?;
                before = " | ";
            }
        }
        if before == label { Ok(()) } else { self.print(&["\n"]) }
    }
}
