//! Sentence ends by the rules of Unicode (UAX #29), without those that a reader would not accept.
//!
//! The Unicode rules end a sentence behind every `Dr. ` and at every line break. Here an end is dropped
//! behind an abbreviation, an initial, the number of a list entry, and at a line break in the middle
//! of a sentence. Abbreviations are English with a few of German, French and Spanish; other languages
//! get the rules as they are. An end stands behind the white space that follows the sentence.
//!
//! `Mr. Smith paid $3.14. He left.` is two sentences.

use icu_segmenter::SentenceSegmenter;
use icu_segmenter::iterators::SentenceBreakIterator;
use icu_segmenter::scaffold::Utf8;
use regex::{Matches, Regex};

use super::super::measure::{slice, white_space_end};
use super::seams::Seams;

/// Stand before a name, a number or an explanation, never at an end. In lower case.
const LEADING: [&str; 40] = [
    "dr", "mr", "mrs", "ms", "prof", "st", "mt", "gen", "gov", "sen", "rep", "lt", "col", "capt",
    "sgt", "rev", "hon", "vs", "e.g", "i.e", "cf", "approx", "ca", "fig", "figs", "eq", "eqs",
    "bzw", "z.b", "d.h", "u.a", "vgl", "p.ex", "mme", "mlle", "sra", "srta", "dra", "dña", "viz",
];

/// Abbreviations only before a number: `No. 5`, but `He said no. Then`.
const NUMBERED: [&str; 28] = [
    "no", "nos", "nr", "vol", "pp", "p", "ch", "sec", "art", "abs", "núm", "pág", "jan", "feb",
    "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "okt", "nov", "dec", "dez", "ed",
    "ver",
];

/// Stand in a sentence as well as at its end: what follows decides.
const EITHER: [&str; 8] = ["jr", "sr", "inc", "ltd", "co", "corp", "bros", "dept"];

/// At an end unless the sentence goes on in lower case or with a number.
const TRAILING: [&str; 8] = ["etc", "usw", "al", "a.m", "p.m", "am", "pm", "ff"];

/// Words that begin a sentence far more often than they stand in a name.
const OPENING: [&str; 32] = [
    "The", "A", "An", "This", "That", "These", "Those", "He", "She", "It", "We", "They", "You",
    "There", "But", "And", "However", "In", "On", "At", "As", "If", "When", "While", "After",
    "For", "Its", "His", "Her", "Their", "Our", "My",
];

/// After an ordinal, as in `am 3. Oktober`.
const GERMAN_MONTHS: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

/// Longer words are no abbreviation; a bound, so that no word is read twice in full.
const LONGEST_WORD: usize = 12;

/// The ends of the sentences of `text`, the last one being that of the text.
pub(in crate::split) fn sentences(text: &str) -> Sentences<'_> {
    sentences_from(text, 0)
}

/// Those behind `from`, the start of the text or the end of a blank line: Unicode's rules, and the ones
/// here, know nothing of what stands before that.
fn sentences_from(text: &str, from: usize) -> Sentences<'_> {
    let rest = slice(text, from..text.len());
    let breaks = SentenceSegmenter::new(Default::default()).segment_str(rest);
    Sentences { text, from, breaks, settled: from }
}

/// Iterator over sentence ends, strictly increasing. Reads no further than it is asked to.
#[derive(Debug)]
pub(in crate::split) struct Sentences<'text> {
    text: &'text str,
    /// Where the text begins in which `breaks` are counted.
    from: usize,
    breaks: SentenceBreakIterator<'static, 'text, Utf8>,
    /// Everything up to here has been decided.
    settled: usize,
}

impl Iterator for Sentences<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let at = self.from + self.breaks.next()?;
            // White space is judged once, at its first break: there is one at every line end in it.
            if at <= self.settled {
                continue;
            }
            let start = self.settled;
            let end = white_space_end(self.text, at);
            self.settled = end;
            if end == self.text.len() {
                return Some(end);
            }
            let before = slice(self.text, start..at).trim_end();
            let gap = slice(self.text, start + before.len()..end);
            let sentence = slice(self.text, 0..start + before.len());
            if ends(sentence, gap, slice(self.text, end..self.text.len())) {
                return Some(end);
            }
        }
    }
}

/// Whether a sentence ends between `before` and `after`, where Unicode sees a break in `gap`.
fn ends(before: &str, gap: &str, after: &str) -> bool {
    let breaks = line_breaks(gap);
    if breaks > 1 || before.is_empty() || gap.contains('\u{2029}') {
        return true;
    }
    let unquoted = before.trim_end_matches(is_closing);
    let Some(last) = unquoted.chars().next_back() else { return true };
    let next = Next::of(after);
    if breaks == 1 && is_list_entry(after) {
        return true;
    }
    match last {
        '.' => after_full_stop(unquoted, &next),
        '!' | '?' if unquoted.len() < before.len() => !next.is_lower(),
        '!' | '?' => true,
        _ if breaks == 1 && !is_terminator(last) => !next.is_lower(),
        _ => true,
    }
}

/// Whether the full stop that `before` ends with ends a sentence as well.
fn after_full_stop(before: &str, next: &Next<'_>) -> bool {
    let stem = before.strip_suffix('.').unwrap_or(before);
    if stem.ends_with('.') {
        return !next.is_lower();
    }
    let Some(word) = last_word(stem) else { return true };
    let ahead = slice(stem, 0..stem.len() - word.len());
    let mut letters = word.chars();
    let single = letters.next().filter(|_| letters.next().is_none());
    if word.chars().all(|digit| digit.is_ascii_digit()) {
        let is_month = GERMAN_MONTHS.contains(&next.word);
        return !(starts_line(ahead) || (word.len() <= 2 && is_month));
    }
    if let Some(letter) = single {
        // `J. Smith`, `a. first entry`, `d. h.`, and `z.` before `B.`
        let abbreviated = ends_in_initial(ahead) || next.is_initial;
        let is_end = !letter.is_alphabetic()
            || (letter.is_lowercase() && !abbreviated && !starts_line(ahead));
        return is_end && !(letter == 'p' && next.is_digit());
    }
    let lower = word.to_lowercase();
    let known = |list: &[&str]| list.contains(&lower.as_str());
    let is_example = lower == "ex" && ends_in_initial(ahead);
    if is_example || known(&LEADING) || (known(&NUMBERED) && next.is_digit()) {
        return false;
    }
    if known(&TRAILING) {
        return !(next.is_lower() || next.is_digit());
    }
    let is_dotted = word.contains('.') && word.split('.').all(|part| part.chars().count() == 1);
    if known(&EITHER) || is_dotted {
        return OPENING.contains(&next.word);
    }
    let digits = word.strip_prefix(['v', 'V']);
    let is_version = digits.is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit()));
    !(is_version && next.is_digit())
}

/// What a sentence would begin with: its first word, read past quotes and brackets.
struct Next<'text> {
    word: &'text str,
    /// The word is one letter with a full stop behind it.
    is_initial: bool,
}

impl<'text> Next<'text> {
    fn of(after: &'text str) -> Self {
        let opened = after.char_indices().take(LONGEST_WORD);
        let start = opened
            .filter(|(_, character)| !is_opening(*character))
            .map(|(at, _)| at)
            .next()
            .unwrap_or(0);
        let rest = slice(after, start..after.len());
        let end = rest
            .char_indices()
            .take(LONGEST_WORD + 1)
            .find(|(_, character)| !character.is_alphanumeric())
            .map_or_else(|| first_boundary(rest), |(at, _)| at);
        let word = slice(rest, 0..end);
        let is_letter = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
        Self { word, is_initial: is_letter && slice(rest, end..rest.len()).starts_with('.') }
    }

    fn is_lower(&self) -> bool {
        self.word.starts_with(char::is_lowercase)
    }

    fn is_digit(&self) -> bool {
        self.word.starts_with(|first: char| first.is_ascii_digit())
    }
}

/// The end of the first few characters, for a word that is too long to matter.
fn first_boundary(text: &str) -> usize {
    text.char_indices().nth(LONGEST_WORD).map_or(text.len(), |(at, _)| at)
}

/// The letters, digits and inner full stops that `text` ends with; `None` when there are none, or too
/// many for an abbreviation.
fn last_word(text: &str) -> Option<&str> {
    let is_inner = |character: char| character.is_alphanumeric() || character == '.';
    let mut start = text.len();
    for (count, (at, character)) in text.char_indices().rev().enumerate() {
        if !is_inner(character) {
            break;
        }
        if count == LONGEST_WORD {
            return None;
        }
        start = at;
    }
    let word = slice(text, start..text.len());
    (!word.is_empty()).then_some(word)
}

/// Whether only a little indentation lies between the end of `text` and the line start before it.
fn starts_line(text: &str) -> bool {
    let mut before = text.chars().rev().take(LONGEST_WORD).skip_while(|c| matches!(c, ' ' | '\t'));
    match before.next() {
        Some(character) => matches!(character, '\n' | '\r' | '>'),
        None => text.len() < LONGEST_WORD,
    }
}

/// Whether `text` ends with one letter, a full stop and perhaps a space: the `d. ` of `d. h.`
fn ends_in_initial(text: &str) -> bool {
    let mut before = text.chars().rev().skip_while(|c| *c == ' ').take(3);
    before.next() == Some('.')
        && before.next().is_some_and(char::is_alphabetic)
        && before.next().is_none_or(|first| !first.is_alphanumeric())
}

fn is_closing(character: char) -> bool {
    matches!(character, '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '}' | '*' | '_' | '」' | '』')
}

fn is_opening(character: char) -> bool {
    matches!(
        character,
        '"' | '\'' | '“' | '‘' | '«' | '(' | '[' | '{' | '*' | '_' | '¿' | '¡' | '>' | ' '
    )
}

fn is_terminator(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '。' | '！' | '？' | '؟' | '।' | '｡' | '．')
}

/// Line ends in white space, up to 2: more make no difference.
fn line_breaks(gap: &str) -> usize {
    let mut after_return = false;
    let is_break = |character: char| {
        let ends_line = matches!(character, '\r' | '\u{85}' | '\u{2028}')
            || (character == '\n' && !after_return);
        after_return = character == '\r';
        ends_line
    };
    gap.chars().map(is_break).filter(|is_break| *is_break).take(2).count()
}

/// Whether a line begins as the entry of a list does.
fn is_list_entry(line: &str) -> bool {
    let behind = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let marked = match line.len() - behind.len() {
        0 => line.strip_prefix(['-', '*', '+', '•', '–', '#', '|']),
        1..=9 => behind.strip_prefix(['.', ')']),
        _ => None,
    };
    marked.is_some_and(|rest| rest.starts_with([' ', '\t']))
}

/// Where sentence ends come from.
#[derive(Debug)]
enum Ends<'text> {
    Unicode(Sentences<'text>),
    Custom(Matches<'text, 'text>),
}

/// Sentences as seams, all of one rank, found as far as they are asked for.
#[derive(Debug)]
pub(in crate::split) struct SentenceSeams<'text> {
    text: &'text str,
    ends: Ends<'text>,
    found: Vec<usize>,
    done: bool,
}

impl<'text> SentenceSeams<'text> {
    /// Ends by the rules above.
    pub(in crate::split) fn new(text: &'text str) -> Self {
        Self::over(text, Ends::Unicode(sentences(text)))
    }

    /// The same ones, but only those from `from` on, the end of a blank line.
    pub(in crate::split) fn behind_blank_line(text: &'text str, from: usize) -> Self {
        let mut seams = Self::over(text, Ends::Unicode(sentences_from(text, from)));
        seams.found.push(from);
        seams
    }

    /// A sentence ends where a match of `endings` does, and behind the white space there.
    pub(in crate::split) fn custom(text: &'text str, endings: &'text Regex) -> Self {
        Self::over(text, Ends::Custom(endings.find_iter(text)))
    }

    const fn over(text: &'text str, ends: Ends<'text>) -> Self {
        Self { text, ends, found: Vec::new(), done: false }
    }

    /// Looks for ends until one lies behind `upto`.
    fn find(&mut self, upto: usize) {
        while !self.done && self.found.last().is_none_or(|last| *last <= upto) {
            let end = match &mut self.ends {
                Ends::Unicode(sentences) => sentences.next(),
                Ends::Custom(matches) => matches.next().map(|ending| ending.end()),
            };
            let Some(end) = end else {
                self.done = true;
                return;
            };
            let known = self.found.last().copied().unwrap_or(0);
            // A match of nothing at the start, or one inside white space that was passed already.
            if end > known {
                self.found.push(white_space_end(self.text, end));
            }
        }
    }
}

impl Seams for SentenceSeams<'_> {
    fn best(&mut self, after: usize, upto: usize) -> Option<usize> {
        self.find(upto);
        let behind = self.found.partition_point(|end| *end <= upto);
        behind
            .checked_sub(1)
            .and_then(|last| self.found.get(last))
            .copied()
            .filter(|end| *end > after)
    }

    fn resume(&mut self, from: usize, before: usize) -> Option<usize> {
        if from == 0 {
            return (before > 0).then_some(0);
        }
        self.find(before);
        let first = self.found.partition_point(|end| *end < from);
        self.found.get(first).copied().filter(|end| *end < before)
    }
}

#[cfg(test)]
#[path = "sentences_tests.rs"]
mod tests;
