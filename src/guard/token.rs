//! The shape of a token: `<NAME:8 hexadecimal digits-3 digits>`, as in GraphBit.
//!
//! The last digits are a seal that a person can tell two runs apart by. They are not looked at on the way
//! back, since models get them wrong before anything else.

/// What a text that begins with `<` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A token of that number, so many bytes long.
    Whole { id: u32, length: usize },
    /// It ends where a token might go on: with so many digits of the number.
    Cut { id: u32, digits: u32 },
    /// Neither.
    Other,
}

pub(super) fn write(name: &str, id: u32, seal: u16) -> String {
    format!("<{name}:{id:08x}-{seal:03}>")
}

/// What `text` is, if the name in it is `name`.
pub(super) fn shape(text: &str, name: &str) -> Shape {
    let mut expected = Expected { rest: text, cut: false };
    if !(expected.take("<") && expected.take(name) && expected.take(":")) {
        return if expected.cut { Shape::Cut { id: 0, digits: 0 } } else { Shape::Other };
    }
    let (mut id, mut digits) = (0_u32, 0_u32);
    let mut characters = expected.rest.char_indices();
    while digits < 8 {
        let Some((_, character)) = characters.next() else { return Shape::Cut { id, digits } };
        let lower = !character.is_ascii_uppercase();
        let Some(digit) = character.to_digit(16).filter(|_| lower) else { return Shape::Other };
        id = (id << 4) | digit;
        digits = digits.saturating_add(1);
    }
    for place in 0..5 {
        let Some((at, character)) = characters.next() else { return Shape::Cut { id, digits } };
        let fits = match place {
            0 => character == '-',
            4 => character == '>',
            _ => character.is_ascii_digit(),
        };
        if !fits {
            return Shape::Other;
        }
        if place == 4 {
            let before = text.len().saturating_sub(expected.rest.len());
            return Shape::Whole { id, length: before.saturating_add(at).saturating_add(1) };
        }
    }
    Shape::Other
}

/// What is left of a text from which its expected beginning is taken.
struct Expected<'t> {
    rest: &'t str,
    /// The text ended within what was expected.
    cut: bool,
}

impl Expected<'_> {
    fn take(&mut self, beginning: &str) -> bool {
        if let Some(rest) = self.rest.strip_prefix(beginning) {
            self.rest = rest;
            return true;
        }
        self.cut = beginning.starts_with(self.rest);
        false
    }
}
