//! The limits that a reading process sets for itself, where the system knows such limits.
//!
//! They stand behind the kill timer of whoever asked: that one may be gone, and memory is not a
//! matter of time. What cannot be limited is left as it is.

use std::time::Duration;

/// Processor time on top of the document's time limit, which the reader itself looks at.
const GRACE: Duration = Duration::from_secs(5);

/// What the process had when it started.
pub(super) struct Confinement {
    /// Addresses in use, or `None` where nobody says.
    before: Option<u64>,
}

impl Confinement {
    /// Also sees to it that a death leaves no image of the memory behind.
    pub(super) fn start() -> Self {
        #[cfg(unix)]
        lower(rustix::process::Resource::Core, 0);
        Self { before: addresses_in_use() }
    }

    /// For the next document. Both limits count from the start of the process, hence the sums.
    pub(super) fn set(&self, time: Duration, memory_bytes: u64) {
        if let Some(before) = self.before {
            #[cfg(unix)]
            lower(rustix::process::Resource::As, before.saturating_add(memory_bytes));
        }
        #[cfg(unix)]
        {
            let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            let used = u64::try_from(used.tv_sec).unwrap_or(0);
            let left = time.saturating_add(GRACE).as_secs();
            lower(rustix::process::Resource::Cpu, used.saturating_add(left));
        }
    }
}

/// The current limit only: the next document may need another one.
#[cfg(unix)]
fn lower(resource: rustix::process::Resource, most: u64) {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let current = Some(maximum.map_or(most, |maximum| maximum.min(most)));
    let _ = rustix::process::setrlimit(resource, rustix::process::Rlimit { current, maximum });
}

fn addresses_in_use() -> Option<u64> {
    // Linux only, in kilobytes.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}
