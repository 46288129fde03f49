//! Piece starts of 64 bytes at once, as one bit a byte.
//!
//! Going from word to word costs a mispredicted branch or two a word. Here the kinds of 64 bytes become
//! bitmaps, and where pieces start follows from shifts and additions of those, whatever the pieces are.
//! What bitmaps cannot tell is left out: bits are given up to the first place that needs a closer look,
//! and [`scan`](super::scan) takes the piece there. So the answer may be incomplete, but never wrong.

use super::classes::{Class, Classes, decode};
use super::scan::{Pattern, Scan, contraction};
use crate::lanes::{BLOCK, flag_of, gathered};

/// The kinds of the bytes of a block, a bit each; a character's bytes are all of its kind.
#[derive(Default)]
struct Kinds {
    upper: u64,
    lower: u64,
    /// Letters without case.
    caseless: u64,
    number: u64,
    symbol: u64,
    space: u64,
    /// White space that is neither a space nor a line end.
    blank: u64,
    newline: u64,
    apostrophe: u64,
    /// All but the first bytes of characters.
    inner: u64,
    /// Where the first byte stands that is none of these; 64 if all are.
    cut: u32,
}

impl Kinds {
    #[inline(always)]
    fn of<S: Scan>(classes: &Classes, block: &[u8; BLOCK]) -> Self {
        // Three bits a byte tell the eight kinds apart, so three maps are gathered and not eight.
        let (mut first, mut second, mut third) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        let bits = first.iter_mut().zip(&mut second).zip(&mut third);
        for (((first, second), third), byte) in bits.zip(block) {
            let byte = *byte;
            let upper = byte.wrapping_sub(b'A') < 26;
            let lower = byte.wrapping_sub(b'a') < 26;
            let number = byte.wrapping_sub(b'0') < 10;
            let newline = (byte == b'\n') | (byte == b'\r');
            let control = byte.wrapping_sub(b'\t') < 5;
            let space = byte == b' ';
            let special = (byte >= 0x80) | (byte == b'\'') | (byte == 0);
            *first = flag_of(upper | number | newline | special);
            *second = flag_of(lower | number | (control & !newline) | special);
            *third = flag_of(space | control | special);
        }
        let (first, second, third) = (gathered(&first), gathered(&second), gathered(&third));
        let mut kinds = Self {
            symbol: !(first | second | third),
            upper: first & !second & !third,
            lower: !first & second & !third,
            number: first & second & !third,
            space: !first & !second & third,
            newline: first & !second & third,
            blank: !first & second & third,
            cut: 64,
            ..Self::default()
        };
        let special = first & second & third;
        if special != 0 {
            kinds.look_closer::<S>(classes, block, special);
        }
        kinds
    }

    /// Finds the kinds of what is not plain ASCII, in order, until one cannot be told.
    #[inline(always)]
    fn look_closer<S: Scan>(&mut self, classes: &Classes, block: &[u8; BLOCK], mut special: u64) {
        // By class, without a branch on it: capitals, small letters and marks alternate at random.
        // Ideographs do not.
        let (mut sets, mut caseless) = ([0_u64; 8], 0);
        while special != 0 {
            let place = special.trailing_zeros();
            let at = place as usize % BLOCK;
            let lead = block.get(at).copied().unwrap_or_default();
            if lead >= 0x80 {
                let (code, width) = decode(block, at);
                if at + width > BLOCK {
                    self.cut = place;
                    break;
                }
                let bits = ((1 << width) - 1) << place;
                let class = classes.of(code);
                if class == Class::Caseless {
                    caseless |= bits;
                } else if let Some(set) = sets.get_mut(class as usize) {
                    *set |= bits;
                }
                self.inner |= bits & bits << 1;
                special &= !bits;
            } else if lead == b'\'' && at + 3 < BLOCK {
                // Behind an apostrophe up to two more letters matter.
                self.symbol |= 1 << place;
                self.apostrophe |= 1 << place;
                special &= special - 1;
            } else {
                // The byte zero pads the keys of pieces, so it must not be in one.
                self.cut = place;
                break;
            }
        }
        let [other, mark, upper, lower, _, number, space, newline] = sets;
        self.upper |= upper;
        self.lower |= lower;
        self.symbol |= other;
        self.blank |= space;
        self.caseless = caseless;
        // Numbers are counted in characters, and o200k's marks are letters and symbols at once.
        let mut unclear = number | newline;
        if S::PATTERN == Pattern::O200k {
            unclear |= mark;
        } else {
            self.symbol |= mark;
        }
        self.cut = self.cut.min(unclear.trailing_zeros());
    }
}

/// Whether the first piece begins with a character that is not ASCII, or the one behind a prefix.
#[inline(always)]
pub(super) fn begins_wide([first, second, ..]: &[u8; BLOCK]) -> bool {
    (first | second) >= 0x80
}

/// Where pieces start in a block that starts with one: bit `i` for byte `i`, but not bit 0. There may
/// be more behind the last of them; a piece ends at every bit given.
#[inline(always)]
pub(super) fn starts<S: Scan>(classes: &Classes, block: &[u8; BLOCK]) -> u64 {
    let kinds = Kinds::of::<S>(classes, block);
    let Kinds { upper, lower, caseless, number, symbol, space, blank, newline, inner, .. } = kinds;
    let letter = upper | lower | caseless;
    let gap = space | blank;
    let white = gap | newline;
    // Starts at a bit below this one hold.
    let mut limit = u64::MAX;

    // The last of white space, by its first byte.
    let mut last = white & !(white >> 1);
    if inner != 0 {
        for _ in 0..2 {
            let late = last & inner;
            last ^= late | late >> 1;
        }
    }

    let symbols = symbol & !((symbol | space) << 1);
    let mut starts = match S::PATTERN {
        Pattern::Gpt2 => {
            let letters = letter & !((letter | space) << 1);
            let numbers = number & !((number | space) << 1);
            letters | numbers | symbols | white & !(white << 1) | last
        }
        Pattern::Cl100k | Pattern::O200k => {
            // A symbol is a prefix if it is the only one and no space stands before it.
            let after_one = (symbols << 1).wrapping_add(inner) & !inner;
            let mut letters = letter & !((letter | gap) << 1 | after_one);
            if S::PATTERN == Pattern::O200k {
                letters |= upper & lower << 1;
                // Whether capitals go on with a caseless word depends on what follows them.
                let mixed = upper & caseless << 1;
                limit &= (mixed & mixed.wrapping_neg()).wrapping_sub(1);
            }
            // `[\r\n]*` behind symbols: adding to a run of bits at its first carries to its end.
            let taken = newline & !newline.wrapping_add(newline & symbol << 1);
            if S::PATTERN == Pattern::O200k {
                // `[\r\n/]*`
                let mut behind = symbol & taken << 1;
                while behind != 0 {
                    let place = behind.trailing_zeros();
                    if block.get(place as usize & (BLOCK - 1)) == Some(&b'/') {
                        limit &= (1 << place) - 1;
                    }
                    behind &= behind - 1;
                }
            }
            // `\s*[\r\n]` goes on to the last line end, so what follows one must not lead to another.
            let indent = gap & newline << 1;
            let within = indent & !(taken << 1);
            let more = within.wrapping_add(gap) & !gap & newline;
            if more != 0 {
                let before = within & ((more & more.wrapping_neg()) - 1);
                limit &= (u64::MAX >> 1) >> before.leading_zeros();
            }
            letters
                | symbols
                | by_threes(number)
                | white & !(white << 1) & !taken
                | indent
                | last & gap
        }
    };
    // White space at the end may go on behind the block, and so may anything before the cut.
    let unknown = if kinds.cut < 64 { u64::MAX << kinds.cut } else { 0 };
    let known = !(white | unknown);
    if known == 0 {
        return 0;
    }
    limit &= (u64::MAX >> (known.leading_zeros() & 63)) << 1 | 1;
    let after = match S::PATTERN {
        // At the start of a piece, or behind a word.
        Pattern::Gpt2 | Pattern::Cl100k => symbols,
        Pattern::O200k => letter << 1,
    };
    let mut marks = kinds.apostrophe & after & letter >> 1;
    let mut last_end = 0;
    while marks != 0 {
        let place = marks.trailing_zeros() as usize;
        marks &= marks - 1;
        let Some(end) = contraction(block, place, S::PATTERN != Pattern::Gpt2) else { continue };
        // Only one may follow a word; the next apostrophe is a prefix.
        if S::PATTERN == Pattern::O200k && place == last_end {
            continue;
        }
        last_end = end;
        let own = if S::PATTERN == Pattern::O200k { place } else { place + 1 };
        starts = starts & !((1_u64 << end) - (1 << own)) | 1 << end;
    }
    starts & limit & !1
}

/// `\p{N}{1,3}`
#[inline(always)]
fn by_threes(number: u64) -> u64 {
    let mut starts = number & !(number << 1);
    let fourth = number & number << 1 & number << 2 & number << 3;
    loop {
        let more = starts << 3 & fourth & !starts;
        if more == 0 {
            return starts;
        }
        starts |= more;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Encoding;

    /// The pieces that are walked over are those of the scanner, and so are their numbers of tokens.
    fn check(text: &str) {
        for encoding in Encoding::ALL {
            let ours = encoding.tokenizer();
            let mut walked = Vec::new();
            ours.advance(text, 0, usize::MAX, |end, tokens| walked.push((end, tokens)));
            let (mut scanned, mut at, mut tokens) = (Vec::new(), 0, 0);
            while at < text.len() {
                let end = ours.piece_end(text, at);
                tokens += ours.count_piece(&text[at..end]);
                scanned.push((end, tokens));
                at = end;
            }
            assert_eq!(walked, scanned, "{encoding} {text:?}");
            assert_eq!(ours.count(text), tokens);
        }
    }

    /// What the bitmaps tell apart, and what they leave to the scanner.
    const PARTS: [&str; 64] = [
        "a", "b", "the", "A", "B", "HTML", "aB", "s", "S", "T", "t", "re", "VE", "ll", "d", "m",
        " ", " ", "  ", "    ", "\n", "\n\n", "\r\n", "\r", "\t", "\u{b}", "\0", "1", "23", "4567",
        "'", "'s", "'S", "''", "'re", "'L", "'\u{17f}", "\u{17f}", ".", "//", "/", "!", "(", "_",
        "é", "É", "ß", "ǅ", "ª", "ж", "Ж", "ς", "\u{301}", "²", "\u{a0}", "\u{2028}", "\u{85}",
        "’", "“", "中", "の", "\u{3000}", "🚀", "\u{200d}",
    ];

    proptest! {
        #[test]
        fn blocks_agree_with_the_scanner(
            parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..120),
        ) {
            check(&parts.concat());
        }

        #[test]
        fn blocks_of_plain_text_agree_with_the_scanner(
            parts in proptest::collection::vec(proptest::sample::select(&PARTS[..44]), 0..200),
        ) {
            check(&parts.concat());
        }

        #[test]
        fn blocks_of_few_kinds_agree_with_the_scanner(
            few in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 2..5),
            order in proptest::collection::vec(0_usize..5, 0..150),
        ) {
            let text: String = order.iter().filter_map(|place| few.get(*place)).copied().collect();
            check(&text);
        }
    }

    #[test]
    fn whatever_stands_at_the_edge_of_a_block() {
        let tails = ["", "a", " ", "\n", "'s", "é", "中", "/", "1", "A", "!", "\t", "\u{a0}x"];
        for part in PARTS {
            for place in [0, 1].into_iter().chain(58..67) {
                for filler in ["a", "ab ", "1", "\n", "é"] {
                    let mut text: String = filler.chars().cycle().take(place).collect();
                    text.push_str(part);
                    for tail in tails {
                        check(&format!("{text}{tail}"));
                        check(&format!("{text}{tail}word, and so on"));
                    }
                }
            }
        }
    }

    #[test]
    fn texts_of_every_length() {
        let text = "It's Émile’s naïve “Übergröße”:\r\n\t// x_1 = 3.14159;\n\n   日本語 don't  ";
        for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
            check(&text[..end]);
            check(&text[end..]);
            check(&format!("{0}{0}", &text[..end]));
        }
    }
}
