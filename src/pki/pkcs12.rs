//! PKCS#12 (RFC 7292): a key and its certificates in one file, which browsers and key rings import. regcert writes
//! such files, but never reads them.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::der::{self, element, oid, sequence, tag};
use super::key::Passphrase;
use super::pbe::{self, Purpose};
use super::{Certificate, PrivateKey, random};
use crate::error::Fault;

/// The number of rounds. Until 2021, Java had the same default for this scheme, so key rings can import such files.
const ROUNDS: u32 = 50_000;

/// The object identifiers of the parts (RFC 7292 appendix D and RFC 2985 §5.5).
const DATA: &str = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA: &str = "1.2.840.113549.1.7.6";
const SHROUDED_KEY_BAG: &str = "1.2.840.113549.1.12.10.1.2";
const CERTIFICATE_BAG: &str = "1.2.840.113549.1.12.10.1.3";
const X509_CERTIFICATE: &str = "1.2.840.113549.1.9.22.1";
const FRIENDLY_NAME: &str = "1.2.840.113549.1.9.20";
const LOCAL_KEY_ID: &str = "1.2.840.113549.1.9.21";
const SHA1: &str = "1.3.14.3.2.26";

/// Creates an encrypted file with a key and its chain (leaf first). Importers display the key as `name`.
///
/// The encryption is 3DES with a SHA-1 MAC, because macOS up to at least 14 reports "wrong password" for AES with a
/// SHA-256 MAC. OpenSSL 3 (without its legacy provider), NSS, Windows and Java open the 3DES file, too. Guesses at the
/// passphrase are cheap with 3DES, so the passphrase should be long.
pub fn pkcs12(
    name: &str,
    chain: &[Certificate],
    key: &PrivateKey,
    passphrase: &Passphrase,
) -> Result<Vec<u8>, Fault> {
    match chain.first() {
        None => return Err(Fault::new("there is no certificate to go with the key")),
        Some(leaf) if leaf.public_key != key.public_key() => {
            return Err(Fault::new("the certificate and the key do not belong together"));
        }
        Some(_) => {}
    }
    // Java, and older OpenSSL outside UTF-8 locales, report "password was incorrect" for characters outside ASCII.
    if !passphrase.expose().is_ascii() {
        return Err(Fault::new("the passphrase holds a letter outside ASCII")
            .hint("importers disagree about those: choose another"));
    }
    let rounds = NonZeroU32::new(ROUNDS).expect("not zero");
    let secret = passphrase.expose();
    // Importers match key and certificate by this identifier. As in OpenSSL, it is the SHA-1 of the certificate.
    let identity = digest(&SHA1_FOR_LEGACY_USE_ONLY, chain[0].der());
    let attributes = attributes(name, identity.as_ref());
    let certificates = chain
        .iter()
        .enumerate()
        .map(|(place, certificate)| certificate_bag(certificate, if place == 0 { &attributes } else { &[] }));
    let certificates = sequence(&[&certificates.collect::<Vec<_>>().concat()]);
    let safe = sequence(&[
        &encrypted(&certificates, secret, rounds),
        &data(&sequence(&[&key_bag(key, &attributes, secret, rounds)])),
    ]);
    let mac = mac(&safe, secret, rounds);
    Ok(sequence(&[&der::number(3), &data(&safe), &mac]))
}

/// Encodes a ContentInfo with unencrypted bytes.
fn data(bytes: &[u8]) -> Vec<u8> {
    sequence(&[&oid(DATA), &explicit(&element(tag::OCTET_STRING, &[bytes]))])
}

/// Encrypts bytes, and encodes them as a ContentInfo (RFC 5652 §8).
fn encrypted(bytes: &[u8], secret: &str, rounds: NonZeroU32) -> Vec<u8> {
    let (algorithm, sealed) = pbe::seal_pkcs12(bytes, secret, rounds);
    // 0x80 is the primitive tag `[0]` of an implicitly tagged OCTET STRING.
    let content = sequence(&[&oid(DATA), &algorithm, &element(0x80, &[&sealed])]);
    sequence(&[&oid(ENCRYPTED_DATA), &explicit(&sequence(&[&der::number(0), &content]))])
}

fn key_bag(key: &PrivateKey, attributes: &[u8], secret: &str, rounds: NonZeroU32) -> Vec<u8> {
    let (algorithm, sealed) = pbe::seal_pkcs12(key.pair.serialized_der(), secret, rounds);
    let shrouded = sequence(&[&algorithm, &element(tag::OCTET_STRING, &[&sealed])]);
    sequence(&[&oid(SHROUDED_KEY_BAG), &explicit(&shrouded), attributes])
}

fn certificate_bag(certificate: &Certificate, attributes: &[u8]) -> Vec<u8> {
    let value = explicit(&element(tag::OCTET_STRING, &[certificate.der()]));
    let value = sequence(&[&oid(X509_CERTIFICATE), &value]);
    sequence(&[&oid(CERTIFICATE_BAG), &explicit(&value), attributes])
}

/// Encodes the displayed name, and the identifier that connects key and certificate, as a SET. DER requires a sorted
/// SET (X.690 §11.6).
fn attributes(name: &str, identity: &[u8]) -> Vec<u8> {
    // BMPString: UTF-16, big-endian.
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let attribute = |kind: &str, value: &[u8]| sequence(&[&oid(kind), &element(tag::SET, &[value])]);
    let mut both = [
        attribute(FRIENDLY_NAME, &element(0x1e, &[&name])),
        attribute(LOCAL_KEY_ID, &element(tag::OCTET_STRING, &[identity])),
    ];
    both.sort();
    element(tag::SET, &[&both.concat()])
}

fn mac(safe: &[u8], secret: &str, rounds: NonZeroU32) -> Vec<u8> {
    let salt = random::<8>();
    let secret: Zeroizing<Vec<u8>> = pbe::bmp(secret);
    let key = pbe::pkcs12_kdf(Purpose::Mac, &secret, &salt, rounds, 20);
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), safe);
    let algorithm = sequence(&[&oid(SHA1), &element(tag::NULL, &[])]);
    let digest = sequence(&[&algorithm, &element(tag::OCTET_STRING, &[mac.as_ref()])]);
    sequence(&[&digest, &element(tag::OCTET_STRING, &[&salt]), &der::number(rounds.get().into())])
}

fn explicit(content: &[u8]) -> Vec<u8> {
    element(tag::CONTEXT_0, &[content])
}
