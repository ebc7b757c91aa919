//! Private keys: made, read from PEM, written as they were read.

use std::fmt;
use std::str::FromStr;

use rcgen::{KeyPair, RsaKeySize};
use zeroize::Zeroizing;

use super::{broken, pem_blocks};
use crate::error::Fault;

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyType {
    /// ECDSA on NIST P-256: every client takes it, and a handshake costs the least.
    #[default]
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
    /// RSA with a modulus of 4096 bits.
    Rsa4096,
}

impl KeyType {
    /// All of them, in the order of the help text.
    pub const ALL: [Self; 5] = [Self::P256, Self::P384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        })
    }
}

impl FromStr for KeyType {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let same = |key_type: &Self| {
            key_type.to_string().replace('-', "") == text.to_ascii_lowercase().replace('-', "")
        };
        Self::ALL.into_iter().find(same).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|known| format!("`{known}`")).collect();
            Fault::new(format!("`{}` is no key type", crate::names::printable(text)))
                .hint(format!("choose one of {}", known.join(", ")))
        })
    }
}

/// A private key with the PEM text it was read from or is written as.
pub struct PrivateKey {
    pem: Zeroizing<String>,
    pub(super) pair: KeyPair,
}

impl PrivateKey {
    /// A new key from the system's random numbers, as PKCS#8 (RFC 5958).
    pub fn generate(key_type: KeyType) -> Self {
        let pair = match key_type {
            KeyType::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyType::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
            KeyType::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        let pair = pair.expect("the crypto backend makes every key type");
        // PEM in Unix line ends wherever it is made.
        Self { pem: Zeroizing::new(pair.serialize_pem().replace('\r', "")), pair }
    }

    /// The one private key in a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Fault> {
        let mut keys = pem_blocks(text).into_iter().filter(|(label, _)| label.ends_with("PRIVATE KEY"));
        let (Some((_, pem)), None) = (keys.next(), keys.next()) else {
            return Err(Fault::new("it does not hold exactly one private key in PEM"));
        };
        let pair = KeyPair::from_pem(pem).map_err(|e| broken("the private key cannot be read", e))?;
        Ok(Self { pem: Zeroizing::new(format!("{pem}\n")), pair })
    }

    /// The key as PEM, the text it was read from.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its public key as a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    pub fn public_key(&self) -> Vec<u8> {
        use rcgen::PublicKeyData;
        self.pair.subject_public_key_info()
    }

    /// Whether it is an RSA key: it can encrypt, so TLS 1.2 clients may want `keyEncipherment`.
    pub fn is_rsa(&self) -> bool {
        self.pair.is_compatible(&rcgen::PKCS_RSA_SHA256)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        *self.pem == *other.pem
    }
}
