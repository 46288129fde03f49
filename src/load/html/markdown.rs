//! A page as Markdown: all of its text, once, where it stands.
//!
//! Headings, lists, quotations, listings, tables, links and the words of images keep their form; the
//! other elements only decide where lines end. Left out are scripts, styles, templates and what the head
//! of a page holds beside its title and description.

use super::grid::{Grid, Span};
use super::page::{Kind, Node, Page};
use crate::error::Result;
use crate::load::limits::Meter;

pub(super) fn print(page: &Page, keeps_blanks: bool, meter: &mut Meter) -> Result<String> {
    let mut writer = Writer::new(page, keeps_blanks, false, meter);
    let title = page.nodes().find(|(_, node)| node.name() == "title");
    if let Some((_, node)) = title.filter(|(_, node)| !page.text(node).trim().is_empty()) {
        writer.write("Title: ")?;
        writer.words(page.text(node))?;
        writer.end_line(2);
    }
    let description = page.nodes().find_map(|(_, node)| {
        let named = node.name() == "meta" && node.attribute("name") == Some("description");
        node.attribute("content").filter(|text| named && !text.trim().is_empty())
    });
    if let Some(text) = description {
        writer.write("Description: ")?;
        writer.words(text)?;
        writer.end_line(2);
    }
    writer.skipped = title.map(|(number, _)| number);
    writer.walk(0, page.nodes().count())?;
    let mut out = writer.out;
    if !out.is_empty() {
        out.push('\n');
    }
    Ok(out)
}

/// What stands at the beginning of the lines inside a list's item or a quotation.
struct Margin {
    first: String,
    rest: String,
    used: bool,
}

/// An element that is open, and what is to be done at its end.
struct Open {
    number: usize,
    end: usize,
    closing: Closing,
}

enum Closing {
    Nothing,
    /// A line ends, with so many line breaks.
    Line(usize),
    /// A line ends, and the margin with it.
    Margin(usize),
    Listing,
    Link,
}

struct Writer<'a> {
    page: &'a Page,
    keeps_blanks: bool,
    /// Everything on one line, for the cell of a table.
    inline: bool,
    /// The title, which has been printed.
    skipped: Option<usize>,
    out: String,
    open: Vec<Open>,
    margins: Vec<Margin>,
    /// Items so far in each list that is open; none where they are not counted.
    lists: Vec<Option<usize>>,
    listings: usize,
    /// Line breaks and the blank that come before the next word.
    breaks: usize,
    blank: bool,
    /// The target of the link that is open, and whether its text has begun.
    link: Option<(&'a str, bool)>,
    meter: &'a mut Meter,
}

impl<'a> Writer<'a> {
    fn new(page: &'a Page, keeps_blanks: bool, inline: bool, meter: &'a mut Meter) -> Self {
        Self {
            page,
            keeps_blanks,
            inline,
            skipped: None,
            out: String::new(),
            open: Vec::new(),
            margins: Vec::new(),
            lists: Vec::new(),
            listings: 0,
            breaks: 0,
            blank: false,
            link: None,
            meter,
        }
    }

    /// Prints the nodes from number `from` up to `to`.
    fn walk(&mut self, from: usize, to: usize) -> Result<()> {
        let mut number = from;
        while let Some(node) = self.page.node(number).filter(|_| number < to) {
            self.meter.step()?;
            self.close_until(number)?;
            let next = number.saturating_add(1);
            number = match &node.kind {
                Kind::Text => {
                    self.text(self.page.text(node))?;
                    next
                }
                Kind::Element { .. } if self.enter(number, node)? => next,
                Kind::Element { .. } => node.end,
            };
        }
        self.close_until(to)
    }

    fn close_until(&mut self, number: usize) -> Result<()> {
        while self.open.last().is_some_and(|open| open.end <= number) {
            let Some(open) = self.open.pop() else { break };
            match open.closing {
                Closing::Nothing => {}
                Closing::Line(breaks) => self.end_line(breaks),
                Closing::Margin(breaks) => {
                    self.margins.pop();
                    self.end_line(breaks);
                }
                Closing::Listing => {
                    self.listings = self.listings.saturating_sub(1);
                    self.end_line(1);
                    self.write("```")?;
                    self.end_line(2);
                }
                Closing::Link => {
                    if let Some((target, true)) = self.link.take() {
                        self.blank = false;
                        self.raw(&["](", target, ")"])?;
                    }
                }
            }
            let node = self.page.node(open.number);
            if node.is_some_and(|node| matches!(node.name(), "ul" | "ol" | "menu")) {
                self.lists.pop();
            }
        }
        Ok(())
    }

    /// Whether what is inside is to be printed.
    fn enter(&mut self, number: usize, node: &'a Node) -> Result<bool> {
        let mut closing = Closing::Nothing;
        match node.name() {
            "head" | "script" | "style" | "template" => return Ok(false),
            "title" if self.skipped == Some(number) => return Ok(false),
            "br" => {
                self.breaks = self.breaks.saturating_add(1).min(2);
                self.blank = false;
            }
            "hr" => {
                self.end_line(2);
                self.write("---")?;
                self.end_line(2);
            }
            "img" => self.image(node)?,
            "a" if self.link.is_none() => {
                let target = node.attribute("href").map(str::trim);
                if let Some(target) = target.filter(|target| !target.is_empty()) {
                    self.link = Some((target, false));
                    closing = Closing::Link;
                }
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if !self.page.text(node).trim().is_empty() => {
                self.end_line(2);
                let level = node.name().trim_start_matches('h').parse().unwrap_or(1);
                self.write(&"#".repeat(level))?;
                self.blank = true;
                closing = Closing::Line(2);
            }
            "ul" | "ol" | "menu" => {
                let outermost = self.lists.is_empty();
                let start = node.attribute("start").and_then(|start| start.trim().parse().ok());
                let start: usize = start.unwrap_or(1);
                self.lists.push((node.name() == "ol").then(|| start.saturating_sub(1)));
                let breaks = if outermost { 2 } else { 1 };
                self.end_line(breaks);
                closing = Closing::Line(breaks);
            }
            "li" => {
                let mark = match self.lists.last_mut() {
                    Some(Some(count)) => {
                        *count = count.saturating_add(1);
                        format!("{count}. ")
                    }
                    _ => "- ".to_owned(),
                };
                let rest = " ".repeat(mark.len());
                self.margin(mark, rest, 1);
                closing = Closing::Margin(1);
            }
            "dd" => {
                self.margin(": ".to_owned(), "  ".to_owned(), 1);
                closing = Closing::Margin(1);
            }
            "blockquote" => {
                self.margin("> ".to_owned(), "> ".to_owned(), 2);
                closing = Closing::Margin(2);
            }
            "pre" | "listing" | "xmp" if !self.inline => {
                self.end_line(2);
                self.write("```")?;
                self.end_line(1);
                self.listings = self.listings.saturating_add(1);
                closing = Closing::Listing;
            }
            "table" if !self.inline && self.is_plain_table(number) => {
                self.table(number)?;
                return Ok(false);
            }
            name => {
                if let Some(breaks) = line_breaks(name) {
                    self.end_line(breaks);
                    closing = Closing::Line(breaks);
                }
            }
        }
        self.open.push(Open { number, end: node.end, closing });
        Ok(true)
    }

    fn margin(&mut self, first: String, rest: String, breaks: usize) {
        self.end_line(breaks);
        if self.inline {
            (self.margins).push(Margin { first: String::new(), rest: String::new(), used: true });
        } else {
            self.margins.push(Margin { first, rest, used: false });
        }
    }

    fn image(&mut self, node: &Node) -> Result<()> {
        let words = node.attribute("alt").unwrap_or_default().trim();
        if words.is_empty() {
            return Ok(());
        }
        match node.attribute("src").map(str::trim).filter(|source| !source.is_empty()) {
            Some(source) => {
                self.write("![")?;
                self.raw(&[words, "](", source, ")"])
            }
            None => self.words(words),
        }
    }

    fn text(&mut self, text: &str) -> Result<()> {
        if self.inline || (self.listings == 0 && !self.keeps_blanks) {
            return self.words(text);
        }
        for line in text.split_inclusive('\n') {
            let words = line.trim_end_matches(['\n', '\r']);
            if !words.is_empty() {
                self.write(words)?;
            }
            // Only the end of the page, not the text, decides about blank lines at its end.
            if words.len() < line.len() {
                self.breaks = self.breaks.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Text with each run of white space as one blank.
    fn words(&mut self, text: &str) -> Result<()> {
        let space = |letter: char| matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{c}');
        for (index, word) in text.split(space).enumerate() {
            self.meter.step()?;
            self.blank |= index > 0;
            if !word.is_empty() {
                self.write(word)?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self, breaks: usize) {
        // Right behind the mark of an item the line has not begun.
        if self.margins.last().is_none_or(|margin| margin.used) {
            self.breaks = self.breaks.max(breaks);
        }
        self.blank = false;
    }

    /// Prints a piece of a line, after what was left to come before it.
    fn write(&mut self, piece: &str) -> Result<()> {
        if self.inline {
            self.blank |= self.breaks > 0;
            self.breaks = 0;
        }
        let starts = self.out.is_empty();
        let breaks = if starts { 0 } else { std::mem::take(&mut self.breaks) };
        self.breaks = 0;
        for number in 0..breaks {
            self.raw(&["\n"])?;
            // A quotation goes on in the line between two paragraphs.
            if number.saturating_add(1) < breaks {
                self.begin_line(true)?;
            }
        }
        if breaks > 0 || starts {
            self.begin_line(false)?;
        } else if self.blank {
            self.raw(&[" "])?;
        }
        self.blank = false;
        if let Some((_, begun)) = &mut self.link
            && !std::mem::replace(begun, true)
        {
            self.raw(&["["])?;
        }
        self.raw(&[piece])
    }

    /// Prints the margins. An empty line has only those that go on through it.
    fn begin_line(&mut self, empty: bool) -> Result<()> {
        let mut line = String::new();
        for margin in &mut self.margins {
            if empty && !margin.used {
                break;
            }
            line.push_str(if margin.used { &margin.rest } else { &margin.first });
            margin.used = true;
        }
        self.raw(&[if empty { line.trim_end() } else { &line }])
    }

    fn raw(&mut self, pieces: &[&str]) -> Result<()> {
        pieces.iter().try_for_each(|piece| self.meter.push(&mut self.out, piece))
    }

    /// Whether a table holds no other one: those are there for the layout of a page.
    fn is_plain_table(&self, number: usize) -> bool {
        self.page.inside(number).all(|(_, node)| node.name() != "table")
    }

    fn table(&mut self, number: usize) -> Result<()> {
        self.end_line(2);
        let page = self.page;
        for (caption, node) in page.inside(number).filter(|(_, node)| node.name() == "caption") {
            self.walk(caption, node.end)?;
            self.end_line(2);
        }
        let mut grid = Grid::default();
        for (number, node) in page.inside(number) {
            match node.name() {
                "thead" | "tbody" | "tfoot" => grid.group(),
                "tr" => grid.row(self.meter)?,
                "td" | "th" => {
                    self.meter.cell()?;
                    let mut cell = Writer::new(page, false, true, self.meter);
                    cell.walk(number.saturating_add(1), node.end)?;
                    let text = cell.out.replace('|', "\\|");
                    let span = Span::written(node.attribute("colspan"), node.attribute("rowspan"));
                    grid.cell(text, span, self.meter)?;
                }
                _ => {}
            }
        }
        grid.drop_blank_rows();
        let (columns, lines) = grid.lines();
        for (index, line) in lines.enumerate() {
            self.write("|")?;
            for cell in line {
                self.raw(&[" ", cell, " |"])?;
            }
            self.end_line(1);
            if index == 0 {
                self.write("|")?;
                (0..columns).try_for_each(|_| self.raw(&[" --- |"]))?;
                self.end_line(1);
            }
        }
        self.end_line(2);
        Ok(())
    }
}

/// How many line breaks separate an element from its neighbours; none for one within a line.
fn line_breaks(name: &str) -> Option<usize> {
    Some(match name {
        "address" | "article" | "aside" | "body" | "center" | "details" | "dialog" | "dir"
        | "div" | "dl" | "fieldset" | "figcaption" | "figure" | "footer" | "form" | "header"
        | "hgroup" | "html" | "main" | "nav" | "p" | "search" | "section" | "summary" | "table"
        | "caption" => 2,
        "dt" | "legend" | "optgroup" | "option" | "select" | "tr" | "td" | "th" | "textarea" => 1,
        _ => return None,
    })
}
