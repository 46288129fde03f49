//! Seams of Markdown: sections, blocks, list entries, and sentences inside paragraphs.
//!
//! Every seam stands at the start of a line, so blank lines belong to the piece before it. A heading
//! stays with what follows as long as anything else can be cut. Blocks are found once, sentences only
//! where a window holds nothing coarser. Titles are kept up to [`TITLE_LIMIT`] characters, as every
//! chunk carries those above it.
//!
//! ```text
//! # Guide          no wall, no seam: begins the text
//! ## Install       stays with its parent, which has nothing else
//! Run it.
//! ## Use           a wall when sections are kept apart; headings: "Guide > Use"
//! ```

use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::super::measure::slice;
use super::ranked::Ranked;
use super::seams::Seams;
use super::sentences::SentenceSeams;

/// Ranks 0 to 5 are those of headings.
const BLOCK: u8 = 6;
/// One level deeper in quotes and lists is one rank finer, down to this one.
const DEEPEST_ENTRY: u8 = 13;
/// A line behind a blank one, in code.
const STANZA: u8 = 14;
/// A line of code or HTML, a row of a table.
const LINE: u8 = 15;
/// Between a heading and its text. Sentences are finer than lines and coarser than this.
const TITLE: u8 = 17;

/// Characters of a title that are kept.
const TITLE_LIMIT: usize = 200;

/// The parser takes time in proportion to the nesting on each line. A line that opens more than this
/// many blocks, or one this far indented, is not parsed but taken as a block of its own.
const NESTING_LIMIT: usize = 48;
const INDENT_LIMIT: usize = 512;

/// The seams of `text`. With `split_by_headers` no chunk spans two sections.
pub(in crate::split) fn markdown(text: &str, split_by_headers: bool) -> MarkdownSeams<'_> {
    let mut reader = Reader::new(text, split_by_headers);
    let start = front_matter(text);
    if start > '\u{feff}'.len_utf8() {
        reader.block_at(start);
    }
    reader.block = start..start;
    let mut from = start;
    for line in too_deep(text, start) {
        reader.read(from..line.start);
        reader.block_at(line.start);
        from = line.end;
        reader.block_at(from);
    }
    reader.read(from..text.len());
    MarkdownSeams {
        text,
        ranked: reader.ranked,
        prose: reader.prose,
        sections: reader.sections,
        sentences: None,
        path: None,
    }
}

/// A heading and everything up to the next one.
#[derive(Debug)]
struct Section {
    start: usize,
    level: u8,
    title: String,
    parent: Option<usize>,
}

/// See [`markdown`].
#[derive(Debug)]
pub(in crate::split) struct MarkdownSeams<'text> {
    text: &'text str,
    ranked: Ranked,
    /// Paragraphs, where sentences are looked for.
    prose: Vec<Range<usize>>,
    sections: Vec<Section>,
    /// The sentences of the paragraph asked for last.
    sentences: Option<(usize, SentenceSeams<'text>)>,
    /// The path of the section asked for last.
    path: Option<(usize, Arc<str>)>,
}

impl<'text> MarkdownSeams<'text> {
    /// The seams of one paragraph, and where it starts.
    fn sentences(&mut self, index: usize) -> Option<(usize, &mut SentenceSeams<'text>)> {
        let range = self.prose.get(index)?.clone();
        if self.sentences.as_ref().is_none_or(|(known, _)| *known != index) {
            self.sentences = Some((index, SentenceSeams::new(slice(self.text, range.clone()))));
        }
        self.sentences.as_mut().map(|(_, seams)| (range.start, seams))
    }

    /// The last sentence end inside a paragraph of the window.
    fn sentence_end(&mut self, after: usize, upto: usize) -> Option<usize> {
        let mut index = self.prose.partition_point(|range| range.start < upto);
        while let Some(previous) = index.checked_sub(1) {
            let range = self.prose.get(previous)?.clone();
            if range.end <= after {
                return None;
            }
            let (start, seams) = self.sentences(previous)?;
            // The end of a paragraph is no seam: where there is one, it stands behind blank lines.
            let last = upto.min(range.end - 1);
            let mut found = seams.best(after.saturating_sub(start), last.saturating_sub(start));
            while let Some(end) = found {
                let at = start + end;
                match self.ranked.around(at) {
                    None => return Some(at),
                    Some(around) if around.start <= after.max(start) => break,
                    Some(around) => {
                        let (start, seams) = self.sentences(previous)?;
                        found = seams.best(after.saturating_sub(start), around.start - start);
                    }
                }
            }
            index = previous;
        }
        None
    }

    fn sentence_start(&mut self, from: usize, before: usize) -> Option<usize> {
        let first = self.prose.partition_point(|range| range.end <= from);
        let range = self.prose.get(first).filter(|range| range.start < before)?.clone();
        // A paragraph that begins in the window is a block there.
        let mut from = from.saturating_sub(range.start).max(1);
        let before = before.min(range.end) - range.start;
        loop {
            let (start, seams) = self.sentences(first)?;
            let at = start + seams.resume(from, before)?;
            if self.ranked.around(at).is_none() {
                return Some(at);
            }
            from = at - start + 1;
        }
    }
}

impl Seams for MarkdownSeams<'_> {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        let known = self.ranked.coarsest(after, upto);
        match known {
            Some((at, rank)) if rank <= LINE => Some(at),
            _ => self.sentence_end(after, upto).or_else(|| known.map(|(at, _)| at)),
        }
    }

    fn resume(&mut self, from: usize, before: usize) -> Option<usize> {
        let block = self.ranked.resume(from, before);
        // A sentence only counts when it starts before the first block does.
        self.sentence_start(from, block.unwrap_or(before)).or(block)
    }

    fn wall(&mut self, after: usize) -> Option<usize> {
        self.ranked.wall(after)
    }

    fn whole(&mut self, at: usize) -> Option<Range<usize>> {
        self.ranked.around(at)
    }

    fn headings(&mut self, at: usize) -> Option<Arc<str>> {
        let index = self.sections.partition_point(|section| section.start <= at).checked_sub(1)?;
        if let Some((known, path)) = &self.path
            && *known == index
        {
            return Some(Arc::clone(path));
        }
        let above = std::iter::successors(Some(index), |below| self.sections.get(*below)?.parent);
        let titles = above.filter_map(|section| self.sections.get(section));
        let mut titles: Vec<&str> = titles.map(|section| section.title.as_str()).collect();
        titles.retain(|title| !title.is_empty());
        titles.reverse();
        let path: Arc<str> = titles.join(" > ").into();
        self.path = Some((index, Arc::clone(&path)));
        Some(path)
    }
}

/// The end of a YAML block between `---` lines at the start of `text`; 0, or the length of a byte
/// order mark, when there is none.
fn front_matter(text: &str) -> usize {
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut end = start;
    for (index, line) in slice(text, start..text.len()).split_inclusive('\n').enumerate() {
        end += line.len();
        match (index, line.trim_end()) {
            (0, "---") => {}
            (0, _) => return start,
            (1, "") | (1, "---") => return start,
            (_, "---" | "...") => return end,
            _ => {}
        }
    }
    start
}

/// The lines from `start` on that nest too deeply.
fn too_deep(text: &str, start: usize) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut end = start;
    for line in slice(text, start..text.len()).split_inclusive('\n') {
        let from = end;
        end += line.len();
        // Nothing that short can nest that deeply.
        if line.len() > NESTING_LIMIT && nests_deeply(line) {
            lines.push(from..end);
        }
    }
    lines
}

fn nests_deeply(line: &str) -> bool {
    let (mut depth, mut digits, mut indent) = (0, 0, 0);
    let mut bytes = line.bytes().peekable();
    while let Some(byte) = bytes.next() {
        indent += 1;
        let before_blank = bytes.peek().is_none_or(|next| next.is_ascii_whitespace());
        match byte {
            b' ' => digits = 0,
            b'\t' => indent += 3,
            b'>' => depth += 1,
            b'-' | b'*' | b'+' if before_blank => depth += 1,
            b'.' | b')' if before_blank && digits > 0 => depth += 1,
            b'0'..=b'9' if digits < 9 => digits += 1,
            _ => return false,
        }
        if depth > NESTING_LIMIT || (depth > 0 && indent > INDENT_LIMIT) {
            // A rule may be as long as it likes.
            let mark = line.trim_start().chars().next();
            let is_rule = |other: char| other.is_whitespace() || Some(other) == mark;
            return mark == Some('>') || !line.chars().all(is_rule);
        }
    }
    false
}

/// Collects what the parser reports.
struct Reader<'text> {
    text: &'text str,
    split_by_headers: bool,
    ranked: Ranked,
    prose: Vec<Range<usize>>,
    sections: Vec<Section>,
    /// The sections that hold the one being read, outermost first.
    open: Vec<usize>,
    /// The line looked at last.
    line: Range<usize>,
    /// The last top-level block, from the start of its line.
    block: Range<usize>,
    /// Level of the heading that the last top-level block was.
    heading: Option<u8>,
    /// Quotes, lists and entries that are open.
    depth: usize,
    /// Text of an entry that has no paragraph around it.
    tight: Option<Range<usize>>,
}

impl<'text> Reader<'text> {
    const fn new(text: &'text str, split_by_headers: bool) -> Self {
        Self {
            text,
            split_by_headers,
            ranked: Ranked::new(LINE),
            prose: Vec::new(),
            sections: Vec::new(),
            open: Vec::new(),
            line: 0..0,
            block: 0..0,
            heading: None,
            depth: 0,
            tight: None,
        }
    }

    /// The start of the line that holds `at`. Offsets have to increase: a line with many blocks on it
    /// is read once, and not once a block.
    fn line_start(&mut self, at: usize) -> usize {
        while self.line.end <= at {
            let rest = self.text.as_bytes().get(self.line.end..).unwrap_or_default();
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            self.line = self.line.end..self.line.end + length + 1;
        }
        self.line.start
    }

    /// A block that is not looked into.
    fn block_at(&mut self, at: usize) {
        self.ranked.push(at, BLOCK);
        (self.block, self.heading) = (at..at, None);
    }

    /// Lines between top-level blocks: link definitions are no events, but may be many.
    fn lines_before(&mut self, at: usize) {
        let mut start = self.block.end;
        for line in slice(self.text, start..at).split_inclusive('\n') {
            let line_start = self.line_start(start);
            if !line.trim().is_empty() && line_start >= self.block.end {
                let is_first = self.block.start < self.block.end;
                self.ranked.push(line_start, if is_first { self.rank_of_block() } else { LINE });
                (self.block, self.heading) = (line_start..line_start, None);
            }
            start += line.len();
        }
    }

    /// A block right below a heading belongs to it.
    const fn rank_of_block(&self) -> u8 {
        if self.heading.is_some() { TITLE } else { BLOCK }
    }

    /// A block that is no heading.
    fn block(&mut self, range: &Range<usize>) {
        if self.depth > 0 {
            let at = self.line_start(range.start);
            // What begins a top-level block is one with it.
            if at > self.block.start {
                let finer = u8::try_from(self.depth).unwrap_or(u8::MAX);
                self.ranked.push(at, BLOCK.saturating_add(finer).min(DEEPEST_ENTRY));
            }
            return;
        }
        self.lines_before(range.start);
        let at = self.line_start(range.start);
        self.ranked.push(at, self.rank_of_block());
        (self.block, self.heading) = (at..range.end, None);
    }

    fn heading(&mut self, level: u8, range: &Range<usize>) {
        self.lines_before(range.start);
        let at = self.line_start(range.start);
        // Nothing but this section may be in the one above, which then begins with it.
        let is_inner = self.heading.is_some_and(|above| above < level);
        self.ranked.push(at, if is_inner { TITLE } else { level.saturating_sub(1) });
        if self.split_by_headers && !is_inner {
            self.ranked.wall_at(at);
        }
        let holds = |index: &usize| self.sections.get(*index).is_some_and(|it| it.level < level);
        while self.open.pop_if(|last| !holds(last)).is_some() {}
        let parent = self.open.last().copied();
        self.open.push(self.sections.len());
        self.sections.push(Section { start: at, level, title: String::new(), parent });
        (self.block, self.heading) = (at..range.end, Some(level));
    }

    /// Lines of code or HTML. The fences stay with the lines next to them.
    fn lines_inside(&mut self, range: &Range<usize>, is_fenced: bool) {
        let content = slice(self.text, range.clone()).trim_end();
        let (mut at, mut after_blank) = (range.start, false);
        for (index, line) in content.split_inclusive('\n').enumerate() {
            let is_last = at + line.len() == range.start + content.len();
            let mark = line.trim_start_matches([' ', '\t', '>']);
            let is_fence = is_last && (mark.starts_with("```") || mark.starts_with("~~~"));
            let is_blank = line.trim().is_empty();
            if index > usize::from(is_fenced) && !is_blank && !(is_fenced && is_fence) {
                self.ranked.push(at, if after_blank { STANZA } else { LINE });
            }
            after_blank = is_blank;
            at += line.len();
        }
    }

    /// Text of an entry without a paragraph becomes prose of its own.
    fn close_entry(&mut self) {
        self.prose.extend(self.tight.take());
    }

    /// Reads what lies in `part`, which begins and ends between blocks.
    fn read(&mut self, part: Range<usize>) {
        const OPTIONS: Options = Options::ENABLE_TABLES
            .union(Options::ENABLE_STRIKETHROUGH)
            .union(Options::ENABLE_FOOTNOTES)
            .union(Options::ENABLE_TASKLISTS);
        let parser = Parser::new_ext(slice(self.text, part.clone()), OPTIONS);
        self.depth = 0;
        // Inside a block whose text is no prose or is already known to be.
        let mut in_leaf = false;
        let mut in_title = false;
        for (event, range) in parser.into_offset_iter() {
            let range = part.start + range.start..part.start + range.end;
            match event {
                Event::Start(tag) => match tag {
                    Tag::Link { .. } | Tag::Image { .. } => {
                        self.inline(&range, in_leaf);
                        self.ranked.keep(range);
                    }
                    Tag::Emphasis | Tag::Strong | Tag::Strikethrough => {
                        self.inline(&range, in_leaf);
                    }
                    Tag::Heading { level, .. } => {
                        self.close_entry();
                        in_leaf = true;
                        if self.depth == 0 {
                            self.heading(level as u8, &range);
                            in_title = true;
                        } else {
                            self.block(&range);
                        }
                    }
                    Tag::TableHead | Tag::TableCell => {}
                    Tag::TableRow => {
                        let row = self.line_start(range.start);
                        self.ranked.push(row, LINE);
                        self.ranked.keep(row..self.line.end.min(self.text.len()));
                    }
                    tag => {
                        self.close_entry();
                        self.block(&range);
                        in_leaf = self.enter(&tag, range);
                    }
                },
                Event::End(tag) => match tag {
                    TagEnd::BlockQuote(_)
                    | TagEnd::List(_)
                    | TagEnd::Item
                    | TagEnd::FootnoteDefinition => {
                        self.close_entry();
                        self.depth = self.depth.saturating_sub(1);
                    }
                    TagEnd::Heading(_)
                    | TagEnd::Paragraph
                    | TagEnd::CodeBlock
                    | TagEnd::HtmlBlock
                    | TagEnd::Table => (in_leaf, in_title) = (false, false),
                    _ => {}
                },
                Event::Text(text) => {
                    self.inline(&range, in_leaf);
                    self.title(in_title, &text);
                }
                Event::Code(text) => {
                    self.inline(&range, in_leaf);
                    self.title(in_title, &text);
                    self.ranked.keep(range);
                }
                Event::SoftBreak | Event::HardBreak => self.title(in_title, " "),
                Event::Rule => {
                    self.close_entry();
                    self.block(&range);
                }
                _ => {}
            }
        }
        self.close_entry();
        self.depth = 0;
        self.lines_before(part.end);
    }

    /// Goes into a block that was just met; whether its text is accounted for.
    fn enter(&mut self, tag: &Tag<'_>, range: Range<usize>) -> bool {
        let start = self.line.start;
        match tag {
            Tag::CodeBlock(kind) => {
                self.lines_inside(&range, matches!(kind, CodeBlockKind::Fenced(_)));
                self.ranked.keep(start..range.end);
            }
            Tag::HtmlBlock => self.lines_inside(&range, false),
            Tag::Paragraph => self.prose.push(range),
            Tag::Table(_) => {
                // The header is of no use without the line below it, nor that without the header.
                let lines = slice(self.text, start..range.end).split_inclusive('\n').take(2);
                self.ranked.keep(start..start + lines.map(str::len).sum::<usize>());
            }
            _ => {
                self.depth += 1;
                return false;
            }
        }
        true
    }

    fn inline(&mut self, range: &Range<usize>, in_leaf: bool) {
        if !in_leaf {
            let tight = self.tight.get_or_insert(range.clone());
            tight.end = tight.end.max(range.end);
        }
    }

    fn title(&mut self, in_title: bool, text: &str) {
        if in_title && let Some(section) = self.sections.last_mut() {
            let known = section.title.chars().count().min(TITLE_LIMIT);
            section.title.extend(text.chars().take(TITLE_LIMIT - known));
        }
    }
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
