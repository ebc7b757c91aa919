//! X.509: keys, certificates, certificate authorities, and a strict check of new certificates. This module does not
//! access files, read the clock or print. No other module uses rcgen.

mod at_rest;
mod authority;
mod certificate;
mod constraints;
mod crl;
mod der;
mod file;
mod key;
mod pbe;
mod pkcs12;
mod request;
mod server;
mod sign;
mod subject;
mod verify;

pub use at_rest::KeyAtRest;
pub use authority::{Authority, RootProfile, ServerProfile};
pub use certificate::{Certificate, Validity, date, days_until, when};
pub use constraints::Constraints;
pub use crl::{crl, is_revocation_list};
pub use key::{KeyType, Passphrase, PrivateKey};
pub use pkcs12::pkcs12;
pub use request::Request;
pub use server::ServerIdentity;
use sign::sign;
pub use subject::Subject;
pub use verify::{client_config, covers, leads_to, verify};

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

use crate::error::Fault;

/// The SHA-256 hash of `bytes` (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Encodes bytes in lower-case hexadecimal, two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An array of bytes from the system's random generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers are always there");
    bytes
}

/// The crypto backend for all uses of rustls.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The blocks of a PEM text with their labels (RFC 7468 §2), without the text between them.
pub fn pem_blocks(text: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        let from = &rest[start..];
        let Some((label, _)) = from["-----BEGIN ".len()..].split_once("-----") else {
            break;
        };
        let end = format!("-----END {label}-----");
        let Some(stop) = from.find(&end) else {
            break;
        };
        blocks.push((label, &from[..stop + end.len()]));
        rest = &from[stop + end.len()..];
    }
    blocks
}

fn broken(what: &str, why: impl std::fmt::Display) -> Fault {
    Fault::new(format!("{what}: {why}"))
}

#[cfg(test)]
mod tests;
