//! Private keys. Generates keys, reads the forms that other tools write, and writes PKCS#8. This module does not
//! decide where a key is stored, and never asks for a passphrase.

mod form;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use rcgen::{KeyPair, RsaKeySize};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::{der, pbe};
use crate::error::Fault;
use form::{Kind, Lock};

/// The type of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyType {
    /// ECDSA on NIST P-256. Every client accepts such keys, and their handshakes are the cheapest.
    #[default]
    P256,
    /// ECDSA on NIST P-384.
    P384,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

impl KeyType {
    /// Whether generating the key takes noticeable time, because two primes have to be found.
    pub fn is_slow(self) -> bool {
        match self {
            Self::P256 | Self::P384 => false,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => true,
        }
    }

    /// All types, in the order of the help text.
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

/// The passphrase of an encrypted key. It is wiped from memory when dropped, and `Debug` does not print it.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Fails if the passphrase is empty, or contains a character that a prompt cannot read.
    pub fn new(text: Zeroizing<String>) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("the passphrase is empty"));
        }
        if text.contains(['\0', '\r', '\n']) {
            return Err(Fault::new("the passphrase holds a line break or a NUL")
                .hint("no prompt can take it: choose another"));
        }
        Ok(Self(text))
    }

    /// Reads the content of a passphrase file: one line, without its line end.
    pub fn first_line(input: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(input).map_err(|_| Fault::new("the passphrase is not UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        Self::new(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// A private key and its PEM text. Every key is converted to PKCS#8 v1, because OpenSSL reads v2 only since 3.5, and
/// rcgen would write other forms unchanged under the label `PRIVATE KEY`.
pub struct PrivateKey {
    pem: Zeroizing<String>,
    kind: Kind,
    pub(super) pair: KeyPair,
}

impl PrivateKey {
    /// Generates a random key in PKCS#8 (RFC 5958).
    pub fn generate(key_type: KeyType) -> Self {
        let pair = match key_type {
            KeyType::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyType::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
            KeyType::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        let pair = pair.expect("the crypto backend makes every key type");
        let kind = match key_type {
            KeyType::P256 => Kind::P256,
            KeyType::P384 => Kind::P384,
            KeyType::Rsa2048 => Kind::Rsa(2048),
            KeyType::Rsa3072 => Kind::Rsa(3072),
            KeyType::Rsa4096 => Kind::Rsa(4096),
        };
        Self { pem: Zeroizing::new(der::pem("PRIVATE KEY", pair.serialized_der())), kind, pair }
    }

    /// Reads the only private key in a file: PEM or DER; PKCS#8, PKCS#1 or SEC1; encrypted or unencrypted. Other
    /// contents, such as certificates, are ignored.
    pub fn read(bytes: &[u8], passphrase: Option<&Passphrase>) -> Result<Self, Fault> {
        let found = form::find(bytes)?;
        let (plain, text) = match found.lock {
            Lock::None => (found.bytes, found.text),
            Lock::Pkcs8 => (opened(passphrase, |secret| pbe::open(&found.bytes, secret))?, None),
            Lock::Traditional(info) => {
                (opened(passphrase, |secret| pbe::open_traditional(&info, &found.bytes, secret))?, None)
            }
        };
        let (kind, pkcs8) = form::pkcs8(&plain)?;
        let pair =
            KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(&pkcs8[..]), kind.algorithm())
                .map_err(|_| {
                    Fault::new(format!("the numbers of the {kind} key do not fit together"))
                        .hint("the file is damaged: copy it again")
                })?;
        // A key that is already PKCS#8 v1 in PEM keeps its text, with the same line ends.
        let text = text.filter(|_| *plain == *pkcs8);
        let pem = text.unwrap_or_else(|| Zeroizing::new(der::pem("PRIVATE KEY", &pkcs8)));
        Ok(Self { pem, kind, pair })
    }

    /// Reads the only private key in a PEM text; fails if the key is encrypted.
    pub fn from_pem(text: &str) -> Result<Self, Fault> {
        Self::read(text.as_bytes(), None)
    }

    /// Whether the only private key in the file is encrypted. False for a file without a key; `read` reports the
    /// error.
    pub fn is_encrypted(bytes: &[u8]) -> bool {
        form::find(bytes).is_ok_and(|found| !matches!(found.lock, Lock::None))
    }

    /// The unencrypted key as PKCS#8 PEM: the original text if the original was PKCS#8 v1.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A copy of the key.
    pub fn again(&self) -> Self {
        Self::from_pem(&self.pem).expect("it was read or made before")
    }

    /// The key as encrypted PEM.
    pub fn encrypted_pem(&self, passphrase: &Passphrase) -> Zeroizing<String> {
        let sealed = pbe::seal(self.pair.serialized_der(), passphrase.expose());
        Zeroizing::new(der::pem("ENCRYPTED PRIVATE KEY", &sealed))
    }

    /// The type of the key as readable text: `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub fn kind(&self) -> String {
        self.kind.to_string()
    }

    /// The public key as a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    pub fn public_key(&self) -> Vec<u8> {
        use rcgen::PublicKeyData;
        self.pair.subject_public_key_info()
    }

    /// Whether the key is an RSA key. TLS 1.2 clients may encrypt with RSA, so they may require `keyEncipherment`.
    pub fn is_rsa(&self) -> bool {
        matches!(self.kind, Kind::Rsa(_))
    }
}

/// The type of the key in a DER SubjectPublicKeyInfo; fails if clients do not accept it.
pub(super) fn public_kind(public_key: &[u8]) -> Result<String, Fault> {
    form::public(public_key).map(|kind| kind.to_string())
}

fn opened(
    passphrase: Option<&Passphrase>,
    open: impl FnOnce(&str) -> Result<Zeroizing<Vec<u8>>, pbe::Stuck>,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let passphrase =
        passphrase.ok_or_else(|| Fault::new("the key is encrypted, and no passphrase was given"))?;
    let plain = open(passphrase.expose()).map_err(pbe::Stuck::fault)?;
    // About one in 256 wrong passphrases yields a valid padding, but never a complete SEQUENCE.
    let whole = der::only(&plain).is_some_and(|element| element.tag == der::tag::SEQUENCE);
    if whole { Ok(plain) } else { Err(pbe::Stuck::WrongPassphrase.fault()) }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PartialEq for PrivateKey {
    /// Compares the public keys, because two files may encode one key differently.
    fn eq(&self, other: &Self) -> bool {
        self.public_key() == other.public_key()
    }
}
