//! What one document may cost, and the meter that every reader counts on.
//!
//! A parser that trusts its input can be made to fill the memory (a zip bomb, a grid of two far cells, lists in
//! lists that are printed once a level) or to spin for ever. So readers put each page, cell, level and
//! piece of text on a [`Meter`], which refuses what exceeds a limit and looks at the clock meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

/// How many steps pass between two looks at the clock, which costs more than a step.
const STEPS_PER_LOOK: u32 = 256;

/// The most that one document may cost. The defaults let pass whatever is no attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text that comes out; 256 MiB.
    pub text_bytes: usize,
    /// Bytes that an archive (DOCX, XLSX, XLSB) is unpacked to; 256 MiB.
    pub unpacked_bytes: usize,
    /// Pages of a PDF; 20,000.
    pub pages: usize,
    /// Cells of all sheets or tables together; 10 million.
    pub cells: usize,
    /// Levels of elements within elements; 256.
    pub depth: usize,
    /// Time for extracting; 60 s.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 256 << 20,
            unpacked_bytes: 256 << 20,
            pages: 20_000,
            cells: 10_000_000,
            depth: 256,
            time: Duration::from_secs(60),
        }
    }
}

/// Counts what one document costs.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    until: Option<Instant>,
    stop: Option<Arc<AtomicBool>>,
    text: usize,
    unpacked: usize,
    pages: usize,
    cells: usize,
    steps: u32,
}

impl Meter {
    /// The clock starts now.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            until: Instant::now().checked_add(limits.time),
            limits,
            stop: None,
            text: 0,
            unpacked: 0,
            pages: 0,
            cells: 0,
            steps: 0,
        }
    }

    /// Set from elsewhere, `stop` ends the work at the next look at the clock.
    pub(super) fn stopped_by(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = Some(stop);
        self
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// One turn of a loop over the input.
    pub(super) fn step(&mut self) -> Result<()> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(STEPS_PER_LOOK) { self.look() } else { Ok(()) }
    }

    /// Looks at the clock.
    pub(super) fn look(&self) -> Result<()> {
        if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::new(Kind::Cancelled, "nobody waits for the document any more"));
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            let seconds = self.limits.time.as_secs_f64();
            return Err(exceeded(&format!("more than {seconds} s"), "max_seconds"));
        }
        Ok(())
    }

    /// Appends to the text that comes out.
    pub(super) fn push(&mut self, text: &mut String, piece: &str) -> Result<()> {
        self.text = self.text.saturating_add(piece.len());
        if self.text > self.limits.text_bytes {
            let most = self.limits.text_bytes;
            return Err(exceeded(&format!("more than {most} bytes of text"), "max_text_bytes"));
        }
        text.push_str(piece);
        self.step()
    }

    pub(super) fn unpack(&mut self, bytes: usize) -> Result<()> {
        self.unpacked = self.unpacked.saturating_add(bytes);
        let most = self.limits.unpacked_bytes;
        within(self.unpacked, most, "bytes when unpacked", "max_unpacked_bytes")?;
        self.step()
    }

    pub(super) fn page(&mut self) -> Result<()> {
        self.pages = self.pages.saturating_add(1);
        within(self.pages, self.limits.pages, "pages", "max_pages")?;
        self.look()
    }

    pub(super) fn cell(&mut self) -> Result<()> {
        self.cells = self.cells.saturating_add(1);
        within(self.cells, self.limits.cells, "cells", "max_cells")?;
        self.step()
    }

    pub(super) fn depth(&mut self, levels: usize) -> Result<()> {
        within(levels, self.limits.depth, "levels of elements", "max_depth")?;
        self.step()
    }
}

fn within(used: usize, most: usize, what: &str, setting: &str) -> Result<()> {
    if used > most { Err(exceeded(&format!("more than {most} {what}"), setting)) } else { Ok(()) }
}

/// Names the limit, so that whoever trusts the document knows what to raise.
fn exceeded(what: &str, setting: &str) -> Error {
    let text = format!("the document takes {what}; raise '{setting}' if it is to be trusted");
    Error::new(Kind::Document, text)
}
