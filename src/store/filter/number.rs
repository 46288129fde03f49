//! Numbers that are written out in metadata: whole ones exactly, others as double precision.

use std::cmp::Ordering;

/// Bytes of a number at most, and digits of its exponent: so much every store can read.
pub(in crate::store) const LONGEST_NUMBER: usize = 400;
const LONGEST_EXPONENT: usize = 4;

/// Beyond this a double has no whole number of ours.
const WHOLE: f64 = 1e38;

#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Number {
    Whole(i128),
    /// Finite, and not whole unless it is enormous.
    Real(f64),
}

impl Number {
    /// The number a text is, as JSON and Python write them; `None` for anything else.
    pub(in crate::store) fn parse(text: &str) -> Option<Self> {
        let exponent = text.find(['e', 'E']).and_then(|at| text.get(at + 1..)).unwrap_or_default();
        let digits = exponent.trim_start_matches(['+', '-']).len();
        if text.len() > LONGEST_NUMBER || digits > LONGEST_EXPONENT {
            return None;
        }
        // An identifier of 19 digits is not the same as its neighbour, which it would be as a double.
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        text.parse().ok().and_then(Self::real)
    }

    pub(super) fn real(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        if value.fract() == 0.0 && value.abs() < WHOLE {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            return Some(Self::Whole(value as i128));
        }
        Some(Self::Real(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "no real number with a fraction is that large")]
    pub(in crate::store) const fn rounded(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(two)) => one.cmp(two),
            _ => self.rounded().total_cmp(&other.rounded()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}
