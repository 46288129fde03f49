//! Where the server is and who asks: a connection string of PostgreSQL, with the password out of sight.
//!
//! Both spellings are understood, `postgresql://user:password@host:port/database?option=value` and
//! `host=.. user=.. password=..`. It refuses to repeat a string that it does not understand, because the password
//! may stand anywhere in it. `sslmode` means what it means to PostgreSQL's own programs: `disable`, `prefer` (the
//! default) and `require` do not check whose certificate the server has, `verify-full` and `verify-ca` do, the
//! name in it too.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::tls::{Roots, Tls};
use crate::error::{Error, Result};
use crate::secret::ApiKey;

/// How long a connection may take to come about, unless `connect_timeout` says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the server's list of connections calls ours.
const APPLICATION: &str = "graphbit";

/// What a connection needs.
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: Tls,
    /// For a connection with everything that is said on it before the first question.
    pub(super) connect_timeout: Duration,
    password: ApiKey,
}

impl Target {
    /// # Errors
    /// [`crate::Kind::Validation`] for a string that is no connection string, [`crate::Kind::Configuration`] for
    /// certificates that cannot be read.
    pub(super) fn parse(dsn: &str) -> Result<Self> {
        let Parts { plain, sslmode, sslrootcert } = Parts::of(dsn.trim());
        let mut config: Config = plain.parse().map_err(|_| unusable())?;
        let (mode, verified) = match sslmode.as_deref() {
            Some("disable") => (SslMode::Disable, false),
            // `allow` asks for no encryption and takes it where the server insists.
            None | Some("prefer" | "allow") => (SslMode::Prefer, false),
            Some("require") => (SslMode::Require, sslrootcert.is_some()),
            Some("verify-ca" | "verify-full") => (SslMode::Require, true),
            Some(other) => {
                let text = "must be disable, prefer, require, verify-ca or verify-full";
                return Err(Error::validation("sslmode", Some(other), text));
            }
        };
        config.ssl_mode(mode);
        let roots = match (verified, sslrootcert.filter(|path| path != "system")) {
            (false, _) => Roots::Unchecked,
            (true, None) => Roots::System,
            (true, Some(path)) => Roots::File(PathBuf::from(path)),
        };
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION);
        }
        let connect_timeout = *config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT);
        config.connect_timeout(connect_timeout);
        let password = String::from_utf8_lossy(config.get_password().unwrap_or_default());
        let password = ApiKey::new(password.into_owned());
        Ok(Self { config, tls: Tls::new(&roots)?, connect_timeout, password })
    }

    /// `text` without the password.
    pub(super) fn redact(&self, text: String) -> String {
        self.password.redact(text)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

fn unusable() -> Error {
    let text = "is no connection string of PostgreSQL that is understood, such as \
                postgresql://user:password@host:5432/database or 'host=localhost user=me dbname=mine'";
    Error::validation("dsn", None, text)
}

/// A connection string without what the client library does not know.
struct Parts {
    plain: String,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl Parts {
    fn of(dsn: &str) -> Self {
        if dsn.starts_with("postgres://") || dsn.starts_with("postgresql://") {
            Self::of_url(dsn)
        } else {
            Self::of_pairs(dsn)
        }
    }

    fn keep(&mut self, key: &str, value: String) -> bool {
        match key {
            "sslmode" => self.sslmode = Some(value),
            "sslrootcert" => self.sslrootcert = Some(value),
            _ => return false,
        }
        true
    }

    fn of_url(dsn: &str) -> Self {
        let mut parts = Self { plain: String::new(), sslmode: None, sslrootcert: None };
        // A password may hold a question mark.
        let host = dsn.find('@').map_or(0, |at| at + 1);
        let options = dsn.get(host..).and_then(|rest| rest.find('?')).map(|at| host + at);
        let Some((before, query)) = options.and_then(|at| dsn.split_at_checked(at)) else {
            dsn.clone_into(&mut parts.plain);
            return parts;
        };
        let mut kept = Vec::new();
        for pair in query.trim_start_matches('?').split('&') {
            let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
            if !decoded.is_some_and(|(key, value)| parts.keep(&key, value.into_owned())) {
                kept.push(pair);
            }
        }
        parts.plain = format!("{before}?{}", kept.join("&"));
        parts
    }

    fn of_pairs(dsn: &str) -> Self {
        let mut parts = Self { plain: String::new(), sslmode: None, sslrootcert: None };
        // The pattern is constant; were it wrong, no string would be understood, and every test say so.
        let Ok(pair) = Regex::new(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)") else {
            return parts;
        };
        let mut last = 0;
        for found in pair.captures_iter(dsn) {
            let (Some(whole), Some(key), Some(value)) = (found.get(0), found.get(1), found.get(2))
            else {
                continue;
            };
            let value = value.as_str().trim_matches('\'').replace("\\", "");
            if parts.keep(key.as_str(), value) {
                parts.plain.push_str(dsn.get(last..whole.start()).unwrap_or_default());
                last = whole.end();
            }
        }
        parts.plain.push_str(dsn.get(last..).unwrap_or_default());
        parts
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    #[test]
    fn both_spellings_say_the_same() {
        for dsn in [
            "postgresql://me:pa%20ss@db.example:6543/mine?sslmode=verify-full&connect_timeout=3",
            "host=db.example port=6543 user=me password='pa ss' dbname=mine sslmode=verify-full connect_timeout=3",
        ] {
            let target = Target::parse(dsn).unwrap();
            let config = &target.config;
            assert_eq!(config.get_hosts(), [Host::Tcp("db.example".into())], "{dsn}");
            assert_eq!((config.get_ports(), config.get_dbname()), (&[6543][..], Some("mine")));
            assert_eq!(config.get_password(), Some(&b"pa ss"[..]));
            assert_eq!(config.get_ssl_mode(), SslMode::Require);
            assert_eq!(target.connect_timeout, Duration::from_secs(3));
            assert_eq!(target.redact("wrong: pa ss".into()), "wrong: ***");
        }
        let quoted = Target::parse("host=h password='a sslmode=require \\' b' user=u").unwrap();
        assert_eq!(quoted.config.get_password(), Some(&b"a sslmode=require ' b"[..]));
        assert_eq!(quoted.config.get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn what_is_refused_is_not_repeated() {
        for dsn in
            ["hunter2secret", "mysql://me:hunter2secret@h/", "host=h pass word=hunter2secret"]
        {
            let text = Target::parse(dsn).unwrap_err().to_string();
            assert!(text.contains("dsn") && !text.contains("hunter2secret"), "{text}");
        }
        let error = Target::parse("postgresql://u:hunter2secret@h/?sslmode=strict").unwrap_err();
        assert!(error.message().contains("'sslmode' with value 'strict'"), "{error}");
        assert!(
            !format!("{:?}", Target::parse("host=h password=hunter2secret").unwrap())
                .contains("hunter2")
        );
    }
}
