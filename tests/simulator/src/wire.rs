//! The socket, and the ends HTTP has no words for: a reset, bytes that are no answer, a head that never ends.
//!
//! hyper drops the socket when a request fails below it. What was left in the connection's [`Farewell`]
//! happens then. It refuses to know why: that is decided in `behaviour`.
//!
//! ```text
//! farewell.set(Parting::Reset);
//! return Err(io::Error::other("reset on purpose"));
//! ```

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::scope::Ticket;
use crate::timer;

/// Between two bytes of a head that never ends: fast enough to look alive to any silence limit.
const BYTE_PAUSE: Duration = Duration::from_millis(20);
const SLOW_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-patience: ";

/// How a connection ends, other than well.
pub(crate) enum Parting {
    /// RST instead of FIN, so that the client's next read fails.
    Reset,
    /// These bytes instead of HTTP.
    Bytes(Bytes),
    /// The head of an answer a byte at a time, until the client goes; the ticket notes when.
    SlowHead(Ticket),
}

/// Where a request leaves the parting of its connection.
#[derive(Clone, Default)]
pub(crate) struct Farewell(Arc<Mutex<Option<Parting>>>);

impl Farewell {
    pub(crate) fn set(&self, parting: Parting) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(parting);
    }

    fn take(&self) -> Option<Parting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The socket as hyper sees it.
pub(crate) struct Wire {
    /// `None` only while it is dropped.
    stream: Option<TcpStream>,
    farewell: Farewell,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, farewell: Farewell) -> Self {
        Self { stream: Some(stream), farewell }
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        self.get_mut().stream.as_mut().map(Pin::new).ok_or(io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let (Some(stream), Some(parting)) = (self.stream.take(), self.farewell.take()) else {
            return;
        };
        match parting {
            Parting::Reset => {
                let _ = stream.set_zero_linger();
            }
            Parting::Bytes(raw) => {
                let _ = stream.try_write(&raw);
            }
            Parting::SlowHead(ticket) => {
                tokio::spawn(dribble(stream, ticket));
            }
        }
    }
}

async fn dribble(stream: TcpStream, ticket: Ticket) {
    for byte in SLOW_HEAD.iter().copied().chain(std::iter::repeat(b'.')) {
        timer::sleep_until(Instant::now() + BYTE_PAUSE).await;
        // A client that is there and does not read is no reason to stop.
        let gone = match stream.try_read(&mut [0; 256]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        let refused = stream.try_write(&[byte]);
        if gone || refused.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            break;
        }
    }
    drop(ticket);
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
