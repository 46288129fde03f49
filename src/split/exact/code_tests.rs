//! Where code is cut in each language, and that hostile text costs no more than it should.

use proptest::prelude::*;

use super::*;

/// The lines that follow the seams coarser than `rank`, in order.
fn starts<'text>(text: &'text str, language: &str, rank: u8) -> Vec<&'text str> {
    let mut seams = code(text, Some(language));
    assert!(seams.language().is_some());
    seams.read_to(text.len());
    let (mut starts, mut after) = (Vec::new(), 0);
    for at in 1..text.len() {
        if let Some((seam, found)) = seams.ranked.coarsest(after, at) {
            if found <= rank {
                starts.push(text[seam..].lines().next().unwrap_or_default());
            }
            after = seam;
        }
    }
    starts
}

const PYTHON: &str = r#"import os

# About f.
# More about f.
@cache
def f(x):
    """A text.

    On lines.
    """
    if x:
        return 1
    return 2

class A(B):
    # About m.
    x = 1

    @property
    def m(self):
        return {
            "a": 1,
        }

# The end.
main()
"#;

#[test]
fn definitions_are_coarsest_and_keep_their_comments() {
    assert_eq!(starts(PYTHON, "py", 0), ["# About f.", "class A(B):", "# The end."]);
    assert_eq!(
        starts(PYTHON, "py", 1),
        ["# About f.", "    if x:", "    return 2", "class A(B):", "    @property", "# The end."]
    );
    let mut seams = code(PYTHON, Some("python"));
    let quoted = PYTHON.find("\"\"\"").unwrap();
    let whole = seams.whole(PYTHON.find("On lines").unwrap()).unwrap();
    assert_eq!(whole.start, quoted);
    assert!(PYTHON[whole].ends_with("\"\"\""));
    // Nothing but lines: before the quoted ones, not among them.
    assert_eq!(
        seams.best(PYTHON.find("@cache").unwrap(), PYTHON.find("On lines").unwrap() + 3),
        PYTHON.find("    \"\"\"A text")
    );
}

#[test]
fn every_language_has_its_members() {
    let rust = "use a;\n\n/// Doc.\n#[derive(Debug)]\nstruct A {\n    a: u8,\n    b: u8,\n}\n\nimpl A {\n    fn f() {}\n\n    /// Doc.\n    fn g() {\n        1;\n        2\n    }\n}\n";
    assert_eq!(starts(rust, "rs", 0), ["/// Doc.", "impl A {"]);
    assert_eq!(starts(rust, "rs", 1), ["/// Doc.", "    b: u8,", "impl A {", "    /// Doc."]);
    let script = "import a from 'a';\n\n/** Doc. */\nexport class A {\n  a() {\n    x();\n    y();\n  }\n\n  // b\n  b() {}\n}\n\nfunction f() {}\n";
    for language in ["js", "ts", "tsx"] {
        assert_eq!(starts(script, language, 0), ["/** Doc. */", "function f() {}"]);
        let members = ["/** Doc. */", "  // b", "function f() {}"];
        assert_eq!(starts(script, language, 1), members);
        assert_eq!(starts(script, language, 2).len(), 4);
    }
    let java = "package a;\n\n/** Doc. */\n@Deprecated\npublic class A {\n  int x;\n\n  @Override\n  void f() {\n    a();\n    b();\n  }\n}\n";
    assert_eq!(starts(java, "java", 1), ["/** Doc. */", "  @Override"]);
    let go = "package a\n\n// F does.\nfunc F() {\n\ta()\n\tb()\n}\n\nvar x = `one\ntwo`\n";
    assert_eq!(starts(go, "go", 0), ["// F does.", "var x = `one"]);
    assert_eq!(
        code(go, Some("go")).whole(go.find("two").unwrap()),
        Some(go.find('`').unwrap()..go.len() - 1)
    );
    let c = "#ifndef A\n#define A\n\n/* Doc. */\nint f(void) {\n  a();\n  b();\n}\n\nint g(void);\n#endif\n";
    assert_eq!(starts(c, "c", 0), ["#define A", "/* Doc. */", "int g(void);"]);
    let cpp = "namespace a {\n\nclass A {\n public:\n  int f();\n  int g();\n};\n\ntemplate <class T>\nT h();\n}\n";
    assert_eq!(starts(cpp, "cpp", 1), ["template <class T>"]);
    assert_eq!(starts(cpp, "cpp", 2).last(), Some(&"template <class T>"));
}

#[test]
fn a_language_that_is_not_known_is_cut_by_indentation() {
    let text = "to a\n  one\n\nto b\n  two\n";
    let mut seams = code(text, Some("logo"));
    assert_eq!(seams.language(), None);
    assert_eq!(seams.best(0, text.len()), text.find("to b"));
    assert_eq!(code(text, None).best(0, text.len()), text.find("to b"));
    assert_eq!(code(PYTHON, None).language(), Some(Language::Python));
    assert_eq!(code("x = 1\n", None).language(), None, "too little to tell");
    // Prose is no Rust.
    let prose = "Once upon a time,\nthere was a king.\n\nHe had a castle.\n";
    assert_eq!(code(prose, Some("rust")).best(0, prose.len()), prose.find("He had"));
}

#[test]
fn long_code_is_read_part_by_part() {
    let text = "def f():\n    return 1\n\n\n".repeat(PART / 8);
    let mut seams = code(&text, Some("py"));
    assert_eq!(seams.best(0, 30), Some(24));
    assert!(seams.read < text.len() / 2, "the rest is not read yet");
    let mut at = 0;
    while let Some(next) = seams.best(at, at + 100) {
        assert_eq!(next % 24, 0);
        at = next;
    }
    assert!(at + 100 >= text.len());
    assert_eq!(seams.failures, 0);
}

#[test]
fn hostile_text_is_given_up() {
    let languages = ["py", "rs", "js", "ts", "tsx", "java", "go", "c", "cpp"];
    for piece in
        ["(", "{", "[(", "\"", "'''", "`${", "/*", "<", "\0", "if(", "\\", "a.", "x{\n", "é"]
    {
        let text = piece.repeat(20_000 / piece.len());
        for language in languages {
            let mut seams = code(&text, Some(language));
            seams.best(0, text.len());
            assert_eq!(seams.read, text.len());
        }
    }
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "def f():\n",
        "    ",
        "\t",
        "\n",
        "\r\n",
        "class A {\n",
        "}\n",
        "{",
        "(",
        ")",
        "[",
        "\"",
        "'",
        "\"\"\"",
        "`",
        "${",
        "/*",
        "*/",
        "// a\n",
        "# b\n",
        "#if\n",
        "#endif\n",
        "@d\n",
        "fn f() {\n",
        "x = 1\n",
        "x();\n",
        "é",
        "🚀",
        "\0",
        "\u{feff}",
        "return",
        "if x:\n",
        "else:\n",
        "namespace a {\n",
        "<",
        ">",
        "R\"(",
        "\\",
    ]);
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn seams_can_be_cut_at(text in texts(), size in 1_usize..60, language in 0_usize..11) {
        let names = ["py", "rs", "js", "ts", "tsx", "java", "go", "c", "cpp", "?"];
        let mut seams = code(&text, names.get(language).copied());
        for after in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            if let Some(at) = seams.best(after, after + size) {
                prop_assert!(at > after && at <= after + size);
                prop_assert!(text.is_char_boundary(at) && text[..at].ends_with('\n'));
            }
            if let Some(at) = seams.resume(after, after + size) {
                prop_assert!(at >= after && at < after + size && text[..at].ends_with('\n'));
            }
            if let Some(whole) = seams.whole(after) {
                prop_assert!(whole.start < after && after < whole.end && text.get(whole).is_some());
            }
        }
    }
}
