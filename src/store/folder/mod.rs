//! A store that lives in a folder: a snapshot, a journal of the changes since, and a lock.
//!
//! | file | holds |
//! |---|---|
//! | `store-N.safetensors` | all rows at the beginning of journal N, see `file.rs`; none for N = 0 |
//! | `journal-N.log` | every change since, see `journal.rs` |
//! | `graph.bin` | what `graph/file.rs` says, for [`Index::Hnsw`]; nothing depends on it |
//! | `lock` | nothing; locked by the one process that writes |
//!
//! A change is in the journal before anybody sees it and before the call returns, so that killing the process
//! at any moment loses nothing that was acknowledged; a power cut may cost the last moments unless
//! [`StoreOptions::sync`] is set. When the journal has outgrown the snapshot a new pair N + 1 replaces both: the
//! snapshot appears in one step, and from then on it counts. Readers take no lock: they find either pair whole,
//! or begin again.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::Snapshot;
use super::graph::{self, Chart};
use super::journal::{self, Record, Start};
use super::vectors::{Precision, Vectors};
use super::writing::Places;
use super::{Entry, Index, Metric, file, same_dimensions};
use crate::error::{Error, Kind, Result};
use crate::runtime::OwnLock;

/// A journal below this size is not worth a new snapshot.
const SMALLEST_JOURNAL: u64 = 16 << 20;
/// How often a reader begins again when the writer replaces the pair under its hands.
const TRIES: usize = 20;

/// How [`super::VectorStore::open`] opens a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// Of a new store; `None` is cosine. An existing one must agree.
    pub metric: Option<Metric>,
    /// Values a vector of a new store; `None` lets the first vectors decide. An existing one must agree.
    pub dimensions: Option<usize>,
    /// Of a new store; `None` is f32. An existing one must agree.
    pub precision: Option<Precision>,
    /// How this process searches; the folder is the same for all. With [`Index::Hnsw`] opening links what the
    /// folder's graph does not hold.
    pub index: Index,
    /// Take no lock and change nothing; [`super::VectorStore::refresh`] follows the writer.
    pub read_only: bool,
    /// Return from a change only when the device has it, so that a power cut loses nothing either.
    pub sync: bool,
}

/// The folder behind a store.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Of the pair in use.
    number: u64,
    journal: File,
    /// Bytes of whole records.
    length: u64,
    /// The journal is replaced when it is longer.
    limit: u64,
    sync: bool,
    /// The right to write; `None` for readers.
    writer: Option<OwnLock>,
    /// Nodes of the graph that was written last.
    charted: usize,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

/// What a folder held when it was opened.
pub(super) struct Opened {
    pub(super) folder: Folder,
    pub(super) metric: Metric,
    pub(super) snapshot: Snapshot,
    pub(super) places: Places,
}

pub(super) fn open(path: &Path, options: StoreOptions) -> Result<Opened> {
    let failed = |reason: String| {
        let text = format!("cannot open the vector store in '{}': {reason}", path.display());
        Error::new(Kind::Store, text)
    };
    let lock = match options.read_only {
        true => None,
        false => Some(lock(path).map_err(failed)?),
    };
    let new = Start {
        metric: options.metric.unwrap_or_default(),
        dimensions: options.dimensions,
        precision: options.precision.unwrap_or_default(),
    };
    let mut opened = read(path, new, lock.is_some()).map_err(failed)?;
    let (metric, dimensions) = (opened.metric, opened.snapshot.dimensions);
    let precision = opened.snapshot.precision;
    if let Some(asked) = options.metric.filter(|asked| *asked != metric) {
        let text = format!("the store in '{}' has the metric '{metric}'", path.display());
        return Err(Error::validation("metric", Some(asked.as_str()), &text));
    }
    if let Some(asked) = options.precision.filter(|asked| *asked != precision) {
        let text = format!("the store in '{}' has the precision '{precision}'", path.display());
        return Err(Error::validation("precision", Some(asked.as_str()), &text));
    }
    if let (Some(asked), Some(known)) = (options.dimensions, dimensions) {
        same_dimensions(known, asked)?;
    }
    opened.snapshot.dimensions = dimensions.or(options.dimensions);
    opened.folder.sync = options.sync;
    if options.index == Index::Hnsw {
        opened.chart();
    }
    if lock.is_some() {
        opened.folder.writer = lock;
        opened
            .folder
            .tidy(Start { metric, dimensions: opened.snapshot.dimensions, precision })
            .map_err(failed)?;
    }
    Ok(opened)
}

impl Opened {
    /// Puts the folder's graph over the rows, or the beginning of one.
    fn chart(&mut self) {
        let known = graph::read(&self.folder.path, &self.snapshot, self.metric);
        self.folder.charted = known.as_ref().map_or(0, Chart::nodes);
        let chart = known.unwrap_or_else(|| Chart::new(&self.snapshot));
        self.snapshot.chart = Some(Arc::new(chart));
    }
}

/// Makes the folder, and locks it against a second writer.
fn lock(path: &Path) -> Result<OwnLock, String> {
    let text = |error: std::io::Error| error.to_string();
    fs::create_dir_all(path).map_err(text)?;
    let place = path.join("lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(place);
    let lock = lock.map_err(text)?;
    match OwnLock::take(lock) {
        Ok(lock) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err("another process is writing to it; open it read-only, or when that has ended"
                .into())
        }
        Err(TryLockError::Error(error)) => Err(format!("it cannot be locked: {error}")),
    }
}

/// The newest pair, read whole; a store that is not there yet is as `new` says.
fn read(path: &Path, new: Start, create: bool) -> Result<Opened, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let found = newest(path)?;
        if found.is_none() && !create {
            return Err("there is no store".to_owned());
        }
        let number = found.unwrap_or_default();
        match read_pair(path, number, new, create) {
            Ok(Some(opened)) => return Ok(opened),
            Ok(None) => "its files are replaced faster than they can be read".clone_into(&mut last),
            // It may have been replaced meanwhile, and then nothing was wrong.
            Err(reason) if newest(path)? == found => return Err(reason),
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

/// The number of the pair in use.
fn newest(path: &Path) -> Result<Option<u64>, String> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut newest = None;
    for entry in entries {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        let name = name.to_string_lossy();
        // A journal alone counts only before the first snapshot.
        newest = newest.max(numbered(&name, "store-", ".safetensors"));
        newest = newest.max(numbered(&name, "journal-", ".log").filter(|number| *number == 0));
    }
    Ok(newest)
}

fn numbered(name: &str, before: &str, after: &str) -> Option<u64> {
    name.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

fn snapshot_path(path: &Path, number: u64) -> PathBuf {
    path.join(format!("store-{number}.safetensors"))
}

fn journal_path(path: &Path, number: u64) -> PathBuf {
    path.join(format!("journal-{number}.log"))
}

/// Snapshot and journal `number`; `None` when one of them is gone.
fn read_pair(path: &Path, number: u64, new: Start, create: bool) -> Result<Option<Opened>, String> {
    let place = snapshot_path(path, number);
    if number > 0 && !place.exists() {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    options.read(true).append(create).create(create);
    let mut journal = match options.open(journal_path(path, number)) {
        Ok(journal) => journal,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("its journal cannot be opened: {error}")),
    };
    let (mut metric, mut snapshot) = match number {
        0 => (new.metric, empty(new)),
        _ => file::read(&place)?,
    };
    let base = fs::metadata(&place).map_or(0, |metadata| metadata.len());
    // The snapshot of one store and the journal of another, which took its place meanwhile, would be neither.
    if !is_there(&journal, &journal_path(path, number)) {
        return Ok(None);
    }
    let mut places = snapshot.places();
    let length = journal::replay(&mut journal, 0, |record| {
        if let (Record::Start(start), 0) = (&record, number) {
            (metric, snapshot) = (start.metric, empty(*start));
        }
        apply(record, &mut snapshot, &mut places)
    })?;
    let folder = Folder {
        path: path.to_owned(),
        number,
        journal,
        length,
        limit: base.max(SMALLEST_JOURNAL),
        sync: false,
        charted: 0,
        writer: None,
        broken: None,
    };
    Ok(Some(Opened { folder, metric, snapshot, places }))
}

/// Whether `path` names the open `file` still, and not another that has taken its place.
fn is_there(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    is_same(&open, &there)
}

#[cfg(unix)]
fn is_same(open: &Metadata, there: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// What files are is not told here; one made anew is younger.
#[cfg(not(unix))]
fn is_same(open: &Metadata, there: &Metadata) -> bool {
    open.created().ok() == there.created().ok()
}

fn empty(start: Start) -> Snapshot {
    let Start { dimensions, precision, .. } = start;
    Snapshot { dimensions, precision, ..Snapshot::default() }
}

/// Does again what a record says was done.
fn apply(record: Record, snapshot: &mut Snapshot, places: &mut Places) -> Result<(), String> {
    match record {
        Record::Start(_) => {}
        Record::Add { entries, vectors } => put(&[], entries, &vectors, snapshot, places)?,
        Record::Delete(gone) => {
            snapshot.change(places, &gone, Vectors::default(), Vec::new());
        }
        Record::Replace { gone, entries, vectors } => {
            put(&gone, entries, &vectors, snapshot, places)?;
        }
    }
    Ok(())
}

fn put(
    gone: &[String],
    entries: Vec<Entry>,
    vectors: &[u8],
    snapshot: &mut Snapshot,
    places: &mut Places,
) -> Result<(), String> {
    let precision = snapshot.precision;
    let row = vectors.len().checked_div(entries.len()).unwrap_or_default();
    let dimensions = row.saturating_sub(precision.scale_width()) / precision.width();
    let fits = snapshot.dimensions.is_none_or(|known| known == dimensions);
    let (scales, codes) =
        vectors.split_at_checked(entries.len() * precision.scale_width()).unwrap_or_default();
    let vectors = Vectors::from_bytes(precision, dimensions, scales, codes);
    let Some(vectors) = vectors.filter(|vectors| fits && vectors.len() == entries.len()) else {
        return Err("its journal holds vectors of other dimensions".to_owned());
    };
    snapshot.dimensions = Some(dimensions);
    snapshot.change(places, gone, vectors, entries);
    Ok(())
}

impl Folder {
    /// Puts removed ids and added rows into the journal, as one record.
    pub(super) fn change(
        &mut self,
        gone: &[&str],
        entries: &[Entry],
        vectors: &[u8],
    ) -> Result<()> {
        self.append(match (gone, entries) {
            ([], entries) => journal::add(entries, vectors),
            (gone, []) => journal::delete(gone),
            (gone, entries) => journal::replace(gone, entries, vectors),
        })
    }

    fn append(&mut self, record: Result<Vec<u8>, String>) -> Result<()> {
        let path = self.path.display();
        let refused = |reason: &str| {
            let text = format!("cannot write to the vector store in '{path}': {reason}");
            Err(Error::new(Kind::Store, text))
        };
        match &self.writer {
            None => return refused("it was opened read-only"),
            Some(lock) if lock.is_inherited() => {
                return refused(
                    "this process was forked from the one that opened it; open it here",
                );
            }
            Some(_) => {}
        }
        if let Some(reason) = &self.broken {
            return refused(reason);
        }
        let record = match record {
            Ok(record) => record,
            Err(reason) => return refused(&reason),
        };
        let mut written = self.journal.write_all(&record);
        if self.sync {
            written = written.and_then(|()| self.journal.sync_data());
        }
        if let Err(error) = written {
            // Half a record must not stand before the next one.
            if let Err(worse) = self.journal.set_len(self.length) {
                self.broken = Some(format!("a failed write could not be taken back: {worse}"));
            }
            return refused(&error.to_string());
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Replaces snapshot and journal by new ones when the journal has outgrown the snapshot. Called after
    /// a change was acknowledged in the journal, so that failing here costs room and nothing else.
    pub(super) fn compact_if_due(&mut self, snapshot: &Snapshot, metric: Metric) {
        if self.length <= self.limit {
            return;
        }
        if let Err(reason) = self.compact(snapshot, metric) {
            tracing::warn!(
                target: "graphbit::store",
                path = %self.path.display(), reason, "the journal of the vector store goes on growing"
            );
            self.limit = self.length.saturating_mul(2);
        }
    }

    fn compact(&mut self, snapshot: &Snapshot, metric: Metric) -> Result<(), String> {
        let number = self.number + 1;
        let place = snapshot_path(&self.path, number);
        // One that an earlier attempt left behind would be appended to.
        let stale = fs::remove_file(journal_path(&self.path, number));
        if let Err(error) = stale.or_else(absent) {
            return Err(error.to_string());
        }
        let mut options = OpenOptions::new();
        let journal = options.read(true).append(true).create_new(true);
        let mut journal =
            journal.open(journal_path(&self.path, number)).map_err(|error| error.to_string())?;
        let start = journal::start(Start {
            metric,
            dimensions: snapshot.dimensions,
            precision: snapshot.precision,
        })?;
        journal.write_all(&start).map_err(|error| error.to_string())?;
        journal.sync_all().map_err(|error| error.to_string())?;
        // From here on the new pair is the store.
        file::save(snapshot, metric, &place).map_err(|error| error.to_string())?;
        (self.number, self.journal, self.length) = (number, journal, start.len() as u64);
        let base = fs::metadata(&place).map_or(0, |metadata| metadata.len());
        self.limit = base.max(SMALLEST_JOURNAL);
        self.remove_others();
        Ok(())
    }

    /// Writes the graph when it has grown by a tenth since, or at all for `all`. A killed process costs the next one that
    /// tenth. Best effort: what cannot be written is linked again.
    pub(super) fn keep_graph(&mut self, snapshot: &Snapshot, metric: Metric, all: bool) {
        let Some(chart) = &snapshot.chart else { return };
        let nodes = chart.nodes();
        let due =
            nodes.abs_diff(self.charted) > self.charted / 10 || (all && nodes != self.charted);
        let ours = self.writer.as_ref().is_some_and(|lock| !lock.is_inherited());
        if !(due && ours) {
            return;
        }
        if let Err(reason) = graph::write(&self.path, snapshot, chart, metric) {
            tracing::warn!(
                target: "graphbit::store",
                path = %self.path.display(), %reason, "the graph of the vector store was not written"
            );
        }
        self.charted = nodes;
    }

    /// Cuts off what a killed writer left half done, and names the store in a journal that is new.
    fn tidy(&mut self, start: Start) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        self.journal.set_len(self.length).map_err(text)?;
        if self.length == 0 {
            let start = journal::start(start)?;
            self.journal.write_all(&start).map_err(text)?;
            self.length = start.len() as u64;
        }
        self.remove_others();
        Ok(())
    }

    /// Files of other pairs, and of saves that never ended: nobody needs them. Best effort.
    fn remove_others(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let snapshot = numbered(&name, "store-", ".safetensors");
            let number = snapshot.or_else(|| numbered(&name, "journal-", ".log"));
            let ours = name.starts_with(".store-") || name.starts_with(".graph.bin.");
            let temporary = ours && name.ends_with(".tmp");
            if temporary || number.is_some_and(|number| number != self.number) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// What the folder holds now, its chart included, when that is not what `present` is; `None` when nothing has changed.
    pub(super) fn news(
        &mut self,
        metric: Metric,
        present: &Snapshot,
        places: &Places,
    ) -> Result<Option<(Snapshot, Places)>> {
        if self.writer.is_some() {
            return Ok(None);
        }
        let path = self.path.clone();
        let failed = |reason: String| {
            let text = format!("cannot read the vector store in '{}': {reason}", path.display());
            Error::new(Kind::Store, text)
        };
        // Another store that has been put here may have a pair of the same number.
        let number = newest(&path).map_err(failed)?;
        if number == Some(self.number) && is_there(&self.journal, &journal_path(&path, self.number))
        {
            // What cannot be read on may be new from its beginning, and if it is damaged that will be said.
            if let Ok(news) = self.appended(present, places) {
                return Ok(news);
            }
        }
        let new = Start { metric, dimensions: None, precision: present.precision };
        let mut opened = read(&path, new, false).map_err(failed)?;
        if opened.metric != metric {
            let text = format!(
                "another store is there now, with the metric '{}' and not '{metric}'; open it anew",
                opened.metric
            );
            return Err(failed(text));
        }
        if let Some(chart) = &present.chart {
            // Of the same store we may know more than its file does, of another nothing.
            let followed = chart.follow(present, &opened.snapshot);
            opened.chart();
            let known = opened.snapshot.chart.as_ref();
            if known.is_none_or(|known| known.linked() <= followed.linked()) {
                opened.snapshot.chart = Some(Arc::new(followed));
            }
        }
        *self = opened.folder;
        Ok(Some((opened.snapshot, opened.places)))
    }

    /// What has been added to the journal since.
    fn appended(
        &mut self,
        present: &Snapshot,
        places: &Places,
    ) -> Result<Option<(Snapshot, Places)>, String> {
        let end = self.journal.metadata().map_err(|error| error.to_string())?.len();
        if end == self.length {
            return Ok(None);
        }
        if self.length == 0 || end < self.length {
            return Err("its journal does not begin as it did".to_owned());
        }
        let (mut next, mut places) = (present.clone(), places.clone());
        let change = |record| apply(record, &mut next, &mut places);
        let length = journal::replay(&mut self.journal, self.length, change)?;
        if length == self.length {
            return Ok(None);
        }
        self.length = length;
        next.chart = present.chart.as_ref().map(|chart| Arc::new(chart.follow(present, &next)));
        Ok(Some((next, places)))
    }
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
