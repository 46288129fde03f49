//! Sixty-four bytes at once: which of them are of some kind, one bit a byte.
//!
//! The comparisons are plain loops that compilers turn into vector instructions of whatever processor
//! the build is for; only the last step, from bytes to bits, needs a library, as compilers do not find
//! the instruction for that. It refuses nothing and knows nothing of text.
//!
//! ```ignore
//! let blanks = lanes::mask_of(&block, |byte| byte == b' ');
//! let first = blanks.trailing_zeros(); // 64 if there is none
//! ```

use wide::u8x16;

/// Bytes looked at together.
pub(crate) const BLOCK: usize = 64;

/// One bit a byte, the lowest for the first: where `wanted` holds.
#[inline]
pub(crate) fn mask_of(block: &[u8; BLOCK], wanted: impl Fn(u8) -> bool) -> u64 {
    let mut flags = [0; BLOCK];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = flag_of(wanted(*byte));
    }
    gathered(&flags)
}

/// What stands for yes or no in the argument of [`gathered`].
#[inline(always)]
pub(crate) fn flag_of(holds: bool) -> u8 {
    u8::from(holds).wrapping_neg()
}

/// The highest bit of each byte.
#[inline(always)]
pub(crate) fn gathered(flags: &[u8; BLOCK]) -> u64 {
    let (quarters, _) = flags.as_chunks::<16>();
    let bits = |quarter: &[u8; 16]| u64::from(u8x16::from(*quarter).to_bitmask());
    quarters.iter().rev().fold(0, |mask, quarter| mask << 16 | bits(quarter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mask_has_a_bit_for_each_byte(
            first in prop::array::uniform32(0_u8..4),
            second in prop::array::uniform32(0_u8..4),
        ) {
            let mut block = [0; BLOCK];
            block[..32].copy_from_slice(&first);
            block[32..].copy_from_slice(&second);
            let mask = mask_of(&block, |byte| byte == 3);
            for (at, byte) in block.iter().enumerate() {
                prop_assert_eq!(mask >> at & 1 == 1, *byte == 3);
            }
        }
    }
}
