//! A private key as stored on the disk, encrypted or not, and the decrypted key in memory if it is unlocked.

use std::fmt;

use zeroize::Zeroizing;

use super::{Passphrase, PrivateKey};
use crate::error::Fault;

/// A private key that is stored encrypted or unencrypted, and is locked or unlocked in memory.
pub struct KeyAtRest {
    stored: Zeroizing<String>,
    open: Option<PrivateKey>,
    /// The passphrase of the stored text, if it is known.
    passphrase: Option<Passphrase>,
}

impl KeyAtRest {
    /// Creates a key that is stored unencrypted.
    pub fn clear(key: PrivateKey) -> Self {
        Self { stored: Zeroizing::new(key.pem().to_owned()), open: Some(key), passphrase: None }
    }

    /// Reads a stored key. An encrypted key is locked until `unlock` is called.
    pub fn from_pem(text: &str) -> Result<Self, Fault> {
        let stored = Zeroizing::new(text.to_owned());
        if PrivateKey::is_encrypted(text.as_bytes()) {
            return Ok(Self { stored, open: None, passphrase: None });
        }
        Ok(Self { open: Some(PrivateKey::read(text.as_bytes(), None)?), stored, passphrase: None })
    }

    /// Reads a key that the user supplies, in any form. An encrypted key is stored encrypted with the same passphrase.
    pub fn read(bytes: &[u8], passphrase: Option<&Passphrase>) -> Result<Self, Fault> {
        let mut key = Self::clear(PrivateKey::read(bytes, passphrase)?);
        if let (true, Some(passphrase)) = (PrivateKey::is_encrypted(bytes), passphrase) {
            key.encrypt(passphrase)?;
        }
        Ok(key)
    }

    /// The PEM text as stored on disk, encrypted or not.
    pub fn stored(&self) -> &str {
        &self.stored
    }

    /// A copy of the key.
    pub fn again(&self) -> Self {
        let open = self.open.as_ref().map(PrivateKey::again);
        Self { stored: self.stored.clone(), open, passphrase: self.passphrase.clone() }
    }

    /// Whether the stored text is encrypted.
    pub fn is_encrypted(&self) -> bool {
        PrivateKey::is_encrypted(self.stored.as_bytes())
    }

    /// Whether the key is unlocked, so that it can sign.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns the decrypted key; fails if the key is locked.
    pub fn open(&self) -> Result<&PrivateKey, Fault> {
        self.open.as_ref().ok_or_else(|| {
            Fault::new("the authority's key is encrypted, and its passphrase was not given")
                .hint("run this on a terminal, or name a file with `--ca-passphrase-file`")
        })
    }

    /// Decrypts a locked key in memory; the stored text stays encrypted.
    pub fn unlock(&mut self, passphrase: &Passphrase) -> Result<(), Fault> {
        self.open = Some(PrivateKey::read(self.stored.as_bytes(), Some(passphrase))?);
        self.passphrase = Some(passphrase.clone());
        Ok(())
    }

    /// Encrypts the stored text with `passphrase`; fails if the key is locked.
    pub fn encrypt(&mut self, passphrase: &Passphrase) -> Result<(), Fault> {
        self.stored = self.open()?.encrypted_pem(passphrase);
        self.passphrase = Some(passphrase.clone());
        Ok(())
    }

    /// Encrypts the stored text with the passphrase of `other`; changes nothing if `other` has no passphrase.
    pub fn store_like(&mut self, other: &Self) -> Result<(), Fault> {
        other.passphrase.as_ref().map_or(Ok(()), |passphrase| self.encrypt(passphrase))
    }
}

impl fmt::Debug for KeyAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_encrypted() { "KeyAtRest(encrypted)" } else { "KeyAtRest(clear)" })
    }
}

impl PartialEq for KeyAtRest {
    fn eq(&self, other: &Self) -> bool {
        *self.stored == *other.stored
    }
}
