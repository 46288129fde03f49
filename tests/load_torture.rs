//! What no file may do: end the process, make it hang, or fill its memory.
//!
//! Small sound documents are damaged at random and read in a child process, whose death would be noticed.
//! `GRAPHBIT_LOAD_MUTANTS` says how many damaged ones of each (300), or which (`5000..10000`); a number is its
//! seed, so that one that failed fails again. Readers of our own must not even panic; the libraries that read PDF may die,
//! as long as only their process does.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::{Cursor, Read, Write};
use std::time::{Duration, Instant};

use fastrand::Rng;
use graphbit::load::{Isolation, Limits, Packed, isolate};

const TIME: Duration = Duration::from_secs(5);
/// The grace of the process on top of its time, and some for a busy machine.
const LONGEST: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    Limits {
        time: TIME,
        text_bytes: 16 << 20,
        unpacked_bytes: 64 << 20,
        cells: 1_000_000,
        ..Limits::default()
    }
}

/// This test is the child of the others: they start this very program with its name.
#[test]
#[ignore = "it waits for documents on its standard input"]
fn reader_process() {
    isolate::serve(std::io::stdin(), &mut std::io::stdout()).unwrap();
}

const READER: [&str; 4] = ["reader_process", "--exact", "--ignored", "--nocapture"];

fn isolation() -> Isolation {
    let program = std::env::current_exe().unwrap();
    Isolation::new(program, READER.map(Into::into)).with_memory_bytes(1 << 30)
}

fn document(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn packed(name: &str) -> (Packed, &str) {
    let extension = name.rsplit('.').next().unwrap();
    (Packed::named(extension).unwrap(), extension)
}

fn read(name: &str, full: bool) -> graphbit::Result<String> {
    let (packed, extension) = packed(name);
    packed.text(&document(name), Some(extension), full, limits())
}

#[test]
fn sound_documents_are_read_as_0_6_8_reads_them() {
    let expected: serde_json::Value = serde_json::from_slice(&document("expected.json")).unwrap();
    for (name, text) in expected.as_object().unwrap() {
        assert_eq!(read(name, false).unwrap(), text.as_str().unwrap(), "{name}");
    }
}

#[test]
fn full_reading_loses_nothing() {
    let text = read("report.docx", true).unwrap();
    assert_eq!(
        text,
        "the header\n\n# Report\n\nPlain ümlaut bold\ttab\nbreak[^2]\n\n\
         See [the page](https://example.org/?a=1&b=2). inserted\n\n\
         1. first\n   1. inner\n2. second\n- bullet\n\n\
         | a | b\\|c |\n| --- | --- |\n| d | e |\n\n### Deep\n\n  inner  blanks  & <entities>  \n\n\
         [^2]: a note\n\nthe footer"
    );
    for name in ["cells.xlsx", "cells.xls"] {
        let text = read(name, true).unwrap();
        assert!(text.contains("pi | 3.14159 | 2024-01-01T03:04:05\n"), "{text}");
        assert!(text.contains(" | 2023-12-31\n") && text.contains(" | 12:30:00\n"), "{text}");
    }
    assert!(read("cells.xlsx", true).unwrap().contains("blanks   | 30:00:00"));
    let text = read("cells.xlsb", true).unwrap();
    assert!(text.contains("42 | 2024-01-01T12:00:00 | 2023-12-31\n"), "{text}");
    let text = read("plain.pdf", true).unwrap();
    assert!(text.ends_with("after a gap\n\nSecond page text\n\ninside a form"), "{text}");
}

#[test]
fn two_cells_in_far_corners_are_two_cells() {
    let text = read("far.xlsx", false).unwrap();
    assert!(text.ends_with("A1: first\nXFD1048576: last"), "{text}");
}

#[test]
fn what_is_something_else_is_refused_with_the_reason() {
    for (extension, bytes, reason) in [
        ("pdf", &b"%PDF-1.7 nothing"[..], "Failed to extract text from PDF: "),
        ("docx", b"plain text", "Failed to parse DOCX file: "),
        ("xls", b"plain text", "no workbook of the old format"),
        ("xlsx", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "encrypted"),
        ("xlsb", b"PK\x05\x06", "archive"),
    ] {
        let packed = Packed::named(extension).unwrap();
        let error = packed.text(bytes, Some(extension), false, limits()).unwrap_err();
        assert!(error.message().to_lowercase().contains(&reason.to_lowercase()), "{error}");
    }
}

#[test]
fn a_damaged_page_costs_that_page_only() {
    let damaged =
        replaced(&document("plain.pdf"), "(Second page text) Tj", "/Second-page-text- Tj");
    let text = Packed::Pdf.text(&damaged, None, false, limits()).unwrap();
    assert!(text.contains("after a gap") && !text.contains("Second"), "{text}");
}

#[test]
fn damaged_numbering_costs_the_numbers_only() {
    let damaged = repacked(&document("report.docx"), |name, part| {
        if name == "word/numbering.xml" {
            *part = replaced(part, "</w:abstractNum>", "</w:abstractNun>");
        }
    });
    for full in [false, true] {
        let text = Packed::Docx.text(&damaged, None, full, limits()).unwrap();
        assert!(text.contains("first") && text.contains("inner"), "{text}");
    }
}

#[test]
fn bombs_are_refused_before_they_are_large() {
    let bomb = repacked(&document("report.docx"), |name, part| {
        if name == "word/document.xml" {
            let blanks = " ".repeat(80 << 20);
            *part = replaced(part, "Plain", &blanks);
        }
    });
    assert!(bomb.len() < 1 << 20);
    let error = Packed::Docx.text(&bomb, None, false, limits()).unwrap_err();
    assert!(error.message().contains("max_unpacked_bytes"), "{error}");

    let nested = repacked(&document("report.docx"), |name, part| {
        if name == "word/document.xml" {
            *part = replaced(
                part,
                "<w:body>",
                &format!("<w:body>{}", "<w:tbl><w:tr><w:tc>".repeat(100_000)),
            );
        }
    });
    let error = Packed::Docx.text(&nested, None, true, limits()).unwrap_err();
    assert!(error.message().contains("max_depth"), "{error}");
}

/// A form that draws itself takes the stack of whoever follows it.
#[test]
fn a_document_that_kills_its_reader_is_an_error_and_the_next_is_read() {
    let isolation = isolation();
    let form =
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >>";
    let ring = pdf(&[
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R \
         /Resources << /XObject << /F 5 0 R >> >> >>",
        "<< /Length 5 >>\nstream\n/F Do\nendstream",
        &format!("<< /Length 5 {form} >>\nstream\n/F Do\nendstream"),
    ]);
    let sound = document("plain.pdf");
    for _ in 0..2 {
        let error = isolation.text(Packed::Pdf, &ring, None, false, limits()).unwrap_err();
        assert!(
            error.message().starts_with("the reader of this document ended: signal"),
            "{error}"
        );
        let text = isolation.text(Packed::Pdf, &sound, None, false, limits()).unwrap();
        assert!(text.contains("inside a form"), "{text}");
    }
}

#[test]
fn a_page_that_is_its_own_ancestor_is_refused() {
    let ring = pdf(&[
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] /Parent 2 0 R >>",
        "<< /Type /Page /Parent 2 0 R >>",
    ]);
    let error = Packed::Pdf.text(&ring, None, false, limits()).unwrap_err();
    assert!(error.message().contains("the tree of pages is a ring"), "{error}");
}

#[test]
fn errors_are_those_of_this_process() {
    let here = Packed::Pdf.text(b"%PDF", None, false, limits()).unwrap_err();
    let there = isolation().text(Packed::Pdf, b"%PDF", None, false, limits()).unwrap_err();
    assert_eq!((here.kind(), here.message()), (there.kind(), there.message()));
}

#[cfg(unix)]
#[test]
fn one_process_reads_one_document_after_the_other() {
    let starts = std::env::temp_dir().join(format!("graphbit-starts-{}", std::process::id()));
    let script = "echo started >> \"$0\"; exec \"$@\"";
    let program = std::env::current_exe().unwrap();
    let mut arguments = vec!["-c".into(), script.into(), starts.clone().into(), program.into()];
    arguments.extend(READER.map(Into::into));
    let isolation = Isolation::new("/bin/sh", arguments);
    let sound = document("plain.pdf");
    for _ in 0..5 {
        isolation.text(Packed::Pdf, &sound, None, false, limits()).unwrap();
        isolation.text(Packed::Pdf, b"%PDF", None, false, limits()).unwrap_err();
    }
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "started\n");
    std::fs::remove_file(starts).unwrap();
}

#[test]
fn mutants_of_docx() {
    torture("report.docx");
}

#[test]
fn mutants_of_xlsx() {
    torture("cells.xlsx");
}

#[test]
fn mutants_of_xlsb() {
    torture("cells.xlsb");
}

#[test]
fn mutants_of_xls() {
    torture("cells.xls");
}

#[test]
fn mutants_of_pdf() {
    torture("plain.pdf");
}

#[test]
fn mutants_of_pdf_with_streams_of_objects() {
    torture("streams.pdf");
}

fn torture(name: &str) {
    let asked = std::env::var("GRAPHBIT_LOAD_MUTANTS").unwrap_or_else(|_| "300".to_owned());
    let (first, end) = asked.split_once("..").unwrap_or(("0", &asked));
    let mutants: std::ops::Range<u64> = first.parse().unwrap()..end.parse().unwrap();
    let (packed, extension) = packed(name);
    let sound = document(name);
    let isolation = isolation();
    let (mut texts, mut errors, mut deaths, mut slowest) = (0, 0, Vec::new(), Duration::ZERO);
    for number in mutants {
        let mut random = Rng::with_seed(number);
        let damaged = mutant(&sound, &mut random);
        let full = random.bool();
        let start = Instant::now();
        let outcome = isolation.text(packed, &damaged, Some(extension), full, limits());
        let taken = start.elapsed();
        slowest = slowest.max(taken);
        assert!(taken < LONGEST, "{name}, number {number}: {taken:?}");
        match outcome {
            Ok(_) => texts += 1,
            Err(error) => {
                errors += 1;
                let text = error.message();
                if text.starts_with("the reader") || text.contains("a panic was caught") {
                    deaths.push(format!("number {number}: {text}"));
                }
            }
        }
    }
    eprintln!(
        "{name}: {texts} texts, {errors} errors, of which {} deaths, slowest {slowest:?}\n{}",
        deaths.len(),
        deaths.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(packed.needs_process() || deaths.is_empty(), "{name} killed its reader");
}

fn mutant(sound: &[u8], random: &mut Rng) -> Vec<u8> {
    // Most damages of the archive itself are caught by its checksums, so most are made inside.
    if !sound.starts_with(b"PK") || random.u8(..4) == 0 {
        let mut damaged = sound.to_vec();
        // A PDF knows where each of its parts stands, so most damages move none of them.
        let moving = !sound.starts_with(b"%PDF") || random.u8(..4) == 0;
        damage(&mut damaged, moving, random);
        return damaged;
    }
    let mut names = Vec::new();
    repacked(sound, |name, _| names.push(name.to_owned()));
    let chosen = random.choice(&names).unwrap().clone();
    repacked(sound, |name, part| {
        if *name == chosen {
            damage(part, true, random);
        }
    })
}

/// Numbers and references that readers like to believe.
const CLAIMS: [&[u8]; 12] = [
    &[0xFF; 4],
    &[0; 4],
    &[0xFF, 0xFF, 0xFF, 0x7F],
    &[0, 0, 0, 0x80],
    b"99999999",
    b"-1",
    b"4294967296",
    b" 2 0 R ",
    b" 5 0 R ",
    b"[[[[[[[[",
    b"<<<<<<<<",
    b"/Fl Do ",
];

fn damage(bytes: &mut Vec<u8>, moving: bool, random: &mut Rng) {
    for _ in 0..random.usize(1..=4) {
        if bytes.is_empty() {
            return;
        }
        let place = random.usize(..bytes.len());
        let length = random.usize(1..=64).min(bytes.len() - place);
        match random.u8(..8) {
            0 => bytes[place] ^= 1 << random.u8(..8),
            1 => bytes[place] = random.u8(..),
            2 if moving => drop(bytes.drain(place..place + length)),
            3 => {
                let chunk = bytes[place..place + length].to_vec();
                let target = random.usize(..=bytes.len() - length);
                let end = if moving { target } else { target + length };
                bytes.splice(target..end, chunk);
            }
            4 if moving && random.u8(..4) == 0 => bytes.truncate(place),
            5 | 6 => damage_number(bytes, place, moving, random),
            _ => {
                let claim = random.choice(CLAIMS).unwrap();
                let end = (place + claim.len()).min(bytes.len());
                bytes.splice(place..end, claim[..end - place].iter().copied());
            }
        }
    }
}

/// Changes the next number in writing, such as a length, a reference or the row of a cell.
fn damage_number(bytes: &mut Vec<u8>, place: usize, moving: bool, random: &mut Rng) {
    let Some(start) = bytes[place..].iter().position(u8::is_ascii_digit) else { return };
    let start = place + start;
    let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit());
    let end = end.map_or(bytes.len(), |end| start + end);
    let number = if random.bool() { random.u64(..20) } else { random.u64(..) }.to_string();
    let width = end - start;
    let number =
        if moving { number } else { format!("{:>width$}", &number[..number.len().min(width)]) };
    bytes.splice(start..end, number.into_bytes());
}

fn repacked(archive: &[u8], mut change: impl FnMut(&str, &mut Vec<u8>)) -> Vec<u8> {
    let mut source = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut target = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for place in 0..source.len() {
        let mut part = Vec::new();
        let mut entry = source.by_index(place).unwrap();
        entry.read_to_end(&mut part).unwrap();
        let name = entry.name().unwrap().to_string();
        drop(entry);
        change(&name, &mut part);
        target.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        target.write_all(&part).unwrap();
    }
    target.finish().unwrap().into_inner()
}

fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let place = bytes.windows(old.len()).position(|window| window == old.as_bytes());
    let place = place.unwrap_or_else(|| panic!("there is no '{old}'"));
    [&bytes[..place], new.as_bytes(), &bytes[place + old.len()..]].concat()
}

/// A document of these objects, of which the first is the catalogue.
fn pdf(objects: &[&str]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (place, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", bytes.len());
        bytes.extend(format!("{} 0 obj\n{object}\nendobj\n", place + 1).into_bytes());
    }
    let start = bytes.len();
    let size = objects.len() + 1;
    let trailer = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    bytes.extend([table, trailer].concat().into_bytes());
    bytes
}
