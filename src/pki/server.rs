//! The certificate chain that a server presents, and the private key of the server certificate.

use zeroize::Zeroizing;

use super::{Certificate, PrivateKey};
use crate::error::Fault;

/// The server's certificate chain (leaf first, no root) and the leaf's key.
#[derive(Debug, PartialEq)]
pub struct ServerIdentity {
    pub(super) chain: Vec<Certificate>,
    key: PrivateKey,
}

impl ServerIdentity {
    /// Combines a chain and a key; fails if they do not belong together. An EC certificate with an RSA key would pass
    /// `nginx -t` and then fail every handshake.
    pub fn of(chain: Vec<Certificate>, key: PrivateKey) -> Result<Self, Fault> {
        match chain.first() {
            None => Err(Fault::new("there is no server certificate")),
            Some(leaf) if leaf.public_key != key.public_key() => {
                Err(Fault::new("the server certificate and the server key do not belong together"))
            }
            Some(_) => Ok(Self { chain, key }),
        }
    }

    /// Reads key and chain from one PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Fault> {
        Self::of(Certificate::chain_from_pem(text)?, PrivateKey::read(text.as_bytes(), None)?)
    }

    /// The key and the chain in one PEM text. Replacing one file then replaces both.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}{}", self.key.pem(), self.chain_pem()))
    }

    /// The chain as PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::pem).collect()
    }

    /// The leaf, followed by the certificates between the leaf and a root that clients trust.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Adds a certificate that some clients need to verify the chain up to their root.
    pub fn append(&mut self, certificate: Certificate) {
        self.chain.push(certificate);
    }

    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> &Certificate {
        self.chain.first().expect("`of` lets no empty chain in")
    }
}
