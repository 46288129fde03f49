use base64::prelude::{BASE64_STANDARD, Engine};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn refusal(body: &str, texts: usize) -> String {
    let error = decode(body.as_bytes(), texts, "OpenAI").unwrap_err();
    assert_eq!(error.kind(), Kind::Decode);
    error.message().to_owned()
}

fn base64(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}

#[test]
fn the_body_holds_what_was_asked_and_nothing_else() {
    let texts = ["a\"b".to_owned(), "é".to_owned()];
    let plain = Request::default();
    assert_eq!(plain.encode(&texts, false).unwrap(), r#"{"input":["a\"b","é"]}"#);
    assert_eq!(plain.encode(&texts[..1], false).unwrap(), r#"{"input":["a\"b"]}"#);
    assert_eq!(plain.encode(&texts[..1], true).unwrap(), r#"{"input":"a\"b"}"#);
    let fields = [("encoding_format", json!("base64")), ("dimensions", json!(8))];
    let full = Request { model: Some("m"), fields: &fields, ..plain };
    let expected = r#"{"model":"m","input":"é","encoding_format":"base64","dimensions":8}"#;
    assert_eq!(full.encode(&texts[1..], true).unwrap(), expected);
    let named = Request { texts: "texts", ..plain };
    assert_eq!(named.encode(&texts[1..], false).unwrap(), r#"{"texts":["é"]}"#);
}

#[test]
fn both_encodings_and_missing_fields_are_read() {
    let encoded = base64(&[0.1, -2.0]);
    let escaped = base64(&[f32::from_bits(0x3fff_ffff)]).replace('/', "\\/");
    assert!(escaped.contains("\\/"), "{escaped}");
    let body = format!(
        r#"{{"object":"list","data":[{{"embedding":"{encoded}"}},{{"embedding":[1,2.5]}}]}}"#
    );
    let answer = decode(body.as_bytes(), 2, "OpenAI").unwrap();
    assert_eq!(answer.vectors.as_slice(), [0.1, -2.0, 1.0, 2.5]);
    assert_eq!(answer.usage, EmbeddingUsage::default());
    let unpadded = base64(&[1.0]).trim_end_matches('=').to_owned();
    let body = format!(
        r#"{{"data":[{{"embedding":"{escaped}"}},{{"embedding":"{unpadded}"}}],
        "usage":{{"prompt_tokens":3,"total_tokens":null}}}}"#
    );
    let answer = decode(body.as_bytes(), 2, "OpenAI").unwrap();
    assert_eq!(answer.vectors.as_slice(), [f32::from_bits(0x3fff_ffff), 1.0]);
    assert_eq!(answer.usage.prompt_tokens, 3);
    let total = br#"{"data":[{"embedding":[1]}],"usage":{"total_tokens":7.0}}"#;
    let usage = EmbeddingUsage { prompt_tokens: 7, total_tokens: 7 };
    assert_eq!(decode(total, 1, "OpenAI").unwrap().usage, usage);
}

#[test]
fn what_cannot_be_trusted_is_refused() {
    assert!(refusal("<html>", 1).starts_with("Failed to parse OpenAI response: "));
    let error = refusal(r#"{"error":"no such model"}"#, 1);
    assert!(error.starts_with("Invalid response format from OpenAI") && error.contains("model"));
    assert_eq!(refusal(r#"{"data":[]}"#, 1), "No embeddings returned");
    let one = |vector: &str| refusal(&format!(r#"{{"data":[{{"embedding":{vector}}}]}}"#), 1);
    for vector in ["[1,null]", "[1,\"2\"]", "[true]", "{}", "7", "null", "[1e999]", "[1e39]"] {
        assert!(one(vector).starts_with("Failed to parse OpenAI response"), "{vector}");
    }
    let nan = format!("\"{}\"", base64(&[1.0, f32::NAN]));
    for vector in ["[]", "\"\"", "\"****\"", "\"AAA=\"", &nan] {
        assert!(one(vector).starts_with("Invalid embedding format: embedding 0"), "{vector}");
    }
    let whole = base64(&[1.0, 2.0, 3.0]);
    for long in [format!("\"{}=\"", base64(&[1.0, 2.0])), format!("\"{whole}====\"")] {
        assert!(one(&long).contains("is not valid base64"), "{long}");
    }
    let two = r#"{"data":[{"embedding":[1,2]},{"embedding":[1]}]}"#;
    assert!(refusal(two, 2).contains("embedding 1 has 1 values, the first has 2"));
    assert!(refusal(two, 3).contains("2 embeddings for 3 texts"));
}

#[test]
fn indexes_must_name_every_text_once() {
    let body = |indexes: &[&str]| {
        let row = |index: &&str| format!(r#"{{"embedding":[1],"index":{index}}}"#);
        let rows: Vec<_> = indexes.iter().map(row).collect();
        format!(r#"{{"data":[{}]}}"#, rows.join(","))
    };
    for wrong in [["1", "1"], ["0", "2"], ["1", "null"], ["2", "0"]] {
        assert!(refusal(&body(&wrong), 2).contains("indexes"), "{wrong:?}");
    }
    for fine in [["0", "0"], ["null", "null"], ["0", "1"], ["1", "0"], ["0", "null"]] {
        assert!(decode(body(&fine).as_bytes(), 2, "OpenAI").is_ok(), "{fine:?}");
    }
}

proptest! {
    #[test]
    fn rows_come_back_in_the_order_of_the_texts(
        order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
        encode in proptest::collection::vec(proptest::bool::ANY, 12),
    ) {
        let row = |(&index, &encode): (&usize, &bool)| {
            #[expect(clippy::cast_precision_loss, reason = "below 12")]
            let values = [index as f32, 0.5];
            let vector =
                if encode { format!("\"{}\"", base64(&values)) } else { format!("{values:?}") };
            format!(r#"{{"index":{index},"embedding":{vector}}}"#)
        };
        let rows: Vec<_> = order.iter().zip(&encode).map(row).collect();
        let body = format!(r#"{{"data":[{}]}}"#, rows.join(","));
        let answer = decode(body.as_bytes(), 12, "OpenAI").unwrap();
        for (number, row) in answer.vectors.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "below 12")]
            let expected = [number as f32, 0.5];
            prop_assert_eq!(row, expected.as_slice());
        }
    }

    #[test]
    fn one_wrong_letter_anywhere_is_refused(
        values in proptest::collection::vec(-1.0_f32..1.0, 1..80),
        place in proptest::num::usize::ANY,
        letter in "[-!*~ é_]",
    ) {
        let mut text = base64(&values);
        let place = place % (text.len() - letter.len() + 1);
        text.replace_range(place..place + letter.len(), &letter);
        let message = refusal(&format!(r#"{{"data":[{{"embedding":"{text}"}}]}}"#), 1);
        prop_assert!(message.starts_with("Invalid embedding format: embedding 0"), "{}", message);
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        let _ = decode(&body, 1, "OpenAI");
    }
}
