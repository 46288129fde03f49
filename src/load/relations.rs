//! What the parts of an office document refer to: the other parts, and what lies outside.
//!
//! Beside each part may stand a list that gives every target a name. A missing list is an empty one.

use std::collections::HashMap;

use super::archive::{Archive, resolve};
use super::elements::{Elements, Item};
use super::limits::Meter;
use crate::error::Result;

/// From the name of a reference to its kind and target.
#[derive(Debug, Default)]
pub(super) struct Relations(HashMap<String, (String, String)>);

impl Relations {
    /// Of a part; of the whole archive for an empty name.
    pub(super) fn of(part: &str, archive: &mut Archive<'_>, meter: &mut Meter) -> Result<Self> {
        let text = archive.text(&place(part), meter)?.unwrap_or_default();
        let mut relations = Self::default();
        relations.note(&text, part, meter)?;
        Ok(relations)
    }

    /// Adds what a list says. What stood before damage in it has been added then.
    pub(super) fn note(&mut self, text: &str, part: &str, meter: &mut Meter) -> Result<()> {
        let mut elements = Elements::new(text);
        loop {
            let element = match elements.next(meter)? {
                Item::Open(element) if element.name() == "Relationship" => element,
                Item::End => return Ok(()),
                _ => continue,
            };
            let written = |name| element.attribute(name).unwrap_or_default();
            let kind = written("Type").rsplit('/').next().unwrap_or_default().to_owned();
            let outside = written("TargetMode").eq_ignore_ascii_case("external");
            let target = written("Target");
            let target = if outside { target } else { resolve(split(part).0, &target) };
            self.0.insert(written("Id"), (kind, target));
        }
    }

    pub(super) fn target(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(|(_, target)| target.as_str())
    }

    /// All targets of a kind, each once, sorted so that a file reads the same each time.
    pub(super) fn targets(&self, kind: &str) -> Vec<String> {
        let of_kind = self.0.values().filter(|(known, _)| known == kind);
        let mut targets: Vec<_> = of_kind.map(|(_, target)| target.clone()).collect();
        targets.sort();
        targets.dedup();
        targets
    }

    /// The first of them.
    pub(super) fn of_kind(&self, kind: &str) -> Option<&str> {
        let of_kind = self.0.values().filter(|(known, _)| known == kind);
        of_kind.map(|(_, target)| target.as_str()).min()
    }
}

/// Where the list of a part stands.
pub(super) fn place(part: &str) -> String {
    let (folder, file) = split(part);
    format!("{folder}/_rels/{file}.rels")
}

fn split(part: &str) -> (&str, &str) {
    part.rsplit_once('/').unwrap_or(("", part))
}
