//! What every policy promises, on chosen and on generated texts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::{Mask, Policy, Reveal};
use crate::error::Kind;

const TOKEN: &str = "<[^<>]*:[0-9a-f]{8}-[0-9]{3}>";

fn policy(rules: &[(&str, &str)], mapping: bool) -> Arc<Policy> {
    let rules: Value = rules
        .iter()
        .map(|(name, pattern)| json!({"type": "regex", "name": name, "pattern": pattern}))
        .collect();
    let document = json!({"guardrail_policy": {"pii_rules": rules, "mapping": mapping}});
    Arc::new(Policy::from_json(&document.to_string()).unwrap())
}

fn mask(rules: &[(&str, &str)]) -> Mask {
    Mask::new(policy(rules, true))
}

/// The text with `<NAME>` in the place of its tokens.
fn names(text: &str) -> String {
    Regex::new(r"<([^<>]*):[0-9a-f]{8}-[0-9]{3}>").unwrap().replace_all(text, "<$1>").into_owned()
}

fn between_tokens(text: &str) -> Vec<String> {
    Regex::new(TOKEN).unwrap().split(text).map(str::to_owned).collect()
}

#[test]
fn what_a_rule_matches_becomes_its_token_and_comes_back() {
    let mut mask = mask(&[("EMAIL", r"[a-z]+@[a-z]+\.com"), ("phone no", r"\d{3}-\d{4}")]);
    let text = "joe@x.com, 555-1234, joe@x.com";
    let hidden = mask.encode(text);
    assert_eq!(names(&hidden), "<EMAIL>, <phone no>, <EMAIL>");
    let tokens: BTreeSet<_> =
        Regex::new(TOKEN).unwrap().find_iter(&hidden).map(|found| found.as_str()).collect();
    assert_eq!(tokens.len(), 2, "equal values have equal tokens: {hidden}");
    let applied = mask.take_encoded();
    assert_eq!((applied.count, applied.names), (3, vec!["EMAIL".into(), "phone no".into()]));
    assert_eq!(mask.decode(&hidden), text);
    assert_eq!((mask.take_decoded().count, mask.take_decoded().count), (3, 0));
    assert_eq!(mask.encode(&hidden), hidden);
    assert_eq!(mask.take_encoded().count, 0);
}

#[test]
fn a_place_goes_to_the_first_then_the_longest_then_the_first_listed() {
    for (rules, text, expected) in [
        (&[("BC", "bc"), ("AB", "ab")][..], "abc", "<AB>c"),
        (&[("A", "a"), ("ABC", "abc")], "abc a", "<ABC> <A>"),
        (&[("ONE", "ab"), ("OTHER", "a[b]")], "ab", "<ONE>"),
        (&[("EMPTY", ""), ("MAYBE", "x*")], "axa", "a<MAYBE>a"),
        (&[("START", r"^\w+ ")], "ab cd ef", "<START>cd ef"),
        // What stands beside a token is another word than before.
        (&[("WORD", r"\bfoo\b"), ("LINE", "_+")], "foo_", "<WORD><LINE>"),
        (&[("X", r"x\b")], "xxxxxxxxxxxxxxxxxxxx!", "<X>"),
        (&[("É", "é")], "aéb<", "a<É>b<"),
    ] {
        let mut mask = mask(rules);
        let hidden = mask.encode(text);
        if text.starts_with("xxx") {
            assert!(!between_tokens(&hidden).concat().contains('x'), "{hidden}");
        } else {
            assert_eq!(names(&hidden), expected);
        }
        assert_eq!(mask.decode(&hidden), text);
    }
}

#[test]
fn tokens_say_nothing_of_their_values_and_belong_to_one_mask() {
    let rules = [("E", "[a-z]+@x")];
    let (mut one, mut other) = (mask(&rules), mask(&rules));
    let (first, second) = (one.encode("joe@x"), other.encode("joe@x"));
    assert_ne!(first[..11], second[..11]);
    assert_eq!(other.decode(&first), first);
    assert_eq!(one.decode(&format!("{first}{second}")), format!("joe@x{second}"));
    assert!(!format!("{one:?}").contains("joe"));
}

#[test]
fn the_last_three_digits_do_not_matter_and_everything_else_does() {
    let mut mask = mask(&[("E", "[a-z]+@x")]);
    let hidden = mask.encode("joe@x");
    let number = hidden[3..11].to_owned();
    assert_eq!(mask.decode(&format!("<E:{number}-000><E:{number}-999>")), "joe@xjoe@x");
    for other in [
        format!("<F:{number}-000>"),
        format!("<E:{number}-00>"),
        format!("<E:{number}-0000>"),
        format!("<E:{number}_000>"),
        format!("<E:{number}0-000>"),
        format!("<E:{}-000>", &number[1..]),
        format!("E:{number}-000>"),
        format!("<E:{number}-000"),
    ] {
        assert_eq!(mask.decode(&other), other);
    }
}

#[test]
fn values_with_quotes_leave_json_whole() {
    let mut mask = mask(&[("N", r#"joe "the\\?" [a-z]+"#)]);
    let value = r#"joe "the\" smith"#;
    let hidden = mask.encode(value);
    let answer = mask.decode(&format!(r#"{{"name": "{hidden}", "n": [1.50]}}"#));
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["name"], value);
    assert!(answer.ends_with(r#""n": [1.50]}"#), "{answer}");
    assert_eq!(mask.decode(&format!("{{{hidden}}}")), format!("{{{value}}}"));
}

#[test]
fn json_is_hidden_in_depth_and_comes_back() {
    let mut mask = mask(&[("E", "[a-z]+@x"), ("N", r"\d{9}")]);
    let value = json!({"a@x": [{"deep": "to a@x"}, 123_456_789, 5, true, null], "b": "b@x"});
    let hidden = mask.encode_json(&value);
    let written = hidden.to_string();
    assert!(!written.contains("@x") && !written.contains("123456789"), "{written}");
    let mut expected = value.clone();
    // Tokens are texts.
    expected["a@x"][1] = "123456789".into();
    assert_eq!(mask.decode_json(&hidden), expected);
}

#[test]
fn schemas_keep_their_structure() {
    let mut mask = mask(&[("E", "[a-z]+@x"), ("T", "object|string|to")]);
    let schema = json!({
        "type": "object",
        "description": "to a@x",
        "properties": {"to": {"type": "string", "enum": ["a@x"], "default": "b@x"}},
        "required": ["to"],
    });
    let hidden = mask.encode_schema(&schema);
    assert!(!hidden.to_string().contains("@x"), "{hidden}");
    assert_eq!((&hidden["type"], &hidden["required"]), (&json!("object"), &json!(["to"])));
    assert_eq!(hidden["properties"]["to"]["type"], "string");
    assert_eq!(mask.decode_json(&hidden), schema);
}

#[test]
fn a_stream_shows_all_but_what_may_become_a_token() {
    let mut mask = mask(&[("E", "[a-z]+@x")]);
    let hidden = mask.encode("joe@x");
    let mut reveal = Reveal::default();
    let mut push = |piece: &str| reveal.push(&mask, piece);
    assert_eq!(push("a < b, <EM> <E:zz> "), "a < b, <EM> <E:zz> ");
    assert_eq!(push("see <"), "see ");
    assert_eq!(push(&hidden[1..7]), "");
    assert_eq!(push(&format!("{}!<E", &hidden[7..])), "joe@x!");
    assert_eq!(push("!"), "<E!");
    assert_eq!(push(&hidden[..14]), "");
    assert_eq!(reveal.finish(), &hidden[..14]);
    // Nothing has been given out: nothing is held back.
    let fresh = Mask::new(policy(&[("E", "x@x")], true));
    assert_eq!(Reveal::default().push(&fresh, "<E:"), "<E:");
}

#[test]
fn what_a_policy_does_follows_from_its_document() {
    for (document, active, masks, maps) in [
        (r"{}", false, false, false),
        (r"[]", false, false, false),
        (r#"{"active": true}"#, true, true, false),
        (r#"{"guardrail_policy": null}"#, true, true, false),
        (r#"{"guardrail_policy": {"masking": true}}"#, true, true, false),
        (r#"{"guardrail_policy": {"mapping": true}}"#, true, true, true),
        (r#"{"guardrail_policy": {"masking": false, "mapping": true}}"#, true, true, true),
        (r#"{"guardrail_policy": {"masking": false}}"#, true, false, false),
        (r#"{"guardrail_policy": {"masking": "no", "mapping": false}}"#, true, true, false),
        (r#"{"active": false, "guardrail_policy": {"mapping": true}}"#, false, false, false),
        (r#"{"active": "yes", "guardrail_policy": {}}"#, false, false, false),
    ] {
        let policy = Policy::from_json(document).unwrap();
        let found = (policy.is_active(), policy.masks(), policy.maps());
        assert_eq!(found, (active, masks, maps), "{document}");
        let again = Policy::from_json(&policy.document().to_string()).unwrap();
        assert_eq!((again.effect(), again.document()), (policy.effect(), policy.document()));
    }
}

#[test]
fn what_cannot_be_used_is_refused_and_what_is_unknown_passed_over() {
    let rule = |pattern: &str| {
        json!({"active": false, "guardrail_policy": {"pii_rules": [
            {"type": "dictionary", "name": "a", "pattern": "("},
            {"type": "regex", "pattern": "("},
            {"type": "regex", "name": "NAME", "pattern": pattern},
        ]}})
        .to_string()
    };
    for (document, words) in [
        ("{".to_owned(), "not valid JSON"),
        (r#"{"policy_name": ""}"#.to_owned(), "'policy_name' is empty"),
        (r#"{"policy_version": ""}"#.to_owned(), "'policy_version' is empty"),
        (rule("("), "rule 'NAME' (number 3): unclosed group"),
        (rule("a(?=b)"), "rule 'NAME' (number 3): look-around"),
        (rule(r"(a)\1"), "rule 'NAME' (number 3): backreferences are not supported"),
        (rule(r"\w{1000}{1000}"), "bytes when compiled"),
        (rule(r"\p{Nothing}"), "Unicode property not found"),
    ] {
        let error = Policy::from_json(&document).unwrap_err();
        assert_eq!(error.kind(), Kind::GuardRail);
        assert!(error.message().starts_with("GuardRail config error: "), "{error}");
        assert!(error.message().contains(words), "{error}");
        assert!(!error.message().contains('\n'), "{error}");
    }
    assert_eq!(Policy::from_json(&rule("x")).unwrap().rules().len(), 1);
    assert_eq!(Policy::from_json("\u{feff}{}").unwrap().name(), "default");
}

/// Rules that overlap, border on each other, ask for what stands around them, and match nothing.
fn rules() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let all = [
        ("A", "a+"),
        ("AB", "ab|ba"),
        ("WORD", r"\b[ab]{3}\b"),
        ("LONG", "[a-c ]{4,}"),
        ("START", "^[a-z]"),
        ("END", "[0-9]$"),
        ("EMPTY", "b*"),
        ("HEX", "[0-9a-f]{8}"),
        ("TAG", "<[A-Z]+:"),
        ("NOT", r"\Bc"),
        ("A", "é"),
        ("DIGITS", r"\d{3}"),
    ];
    prop::sample::subsequence(all.to_vec(), 1..6)
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abc _<>0-9é\n-]{0,40}",
        "([ab]{0,4}<(A|AB|HEX):[0-9a-f]{8}-[0-9]{3}>){0,3}",
        r"\PC{0,40}",
    ]
}

proptest! {
    #[test]
    fn encoding_hides_every_match_and_decoding_undoes_it(rules in rules(), text in texts()) {
        let mut mask = mask(&rules);
        let hidden = mask.encode(&text);
        prop_assert_eq!(mask.decode(&hidden), text.as_str());
        prop_assert_eq!(mask.encode(&hidden), hidden.as_str());
        // By another engine, which knows nothing of tokens: what is left is in a token or part of one.
        let tokens: Vec<_> =
            Regex::new(TOKEN).unwrap().find_iter(&hidden).map(|found| found.range()).collect();
        for (name, pattern) in rules {
            for found in Regex::new(pattern).unwrap().find_iter(&hidden) {
                let touches = |token: &std::ops::Range<usize>| {
                    found.start() < token.end && token.start < found.end()
                };
                prop_assert!(
                    found.is_empty() || tokens.iter().any(touches),
                    "{name} finds {:?} in {hidden:?}", found.as_str()
                );
            }
        }
    }

    #[test]
    fn a_conversation_keeps_its_tokens(rules in rules(), texts in prop::collection::vec(texts(), 1..5)) {
        let mut mask = mask(&rules);
        let hidden: Vec<_> = texts.iter().map(|text| mask.encode(text)).collect();
        for (text, hidden) in texts.iter().zip(&hidden) {
            prop_assert_eq!(&mask.decode(hidden), text);
            prop_assert_eq!(&mask.encode(hidden), hidden);
        }
    }

    #[test]
    fn pieces_show_what_the_whole_shows(
        rules in rules(), text in texts(), cuts in prop::collection::vec(0_usize..60, 0..8),
    ) {
        let mut mask = mask(&rules);
        let hidden = mask.encode(&text);
        let cuts: BTreeSet<_> = cuts.into_iter().filter(|cut| hidden.is_char_boundary(*cut)).collect();
        let (mut reveal, mut shown, mut from) = (Reveal::default(), String::new(), 0);
        for cut in cuts.into_iter().filter(|cut| *cut <= hidden.len()) {
            shown += &reveal.push(&mask, &hidden[from..cut]);
            from = cut;
        }
        shown += &reveal.push(&mask, &hidden[from..]);
        shown += &reveal.finish();
        prop_assert_eq!(shown, text);
    }
}
