//! The encoding that a page claims for itself, found as the HTML standard finds it before it parses.
//!
//! Only the first 1024 bytes count, and within them what would be a tag: a claim in a comment or in the value
//! of another attribute is none. It refuses UTF-16, because a claim that can be read byte by byte is not
//! written in it, and takes UTF-8 instead.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

use crate::load::encoding::{LOOKED_AT, declared};

/// What the page says of itself, in a `meta` element or an XML declaration.
pub(in crate::load) fn claimed_encoding(page: &[u8]) -> Option<&'static Encoding> {
    let head = page.get(..LOOKED_AT).unwrap_or(page);
    in_two_bytes(head).or_else(|| Scan(head).find()).or_else(|| in_declaration(head))
}

/// What XML says of itself in its declaration.
pub(in crate::load) fn declared_encoding(text: &[u8]) -> Option<&'static Encoding> {
    in_two_bytes(text).or_else(|| in_declaration(text))
}

/// How a declaration of two bytes a letter is written, whatever it says.
fn in_two_bytes(text: &[u8]) -> Option<&'static Encoding> {
    match text {
        [b'<', 0, b'?', 0, b'x', 0, ..] => Some(UTF_16LE),
        [0, b'<', 0, b'?', 0, b'x', ..] => Some(UTF_16BE),
        _ => None,
    }
}

/// What is left to look at.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    /// `None` when the bytes end before a claim does.
    fn find(&mut self) -> Option<&'static Encoding> {
        while !self.0.is_empty() {
            if self.0.starts_with(b"<!--") {
                // The two dashes of the beginning may be those of the end.
                self.skip(2);
                self.skip_behind(b"-->")?;
                continue;
            }
            if begins_meta(self.0) {
                self.skip(b"<meta".len());
                if let Some(encoding) = self.meta()? {
                    return Some(encoding);
                }
            } else if begins_tag(self.0) {
                while !matches!(self.peek()?, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ' | b'>') {
                    self.skip(1);
                }
                while self.attribute()?.is_some() {}
            } else if let [b'<', b'!' | b'/' | b'?', ..] = self.0 {
                self.skip_behind(b">")?;
                continue;
            }
            self.skip(1);
        }
        None
    }

    /// The claim of a `meta` element, whose name has been read. The outer `None` is the end of the bytes.
    fn meta(&mut self) -> Option<Option<&'static Encoding>> {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let (mut is_pragma, mut needs_pragma, mut found) = (false, None, None);
        while let Some((name, value)) = self.attribute()? {
            if seen.contains(&name) {
                continue;
            }
            match name.as_slice() {
                b"http-equiv" => is_pragma |= value == b"content-type",
                b"content" if found.is_none() => {
                    if let Some(encoding) = in_content(&value) {
                        (found, needs_pragma) = (Some(encoding), Some(true));
                    }
                }
                b"charset" => (found, needs_pragma) = (Encoding::for_label(&value), Some(false)),
                _ => {}
            }
            seen.push(name);
        }
        let counts = needs_pragma.is_some_and(|needed| is_pragma || !needed);
        Some(found.filter(|_| counts).map(meant))
    }

    /// Name and value of the next attribute, in small letters; the inner `None` is the end of the tag.
    fn attribute(&mut self) -> Option<Option<(Vec<u8>, Vec<u8>)>> {
        while is_blank(self.peek()?) || self.peek()? == b'/' {
            self.skip(1);
        }
        if self.peek()? == b'>' {
            return Some(None);
        }
        let mut name = Vec::new();
        loop {
            match self.peek()? {
                b'=' if !name.is_empty() => break,
                byte if is_blank(byte) => break,
                b'/' | b'>' => return Some(Some((name, Vec::new()))),
                byte => name.push(byte.to_ascii_lowercase()),
            }
            self.skip(1);
        }
        self.skip_blanks()?;
        if self.peek()? != b'=' {
            return Some(Some((name, Vec::new())));
        }
        self.skip(1);
        self.skip_blanks()?;
        let mut value = Vec::new();
        let quote = Some(self.peek()?).filter(|byte| matches!(byte, b'"' | b'\''));
        if quote.is_some() {
            self.skip(1);
        }
        loop {
            let byte = self.peek()?;
            match quote {
                Some(quote) if byte == quote => {
                    self.skip(1);
                    break;
                }
                None if is_blank(byte) || byte == b'>' => break,
                _ => value.push(byte.to_ascii_lowercase()),
            }
            self.skip(1);
        }
        Some(Some((name, value)))
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }

    fn skip_blanks(&mut self) -> Option<()> {
        while is_blank(self.peek()?) {
            self.skip(1);
        }
        Some(())
    }

    fn skip_behind(&mut self, end: &[u8]) -> Option<()> {
        let place = find(self.0, end)?;
        self.skip(place.saturating_add(end.len()));
        Some(())
    }
}

fn begins_meta(bytes: &[u8]) -> bool {
    bytes.split_at_checked(5).is_some_and(|(name, rest)| {
        let ends = rest.first().is_some_and(|byte| is_blank(*byte) || *byte == b'/');
        ends && name.eq_ignore_ascii_case(b"<meta")
    })
}

fn begins_tag(bytes: &[u8]) -> bool {
    match bytes {
        [b'<', b'/', letter, ..] | [b'<', letter, ..] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ')
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The encoding that a claim stands for: one of these two was not used to write it.
fn meant(claim: &'static Encoding) -> &'static Encoding {
    if [UTF_16LE, UTF_16BE].contains(&claim) {
        UTF_8
    } else if claim == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        claim
    }
}

/// The encoding in a `content` such as `text/html; charset=utf-8`, in small letters.
fn in_content(content: &[u8]) -> Option<&'static Encoding> {
    let mut rest = content;
    loop {
        let place = find(rest, b"charset")?;
        rest = rest.get(place.saturating_add(b"charset".len())..)?.trim_ascii_start();
        if let [b'=', value @ ..] = rest {
            rest = value.trim_ascii_start();
            break;
        }
    }
    let label = match rest {
        [quote @ (b'"' | b'\''), quoted @ ..] => {
            quoted.get(..quoted.iter().position(|byte| byte == quote)?)?
        }
        _ => rest.split(|byte| is_blank(*byte) || *byte == b';').next()?,
    };
    Encoding::for_label(label)
}

fn in_declaration(head: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label(declared(head)?.as_bytes()).map(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(page: &str) -> &'static str {
        claimed_encoding(page.as_bytes()).map_or("none", Encoding::name)
    }

    #[test]
    fn claims_are_found_where_a_browser_finds_them() {
        for (page, expected) in [
            ("<meta charset=windows-1252>", "windows-1252"),
            ("<META CHARSET = 'Shift_JIS' >", "Shift_JIS"),
            ("<!doctype html><html lang=ja><meta/charset=\"gb18030\"/>", "gb18030"),
            ("<meta charset=latin1>", "windows-1252"),
            ("<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>", "KOI8-R"),
            ("<meta content='a charset b; charset = \"big5\"; c' http-equiv=content-type>", "Big5"),
            ("<meta charset=utf-16le>", "UTF-8"),
            ("<meta charset=x-user-defined>", "windows-1252"),
            ("<!-- <meta charset=koi8-r> --><meta charset=gbk>", "GBK"),
            ("<!--><meta charset=gbk>", "GBK"),
            ("<a title='<meta charset=koi8-r>'><meta charset=gbk>", "GBK"),
            ("<meta charset=gbk charset=koi8-r>", "GBK"),
            ("<meta charset=klingon><meta charset=gbk>", "GBK"),
            ("<?xml version='1.0' encoding = \"euc-jp\"?><html>", "EUC-JP"),
            ("<?xml encoding='utf-16'?><meta charset=gbk>", "GBK"),
            ("<?xml encoding='utf-16'?>", "UTF-8"),
        ] {
            assert_eq!(claim(page), expected, "{page}");
        }
    }

    #[test]
    fn what_only_looks_like_a_claim_is_none() {
        let late = format!("{}<meta charset=gbk>", " ".repeat(LOOKED_AT));
        let cut = format!("{}<meta charset=gbk>", " ".repeat(LOOKED_AT - 10));
        for page in [
            "",
            "<p>charset=gbk",
            "<meta content='text/html; charset=gbk'>",
            "<meta http-equiv=refresh content='text/html; charset=gbk'>",
            "<metacharset=gbk>",
            "<meta charset=\"gbk",
            "<!-- <meta charset=gbk>",
            "<meta charset=klingon>",
            "<?xml version='1.0'?>",
            "<?xml encoding='gb k'?>",
            late.as_str(),
            cut.as_str(),
        ] {
            assert_eq!(claim(page), "none", "{page}");
        }
    }

    #[test]
    fn a_declaration_of_two_bytes_a_letter_tells_their_order() {
        assert_eq!(claimed_encoding(b"<\0?\0x\0m\0"), Some(UTF_16LE));
        assert_eq!(claimed_encoding(b"\0<\0?\0x\0m"), Some(UTF_16BE));
        assert_eq!(declared_encoding(b"<\0?\0x\0m\0"), Some(UTF_16LE));
    }

    #[test]
    fn xml_has_only_its_declaration() {
        let claim = |text: &str| declared_encoding(text.as_bytes()).map_or("none", Encoding::name);
        assert_eq!(claim("<?xml version='1.0' encoding='ISO-8859-1'?><a/>"), "windows-1252");
        assert_eq!(claim("<?xml version=\"1.0\" encoding=\"Shift_JIS\"?><a/>"), "Shift_JIS");
        assert_eq!(claim("<?xml version='1.0' encoding='utf-16'?><a/>"), "UTF-8");
        assert_eq!(claim("<meta charset=gbk>"), "none");
        assert_eq!(claim("<?xml version='1.0'?><a encoding='gbk'/>"), "none");
    }
}
