//! The registry's API as a client uses it, over TLS. The client trusts only the given roots, so it never sends a
//! password to a server with another certificate.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::{HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{Certificate as TlsCertificate, ClientCert, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, AsSendBody, Body, SendBody};
use zeroize::Zeroizing;

use super::interrupt::{Chunk, Interrupt};
use super::outward::Proxy;
use crate::auth::Password;
use crate::health::{Answer, Step, Target, Trip, location_fault};
use crate::names::Username;
use crate::pki::{Certificate, ServerIdentity, hex, provider, sha256};

/// The maximum time for a request that only reads. A registry on a slow disk needs a second.
const LIMIT: Duration = Duration::from_secs(5);

/// The maximum time for a request that stores data: a chunk takes a while on a slow connection.
const STORE_LIMIT: Duration = Duration::from_secs(30);

/// The maximum time for a list: for a catalog of thousands of repositories, the registry reads as many directories.
const ASK_LIMIT: Duration = Duration::from_secs(60);

/// The maximum number of connections that are kept open, and of threads that use them.
pub(super) const CONNECTIONS: usize = 8;

/// The maximum number of bytes of a body that are read: more than any comparison needs.
const BODY: u64 = 64 << 10;

/// The size of a test chunk, in bytes: more than the megabyte that nginx accepts by default (`client_max_body_size`).
const CHUNK: u64 = 1_500_000;

/// The user who logs in.
pub struct Login<'a> {
    pub user: &'a Username,
    pub password: &'a Password,
}

/// The reason why a server did not answer.
pub(super) struct NoAnswer {
    /// A short text for the user.
    pub why: String,
    /// Whether the server closed the connection. This may happen just when an idle connection is used again.
    pub is_closed: bool,
}

/// A client of one registry.
pub(super) struct Client<'a> {
    agent: Agent,
    target: &'a Target,
    credentials: Option<Zeroizing<String>>,
    interrupt: Interrupt,
}

/// A resolver that always returns the address of the tested server.
#[derive(Debug)]
struct Pinned(SocketAddr);

impl Resolver for Pinned {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

impl<'a> Client<'a> {
    /// Creates a client that connects to `peer`, trusts only `roots`, and presents the certificate `shown`, if given.
    pub(super) fn new(
        target: &'a Target,
        peer: SocketAddr,
        roots: &[&Certificate],
        shown: Option<&ServerIdentity>,
        login: Option<&Login<'_>>,
    ) -> Self {
        let roots = roots.iter().map(|root| TlsCertificate::from_der(root.der()).to_owned()).collect();
        let config = Agent::config_builder()
            .max_idle_connections_per_host(CONNECTIONS)
            .tls_config(trusting(roots, shown.map(identity)))
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // No proxy, because the proxy would answer instead of the registry.
            .proxy(None)
            .user_agent(concat!("regcert/", env!("CARGO_PKG_VERSION")))
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Pinned(peer));
        let credentials = login.map(|login| {
            let pair = Zeroizing::new(format!("{}:{}", login.user, login.password.expose()));
            Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
        });
        Self { agent, target, credentials, interrupt: Interrupt::default() }
    }

    /// Must be called before data may be stored in the registry. From now on, Ctrl-C is only recorded.
    pub(super) fn begin(&mut self) {
        self.interrupt = Interrupt::note();
    }

    /// Must be called when regcert's data is gone from the registry. Ends the run if Ctrl-C was recorded.
    pub(super) fn done(&self) {
        self.interrupt.let_through();
    }

    /// Sends `GET /v2/` without the password.
    pub(super) fn api(&self) -> Result<Answer, String> {
        self.send(Method::GET, &self.target.url("/v2/"), None, &[], SendBody::none())
    }

    /// Sends `GET /v2/` with the password.
    pub(super) fn login(&self) -> Result<Answer, String> {
        self.call(Method::GET, &self.target.url("/v2/"), SendBody::none())
    }

    /// Starts an upload.
    pub(super) fn start(&self, repository: &str) -> Result<Answer, String> {
        let url = self.target.url(&format!("/v2/{repository}/blobs/uploads/"));
        self.call(Method::POST, &url, NOTHING)
    }

    /// Requests the tags of a repository.
    pub(super) fn tags(&self, repository: &str) -> Result<Answer, String> {
        self.get(&self.target.url(&format!("/v2/{repository}/tags/list")))
    }

    /// Starts an upload that should be refused; cancels it if it starts.
    pub(super) fn refused_start(&self, repository: &str) -> Result<Answer, String> {
        let answer = self.start(repository)?;
        if let (202, Some(location)) = (answer.status, answer.header("location")) {
            self.cancel(location);
        }
        Ok(answer)
    }

    /// Sends a chunk of unknown length to an upload, then cancels the upload: nothing is stored.
    pub(super) fn chunk(&self, location: &str) -> Result<Answer, String> {
        let url = self.absolute(location);
        let mut bytes = Chunk { left: CHUNK, interrupt: &self.interrupt };
        let answer = self.call(Method::PATCH, &url, SendBody::from_reader(&mut bytes));
        let after = answer.as_ref().ok().and_then(|answer| answer.header("location"));
        self.cancel(after.unwrap_or(location));
        answer
    }

    /// Cancels an upload, at the registry's own address even if `location` names another host. If this fails, the
    /// registry removes the upload after a while.
    pub(super) fn cancel(&self, location: &str) {
        if let Some(path) = location.find("/v2/") {
            _ = self.call(Method::DELETE, &self.target.url(&location[path..]), SendBody::none());
        }
    }

    /// Stores a constant blob and a constant manifest, fetches both, and deletes both if the registry allows it, even
    /// if a step fails.
    pub(super) fn trip(&self, repository: &str) -> Result<Trip, String> {
        let blob = b"{}".to_vec();
        let digest = |bytes: &[u8]| format!("sha256:{}", hex(&sha256(bytes)));
        let config = format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}}"#,
            digest(&blob),
            blob.len()
        );
        let manifest =
            format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[]}}"#);
        let manifest = manifest.into_bytes();
        let at =
            |kind: &str, bytes: &[u8]| self.target.url(&format!("/v2/{repository}/{kind}/{}", digest(bytes)));
        let (blob_at, manifest_at) = (at("blobs", &blob), at("manifests", &manifest));
        let mut trip = Trip::default();
        let mut step = |what, expected, sent: Option<&Vec<u8>>, answer: Result<Answer, String>| {
            let step = Step { what, expected, answer: answer?, sent: sent.cloned() };
            let done = step.is_done() && !self.interrupt.is_noted();
            trip.steps.push(step);
            Ok::<bool, String>(done)
        };
        let start = self.start(repository)?;
        let location = start.header("location").unwrap_or_default().to_owned();
        if !step("start an upload", 202, None, Ok(start))? {
            self.cancel(&location);
            return Ok(trip);
        }
        if let Some((fault, _)) = location_fault(self.target, &location) {
            self.cancel(&location);
            return Err(fault);
        }
        let location = self.absolute(&location);
        let mark = if location.contains('?') { '&' } else { '?' };
        let put_at = format!("{location}{mark}digest={}", digest(&blob));
        let put = |url: &str, bytes: &[u8]| self.call(Method::PUT, url, bytes);
        let mut went = || -> Result<bool, String> {
            Ok(step("store a blob", 201, None, put(&put_at, &blob))?
                && step("store a manifest", 201, None, put(&manifest_at, &manifest))?
                && step("fetch the manifest", 200, Some(&manifest), self.get(&manifest_at))?
                && step("fetch the blob", 200, Some(&blob), self.get(&blob_at))?)
        };
        let went = went();
        if trip.steps.len() < 2 || trip.steps[1].answer.status != 201 {
            self.cancel(&location);
        } else {
            let statuses = [&manifest_at, &blob_at].map(|url| self.delete(url));
            trip.deleted = statuses.into_iter().find(|status| *status != Some(202)).unwrap_or(Some(202));
        }
        went.map(|_| trip)
    }

    fn delete(&self, url: &str) -> Option<u16> {
        self.call(Method::DELETE, url, SendBody::none()).ok().map(|answer| answer.status)
    }

    fn get(&self, url: &str) -> Result<Answer, String> {
        self.call(Method::GET, url, SendBody::none())
    }

    /// Sends a request with the password.
    fn call(&self, method: Method, url: &str, body: impl AsSendBody) -> Result<Answer, String> {
        // A registry needs the content type only for a manifest, and ignores it for other paths.
        let typed = [
            ("content-type", if url.contains("/manifests/") { MANIFEST } else { BYTES }),
            ("accept", MANIFEST),
        ];
        let typed = if method == Method::GET { &typed[1..] } else { &typed[..1] };
        self.send(method, url, self.credentials.as_ref().map(|text| text.as_str()), typed, body)
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        credentials: Option<&str>,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
    ) -> Result<Answer, String> {
        let stores = method != Method::GET && method != Method::DELETE;
        let limit = if stores { STORE_LIMIT } else { LIMIT };
        let opened = self.open(method, url, credentials, headers, body, limit);
        let mut response = opened.map_err(|e| said(&e, limit))?;
        let mut bytes = Vec::new();
        // A truncated body is noticed when it is compared with the expected body.
        _ = response.body_mut().as_reader().take(BODY).read_to_end(&mut bytes);
        Ok(answer(&response, bytes))
    }

    /// Sends a request with the password and without a body, and reads the whole answer; `None` if the answer is
    /// longer than `most` bytes.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        most: u64,
    ) -> Result<Option<Answer>, NoAnswer> {
        let credentials = self.credentials.as_ref().map(|text| text.as_str());
        let headers = [("accept", accept)];
        let url = self.target.url(path);
        let opened = self.open(method, &url, credentials, &headers, SendBody::none(), ASK_LIMIT);
        let no_answer = |e: ureq::Error| NoAnswer { is_closed: is_closed(&e), why: said(&e, ASK_LIMIT) };
        let mut response = opened.map_err(no_answer)?;
        let mut bytes = Vec::new();
        let read = response.body_mut().as_reader().take(most + 1).read_to_end(&mut bytes);
        let breaks_off = |e: io::Error| NoAnswer {
            why: format!("the answer breaks off: {}", super::route::plain(&e)),
            is_closed: is_closing(&e),
        };
        read.map_err(breaks_off)?;
        Ok((bytes.len() as u64 <= most).then(|| answer(&response, bytes)))
    }

    fn open(
        &self,
        method: Method,
        url: &str,
        credentials: Option<&str>,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
        limit: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(text) = credentials {
            let mut value = HeaderValue::from_str(text).expect("base64 is ASCII");
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        let request = request.body(body)?;
        let request = self.agent.configure_request(request).timeout_global(Some(limit)).build();
        self.agent.run(request)
    }

    /// Resolves `location` against the registry's address (RFC 9110 §10.2.2).
    fn absolute(&self, location: &str) -> String {
        if location.starts_with('/') { self.target.url(location) } else { location.to_owned() }
    }
}

/// The TLS configuration of a client that trusts only `roots`, and presents the certificate `shown`, if given.
fn trusting(roots: Vec<TlsCertificate<'static>>, shown: Option<ClientCert>) -> TlsConfig {
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider())
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(shown)
        .build()
}

/// Sends `GET /v2/` without a password to the registry at `url`, through the proxy if given. Trusts only the
/// certificates in `roots` (PEM).
pub fn ask_upstream(url: &str, roots: &[u8], proxy: Option<&Proxy>) -> Result<Answer, String> {
    let roots = CertificateDer::pem_slice_iter(roots).filter_map(Result::ok);
    let roots = roots.map(|root| TlsCertificate::from_der(&root).to_owned()).collect();
    let proxy = proxy.map(|proxy| ureq::Proxy::new(proxy.expose())).transpose();
    let proxy = proxy.map_err(|_| "the address of the proxy is not a valid one".to_owned())?;
    let config = Agent::config_builder()
        .tls_config(trusting(roots, None))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // The proxy of the registry's container, not of regcert's own environment.
        .proxy(proxy)
        .timeout_global(Some(LIMIT))
        .build();
    let asked = Agent::new_with_config(config).get(format!("{url}/v2/")).call();
    asked.map(|response| answer(&response, Vec::new())).map_err(|e| said(&e, LIMIT))
}

/// Sends an unencrypted HTTP request for `target` to the server at `address`. Does not follow redirects.
pub(super) fn get_plain(address: IpAddr, target: &Target, path: &str) -> Result<Answer, String> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(LIMIT))
        .build();
    let at = Pinned(SocketAddr::new(address, target.port));
    let agent = Agent::with_parts(config, DefaultConnector::default(), at);
    let url = target.url(path).replacen("https://", "http://", 1);
    let asked = agent.get(url).call();
    asked.map(|response| answer(&response, Vec::new())).map_err(|e| said(&e, LIMIT))
}

fn answer(response: &Response<Body>, body: Vec<u8>) -> Answer {
    let named = |(name, value): (&ureq::http::HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = response.headers().iter().map(named).collect();
    Answer { status: response.status().as_u16(), headers, body }
}

/// The client certificate, chain and key to present in the TLS handshake.
fn identity(shown: &ServerIdentity) -> ClientCert {
    let chain: Vec<_> =
        shown.chain().iter().map(|one| TlsCertificate::from_der(one.der()).to_owned()).collect();
    let key = ureq::tls::PrivateKey::from_pem(shown.key().pem().as_bytes()).expect("a key is written as PEM");
    ClientCert::new_with_certs(&chain, key)
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BYTES: &str = "application/octet-stream";

/// An empty body, which HTTP distinguishes from no body.
const NOTHING: &[u8] = &[];

/// Whether the server closed the connection.
fn is_closed(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(e) if is_closing(e))
}

fn is_closing(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
}

/// A short text for the error. It never contains the request.
#[allow(clippy::wildcard_enum_match_arm)] // The library's errors are open-ended by its own word.
fn said(error: &ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} seconds", limit.as_secs()),
        ureq::Error::Io(e) => super::route::plain(e),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_no_closed_connection() {
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe]
        {
            assert!(is_closed(&ureq::Error::Io(kind.into())), "{kind}");
        }
        for error in [
            ureq::Error::Timeout(ureq::Timeout::Global),
            ureq::Error::Io(io::ErrorKind::TimedOut.into()),
            ureq::Error::Io(io::ErrorKind::ConnectionRefused.into()),
            ureq::Error::ConnectionFailed,
        ] {
            assert!(!is_closed(&error), "{error}");
        }
    }
}
