//! Loading: a path or URL in, the text of the document out.
//!
//! [`Loader`] reads the ten formats of [`Format`] as GraphBit 0.6.8 prints them, or in full; [`find`] says
//! which files a folder or a pattern stands for. A reader sees bytes, never a path: what comes in is read
//! up to a limit first, and whatever it is made of, it costs no more than its [`Limits`]. A defect in a
//! parser is an error of one document, not the end of the process.
//!
//! | file | job |
//! |---|---|
//! | `loader`, `place`, `many` | the checks and their order, files and URLs, many at a time |
//! | `files`, `url` | which files there are, bytes from a server |
//! | `encoding` | bytes to text |
//! | `readers` and one file or folder a format | text of a document |
//! | `packed`, `isolate` | formats that hold text, but not as text; a process that may die of them |
//! | `limits` | what all of it may cost |
//!
//! It refuses to guess a format from the content (a name that says none may be that of a plain text, and
//! that is all [`Loader::load_found`] makes of it), to follow what a document refers to, and to read
//! anything but regular files.
//!
//! ```
//! use graphbit::load::{Loader, LoaderSettings, Place};
//!
//! let loader = Loader::new(LoaderSettings::default());
//! let missing = Place::Named("no/such/notes.txt".to_owned());
//! let error = graphbit::runtime::block_on(async move { loader.load(missing, "txt").await }).unwrap_err();
//! assert!(error.message().ends_with("File not found: no/such/notes.txt"));
//! ```

mod archive;
mod csv;
mod docx;
mod elements;
mod encoding;
mod excel;
mod extracted;
mod files;
mod format;
mod html;
pub mod isolate;
mod json;
mod json_number;
mod limits;
mod loader;
mod many;
mod packed;
mod pdf;
mod place;
mod readers;
mod relations;
mod url;
mod xml;

pub use files::{Area, Found, find};
pub use format::Format;
pub use isolate::Isolation;
pub use limits::Limits;
pub use loader::{DocumentContent, Loader, LoaderSettings};
pub use many::{Request, load_each, usual_workers};
pub use packed::Packed;
pub use place::{Place, check_source};
pub(crate) use url::fetch;
