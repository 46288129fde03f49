//! The other end: a process that does nothing but read the documents it is given.

use std::io::{Read, Result, Write};
use std::sync::mpsc;
use std::time::Duration;

use super::confine::Confinement;
use super::frame;

/// How long to wait for the next document.
const IDLE: Duration = Duration::from_secs(10);

/// Reads documents until nobody asks any more, or for ten seconds nobody has.
///
/// Give it the standard input and output of a process that does nothing else: it limits the memory and
/// the processor time of the whole process, which may be killed at any time.
///
/// # Errors
/// When the input is no question of [`super::Isolation`], or the output is closed.
pub fn serve(mut input: impl Read + Send + 'static, output: &mut impl Write) -> Result<()> {
    let confinement = Confinement::start();
    let (tell, told) = mpsc::sync_channel(0);
    // Reading knows no time limit, so another thread waits for the input. It ends with the process.
    std::thread::Builder::new().spawn(move || {
        while let Some(question) = frame::next_question(&mut input).transpose() {
            let last = question.is_err();
            if tell.send(question).is_err() || last {
                break;
            }
        }
    })?;
    while let Ok(question) = told.recv_timeout(IDLE) {
        let (question, document) = question?;
        confinement.set(question.limits.time, question.memory_bytes);
        let extension = question.extension.as_deref();
        let extracted =
            question.packed.extract(&document, extension, question.full, question.limits);
        drop(document);
        frame::answer(output, extracted)?;
    }
    Ok(())
}
