//! Reading a document in a process that may die of it.
//!
//! An allocation that fails, a stack that overflows and a loop without end cannot be caught. So documents
//! that are read by code we do not trust ([`Packed::needs_process`]) go to a child process, which limits
//! its own memory and time, and is killed when it does not answer. Its death is an error of that document.
//!
//! Starting a process costs more than reading most documents, so one that answered waits for the next;
//! as many wait as the machine has processors, and each goes when it was idle for ten seconds. They belong
//! to the process that started them: a forked child starts its own.
//!
//! The program given must call [`serve`] with its standard input and output and do nothing else. What it
//! prints before its first answer is passed over. Nothing is read in this process when the program cannot
//! be started: that is an error, because the caller asked for protection.
//!
//! ```no_run
//! use graphbit::load::{Isolation, Limits, Packed};
//!
//! let isolation = Isolation::new("document-reader", []);
//! let text = isolation.text(Packed::Pdf, b"%PDF-1.7 ...", None, false, Limits::default())?;
//! # Ok::<(), graphbit::Error>(())
//! ```

mod confine;
mod frame;
mod serve;

pub use serve::serve;

use std::ffi::OsString;
use std::fmt;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::extracted::Extracted;
use super::limits::Limits;
use super::packed::Packed;
use crate::error::{Error, Kind, Result};
use crate::runtime::PerProcess;
use frame::Question;

/// What a reader may allocate beyond what it has when it starts.
pub const DEFAULT_MEMORY_BYTES: u64 = 2 << 30;

/// How long a reader may take beyond the time limit of the document: it has to start, and it may be one of
/// many on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to start processes that read documents, and those that wait for the next.
pub struct Isolation {
    program: PathBuf,
    arguments: Vec<OsString>,
    memory_bytes: u64,
    idle: PerProcess<Mutex<Vec<Reader>>>,
}

impl Isolation {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().collect(),
            memory_bytes: DEFAULT_MEMORY_BYTES,
            idle: PerProcess::new(Mutex::default),
        }
    }

    /// Limits what a reader may allocate; [`DEFAULT_MEMORY_BYTES`] otherwise. Only Linux enforces it.
    #[must_use]
    pub fn with_memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// The text of a document, read in another process; see [`Packed::text`] for the arguments.
    ///
    /// # Errors
    /// [`Kind::Document`] with the reason, also when the reader died of the document or was killed;
    /// [`Kind::Configuration`] if the program cannot be started.
    pub fn text(
        &self,
        packed: Packed,
        bytes: &[u8],
        extension: Option<&str>,
        full: bool,
        limits: Limits,
    ) -> Result<String> {
        self.extract(packed, bytes, extension, full, limits).map(|extracted| extracted.text)
    }

    pub(super) fn extract(
        &self,
        packed: Packed,
        bytes: &[u8],
        extension: Option<&str>,
        full: bool,
        limits: Limits,
    ) -> Result<Extracted> {
        let memory_bytes = self.memory_bytes;
        let extension = extension.map(str::to_owned);
        let question = Question { packed, extension, full, limits, memory_bytes };
        if let Some(mut reader) = self.waiting() {
            match reader.ask(&question, bytes) {
                // It may have gone while nobody looked, or of what it had read before. Whether it is the
                // fault of this document shows in a process of its own.
                Err(Failure::Ended(_)) => {}
                answer => return self.settle(reader, answer),
            }
        }
        let mut reader = self.start()?;
        let answer = reader.ask(&question, bytes);
        self.settle(reader, answer)
    }

    fn waiting(&self) -> Option<Reader> {
        let idle = self.idle.get();
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that waited least is the last to go.
        idle.pop()
    }

    fn start(&self) -> Result<Reader> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                let program = self.program.display();
                Error::configuration(format!("cannot start the reader '{program}': {error}"))
            })?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| {
            Error::new(Kind::Internal, "Internal error: a reader was started without pipes")
        })?;
        Ok(Reader { child, input, output: BufReader::new(output) })
    }

    /// Keeps a reader that answered and ends the others.
    fn settle(&self, reader: Reader, answer: Result<Answer, Failure>) -> Result<Extracted> {
        let answer = answer.map_err(|failure| {
            let text = format!("the reader of this document {failure}");
            Error::new(Kind::Document, text)
        })?;
        let most = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let idle = self.idle.get();
        let mut waiting = idle.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = if waiting.len() < most {
            waiting.push(reader);
            None
        } else {
            Some(reader)
        };
        // Ending a process takes a moment, so it happens behind the lock.
        drop(waiting);
        drop(surplus);
        answer
    }
}

impl fmt::Debug for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolation")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

/// What a reader said: the text, or why there is none.
type Answer = Result<Extracted>;

/// Why a reader said nothing.
enum Failure {
    Ended(ExitStatus),
    Late(Duration),
    Unintelligible(std::io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(status) => match signal(*status) {
                Some(signal) => write!(f, "ended: signal {signal}"),
                None => write!(f, "ended: {status}"),
            },
            Self::Late(after) => write!(f, "was ended after {} s", after.as_secs_f64()),
            Self::Unintelligible(error) => write!(f, "cannot be understood: {error}"),
        }
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

struct Reader {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Reader {
    fn ask(&mut self, question: &Question, bytes: &[u8]) -> Result<Answer, Failure> {
        let Self { child, input, output } = self;
        let patience = question.limits.time.saturating_add(PATIENCE);
        // Pipes know no time limit, so another thread waits for them and this one for it.
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::sync_channel(1);
            let exchange = move || {
                let answer = frame::ask(input, output, question, bytes);
                let _ = tell.send(answer);
            };
            std::thread::Builder::new()
                .spawn_scoped(scope, exchange)
                .map_err(Failure::Unintelligible)?;
            match told.recv_timeout(patience) {
                Ok(Ok(answer)) => Ok(answer),
                // A pipe that broke means that the process ended, or is about to.
                Ok(Err(error)) => {
                    Err(ended(child).map_or(Failure::Unintelligible(error), Failure::Ended))
                }
                Err(_) => {
                    let _ = child.kill();
                    Err(Failure::Late(patience))
                }
            }
        })
    }
}

/// How a process ended whose pipe broke; a moment may lie between the two.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..100 {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Without the wait it would stay in the table of processes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn asked(script: &str) -> Result<String> {
        let isolation = Isolation::new("/bin/sh", ["-c".into(), script.into()]);
        isolation.text(Packed::Pdf, b"%PDF", None, false, Limits::default())
    }

    #[test]
    fn the_death_of_a_reader_is_an_error() {
        let error = asked("kill -9 $$").unwrap_err();
        assert_eq!(error.message(), "the reader of this document ended: signal 9");
        assert_eq!(error.kind(), Kind::Document);
        let error = asked("exit 3").unwrap_err();
        assert!(error.message().ends_with("ended: exit status: 3"), "{error}");
    }

    #[test]
    fn a_reader_that_talks_nonsense_is_not_believed() {
        let error = asked("head -c 100000 /dev/zero; sleep 60").unwrap_err();
        assert!(error.message().contains("cannot be understood"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let isolation = Isolation::new("/nowhere/reader", []);
        let error = isolation.text(Packed::Pdf, b"", None, false, Limits::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration);
        assert!(error.message().contains("/nowhere/reader"), "{error}");
    }
}
