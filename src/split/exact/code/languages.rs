//! The programming languages whose grammar is built in: by name, by file ending, by content.

use tree_sitter::Language as TreeSitter;

/// A language with a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::split) enum Language {
    Python,
    Rust,
    JavaScript,
    TypeScript,
    Tsx,
    Java,
    Go,
    C,
    Cpp,
}

/// Lines that only one language has, by how they begin. Looked for at column 0 only.
const TELLING: [(&str, Language); 34] = [
    ("def ", Language::Python),
    ("from ", Language::Python),
    ("if __name__", Language::Python),
    ("async def ", Language::Python),
    ("import ", Language::Python),
    ("@", Language::Python),
    ("fn ", Language::Rust),
    ("pub fn ", Language::Rust),
    ("impl ", Language::Rust),
    ("impl<", Language::Rust),
    ("use crate::", Language::Rust),
    ("use std::", Language::Rust),
    ("pub struct ", Language::Rust),
    ("pub mod ", Language::Rust),
    ("#[derive(", Language::Rust),
    ("function ", Language::JavaScript),
    ("const ", Language::JavaScript),
    ("let ", Language::JavaScript),
    ("module.exports", Language::JavaScript),
    ("export ", Language::JavaScript),
    ("interface ", Language::TypeScript),
    ("export interface ", Language::TypeScript),
    ("export type ", Language::TypeScript),
    ("import java.", Language::Java),
    ("import javax.", Language::Java),
    ("public class ", Language::Java),
    ("public interface ", Language::Java),
    ("func ", Language::Go),
    ("import (", Language::Go),
    ("#include ", Language::C),
    ("#define ", Language::C),
    ("#ifndef ", Language::C),
    ("namespace ", Language::Cpp),
    ("template <", Language::Cpp),
];

/// Telling lines before a guess is believed.
const EVIDENCE: usize = 3;

/// Text that a guess is made from, in bytes.
const GUESSED_FROM: usize = 16 * 1024;

impl Language {
    /// By name or usual file ending, with or without a dot, in any case.
    pub(in crate::split) fn named(name: &str) -> Option<Self> {
        let name = name.trim().trim_start_matches('.').to_ascii_lowercase();
        Some(match name.as_str() {
            "python" | "python3" | "py" | "pyi" | "pyw" => Self::Python,
            "rust" | "rs" => Self::Rust,
            "javascript" | "js" | "jsx" | "mjs" | "cjs" | "node" | "ecmascript" => Self::JavaScript,
            "typescript" | "ts" | "mts" | "cts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "java" => Self::Java,
            "go" | "golang" => Self::Go,
            "c" | "h" => Self::C,
            "cpp" | "c++" | "cxx" | "cc" | "hpp" | "h++" | "hxx" | "hh" => Self::Cpp,
            _ => return None,
        })
    }

    /// The language that `text` is in, when its first lines leave no doubt.
    pub(in crate::split) fn guessed(text: &str) -> Option<Self> {
        if let Some(interpreter) = text.strip_prefix("#!") {
            let line = interpreter.lines().next().unwrap_or_default();
            let program = line.rsplit(['/', ' ']).next().unwrap_or_default();
            return Self::named(program.trim_end_matches(|end: char| !end.is_alphabetic()));
        }
        let mut read = 0;
        let head = text.lines().take_while(|line| {
            read += line.len() + 1;
            read <= GUESSED_FROM
        });
        let mut counts: Vec<(Self, usize)> = Vec::new();
        let mut is_go = false;
        for line in head {
            is_go |= line.starts_with("package ") && !line.trim_end().ends_with(';');
            for (_, language) in TELLING.iter().filter(|(start, _)| is_telling(line, start)) {
                match counts.iter_mut().find(|(known, _)| known == language) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((*language, 1)),
                }
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let has = |wanted: Self| counts.iter().any(|(language, _)| *language == wanted);
        let (first, count) = counts.first().copied()?;
        let second = counts.get(1).map_or(0, |(_, count)| *count);
        match first {
            Self::Go => return is_go.then_some(Self::Go),
            // A superset: what only it has decides.
            Self::C | Self::Cpp if count + second >= EVIDENCE => {
                return Some(if has(Self::Cpp) { Self::Cpp } else { Self::C });
            }
            Self::JavaScript | Self::TypeScript if count + second >= EVIDENCE => {
                let known = [Self::JavaScript, Self::TypeScript, Self::Python];
                // `import` and decorators look like Python's.
                let is_clear = counts.iter().all(|(language, _)| known.contains(language));
                let typed = has(Self::TypeScript);
                return is_clear.then_some(if typed { Self::TypeScript } else { Self::JavaScript });
            }
            _ => {}
        }
        (count >= EVIDENCE && count >= 2 * second).then_some(first)
    }

    pub(super) fn grammar(self) -> TreeSitter {
        match self {
            Self::Python => tree_sitter_python::LANGUAGE,
            Self::Rust => tree_sitter_rust::LANGUAGE,
            Self::JavaScript => tree_sitter_javascript::LANGUAGE,
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
            Self::Java => tree_sitter_java::LANGUAGE,
            Self::Go => tree_sitter_go::LANGUAGE,
            Self::C => tree_sitter_c::LANGUAGE,
            Self::Cpp => tree_sitter_cpp::LANGUAGE,
        }
        .into()
    }
}

/// Whether a line begins with `start` and goes on as code does, not as prose.
fn is_telling(line: &str, start: &str) -> bool {
    let Some(rest) = line.strip_prefix(start) else { return false };
    match start {
        "from " => rest.contains(" import "),
        "import " => rest.split(',').all(|name| {
            name.split(" as ")
                .all(|it| it.trim().chars().all(|c| c.is_alphanumeric() || "_.".contains(c)))
        }),
        "@" => !rest.contains(' ') || rest.contains('('),
        "const " | "let " => rest.contains('='),
        "def " | "async def " | "function " | "fn " | "pub fn " | "func " => rest.contains('('),
        "interface " | "namespace " => rest.trim_end().ends_with('{'),
        "export " => !rest.contains(". "),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings_are_known() {
        for (name, language) in [
            ("Python", Language::Python),
            (".py", Language::Python),
            ("rs", Language::Rust),
            ("jsx", Language::JavaScript),
            ("TS", Language::TypeScript),
            ("tsx", Language::Tsx),
            ("golang", Language::Go),
            ("c++", Language::Cpp),
            ("h", Language::C),
            ("java", Language::Java),
        ] {
            assert_eq!(Language::named(name), Some(language), "{name}");
        }
        assert_eq!(Language::named("cobol"), None);
        assert_eq!(Language::named(""), None);
    }

    #[test]
    fn content_is_believed_only_when_it_is_clear() {
        let python = "import os\nfrom sys import path\n\ndef main():\n    pass\n";
        assert_eq!(Language::guessed(python), Some(Language::Python));
        assert_eq!(Language::guessed("#!/usr/bin/env python3\nx"), Some(Language::Python));
        assert_eq!(Language::guessed("#!/bin/sh\nx"), None);
        let rust = "use std::fmt;\n\nimpl A {\n}\n\nfn main() {\n}\n";
        assert_eq!(Language::guessed(rust), Some(Language::Rust));
        assert_eq!(Language::guessed("package main\n\nfunc main() {\n}\n"), Some(Language::Go));
        let header = "#include <a>\n#include <b>\nnamespace x {\n}\n";
        assert_eq!(Language::guessed(header), Some(Language::Cpp));
        let prose = "from here on\nlet us go\nconst is a word\nimport taxes are high, he said.\n";
        assert_eq!(Language::guessed(prose), None);
        assert_eq!(Language::guessed(""), None);
    }
}
