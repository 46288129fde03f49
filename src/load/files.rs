//! Which files a path, a folder or a pattern stands for.
//!
//! Folders are walked in name order; names starting with a dot are skipped, and links to folders are not
//! followed, for they may lead round in a circle. A pattern is a path with `*` and `?` (anything but a
//! separator), `**` (any folders) or `[a-z]`, walked by the same rules; a file that has the name to the letter
//! comes first. It refuses what stands for nothing at all, naming it. A folder on the way that cannot be read is
//! named among the files and costs the others nothing, but then nobody can say what is gone: there is no [`Area`].
//!
//! ```
//! use graphbit::load;
//!
//! let error = load::find("no/such/*.pdf".as_ref(), None).unwrap_err();
//! assert!(error.message().contains("no/such/*.pdf"));
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use crate::error::{Error, Kind, Result};

/// What [`find`] found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The files, in order, and the folders that could not be read.
    pub files: Vec<PathBuf>,
    /// Those of them that are such folders, each with the reason.
    pub unread: BTreeMap<PathBuf, String>,
    /// Where it looked. `None` for a path that stands for itself; where part of it could not be read; and where
    /// nothing was found, for that is what a volume looks like that is not mounted.
    pub area: Option<Area>,
}

impl Found {
    fn of(walked: Walked, root: PathBuf, names: Option<Regex>) -> Self {
        let Walked { files, unread } = walked;
        let whole = unread.is_empty() && !files.is_empty();
        let shown = PathBuf::from(root.display().to_string());
        Self { files, unread, area: whole.then_some(Area { root, shown, names }) }
    }
}

/// The part of the file system that a folder or a pattern covers.
#[derive(Clone, Debug)]
pub struct Area {
    root: PathBuf,
    /// The root as names begin with it, which are text.
    shown: PathBuf,
    names: Option<Regex>,
}

impl Area {
    /// Whether [`find`] would give out a file of that name, spelled as it spells it, if it were there.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let Ok(inside) = Path::new(name).strip_prefix(&self.shown) else { return false };
        let mut parts = inside.components().map(|part| part.as_os_str().as_encoded_bytes());
        !inside.as_os_str().is_empty()
            && !parts.any(|part| part.starts_with(b"."))
            && self.names.as_ref().is_none_or(|names| names.is_match(name))
    }

    /// Whether a file of that name would lie in it and is not there. What cannot be looked at may be there.
    #[must_use]
    pub fn lacks(&self, name: &str) -> bool {
        if !self.covers(name) {
            return false;
        }
        let Ok(inside) = Path::new(name).strip_prefix(&self.shown) else { return false };
        let mut path = self.root.clone();
        let mut parts = inside.components().peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let last = parts.peek().is_none();
            match std::fs::symlink_metadata(&path) {
                // No walk leads through a link, so none can tell what became of what lies behind it.
                Ok(metadata) if metadata.is_symlink() && !last => return false,
                Ok(metadata) if last => return metadata.is_dir(),
                Ok(_) => {}
                Err(error) => {
                    return matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
                }
            }
        }
        false
    }
}

/// The files that `path` stands for: itself, everything below a folder, or what a pattern matches. What is
/// in the folder `without` is left out. A folder may be empty.
///
/// # Errors
/// [`Kind::Document`] naming the path, when nothing is there or the folder itself cannot be read.
pub fn find(path: &Path, without: Option<&Path>) -> Result<Found> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let Some(pattern) = Pattern::of(path)? else {
                return Err(refused(path, &error.to_string()));
            };
            return pattern.find(path, without);
        }
    };
    if !metadata.is_dir() {
        return Ok(Found { files: vec![path.to_path_buf()], unread: BTreeMap::new(), area: None });
    }
    let walked = walk(path, without, usize::MAX)?;
    Ok(Found::of(walked, path.to_path_buf(), None))
}

#[derive(Default)]
struct Walked {
    files: Vec<PathBuf>,
    unread: BTreeMap<PathBuf, String>,
}

/// All files at most `levels` folders below this one.
fn walk(root: &Path, without: Option<&Path>, levels: usize) -> Result<Walked> {
    let without = without.and_then(|path| path.canonicalize().ok());
    let left_out = |folder: &Path| {
        without.as_deref().is_some_and(|without| {
            folder.canonicalize().is_ok_and(|folder| folder.as_path() == without)
        })
    };
    let mut walked = Walked::default();
    let mut folders = vec![(root.to_path_buf(), levels)];
    while let Some((folder, levels)) = folders.pop() {
        if left_out(&folder) {
            continue;
        }
        let mut inner = Vec::new();
        let read = std::fs::read_dir(&folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<std::fs::DirEntry>>>);
        let mut entries = match read {
            Ok(entries) => entries,
            Err(error) if folder == root => return Err(refused(root, &error.to_string())),
            Err(error) => {
                walked.files.push(folder.clone());
                walked.unread.insert(folder, error.to_string());
                continue;
            }
        };
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    if let Some(levels) = levels.checked_sub(1) {
                        inner.push((entry.path(), levels));
                    }
                }
                Ok(kind) if kind.is_symlink() && entry.path().is_dir() => {}
                _ => walked.files.push(entry.path()),
            }
        }
        folders.extend(inner.into_iter().rev());
    }
    Ok(walked)
}

/// A path with wildcards.
struct Pattern {
    /// The folder before the first wildcard, where the walk starts.
    base: PathBuf,
    levels: usize,
    names: Regex,
}

impl Pattern {
    /// `None` for a path without wildcards, or that is no text.
    fn of(path: &Path) -> Result<Option<Self>> {
        let wild = |part: &str| part.contains(['*', '?', '[']);
        let Some(text) = path.to_str().filter(|text| wild(text)) else { return Ok(None) };
        let (mut base, mut levels, mut before) = (PathBuf::new(), 0_usize, true);
        let mut any = false;
        for part in path.components() {
            let part: &Path = part.as_ref();
            let name = part.to_str().unwrap_or_default();
            before &= !wild(name);
            any |= name == "**";
            if before {
                base.push(part);
            } else {
                levels += 1;
            }
        }
        let levels = if any { usize::MAX } else { levels.saturating_sub(1) };
        let names = Regex::new(&expression(text))
            .map_err(|_| refused(path, "it is neither a file nor a pattern"))?;
        Ok(Some(Self { base, levels, names }))
    }

    fn find(self, path: &Path, without: Option<&Path>) -> Result<Found> {
        let here = self.base.as_os_str().is_empty();
        let base = if here { Path::new(".") } else { &self.base };
        let missing = !base.is_dir();
        let mut walked =
            if missing { Walked::default() } else { walk(base, without, self.levels)? };
        if here {
            // Named as the pattern names them: "a.txt", not "./a.txt".
            let short = |path: PathBuf| path.components().skip(1).collect::<PathBuf>();
            walked.files = walked.files.into_iter().map(short).collect();
            walked.unread =
                walked.unread.into_iter().map(|(path, reason)| (short(path), reason)).collect();
        }
        let Walked { files, unread } = &mut walked;
        files.retain(|file| {
            unread.contains_key(file) || self.names.is_match(&file.display().to_string())
        });
        if missing {
            return Err(refused(path, "there is no such file, and no folder to look in"));
        }
        Ok(Found::of(walked, self.base, Some(self.names)))
    }
}

/// The regular expression of a pattern. A separator is whatever the system takes for one.
fn expression(pattern: &str) -> String {
    let separator = if cfg!(windows) { r"[\\/]" } else { "/" };
    let other = if cfg!(windows) { r"[^\\/]" } else { "[^/]" };
    // Names come back without "./" in the middle and without doubled separators.
    let leading = pattern.starts_with("./");
    let parts: Vec<&str> = Path::new(pattern)
        .components()
        .filter(|part| !matches!(part, Component::RootDir | Component::CurDir))
        .filter_map(|part| part.as_os_str().to_str())
        .collect();
    let mut expression = String::from("^");
    if leading {
        expression.push_str(&format!("\\.{separator}"));
    } else if Path::new(pattern).has_root() {
        expression.push_str(separator);
    }
    for (number, part) in parts.iter().enumerate() {
        let last = number + 1 == parts.len();
        if *part == "**" {
            let folders = format!("(?:{other}+{separator})*");
            expression.push_str(&if last { format!("{folders}{other}+") } else { folders });
            continue;
        }
        let mut rest = part.chars();
        while let Some(letter) = rest.next() {
            match letter {
                '*' => expression.push_str(&format!("{other}*")),
                '?' => expression.push_str(other),
                '[' if rest.as_str().contains(']') => {
                    let set: String = rest.by_ref().take_while(|letter| *letter != ']').collect();
                    let (not, set) =
                        set.strip_prefix('!').map_or(("", set.as_str()), |it| ("^", it));
                    let set = set.replace('\\', r"\\").replace('[', r"\[").replace('^', r"\^");
                    expression.push_str(&format!("[{not}{set}]"));
                }
                letter => expression.push_str(&regex::escape(&letter.to_string())),
            }
        }
        if !last {
            expression.push_str(separator);
        }
    }
    expression.push('$');
    expression
}

/// Opens without waiting for the writer of a named pipe.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}

fn refused(path: &Path, reason: &str) -> Error {
    Error::new(Kind::Document, format!("Cannot read '{}': {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("graphbit-load-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn filled(name: &str, files: &[&str]) -> PathBuf {
        let root = folder(name);
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        root
    }

    fn names(root: &Path, found: &Found) -> Vec<String> {
        let inside = |path: &PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        found.files.iter().map(inside).collect()
    }

    #[test]
    fn a_folder_is_walked_in_order_without_hidden_files() {
        let files = ["b.txt", "a/z.md", "a/y.md", ".hidden", ".git/config", "c.txt", "s/lock"];
        let root = filled("walk", &files);
        let found = find(&root, Some(&root.join("s"))).unwrap();
        assert_eq!(names(&root, &found), ["b.txt", "c.txt", "a/y.md", "a/z.md"]);
        let area = found.area.unwrap();
        let inside = |name: &str| root.join(name).display().to_string();
        assert!(area.covers(&inside("a/gone.md")));
        assert!(!area.covers(&format!("{}-2/b.txt", root.display())));
        for never in ["", ".hidden", "a/.git/config", "../b.txt"] {
            assert!(!area.covers(&inside(never)), "{never}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_pattern_stands_for_the_files_it_matches() {
        let files =
            ["a.pdf", "b.txt", "x/c.pdf", "x/y/d.pdf", ".h/e.pdf", "odd[1].pdf", "odd1.pdf"];
        let root = filled("pattern", &files);
        for (pattern, expected) in [
            ("*.pdf", &["a.pdf", "odd1.pdf", "odd[1].pdf"][..]),
            ("**/*.pdf", &["a.pdf", "odd1.pdf", "odd[1].pdf", "x/c.pdf", "x/y/d.pdf"]),
            ("x/**", &["x/c.pdf", "x/y/d.pdf"]),
            ("*/?.pdf", &["x/c.pdf"]),
            ("odd[!a-z].pdf", &["odd1.pdf"]),
            ("odd[1].pdf", &["odd[1].pdf"]),
            ("*.docx", &[]),
        ] {
            let found = find(&root.join(pattern), None).unwrap();
            assert_eq!(names(&root, &found), expected, "{pattern}");
            let covers = |area: Area| area.covers(&root.join("x/gone.pdf").display().to_string());
            assert_eq!(found.area.is_some_and(covers), pattern.contains("**"), "{pattern}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn only_what_is_not_there_is_lacking() {
        let root = filled("lacks", &["a.txt", "x/b.txt", "x/b.md/c.txt", "other/d.txt"]);
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("other"), root.join("link")).unwrap();
        let lacks = |path: &Path, name: &str| {
            let area = find(path, None).unwrap().area.unwrap();
            area.lacks(&root.join(name).display().to_string())
        };
        for name in ["gone.txt", "x/gone.txt", "gone/a.txt", "a.txt/gone.txt", "x/b.md"] {
            assert!(lacks(&root, name), "{name}");
        }
        for name in ["a.txt", "x/b.txt", ".gone.txt", "x/../gone.txt", "a\0b"] {
            assert!(!lacks(&root, name), "{name}");
        }
        if cfg!(unix) {
            assert!(!lacks(&root, "link/d.txt") && !lacks(&root, "link/gone.txt"));
        }
        assert!(lacks(&root.join("*.txt"), "gone.txt"));
        assert!(!lacks(&root.join("*.txt"), "gone.md"));
        assert!(!lacks(&root.join("*.txt"), "x/gone.txt"));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn where_nothing_is_found_nothing_is_known_to_be_gone() {
        let root = filled("nothing", &["full/a.md"]);
        std::fs::create_dir(root.join("empty")).unwrap();
        for path in ["empty", "empty/*.txt", "full/*.txt"] {
            let found = find(&root.join(path), None).unwrap();
            assert!(found.files.is_empty() && found.area.is_none(), "{path}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_missing_path_says_so() {
        let root = folder("missing");
        for name in ["nope", "nope/*.txt"] {
            let missing = find(&root.join(name), None).unwrap_err();
            assert_eq!(missing.kind(), Kind::Document);
            assert!(missing.message().contains(name), "{missing}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
