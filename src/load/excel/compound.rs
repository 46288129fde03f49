//! Compound files: the file system in a file that holds a workbook of the old format.
//!
//! A stream is a chain of sectors, and every link of it is a number from the file. A chain may have as
//! many links as the file has sectors and no more, so a ring ends in an error.

use super::bytes::{Bytes, utf16};
use super::refused;
use crate::error::Result;

pub(super) const SIGNATURE: [u8; 8] = [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

/// The first link that names no sector but the end of a chain, or a sector that is not used.
const NO_SECTOR: u32 = 0xFFFF_FFFA;

/// The header takes 512 bytes, and its last 109 numbers say where the table of links stands.
const LINKS_IN_HEADER: usize = 109;
const ENTRY: usize = 128;
const STREAM: u8 = 2;
const ROOT: u8 = 5;

struct Sectors<'a> {
    /// What follows the first sector, which holds the header.
    bytes: &'a [u8],
    size: usize,
    links: Vec<u32>,
}

struct Entry {
    name: String,
    kind: u8,
    start: u32,
    size: usize,
}

/// The content of the first stream with one of the names.
pub(super) fn stream(bytes: &[u8], names: &[&str]) -> Result<Vec<u8>> {
    if !bytes.starts_with(&SIGNATURE) {
        return Err(refused("it is no workbook of the old format (compound file)"));
    }
    find(bytes, names)
        .ok_or_else(|| refused("the table of sectors is damaged"))?
        .ok_or_else(|| refused(format!("the file holds no stream named {}", names.join(" or "))))
}

fn find(bytes: &[u8], names: &[&str]) -> Option<Option<Vec<u8>>> {
    let mut header = Bytes(bytes.get(30..512)?);
    let sector_bits = header.short()?;
    let small_bits = header.short()?;
    // Every file in the wild has sectors of 512 or 4,096 bytes, and small ones of 64.
    if !(7..=16).contains(&sector_bits) || !(4..=sector_bits).contains(&small_bits) {
        return None;
    }
    header.take(14)?;
    let directory = header.long()?;
    header.take(4)?;
    let small_limit = header.size()?;
    let small_table = header.long()?;
    header.take(4)?;
    let more_links = header.long()?;
    header.take(4)?;

    let size = 1 << sector_bits;
    let mut sectors = Sectors { bytes: bytes.get(size..)?, size, links: Vec::new() };
    sectors.read_links(header, more_links)?;
    let entries = entries(&sectors.chain(directory)?)?;
    let wanted = |entry: &&Entry| {
        entry.kind == STREAM && names.iter().any(|name| entry.name.eq_ignore_ascii_case(name))
    };
    let Some(entry) = entries.iter().find(wanted) else { return Some(None) };
    let mut content = if entry.size >= small_limit {
        sectors.chain(entry.start)?
    } else {
        let root = entries.iter().find(|entry| entry.kind == ROOT)?;
        let table = sectors.chain(small_table)?;
        let small = Sectors {
            bytes: &sectors.chain(root.start)?,
            size: 1 << small_bits,
            links: numbers(&table),
        };
        small.chain(entry.start)?
    };
    content.truncate(entry.size);
    Some(Some(content))
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|number| u32::from_le_bytes(*number)).collect()
}

fn entries(directory: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in directory.chunks_exact(ENTRY) {
        let mut fields = Bytes(entry);
        let name = fields.take(64)?;
        // The length counts bytes and the zero at the end.
        let length = usize::from(fields.short()?).saturating_sub(2);
        let kind = fields.byte()?;
        fields.take(49)?;
        let start = fields.long()?;
        let name = utf16(name.get(..length.min(64))?);
        entries.push(Entry { name, kind, start, size: fields.size()? });
    }
    Some(entries)
}

impl Sectors<'_> {
    fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.size)
    }

    /// The last sector of a file may be cut off.
    fn sector(&self, number: u32) -> Option<&[u8]> {
        let start = usize::try_from(number).ok()?.checked_mul(self.size)?;
        let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        Some(rest.get(..self.size).unwrap_or(rest))
    }

    fn read_links(&mut self, mut header: Bytes<'_>, more_links: u32) -> Option<()> {
        let mut tables = Vec::new();
        for _ in 0..LINKS_IN_HEADER {
            tables.push(header.long()?);
        }
        let mut next = more_links;
        // Each of these sectors holds the places of more tables, and at its end that of the next such.
        for _ in 0..self.count() {
            let Some(sector) = self.sector(next) else { break };
            let mut places = numbers(sector);
            next = places.pop()?;
            tables.extend(places);
        }
        // There cannot be more tables than sectors.
        let tables = tables.into_iter().filter(|table| *table < NO_SECTOR).take(self.count());
        let mut links = Vec::new();
        for table in tables {
            links.extend(numbers(self.sector(table)?));
        }
        links.truncate(self.count());
        self.links = links;
        Some(())
    }

    fn chain(&self, start: u32) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let mut number = start;
        for _ in 0..=self.count() {
            if number >= NO_SECTOR {
                return Some(content);
            }
            // What was cut off at the end of the file is missed only if it is needed.
            let Some(sector) = self.sector(number) else { return Some(content) };
            content.extend_from_slice(sector);
            let Some(link) = self.links.get(usize::try_from(number).ok()?) else {
                return Some(content);
            };
            number = *link;
        }
        None
    }
}
