//! Numbers of JSON as GraphBit 0.6.8 reads them: fast, and now and then off in the last digit.
//!
//! A comparison of documents by their text must not see differences that are none, so the same digits
//! are made here: nineteen of them, scaled by a power of ten in one step of floating-point arithmetic.

use std::iter::Peekable;
use std::str::Bytes;

/// A number that has been checked, as 0.6.8 prints it; `None` where that version would refuse it.
pub(super) fn printed(number: &str) -> Option<String> {
    let (positive, digits) =
        number.strip_prefix('-').map_or((true, number), |digits| (false, digits));
    if digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u64>().is_ok() {
        let zero = digits.bytes().all(|byte| byte == b'0');
        // The others are printed as they stand; below the smallest of 64 bits there are only floats.
        if positive || (!zero && number.parse::<i64>().is_ok()) {
            return Some(number.to_owned());
        }
    }
    let value = value(digits)?;
    serde_json::Number::from_f64(if positive { value } else { -value }).map(|it| it.to_string())
}

/// The digits of a number before it is scaled.
#[derive(Default)]
struct Significand {
    value: u64,
    exponent: i32,
    full: bool,
}

impl Significand {
    /// Takes the digits that come next; those before the point that do not fit count as zeros, those
    /// behind it as nothing.
    fn take(&mut self, bytes: &mut Peekable<Bytes<'_>>, behind_point: bool) {
        while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
            let digit = u64::from(digit - b'0');
            let longer = self.value.checked_mul(10).and_then(|value| value.checked_add(digit));
            match longer.filter(|_| !self.full) {
                Some(value) => {
                    self.value = value;
                    self.exponent -= i32::from(behind_point);
                }
                None => {
                    self.full = true;
                    self.exponent += i32::from(!behind_point);
                }
            }
        }
    }
}

fn value(digits: &str) -> Option<f64> {
    let mut bytes = digits.bytes().peekable();
    let mut significand = Significand::default();
    significand.take(&mut bytes, false);
    if bytes.next_if_eq(&b'.').is_some() {
        // A whole part that is too long does not keep the digits behind the point out of the sum.
        significand.full = false;
        significand.take(&mut bytes, true);
    }
    let mut exponent = significand.exponent;
    if bytes.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
        let negative = bytes.next_if_eq(&b'-').is_some();
        bytes.next_if_eq(&b'+');
        let written: String = bytes.map(char::from).collect();
        match written.parse::<i32>() {
            Ok(written) if negative => exponent = exponent.saturating_sub(written),
            Ok(written) => exponent = exponent.saturating_add(written),
            Err(_) if significand.value == 0 || negative => return Some(0.0),
            Err(_) => return None,
        }
    }
    scaled(significand.value, exponent)
}

#[expect(clippy::cast_precision_loss, reason = "the rounding is what is copied")]
fn scaled(significand: u64, mut exponent: i32) -> Option<f64> {
    let mut value = significand as f64;
    while exponent < -308 {
        if value == 0.0 {
            return Some(value);
        }
        value /= 1e308;
        exponent += 308;
    }
    if value == 0.0 {
        return Some(value);
    }
    // Parsing gives the nearest power, where `powi` multiplies errors up.
    let power: f64 = format!("1e{}", exponent.unsigned_abs()).parse().ok()?;
    let value = if exponent < 0 { value / power } else { value * power };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::printed;

    #[test]
    fn whole_numbers_of_64_bits_stay_and_others_become_floats() {
        for (number, expected) in [
            ("0", "0"),
            ("-1", "-1"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775809", "-9.223372036854776e+18"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("-0", "-0.0"),
            ("-0.0", "-0.0"),
            ("1E5", "100000.0"),
            ("1e-7", "1e-7"),
            ("5e-324", "5e-324"),
            ("0e999999999999", "0.0"),
            ("1e-999999999999", "0.0"),
        ] {
            assert_eq!(printed(number).as_deref(), Some(expected), "{number}");
        }
        assert_eq!(printed("1e400"), None);
    }

    #[test]
    fn the_last_digit_is_as_wrong_as_theirs() {
        assert_eq!(printed("123456789012345680000").unwrap(), "1.2345678901234567e+20");
        assert_eq!(printed("12345678901234567890123").unwrap(), "1.2345678901234568e+22");
    }
}
