//! TLS handshakes that accept any certificate and return it to be checked later. No secret is ever sent over such a
//! connection.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::route::{Timed, plain, say_http};
use crate::health::Refusal;
use crate::names::Host;
use crate::pki::{Certificate, provider, random};

/// The time limit for a handshake. A handshake needs two round trips and one signature.
const LIMIT: Duration = Duration::from_secs(4);

/// A certificate verifier that accepts every chain and records it.
#[derive(Debug)]
struct Recorder {
    chain: Mutex<Vec<CertificateDer<'static>>>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(others).map(|der| der.clone().into_owned()).collect();
        *self.chain.lock().expect("no thread panics with it") = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// The chain that the server presents to a client that connects to `host`.
pub(super) fn chain(address: SocketAddr, host: &Host) -> Result<Vec<Certificate>, Refusal> {
    let schemes = provider().signature_verification_algorithms.supported_schemes();
    let recorder = Arc::new(Recorder { chain: Mutex::default(), schemes });
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the crypto backend has TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    let other = |why: &dyn std::fmt::Display| Refusal::Other(why.to_string());
    let name = ServerName::try_from(host.to_string()).map_err(|e| other(&e))?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|e| other(&e))?;
    let mut socket = Timed::open(address, LIMIT).map_err(|e| other(&plain(&e)))?;
    while tls.is_handshaking() {
        match tls.complete_io(&mut socket) {
            Ok(_) => {}
            Err(e) => return Err(refusal(&e, address)),
        }
    }
    tls.send_close_notify();
    _ = tls.write_tls(&mut socket);
    let chain = recorder.chain.lock().expect("no thread panics with it");
    let read = |der: &CertificateDer<'_>| Certificate::read(der).map_err(|fault| other(&fault.message));
    let read: Result<Vec<_>, _> = chain.iter().map(read).collect();
    Ok(read?.into_iter().flatten().collect())
}

/// A source of client certificates that presents none, and records whether the server asks for one.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    // rustls calls `resolve` only if this function returns true.
    fn has_certs(&self) -> bool {
        true
    }
}

/// Whether the server asks for a client certificate; `None` if the handshake fails without such a request.
pub(super) fn asks_for_certificate(address: SocketAddr, host: &Host) -> Option<bool> {
    let schemes = provider().signature_verification_algorithms.supported_schemes();
    let asked = Arc::new(Asked::default());
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the crypto backend has TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Recorder { chain: Mutex::default(), schemes }))
        .with_client_cert_resolver(asked.clone());
    let mut tls =
        ClientConnection::new(Arc::new(config), ServerName::try_from(host.to_string()).ok()?).ok()?;
    let mut socket = Timed::open(address, LIMIT).ok()?;
    let mut done = true;
    while done && tls.is_handshaking() {
        done = tls.complete_io(&mut socket).is_ok();
    }
    let asked = asked.0.load(Ordering::Relaxed);
    (done || asked).then_some(asked)
}

fn refusal(error: &std::io::Error, address: SocketAddr) -> Refusal {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)) = tls {
        return Refusal::Version;
    }
    if let Some(rustls::Error::AlertReceived(alert)) = tls {
        return Refusal::Alert(spaced(alert.as_str().unwrap_or("UnknownAlert")));
    }
    // Some variants of `ErrorKind` are unstable, so a `match` cannot list all of them.
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        return Refusal::Silent;
    }
    let cut = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    let cut = cut.contains(&error.kind());
    if cut || matches!(tls, Some(rustls::Error::InvalidMessage(_))) {
        return without_tls(&say_http(address, LIMIT).unwrap_or_default(), cut);
    }
    Refusal::Other(tls.map_or_else(|| plain(error), ToString::to_string))
}

/// The reason for a failed handshake, from the answer to a request without TLS. If `cut`, the server closed the
/// connection during the handshake.
fn without_tls(said: &str, cut: bool) -> Refusal {
    // nginx and Go answer a request without TLS on their TLS port with a text that contains `HTTPS`.
    match (said.starts_with("HTTP/"), said.contains("HTTPS"), cut) {
        (true, false, _) => Refusal::PlainHttp,
        (false, _, true) if said.is_empty() || said.starts_with(['\u{15}', '\u{16}']) => Refusal::Closed,
        (true, true, true) => Refusal::Closed,
        (true, true, false) | (false, ..) => Refusal::NotTls,
    }
}

/// The name of an alert as separate words: `HandshakeFailure` becomes `handshake failure`.
fn spaced(name: &str) -> String {
    let letter =
        |c: char| if c.is_ascii_uppercase() { format!(" {}", c.to_ascii_lowercase()) } else { c.to_string() };
    name.chars().map(letter).collect::<String>().trim().to_owned()
}

/// The versions of TLS below 1.2 that the server accepts.
pub(super) fn old_versions(address: SocketAddr, host: &Host) -> Vec<&'static str> {
    let versions = [("TLS 1.0", 1_u8), ("TLS 1.1", 2)];
    std::thread::scope(|scope| {
        let tries = versions.map(|(name, minor)| (name, scope.spawn(move || accepts(address, host, minor))));
        tries.into_iter().filter_map(|(name, accepted)| accepted.join().ok()?.then_some(name)).collect()
    })
}

/// Whether the server answers with a server hello of exactly this version (RFC 2246 §7.4.1.3, RFC 4346: TLS 1.0 has
/// the number 3.1, TLS 1.1 the number 3.2).
fn accepts(address: SocketAddr, host: &Host, minor: u8) -> bool {
    let Ok(mut socket) = Timed::open(address, LIMIT) else {
        return false;
    };
    let mut head = [0; 11];
    socket.write_all(&hello(host, minor)).is_ok()
        && socket.read_exact(&mut head).is_ok()
        // Record type 22 is a handshake, message type 2 a server hello. The last two bytes are the version.
        && head[0] == 22 && head[5] == 2 && head[9..] == [3, minor]
}

/// A client hello of TLS 1.0 or 1.1. rustls does not support these versions.
fn hello(host: &Host, minor: u8) -> Vec<u8> {
    // Elliptic curves or RSA, with AES and SHA-1: every server of that time supports some of these (RFC 4492, RFC
    // 3268).
    let suites = [0xc0, 0x09, 0xc0, 0x0a, 0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 0x00, 0x35];
    let mut extensions = Vec::new();
    if let Host::Dns(name) = host {
        let entry = [&[0], &sized(name.as_str().as_bytes())[..]].concat();
        extensions.extend([&[0, 0], &sized(&sized(&entry))[..]].concat());
    }
    // The extensions that list the groups P-256, P-384 and X25519, and the uncompressed point format.
    extensions.extend([0, 10, 0, 8, 0, 6, 0, 23, 0, 24, 0, 29, 0, 11, 0, 2, 1, 0]);
    let body =
        [&[3, minor][..], &random::<32>(), &[0], &sized(&suites), &[1, 0], &sized(&extensions)].concat();
    // The length of a handshake message has three bytes. The first byte of the length is zero here.
    let handshake = [&[1, 0], &sized(&body)[..]].concat();
    [&[22, 3, 1], &sized(&handshake)[..]].concat()
}

/// Prefixes `bytes` with their length, in two bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a hello is short");
    [&length.to_be_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_plainly_tells_who_speaks_there() {
        for (said, cut, expected) in [
            ("HTTP/1.1 400 Bad Request\r\n", false, Refusal::PlainHttp),
            ("HTTP/1.1 400 Bad Request\r\n", true, Refusal::PlainHttp),
            ("HTTP/1.1 400 …The plain HTTP request was sent to HTTPS port", true, Refusal::Closed),
            ("SSH-2.0-OpenSSH_9.2\r\n", false, Refusal::NotTls),
            ("SSH-2.0-OpenSSH_9.2\r\n", true, Refusal::NotTls),
            ("", true, Refusal::Closed),
            ("\u{15}\u{3}\u{1}", true, Refusal::Closed),
        ] {
            assert_eq!(without_tls(said, cut), expected, "{said}");
        }
    }
}
