//! Seams of indented text whose grammar is not known: the less indented a line, the coarser.

use std::ops::Range;

use super::super::super::measure::slice;
use super::super::ranked::Ranked;

/// The finest rank given: deeper indentation makes no difference.
pub(super) const FINEST: u8 = 41;

/// Columns a tab stands for.
const TAB: u8 = 4;

/// How a comment or a decorator begins that belongs to the line below it.
const ATTACHED: [&str; 8] = ["//", "# ", "@", "#[", "/*", "* ", "--", ";;"];

/// Adds a seam for each line in `part` that begins something: of rank 0 without indentation behind a
/// blank line, 1 without the blank line, two more for every two columns. None before a closing
/// bracket or right below a comment.
pub(super) fn indentation(text: &str, part: Range<usize>, ranked: &mut Ranked) {
    let mut at = part.start;
    let (mut after_blank, mut attached) = (false, None);
    for line in slice(text, part).split_inclusive('\n') {
        let content = line.trim();
        let start = at;
        at += line.len();
        if content.is_empty() {
            (after_blank, attached) = (true, None);
            continue;
        }
        let depth = columns(line) / 2 * 2;
        let rank = depth.saturating_add(u8::from(!after_blank)).min(FINEST);
        let continues = content.starts_with(['}', ')', ']']) || attached == Some(depth);
        if !continues {
            ranked.push(start, rank);
        }
        let is_attached = ATTACHED.iter().any(|mark| content.starts_with(mark));
        (after_blank, attached) = (false, is_attached.then_some(depth));
    }
}

/// Columns of indentation, up to the deepest that counts.
fn columns(line: &str) -> u8 {
    let mut columns = 0_u8;
    for byte in line.bytes().take(usize::from(FINEST)) {
        match byte {
            b' ' => columns += 1,
            b'\t' => columns = columns.saturating_add(TAB),
            _ => break,
        }
    }
    columns.min(FINEST)
}

#[cfg(test)]
mod tests {
    use super::super::super::seams::Seams;
    use super::*;

    #[test]
    fn less_indented_is_coarser() {
        let text = "to a\n  one\n\n  two\nend\n// of b\nto b\n  one (\n  )\n";
        let mut ranked = Ranked::new(FINEST);
        indentation(text, 0..text.len(), &mut ranked);
        let at = |needle: &str| text.find(needle);
        assert_eq!(ranked.best(0, text.len()), at("// of b"));
        assert_eq!(ranked.best(0, at("// of b").unwrap() - 1), at("end"));
        assert_eq!(ranked.best(0, at("end").unwrap() - 1), at("  two"));
        assert_eq!(ranked.best(at("// of b").unwrap(), text.len()), text.rfind("  one"));
    }
}
