//! The pre-tokenizers: where the piece that starts at an offset ends, read off the published patterns
//! by hand instead of through a regex engine.
//!
//! Each function follows one alternative of a pattern; the comments cite it. Scanners look only
//! forward and visit a byte at most a constant number of times, whatever the text.

use super::classes::{Class, Classes, ascii};

/// Which pattern an encoding cuts its text with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pattern {
    /// r50k_base and p50k_base:
    /// `'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s`
    Gpt2,
    /// cl100k_base:
    /// `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`
    Cl100k,
    /// o200k_base, with `A = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and `B = [\p{Ll}\p{Lm}\p{Lo}\p{M}]`:
    /// `[^\r\n\p{L}\p{N}]?A*B+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?A+B*(?i:…)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    O200k,
}

/// The patterns as type parameters, so that each loop is compiled for one of them.
pub(super) trait Scan {
    const PATTERN: Pattern;
}

pub(super) struct Gpt2;
pub(super) struct Cl100k;
pub(super) struct O200k;

impl Scan for Gpt2 {
    const PATTERN: Pattern = Pattern::Gpt2;
}
impl Scan for Cl100k {
    const PATTERN: Pattern = Pattern::Cl100k;
}
impl Scan for O200k {
    const PATTERN: Pattern = Pattern::O200k;
}

/// Where the piece that starts at `at` ends; the end of the text if `at` is not inside it.
pub(super) fn piece_end<S: Scan>(classes: &Classes, bytes: &[u8], at: usize) -> usize {
    let Some((class, next)) = classes.at(bytes, at) else { return bytes.len() };
    match S::PATTERN {
        Pattern::Gpt2 => gpt2(classes, bytes, at, class, next),
        Pattern::Cl100k => cl100k(classes, bytes, at, class, next),
        Pattern::O200k => o200k(classes, bytes, at, class, next),
    }
}

fn gpt2(classes: &Classes, bytes: &[u8], at: usize, class: Class, next: usize) -> usize {
    if let Some(end) = contraction(bytes, at, false) {
        return end;
    }
    // ` ?` before a run of one kind.
    let (kind, start) = match bytes.get(at) {
        Some(b' ') => match classes.at(bytes, next) {
            Some((after, _)) if !after.is_space() => (after, next),
            _ => return white_space(classes, bytes, at, Pattern::Gpt2),
        },
        _ => (class, at),
    };
    if kind.is_letter() {
        run(classes, bytes, start, Class::is_letter)
    } else if kind == Class::Number {
        run(classes, bytes, start, |class| class == Class::Number)
    } else if kind.is_symbol() {
        run(classes, bytes, start, Class::is_symbol)
    } else {
        white_space(classes, bytes, at, Pattern::Gpt2)
    }
}

fn cl100k(classes: &Classes, bytes: &[u8], at: usize, class: Class, next: usize) -> usize {
    if let Some(end) = contraction(bytes, at, true) {
        return end;
    }
    if class.is_letter() {
        return run(classes, bytes, next, Class::is_letter);
    }
    if class == Class::Number {
        return numbers(classes, bytes, next);
    }
    let after = classes.at(bytes, next).map(|(after, _)| after);
    // `[^\r\n\p{L}\p{N}]?+\p{L}++`
    if class != Class::Newline && after.is_some_and(Class::is_letter) {
        return run(classes, bytes, next, Class::is_letter);
    }
    if class.is_symbol() || bytes.get(at) == Some(&b' ') && after.is_some_and(Class::is_symbol) {
        let end = run(classes, bytes, next, Class::is_symbol);
        return skip(bytes, end, b"\r\n");
    }
    white_space(classes, bytes, at, Pattern::Cl100k)
}

fn o200k(classes: &Classes, bytes: &[u8], at: usize, class: Class, next: usize) -> usize {
    if class.is_letter() {
        return cased(classes, bytes, at).map_or(next, |word| word.end);
    }
    if class == Class::Number {
        return numbers(classes, bytes, next);
    }
    if class != Class::Newline {
        match cased(classes, bytes, next) {
            // A mark is a letter to `A` and `B` too: before capitals alone, `A*B+` without a prefix
            // matches the mark and comes before `A+B*` with it.
            Some(word) if word.has_tail || class != Class::Mark => return word.end,
            _ if class == Class::Mark => {
                return cased(classes, bytes, at).map_or(next, |word| word.end);
            }
            _ => {}
        }
    }
    let after = classes.at(bytes, next).map(|(after, _)| after);
    if class.is_symbol() || bytes.get(at) == Some(&b' ') && after.is_some_and(Class::is_symbol) {
        let end = run(classes, bytes, next, Class::is_symbol);
        return skip(bytes, end, b"\r\n/");
    }
    white_space(classes, bytes, at, Pattern::O200k)
}

/// A match of `A*B+` or `A+B*` with what may follow it.
struct Word {
    end: usize,
    /// It is `A*B+`.
    has_tail: bool,
}

/// The words of o200k from `at` on, without the prefix: `A*B+` if that can match, else `A+B*`.
fn cased(classes: &Classes, bytes: &[u8], at: usize) -> Option<Word> {
    let in_head = |class| matches!(class, Class::Upper | Class::Caseless | Class::Mark);
    let in_tail = |class| matches!(class, Class::Lower | Class::Caseless | Class::Mark);
    // `A*` takes all it can, then gives back until `B+` has something.
    let mut end = at;
    let mut shared_end = None;
    let mut stopped_by = None;
    while let Some((class, next)) = classes.at(bytes, end) {
        if !in_head(class) {
            stopped_by = Some(class);
            break;
        }
        end = next;
        if class != Class::Upper {
            shared_end = Some(next);
        }
    }
    if stopped_by == Some(Class::Lower) {
        let end = run(classes, bytes, end, in_tail);
        return Some(Word { end: suffix(bytes, end), has_tail: true });
    }
    match shared_end {
        // Capitals follow, so no apostrophe does.
        Some(shared) if shared < end => Some(Word { end: shared, has_tail: true }),
        Some(_) => Some(Word { end: suffix(bytes, end), has_tail: true }),
        None if end > at => Some(Word { end: suffix(bytes, end), has_tail: false }),
        None => None,
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
fn suffix(bytes: &[u8], at: usize) -> usize {
    contraction(bytes, at, true).unwrap_or(at)
}

/// `'(?:[sdmt]|ll|ve|re)`: where it ends, if it stands at `at`.
pub(super) fn contraction(bytes: &[u8], at: usize, fold: bool) -> Option<usize> {
    if bytes.get(at) != Some(&b'\'') {
        return None;
    }
    let letter = |offset: usize| {
        let byte = bytes.get(at + offset).copied().unwrap_or_default();
        if fold { byte.to_ascii_lowercase() } else { byte }
    };
    match (letter(1), letter(2)) {
        (b's' | b'd' | b'm' | b't', _) => Some(at + 2),
        (b'l', b'l') | (b'v' | b'r', b'e') => Some(at + 3),
        // Without regard to case, U+017F is an s.
        (0xC5, 0xBF) if fold => Some(at + 3),
        _ => None,
    }
}

/// The rest of `\p{N}{1,3}` after its first character.
fn numbers(classes: &Classes, bytes: &[u8], mut at: usize) -> usize {
    for _ in 0..2 {
        match classes.at(bytes, at) {
            Some((Class::Number, next)) => at = next,
            _ => break,
        }
    }
    at
}

/// `\s++$|\s*[\r\n]|\s+(?!\S)|\s`, the second only where the pattern has it.
fn white_space(classes: &Classes, bytes: &[u8], at: usize, pattern: Pattern) -> usize {
    let (mut end, mut last, mut line_end) = (at, at, None);
    while let Some((class, next)) = classes.at(bytes, end) {
        if !class.is_space() {
            break;
        }
        if class == Class::Newline {
            line_end = Some(next);
        }
        last = end;
        end = next;
    }
    let at_end = end == bytes.len();
    match (pattern, line_end) {
        // o200k asks for line ends before it asks for the end of the text, cl100k the other way round.
        (Pattern::O200k, Some(line_end)) => line_end,
        (Pattern::Cl100k, Some(line_end)) if !at_end => line_end,
        _ if at_end || last == at => end,
        // `(?!\S)` leaves the last one to the word that follows.
        _ => last,
    }
}

/// The end of the longest run of characters from `at` on whose class is one of these.
#[inline(always)]
fn run(classes: &Classes, bytes: &[u8], mut at: usize, wanted: impl Fn(Class) -> bool) -> usize {
    while let Some(byte) = bytes.get(at) {
        let (class, next) = if *byte < 0x80 {
            (ascii(*byte), at + 1)
        } else {
            let Some(found) = classes.at(bytes, at) else { break };
            found
        };
        if !wanted(class) {
            break;
        }
        at = next;
    }
    at
}

/// The first offset from `at` on whose byte is none of `these`.
fn skip(bytes: &[u8], at: usize, these: &[u8]) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| these.contains(byte)).count()
}
