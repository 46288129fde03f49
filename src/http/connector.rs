//! How a connection comes about: directly, or through the proxy that the settings or the environment
//! name, with TLS to the server on top, all within one time limit.
//!
//! A proxy of `http://` or `https://` is asked to open a tunnel for `https://` targets and to forward
//! requests for `http://` ones; `socks5://` and its relatives only ever open tunnels. It refuses to keep
//! connections: that is the pool's work.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::reach::Resolver;
use crate::error::{Error, Kind, Result};

type BoxError = Box<dyn StdError + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Which requests go through which proxy.
#[derive(Clone)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    /// `None` asks the environment and the system, `""` is no proxy at all, anything else is the proxy
    /// for every host that `NO_PROXY` does not exempt.
    ///
    /// # Errors
    /// [`Kind::Configuration`] for a text that is no proxy's address.
    pub(super) fn new(setting: Option<&str>) -> Result<Self> {
        let matcher = match setting {
            None => Matcher::from_system(),
            Some("") => Matcher::builder().build(),
            Some(url) => {
                // What cannot be read as a proxy is silently none to the matcher.
                let somewhere = Uri::from_static("http://host.invalid");
                if Matcher::builder().all(url).build().intercept(&somewhere).is_none() {
                    // The URL may hold a password, so it is not repeated.
                    return Err(Error::new(
                        Kind::Configuration,
                        "Request failed: builder error: the proxy is not a URL such as \
                         http://host:3128, https://host:3128 or socks5://host:1080",
                    ));
                }
                let exempt = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy"));
                Matcher::builder().all(url).no(exempt.unwrap_or_default()).build()
            }
        };
        Ok(Self(Arc::new(matcher)))
    }

    /// What a request that a proxy forwards must tell that proxy. A tunnel is told when it is opened.
    pub(super) fn authorization(&self, target: &Uri) -> Option<HeaderValue> {
        if target.scheme_str() != Some("http") {
            return None;
        }
        self.0.intercept(target)?.basic_auth().cloned()
    }
}

/// Connects to the host of a URL.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Dialer>,
    limit: Duration,
}

impl Connector {
    /// # Errors
    /// [`Kind::Configuration`] when the system's certificate store cannot be used.
    pub(super) fn new(proxies: Proxies, limit: Duration, public_only: bool) -> Result<Self> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(public_only));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let to_proxy = tls(&[])?;
        let to_server = tls(&[b"h2", b"http/1.1"])?;
        let dialer =
            Dialer { proxies, to_proxy: HttpsConnector::from((tcp.clone(), to_proxy)), tcp };
        Ok(Self { https: HttpsConnector::from((dialer, to_server)), limit })
    }
}

/// TLS that trusts the system's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` where they are honoured) and,
/// because minimal containers have none, Mozilla's roots.
pub(crate) fn tls(protocols: &[&[u8]]) -> Result<Arc<ClientConfig>> {
    let refused = |reason: rustls::Error| {
        let text = format!("Request failed: builder error: TLS cannot be set up: {reason}");
        Error::new(Kind::Configuration, text)
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(CertificateDer::clone);
    let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(refused)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Dialed>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (connecting, limit) = (self.https.call(target), self.limit);
        Box::pin(async move {
            timeout(limit, connecting).await.unwrap_or_else(|_| Err(ConnectTimeout(limit).into()))
        })
    }
}

/// No connection within the limit.
#[derive(Debug)]
pub(super) struct ConnectTimeout(Duration);

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection within {}s", self.0.as_secs_f64())
    }
}

impl StdError for ConnectTimeout {}

/// Connects to the server, or to the proxy and through it; TLS to the server is not its business.
#[derive(Clone)]
struct Dialer {
    proxies: Proxies,
    tcp: HttpConnector<Resolver>,
    to_proxy: HttpsConnector<HttpConnector<Resolver>>,
}

impl Service<Uri> for Dialer {
    type Response = Dialed;
    type Error = BoxError;
    type Future = Connecting<Dialed>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        if let Some(proxy) = self.proxies.0.intercept(&target) {
            return Box::pin(through(proxy, self.tcp.clone(), self.to_proxy.clone(), target));
        }
        let connecting = self.tcp.call(target);
        Box::pin(async move {
            Ok(Dialed { stream: MaybeHttpsStream::Http(connecting.await?), forwards: false })
        })
    }
}

async fn through(
    proxy: Intercept,
    tcp: HttpConnector<Resolver>,
    mut to_proxy: HttpsConnector<HttpConnector<Resolver>>,
    target: Uri,
) -> Result<Dialed, BoxError> {
    let address = proxy.uri().clone();
    let scheme = address.scheme_str().unwrap_or_default().to_owned();
    let stream = match scheme.as_str() {
        "socks5" | "socks5h" => {
            let mut socks = SocksV5::new(address, tcp).local_dns(scheme == "socks5");
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            MaybeHttpsStream::Http(socks.call(target).await?)
        }
        "socks4" | "socks4a" => {
            let mut socks = SocksV4::new(address, tcp).local_dns(scheme == "socks4");
            MaybeHttpsStream::Http(socks.call(target).await?)
        }
        _ if target.scheme_str() == Some("https") => {
            let mut tunnel = Tunnel::new(address, to_proxy);
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            tunnel.call(target).await?
        }
        _ => {
            let stream = to_proxy.call(address).await?;
            return Ok(Dialed { stream, forwards: true });
        }
    };
    Ok(Dialed { stream, forwards: false })
}

/// A connection to a server or to a proxy.
pub(super) struct Dialed {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// At the other end is a proxy that wants the whole URL in the request line.
    forwards: bool,
}

impl Connection for Dialed {
    fn connected(&self) -> Connected {
        let connected = match &self.stream {
            MaybeHttpsStream::Http(stream) => stream.connected(),
            MaybeHttpsStream::Https(stream) => stream.inner().get_ref().0.connected(),
        };
        connected.proxy(self.forwards)
    }
}

impl Read for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Dialed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_proxy_is_known_and_nonsense_is_not() {
        for url in [
            "http://host:3128",
            "https://host:3128",
            "socks5://u:p@host:1080",
            "socks5h://host:1080",
            "socks4a://host:1080",
            "host:3128",
            "",
        ] {
            assert!(Proxies::new(Some(url)).is_ok(), "{url}");
        }
        for url in ["ftp://host", "http://", "://", "not a proxy"] {
            let error = Proxies::new(Some(url)).err().unwrap();
            assert_eq!(error.kind(), Kind::Configuration, "{url}");
        }
    }

    #[test]
    fn only_forwarded_requests_carry_the_proxy_s_password() {
        let proxies = Proxies::new(Some("http://u:p@host:3128")).unwrap();
        let header = |url: &'static str| proxies.authorization(&Uri::from_static(url));
        assert_eq!(header("http://a.example/").unwrap(), "Basic dTpw");
        assert_eq!(header("https://a.example/"), None);
    }
}
