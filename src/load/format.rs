//! The formats of documents, and how a name tells one.
//!
//! ```
//! use graphbit::load::Format;
//!
//! assert_eq!(Format::of_path("reports/2024.XLSX"), Some(Format::Xlsx));
//! assert_eq!(Format::of_path("archive.tar.gz"), None);
//! ```

use std::path::Path;

use super::packed::Packed;

/// A format that the loader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Plain text.
    Txt,
    /// Portable Document Format.
    Pdf,
    /// Word.
    Docx,
    /// JSON.
    Json,
    /// Comma-separated values.
    Csv,
    /// XML.
    Xml,
    /// HTML.
    Html,
    /// Excel, binary.
    Xlsb,
    /// Excel.
    Xlsx,
    /// Excel before 2007.
    Xls,
}

impl Format {
    /// All of them, in the order in which they are listed to users.
    pub const ALL: [Self; 10] = [
        Self::Txt,
        Self::Pdf,
        Self::Docx,
        Self::Json,
        Self::Csv,
        Self::Xml,
        Self::Html,
        Self::Xlsb,
        Self::Xlsx,
        Self::Xls,
    ];

    /// Its name: the usual extension.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Xml => "xml",
            Self::Html => "html",
            Self::Xlsb => "xlsb",
            Self::Xlsx => "xlsx",
            Self::Xls => "xls",
        }
    }

    /// What messages call a file of it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Txt => "text",
            Self::Pdf => "PDF",
            Self::Docx => "DOCX",
            Self::Json => "JSON",
            Self::Csv => "CSV",
            Self::Xml => "XML",
            Self::Html => "HTML",
            Self::Xlsb | Self::Xlsx | Self::Xls => "Excel",
        }
    }

    /// The reader of it, where it holds text but not as text.
    pub(super) const fn packed(self) -> Option<Packed> {
        match self {
            Self::Pdf => Some(Packed::Pdf),
            Self::Docx => Some(Packed::Docx),
            Self::Xlsb | Self::Xlsx | Self::Xls => Some(Packed::Excel),
            Self::Txt | Self::Json | Self::Csv | Self::Xml | Self::Html => None,
        }
    }

    /// The format of that name, in whatever case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// What the extension of a path says. The file need not exist.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Self::parse(Path::new(path).extension()?.to_str()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_extension_of_the_last_part_counts() {
        for (path, expected) in [
            ("x.PDF", Some(Format::Pdf)),
            ("a/b.pdf/", Some(Format::Pdf)),
            ("a.txt//", Some(Format::Txt)),
            ("a/../b.txt", Some(Format::Txt)),
            ("..txt", Some(Format::Txt)),
            ("http://x/y.pdf", Some(Format::Pdf)),
            (".txt", None),
            ("x.", None),
            ("a.txt ", None),
            ("a.htm", None),
            ("http://x/y.pdf?z", None),
            ("", None),
            ("/", None),
            ("..", None),
        ] {
            assert_eq!(Format::of_path(path), expected, "{path}");
        }
    }
}
