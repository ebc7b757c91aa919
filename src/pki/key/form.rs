//! The forms of a private key. Finds the key and the kind of encryption in a file, and converts unencrypted keys to
//! PKCS#8 v1 (RFC 5208). This module never decrypts.

use std::fmt;

use rcgen::SignatureAlgorithm;
use zeroize::Zeroizing;

use super::super::der::{self, Elements, tag};
use super::super::file::{Content, Shape, blocks, content, decode, instead, shape};
use crate::error::Fault;

/// The expected content of a file, as messages name it.
const WANTED: &str = "private key";

/// The RSA sizes that clients accept (CA/Browser Forum Baseline Requirements §6.1.5) and the crypto backend supports.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The type of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    P384,
    P521,
    Ed25519,
    /// RSA; the value is the length of the modulus in bits.
    Rsa(usize),
}

impl Kind {
    /// The signature algorithm, with the hash that matches the strength of the key.
    pub(super) fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
        }
    }
}

/// The encryption of a key.
pub(super) enum Lock {
    None,
    /// PKCS#8 encryption: the key is an EncryptedPrivateKeyInfo (RFC 5958 §3).
    Pkcs8,
    /// OpenSSL's own encryption of PEM; the value is the `DEK-Info` header.
    Traditional(String),
}

/// The private key in a file.
pub(super) struct Found {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) lock: Lock,
    /// The original block of a PKCS#8 key in PEM; `None` for other forms.
    pub(super) text: Option<Zeroizing<String>>,
}

/// Finds the only private key in a file.
pub(super) fn find(bytes: &[u8]) -> Result<Found, Fault> {
    let whole = match content(bytes, WANTED)? {
        Content::Pem(text) => return find_pem(&text),
        Content::Der(whole) => whole,
    };
    let lock = match shape(whole) {
        Shape::Encrypted => Lock::Pkcs8,
        Shape::Pkcs8 | Shape::Pkcs1 | Shape::Sec1 => Lock::None,
        Shape::Other(label) => return Err(instead(label, WANTED)),
        Shape::Unknown => return Err(Fault::new("it is DER, but no private key")),
    };
    Ok(Found { bytes: Zeroizing::new(bytes.to_vec()), lock, text: None })
}

fn find_pem(text: &str) -> Result<Found, Fault> {
    let blocks = blocks(text)?;
    let mut keys = blocks.iter().filter(|(label, _)| label.ends_with("PRIVATE KEY"));
    let (label, block) = match (keys.next(), keys.count()) {
        (Some(key), 0) => *key,
        (Some(_), more) => {
            return Err(Fault::new(format!("it holds {} private keys", more + 1))
                .hint("keep the one that is meant in a file of its own"));
        }
        (None, _) => {
            let what = blocks.iter().map(|(label, _)| *label).find(|label| *label != "EC PARAMETERS");
            return Err(instead(what.unwrap_or("EC PARAMETERS"), WANTED));
        }
    };
    match label {
        "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {}
        other => return Err(instead(other, WANTED)),
    }
    let pem = decode(label, block)?;
    // Some tools write an encrypted key under the label of an unencrypted one.
    let sealed = der::only(pem.contents()).is_some_and(|whole| matches!(shape(whole), Shape::Encrypted));
    let lock = match pem.headers().get("DEK-Info") {
        Some(info) => Lock::Traditional(info.to_owned()),
        None if sealed || label == "ENCRYPTED PRIVATE KEY" => Lock::Pkcs8,
        None => Lock::None,
    };
    let text = (label == "PRIVATE KEY").then(|| Zeroizing::new(format!("{block}\n")));
    let mut bytes = Zeroizing::new(pem.into_contents());
    if label == "EC PRIVATE KEY" && matches!(lock, Lock::None) {
        let curve = blocks.iter().find(|(label, _)| *label == "EC PARAMETERS");
        bytes = with_curve(bytes, curve.and_then(|(_, block)| pem::parse(block).ok()));
    }
    Ok(Found { bytes, lock, text })
}

/// Adds the curve from a separate PEM block to a SEC1 key that does not name its curve. `openssl ecparam -genkey`
/// names the curve in both places; some tools name it only in the block.
fn with_curve(sec1: Zeroizing<Vec<u8>>, block: Option<pem::Pem>) -> Zeroizing<Vec<u8>> {
    let fields: Vec<_> = der::only(&sec1).into_iter().flat_map(|whole| Elements::of(whole.content)).collect();
    let (Some(block), [version, octets, rest @ ..]) = (block, &fields[..]) else {
        return sec1;
    };
    if rest.iter().any(|field| field.tag == tag::CONTEXT_0) {
        return sec1;
    }
    let curve = der::element(tag::CONTEXT_0, &[block.contents()]);
    let rest: Vec<_> = rest.iter().flat_map(|field| field.raw).copied().collect();
    Zeroizing::new(der::sequence(&[version.raw, octets.raw, &curve, &rest]))
}

/// Converts an unencrypted key to PKCS#8 v1, and returns its type.
pub(super) fn pkcs8(plain: &[u8]) -> Result<(Kind, Zeroizing<Vec<u8>>), Fault> {
    let damaged = || Fault::new("the private key is damaged").hint("copy the whole file again");
    let whole = der::only(plain).filter(|whole| whole.tag == tag::SEQUENCE).ok_or_else(damaged)?;
    let mut fields = Elements::of(whole.content);
    let wrapped = |kind: Kind, algorithm: &[u8], inner: &[u8]| {
        let version = der::number(0);
        let inner = Zeroizing::new(der::element(tag::OCTET_STRING, &[inner]));
        (kind, Zeroizing::new(der::sequence(&[&version, algorithm, &inner])))
    };
    match shape(whole) {
        Shape::Pkcs8 => {
            let (_, algorithm, inner) = (fields.next(), fields.next(), fields.content(tag::OCTET_STRING));
            let (algorithm, inner) = (algorithm.ok_or_else(damaged)?, inner.ok_or_else(damaged)?);
            let kind = kind(Elements::of(algorithm.content), inner)?;
            Ok(wrapped(kind, algorithm.raw, inner))
        }
        Shape::Pkcs1 => {
            let algorithm = der::sequence(&[&der::oid(RSA), &der::element(tag::NULL, &[])]);
            Ok(wrapped(rsa(plain)?, &algorithm, plain))
        }
        Shape::Sec1 => {
            let curve = fields.find(|field| field.tag == tag::CONTEXT_0).ok_or_else(|| {
                Fault::new("the EC key does not say which curve it is on")
                    .hint("convert it with the tool that made it, `openssl pkcs8 -topk8 -nocrypt -in KEY`")
            })?;
            let kind = curve_of(Elements::of(curve.content))?;
            let algorithm = der::sequence(&[&der::oid(EC), curve.content]);
            Ok(wrapped(kind, &algorithm, plain))
        }
        Shape::Other(label) => Err(instead(label, WANTED)),
        Shape::Encrypted | Shape::Unknown => Err(damaged()),
    }
}

/// The type of the key in a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7); fails if clients do not accept it.
pub(super) fn public(info: &[u8]) -> Result<Kind, Fault> {
    let mut fields = der::only(info).map_or(Elements::of(&[]), |whole| Elements::of(whole.content));
    let (Some(algorithm), Some([0, bits @ ..])) = (fields.sequence(), fields.content(tag::BIT_STRING)) else {
        return Err(Fault::new("the public key is damaged"));
    };
    kind(algorithm, bits)
}

/// The object identifier of RSA keys (RFC 8017 appendix A.1).
const RSA: &str = "1.2.840.113549.1.1.1";
/// The object identifier of EC keys (RFC 5480 §2.1.1).
const EC: &str = "1.2.840.10045.2.1";

fn kind(mut algorithm: Elements<'_>, inner: &[u8]) -> Result<Kind, Fault> {
    let oid = algorithm.oid().unwrap_or_default();
    let refused = |message: &str, hint: &str| Err(Fault::new(message).hint(hint));
    match oid.as_str() {
        RSA => rsa(inner),
        EC => curve_of(algorithm),
        "1.3.101.112" => Ok(Kind::Ed25519),
        "1.2.840.113549.1.1.10" => refused(
            "it is an RSA key for PSS signatures alone, which many programs cannot use",
            "make a plain RSA key or an ECDSA key",
        ),
        "1.2.840.10040.4.1" => Err(instead("DSA PRIVATE KEY", WANTED)),
        "1.3.101.113" => refused("it is an Ed448 key, which TLS clients refuse", "make an ECDSA or RSA key"),
        "1.3.101.110" | "1.3.101.111" | "1.2.840.113549.1.3.1" => {
            refused("it is a key for key exchange, which cannot sign", "make an ECDSA or RSA key")
        }
        _ => refused(&format!("it is a key of the unknown type `{oid}`"), "make an ECDSA or RSA key"),
    }
}

fn curve_of(mut parameters: Elements<'_>) -> Result<Kind, Fault> {
    let Some(oid) = parameters.oid() else {
        return Err(Fault::new("the EC key spells out its curve instead of naming it").hint(
            "if it is a named one, convert it: `openssl ec -param_enc named_curve -in KEY -out key.pem`",
        ));
    };
    let name = match oid.as_str() {
        "1.2.840.10045.3.1.7" => return Ok(Kind::P256),
        "1.3.132.0.34" => return Ok(Kind::P384),
        "1.3.132.0.35" => return Ok(Kind::P521),
        "1.3.132.0.10" => "secp256k1",
        "1.3.132.0.33" => "P-224",
        "1.2.840.10045.3.1.1" => "P-192",
        "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1",
        "1.3.36.3.3.2.8.1.1.11" => "brainpoolP384r1",
        "1.3.36.3.3.2.8.1.1.13" => "brainpoolP512r1",
        other => other,
    };
    Err(Fault::new(format!("the key is on the curve `{name}`, which TLS clients refuse"))
        .hint("make a key on P-256 or P-384"))
}

/// The type of an RSA key. `numbers` is an RSAPrivateKey, which begins with its version, or an RSAPublicKey (RFC 8017
/// appendix A.1).
fn rsa(numbers: &[u8]) -> Result<Kind, Fault> {
    let numbers: Vec<_> =
        der::only(numbers).into_iter().flat_map(|whole| Elements::of(whole.content)).collect();
    let modulus = match &numbers[..] {
        [modulus, _exponent] => modulus.content,
        [_version, modulus, ..] => modulus.content,
        [] | [_] => return Err(Fault::new("the RSA key is damaged").hint("copy the whole file again")),
    };
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = (modulus.len() - zeros) * 8 - first;
    match bits {
        bits if RSA_BITS.contains(&bits) => Ok(Kind::Rsa(bits)),
        bits if bits < *RSA_BITS.start() => {
            Err(Fault::new(format!("the RSA key has {bits} bits, and clients refuse less than 2048"))
                .hint("make a new key"))
        }
        bits => Err(Fault::new(format!("the RSA key has {bits} bits, and more than 8192 cannot be used"))
            .hint("make a new key")),
    }
}
