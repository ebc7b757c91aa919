//! Tests of revocation lists: x509-parser reads the lists that rcgen wrote.
#![allow(clippy::unwrap_used)]

use super::*;
use time::macros::datetime;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name))
    };
}

const NOW: OffsetDateTime = datetime!(2026-11-20 12:00:00.5 UTC);

fn list(issuer: &str, key: &str, revoked: &[(&str, OffsetDateTime)]) -> Result<String, Fault> {
    let (issuer, key) = (Certificate::from_pem(issuer).unwrap(), PrivateKey::from_pem(key).unwrap());
    let revoked: Vec<_> = revoked.iter().map(|(serial, at)| ((*serial).to_owned(), *at)).collect();
    crl(&issuer, &key, &revoked, 300, NOW, NOW + time::Duration::days(30))
}

#[test]
fn every_authority_is_found_again_as_the_issuer_of_its_list() {
    for (issuer, key) in [
        (fixture!("ca.ad.pem"), fixture!("rsa2048.pkcs8.pem")),
        (fixture!("ca.multi-valued.pem"), fixture!("p384.pkcs8.pem")),
        (fixture!("ca.t61.pem"), fixture!("p256.pkcs8.pem")),
        (fixture!("ca.p521.pem"), fixture!("p521.pkcs8.pem")),
        (fixture!("ca.ed25519.pem"), fixture!("ed25519.pkcs8.pem")),
        (fixture!("ca.no-ski.pem"), fixture!("p256.pkcs8.pem")),
        (fixture!("ca.no-usage.pem"), fixture!("p256.pkcs8.pem")),
    ] {
        let pem = list(issuer, key, &[("41:02:03", NOW), ("8ff", NOW)]).unwrap();
        assert!(pem.starts_with("-----BEGIN X509 CRL-----\n") && pem.ends_with("-----END X509 CRL-----\n"));
        let der = pem::parse(&pem).unwrap();
        let (_, parsed) = CertificateRevocationList::from_der(der.contents()).unwrap();
        let issuer = Certificate::from_pem(issuer).unwrap();
        assert_eq!(parsed.issuer().as_raw(), sign::parsed(&issuer).unwrap().subject().as_raw());
        assert_eq!(parsed.crl_number().unwrap().to_string(), "300");
        assert_eq!(parsed.last_update().to_datetime(), datetime!(2026-11-20 12:00 UTC));
        assert_eq!(parsed.next_update().unwrap().to_datetime(), datetime!(2026-12-20 12:00 UTC));
        let serials: Vec<_> =
            parsed.iter_revoked_certificates().map(|one| one.serial().to_string()).collect();
        assert_eq!(serials, ["4260355", "2303"]);
    }
}

#[test]
fn a_list_may_be_empty() {
    let pem = list(fixture!("ca.t61.pem"), fixture!("p256.pkcs8.pem"), &[]).unwrap();
    let der = pem::parse(&pem).unwrap();
    let (_, parsed) = CertificateRevocationList::from_der(der.contents()).unwrap();
    assert_eq!(parsed.iter_revoked_certificates().count(), 0);
}

#[test]
fn what_makes_no_list_is_refused() {
    let key = fixture!("p256.pkcs8.pem");
    let refused =
        |issuer: &str, key: &str, serial: &str| list(issuer, key, &[(serial, NOW)]).unwrap_err().message;
    let ca = fixture!("ca.t61.pem");
    assert_eq!(
        refused(ca, fixture!("p384.pkcs8.pem"), "1"),
        "the issuer's certificate and the issuer's key do not belong together"
    );
    let may_not = "the issuer's certificate may not sign revocation lists";
    assert_eq!(refused(fixture!("ca.no-crl.pem"), key, "1"), may_not);
    assert_eq!(refused(fixture!("ca.not.pem"), key, "1"), may_not);
    for bad in ["", "0", "00:00", "xyz", "1 2", &"ff".repeat(22)] {
        assert_eq!(refused(ca, key, bad), format!("`{bad}` is no serial number"));
    }
    let (issuer, key) = (Certificate::from_pem(ca).unwrap(), PrivateKey::from_pem(key).unwrap());
    let fault = crl(&issuer, &key, &[], 1, NOW, NOW).unwrap_err();
    assert_eq!(fault.message, "the next revocation list would be due before this one");
}
