//! What stands beside the text of a DOCX: which style is a heading, which number a list, where links lead.
//!
//! These parts only decorate. One that is missing is as good as empty, and one that is damaged keeps what
//! was read before the damage and gets its name into [`Sheets::damaged`].

use std::collections::HashMap;

use super::super::archive::{Archive, resolve};
use super::super::elements::{Element, Elements, Item};
use super::super::limits::Meter;
use super::super::relations::{Relations, place};
use crate::error::Result;

/// A paragraph's place in the document's outline or in a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Role {
    /// 1 to 6.
    pub(super) heading: Option<usize>,
    /// The list; "0" takes a paragraph out of the list of its style.
    pub(super) list: Option<String>,
    pub(super) level: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Otherwise bullets.
    pub(super) numbered: bool,
    pub(super) start: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sheets {
    pub(super) styles: HashMap<String, Role>,
    levels: HashMap<(String, usize), Level>,
    abstracts: HashMap<String, String>,
    pub(super) damaged: Vec<String>,
}

impl Sheets {
    /// Reads the sheets of the main part.
    pub(super) fn read(
        &mut self,
        main: &str,
        references: &Relations,
        archive: &mut Archive<'_>,
        meter: &mut Meter,
    ) {
        let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut sheet = |kind: &str| {
            // Where nothing refers to it, it is where Word puts it.
            let part = references.of_kind(kind).filter(|part| archive.holds(part));
            let usual = || resolve(folder, &format!("{kind}.xml"));
            let part = part.map_or_else(usual, str::to_owned);
            let text = self.part(archive, &part, meter);
            let read = match kind {
                "styles" => self.styles(&text, meter),
                _ => self.numbering(&text, meter),
            };
            if read.is_err() {
                self.damaged.push(part);
            }
        };
        sheet("styles");
        sheet("numbering");
    }

    /// The text of a part; empty if there is none.
    pub(super) fn part(
        &mut self,
        archive: &mut Archive<'_>,
        name: &str,
        meter: &mut Meter,
    ) -> String {
        super::text(archive, name, meter).map(Option::unwrap_or_default).unwrap_or_else(|_| {
            self.damaged.push(name.to_owned());
            String::new()
        })
    }

    /// What a part refers to, as far as that can be read.
    pub(super) fn relations(
        &mut self,
        archive: &mut Archive<'_>,
        part: &str,
        meter: &mut Meter,
    ) -> Relations {
        let place = place(part);
        let text = self.part(archive, &place, meter);
        let mut relations = Relations::default();
        if relations.note(&text, part, meter).is_err() {
            self.damaged.push(place);
        }
        relations
    }

    /// The level of a list; what is unknown is a bullet.
    pub(super) fn level(&self, list: &str, level: usize) -> Level {
        let kind = self.abstracts.get(list).map_or("", String::as_str);
        let found = self.levels.get(&(kind.to_owned(), level));
        found.cloned().unwrap_or(Level { numbered: false, start: 1 })
    }

    fn styles(&mut self, text: &str, meter: &mut Meter) -> Result<()> {
        let mut elements = Elements::new(text);
        let mut style: Option<(String, Role)> = None;
        loop {
            match elements.next(meter)? {
                Item::Open(element) => match (element.name(), &mut style) {
                    ("style", _) => {
                        let name = element.attribute("styleId").unwrap_or_default();
                        self.styles.extend(style.replace((name, Role::default())));
                    }
                    ("name", Some((_, role))) => {
                        let name = element.attribute("val").unwrap_or_default().to_lowercase();
                        role.heading = match name.as_str() {
                            "title" => Some(1),
                            name => name
                                .strip_prefix("heading ")
                                .and_then(|level| level.parse().ok())
                                .filter(|level| (1..=9).contains(level))
                                .map(|level: usize| level.min(6)),
                        };
                    }
                    (_, Some((_, role))) => note_role(&element, role),
                    _ => {}
                },
                Item::End => {
                    self.styles.extend(style);
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    fn numbering(&mut self, text: &str, meter: &mut Meter) -> Result<()> {
        let mut elements = Elements::new(text);
        let (mut kind, mut number, mut level) = (String::new(), String::new(), 0);
        loop {
            let element = match elements.next(meter)? {
                Item::Open(element) => element,
                Item::End => return Ok(()),
                _ => continue,
            };
            let value = element.attribute("val").unwrap_or_default();
            match element.name() {
                "abstractNum" => kind = element.attribute("abstractNumId").unwrap_or_default(),
                "num" => number = element.attribute("numId").unwrap_or_default(),
                "abstractNumId" => drop(self.abstracts.insert(number.clone(), value)),
                "lvl" => {
                    let written = element.attribute("ilvl").unwrap_or_default();
                    level = written.parse().unwrap_or(0);
                }
                "numFmt" => {
                    let numbered = value != "bullet" && value != "none";
                    let place = (kind.clone(), level);
                    let start = self.levels.get(&place).map_or(1, |known| known.start);
                    self.levels.insert(place, Level { numbered, start });
                }
                "start" => {
                    let start = value.parse().unwrap_or(1);
                    let place = (kind.clone(), level);
                    let numbered = self.levels.get(&place).is_some_and(|known| known.numbered);
                    self.levels.insert(place, Level { numbered, start });
                }
                _ => {}
            }
        }
    }
}

/// Takes from an element within a style's or a paragraph's properties what it says about the role.
pub(super) fn note_role(element: &Element<'_>, role: &mut Role) {
    let value = || element.attribute("val");
    match element.name() {
        "outlineLvl" => {
            let level = value().and_then(|level| level.parse().ok());
            role.heading = level.filter(|level| *level < 9).map(|level: usize| level.min(5) + 1);
        }
        "numId" => role.list = value(),
        "ilvl" => role.level = value().and_then(|level| level.parse().ok()),
        _ => {}
    }
}
