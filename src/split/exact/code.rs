//! Seams of program code: definitions, members, statements, lines.
//!
//! The text is parsed with the grammar of its language; how deep in blocks a statement stands is the
//! rank of the seam before it. Comments and attributes right above a definition stay with it, and so
//! does the head of a block with its first statement. Text without a known grammar, and text on which
//! the parser would work too long, is cut by indentation.
//!
//! Parsing goes part by part, as far as it is asked for: it takes about twenty times the memory of its
//! text. A part ends where a top-level item is likely to.

mod grammar;
mod indentation;
mod languages;

use std::ops::Range;

use memchr::{memchr, memrchr};
use tree_sitter::{Node, Tree};

use self::grammar::parse;
use self::indentation::{FINEST, indentation};
pub(in crate::split) use self::languages::Language;
use super::super::measure::{boundary_before, slice};
use super::ranked::Ranked;
use super::seams::Seams;

/// Bytes parsed at once, if there is a good place to stop in the same number behind them.
const PART: usize = 16 * 1024;

/// Parts that may fail before the rest is not tried any more.
const MOST_FAILURES: usize = 3;

/// Syntax nodes deeper than this are not looked at.
const DEEPEST_NODE: usize = 2000;

/// Nodes that hold a sequence of statements, members or entries, in any of the grammars.
const BLOCKS: [&str; 33] = [
    "annotation_type_body",
    "array",
    "block",
    "class_body",
    "compound_statement",
    "constructor_body",
    "declaration_list",
    "dictionary",
    "enum_body",
    "enum_body_declarations",
    "enum_variant_list",
    "enumerator_list",
    "field_declaration_list",
    "function_body",
    "import_spec_list",
    "initializer_list",
    "interface_body",
    "interface_type",
    "list",
    "literal_value",
    "match_block",
    "module",
    "module_body",
    "object",
    "object_type",
    "program",
    "source_file",
    "statement_block",
    "statement_list",
    "switch_block",
    "switch_body",
    "translation_unit",
    "var_spec_list",
];

/// Nodes whose children count as those of the block around them.
const TRANSPARENT: [&str; 6] = [
    "ERROR",
    "linkage_specification",
    "preproc_elif",
    "preproc_else",
    "preproc_if",
    "preproc_ifdef",
];

/// Bytes of indentation that are looked at.
const WIDEST_INDENT: usize = 1000;

/// The seams of `text` in a language given by name or file ending; guessed from the text when there is
/// none. A name that is not known means cutting by indentation.
pub(in crate::split) fn code<'text>(text: &'text str, language: Option<&str>) -> CodeSeams<'text> {
    let language = language.map_or_else(|| Language::guessed(text), Language::named);
    CodeSeams { text, language, failures: 0, ranked: Ranked::new(FINEST), read: 0 }
}

/// See [`code`].
#[derive(Debug)]
pub(in crate::split) struct CodeSeams<'text> {
    text: &'text str,
    language: Option<Language>,
    failures: usize,
    ranked: Ranked,
    /// Everything before this is known.
    read: usize,
}

impl CodeSeams<'_> {
    /// The language that the text is parsed as; `None` when it is cut by indentation.
    #[cfg(test)]
    pub(in crate::split) const fn language(&self) -> Option<Language> {
        self.language
    }

    fn read_to(&mut self, upto: usize) {
        while self.read <= upto && self.read < self.text.len() {
            let part = self.read..self.part_end();
            if self.read > 0 {
                let line = slice(self.text, part.clone());
                let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
                self.ranked.push(self.read, u8::try_from(indent / 4).unwrap_or(FINEST));
            }
            self.read = part.end;
            let source = slice(self.text, part.clone());
            let language = self.language.filter(|_| self.failures < MOST_FAILURES);
            if let Some(tree) = language.and_then(|language| parse(source, language)) {
                Walk::new(self.text, part.start, &mut self.ranked).all(&tree);
            } else {
                self.failures += 1;
                indentation(self.text, part, &mut self.ranked);
            }
        }
    }

    /// Where to stop parsing: at the end of the text, if that is not far; else before a line that is
    /// not indented and follows a blank one; else before the least indented such line.
    fn part_end(&self) -> usize {
        let soft = boundary_before(self.text, self.text.len().min(self.read + PART));
        let hard = boundary_before(self.text, self.text.len().min(self.read + 2 * PART));
        if hard == self.text.len() {
            return hard;
        }
        let (mut at, mut best, mut after_blank) = (soft, (usize::MAX, hard), false);
        for (index, line) in slice(self.text, soft..hard).split_inclusive('\n').enumerate() {
            let content = line.trim_start();
            let begins = content.starts_with(|c: char| c.is_alphabetic() || "#/@_".contains(c));
            if index > 0 && begins {
                // Any indentation behind a blank line is better than none without.
                let rank = line.len() - content.len() + if after_blank { 0 } else { WIDEST_INDENT };
                if rank == 0 {
                    return at;
                }
                best = best.min((rank, at));
            }
            after_blank = content.is_empty();
            at += line.len();
        }
        best.1
    }

    /// The last line start of the window, before what is kept whole if there is one.
    fn last_line(&self, after: usize, upto: usize) -> Option<usize> {
        let line_before = |at: usize| {
            let window = self.text.as_bytes().get(after..at)?;
            memrchr(b'\n', window).map(|end| after + end + 1).filter(|start| *start > after)
        };
        let line = line_before(upto.min(self.text.len()))?;
        match self.ranked.around(line) {
            Some(whole) if whole.start > after => line_before(whole.start).or(Some(line)),
            _ => Some(line),
        }
    }
}

impl Seams for CodeSeams<'_> {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        self.read_to(upto);
        self.ranked.best(after, upto).or_else(|| self.last_line(after, upto))
    }

    fn resume(&mut self, from: usize, before: usize) -> Option<usize> {
        self.read_to(before);
        if let Some(known) = self.ranked.resume(from, before) {
            return Some(known);
        }
        let window = self.text.as_bytes().get(from.saturating_sub(1)..before)?;
        let line = memchr(b'\n', window)? + from.saturating_sub(1) + 1;
        (line < before && line >= from && self.ranked.may_resume(line, before)).then_some(line)
    }

    fn whole(&mut self, at: usize) -> Option<Range<usize>> {
        self.read_to(at);
        self.ranked.around(at)
    }
}

/// Comments and attributes that wait for what they belong to.
struct Attached {
    start: usize,
    end: usize,
    rank: u8,
}

/// A node whose children are being looked at.
struct Open {
    holds_items: bool,
    /// What it adds to the depth.
    deeper: u8,
    /// Its first item was met.
    met: bool,
}

/// One walk over a syntax tree, in the order of the text.
struct Walk<'walk> {
    text: &'walk str,
    /// Where the parsed part begins.
    base: usize,
    ranked: &'walk mut Ranked,
    attached: Option<Attached>,
}

impl<'walk> Walk<'walk> {
    const fn new(text: &'walk str, base: usize, ranked: &'walk mut Ranked) -> Self {
        Self { text, base, ranked, attached: None }
    }

    /// Every node, without recursion: a text decides how deep its tree is.
    fn all(&mut self, tree: &Tree) {
        let mut cursor = tree.walk();
        let mut open: Vec<Open> = Vec::new();
        let mut depth = 0_u8;
        loop {
            let node = cursor.node();
            let goes_in = self.node(&node, open.last_mut(), depth);
            if goes_in && open.len() < DEEPEST_NODE && cursor.goto_first_child() {
                let kind = node.kind();
                let is_block = BLOCKS.binary_search(&kind).is_ok();
                let holds_items = is_block || TRANSPARENT.contains(&kind);
                // Deeper than any rank: from there on all depths are one.
                let deeper = u8::from(is_block && depth < u8::MAX);
                depth += deeper;
                open.push(Open { holds_items, deeper, met: false });
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    self.settle();
                    return;
                }
                depth -= open.pop().map_or(0, |closed| closed.deeper);
            }
        }
    }

    /// Looks at one node; whether to look into it.
    fn node(&mut self, node: &Node<'_>, parent: Option<&mut Open>, depth: u8) -> bool {
        if !node.is_named() {
            return false;
        }
        let start = self.base + node.start_byte();
        let end = self.base + node.end_byte();
        let content = slice(self.text, start..end).trim_end();
        let kind = node.kind();
        let is_comment = kind.ends_with("comment");
        let is_text = kind.contains("string") || kind.ends_with("char_literal");
        // A line comment may own its line end.
        let has_lines = node.start_position().row < node.end_position().row
            && memchr(b'\n', content.as_bytes()).is_some();
        if has_lines && (is_comment || is_text) {
            self.ranked.keep(start..start + content.len());
        }
        let is_first_on_line = self.indent(start).map(|line| line..start);
        if is_comment || is_attribute(kind) {
            if let Some(line) = is_first_on_line {
                let rank = depth.saturating_sub(1).min(FINEST);
                self.attach(line.start, start + content.len(), rank);
            }
            return false;
        }
        if let Some(parent) = parent
            && parent.holds_items
        {
            let is_first = !std::mem::replace(&mut parent.met, true);
            // The head of a block stays with what comes first in it.
            if let Some(line) = is_first_on_line
                && !(is_first && depth > 1)
            {
                self.seam(line.start, depth.saturating_sub(1).min(FINEST));
            } else if is_first && depth > 1 {
                self.attached = None;
            }
        }
        // What lies on one line has no line start inside of it.
        !is_text && has_lines
    }

    /// The start of the line of `at`, if only white space lies between.
    fn indent(&self, at: usize) -> Option<usize> {
        let before = self.text.as_bytes().get(self.base..at)?;
        let blanks = before.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t'));
        let line = before.len() - blanks.take(WIDEST_INDENT).count();
        let is_start = line.checked_sub(1).is_none_or(|last| before.get(last) == Some(&b'\n'));
        is_start.then_some(self.base + line)
    }

    /// A comment from a line start on: it begins what is below it, or goes on with the one above.
    fn attach(&mut self, start: usize, end: usize, rank: u8) {
        if let Some(above) = &mut self.attached
            && is_adjacent(self.text, above.end..start)
        {
            above.end = end;
            above.rank = above.rank.min(rank);
            return;
        }
        self.settle();
        self.attached = Some(Attached { start, end, rank });
    }

    /// A statement from a line start on.
    fn seam(&mut self, start: usize, rank: u8) {
        match self.attached.take() {
            Some(above) if is_adjacent(self.text, above.end..start) => {
                self.ranked.push(above.start, rank.min(above.rank));
            }
            above => {
                self.attached = above;
                self.settle();
                self.ranked.push(start, rank);
            }
        }
    }

    /// Comments that nothing follows stand for themselves.
    fn settle(&mut self) {
        if let Some(above) = self.attached.take() {
            self.ranked.push(above.start, above.rank);
        }
    }
}

/// Whether a node belongs to what comes behind it.
fn is_attribute(kind: &str) -> bool {
    matches!(kind, "attribute_item" | "inner_attribute_item" | "decorator" | "access_specifier")
}

/// Whether only one line end lies in `gap`.
fn is_adjacent(text: &str, gap: Range<usize>) -> bool {
    let gap = slice(text, gap);
    gap.trim_matches([' ', '\t', ':', '\n', '\r']).is_empty()
        && gap.bytes().filter(|byte| *byte == b'\n').take(2).count() <= 1
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
