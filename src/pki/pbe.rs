//! Encryption with a passphrase: PBES2 (RFC 8018), the 3DES scheme of PKCS#12 (RFC 7292 appendix B), and the scheme of
//! OpenSSL's own PEM. This module encrypts and decrypts bytes; it does not interpret keys.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::der::{self, Elements, tag};
use super::random;
use crate::error::Fault;

/// The number of rounds that the OWASP Password Storage Cheat Sheet recommends for PBKDF2-HMAC-SHA256. Each guess at a
/// passphrase then takes half a second of CPU time.
const ROUNDS: u32 = 600_000;

/// The maximum number of rounds: no real file requires more, and a file must not keep regcert busy for hours.
const ROUNDS_MAX: u64 = 10_000_000;

/// The maximum memory for scrypt, in bytes: for N = 2^20 and r = 8, the largest parameters in the scrypt paper.
const SCRYPT_MEMORY_MAX: u64 = 1 << 30;

/// The object identifier of PBES2 (RFC 8018 appendix A.4).
const PBES2: &str = "1.2.840.113549.1.5.13";
/// The object identifier of PBKDF2 (RFC 8018 appendix A.2).
const PBKDF2: &str = "1.2.840.113549.1.5.12";
/// The object identifier of scrypt (RFC 7914 §7).
const SCRYPT: &str = "1.3.6.1.4.1.11591.4.11";
/// The object identifier of HMAC-SHA256 (RFC 8018 appendix B.1.2).
const HMAC_SHA256: &str = "1.2.840.113549.2.9";
/// The object identifier of AES-256-CBC (RFC 3565 §4.1).
const AES_256_CBC: &str = "2.16.840.1.101.3.4.1.42";
/// The object identifier of pbeWithSHAAnd3-KeyTripleDES-CBC (RFC 7292 appendix C).
const PKCS12_3DES: &str = "1.2.840.113549.1.12.1.3";

/// The reason why encrypted bytes cannot be decrypted.
pub(super) enum Stuck {
    /// The bytes are not an EncryptedPrivateKeyInfo, or have impossible values.
    Malformed,
    /// The scheme, derivation or cipher with this object identifier or name is not supported.
    Unknown(String),
    /// The derivation would take hours or all memory.
    TooCostly,
    /// The padding is wrong, nearly always because the passphrase is wrong.
    WrongPassphrase,
}

type Opened = Result<Zeroizing<Vec<u8>>, Stuck>;

/// Decrypts an EncryptedPrivateKeyInfo (RFC 5958 §3).
pub(super) fn open(sealed: &[u8], passphrase: &str) -> Opened {
    let mut fields = der::only(sealed).map(|whole| Elements::of(whole.content)).ok_or(Stuck::Malformed)?;
    let mut scheme = fields.sequence().ok_or(Stuck::Malformed)?;
    let data = fields.content(tag::OCTET_STRING).ok_or(Stuck::Malformed)?;
    match scheme.oid().ok_or(Stuck::Malformed)?.as_str() {
        PBES2 => open_pbes2(scheme.sequence().ok_or(Stuck::Malformed)?, data, passphrase),
        PKCS12_3DES => {
            let mut params = scheme.sequence().ok_or(Stuck::Malformed)?;
            let salt = params.content(tag::OCTET_STRING).ok_or(Stuck::Malformed)?;
            let rounds = rounds(params.number())?;
            let secret = bmp(passphrase);
            let key = pkcs12_kdf(Purpose::Key, &secret, salt, rounds, 24);
            Cipher::TripleDes.decrypt(&key, &pkcs12_kdf(Purpose::Iv, &secret, salt, rounds, 8), data)
        }
        other => Err(Stuck::Unknown(other.to_owned())),
    }
}

fn open_pbes2(mut params: Elements<'_>, data: &[u8], passphrase: &str) -> Opened {
    let mut derivation = params.sequence().ok_or(Stuck::Malformed)?;
    let mut scheme = params.sequence().ok_or(Stuck::Malformed)?;
    let cipher = match scheme.oid().ok_or(Stuck::Malformed)?.as_str() {
        "2.16.840.1.101.3.4.1.2" => Cipher::Aes128,
        "2.16.840.1.101.3.4.1.22" => Cipher::Aes192,
        AES_256_CBC => Cipher::Aes256,
        "1.2.840.113549.3.7" => Cipher::TripleDes,
        other => return Err(Stuck::Unknown(other.to_owned())),
    };
    let iv = scheme.content(tag::OCTET_STRING).ok_or(Stuck::Malformed)?;
    let mut key = Zeroizing::new(vec![0; cipher.key_length()]);
    match derivation.oid().ok_or(Stuck::Malformed)?.as_str() {
        PBKDF2 => derive_pbkdf2(derivation.sequence().ok_or(Stuck::Malformed)?, passphrase, &mut key)?,
        SCRYPT => derive_scrypt(derivation.sequence().ok_or(Stuck::Malformed)?, passphrase, &mut key)?,
        other => return Err(Stuck::Unknown(other.to_owned())),
    }
    cipher.decrypt(&key, iv, data)
}

fn derive_pbkdf2(mut params: Elements<'_>, passphrase: &str, key: &mut [u8]) -> Result<(), Stuck> {
    let salt = params.content(tag::OCTET_STRING).ok_or(Stuck::Malformed)?;
    let rounds = rounds(params.number())?;
    // The optional key length is ignored, because the cipher determines the length. The default hash is SHA-1 (RFC
    // 8018 appendix A.2).
    let mut hash = None;
    for field in params.filter(|field| field.tag == tag::SEQUENCE) {
        hash = Some(Elements::of(field.content).oid().ok_or(Stuck::Malformed)?);
    }
    let algorithm = match hash.as_deref() {
        None | Some("1.2.840.113549.2.7") => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(HMAC_SHA256) => pbkdf2::PBKDF2_HMAC_SHA256,
        Some("1.2.840.113549.2.10") => pbkdf2::PBKDF2_HMAC_SHA384,
        Some("1.2.840.113549.2.11") => pbkdf2::PBKDF2_HMAC_SHA512,
        Some(other) => return Err(Stuck::Unknown(other.to_owned())),
    };
    pbkdf2::derive(algorithm, rounds, salt, passphrase.as_bytes(), key);
    Ok(())
}

fn derive_scrypt(mut params: Elements<'_>, passphrase: &str, key: &mut [u8]) -> Result<(), Stuck> {
    let salt = params.content(tag::OCTET_STRING).ok_or(Stuck::Malformed)?;
    let [n, r, p] = [params.number(), params.number(), params.number()];
    let (Some(n), Some(r), Some(p)) = (n, r, p) else {
        return Err(Stuck::Malformed);
    };
    if !n.is_power_of_two() || n == 1 || r == 0 || p == 0 {
        return Err(Stuck::Malformed);
    }
    // RFC 7914 §2: scrypt stores N blocks of 128 * r bytes, p times.
    if n.saturating_mul(r).saturating_mul(128).saturating_mul(p) > SCRYPT_MEMORY_MAX {
        return Err(Stuck::TooCostly);
    }
    let small = |value: u64| u32::try_from(value).map_err(|_| Stuck::Malformed);
    let log_n = u8::try_from(n.trailing_zeros()).expect("64 bits have at most 63 zeros");
    let params = scrypt::Params::new(log_n, small(r)?, small(p)?).map_err(|_| Stuck::Malformed)?;
    scrypt::scrypt(passphrase.as_bytes(), salt, &params, key).map_err(|_| Stuck::Malformed)
}

fn rounds(number: Option<u64>) -> Result<NonZeroU32, Stuck> {
    let number = number.ok_or(Stuck::Malformed)?;
    if number > ROUNDS_MAX {
        return Err(Stuck::TooCostly);
    }
    u32::try_from(number).ok().and_then(NonZeroU32::new).ok_or(Stuck::Malformed)
}

/// Decrypts the body of a PEM block with `Proc-Type: 4,ENCRYPTED`, which OpenSSL wrote until 1.0 and step still
/// writes. `info` is the `DEK-Info` header of the block: the cipher, and the initialization vector in hexadecimal.
pub(super) fn open_traditional(info: &str, data: &[u8], passphrase: &str) -> Opened {
    let (name, iv) = info.split_once(',').ok_or(Stuck::Malformed)?;
    let cipher = match name.trim() {
        "AES-128-CBC" => Cipher::Aes128,
        "AES-192-CBC" => Cipher::Aes192,
        "AES-256-CBC" => Cipher::Aes256,
        "DES-EDE3-CBC" => Cipher::TripleDes,
        other => return Err(Stuck::Unknown(crate::names::printable(other))),
    };
    let iv = unhex(iv.trim()).filter(|iv| iv.len() >= 8).ok_or(Stuck::Malformed)?;
    // This is OpenSSL's EVP_BytesToKey with MD5 and one round. The first eight bytes of the vector are the salt.
    let mut key = Zeroizing::new(Vec::new());
    let mut last = Zeroizing::new(Vec::new());
    while key.len() < cipher.key_length() {
        let hash = Md5::new().chain_update(&*last).chain_update(passphrase).chain_update(&iv[..8]).finalize();
        *last = hash.to_vec();
        key.extend_from_slice(&last);
    }
    cipher.decrypt(&key[..cipher.key_length()], &iv, data)
}

/// Decodes pairs of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()
}

/// Encrypts a private key as EncryptedPrivateKeyInfo: PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC. Most programs can
/// read this form. scrypt would make guesses more expensive, but fewer programs support it.
pub(super) fn seal(plain: &[u8], passphrase: &str) -> Vec<u8> {
    let (salt, iv) = (random::<16>(), random::<16>());
    let mut key = Zeroizing::new(vec![0; Cipher::Aes256.key_length()]);
    let rounds = NonZeroU32::new(ROUNDS).expect("not zero");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, passphrase.as_bytes(), &mut key);
    let hash = der::sequence(&[&der::oid(HMAC_SHA256), &der::element(tag::NULL, &[])]);
    let salt = der::element(tag::OCTET_STRING, &[&salt]);
    let derivation = der::sequence(&[&salt, &der::number(ROUNDS.into()), &hash]);
    let derivation = der::sequence(&[&der::oid(PBKDF2), &derivation]);
    let cipher = der::sequence(&[&der::oid(AES_256_CBC), &der::element(tag::OCTET_STRING, &[&iv])]);
    let scheme = der::sequence(&[&der::oid(PBES2), &der::sequence(&[&derivation, &cipher])]);
    let data = Cipher::Aes256.encrypt(&key, &iv, plain);
    der::sequence(&[&scheme, &der::element(tag::OCTET_STRING, &[&data])])
}

/// Encrypts with the 3DES scheme of PKCS#12; returns the AlgorithmIdentifier and the encrypted bytes.
pub(super) fn seal_pkcs12(plain: &[u8], passphrase: &str, rounds: NonZeroU32) -> (Vec<u8>, Vec<u8>) {
    let salt = random::<8>();
    let secret = bmp(passphrase);
    let key = pkcs12_kdf(Purpose::Key, &secret, &salt, rounds, 24);
    let iv = pkcs12_kdf(Purpose::Iv, &secret, &salt, rounds, 8);
    let salt = der::element(tag::OCTET_STRING, &[&salt]);
    let params = der::sequence(&[&salt, &der::number(rounds.get().into())]);
    (der::sequence(&[&der::oid(PKCS12_3DES), &params]), Cipher::TripleDes.encrypt(&key, &iv, plain))
}

/// The purpose of a secret derived for PKCS#12 (RFC 7292 appendix B.3).
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// Encodes a passphrase for PKCS#12: UTF-16, big-endian, with a final zero (RFC 7292 appendix B.1).
pub(super) fn bmp(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect())
}

/// Derives a key as in RFC 7292 appendix B.2, with SHA-1.
pub(super) fn pkcs12_kdf(
    purpose: Purpose,
    secret: &[u8],
    salt: &[u8],
    rounds: NonZeroU32,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    // SHA-1 works on blocks of 64 bytes.
    const BLOCK: usize = 64;
    let filled = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().copied().cycle().take(bytes.len().div_ceil(BLOCK) * BLOCK).collect()
    };
    let mut input = Zeroizing::new([filled(salt), filled(secret)].concat());
    let mut out = Zeroizing::new(Vec::with_capacity(length + 20));
    while out.len() < length {
        let start = Zeroizing::new([&[purpose as u8; BLOCK][..], &input].concat());
        let mut hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &start);
        for _ in 1..rounds.get() {
            hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, hash.as_ref());
        }
        out.extend_from_slice(hash.as_ref());
        // Adds one and the hash, repeated to the length of a block, to every block of the input.
        let addend = [hash.as_ref(); 4].concat();
        for block in input.chunks_mut(BLOCK) {
            let mut carry = 1;
            for (byte, add) in block.iter_mut().zip(&addend[..BLOCK]).rev() {
                carry += u16::from(*byte) + u16::from(*add);
                [_, *byte] = carry.to_be_bytes();
                carry >>= 8;
            }
        }
    }
    out.truncate(length);
    out
}

#[derive(Clone, Copy)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
}

impl Cipher {
    // 3DES is used only to decrypt existing files, and to encrypt files that macOS must be able to open.
    #[allow(deprecated)]
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128 => &AES_128,
            Self::Aes192 => &AES_192,
            Self::Aes256 => &AES_256,
            Self::TripleDes => &aws_lc_rs::cipher::DES_EDE3_FOR_LEGACY_USE_ONLY,
        }
    }

    fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
        }
    }

    fn decrypt(self, key: &[u8], iv: &[u8], data: &[u8]) -> Opened {
        let context = match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => {
                DecryptionContext::Iv128(FixedLength::try_from(iv).map_err(|_| Stuck::Malformed)?)
            }
            Self::TripleDes => {
                DecryptionContext::Iv64(FixedLength::try_from(iv).map_err(|_| Stuck::Malformed)?)
            }
        };
        let key = UnboundCipherKey::new(self.algorithm(), key).expect("a key of the cipher's length");
        let mut data = Zeroizing::new(data.to_vec());
        // A weak 3DES key is an error here. The chance that a passphrase gives a weak key is only 2^-50.
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| Stuck::WrongPassphrase)?;
        let plain = key.decrypt(&mut data, context).map_err(|_| Stuck::WrongPassphrase)?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    fn encrypt(self, key: &[u8], iv: &[u8], plain: &[u8]) -> Vec<u8> {
        let context = match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => {
                EncryptionContext::Iv128(iv.try_into().expect("AES has blocks of 16 bytes"))
            }
            Self::TripleDes => EncryptionContext::Iv64(iv.try_into().expect("3DES has blocks of 8 bytes")),
        };
        let key = UnboundCipherKey::new(self.algorithm(), key).expect("a key of the cipher's length");
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).expect("a derived key is never a weak one");
        // The capacity includes the padding: if the buffer grew, a copy of the secret would stay in memory.
        let mut data = Vec::with_capacity(plain.len() + 16);
        data.extend_from_slice(plain);
        key.less_safe_encrypt(&mut data, context).expect("CBC encrypts any length");
        data
    }
}

impl Stuck {
    /// Converts the reason to an error for the user.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::Malformed => {
                Fault::new("the encrypted key is damaged").hint("copy the whole file again")
            }
            Self::Unknown(name) => Fault::new(format!("the key is encrypted with `{name}`, which regcert does not read"))
                .hint("convert it: `openssl pkcs8 -topk8 -v2 aes-256-cbc -provider default -provider legacy -in KEY -out key.pem`"),
            Self::TooCostly => Fault::new("opening the key would take more rounds or memory than any sound file asks for")
                .hint("convert it: `openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out key.pem`"),
            Self::WrongPassphrase => Fault::new("the passphrase does not open the key")
                .hint("check the passphrase, and that the file is whole"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::hex;
    use super::*;

    /// Test vector: `openssl kdf -keylen 24 -kdfopt digest:SHA1 -kdfopt hexpass:… -kdfopt hexsalt:… -kdfopt iter:1000
    /// -kdfopt id:1 PKCS12KDF` on OpenSSL 3.0.
    #[test]
    fn pkcs12_derivation_agrees_with_openssl() {
        let key = pkcs12_kdf(
            Purpose::Key,
            &bmp("smeg"),
            &[1, 2, 3, 4, 5, 6, 7, 8],
            NonZeroU32::new(1000).unwrap(),
            24,
        );
        assert_eq!(hex(&key), "6effa9b609faefb4ce02499705872165fd92571bc7deade2");
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_alone() {
        let sealed = seal(b"plain", "süß");
        assert_eq!(open(&sealed, "süß").ok().unwrap().as_slice(), b"plain");
        assert!(matches!(open(&sealed, "suss"), Err(Stuck::WrongPassphrase)));
    }
}
