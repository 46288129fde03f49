//! Where Markdown is cut, what it keeps together, and that any text can be read.

use proptest::prelude::*;

use super::*;

/// Greedy pieces of at most `size` bytes, as a simple engine would cut them.
fn pieces(text: &str, size: usize, split_by_headers: bool) -> Vec<&str> {
    let mut seams = markdown(text, split_by_headers);
    let (mut pieces, mut start) = (Vec::new(), 0);
    while start < text.len() {
        let wall = seams.wall(start).unwrap_or(text.len());
        let end = if wall - start <= size {
            wall
        } else {
            seams.best(start, start + size).unwrap_or(wall)
        };
        pieces.push(&text[start..end]);
        start = end;
    }
    pieces
}

const GUIDE: &str = "\
---
title: x
---
# Guide
## Install
Run it. Then wait. Then go.

- one
- two
  goes on

```sh
a
b
```
## Use it `now`
| a | b |
|---|---|
| 1 | 2 |
| 3 | 4 |

See [the docs](https://example.org/a b). End.

Other
=====
Last.
";

#[test]
fn sections_are_walls() {
    let sections = pieces(GUIDE, 10_000, true);
    assert_eq!(sections.len(), 4);
    assert!(sections[0].starts_with("---"));
    assert!(sections[1].starts_with("# Guide\n## Install\n"), "nothing stands between the two");
    assert!(sections[2].starts_with("## Use it"));
    assert!(sections[3].starts_with("Other\n====="));
    assert_eq!(pieces(GUIDE, 10_000, false).len(), 1);
    assert_eq!(pieces("# A\n# B\n## C\nx\n", 100, true), ["# A\n", "# B\n## C\nx\n"]);
}

#[test]
fn the_path_of_headings_is_known_everywhere() {
    let mut seams = markdown(GUIDE, false);
    let mut path = |needle: &str| seams.headings(GUIDE.find(needle).unwrap());
    assert_eq!(path("title"), None);
    assert_eq!(path("# Guide").as_deref(), Some("Guide"));
    let install = path("Run it").unwrap();
    assert_eq!(&*install, "Guide > Install");
    assert!(Arc::ptr_eq(&install, &path("- two").unwrap()));
    assert_eq!(path("| 3").as_deref(), Some("Guide > Use it now"));
    assert_eq!(path("Last").as_deref(), Some("Other"));
    let long = format!("# {}\nx", "ab ".repeat(1000));
    assert!(markdown(&long, false).headings(3000).unwrap().chars().count() <= TITLE_LIMIT);
}

#[test]
fn coarser_seams_win() {
    let text = "# A\n\nOne. Two.\n\nThree.\n\n## B\n\nFour.\n\n# C\n\nFive.\n";
    let mut seams = markdown(text, false);
    assert_eq!(seams.best(0, text.len()), text.find("# C"));
    assert_eq!(seams.best(0, text.find("# C").unwrap() - 1), text.find("## B"));
    assert_eq!(seams.best(0, text.find("## B").unwrap() - 1), text.find("Three"));
    assert_eq!(seams.best(0, text.find("Three").unwrap() - 1), text.find("Two"));
    assert_eq!(seams.best(0, text.find("Two").unwrap() - 1), text.find("One"), "nothing else fits");
    assert_eq!(seams.best(0, 4), None);
}

#[test]
fn entries_rows_and_lines_are_finer_than_blocks() {
    let text = "Intro\n\n- one\n- two\n  - inner. More.\n- three\n\nAfter\n";
    let mut seams = markdown(text, false);
    assert_eq!(seams.best(0, text.len()), text.find("After"));
    let list = text.find("- one").unwrap();
    assert_eq!(seams.best(list, text.find("After").unwrap() - 1), text.find("- three"));
    assert_eq!(seams.best(list, text.find("- three").unwrap() - 1), text.find("- two"));
    let two = text.find("- two").unwrap();
    assert_eq!(seams.best(two, text.find("- three").unwrap() - 1), text.find("  - inner"));
    assert_eq!(seams.best(two + 9, text.find("- three").unwrap() - 1), text.find("More"));
    let mut seams = markdown(GUIDE, false);
    let table = GUIDE.find("| a").unwrap();
    assert_eq!(seams.best(table, table + 32), GUIDE.find("| 3"));
}

#[test]
fn fences_rows_and_links_are_whole() {
    let mut seams = markdown(GUIDE, false);
    let at = |needle: &str| GUIDE.find(needle).unwrap();
    assert_eq!(seams.whole(at("b\n```")), Some(at("```sh")..at("## Use") - 1));
    assert_eq!(seams.whole(at("```sh")), None);
    assert_eq!(seams.whole(at("|---")), Some(at("| a")..at("| 1")));
    assert_eq!(seams.whole(at("2 |")), Some(at("| 1")..at("| 3")));
    assert_eq!(seams.whole(at("now") + 1), Some(at("`now`")..at("`now`") + 5));
    let text = "a [two words](http://x.y \"A. B.\") ![an image](u) <http://a.b> `some code` c";
    let mut seams = markdown(text, false);
    for (inside, whole) in [
        ("words", "[two words](http://x.y \"A. B.\")"),
        ("image", "![an image](u)"),
        ("a.b", "<http://a.b>"),
        ("code", "`some code`"),
    ] {
        assert_eq!(&text[seams.whole(text.find(inside).unwrap()).unwrap()], whole);
    }
    assert_eq!(seams.best(0, text.len()), None, "the full stop stands inside of a link");
}

#[test]
fn text_repeated_begins_at_a_sentence() {
    let text = "One is here. Two is here. Three is here.\n\nNext.\n";
    let mut seams = markdown(text, false);
    let next = text.find("Next").unwrap();
    assert_eq!(seams.resume(1, next), text.find("Two"));
    assert_eq!(seams.resume(20, next), text.find("Three"));
    assert_eq!(seams.resume(30, next), None);
    let end = GUIDE.find("## Use").unwrap();
    assert_eq!(markdown(GUIDE, false).resume(end - 5, end), None, "not inside of a fence");
}

#[test]
fn carriage_returns_change_nothing() {
    let text = GUIDE.replace('\n', "\r\n");
    let theirs: Vec<_> = pieces(&text, 60, true).iter().map(|it| it.replace('\r', "")).collect();
    let size = 60;
    assert!(
        pieces(&text, size, true).iter().all(|piece| piece.ends_with('\n') || piece.contains(". "))
    );
    assert_eq!(theirs.concat(), GUIDE);
    assert_eq!(pieces(&text, 10_000, true).len(), 4);
}

#[test]
fn lines_that_nest_too_deeply_stand_alone() {
    let deep = format!("One.\n\n{} a\nlazy\n\n# Title\nx\n", "> ".repeat(5000));
    let mut seams = markdown(&deep, true);
    assert_eq!(seams.wall(0), deep.find("# Title"));
    assert!(!nests_deeply(&"- ".repeat(100)), "a rule");
    assert!(!nests_deeply(&"-".repeat(100)));
    assert!(nests_deeply(&"> - ".repeat(100)));
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "Word. ",
        "B",
        "\n",
        "\n\n",
        "\r\n",
        "# ",
        "## ",
        "### ",
        "\n# T\n",
        "- ",
        "1. ",
        "> ",
        "```\n",
        "~~~",
        "    ",
        "\t",
        "| a | b |\n|---|---|\n",
        "| c | d |\n",
        "[l](u v)",
        "[",
        "](",
        "`",
        "``",
        "<b>",
        "\n<div>\n",
        "---\n",
        "===\n",
        "***",
        "*",
        "_",
        "[x]: y\n",
        "[^1]",
        "é",
        "世",
        "🚀",
        "\u{feff}",
        "\0",
        "<http://x>",
        "![",
        "~~",
        "- [ ] ",
    ]);
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn seams_can_be_cut_at(text in texts(), size in 1_usize..40, by_headers: bool) {
        let seams = markdown(&text, by_headers);
        let inner = |at: &usize| *at > 0 && *at <= text.len() && text.is_char_boundary(*at);
        for range in &seams.prose {
            prop_assert!(text.get(range.clone()).is_some_and(|prose| !prose.is_empty()));
        }
        prop_assert!(seams.prose.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", seams.prose);
        let mut seams = markdown(&text, by_headers);
        let (mut walls, mut wall) = (0, 0);
        while let Some(next) = seams.wall(wall) {
            prop_assert!(next > wall && inner(&next));
            (walls, wall) = (walls + 1, next);
        }
        prop_assert!(by_headers || walls == 0);
        for after in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            if let Some(at) = seams.best(after, after + size) {
                prop_assert!(at > after && at <= after + size && inner(&at));
            }
            if let Some(at) = seams.resume(after, after + size) {
                prop_assert!(at >= after && at < after + size && text.is_char_boundary(at));
            }
            if let Some(whole) = seams.whole(after) {
                prop_assert!(whole.start < after && after < whole.end);
                prop_assert!(text.get(whole).is_some());
            }
            seams.headings(after);
        }
        prop_assert_eq!(pieces(&text, size, by_headers).concat(), text.as_str());
    }

    #[test]
    fn any_text_can_be_read(text: String) {
        prop_assert_eq!(pieces(&text, 5, true).concat(), text.as_str());
    }
}
