//! Texts as the terms they are found by.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use unicode_segmentation::UnicodeSegmentation;

/// Bytes of the longest term; what is beyond makes no difference. A term's length is kept in one byte.
const LONGEST_TERM: usize = u8::MAX as usize;

/// What the terms are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Every term that a text may be found by.
    Index,
    /// The most telling terms: pairs of characters where there are pairs.
    Query,
}

/// Calls `take` with each term of `text`, in order.
///
/// A word of UAX 29 is one term, or several when signs join its parts (`snake_case`, `l'eau`); a decimal
/// number is one. Scripts without spaces give each pair of neighbouring characters, and the single
/// characters too, so that a question of one character finds something.
pub(super) fn each_term(text: &str, purpose: Purpose, mut take: impl FnMut(&str)) {
    let text = ComposingNormalizerBorrowed::new_nfkc().normalize(text);
    let mut run = 0..0;
    let mut lower = String::new();
    for (start, word) in text.unicode_word_indices() {
        for (offset, part) in parts(word) {
            let start = start + offset;
            if part.chars().next().is_some_and(is_unspaced) {
                if start != run.end {
                    pairs(text.get(run).unwrap_or_default(), purpose, &mut take);
                    run = start..start;
                }
                run.end = start + part.len();
            } else {
                pairs(text.get(run.clone()).unwrap_or_default(), purpose, &mut take);
                run = 0..0;
                take(bounded(&lowered(part, &mut lower)));
            }
        }
    }
    pairs(text.get(run).unwrap_or_default(), purpose, &mut take);
}

/// The pieces of a word between the signs that join them, with their places; a change between scripts with
/// and without spaces is a seam too.
fn parts(word: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let from = rest + word.get(rest..)?.find(|sign| !is_joint(sign))?;
        let tail = word.get(from..)?;
        let unspaced = tail.chars().next().is_some_and(is_unspaced);
        let mut before = '\0';
        let mut end = tail.len();
        for (at, sign) in tail.char_indices() {
            let point = matches!(sign, '.' | ',')
                && before.is_numeric()
                && tail.get(at + 1..).is_some_and(|next| next.starts_with(char::is_numeric));
            let seam = sign.is_alphanumeric() && is_unspaced(sign) != unspaced;
            if seam || (is_joint(sign) && !point) {
                end = at;
                break;
            }
            before = sign;
        }
        rest = from + end;
        Some((from, tail.get(..end)?))
    })
}

fn pairs(run: &str, purpose: Purpose, take: &mut impl FnMut(&str)) {
    let mut before: Option<(usize, &str)> = None;
    for (at, one) in run.grapheme_indices(true) {
        if purpose == Purpose::Index {
            take(bounded(one));
        }
        if let Some((start, _)) = before {
            take(bounded(run.get(start..at + one.len()).unwrap_or_default()));
        }
        before = Some((at, one));
    }
    match before {
        // A run of one, which is its own only term.
        Some((0, one)) if purpose == Purpose::Query => take(bounded(one)),
        _ => {}
    }
}

fn lowered<'t>(word: &'t str, place: &'t mut String) -> Cow<'t, str> {
    if !word.is_ascii() {
        return Cow::Owned(word.to_lowercase());
    }
    place.clear();
    place.push_str(word);
    place.make_ascii_lowercase();
    Cow::Borrowed(place)
}

fn bounded(term: &str) -> &str {
    let mut end = term.len().min(LONGEST_TERM);
    while !term.is_char_boundary(end) {
        end -= 1;
    }
    term.get(..end).unwrap_or(term)
}

/// Signs that UAX 29 lets stand inside a word.
fn is_joint(sign: char) -> bool {
    sign.is_ascii_punctuation()
        || matches!(sign, '\u{2018}' | '\u{2019}' | '\u{b7}' | '\u{2027}' | '\u{203f}' | '\u{2040}')
}

/// Thai, Lao, Myanmar, Khmer, and the scripts of China, Japan and Korea. Korean has spaces, but what
/// stands between them is a word with its endings.
fn is_unspaced(sign: char) -> bool {
    matches!(
        u32::from(sign),
        0x0E00..=0x0EFF
            | 0x1000..=0x109F
            | 0x1100..=0x11FF
            | 0x1780..=0x17FF
            | 0x3005..=0x3007
            | 0x3040..=0x312F
            | 0x31F0..=0x31FF
            | 0x3400..=0x4DBF
            | 0x4E00..=0x9FFF
            | 0xAC00..=0xD7AF
            | 0xF900..=0xFAFF
            | 0x2_0000..=0x3_FFFF
    )
}
