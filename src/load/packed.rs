//! Documents that hold text, but not as text: PDF, DOCX and the workbooks of Excel.
//!
//! Which of them need a process of their own is known here. DOCX and Excel are read by code of this
//! crate: nothing in it recurses, allocates what a file merely claims, or loops without a count. PDF is read
//! by libraries that do, so [`Packed::needs_process`] says so, and whoever can start a process lets
//! `Isolation` read it there. Here a panic is an error like any other.
//!
//! ```
//! use graphbit::load::{Limits, Packed};
//!
//! let error = Packed::Docx.text(b"no archive", None, false, Limits::default()).unwrap_err();
//! assert!(error.message().starts_with("Failed to parse DOCX file"));
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::extracted::Extracted;
use super::limits::{Limits, Meter};
use super::{docx, excel, pdf};
use crate::error::{Error, Kind, Result};

/// A family of formats that one reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Portable documents.
    Pdf,
    /// Word documents since 2007.
    Docx,
    /// Workbooks: XLSX, XLSB and XLS.
    Excel,
}

impl Packed {
    /// By the name of a document type, in lower case: `pdf`, `docx`, `xlsx`, `xlsb` or `xls`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pdf" => Self::Pdf,
            "docx" => Self::Docx,
            "xlsx" | "xlsb" | "xls" => Self::Excel,
            _ => return None,
        })
    }

    /// Whether a hostile file can end the process that reads it.
    #[must_use]
    pub const fn needs_process(self) -> bool {
        matches!(self, Self::Pdf)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Excel => "xlsx",
        }
    }

    /// The text, read in this process.
    ///
    /// `extension` is that of the file, without the dot: it decides between the formats of Excel. With
    /// `full` everything is read that the format holds, otherwise what GraphBit 0.6.8 reads.
    ///
    /// # Errors
    /// [`Kind::Document`] with the reason, also when a limit is exceeded.
    pub fn text(
        self,
        bytes: &[u8],
        extension: Option<&str>,
        full: bool,
        limits: Limits,
    ) -> Result<String> {
        self.extract(bytes, extension, full, limits).map(|extracted| extracted.text)
    }

    pub(super) fn extract(
        self,
        bytes: &[u8],
        extension: Option<&str>,
        full: bool,
        limits: Limits,
    ) -> Result<Extracted> {
        let mut meter = Meter::new(limits);
        let read = AssertUnwindSafe(|| match self {
            Self::Pdf => pdf::extract(bytes, full, &mut meter),
            Self::Docx => docx::extract(bytes, full, &mut meter),
            Self::Excel => excel::extract(bytes, extension, full, &mut meter),
        });
        catch_unwind(read).unwrap_or_else(|panic| {
            let text = format!("the document is damaged: {}", Error::panicked(&*panic));
            Err(Error::new(Kind::Document, text))
        })
    }
}
