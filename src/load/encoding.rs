//! Bytes to text.
//!
//! The rule of GraphBit 0.6.8 stands as long as nobody asks for more: UTF-8 to the letter, a byte-order
//! mark included. It refuses to replace what it cannot read: a document is text, or an error.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, mem};

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
enum Asked {
    /// Each byte is the code point of that number; what the web calls Latin-1 is another encoding.
    Latin1,
    /// UTF-8 as it stands.
    Utf8,
    /// Any other.
    Known(&'static Encoding),
}

impl Asked {
    /// By the names of the web and those of Python.
    fn named(label: &str) -> Option<Self> {
        let label = label.trim().to_lowercase().replace('_', "-");
        Some(match label.as_str() {
            "utf-8" | "utf8" | "u8" => Self::Utf8,
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" | "cp819" => Self::Latin1,
            "utf-8-sig" => Self::Known(UTF_8),
            "utf-16" | "utf-16-le" => Self::Known(encoding_rs::UTF_16LE),
            "utf-16-be" => Self::Known(encoding_rs::UTF_16BE),
            "cp932" | "ms932" => Self::Known(encoding_rs::SHIFT_JIS),
            "cp949" => Self::Known(encoding_rs::EUC_KR),
            "cp936" => Self::Known(encoding_rs::GBK),
            "cp950" => Self::Known(encoding_rs::BIG5),
            other => Self::Known(Encoding::for_label(other.as_bytes())?),
        })
    }

    fn read(self, bytes: &[u8]) -> Result<Cow<'_, str>, String> {
        match self {
            Self::Latin1 => Ok(mem::decode_latin1(bytes)),
            Self::Utf8 => strict(bytes),
            Self::Known(encoding) => marked(bytes, encoding),
        }
    }
}

/// Bytes that may begin with a mark, which wins over `encoding`.
fn marked<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Result<Cow<'a, str>, String> {
    let (encoding, mark) = Encoding::for_bom(bytes).unwrap_or((encoding, 0));
    let rest = bytes.get(mark..).unwrap_or_default();
    encoding
        .decode_without_bom_handling_and_without_replacement(rest)
        .ok_or_else(|| format!("stream did not contain valid {}", encoding.name()))
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
        // 0.6.8 took any word for a default and never looked at it again.
        return strict(bytes).map_err(|reason| {
            format!("{reason}, and the encoding '{}' is not known", written.default)
        });
    };
    if written.sniff {
        if Encoding::for_bom(bytes).is_some() {
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
        ] {
            assert_eq!(read(bytes, name, None, false), expected, "{name}");
        }
        assert_eq!(read("é".as_bytes(), "klingon", None, false), "é");
        assert!(read(b"\xe9", "klingon", None, false).contains("'klingon' is not known"));
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
}
