//! Which sentence ends are kept, and that any text gives ends that can be cut at.

use proptest::prelude::*;

use super::*;

fn cut(text: &str) -> Vec<&str> {
    let mut start = 0;
    let ends = sentences(text).map(|end| {
        let sentence = &text[start..end];
        start = end;
        sentence
    });
    ends.collect()
}

#[track_caller]
fn is_one(text: &str) {
    assert_eq!(cut(text), [text]);
}

#[track_caller]
fn is_two(first: &str, second: &str) {
    assert_eq!(cut(&format!("{first}{second}")), [first, second]);
}

#[test]
fn an_end_takes_the_white_space_behind_it() {
    is_two("One.  \n\n", "Two.");
    is_two("“Stop!” ", "He ran.");
    is_two("これは文です。", "次の文です。");
    is_two("Really? ", "Yes.");
    assert_eq!(cut(" "), [" "]);
    assert!(cut("").is_empty());
}

#[test]
fn an_abbreviation_ends_nothing() {
    for text in [
        "Dr. Smith met Mrs. Jones.",
        "Fig. 3 and Eq. 4 show it.",
        "See No. 5 on p. 12 for more.",
        "Tools, e.g. Hammers, i.e. Things.",
        "J. R. R. Tolkien and J.R.R. Tolkien.",
        "Born on Jan. 5 in Rome.",
        "We met at 5 p.m. on the bridge.",
        "Nuts, bolts, etc. and more.",
        "Acme Inc. Europe grew.",
        "Das gilt z. B. Montags, d. h. Heute.",
        "Am 3. Oktober ist frei.",
        "Voir p. ex. Paris ou M. Dupont.",
        "La Sra. García vino.",
        "Pi is 3.14 today.",
        "Use v1. 2 instead.",
        "Well ... maybe not.",
        "“Why?” she asked.",
    ] {
        is_one(text);
    }
}

#[test]
fn what_may_stand_at_an_end_does_when_a_sentence_follows() {
    is_two("He works at Acme Inc. ", "The rest stayed.");
    is_two("We bought nuts, etc. ", "Then we left.");
    is_two("We met at 5 p.m. ", "Then we left.");
    is_two("He said no. ", "Then he left.");
    is_two("It was 1990. ", "We were young.");
    is_two("They live in the U.S. ", "They like it.");
}

#[test]
fn a_list_number_stays_with_its_entry() {
    assert_eq!(cut("1. First entry\n2. Second entry\n"), ["1. First entry\n", "2. Second entry\n"]);
    assert_eq!(cut("- one\n- two"), ["- one\n", "- two"]);
}

#[test]
fn a_line_break_inside_a_sentence_is_no_end() {
    is_one("This line goes on\nin the next one.");
    is_one("This line goes on\r\nin the next one.");
    is_two("A heading\n", "Another line");
    is_two("No full stop\n\n", "but a blank line");
}

#[test]
fn custom_endings_are_where_matches_end() {
    let text = "a; b;; c";
    let endings = Regex::new(";+").unwrap();
    let mut seams = SentenceSeams::custom(text, &endings);
    assert_eq!(seams.best(0, 8), Some(7));
    assert_eq!(seams.best(0, 6), Some(3));
    assert_eq!(seams.best(3, 6), None);
    assert_eq!(seams.resume(1, 8), Some(3));
    assert_eq!(seams.resume(0, 8), Some(0));
    let nothing = Regex::new("").unwrap();
    assert_eq!(SentenceSeams::custom("ab c", &nothing).best(0, 2), Some(1));
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "B", "Dr", ".", ". ", "...", "!", "? ", "\n", "\r\n", "\r", "  ", "1", "v1", "e.g.",
        "\"", "”", "(", "。", "é", "\u{301}", "🚀", "\u{2029}", "\u{85}", "- ", "\0", "Inc. ",
        "The ",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat()),
        any::<String>()
    ]
}

proptest! {
    #[test]
    fn ends_increase_and_reach_the_end(text in texts()) {
        let ends: Vec<usize> = sentences(&text).collect();
        prop_assert!(ends.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(ends.iter().all(|end| text.is_char_boundary(*end) && *end > 0));
        prop_assert_eq!(ends.last().copied().unwrap_or(0), text.len());
        for end in ends {
            let behind = &text[end..];
            prop_assert_eq!(behind.trim_start().len(), behind.len(), "white space behind {}", end);
        }
    }

    #[test]
    fn windows_are_answered_as_by_the_list(text in texts(), step in 1_usize..9) {
        let ends: Vec<usize> = sentences(&text).collect();
        let mut seams = SentenceSeams::new(&text);
        for after in (0..text.len()).step_by(step) {
            let upto = after + 3 * step;
            let last = ends.iter().copied().rfind(|end| *end > after && *end <= upto);
            prop_assert_eq!(seams.best(after, upto), last);
            let starts = std::iter::once(0).chain(ends.iter().copied());
            prop_assert_eq!(
                seams.resume(after, upto),
                starts.clone().find(|at| (after..upto).contains(at))
            );
        }
    }
}
