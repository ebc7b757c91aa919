//! Tests of authorities that only some clients accept.

use super::*;

/// Creates a root, after `change` has modified its parameters.
fn root_with(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = NOW + Duration::days(1);
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    Certificate::from_pem(&params.self_signed(&key).unwrap().pem().replace('\r', "")).unwrap()
}

#[test]
fn a_root_that_only_some_clients_accept_is_refused() {
    use rcgen::{CustomExtension, ExtendedKeyUsagePurpose as Usage};
    let extension = |critical: bool| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
        extension.set_criticality(critical);
        root_with(|params| params.custom_extensions.push(extension))
    };
    let usages = |usages: &[Usage]| root_with(|params| params.extended_key_usages = usages.to_vec());
    for good in [root_with(|_| {}), extension(false), usages(&[Usage::ServerAuth, Usage::ClientAuth])] {
        good.fit_to_sign(0, NOW).unwrap();
    }
    let message = |root: Certificate| root.fit_to_sign(0, NOW).unwrap_err().message;
    assert!(message(extension(true)).contains("critical extension 1.3.6.1.4.1.55555.1"));
    assert!(message(usages(&[Usage::ClientAuth])).contains("serverAuth"));
    assert!(message(usages(&[Usage::Any])).contains("serverAuth"));
}

#[test]
fn a_root_is_verified_whatever_its_curve_and_hash() {
    // OpenSSL signs with SHA-256 for every curve.
    let root = Certificate::from_pem(include_str!("../fixtures/ca.p521.pem")).unwrap();
    assert!(Certificate::order(root, &[]).is_ok());
}

#[test]
fn a_root_that_its_own_key_did_not_sign_is_told_as_that() {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let mut der = root_with(|_| {}).der().to_vec();
    *der.last_mut().unwrap() ^= 1;
    let body = BASE64_STANDARD.encode(der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let fault = Certificate::order(Certificate::from_pem(&pem).unwrap(), &[]).unwrap_err();
    assert!(fault.message.contains("its own key did not sign it"), "{fault}");
}
