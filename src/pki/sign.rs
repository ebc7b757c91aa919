//! Signs certificates and revocation lists. rcgen writes the certificate or list. This module then inserts the exact
//! bytes of the issuer's name, and signs the result again: rcgen stores a name as a map, so only one part of `DC=corp,
//! DC=example` would remain, and no verifier would find the issuer. This module does not choose names, dates or
//! usages.

#[cfg(test)]
mod tests;

use aws_lc_rs::signature as algorithms;
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use rcgen::{CertificateParams, IsCa, Issuer, KeyIdMethod, SigningKey, SubjectPublicKeyInfo};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::der::{self, Elements, tag};
use super::{Certificate, PrivateKey, broken};
use crate::error::Fault;

/// Signs a certificate with `params` for `public_key` (DER SubjectPublicKeyInfo). The issuer's key determines the
/// signature algorithm. The authority key identifier is a copy of the issuer's subject key identifier, whichever hash
/// that is.
pub(super) fn sign(
    mut params: CertificateParams,
    public_key: &[u8],
    issuer: &Certificate,
    issuer_key: &PrivateKey,
) -> Result<Certificate, Fault> {
    let parsed = parsed(issuer)?;
    if issuer.public_key != issuer_key.public_key() {
        return Err(Fault::new("the issuer's certificate and the issuer's key do not belong together"));
    }
    if !issuer.is_authority {
        return Err(Fault::new("the issuer's certificate may not sign certificates"));
    }
    if parsed.subject().iter().next().is_none() {
        return Err(Fault::new("the issuer's certificate has an empty subject, so no client could find it"));
    }
    let below = parsed.basic_constraints().ok().flatten().and_then(|basic| basic.value.path_len_constraint);
    if matches!(params.is_ca, IsCa::Ca(_)) && below == Some(0) {
        return Err(Fault::new("the issuer's path length allows no authority below it"));
    }
    params.use_authority_key_identifier_extension = true;
    let subject = SubjectPublicKeyInfo::from_der(public_key)
        .map_err(|e| broken("a certificate cannot be made for this public key", e))?;
    let signed = params
        .signed_by(&subject, &placeholder(&parsed, issuer_key))
        .map_err(|e| broken("the certificate cannot be signed", e))?;
    // RFC 5280 §4.1: the issuer is the field after version, serial number and algorithm.
    let der = under_name_of(signed.der(), 3, &parsed, issuer_key)?;
    let certificate = Certificate::from_pem(&der::pem("CERTIFICATE", &der))?;
    check_signature(certificate.der(), &issuer.public_key)?;
    Ok(certificate)
}

/// Parses the issuer's certificate.
pub(super) fn parsed(issuer: &Certificate) -> Result<X509Certificate<'_>, Fault> {
    let (_, parsed) = X509Certificate::from_der(issuer.der())
        .map_err(|e| broken("the issuer's certificate cannot be read", e))?;
    Ok(parsed)
}

/// An issuer for rcgen with the right key and key identifier. The name is wrong; `under_name_of` replaces it later.
pub(super) fn placeholder<'k>(
    parsed: &X509Certificate<'_>,
    issuer_key: &'k PrivateKey,
) -> Issuer<'static, &'k rcgen::KeyPair> {
    let mut params = CertificateParams::default();
    params.key_identifier_method = key_identifier(parsed);
    Issuer::new(params, &issuer_key.pair)
}

/// The issuer's subject key identifier. If the issuer has none, uses rcgen's hash of the key: RFC 5280 §4.2.1.1 and
/// `openssl verify -x509_strict` require an identifier, but no client compares it with anything.
pub(super) fn key_identifier(parsed: &X509Certificate<'_>) -> KeyIdMethod {
    use x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier;
    let own = parsed.iter_extensions().find_map(|extension| {
        if let SubjectKeyIdentifier(own) = extension.parsed_extension() { Some(own.0.to_vec()) } else { None }
    });
    own.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
}

/// Replaces the element at index `place` of the signed content with the issuer's name, and signs the result again.
pub(super) fn under_name_of(
    signed: &[u8],
    place: usize,
    parsed: &X509Certificate<'_>,
    issuer_key: &PrivateKey,
) -> Result<Vec<u8>, Fault> {
    let mut parts = Elements::of(der::only(signed).expect("rcgen writes DER").content);
    let (content, algorithm) = (parts.content(tag::SEQUENCE), parts.next());
    let (content, algorithm) = content.zip(algorithm).expect("rcgen writes what is signed and how");
    let mut fields: Vec<_> = Elements::of(content).map(|field| field.raw).collect();
    fields[place] = parsed.subject().as_raw();
    let content = der::sequence(&fields);
    let signature = issuer_key.pair.sign(&content).map_err(|e| broken("the issuer's key cannot sign", e))?;
    let signature = der::element(tag::BIT_STRING, &[&[0], &signature]);
    Ok(der::sequence(&[&content, algorithm.raw, &signature]))
}

/// Checks the signature of a certificate, request or revocation list with a DER SubjectPublicKeyInfo. x509-parser's own
/// check does not support P-521.
pub(super) fn check_signature(signed: &[u8], public_key: &[u8]) -> Result<(), Fault> {
    let damaged = || Fault::new("its signature cannot be read");
    let mut parts = Elements::of(der::only(signed).ok_or_else(damaged)?.content);
    let content = parts.next().ok_or_else(damaged)?;
    let oid = parts.sequence().and_then(|mut algorithm| algorithm.oid()).ok_or_else(damaged)?;
    let [0, signature @ ..] = parts.content(tag::BIT_STRING).ok_or_else(damaged)? else {
        return Err(damaged());
    };
    let mut key = Elements::of(der::only(public_key).ok_or_else(damaged)?.content);
    let curve = key.sequence().and_then(|mut key| key.nth(1)).map(|parameters| parameters.raw);
    let [0, bits @ ..] = key.content(tag::BIT_STRING).ok_or_else(damaged)? else {
        return Err(damaged());
    };
    UnparsedPublicKey::new(verification(&oid, curve.unwrap_or_default())?, bits)
        .verify(content.raw, signature)
        .map_err(|_| Fault::new("its signature is wrong"))
}

/// Selects the verifier for a signature algorithm (RFC 5758, RFC 8410) and the curve of the key.
fn verification(oid: &str, curve: &[u8]) -> Result<&'static dyn VerificationAlgorithm, Fault> {
    let weak = |hash: &str| {
        Fault::new(format!("it is signed with {hash}, which clients no longer accept"))
            .hint("sign it with SHA-256: `openssl req -sha256 …`")
    };
    let hash = match oid {
        "1.2.840.113549.1.1.11" => return Ok(&algorithms::RSA_PKCS1_2048_8192_SHA256),
        "1.2.840.113549.1.1.12" => return Ok(&algorithms::RSA_PKCS1_2048_8192_SHA384),
        "1.2.840.113549.1.1.13" => return Ok(&algorithms::RSA_PKCS1_2048_8192_SHA512),
        "1.3.101.112" => return Ok(&algorithms::ED25519),
        "1.2.840.10045.4.3.2" => 256,
        "1.2.840.10045.4.3.3" => 384,
        "1.2.840.10045.4.3.4" => 512,
        "1.2.840.113549.1.1.4" => return Err(weak("MD5")),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => return Err(weak("SHA-1")),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => return Err(weak("SHA-224")),
        "1.2.840.113549.1.1.10" => {
            return Err(Fault::new("it is signed with RSA-PSS, which is not read")
                .hint("sign it with plain RSA: leave `-sigopt rsa_padding_mode:pss` out"));
        }
        other => return Err(Fault::new(format!("it is signed with `{other}`, which is unknown"))),
    };
    let on = |name: &str| der::oid(name) == curve;
    let [p256, p384, p521] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"].map(on);
    // Any of the three hashes may be used with any curve: OpenSSL signs with SHA-256 for every curve.
    match (hash, p256, p384, p521) {
        (256, true, _, _) => Ok(&algorithms::ECDSA_P256_SHA256_ASN1),
        (384, true, _, _) => Ok(&algorithms::ECDSA_P256_SHA384_ASN1),
        (_, true, _, _) => Ok(&algorithms::ECDSA_P256_SHA512_ASN1),
        (256, _, true, _) => Ok(&algorithms::ECDSA_P384_SHA256_ASN1),
        (384, _, true, _) => Ok(&algorithms::ECDSA_P384_SHA384_ASN1),
        (_, _, true, _) => Ok(&algorithms::ECDSA_P384_SHA512_ASN1),
        (256, _, _, true) => Ok(&algorithms::ECDSA_P521_SHA256_ASN1),
        (384, _, _, true) => Ok(&algorithms::ECDSA_P521_SHA384_ASN1),
        (_, _, _, true) => Ok(&algorithms::ECDSA_P521_SHA512_ASN1),
        (_, false, false, false) => Err(Fault::new("its signature does not go with its key")),
    }
}
