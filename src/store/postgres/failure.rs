//! What a server's refusals and broken connections become, and which of them are worth another attempt.

use std::error::Error as StdError;

use tokio_postgres::error::SqlState;

use super::dsn::Target;
use crate::error::{Error, Kind};

/// Whether the same work may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It would fail as it did.
    No,
    /// Nothing of it was done.
    Undone,
    /// Nobody knows whether it was done.
    Unknown,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server's refusal, or the end of the connection.
    Server(tokio_postgres::Error),
    /// What we found ourselves.
    Own(Error),
    /// No answer within the limit.
    Late(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Failure {
    pub(super) fn again(&self) -> Again {
        let Self::Server(error) = self else { return Again::No };
        match error.code() {
            Some(code)
                if *code == SqlState::T_R_SERIALIZATION_FAILURE
                    || *code == SqlState::T_R_DEADLOCK_DETECTED
                    || *code == SqlState::TOO_MANY_CONNECTIONS
                    || *code == SqlState::CANNOT_CONNECT_NOW =>
            {
                Again::Undone
            }
            Some(code) if is_lost(code) => Again::Unknown,
            Some(_) => Again::No,
            None if is_broken(error) => Again::Unknown,
            None => Again::No,
        }
    }

    /// The error a caller sees.
    pub(super) fn into_error(self, target: &Target) -> Error {
        let error = match self {
            Self::Own(error) | Self::Late(error) => return error,
            Self::Server(error) => error,
        };
        let (kind, text) = match error.as_db_error() {
            Some(refusal) => {
                let code = refusal.code();
                let text = format!("PostgreSQL: {} (SQLSTATE {})", refusal.message(), code.code());
                (kind(code), text)
            }
            None if is_broken(&error) => (Kind::Network, format!("PostgreSQL: {}", chain(&error))),
            None => (Kind::Store, format!("PostgreSQL: {}", chain(&error))),
        };
        Error::new(kind, target.redact(text))
    }
}

fn kind(code: &SqlState) -> Kind {
    match code.code() {
        "28000" | "28P01" => Kind::Authentication,
        "42501" => Kind::PermissionDenied,
        "57014" => Kind::Timeout,
        "53300" | "57P03" => Kind::Network,
        _ if is_lost(code) => Kind::Network,
        _ => Kind::Store,
    }
}

/// The server is going away, or the connection has a fault.
fn is_lost(code: &SqlState) -> bool {
    matches!(code.code(), "57P01" | "57P02" | "57P05") || code.code().starts_with("08")
}

fn is_broken(error: &tokio_postgres::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(one) = cause {
        if one.is::<std::io::Error>() {
            return true;
        }
        cause = one.source();
    }
    error.is_closed()
}

/// The error with what is behind it, since the outermost says next to nothing.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let told = one.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = one.source();
    }
    text
}
