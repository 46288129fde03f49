//! The file of a store: safetensors, with a checksum, replaced in one step.
//!
//! Tensor `vectors` (F32, F16 or I8, rows x dimensions), for the last two `scales` (F32, one a row, to be
//! multiplied with), and tensor `entries` (U8, a JSON array with one object a row). The header's metadata names
//! format, version, metric, precision and dimensions, and holds the CRC-32 of metric, dimensions, entries,
//! scales and vectors in this order.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::block::{Row, Snapshot};
use super::vectors::{Precision, Vectors};
use super::{Entry, Metric};
use crate::error::{Error, Kind, Result};

const FORMAT: &str = "graphbit-vector-store";
const VERSION: &str = "1";
const SCALES: &str = "scales";

#[derive(Serialize)]
struct RowOut<'entry> {
    index: u64,
    id: &'entry str,
    text: &'entry str,
    metadata: &'entry BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RowIn {
    index: u64,
    id: String,
    text: String,
    metadata: BTreeMap<String, String>,
}

pub(super) fn save(snapshot: &Snapshot, metric: Metric, path: &Path) -> Result<()> {
    let failed = |error: io::Error| {
        let text = format!(
            "cannot save the vector store to '{}': {error}; what was there before is untouched",
            path.display()
        );
        Error::new(Kind::Store, text).with_source(error)
    };
    let temporary = temporary_beside(path).map_err(failed)?;
    let kept = fs::metadata(path).ok().map(|metadata| metadata.permissions());
    let written =
        write_new(snapshot, metric, &temporary, kept).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // Best effort: nobody else knows this name.
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    // The new file is in place; not every file system can synchronise a folder.
    let _ = sync_folder(path);
    Ok(())
}

/// A name in the same folder, so that the rename cannot cross file systems.
pub(super) fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{number}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write_new(
    snapshot: &Snapshot,
    metric: Metric,
    path: &Path,
    kept: Option<Permissions>,
) -> io::Result<()> {
    let rows: Vec<RowOut<'_>> = snapshot
        .rows()
        .map(|(index, entry)| RowOut {
            index,
            id: &entry.id,
            text: &entry.text,
            metadata: &entry.metadata,
        })
        .collect();
    let mut entries = serde_json::to_vec(&rows)?;
    // Blanks after the array keep the vectors behind it aligned for whoever maps the file.
    entries.resize(entries.len().next_multiple_of(8), b' ');
    let dimensions = snapshot.dimensions.unwrap_or_default();

    let precision = snapshot.precision;
    let mut scales = Vec::new();
    for block in &snapshot.blocks {
        block.vectors.scales_to(precision, &mut scales);
    }
    let mut checksum = start_checksum(metric, dimensions);
    checksum.update(&entries);
    checksum.update(&scales);
    let mut codes = Vec::new();
    for block in &snapshot.blocks {
        codes.clear();
        block.vectors.codes_to(precision, dimensions, &mut codes);
        checksum.update(&codes);
    }

    let scales_end = entries.len() + scales.len();
    let vectors_end = scales_end + rows.len() * dimensions * precision.width();
    let mut header = serde_json::json!({
        "__metadata__": {
            "format": FORMAT,
            "version": VERSION,
            "metric": metric.as_str(),
            "precision": precision.as_str(),
            "dimensions": dimensions.to_string(),
            "next_index": snapshot.next_sequence.to_string(),
            "crc32": format!("{:08x}", checksum.finalize()),
        },
        "entries": { "dtype": "U8", "shape": [entries.len()], "data_offsets": [0, entries.len()] },
        "vectors": {
            "dtype": dtype(precision),
            "shape": [rows.len(), dimensions],
            "data_offsets": [scales_end, vectors_end],
        },
    });
    if let (false, Some(tensors)) = (scales.is_empty(), header.as_object_mut()) {
        let offsets = [entries.len(), scales_end];
        tensors.insert(
            SCALES.to_owned(),
            serde_json::json!({"dtype": "F32", "shape": [rows.len()], "data_offsets": offsets}),
        );
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut file = BufWriter::new(create_new(path, kept)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    file.write_all(&entries)?;
    file.write_all(&scales)?;
    for block in &snapshot.blocks {
        codes.clear();
        block.vectors.codes_to(precision, dimensions, &mut codes);
        file.write_all(&codes)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// A file that nobody may read who could not read the one it is to replace.
fn create_new(path: &Path, kept: Option<Permissions>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let Some(kept) = kept else { return options.open(path) };
        let file = options.mode(kept.mode() & 0o777).open(path)?;
        // What the process takes from new files by default; not every file system can give it back.
        let _ = file.set_permissions(kept);
        Ok(file)
    }
    #[cfg(not(unix))]
    {
        let _ = kept;
        options.open(path)
    }
}

const fn dtype(precision: Precision) -> Dtype {
    match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
        Precision::I8 => Dtype::I8,
    }
}

/// Makes the rename itself survive a power cut, where folders can be synchronised.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn start_checksum(metric: Metric, dimensions: usize) -> crc32fast::Hasher {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(metric.as_str().as_bytes());
    checksum.update(dimensions.to_string().as_bytes());
    checksum
}

pub(super) fn load(path: &Path) -> Result<(Metric, Snapshot)> {
    read(path).map_err(|reason| {
        let text = format!(
            "cannot load a vector store from '{}': {reason}; nothing was loaded",
            path.display()
        );
        Error::new(Kind::Store, text)
    })
}

pub(super) fn read(path: &Path) -> Result<(Metric, Snapshot), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    // A pipe or a device would be read forever.
    if !fs::metadata(path).map_err(|error| text(&error))?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let bytes = fs::read(path).map_err(|error| text(&error))?;
    let damaged =
        |error: safetensors::SafeTensorError| format!("the file is damaged or cut short ({error})");
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let fields = header.metadata().as_ref().cloned().unwrap_or_default();
    let field =
        |name: &str| fields.get(name).ok_or_else(|| format!("its header has no field '{name}'"));
    if fields.get("format").map(String::as_str) != Some(FORMAT) {
        return Err("it is a safetensors file of another kind".to_owned());
    }
    if field("version")? != VERSION {
        return Err(format!("it has version {}, this package reads {VERSION}", field("version")?));
    }
    let metric: Metric = field("metric")?.parse().map_err(|error: Error| text(&error))?;
    // The first files did not name it.
    let precision = fields.get("precision").map_or(Ok(Precision::F32), |name| name.parse());
    let precision = precision.map_err(|error| text(&error))?;
    let number = |name: &str| {
        let value = field(name)?;
        value.parse::<u64>().map_err(|_| format!("its field '{name}' is no number: '{value}'"))
    };
    let dimensions = usize::try_from(number("dimensions")?).map_err(|error| text(&error))?;
    let next_index = number("next_index")?;

    let entries = tensors.tensor("entries").map_err(damaged)?;
    let vectors = tensors.tensor("vectors").map_err(damaged)?;
    // Left out where there are none, also in an empty store.
    let scales = tensors.tensor(SCALES).ok();
    let scales = scales.as_ref().map_or(&[][..], |scales| scales.data());
    let mut checksum = start_checksum(metric, dimensions);
    checksum.update(entries.data());
    checksum.update(scales);
    checksum.update(vectors.data());
    let (found, promised) = (format!("{:08x}", checksum.finalize()), field("crc32")?);
    if &found != promised {
        return Err(format!("the file is damaged (checksum {found}, it should be {promised})"));
    }
    let rows: Vec<RowIn> = serde_json::from_slice(entries.data())
        .map_err(|error| format!("its entries cannot be read ({error})"))?;
    if vectors.dtype() != dtype(precision) || vectors.shape() != [rows.len(), dimensions] {
        return Err(format!(
            "its vectors have the shape {:?}, its entries call for [{}, {dimensions}]",
            vectors.shape(),
            rows.len()
        ));
    }

    let mut snapshot = Snapshot {
        dimensions: (dimensions > 0).then_some(dimensions),
        precision,
        ..Snapshot::default()
    };
    let vectors = match rows.is_empty() {
        true => Some(Vectors::default()),
        false => Vectors::from_bytes(precision, dimensions, scales, vectors.data()),
    };
    let vectors = vectors.ok_or("its vectors are not whole, or hold a value that is not finite")?;
    let mut ids = std::collections::HashSet::with_capacity(rows.len());
    let coming = (1..=rows.len()).rev();
    for ((row, vector), coming) in rows.into_iter().zip(vectors.iter()).zip(coming) {
        if row.index < snapshot.next_sequence || row.index >= next_index {
            return Err(format!("its entries are out of order at index {}", row.index));
        }
        if !ids.insert(row.id.clone()) {
            return Err(format!("it holds the id '{}' twice", row.id));
        }
        let entry = Entry { id: row.id, text: row.text, metadata: row.metadata };
        snapshot.push(Row { vector, sequence: row.index, entry: &Arc::new(entry) }, coming);
    }
    snapshot.next_sequence = next_index;
    Ok((metric, snapshot))
}
