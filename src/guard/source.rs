//! Where a policy comes from, if it is not a text: a file, or a server.

use std::io::Read;
use std::path::Path;

use super::policy::{Policy, refused};
use crate::error::Result;
use crate::load::fetch;

/// A policy is written by people; what is larger is something else.
const MOST: u64 = 4 << 20;
const AGENT: &str = concat!("GraphBit/", env!("CARGO_PKG_VERSION"));

impl Policy {
    /// The policy in a file of at most 4 MiB. Blocks on the disk.
    ///
    /// # Errors
    /// [`crate::Kind::GuardRail`] with the system's reason when it cannot be read, and as
    /// [`Policy::from_json`].
    pub fn from_file(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(MOST.saturating_add(1)).read_to_string(&mut text));
        match read {
            Ok(length) if length as u64 > MOST => {
                Err(refused(format_args!("the policy has more than {MOST} bytes")))
            }
            Ok(_) => Self::from_json(&text),
            Err(error) => Err(refused(&error).with_source(error)),
        }
    }

    /// The policy that a server gives: one GET of at most 4 MiB within 30 s, redirects followed.
    ///
    /// # Errors
    /// [`crate::Kind::GuardRail`] when there is no such answer, with the HTTP status where that is why, and as
    /// [`Policy::from_json`].
    pub async fn from_url(url: &str) -> Result<Self> {
        let fetched = fetch(url, MOST, false, AGENT).await.map_err(|error| {
            let mut failed = refused(error.message());
            if let Some(status) = error.status() {
                failed = failed.with_status(status);
            }
            failed.with_source(error)
        })?;
        let text = String::from_utf8(fetched.body)
            .map_err(|_| refused(format_args!("the policy is not valid JSON: it is not UTF-8")))?;
        Self::from_json(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_file_that_never_ends_is_refused() {
        let Err(error) = Policy::from_file(Path::new("/dev/zero")) else { return };
        assert_eq!(error.kind(), Kind::GuardRail);
        assert!(error.message().starts_with("GuardRail config error: "), "{error}");
    }
}
