//! Numbers of half precision (IEEE 754 binary16), by arithmetic on the bits of single ones that the compiler
//! can use vector instructions for on any machine.

/// 2 to the power of what lies between the two exponents' zeros.
const APART: f32 = f32::from_bits((127 + 112) << 23);

/// The nearest half to a value of at most 65504, and of two the even one.
pub(super) fn encode(value: f32) -> u16 {
    let bits = (value.abs() / APART).to_bits();
    // All digits below the tenth are taken off, after the tenth was raised where they ask for it.
    let rounded = (bits + 0xfff + ((bits >> 13) & 1)) >> 13;
    let sign = (value.to_bits() >> 16) & 0x8000;
    #[expect(clippy::cast_possible_truncation, reason = "16 digits are left")]
    let half = (sign | rounded) as u16;
    half
}

#[inline]
pub(super) fn decode(half: u16) -> f32 {
    let bits = u32::from(half);
    f32::from_bits((bits & 0x7fff) << 13 | (bits & 0x8000) << 16) * APART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_comes_back_and_what_lies_between_is_rounded() {
        for bits in 0..0x7c00_u16 {
            assert_eq!(encode(decode(bits)), bits);
            assert_eq!(encode(decode(bits | 0x8000)), bits | 0x8000);
        }
        // Below these a neighbour of the middle is closer than a single number can be to it.
        for bits in 0x400..0x7bff_u16 {
            let middle = f32::midpoint(decode(bits), decode(bits + 1));
            assert_eq!(encode(middle), bits + (bits & 1), "the even one of two");
            assert_eq!(encode(middle.next_up()), bits + 1);
            assert_eq!(encode(-middle.next_down()), bits | 0x8000);
        }
        assert_eq!((decode(0x3c00), decode(0x0001)), (1.0, 2.0_f32.powi(-24)));
        assert_eq!(decode(0x7bff), 65504.0);
    }
}
