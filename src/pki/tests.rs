//! Tests of certificates: x509-parser reads the certificates that rcgen wrote, and webpki verifies them as a client.
#![allow(clippy::unwrap_used)]

mod constraints;
mod dates;
mod strict;

use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::*;
use crate::names::{SubjectAltName, Subtree};

const NOW: OffsetDateTime = datetime!(2026-11-20 12:34:56.789 UTC);

fn names(names: &[&str]) -> Vec<SubjectAltName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn subtrees(trees: &[&str]) -> Vec<Subtree> {
    trees.iter().map(|tree| tree.parse().unwrap()).collect()
}

fn subject() -> Subject {
    Subject {
        country: Some("CA".into()),
        state: Some("ON".into()),
        company: Some("Haus & Söhne".into()),
        email: Some("me@example.org".into()),
        ..Subject::default()
    }
}

fn authority_at(permitted: Option<Vec<Subtree>>, now: OffsetDateTime) -> Result<Authority, Fault> {
    let profile = RootProfile {
        label: "lan",
        edition: "1",
        levels: 1,
        subject: &subject(),
        constraints: permitted.map(Constraints::to),
    };
    Authority::create(&profile, PrivateKey::generate(KeyType::P256), now)
}

fn authority(permitted: &[&str]) -> Authority {
    authority_at(Some(subtrees(permitted)), NOW).unwrap()
}

fn issue(authority: &Authority, name: &str, key: PrivateKey, days: u16) -> Result<ServerIdentity, Fault> {
    authority.issue(&ServerProfile { names: &names(&[name]), subject: &subject(), days }, key, NOW)
}

fn p256() -> PrivateKey {
    PrivateKey::generate(KeyType::P256)
}

/// The key of the identity as PEM.
fn key_of(id: &ServerIdentity) -> String {
    PrivateKey::from_pem(&id.pem()).unwrap().pem().to_owned()
}

/// The name of each extension, with a `!` if it is critical.
fn extensions(x509: &X509Certificate<'_>) -> Vec<String> {
    let name = |oid: String| match oid.as_str() {
        "2.5.29.14" => "subjectKeyIdentifier".to_owned(),
        "2.5.29.15" => "keyUsage".to_owned(),
        "2.5.29.17" => "subjectAltName".to_owned(),
        "2.5.29.19" => "basicConstraints".to_owned(),
        "2.5.29.30" => "nameConstraints".to_owned(),
        "2.5.29.35" => "authorityKeyIdentifier".to_owned(),
        "2.5.29.37" => "extKeyUsage".to_owned(),
        _ => oid,
    };
    let mut list: Vec<_> = x509
        .extensions()
        .iter()
        .map(|e| name(e.oid.to_id_string()) + if e.critical { "!" } else { "" })
        .collect();
    list.sort();
    list
}

fn key_identifiers(x509: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    use x509_parser::extensions::ParsedExtension as Parsed;
    let find = |get: &dyn Fn(&Parsed<'_>) -> Option<Vec<u8>>| {
        x509.extensions().iter().find_map(|e| get(e.parsed_extension()))
    };
    #[allow(clippy::wildcard_enum_match_arm)] // Two of many.
    let own = find(&|parsed| match parsed {
        Parsed::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    #[allow(clippy::wildcard_enum_match_arm)] // Two of many.
    let issuer = find(&|parsed| match parsed {
        Parsed::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    });
    (own, issuer)
}

#[test]
fn a_root_says_what_rfc_5280_asks_of_an_authority() {
    let root = authority(&["lan", "10.0.0.0/8"]);
    let der = root.root().der();
    let (_, x509) = X509Certificate::from_der(der).unwrap();
    assert_eq!(x509.version(), X509Version::V3);
    assert_eq!(
        extensions(&x509),
        ["basicConstraints!", "keyUsage!", "nameConstraints!", "subjectAltName", "subjectKeyIdentifier"]
    );
    let basic = x509.basic_constraints().unwrap().unwrap().value;
    assert!(basic.ca && basic.path_len_constraint == Some(1));
    let usage = x509.key_usage().unwrap().unwrap().value;
    assert_eq!(usage.to_string(), "Key Cert Sign, CRL Sign");
    assert_eq!(x509.subject().to_string(), "C=CA, ST=ON, O=Haus & Söhne, CN=lan Root CA 1");
    assert_eq!(x509.subject(), x509.issuer());
    x509.verify_signature(None).unwrap();
    assert_eq!(
        root.root().constraints,
        Some(Constraints::to(subtrees(&["lan", "10.0.0.0/8"]))),
        "read back as it was asked for"
    );
}

#[test]
fn a_server_certificate_is_for_a_server_and_nothing_else() {
    let root = authority(&["lan"]);
    let id = issue(&root, "registry.lan", p256(), 365).unwrap();
    let der = id.leaf().der();
    let (_, x509) = X509Certificate::from_der(der).unwrap();
    assert_eq!(x509.version(), X509Version::V3);
    assert_eq!(
        extensions(&x509),
        [
            "authorityKeyIdentifier",
            "basicConstraints!",
            "extKeyUsage",
            "keyUsage!",
            "subjectAltName",
            "subjectKeyIdentifier"
        ]
    );
    assert!(!x509.basic_constraints().unwrap().unwrap().value.ca);
    assert_eq!(x509.key_usage().unwrap().unwrap().value.to_string(), "Digital Signature");
    let extended = x509.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && !extended.client_auth && !extended.any && extended.other.is_empty());
    assert_eq!(x509.subject().to_string(), "C=CA, ST=ON, O=Haus & Söhne, CN=registry.lan");
    let (_, root) = X509Certificate::from_der(root.root().der()).unwrap();
    assert_eq!(key_identifiers(&x509).1, key_identifiers(&root).0);
    assert_ne!(key_identifiers(&x509).0, key_identifiers(&root).0);
    x509.verify_signature(Some(root.public_key())).unwrap();
}

#[test]
fn every_serial_number_is_positive_random_and_of_16_bytes() {
    let root = authority(&["lan"]);
    let mut serials = std::collections::BTreeSet::from([root.root().serial.clone()]);
    let pem = p256().pem().to_owned();
    for _ in 0..200 {
        let id = issue(&root, "registry.lan", PrivateKey::from_pem(&pem).unwrap(), 365).unwrap();
        serials.insert(id.leaf().serial.clone());
    }
    assert_eq!(serials.len(), 201);
    assert!(serials.iter().all(|s| s.len() == 32 && (b'4'..b'8').contains(&s.as_bytes()[0])), "{serials:?}");
}

#[test]
fn a_certificate_lasts_its_days_to_the_second() {
    let root = authority(&["lan"]);
    for days in [1, 365, 825] {
        let validity = issue(&root, "a.lan", p256(), days).unwrap().leaf().validity;
        assert_eq!(validity.not_before, datetime!(2026-11-20 11:34:56 UTC));
        // Both ends are included (RFC 5280 §4.1.2.5).
        assert_eq!(validity.not_after - validity.not_before + Duration::SECOND, Duration::days(days.into()));
    }
}

#[test]
fn leap_days_and_other_zones_are_days_like_others() {
    let starting = |now| Validity::starting(now, 365).map(|v| (v.not_before, v.not_after)).unwrap();
    assert_eq!(
        starting(datetime!(2028-02-29 00:30 UTC)),
        (datetime!(2028-02-28 23:30 UTC), datetime!(2029-02-27 23:29:59 UTC))
    );
    assert_eq!(
        starting(datetime!(2026-03-01 00:00 +2)),
        (datetime!(2026-02-28 21:00 UTC), datetime!(2027-02-28 20:59:59 UTC))
    );
    assert_eq!(date(datetime!(2026-03-01 00:00 +2)), "2026-02-28");
}

#[test]
fn from_2050_on_dates_are_written_with_four_digits() {
    // RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
    let now = datetime!(2049-12-31 12:00 UTC);
    let root = authority_at(None, now).unwrap();
    let (_, x509) = X509Certificate::from_der(root.root().der()).unwrap();
    assert!(x509.validity().not_before.is_utctime() && x509.validity().not_after.is_generalizedtime());
    let profile = ServerProfile { names: &names(&["a.lan"]), subject: &subject(), days: 1 };
    let id = root.issue(&profile, p256(), now).unwrap();
    assert_eq!(id.leaf().validity.not_after, datetime!(2050-01-01 10:59:59 UTC));
}

#[test]
fn a_clock_out_of_reason_is_an_error_and_no_panic() {
    for now in [
        datetime!(1970-01-01 00:00 UTC),
        datetime!(0001-01-01 00:00 UTC),
        datetime!(9999-12-31 23:59:59 UTC),
        datetime!(9990-01-01 00:00 UTC),
        datetime!(-9999-01-01 00:00 UTC),
    ] {
        let fault = authority_at(None, now).unwrap_err();
        assert_eq!(fault.message, format!("3650 days from {} is no date", date(now)));
        assert_eq!(fault.hint, "set this machine's clock");
    }
}

#[test]
fn every_kind_of_key_makes_a_registry() {
    // One large RSA key is enough: 3072 bits use the same code.
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048, KeyType::Rsa4096] {
        let key = PrivateKey::generate(key_type);
        let is_rsa = matches!(key_type, KeyType::Rsa2048 | KeyType::Rsa4096);
        assert_eq!(key.is_rsa(), is_rsa);
        let again = PrivateKey::from_pem(key.pem()).unwrap();
        assert_eq!(again, key);
        assert_eq!(again.public_key(), key.public_key());
        let profile =
            RootProfile { label: "lan", edition: "1", levels: 1, subject: &subject(), constraints: None };
        let root = Authority::create(&profile, again, NOW).unwrap();
        let id = issue(&root, "registry.lan", key, 90).unwrap();
        let (_, x509) = X509Certificate::from_der(id.leaf().der()).unwrap();
        let usage = x509.key_usage().unwrap().unwrap().value;
        assert_eq!(usage.key_encipherment(), is_rsa, "{key_type}");
        let bits = x509.public_key().parsed().unwrap().key_size();
        let expected = match key_type {
            KeyType::P256 => 256,
            KeyType::P384 => 384,
            KeyType::Rsa2048 => 2048,
            KeyType::Rsa3072 => 3072,
            KeyType::Rsa4096 => 4096,
        };
        assert_eq!(bits, expected);
    }
}

#[test]
fn key_types_are_read_as_they_are_printed_and_more_loosely() {
    for key_type in KeyType::ALL {
        assert_eq!(key_type.to_string().parse::<KeyType>(), Ok(key_type));
    }
    assert_eq!("P-256".parse::<KeyType>(), Ok(KeyType::P256));
    assert_eq!("RSA4096".parse::<KeyType>(), Ok(KeyType::Rsa4096));
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    let (root, other) = (authority(&["lan"]), authority(&["lan"]));
    let mixed = Authority::of(vec![root.root().clone()], other.key().again());
    assert_eq!(mixed.unwrap_err().message, "the authority's certificate and its key do not belong together");
    let id = issue(&root, "a.lan", p256(), 90).unwrap();
    let leaf_as_root = Authority::of(vec![id.leaf().clone()], KeyAtRest::clear(id.key().again()));
    assert_eq!(
        leaf_as_root.unwrap_err().message,
        format!("the certificate of `{}` may not sign certificates", id.leaf().subject_text)
    );
    for key in [p256(), PrivateKey::generate(KeyType::P384)] {
        let mixed = ServerIdentity::of(vec![id.leaf().clone()], key);
        assert_eq!(
            mixed.unwrap_err().message,
            "the server certificate and the server key do not belong together"
        );
    }
    assert_eq!(ServerIdentity::of(vec![], p256()).unwrap_err().message, "there is no server certificate");
}

#[test]
fn a_chain_of_another_root_is_refused() {
    let (root, other) = (authority(&["lan"]), authority(&["lan"]));
    let id = issue(&root, "a.lan", p256(), 90).unwrap();
    let chain = [id.leaf().clone()];
    let refused = |chain: &[Certificate], root: &Authority, name: &str, now| {
        verify(chain, root.root(), &[name.to_owned()], now).unwrap_err().message
    };
    let fault = refused(&chain, &other, "a.lan", NOW);
    assert!(fault.starts_with("a client would refuse the certificate for `a.lan`: "), "{fault}");
    refused(&chain, &root, "b.lan", NOW);
    refused(&chain, &root, "a.lan", NOW + Duration::days(90));
    refused(&chain, &root, "a.lan", NOW - Duration::hours(2));
    assert_eq!(refused(&[], &root, "a.lan", NOW), "the chain holds no certificate");
    verify(&chain, root.root(), &["a.lan".to_owned()], NOW).unwrap();
}

#[test]
fn pem_is_kept_byte_for_byte() {
    let id = issue(&authority(&["lan"]), "a.lan", p256(), 90).unwrap();
    let pem = id.pem();
    assert_eq!(*ServerIdentity::from_pem(&pem).unwrap().pem(), *pem);
    assert!(!pem.contains('\r') && pem.ends_with("-----END CERTIFICATE-----\n"));
    // openssl and users write other line lengths than regcert, and text around the blocks.
    let leaf = id.leaf().pem();
    let body: String = leaf.lines().filter(|line| !line.starts_with('-')).collect();
    let one_line = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----");
    let read = Certificate::from_pem(&format!("subject=registry\n{one_line}\ntrailing words\n")).unwrap();
    assert_eq!(read.pem(), format!("{one_line}\n"));
    assert_eq!(read.der(), id.leaf().der());
}

#[test]
fn what_is_no_pem_is_told_apart() {
    let id = issue(&authority(&["lan"]), "a.lan", p256(), 90).unwrap();
    let (leaf, key) = (id.leaf().pem().to_owned(), key_of(&id));
    let certificate = |text: &str| Certificate::from_pem(text).unwrap_err().message;
    for text in ["", "nonsense", &key, &format!("{leaf}{leaf}"), &leaf[..leaf.len() - 30]] {
        assert_eq!(certificate(text), "it does not hold exactly one certificate in PEM");
    }
    let broken_base64 = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in [broken_base64, no_der] {
        let fault = certificate(text);
        assert!(fault.starts_with("the certificate cannot be read: "), "{fault}");
    }
}

#[test]
fn no_debug_shows_a_key() {
    let root = authority(&["lan"]);
    let id = issue(&root, "a.lan", p256(), 90).unwrap();
    let shown = format!("{root:?} {id:?} {:?}", root.key());
    for pem in [root.key().stored(), &key_of(&id)] {
        let line = pem.lines().nth(1).unwrap();
        assert!(!shown.contains(line) && !shown.contains("PRIVATE KEY"));
    }
}

#[test]
fn a_fingerprint_is_what_openssl_prints() {
    // `openssl x509 -noout -fingerprint -sha256` prints this format. The SHA-256 of an empty input is a test vector of
    // FIPS 180-4.
    assert_eq!(hex(&sha256(b"")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let root = authority(&["lan"]);
    let plain = hex(&sha256(root.root().der()));
    assert_eq!(root.root().fingerprint().replace(':', "").to_lowercase(), plain);
}

proptest! {
    #[test]
    fn no_pem_text_makes_it_panic(text in "(-----BEGIN (CERTIFICATE|PRIVATE KEY)-----|\n|[A-Za-z0-9+/=]{0,8}|-----END (CERTIFICATE|PRIVATE KEY)-----){0,8}") {
        _ = Certificate::chain_from_pem(&text);
        _ = PrivateKey::from_pem(&text);
        for (_, block) in pem_blocks(&text) { prop_assert!(text.contains(block)) }
    }

    #[test]
    fn a_damaged_certificate_is_an_error_and_no_panic(at in 0usize..400, byte in any::<u8>()) {
        use std::sync::LazyLock;
        static DER: LazyLock<Vec<u8>> = LazyLock::new(|| authority(&["lan", "10.0.0.0/8"]).root().der().to_vec());
        let mut der = DER.clone();
        let at = at % der.len();
        der[at] = byte;
        let pem = der::pem("CERTIFICATE", &der);
        if let Ok(certificate) = Certificate::from_pem(&pem) { prop_assert_eq!(certificate.der().to_vec(), der) }
    }
}
