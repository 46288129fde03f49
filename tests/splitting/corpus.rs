//! The kept corpora: one file a target, each case behind its length as two little-endian bytes.
//!
//! `tests/fuzz/corpus.py` makes these files from what the fuzzer leaves behind.

use std::fs;
use std::path::PathBuf;

/// The cases kept for a target; none for a target that has not been fuzzed yet.
pub(crate) fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/splitting/corpus");
    let packed = fs::read(folder.join(format!("{target}.bin"))).unwrap_or_default();
    let mut rest = packed.as_slice();
    let mut cases = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (case, behind) = behind.split_at(usize::from(u16::from_le_bytes(*length)));
        cases.push(case.to_vec());
        rest = behind;
    }
    cases
}
