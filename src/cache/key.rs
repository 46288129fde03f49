//! Names of cached answers: a hash of everything that could change the answer.

use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The name of one answer: 32 bytes of BLAKE3. Equal keys promise equal answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Hash for Key {
    /// Its first eight bytes: it is a hash already, and a table need not hash all of it again.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, ..] = self.0.as_chunks::<8>().0 else { return };
        state.write(first);
    }
}

impl Key {
    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    /// The first eight bytes, enough to tell keys apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(")?;
        for byte in self.0.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// Hashes [`Key`]s for tables of this process, which need no hash of a hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for eight in bytes.as_chunks::<8>().0 {
            self.0 ^= u64::from_le_bytes(*eight);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The table's side of [`AsItIs`].
pub(super) type Unhashed = BuildHasherDefault<AsItIs>;

/// Builds a [`Key`] part by part. It refuses to hash what must not matter: leave the API key out.
///
/// The parts are gathered and hashed at once: they are short, and the hash of many small pieces costs
/// several times as much.
///
/// ```
/// use graphbit::cache::KeyBuilder;
///
/// let mut one = KeyBuilder::new("embedding 1");
/// one.part(b"model").part(b"text");
/// let mut other = KeyBuilder::new("embedding 1");
/// other.part(b"modeltext");
/// assert_ne!(one.finish(), other.finish());
/// ```
#[derive(Clone, Debug)]
pub struct KeyBuilder {
    domain: [u8; 32],
    parts: Vec<u8>,
}

impl KeyBuilder {
    /// Keys of different domains never meet. Name what is hashed and the version of its encoding, so that
    /// a new encoding does not read the old one's values.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self { domain: blake3::derive_key(domain, b""), parts: Vec::new() }
    }

    /// Keys whose first parts are those of `base`, which need not be hashed each time; with room for so
    /// many bytes of further ones.
    #[must_use]
    pub fn below(base: &Key, room: usize) -> Self {
        Self { domain: base.0, parts: Vec::with_capacity(room) }
    }

    /// Adds one part. Its length goes first, so that neighbours cannot run together: in one byte where
    /// that holds it.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        match u8::try_from(bytes.len()) {
            Ok(length) if length < u8::MAX => self.parts.push(length),
            _ => {
                self.parts.push(u8::MAX);
                self.parts.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            }
        }
        self.parts.extend_from_slice(bytes);
        self
    }

    /// The key of the parts so far.
    #[must_use]
    pub fn finish(&self) -> Key {
        Key(blake3::keyed_hash(&self.domain, &self.parts).into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn key(domain: &str, parts: &[Vec<u8>]) -> Key {
        let mut builder = KeyBuilder::new(domain);
        for part in parts {
            builder.part(part);
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn other_parts_or_another_cut_make_another_key(
            one in prop::collection::vec(prop::collection::vec(0_u8..3, 0..4), 0..4),
            other in prop::collection::vec(prop::collection::vec(0_u8..3, 0..4), 0..4),
        ) {
            prop_assert_eq!(key("a", &one) == key("a", &other), one == other);
        }
    }

    #[test]
    fn long_parts_are_told_from_short_ones_too() {
        let lengths = [0, 1, 253, 254, 255, 256, 511, 1000];
        let parts = lengths.map(|length| vec![u8::MAX; length]);
        let mut keys: HashSet<Key> =
            parts.iter().map(|part| key("a", std::slice::from_ref(part))).collect();
        assert_eq!(keys.len(), lengths.len());
        // What the encoding of a long part looks like, as a short one.
        let mut written = vec![u8::MAX];
        written.extend_from_slice(&300_u64.to_le_bytes());
        keys.insert(key("b", &[vec![7; 300]]));
        assert!(keys.insert(key("b", &[written, vec![7; 300]])));
    }

    #[test]
    fn domains_are_apart_and_a_prefix_is_no_key_of_its_whole() {
        let part = [b"text".to_vec()];
        let below = KeyBuilder::below(&key("a", &part), 0).finish();
        let keys = [key("a", &part), key("b", &part), key("a", &[]), key("atext", &[]), below];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 5);
        assert_eq!(key("a", &part), key("a", &part));
        assert_eq!(format!("{:?}", keys[0]).len(), "Key(0123456789abcdef..)".len());
    }
}
