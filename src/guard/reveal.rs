//! [`Reveal`]: the way back for an answer that comes in pieces.

use super::mask::{Mask, Start, push_value};

/// What is held back of an answer: the beginning of what may be a token, and nothing else.
#[derive(Debug, Default)]
pub struct Reveal {
    held: String,
    /// Whether values are written as in JSON; unknown until the answer has begun.
    quoted: Option<bool>,
}

impl Reveal {
    /// What may be shown now that `piece` is there; may be empty.
    pub fn push(&mut self, mask: &Mask, piece: &str) -> String {
        self.held.push_str(piece);
        let begun = self.held.trim_start();
        if self.quoted.is_none() && !begun.is_empty() {
            self.quoted = Some(begun.starts_with(['{', '[']));
        }
        let quoted = self.quoted.unwrap_or_default();
        let held = std::mem::take(&mut self.held);
        let mut shown = String::with_capacity(held.len());
        let mut rest = held.as_str();
        while let Some((before, from)) = rest.find('<').and_then(|at| rest.split_at_checked(at)) {
            shown.push_str(before);
            rest = from;
            let length = match mask.start(rest) {
                Start::Open => {
                    rest.clone_into(&mut self.held);
                    return shown;
                }
                Start::Token { value, length, .. } => {
                    push_value(&mut shown, value, quoted);
                    length
                }
                Start::Other => {
                    shown.push('<');
                    1
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        shown.push_str(rest);
        shown
    }

    /// What was held back when the answer ended: no token after all.
    #[must_use]
    pub fn finish(self) -> String {
        self.held
    }
}
