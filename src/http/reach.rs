//! Which addresses may be connected to, when not every one may.
//!
//! A program that loads what strangers name can be sent to the services of its own machine and network.
//! The name is looked up here, and what was checked is what is connected to: a name that changes its
//! address in between gains nothing. It refuses to know any service; that is the caller's business.
//!
//! ```
//! use graphbit::http::is_public;
//!
//! assert!(is_public("93.184.215.14".parse()?));
//! assert!(!is_public("169.254.169.254".parse()?), "where clouds keep credentials");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;
use url::{Host, Url};

use crate::error::{Error, Kind, Result};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Whether an address is one of the public internet: not this machine's, not of a private or link-local
/// network, not reserved. IPv6 addresses that carry an IPv4 address are judged by it.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let reserved = match first {
        0 | 10 | 127 | 224.. => true,
        100 => (64..128).contains(&second),
        169 => second == 254,
        172 => (16..32).contains(&second),
        192 => second == 168 || (second == 0 && (third == 0 || third == 2)),
        198 => matches!(second, 18 | 19) || (second == 51 && third == 100),
        203 => second == 0 && third == 113,
        _ => false,
    };
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Translated (RFC 6052) and tunnelled (6to4) addresses lead to the IPv4 address in them.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => false,
        // Of all there is, only this eighth has been given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// A connection that is not allowed.
#[derive(Debug)]
pub(super) struct NotPublic(String);

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not an address of the public internet", self.0)
    }
}

impl StdError for NotPublic {}

/// Refuses a URL whose host is an address that is not allowed; names are judged when they are looked up.
pub(super) fn check(url: &Url) -> Result<()> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_public(address) {
        return Ok(());
    }
    let text = format!("Request failed: {}", NotPublic(address.to_string()));
    Err(Error::new(Kind::PermissionDenied, text))
}

/// Looks names up, by the system's resolver.
#[derive(Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    public_only: bool,
}

impl Resolver {
    pub(super) fn new(public_only: bool) -> Self {
        Self { system: GaiResolver::new(), public_only }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    // Not an `io::Error`: one that wraps another error hides it from whoever asks for the source.
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.system.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (host, public_only) = (name.to_string(), self.public_only);
        let looking_up = self.system.call(name);
        Box::pin(async move {
            let mut addresses: Vec<_> = looking_up.await?.collect();
            if public_only {
                addresses.retain(|address| is_public(address.ip()));
                if addresses.is_empty() {
                    return Err(NotPublic(host).into());
                }
            }
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_machines_and_networks_are_told_from_public_ones() {
        for text in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2002:101:101::",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_in_a_url_is_seen() {
        for url in ["http://127.1/", "http://0x7f000001/", "http://[::1]:80/", "http://2130706433/"]
        {
            let error = check(&Url::parse(url).unwrap()).unwrap_err();
            assert_eq!(error.kind(), Kind::PermissionDenied, "{url}");
        }
        assert!(check(&Url::parse("http://localhost/").unwrap()).is_ok(), "judged when looked up");
    }
}
