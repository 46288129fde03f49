//! Which number formats show a date, and the date that a serial number stands for.
//!
//! Excel counts days from the end of 1899 (or from 1904), believes in a 29 February 1900, and knows a
//! date from a number only by its format.

use jiff::ToSpan;
use jiff::civil::{Date, date};

/// What a number format makes of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shown {
    #[default]
    Number,
    Moment,
    /// Hours may go beyond a day.
    Elapsed,
}

impl Shown {
    /// By the number of a format that Excel knows by itself.
    pub(super) fn built_in(number: u32) -> Self {
        match number {
            46 => Self::Elapsed,
            14..=22 | 27..=36 | 45 | 47 | 50..=58 => Self::Moment,
            _ => Self::Number,
        }
    }

    /// By the text of a format. Only the section for positive numbers counts.
    pub(super) fn of_format(format: &str) -> Self {
        let mut shown = Self::Number;
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            match character {
                ';' => break,
                '"' => drop(characters.by_ref().find(|character| *character == '"')),
                // A literal, a filler, the width of a character: what follows is no code.
                '\\' | '*' | '_' => drop(characters.next()),
                '[' => {
                    let inside: String =
                        characters.by_ref().take_while(|character| *character != ']').collect();
                    let inside = inside.to_ascii_lowercase();
                    let of_unit = |unit| inside.chars().all(|character| character == unit);
                    if !inside.is_empty() && ['h', 'm', 's'].into_iter().any(of_unit) {
                        return Self::Elapsed;
                    }
                }
                'd' | 'D' | 'm' | 'M' | 'y' | 'Y' | 'h' | 'H' | 's' | 'S' => shown = Self::Moment,
                _ => {}
            }
        }
        shown
    }

    /// The number in ISO's writing; `None` for what is no date and should be shown as a number.
    pub(super) fn text(self, serial: f64, from_1904: bool) -> Option<String> {
        if !(0.0..2_958_466.0).contains(&serial) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        let milliseconds = (serial * 86_400_000.0).round() as i64;
        let days = milliseconds / 86_400_000;
        let clock = clock(milliseconds - days * 86_400_000);
        match self {
            Self::Number => None,
            Self::Elapsed => {
                let (hours, rest) = (milliseconds / 3_600_000, milliseconds % 3_600_000);
                let below = self::clock(rest);
                Some(format!("{hours:02}{}", below.get(2..)?))
            }
            Self::Moment if days == 0 && !from_1904 => Some(clock),
            Self::Moment if milliseconds % 86_400_000 == 0 => {
                Some(day(days, from_1904)?.to_string())
            }
            Self::Moment => Some(format!("{}T{clock}", day(days, from_1904)?)),
        }
    }
}

fn day(days: i64, from_1904: bool) -> Option<Date> {
    let start = match days {
        _ if from_1904 => date(1904, 1, 1),
        ..60 => date(1899, 12, 31),
        _ => date(1899, 12, 30),
    };
    start.checked_add(days.days()).ok()
}

fn clock(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match milliseconds % 1000 {
        0 => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        rest => format!("{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_dates_are_told_from_those_of_numbers() {
        for format in ["yyyy-mm-dd", "[$-409]d\\-mmm\\-yy;@", "h:mm AM/PM", "[Red]dd/mm"] {
            assert_eq!(Shown::of_format(format), Shown::Moment, "{format}");
        }
        for format in ["General", "0.00", "#,##0 \"days\"", "0;-0;\"d\"", "[Red]0", "\\d0"] {
            assert_eq!(Shown::of_format(format), Shown::Number, "{format}");
        }
        assert_eq!(Shown::of_format("[hh]:mm"), Shown::Elapsed);
    }

    #[test]
    fn serial_numbers_become_iso_dates() {
        for (serial, from_1904, text) in [
            (45_292.127_835_648_15, false, "2024-01-01T03:04:05"),
            (45_291.0, false, "2023-12-31"),
            (1.0, false, "1900-01-01"),
            (61.0, false, "1900-03-01"),
            (0.520_833_333_333_333_4, false, "12:30:00"),
            (0.0, true, "1904-01-01"),
        ] {
            assert_eq!(Shown::Moment.text(serial, from_1904).unwrap(), text);
        }
        assert_eq!(Shown::Elapsed.text(1.25, false).unwrap(), "30:00:00");
        assert_eq!(Shown::Moment.text(-1.0, false), None);
        assert_eq!(Shown::Moment.text(f64::NAN, false), None);
    }
}
