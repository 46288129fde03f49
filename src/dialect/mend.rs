//! JSON as some servers write it, made what a strict parser takes.
//!
//! Python's `json` writes numbers that are none, and the half of a character where a text was cut; so do servers in
//! JavaScript, which cut texts in streams between two halves. One such word costs the whole answer. Only what a
//! parser has refused comes here, and what is no JSON at all stays that.

/// `json` with `null` in the place of `NaN` and `Infinity`, and with whole characters only. `half` keeps a first half
/// that ends a string, for the second half in a later frame; where there is none, a half becomes U+FFFD.
pub(super) fn mended(json: &str, half: Option<&mut Option<u16>>) -> String {
    let mut lost = None;
    let carries = half.is_some();
    let half = half.unwrap_or(&mut lost);
    let mut plain = String::with_capacity(json.len());
    let (mut rest, mut inside) = (json, false);
    while let Some(at) = rest.find(['"', '\\', 'N', 'I', '-']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        let word = ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| from.starts_with(word));
        let taken = match word {
            Some(word) if !inside => {
                plain.push_str("null");
                word.len()
            }
            _ if from.starts_with('"') => {
                inside = !inside;
                plain.push('"');
                1
            }
            _ => match unit(from) {
                Some(first @ 0xd800..=0xdbff) => {
                    let behind = from.get(6..).unwrap_or_default();
                    if let Some(whole) = unit(behind).and_then(|second| joined(first, second)) {
                        plain.push(whole);
                        12
                    } else {
                        if carries && behind.starts_with('"') {
                            *half = Some(first);
                        } else {
                            plain.push(char::REPLACEMENT_CHARACTER);
                        }
                        6
                    }
                }
                Some(second @ 0xdc00..=0xdfff) => {
                    let whole = half.take().and_then(|first| joined(first, second));
                    plain.push(whole.unwrap_or(char::REPLACEMENT_CHARACTER));
                    6
                }
                // Another escape, or a letter that begins no such word.
                _ => {
                    let length = if from.starts_with('\\') { 2 } else { 1 };
                    let length = from.char_indices().nth(length).map_or(from.len(), |(at, _)| at);
                    plain.push_str(from.get(..length).unwrap_or_default());
                    length
                }
            },
        };
        rest = from.get(taken..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// The number behind `\u` at the beginning of `text`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

fn joined(first: u16, second: u16) -> Option<char> {
    char::decode_utf16([first, second]).next()?.ok().filter(|whole| whole.len_utf16() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_no_json_is_told_from_what_was_meant() {
        for (sent, meant) in [
            (r#"{"a":NaN,"b":[Infinity,-Infinity,-1]}"#, json!({"a": null, "b": [null, null, -1]})),
            (r#""NaN \"Infinity -Infinity""#, json!("NaN \"Infinity -Infinity")),
            (r#""x\ud83d""#, json!("x\u{fffd}")),
            (r#""\ude00 \ud83dy \\ud83d""#, json!("\u{fffd} \u{fffd}y \\ud83d")),
            (r#"["\ud83d\ude00é\u00e9", NaN]"#, json!(["😀éé", null])),
        ] {
            assert_eq!(
                serde_json::from_str::<Value>(&mended(sent, None)).unwrap(),
                meant,
                "{sent}"
            );
        }
        assert_eq!(mended("<html>\\", None), "<html>\\");
    }

    #[test]
    fn halves_meet_across_frames() {
        let mut half = None;
        assert_eq!(mended(r#"{"t":"a\ud83d"}"#, Some(&mut half)), r#"{"t":"a"}"#);
        assert_eq!(mended(r#"{"t":"\ude00b"}"#, Some(&mut half)), r#"{"t":"😀b"}"#);
        assert_eq!(
            (mended(r#""\ude00""#, Some(&mut half)), half),
            ("\"\u{fffd}\"".to_owned(), None)
        );
    }

    proptest! {
        #[test]
        fn json_means_what_it_did(text in any::<String>(), number in any::<i32>()) {
            let value = json!({ "text": text, "number": number, (text): [true, null] });
            let again: Value = serde_json::from_str(&mended(&value.to_string(), None)).unwrap();
            prop_assert_eq!(again, value);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\PC\"\\\\uNaId8-]{0,40}") {
            mended(&text, Some(&mut None));
        }
    }
}
