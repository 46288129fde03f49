//! The marks by which an answer cites its passages: `[1]`, `[1, 2]`, `[1-3]`, and the brackets of other keyboards.
//!
//! Models group marks whatever the prompt says. It refuses to take code for marks: what stands between backticks
//! cites nothing, unless it is the mark and nothing else.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

const BRACKETS: [(char, char); 3] = [('[', ']'), ('［', '］'), ('【', '】')];
const DASHES: [char; 8] = ['-', '‐', '‑', '‒', '–', '—', '−', '－'];
const SEPARATORS: [char; 5] = [',', ';', '，', '；', '、'];
/// Backticks at the beginning of a line that put what follows into a block, at least.
const FENCE: usize = 3;

/// The numbers from 1 to `most` whose marks stand in `text`.
pub(super) fn marked(text: &str, most: usize) -> BTreeSet<usize> {
    let mut numbers = BTreeSet::new();
    let mut lines = text.lines();
    // As many backticks have been looked for behind, in vain.
    let mut unclosed = usize::MAX;
    while let Some(line) = lines.next() {
        let ticks = opens(line);
        if (FENCE..unclosed).contains(&ticks) {
            let mut behind = lines.clone();
            if behind.any(|line| closes(line, ticks)) {
                lines = behind;
                continue;
            }
            // It may be half a quote, and hides nothing.
            unclosed = ticks;
        }
        collect(line, most, &mut numbers);
    }
    numbers
}

/// The backticks that a line begins with, if there are no others.
fn opens(line: &str) -> usize {
    let line = line.trim_start();
    let ticks = backticks(line);
    if line.get(ticks..).is_some_and(|behind| behind.contains('`')) { 0 } else { ticks }
}

fn closes(line: &str, ticks: usize) -> bool {
    let line = line.trim();
    line.len() >= ticks && line.len() == backticks(line)
}

/// Marks of one line; a backtick without its like on the same line is a character as any other.
fn collect(line: &str, most: usize, numbers: &mut BTreeSet<usize>) {
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let ticks = backticks(rest);
        if ticks > 0 {
            let (fence, inside) = rest.split_at_checked(ticks).unwrap_or((rest, ""));
            rest = inside;
            if let Some((code, behind)) = until(inside, fence) {
                let alone = group(code.trim(), most).filter(|(_, left)| left.is_empty());
                numbers.extend(alone.into_iter().flat_map(|(ranges, _)| ranges).flatten());
                rest = behind;
            }
        } else if let Some((ranges, behind)) = group(rest, most) {
            numbers.extend(ranges.into_iter().flatten());
            rest = behind;
        } else {
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
}

fn backticks(text: &str) -> usize {
    text.bytes().take_while(|byte| *byte == b'`').count()
}

/// What stands before the next run of exactly these backticks, and what behind.
fn until<'a>(text: &'a str, fence: &str) -> Option<(&'a str, &'a str)> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find('`') {
        let start = from + found;
        let ticks = backticks(text.get(start..)?);
        from = start + ticks;
        if ticks == fence.len() {
            return Some((text.get(..start)?, text.get(from..)?));
        }
    }
    None
}

type Group<'a> = (Vec<RangeInclusive<usize>>, &'a str);

/// The numbers of a bracket that `text` begins with, as ranges of those that exist, and what stands behind it.
fn group(text: &str, most: usize) -> Option<Group<'_>> {
    let (_, closing) = BRACKETS.into_iter().find(|(opening, _)| text.starts_with(*opening))?;
    let shown = 1..=most;
    let mut ranges = Vec::new();
    let mut rest = text.get(text.chars().next()?.len_utf8()..)?.trim_start();
    loop {
        let (first, behind) = number(rest)?;
        let mut last = first;
        rest = behind.trim_start();
        if let Some(behind) = rest.strip_prefix(DASHES) {
            let (end, behind) = number(behind.trim_start())?;
            last = end;
            rest = behind.trim_start();
        }
        // Half a range of passages is none: "[0-9]" and "[1990-2020]" mean something else.
        if shown.contains(&first) && shown.contains(&last) {
            ranges.push(first..=last);
        }
        if let Some(behind) = rest.strip_prefix(closing) {
            return Some((ranges, behind));
        }
        rest = rest.strip_prefix(SEPARATORS).unwrap_or(rest).trim_start();
    }
}

/// The whole number that `text` begins with, and what stands behind it.
fn number(text: &str) -> Option<(usize, &str)> {
    let mut value = None;
    let mut rest = text;
    while let Some((digit, length)) = rest.chars().next().and_then(digit) {
        value = Some(value.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit));
        rest = rest.get(length..)?;
    }
    Some((value?, rest))
}

/// A digit, also of full width, with the bytes it takes.
fn digit(letter: char) -> Option<(usize, usize)> {
    let narrow = match letter {
        '０'..='９' => char::from_u32(u32::from(letter).checked_sub(0xFEE0)?)?,
        _ => letter,
    };
    Some((usize::try_from(narrow.to_digit(10)?).ok()?, letter.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_four(text: &str) -> Vec<usize> {
        marked(text, 4).into_iter().collect()
    }

    #[test]
    fn marks_come_alone_in_groups_and_in_ranges() {
        for (text, numbers) in [
            ("It waits [1].", &[1][..]),
            ("It waits[2].", &[2]),
            ("[1][3]", &[1, 3]),
            ("[1, 2]", &[1, 2]),
            ("[1,2,4]", &[1, 2, 4]),
            ("[ 1 ; 3 ]", &[1, 3]),
            ("[1 2]", &[1, 2]),
            ("[1、3]", &[1, 3]),
            ("[1-2]", &[1, 2]),
            ("[2–4]", &[2, 3, 4]),
            ("[1, 3 — 4]", &[1, 3, 4]),
            ("［1］", &[1]),
            ("【２，３】", &[2, 3]),
            ("[[1]]", &[1]),
            ("[1](heron.md)", &[1]),
            ("[see [2]", &[2]),
        ] {
            assert_eq!(of_four(text), numbers, "{text}");
        }
    }

    #[test]
    fn only_passages_that_were_shown_are_cited() {
        let none = "[ [] [1 [1, [1,] [,1] [-1] [1-] [3-1] [1】 (1) 1] [a] [1.5] [1a] [0] [5] [0-9] \
            [1990-2020] [99999999999999999999999] [1-99999999999999999999999]";
        for text in none.split_whitespace() {
            assert_eq!(of_four(text), Vec::<usize>::new(), "{text}");
        }
        assert_eq!(of_four("[1, 7]"), [1]);
        assert!(marked("[1]", 0).is_empty());
        assert_eq!(marked("[9-12]", 12).len(), 4);
    }

    #[test]
    fn code_cites_nothing_but_a_mark_in_its_dress_does() {
        assert_eq!(of_four("Take `items[2]` [1]."), [1]);
        assert_eq!(of_four("Take ``a ` b[2]`` [1]."), [1]);
        assert_eq!(of_four("It waits `[1]` or ` [2, 3] `."), [1, 2, 3]);
        assert_eq!(of_four("A ` alone [1].\nAnother ` alone [2]."), [1, 2]);
        assert_eq!(of_four("So [1]:\n```python\nitems[2]\n```\nand [3]"), [1, 3]);
        assert_eq!(of_four("So:\n````\n```\nitems[2]\n````\n[3]"), [3]);
        assert_eq!(of_four("Half a quote:\n```\nitems [2]"), [2]);
    }
}
