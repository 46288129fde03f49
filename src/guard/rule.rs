//! One rule, and which of several has a place in a text.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use regex_automata::Input;
use regex_automata::meta::{BuildError, Regex};

/// What one pattern may take when compiled; as in the crate `regex`.
const COMPILED: usize = 10 << 20;

/// A name, and a pattern for what it names.
#[derive(Clone)]
pub(super) struct Rule {
    name: Arc<str>,
    pattern: String,
    /// Not `regex::Regex`: that one cannot look at a part of a text and know what stands around it.
    regex: Regex,
}

/// A place in a text that a rule claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    /// Which rule, by its number.
    pub(super) rule: usize,
}

impl Rule {
    /// # Errors
    /// What is wrong with the pattern, in words.
    pub(super) fn new(name: &str, pattern: &str) -> Result<Self, String> {
        let config = Regex::config().nfa_size_limit(Some(COMPILED));
        let regex = Regex::builder().configure(config).build(pattern).map_err(|it| told(&it))?;
        Ok(Self { name: name.into(), pattern: pattern.to_owned(), regex })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The next match within `span` that is not empty. What stands around the span counts for `^`, `$`
    /// and `\b`.
    fn next(&self, text: &str, span: Range<usize>) -> Option<Range<usize>> {
        let mut from = span.start;
        while from < span.end {
            let found = self.regex.search(&Input::new(text).span(from..span.end))?;
            if !found.is_empty() {
                return Some(found.range());
            }
            let step = text.get(found.end()..)?.chars().next()?.len_utf8();
            from = found.end().saturating_add(step);
        }
        None
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The places within `span` that the rules claim, in order and apart from each other. Where two rules want
/// the same, it goes to the one that begins first, of those to the longest, of those to the first listed.
pub(super) fn claims(rules: &[Rule], text: &str, span: Range<usize>) -> Vec<Found> {
    let mut nexts: Vec<_> = rules.iter().map(|rule| rule.next(text, span.clone())).collect();
    let mut found = Vec::new();
    loop {
        let claims = nexts.iter().enumerate();
        let claims = claims.filter_map(|(rule, next)| Some((rule, next.clone()?)));
        let first = claims.min_by_key(|(rule, next)| (next.start, Reverse(next.end), *rule));
        let Some((rule, range)) = first else { return found };
        for (next, rule) in nexts.iter_mut().zip(rules) {
            if next.as_ref().is_some_and(|next| next.start < range.end) {
                *next = rule.next(text, range.end..span.end);
            }
        }
        found.push(Found { range, rule });
    }
}

/// One line; the crate's own words draw the pattern with an arrow below it.
fn told(error: &BuildError) -> String {
    use regex_syntax::Error;

    if error.size_limit().is_some() {
        return format!("the pattern takes more than {COMPILED} bytes when compiled");
    }
    match error.syntax_error() {
        Some(Error::Parse(error)) => error.kind().to_string(),
        Some(Error::Translate(error)) => error.kind().to_string(),
        _ => error.to_string(),
    }
}
