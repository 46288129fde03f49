//! The rules of the house that no compiler checks: who may import whom, where the outside world is
//! met, how long a file may grow, what stands at the top level.
//!
//! The layering is read from the table in `src/lib.rs`, so that the map and the check cannot drift.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use graphbit::Kind;
use regex::Regex;

const LINE_LIMIT: usize = 600;

/// Everything that may stand beside the dotfiles; the last two are build products.
const TOP_LEVEL: [&str; 16] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "benches",
    "docs",
    "examples",
    "pyproject.toml",
    "python",
    "src",
    "tests",
    "dist",
    "target",
];

/// Names that say nothing about what a file is for.
const EMPTY_NAMES: [&str; 6] = ["common", "helper", "helpers", "misc", "util", "utils"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` with one of the extensions, sorted.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(folder)];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path
                .extension()
                .is_some_and(|end| extensions.iter().any(|known| end == *known))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The file's code with whole-line comments blanked, so that line numbers stay right.
fn code(path: &Path) -> String {
    let text = read(path);
    let lines =
        text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Module to row, as the table in `src/lib.rs` states it.
fn layering() -> BTreeMap<String, usize> {
    let row = Regex::new(r"(?m)^//! \| (\d+) \| ([^|]*) \|").unwrap();
    let name = Regex::new(r"`(\w+)`").unwrap();
    let mut rows = BTreeMap::new();
    for found in row.captures_iter(&read(&root().join("src/lib.rs"))) {
        let number = found[1].parse().unwrap();
        // The first column may explain itself in parentheses: "`python` (feature `python`)".
        let names = found[2].split('(').next().unwrap().to_owned();
        for module in name.captures_iter(&names) {
            rows.insert(module[1].to_owned(), number);
        }
    }
    rows
}

/// The first path segments after each `crate::` of a file, with their lines.
fn imports(code: &str) -> Vec<(String, usize)> {
    let path = Regex::new(r"\bcrate::(\w+|\{)").unwrap();
    let mut found = Vec::new();
    for start in path.captures_iter(code) {
        let segment = start.get(1).unwrap();
        let line = line_of(code, segment.start());
        if segment.as_str() == "{" {
            let items = group(&code[segment.end()..]);
            found.extend(items.iter().map(|item| (first_segment(item), line)));
        } else {
            found.push((segment.as_str().to_owned(), line));
        }
    }
    found
}

/// The items of a `use` group, given the text behind its opening brace.
fn group(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0;
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ => items.last_mut().unwrap().push(character),
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

fn first_segment(item: &str) -> String {
    item.split("::").next().unwrap().trim().to_owned()
}

fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn the_map_names_every_module() {
    let rows = layering();
    let declared = Regex::new(r"(?m)^(?:pub )?mod (\w+);").unwrap();
    let text = read(&root().join("src/lib.rs"));
    let modules: Vec<_> = declared.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    assert!(modules.len() >= 16, "the declarations were not understood: {modules:?}");
    for module in &modules {
        assert!(rows.contains_key(module), "src/lib.rs does not place `{module}` in its table");
    }
    assert_eq!(rows.len(), modules.len(), "the table names a module that does not exist");
}

#[test]
fn nobody_imports_upward() {
    let rows = layering();
    let mut broken = Vec::new();
    for path in files("src", &["rs"]) {
        let relative = path.strip_prefix(root().join("src")).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        let Some(own) = rows.get(module) else { continue };
        for (target, line) in imports(&code(&path)) {
            // A name that is no module is a re-export of the root: `crate::Result`.
            let Some(row) = rows.get(&target) else { continue };
            let first_row = *own == 1 && *row == 1;
            if target != module && row >= own && !first_row {
                broken.push(format!("{}:{line}: {module} imports {target}", shown(&path)));
            }
        }
    }
    assert_none(&broken, "a module imports only from the rows above its own in src/lib.rs");
}

#[test]
fn imports_are_understood() {
    let text = "use crate::http::Endpoint;\nuse crate::{error::Kind, split, store::{a, b}, Result};\nfn f(x: crate::llm::Client) {}";
    let words: Vec<_> = imports(text).into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["http", "error", "split", "store", "Result", "llm"]);
}

#[test]
fn the_outside_is_met_in_one_place_each() {
    let rules = [
        (r"\bpyo3\b|\bnumpy::", &["src/python"][..], "the core never learns that Python exists"),
        (r"\bhyper(_util|_rustls)?::", &["src/http"], "one transport"),
        (
            r"\bunsafe\b",
            &["src/runtime", "src/python/cpython.rs", "src/store/distance.rs"],
            "unsafe code has three homes",
        ),
    ];
    for (pattern, homes, rule) in rules {
        let pattern = Regex::new(pattern).unwrap();
        let mut broken = Vec::new();
        let mut at_home = 0;
        for path in files("src", &["rs"]) {
            let text = code(&path);
            let found = pattern.find_iter(&text);
            if homes.iter().any(|home| path.starts_with(root().join(home))) {
                at_home += found.count();
            } else {
                broken.extend(
                    found.map(|hit| format!("{}:{}", shown(&path), line_of(&text, hit.start()))),
                );
            }
        }
        assert!(at_home > 0, "the pattern of \"{rule}\" finds nothing in its own folder");
        assert_none(&broken, rule);
    }
}

#[test]
fn files_stay_short_and_say_what_they_are_for() {
    let mut broken = Vec::new();
    for folder in ["src", "python", "tests", "benches", "examples"] {
        for path in files(folder, &["rs", "py"]) {
            let lines = read(&path).lines().count();
            if lines > LINE_LIMIT && ["src", "python"].contains(&folder) {
                broken.push(format!("{}: {lines} lines", shown(&path)));
            }
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if EMPTY_NAMES.contains(&stem) {
                broken.push(format!("{}: the name says nothing", shown(&path)));
            }
        }
    }
    assert_none(
        &broken,
        "a source file has at most 600 lines, and every file a name that says what it holds",
    );
}

#[test]
fn every_module_opens_with_its_job() {
    let silent: Vec<_> = files("src", &["rs"])
        .into_iter()
        .filter(|path| !shown(path).ends_with("tests.rs") && !read(path).starts_with("//!"))
        .map(|path| shown(&path))
        .collect();
    assert_none(&silent, "a module opens with what it is for (`//!`)");
}

#[test]
fn the_top_level_stays_small() {
    let mut strangers = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    assert_none(&strangers, "a new top-level entry needs a reason in tests/architecture.rs");
}

#[test]
fn every_kind_has_its_exception_class() {
    let text = read(&root().join("python/graphbit/exceptions.py"));
    let (_, table) = text.split_once("BY_KIND: dict").expect("exceptions.py declares BY_KIND");
    let entry = Regex::new(r#"(?m)^    "(\w+)": \w+,$"#).unwrap();
    let mut listed: Vec<_> = entry.captures_iter(table).map(|found| found[1].to_owned()).collect();
    let mut known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    listed.sort();
    known.sort();
    assert_eq!(listed, known, "BY_KIND and Kind::ALL name the same kinds");
}
