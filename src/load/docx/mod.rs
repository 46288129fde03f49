//! DOCX: the text of a Word document.
//!
//! As 0.6.8 does, only paragraphs that stand directly in the body are read, and of these only the runs that
//! stand directly in them: no tables, links, tabs, notes, headers. With `full` all of it is read, as
//! Markdown (see [`markdown`]). Only the main part must be sound; a damaged style sheet costs the headings
//! and is told in the flags.

mod entities;
mod markdown;
mod sheets;

use super::archive::Archive;
use super::elements::{Elements, Item};
use super::encoding;
use super::extracted::Extracted;
use super::limits::Meter;
use super::relations::Relations;
use crate::error::{Error, Kind, Result};

/// Where the text of a run stands.
const PLACE_OF_TEXT: [&str; 5] = ["document", "body", "p", "r", "t"];

/// The list that names the main part.
const ROOT_REFERENCES: &str = "_rels/.rels";

/// How many elements are open within a paragraph's own parents.
const ABOVE_PARAGRAPH: usize = 2;

pub(super) fn extract(bytes: &[u8], full: bool, meter: &mut Meter) -> Result<Extracted> {
    let failed = |error: Error| error.with_prefix("Failed to parse DOCX file: ");
    let mut archive = Archive::open(bytes).map_err(failed)?;
    let extracted = if full {
        markdown::extract(&mut archive, meter).map_err(failed)?
    } else {
        let (_, body) = main_part(&mut archive, meter).map_err(failed)?;
        let text = plain(&body, meter).map_err(failed)?;
        Extracted { text: text.trim().to_owned(), ..Extracted::default() }
    };
    if extracted.text.is_empty() {
        let text = "No text content could be extracted from the DOCX file";
        return Err(Error::new(Kind::Document, text));
    }
    Ok(extracted)
}

/// Name and text of the main part.
fn main_part(archive: &mut Archive<'_>, meter: &mut Meter) -> Result<(String, String)> {
    // Where the references are missing or damaged, it is where Word puts it.
    let references = text(archive, ROOT_REFERENCES, meter).ok().flatten().unwrap_or_default();
    let mut root = Relations::default();
    let _damaged = root.note(&references, "", meter);
    meter.look()?;
    let main = root.of_kind("officeDocument").filter(|part| archive.holds(part));
    let main = main.unwrap_or("word/document.xml").to_owned();
    match text(archive, &main, meter)? {
        Some(text) => Ok((main, text)),
        None => Err(refused(format!("the archive holds no {main}"))),
    }
}

/// The text of a part, written in whatever encoding it declares; `None` if there is no such part.
fn text(archive: &mut Archive<'_>, name: &str, meter: &mut Meter) -> Result<Option<String>> {
    let Some(bytes) = archive.bytes(name, meter)? else { return Ok(None) };
    let mut text = match encoding::of_part(&bytes) {
        Some(written) => {
            // The text takes memory on top of the bytes.
            meter.unpack(bytes.len())?;
            let text = written.read(&bytes);
            text.map_err(|reason| refused(format!("{name}: {reason}")))?.into_owned()
        }
        None => String::from_utf8(bytes).map_err(|error| {
            refused(format!("{name} is not UTF-8 text: {}", error.utf8_error()))
        })?,
    };
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    let text = entities::expanded(text, meter);
    text.map(Some).map_err(|error| error.with_prefix(&format!("{name}: ")))
}

fn refused(text: String) -> Error {
    Error::new(Kind::Document, text)
}

fn plain(body: &str, meter: &mut Meter) -> Result<String> {
    let mut elements = Elements::new(body);
    let mut text = String::new();
    // How many of the open elements, from the outermost, are those of the place.
    let mut inside = 0;
    loop {
        let depth = elements.depth();
        match elements.next(meter)? {
            Item::Open(element) => {
                if depth == inside && PLACE_OF_TEXT.get(inside) == Some(&element.name()) {
                    inside += 1;
                }
            }
            Item::Close => {
                let depth = elements.depth();
                if inside > depth {
                    inside = depth;
                    if inside == ABOVE_PARAGRAPH {
                        meter.push(&mut text, "\n")?;
                    }
                }
            }
            Item::Text(piece) if inside == PLACE_OF_TEXT.len() && depth == inside => {
                meter.push(&mut text, &piece)?;
            }
            Item::Text(_) => {}
            Item::End => return Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Limits;
    use crate::load::archive::testing::packed;

    const KIND: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

    fn references(targets: &[(&str, &str)]) -> Vec<u8> {
        let list = targets.iter().enumerate().map(|(number, (kind, target))| {
            format!("<Relationship Id='r{number}' Type='{KIND}/{kind}' Target='{target}'/>")
        });
        let list: String = list.collect();
        format!("<Relationships>{list}</Relationships>").into_bytes()
    }

    fn body(inside: &str) -> String {
        format!("<w:document xmlns:w='w' xmlns:r='r'><w:body>{inside}</w:body></w:document>")
    }

    fn paragraph(text: &str) -> String {
        format!("<w:p><w:pPr><w:pStyle w:val='T'/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
    }

    fn read(parts: &[(&str, &[u8])], full: bool) -> Result<String> {
        let extracted = extract(&packed(parts), full, &mut Meter::new(Limits::default()))?;
        assert!(extracted.flags.is_empty(), "{:?}", extracted.flags);
        Ok(extracted.text)
    }

    fn main_only(main: &[u8], full: bool) -> Result<String> {
        let root = references(&[("officeDocument", "word/document.xml")]);
        read(&[("_rels/.rels", &root), ("word/document.xml", main)], full)
    }

    #[test]
    fn the_main_part_is_where_the_references_say() {
        let main = body(&paragraph("found"));
        let styles =
            b"<w:styles><w:style w:styleId='T'><w:name w:val='Title'/></w:style></w:styles>";
        for (target, name, list, folder) in [
            ("word/document2.xml", "word/document2.xml", "word/_rels/document2.xml.rels", "word/"),
            ("/doc/main.xml", "doc/main.xml", "doc/_rels/main.xml.rels", "doc/"),
            ("document.xml", "document.xml", "_rels/document.xml.rels", ""),
        ] {
            let root = references(&[("officeDocument", target)]);
            let own = references(&[("styles", "looks.xml"), ("footer", "foot.xml")]);
            let (looks, foot) = (format!("{folder}looks.xml"), format!("{folder}foot.xml"));
            let footer =
                format!("<w:ftr>{}</w:ftr>", paragraph("at the foot").replace("'T'", "''"));
            let parts: [(&str, &[u8]); 5] = [
                ("_rels/.rels", &root),
                (name, main.as_bytes()),
                (list, &own),
                (&looks, styles),
                (&foot, footer.as_bytes()),
            ];
            assert_eq!(read(&parts, false).unwrap(), "found", "{target}");
            assert_eq!(read(&parts, true).unwrap(), "# found\n\nat the foot", "{target}");
        }
    }

    #[test]
    fn without_sound_references_it_is_where_word_puts_it() {
        let main = body(&paragraph("found"));
        let gone = references(&[("officeDocument", "word/gone.xml")]);
        for root in [b"".as_slice(), b"<Relationships><", b"\xff", &gone] {
            let parts = [("_rels/.rels", root), ("word/document.xml", main.as_bytes())];
            assert_eq!(read(&parts, false).unwrap(), "found");
            assert_eq!(read(&parts, true).unwrap(), "found");
        }
        let error = read(&[("_rels/.rels", &gone)], false).unwrap_err();
        assert!(error.message().contains("holds no word/document.xml"), "{error}");
    }

    #[test]
    fn the_main_part_is_read_as_it_is_written() {
        for (declaration, word) in [
            ("<?xml version='1.0' encoding='ISO-8859-1'?>", b"caf\xe9".as_slice()),
            ("<?xml version='1.0' encoding='windows-1252'?>", b"caf\xe9"),
            ("<?xml version='1.0' encoding='koi8-r'?>", b"caf\xc3\xa9"),
            ("<!DOCTYPE w:document [<!ENTITY e 'caf&#233;'>]>", b"&e;"),
            ("<!DOCTYPE w:document>", "café".as_bytes()),
        ] {
            let main = body(&paragraph("@"));
            let (before, behind) = main.split_once('@').unwrap();
            let main =
                [declaration.as_bytes(), before.as_bytes(), word, behind.as_bytes()].concat();
            let expected = if declaration.contains("koi8") { "cafц╘" } else { "café" };
            assert_eq!(main_only(&main, false).unwrap().to_lowercase(), expected, "{declaration}");
            assert_eq!(main_only(&main, true).unwrap().to_lowercase(), expected, "{declaration}");
        }
        let error = main_only(&[body("").as_bytes(), b"\xe9"].concat(), false).unwrap_err();
        assert!(error.message().contains("is not UTF-8 text"), "{error}");
    }

    #[test]
    fn values_stand_under_their_own_headings() {
        let cell = |properties: &str, text: &str| {
            format!("<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>", paragraph(text))
        };
        let row = |properties: &str, cells: &[String]| {
            format!("<w:tr><w:trPr>{properties}</w:trPr>{}</w:tr>", cells.concat())
        };
        let two = "<w:gridSpan w:val='2'/>";
        let old = format!("<w:tcPrChange><w:tcPr>{two}</w:tcPr></w:tcPrChange>");
        let table = [
            row("", &[cell("", "a"), cell("", "b"), cell(&old, "c"), cell("", "d")]),
            row("", &[cell(two, "over two"), cell("", "3"), cell("", "4")]),
            row("<w:gridBefore w:val='1'/>", &[cell(two, "2"), cell("", "4")]),
            row("", &[cell("<w:gridSpan w:val='4000000000'/>", "all")]),
        ];
        let main = body(&format!("<w:tbl>{}</w:tbl>", table.concat()));
        assert_eq!(
            main_only(main.as_bytes(), true).unwrap(),
            "| a | b | c | d |\n| --- | --- | --- | --- |\n| over two |  | 3 | 4 |\n\
             |  | 2 |  | 4 |\n| all |  |  |  |"
        );
    }
}
