//! Bytes to text.
//!
//! The rule of GraphBit 0.6.8 stands as long as nobody asks for more: UTF-8 to the letter, a byte-order
//! mark included. It refuses to replace what it cannot read: a document is text, or an error.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, mem};

/// Where a text has to say how it is written: the limit of the HTML standard.
pub(super) const LOOKED_AT: usize = 1024;

/// What is known about how a document is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    /// The setting, as the user gave it.
    pub(super) default: &'a str,
    /// What a server said.
    pub(super) charset: Option<&'a str>,
    /// What the document says of itself.
    pub(super) claimed: Option<&'static Encoding>,
    /// Whether a mark at the beginning decides, and else the server's word, the document's and our own, in this
    /// order.
    pub(super) sniff: bool,
}

/// An encoding that was asked for.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// Each byte is the code point of that number; what the web calls Latin-1 is another encoding.
    Latin1,
    /// UTF-8 as it stands.
    Utf8,
    /// UTF-32, which the web has given up.
    Utf32(Order),
    /// Any other.
    Known(&'static Encoding),
}

/// Which byte of a number comes first.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Little,
    Big,
}

impl Asked {
    /// By the names of Python and those of the web; where the two disagree, Python's.
    fn named(label: &str) -> Option<Self> {
        let label = label.trim().to_lowercase();
        let name = python_name(&label);
        Some(match name.as_str() {
            "utf_8" | "utf8" | "u8" | "utf" | "utf8_ucs2" | "utf8_ucs4" | "cp65001" => Self::Utf8,
            "latin_1" | "latin1" | "latin" | "l1" | "iso_8859_1" | "iso8859_1" | "iso8859"
            | "8859" | "iso_8859_1_1987" | "iso_ir_100" | "cp819" | "ibm819" | "csisolatin1" => {
                Self::Latin1
            }
            "utf_8_sig" => Self::Known(UTF_8),
            "utf_32" | "utf32" | "u32" | "utf_32_le" | "utf_32le" => Self::Utf32(Order::Little),
            "utf_32_be" | "utf_32be" => Self::Utf32(Order::Big),
            name => {
                let known = pythons_own(name)
                    .or_else(|| Encoding::for_label(label.as_bytes()))
                    .or_else(|| Encoding::for_label(name.replace('_', "-").as_bytes()))?;
                // The web's way of saying that it no longer reads an encoding.
                return (known != REPLACEMENT).then_some(Self::Known(known));
            }
        })
    }

    pub(super) fn read(self, bytes: &[u8]) -> Result<Cow<'_, str>, String> {
        match self {
            Self::Latin1 => Ok(mem::decode_latin1(bytes)),
            Self::Utf8 => strict(bytes),
            Self::Utf32(order) if utf_32_mark(bytes).is_none() => utf_32(bytes, order),
            Self::Utf32(_) => marked(bytes, UTF_8),
            Self::Known(encoding) => marked(bytes, encoding),
        }
    }
}

/// A name in small letters as Python writes it before it looks it up.
fn python_name(label: &str) -> String {
    let parts = label.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.');
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// What Python calls otherwise than the web.
fn pythons_own(name: &str) -> Option<&'static Encoding> {
    Some(match name {
        "646" | "ansi_x3.4_1968" | "ansi_x3_4_1968" | "ansi_x3.4_1986" | "cp367" | "csascii"
        | "ibm367" | "iso646_us" | "iso_646.irv_1991" | "iso_ir_6" | "us" => {
            encoding_rs::WINDOWS_1252
        }
        "1250" => encoding_rs::WINDOWS_1250,
        "1251" => encoding_rs::WINDOWS_1251,
        "1252" => encoding_rs::WINDOWS_1252,
        "1253" => encoding_rs::WINDOWS_1253,
        "1254" | "iso_8859_9_1989" => encoding_rs::WINDOWS_1254,
        "1255" => encoding_rs::WINDOWS_1255,
        "1256" => encoding_rs::WINDOWS_1256,
        "1257" => encoding_rs::WINDOWS_1257,
        "1258" => encoding_rs::WINDOWS_1258,
        "iso_8859_2_1987" => encoding_rs::ISO_8859_2,
        "iso_8859_3_1988" => encoding_rs::ISO_8859_3,
        "iso_8859_4_1988" => encoding_rs::ISO_8859_4,
        "iso_8859_5_1988" => encoding_rs::ISO_8859_5,
        "iso_8859_6_1987" => encoding_rs::ISO_8859_6,
        "iso_8859_7_1987" => encoding_rs::ISO_8859_7,
        "iso_8859_8_1988" => encoding_rs::ISO_8859_8,
        "iso_8859_10_1992" => encoding_rs::ISO_8859_10,
        "l7" | "latin7" => encoding_rs::ISO_8859_13,
        "iso_8859_14_1998" | "iso_celtic" | "iso_ir_199" | "l8" | "latin8" => {
            encoding_rs::ISO_8859_14
        }
        "latin9" => encoding_rs::ISO_8859_15,
        "iso8859_16" | "iso_8859_16_2001" | "iso_ir_226" | "l10" | "latin10" => {
            encoding_rs::ISO_8859_16
        }
        "cp874" | "iso_8859_11_2001" | "thai" | "iso_ir_166" | "tis620" | "tis_620_0"
        | "tis_620_2529_0" | "tis_620_2529_1" => encoding_rs::WINDOWS_874,
        "866" => encoding_rs::IBM866,
        "mac_roman" | "macroman" => encoding_rs::MACINTOSH,
        "mac_cyrillic" | "maccyrillic" => encoding_rs::X_MAC_CYRILLIC,
        "big5_tw" | "x_mac_trad_chinese" | "big5hkscs" | "hkscs" | "cp950" | "950" | "ms950" => {
            encoding_rs::BIG5
        }
        "gb18030_2000" => encoding_rs::GB18030,
        "euc_cn" | "euccn" | "eucgb2312_cn" | "gb2312_1980" | "gb2312_80"
        | "x_mac_simp_chinese" | "936" | "cp936" | "ms936" => encoding_rs::GBK,
        "932" | "cp932" | "ms932" | "mskanji" | "s_jis" | "shiftjis" | "x_mac_japanese" => {
            encoding_rs::SHIFT_JIS
        }
        "eucjp" | "u_jis" | "ujis" => encoding_rs::EUC_JP,
        "iso2022_jp" | "iso2022jp" => encoding_rs::ISO_2022_JP,
        "euckr" | "ks_c_5601" | "ks_c_5601_1987" | "ks_x_1001" | "ksx1001" | "x_mac_korean"
        | "cp949" | "949" | "ms949" | "uhc" => encoding_rs::EUC_KR,
        "u16" | "utf16" | "utf_16" | "utf_16_le" | "unicodelittleunmarked" => UTF_16LE,
        "utf_16_be" | "unicodebigunmarked" => UTF_16BE,
        _ => return None,
    })
}

/// Bytes that may begin with a mark, which wins over `encoding`.
fn marked<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Result<Cow<'a, str>, String> {
    if let Some(order) = utf_32_mark(bytes) {
        return utf_32(bytes.get(4..).unwrap_or_default(), order);
    }
    let (encoding, mark) = Encoding::for_bom(bytes).unwrap_or((encoding, 0));
    let rest = bytes.get(mark..).unwrap_or_default();
    encoding
        .decode_without_bom_handling_and_without_replacement(rest)
        .ok_or_else(|| format!("stream did not contain valid {}", encoding.name()))
}

/// The mark of UTF-32. One order begins as UTF-16 does, but no text of that begins with a zero.
fn utf_32_mark(bytes: &[u8]) -> Option<Order> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => Some(Order::Little),
        [0, 0, 0xfe, 0xff, ..] => Some(Order::Big),
        _ => None,
    }
}

fn utf_32(bytes: &[u8], order: Order) -> Result<Cow<'_, str>, String> {
    let (letters, rest) = bytes.as_chunks::<4>();
    let letter = |bytes: &[u8; 4]| {
        char::from_u32(match order {
            Order::Little => u32::from_le_bytes(*bytes),
            Order::Big => u32::from_be_bytes(*bytes),
        })
    };
    let text: Option<String> = letters.iter().map(letter).collect();
    match text.filter(|_| rest.is_empty()) {
        Some(text) => Ok(Cow::Owned(text)),
        None => Err("stream did not contain valid UTF-32".to_owned()),
    }
}

/// The name of an encoding in the XML declaration that a text begins with.
pub(super) fn declared(bytes: &[u8]) -> Option<&str> {
    // A declaration is short, and what comes behind it may be long.
    let head = bytes.get(..LOOKED_AT).unwrap_or(bytes).strip_prefix(b"<?xml")?;
    let declaration = head.get(..find(head, b">")?)?;
    let place = find(declaration, b"encoding")?.saturating_add(b"encoding".len());
    let value = behind_controls(declaration.get(place..)?).strip_prefix(b"=")?;
    let (quote, quoted) = behind_controls(value).split_first()?;
    let label = quoted.get(..quoted.iter().position(|byte| byte == quote)?)?;
    let sound = matches!(quote, b'"' | b'\'') && !label.iter().any(is_control);
    if sound { str::from_utf8(label).ok() } else { None }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

const fn is_control(byte: &u8) -> bool {
    *byte <= b' '
}

fn behind_controls(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().take_while(|byte| is_control(byte)).count();
    bytes.get(count..).unwrap_or_default()
}

/// How XML in an archive is written, by its mark or its declaration; `None` for UTF-8.
pub(super) fn of_part(bytes: &[u8]) -> Option<Asked> {
    if let Some(order) = utf_32_mark(bytes) {
        return Some(Asked::Utf32(order));
    }
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return (encoding != UTF_8).then_some(Asked::Known(encoding));
    }
    match Asked::named(declared(bytes)?)? {
        Asked::Utf8 | Asked::Utf32(_) => None,
        // What can be read byte by byte was not written in two bytes a letter.
        Asked::Known(encoding) if [UTF_8, UTF_16LE, UTF_16BE].contains(&encoding) => None,
        other => Some(other),
    }
}

fn strict(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let text =
        str::from_utf8(bytes).map_err(|_| "stream did not contain valid UTF-8".to_owned())?;
    Ok(Cow::Borrowed(text))
}

/// The text, or why there is none.
pub(super) fn decode<'a>(bytes: &'a [u8], written: Written<'_>) -> Result<Cow<'a, str>, String> {
    let charset = written.charset.and_then(Asked::named);
    let Some(default) = Asked::named(written.default) else {
        let unknown = format!("the encoding '{}' is not known", written.default);
        // Their bytes are those of UTF-8, too: nothing else would tell of the mistake.
        let name = python_name(&written.default.to_lowercase());
        let of_seven_bits = ["iso2022", "iso_2022", "hz", "utf_7", "utf7", "u7"];
        if of_seven_bits.iter().any(|begin| name.starts_with(begin)) {
            return Err(unknown);
        }
        // 0.6.8 took any word for a default and never looked at it again.
        return strict(bytes).map_err(|reason| format!("{reason}, and {unknown}"));
    };
    if written.sniff {
        if Encoding::for_bom(bytes).is_some() || utf_32_mark(bytes).is_some() {
            return marked(bytes, UTF_8);
        }
        return match (charset, written.claimed.map(Asked::Known)) {
            (Some(charset), _) => charset.read(bytes),
            // A claim that cannot be true was left over from another encoding.
            (None, Some(claim)) => {
                claim.read(bytes).or_else(|reason| default.read(bytes).map_err(|_| reason))
            }
            (None, None) => default.read(bytes),
        };
    }
    let read = default.read(bytes);
    match charset {
        Some(charset) if read.is_err() => charset.read(bytes),
        _ => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], default: &str, charset: Option<&str>, sniff: bool) -> String {
        decode(bytes, Written { default, charset, claimed: None, sniff })
            .map_or_else(|reason| format!("!{reason}"), Cow::into_owned)
    }

    #[test]
    fn the_default_takes_utf_8_to_the_letter() {
        assert_eq!(read("\u{feff}é".as_bytes(), "utf-8", None, false), "\u{feff}é");
        assert_eq!(read(b"\xe9", "UTF8", None, false), "!stream did not contain valid UTF-8");
        assert_eq!(
            read(b"\xff\xfeh\0", "utf-8", None, false),
            "!stream did not contain valid UTF-8"
        );
    }

    #[test]
    fn names_of_python_and_of_the_web_are_known() {
        for (name, bytes, expected) in [
            ("latin-1", b"\xe9\x80".as_slice(), "é\u{80}"),
            ("ISO_8859-1", b"\xe9", "é"),
            ("cp1252", b"\x80", "€"),
            ("windows-1252", b"\x80", "€"),
            ("utf-8-sig", b"\xef\xbb\xbfhi", "hi"),
            ("utf_16", b"\xfe\xff\0h\0i", "hi"),
            ("utf-16-be", b"\0h\0i", "hi"),
            ("shift_jis", b"\x82\xa0", "あ"),
            ("gb18030", b"\xc4\xe3", "你"),
            ("iso2022_jp", b"\x1b$BF|K\\\x1b(B", "日本"),
            ("ISO-2022-JP", b"\x1b$BF|K\\\x1b(B", "日本"),
            ("euc_jp", b"\xc6\xfc", "日"),
            ("1251", b"\xd6", "Ц"),
            ("koi8_r", b"\xe3", "Ц"),
            ("cp866", b"\x96", "Ц"),
            ("mac_roman", b"\x8e", "é"),
            ("latin9", b"\xa4", "€"),
            ("big5", b"\xa7\x41", "你"),
            ("uhc", b"\xc7\xd1", "한"),
            ("utf 32 le", b"h\0\0\0", "h"),
            ("utf_32_be", b"\0\0\0h", "h"),
            ("utf-32", b"\0\0\xfe\xff\0\0\0h", "h"),
        ] {
            assert_eq!(read(bytes, name, None, false), expected, "{name}");
        }
        for unknown in ["iso2022_kr", "hz", "utf-7"] {
            let expected = format!("!the encoding '{unknown}' is not known");
            assert_eq!(read(b"plain", unknown, None, false), expected);
            assert_eq!(read(b"plain", unknown, None, true), expected);
        }
        for unknown in ["klingon", "cp437"] {
            assert_eq!(read("é".as_bytes(), unknown, None, false), "é");
            let refused = read(b"\xe9", unknown, None, false);
            assert!(refused.contains(&format!("'{unknown}' is not known")), "{refused}");
        }
        assert_eq!(read(b"h\0i", "utf-16", None, false), "!stream did not contain valid UTF-16LE");
    }

    #[test]
    fn a_servers_word_helps_where_utf_8_fails_and_comes_first_when_sniffing() {
        assert_eq!(read(b"\xe9", "utf-8", Some("ISO-8859-1"), false), "é");
        assert_eq!(read("é".as_bytes(), "utf-8", Some("latin1"), false), "é");
        assert_eq!(read("é".as_bytes(), "utf-8", Some("latin1"), true), "Ã©");
        assert_eq!(read("\u{feff}é".as_bytes(), "latin-1", Some("latin1"), true), "é");
        assert_eq!(read(b"\xff\xfeh\0", "utf-8", None, true), "h");
    }

    #[test]
    fn the_marks_of_utf_32_are_not_those_of_utf_16() {
        let text = "Tür \u{1f426}\0";
        let little: Vec<u8> = text.chars().flat_map(|it| (it as u32).to_le_bytes()).collect();
        let big: Vec<u8> = text.chars().flat_map(|it| (it as u32).to_be_bytes()).collect();
        let little = [b"\xff\xfe\0\0".as_slice(), &little].concat();
        let big = [b"\0\0\xfe\xff".as_slice(), &big].concat();
        for bytes in [&little, &big] {
            assert_eq!(read(bytes, "utf-8", None, true), text);
            assert_eq!(read(bytes, "utf-16", None, false), text);
            assert_eq!(read(bytes, "utf-8", None, false), "!stream did not contain valid UTF-8");
            let cut = bytes.get(..bytes.len() - 1).unwrap();
            assert_eq!(read(cut, "utf-8", None, true), "!stream did not contain valid UTF-32");
        }
        let surrogate = b"\xff\xfe\0\0\0\xd8\0\0";
        assert_eq!(read(surrogate, "utf-8", None, true), "!stream did not contain valid UTF-32");
    }

    #[test]
    fn a_part_of_an_archive_is_written_as_it_declares() {
        let part = |bytes: &[u8]| {
            of_part(bytes).map(|written| written.read(bytes).unwrap_or_default().into_owned())
        };
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9\x93</a>";
        assert!(part(latin).unwrap().ends_with("<a>é\u{93}</a>"));
        let japanese = b"<?xml version='1.0' encoding=\"Shift_JIS\"?><a>\x93\xfa</a>";
        assert!(part(japanese).unwrap().ends_with("<a>日</a>"));
        for plain in ["utf-8", "UTF-16", "klingon"] {
            let text = format!("<?xml version='1.0' encoding='{plain}'?><a/>");
            assert_eq!(part(text.as_bytes()), None, "{plain}");
        }
        assert_eq!(part(b"<a/>"), None);
        assert_eq!(part(b"\xff\xfe<\0").unwrap(), "<");
        assert_eq!(part(b"\xff\xfe\0\0<\0\0\0").unwrap(), "<");
    }
}
