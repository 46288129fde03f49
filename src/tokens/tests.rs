//! The tokenizer against tiktoken-rs, and the vocabularies against its.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

use super::Encoding;

fn oracle(encoding: Encoding) -> &'static CoreBPE {
    match encoding {
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
        Encoding::P50kBase => tiktoken_rs::p50k_base_singleton(),
        Encoding::R50kBase => tiktoken_rs::r50k_base_singleton(),
    }
}

/// Every way of looking at the tokens of a text agrees with the oracle's ids.
fn check(text: &str) {
    for encoding in Encoding::ALL {
        let ours = encoding.tokenizer();
        let theirs = oracle(encoding).encode_ordinary(text);
        assert_eq!(ours.encode(text), theirs, "{encoding} {text:?}");
        assert_eq!(ours.count(text), theirs.len(), "{encoding} {text:?}");
        assert_eq!(ours.decode(&theirs).unwrap(), text.as_bytes());
        let (mut at, mut counted, mut ends) = (0, 0, Vec::new());
        while at < text.len() {
            let end = ours.piece_end(text, at);
            assert!(end > at && text.is_char_boundary(end));
            counted += ours.count_piece(&text[at..end]);
            ours.token_ends(&text[at..end], &mut ends);
            at = end;
        }
        assert_eq!((counted, ends.len()), (theirs.len(), theirs.len()), "{encoding} {text:?}");
    }
}

/// The tokens of an encoding by id, as the oracle has them; empty where it has none.
fn tokens(encoding: Encoding) -> Vec<Vec<u8>> {
    let ids = match encoding {
        Encoding::Cl100kBase => 100_256,
        Encoding::O200kBase => 199_998,
        Encoding::P50kBase => 50_281,
        Encoding::R50kBase => 50_256,
    };
    let special = |id| encoding.special().iter().any(|(known, _)| *known == id);
    let token = |id| oracle(encoding).decode_bytes(&[id]).unwrap();
    (0..ids).map(|id| if special(id) { Vec::new() } else { token(id) }).collect()
}

#[test]
fn the_vocabularies_are_openais() {
    for encoding in Encoding::ALL {
        let ours = encoding.tokenizer();
        for (id, token) in (0_u32..).zip(tokens(encoding)) {
            if !token.is_empty() {
                assert_eq!(ours.decode(&[id]).unwrap(), token, "{encoding} {id}");
            }
        }
        for (id, name) in encoding.special() {
            assert_eq!(ours.decode(&[*id]).unwrap(), name.as_bytes());
        }
        for unknown in [300_000, u32::MAX, u32::MAX - 1] {
            let message = ours.decode(&[0, unknown]).unwrap_err().to_string();
            assert!(message.contains("ids[1]") && message.contains(&unknown.to_string()));
        }
    }
    // r50k_base ends where p50k_base has its first hole.
    assert!(Encoding::R50kBase.tokenizer().decode(&[50_257]).is_err());
}

#[test]
#[ignore = "writes the files in src/tokens/data anew"]
fn write_the_vocabularies() {
    for encoding in [Encoding::Cl100kBase, Encoding::O200kBase, Encoding::P50kBase] {
        let tokens = tokens(encoding);
        let lengths = tokens.iter().map(|token| u8::try_from(token.len()).unwrap());
        let mut plain: Vec<u8> = lengths.collect();
        plain.extend(tokens.iter().flatten());
        let bytes = u32::try_from(plain.len() - tokens.len()).unwrap();
        let mut file = u32::try_from(tokens.len()).unwrap().to_le_bytes().to_vec();
        file.extend(bytes.to_le_bytes());
        file.extend(miniz_oxide::deflate::compress_to_vec(&plain, 10));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tokens/data");
        fs::write(folder.join(format!("{encoding}.bin")), file).unwrap();
    }
}

#[test]
fn what_patterns_stumble_over() {
    let texts = [
        "",
        " ",
        "  ",
        "\n",
        " \n ",
        "\n\n  \n",
        "a\n",
        "a \n",
        "a  \n\n  b",
        " \r\n\t x",
        "\u{a0}\u{a0}a",
        "\u{3000}中",
        "it's IT'S it'\u{17f} 'S'll'Ve'RE'd 'sound ''s",
        "don't.I'M'm",
        "x'",
        "'",
        "''",
        "HelloWorld HELLOWorld HTMLParser's iPhone",
        "中AAAA",
        "中AAAAb",
        "中AA\u{301}BB'sx",
        "\u{301}",
        "\u{301}'s",
        "\u{301}ABC",
        "\u{301}\u{301}ABC'd",
        "!\u{301}",
        "!!\u{301}a",
        " \u{301}A",
        "ǅǈ ǅa ʰʰA",
        "1234567",
        "१२३४५ ½¾ ①②③④",
        "a1b22c333d4444",
        "!\n/\n/ x",
        " //\r\n\n/",
        "...\n\n\n   ",
        "<|endoftext|>",
        "<|endoftext|><|fim_prefix|> <|im_start|>",
        "\0",
        "\0\0",
        "\0\0\0a\0",
        "a\0",
        "12345678\0",
        "        \0",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "🚀🚀 🇩🇪",
        "はじめまして、世界！안녕하세요 您好",
        "Привет, мир! Ελληνικά עברית العربية हिन्दी ไทย",
        "    def f(x):\n        return x  # ok\n\n\n\tif\u{85}\u{2028}\u{2029}",
        "ſ'ſ",
        "K'K",
        "\u{feff}a",
        "\u{10ffff}\u{e000}\u{fffd}",
        "aa\u{308}bb\u{308}",
        "ﬀﬁﬂ ﬅ'ﬅ",
    ];
    for text in texts {
        check(text);
        check(&format!("{text}{text}"));
        check(&format!("a {text} b"));
        check(&format!("{text}\n "));
    }
    for other in texts {
        check(&texts.map(|text| format!("{text}{other}")).concat());
    }
    for character in (0..=0x10_FFFF).step_by(37).filter_map(char::from_u32) {
        check(&format!("{character}a {character}A{character}'s 1{character}"));
    }
}

#[test]
fn long_runs_take_linear_time() {
    let units = [
        "a",
        " ",
        "\n",
        "\r\n",
        "1",
        "!",
        "=",
        "\t ",
        "\u{301}",
        "中",
        "é",
        "🚀",
        "<|endoftext|>",
        "ab",
        "A",
        "中A",
        "\u{301}A",
        "'s",
        "\0",
        "の中",
        "\u{3000}",
    ];
    for unit in units {
        // The oracle takes minutes for more.
        for times in [7, 63, 64, 65, 200] {
            check(&unit.repeat(times));
        }
        let text = unit.repeat(50_000 / unit.len());
        for encoding in Encoding::ALL {
            let ours = encoding.tokenizer();
            let count = ours.count(&text);
            assert_eq!(ours.encode(&text).len(), count);
            let some = ours.truncate(&text, count / 2);
            assert!(ours.count(some) <= count / 2);
        }
    }
}

#[test]
fn a_beginning_of_at_most_so_many_tokens() {
    let text = "Hello wörld, 日本語 🚀!\n\n   indented 'quoted'   \n  end  ";
    for encoding in Encoding::ALL {
        let ours = encoding.tokenizer();
        assert_eq!(ours.truncate(text, 0), "");
        assert_eq!(ours.truncate("", 3), "");
        assert_eq!(ours.truncate(text, ours.count(text)), text);
        assert_eq!(ours.truncate(text, usize::MAX), text);
        assert_eq!(ours.truncate("🚀", 1), if ours.count("🚀") == 1 { "🚀" } else { "" });
    }
}

/// The longest beginning that ends with a token and has few enough of them, by trying every one.
fn longest(encoding: Encoding, text: &str, tokens: usize) -> &str {
    let ours = encoding.tokenizer();
    let mut end = 0;
    let mut best = "";
    for id in ours.encode(text) {
        end += ours.decode(&[id]).unwrap().len();
        if let Some(candidate) = text.get(..end)
            && ours.count(candidate) <= tokens
        {
            best = candidate;
        }
    }
    best
}

proptest! {
    #[test]
    fn equal_on_anything(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn equal_on_what_the_patterns_look_at(
        text in "([a-cA-C]{0,4}|['sStTlLrRevEdDmMſ]{0,4}|[ \t\n\r\u{a0}\u{3000}\u{85}]{0,5}|[0-9٣½]{0,5}|[./!=\u{301}\u{308}€]{0,4}|[éÉßǅʰªЖж]{0,4}|[中文の한글あ]{0,9}|[🚀\u{200d}\0]{0,2}){0,12}",
    ) {
        check(&text);
    }

    #[test]
    fn equal_on_words(
        text in "( ?(the|Count|tokens|naïve|Übergröße|Донаудампфшифф|日本語の文章|don't|HTTPServer|x_1|3\\.14|--+|\\n +)){0,40}",
    ) {
        check(&text);
    }

    #[test]
    fn advancing_stops_before_the_piece_that_is_too_much(
        text in "([a-zé]{1,9}|[ \n]{1,3}|[中文の]{1,6}|[!=]{1,20}){0,20}",
        limit in 0_usize..30,
    ) {
        for encoding in Encoding::ALL {
            let ours = encoding.tokenizer();
            let mut seen = vec![(0, 0)];
            let (end, tokens) = ours.advance(&text, 0, limit, |end, sum| seen.push((end, sum)));
            prop_assert_eq!(seen.last(), Some(&(end, tokens)));
            prop_assert!(tokens <= limit);
            if end < text.len() {
                let next = &text[end..ours.piece_end(&text, end)];
                prop_assert!(tokens + ours.count_piece(next) > limit);
            } else {
                prop_assert_eq!(tokens, ours.count(&text));
            }
        }
    }

    #[test]
    fn truncated_is_the_longest_beginning(
        text in "([a-zA-Z]{1,12}|[ \n]{1,4}|[中文の🚀é]{1,6}|[!=]{1,9}|'s|[0-9]){0,20}",
        tokens in 0_usize..25,
    ) {
        for encoding in Encoding::ALL {
            let ours = encoding.tokenizer();
            let found = ours.truncate(&text, tokens);
            prop_assert_eq!(found, longest(encoding, &text, tokens), "{} {:?}", encoding, text);
        }
    }
}
