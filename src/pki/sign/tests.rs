//! Tests with authorities from other tools (`../fixtures/README.md`): verifiers must find each authority as the
//! issuer.
#![allow(clippy::unwrap_used)]

use super::super::verify;
use super::*;
use time::macros::datetime;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name))
    };
}

const NOW: time::OffsetDateTime = datetime!(2026-11-20 12:00 UTC);

const AUTHORITIES: [(&str, &str); 9] = [
    (fixture!("ca.ad.pem"), fixture!("rsa2048.pkcs8.pem")),
    (fixture!("ca.multi-valued.pem"), fixture!("p384.pkcs8.pem")),
    (fixture!("ca.t61.pem"), fixture!("p256.pkcs8.pem")),
    (fixture!("ca.p521.pem"), fixture!("p521.pkcs8.pem")),
    (fixture!("ca.ed25519.pem"), fixture!("ed25519.pkcs8.pem")),
    (fixture!("ca.no-ski.pem"), fixture!("p256.pkcs8.pem")),
    (fixture!("ca.odd-ski.pem"), fixture!("p256.pkcs8.pem")),
    (fixture!("ca.pathlen0.pem"), fixture!("p256.pkcs8.pem")),
    (fixture!("ca.no-usage.pem"), fixture!("p256.pkcs8.pem")),
];

const SUBJECTS: [&str; 5] = [
    fixture!("p256.pkcs8.pem"),
    fixture!("p384.pkcs8.pem"),
    fixture!("p521.pkcs8.pem"),
    fixture!("ed25519.pkcs8.pem"),
    fixture!("rsa2048.pkcs8.pem"),
];

fn leaf() -> CertificateParams {
    let mut params = CertificateParams::new(["reg.example.com".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "reg.example.com");
    params.not_before = NOW - time::Duration::HOUR;
    params.not_after = NOW + time::Duration::DAY;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x41, 2, 3]));
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn refused(params: CertificateParams, issuer: &str, key: &str) -> String {
    let (issuer, key) = (Certificate::from_pem(issuer).unwrap(), PrivateKey::from_pem(key).unwrap());
    sign(params, &key.public_key(), &issuer, &key).unwrap_err().message
}

/// The authority key identifier and the subject key identifier of a certificate.
fn identifiers(certificate: &Certificate) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    use x509_parser::extensions::ParsedExtension;
    let parsed = parsed(certificate).unwrap();
    let (mut authority, mut subject) = (None, None);
    for extension in parsed.iter_extensions() {
        if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
            authority = id.key_identifier.as_ref().map(|id| id.0.to_vec());
        }
        if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
            subject = Some(id.0.to_vec());
        }
    }
    (authority, subject)
}

#[test]
fn every_authority_is_found_again_as_the_issuer_of_every_kind_of_key() {
    for (issuer, issuer_key) in AUTHORITIES {
        let issuer = Certificate::from_pem(issuer).unwrap();
        let issuer_key = PrivateKey::from_pem(issuer_key).unwrap();
        for subject in SUBJECTS {
            let subject = PrivateKey::from_pem(subject).unwrap();
            let signed = sign(leaf(), &subject.public_key(), &issuer, &issuer_key).unwrap();
            assert_eq!(signed.public_key, subject.public_key());
            assert_eq!(signed.serial, "410203");
            assert!(!signed.is_authority);
            let (parsed_leaf, parsed_issuer) = (parsed(&signed).unwrap(), parsed(&issuer).unwrap());
            assert_eq!(parsed_leaf.issuer().as_raw(), parsed_issuer.subject().as_raw());
            // webpki accepts a CA without key usage, and can read the names of all these issuers.
            verify(&[signed], &issuer, &["reg.example.com".to_owned()], NOW).unwrap();
        }
    }
}

#[test]
fn the_authority_key_identifier_is_the_issuers_own() {
    for (issuer, issuer_key) in AUTHORITIES {
        let issuer = Certificate::from_pem(issuer).unwrap();
        let issuer_key = PrivateKey::from_pem(issuer_key).unwrap();
        let signed = sign(leaf(), &issuer_key.public_key(), &issuer, &issuer_key).unwrap();
        let ((authority, subject), (_, own)) = (identifiers(&signed), identifiers(&issuer));
        assert!(subject.is_some());
        match own {
            Some(own) => assert_eq!(authority, Some(own)),
            None => assert_eq!(authority.unwrap().len(), 20, "there is one all the same"),
        }
    }
}

#[test]
fn the_signature_algorithm_follows_the_issuers_key() {
    let algorithm = |issuer: &str, key: &str| {
        let (issuer, key) = (Certificate::from_pem(issuer).unwrap(), PrivateKey::from_pem(key).unwrap());
        let signed = sign(leaf(), &key.public_key(), &issuer, &key).unwrap();
        parsed(&signed).unwrap().signature_algorithm.algorithm.to_id_string()
    };
    let found: Vec<_> = AUTHORITIES.iter().take(5).map(|(issuer, key)| algorithm(issuer, key)).collect();
    // RSA with SHA-256, P-384 with SHA-384, P-256 with SHA-256, P-521 with SHA-512, Ed25519.
    let expected = [
        "1.2.840.113549.1.1.11",
        "1.2.840.10045.4.3.3",
        "1.2.840.10045.4.3.2",
        "1.2.840.10045.4.3.4",
        "1.3.101.112",
    ];
    assert_eq!(found, expected);
}

#[test]
fn who_may_not_sign_does_not() {
    let own = fixture!("p256.pkcs8.pem");
    assert_eq!(
        refused(leaf(), fixture!("ca.t61.pem"), fixture!("p384.pkcs8.pem")),
        "the issuer's certificate and the issuer's key do not belong together"
    );
    assert_eq!(
        refused(leaf(), fixture!("ca.not.pem"), own),
        "the issuer's certificate may not sign certificates"
    );
    assert_eq!(
        refused(leaf(), fixture!("ca.empty-name.pem"), own),
        "the issuer's certificate has an empty subject, so no client could find it"
    );
    let mut below = leaf();
    below.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(
        refused(below.clone(), fixture!("ca.pathlen0.pem"), own),
        "the issuer's path length allows no authority below it"
    );
    let issuer = Certificate::from_pem(fixture!("ca.t61.pem")).unwrap();
    let key = PrivateKey::from_pem(own).unwrap();
    assert!(sign(below, &key.public_key(), &issuer, &key).unwrap().is_authority);
    let fault = sign(leaf(), &[0x30, 0], &issuer, &key).unwrap_err();
    assert!(fault.message.starts_with("a certificate cannot be made for this public key: "), "{fault}");
}

#[test]
fn a_signature_is_checked() {
    for (issuer, key) in AUTHORITIES {
        let key = PrivateKey::from_pem(key).unwrap();
        let issuer = Certificate::from_pem(issuer).unwrap();
        // All these authorities are self-signed.
        check_signature(issuer.der(), &key.public_key()).unwrap();
        let mut changed = issuer.der().to_vec();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let fault = check_signature(&changed, &key.public_key()).unwrap_err();
        assert!(fault.message.starts_with("its signature "), "{fault}");
    }
    let issuer = Certificate::from_pem(fixture!("ca.ad.pem")).unwrap();
    let other = PrivateKey::from_pem(fixture!("p256.pkcs8.pem")).unwrap();
    assert_eq!(
        check_signature(issuer.der(), &other.public_key()).unwrap_err().message,
        "its signature is wrong"
    );
    let issuer = Certificate::from_pem(fixture!("ca.t61.pem")).unwrap();
    let other = PrivateKey::from_pem(fixture!("rsa2048.pkcs8.pem")).unwrap();
    let fault = check_signature(issuer.der(), &other.public_key()).unwrap_err();
    assert_eq!(fault.message, "its signature does not go with its key");
    assert_eq!(check_signature(&[0x30, 0], &[]).unwrap_err().message, "its signature cannot be read");
}
