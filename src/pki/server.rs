//! What a server shows and signs with: its certificate chain and the key of its own certificate.

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
    /// An identity out of its two halves, where they belong together. An EC certificate with an RSA key would pass
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

    /// Key and chain out of one PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Fault> {
        Self::of(Certificate::chain_from_pem(text)?, PrivateKey::read(text.as_bytes(), None)?)
    }

    /// Key and chain in one PEM text: replacing the file replaces both.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}{}", self.key.pem(), self.chain_pem()))
    }

    /// The chain alone, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::pem).collect()
    }

    /// Leaf first, then the certificates between it and a root that clients trust.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Serves one more certificate, for clients that find their root only through it.
    pub fn append(&mut self, certificate: Certificate) {
        self.chain.push(certificate);
    }

    /// The key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> &Certificate {
        self.chain.first().expect("`of` lets no empty chain in")
    }
}
