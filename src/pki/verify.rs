//! Verifies certificates as a strict client does, with rustls and webpki, one root and no exceptions.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{ServerName, UnixTime};
use time::OffsetDateTime;

use super::{Certificate, broken, provider};
use crate::error::Fault;
use crate::names::Host;

/// Checks that `chain` (leaf first) ends at `root` and is valid for each of `names` at `now`: signatures, dates,
/// usages, name constraints. A wildcard is checked with a name that matches it.
pub fn verify(
    chain: &[Certificate],
    root: &Certificate,
    names: &[String],
    now: OffsetDateTime,
) -> Result<(), Fault> {
    let [leaf, intermediates @ ..] = chain else {
        return Err(Fault::new("the chain holds no certificate"));
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(root)?), provider())
        .build()
        .map_err(|e| broken("the root certificate cannot be used", e))?;
    let intermediates: Vec<_> = intermediates.iter().map(|c| c.der().clone()).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unix_timestamp().try_into().unwrap_or(0)));
    for name in names {
        let dialled = name.strip_prefix("*.").map(|rest| format!("x.{rest}")).unwrap_or_else(|| name.clone());
        let server = ServerName::try_from(dialled).map_err(|e| broken(&format!("`{name}`"), e))?;
        verifier
            .verify_server_cert(leaf.der(), &intermediates, &server, &[], now)
            .map_err(|e| broken(&format!("a client would refuse the certificate for `{name}`"), e))?;
    }
    Ok(())
}

/// Checks that `chain` (leaf first) ends at `root` and is valid at `at`, without a check of the leaf's names.
pub fn leads_to(chain: &[Certificate], root: &Certificate, at: OffsetDateTime) -> Result<(), Fault> {
    let [leaf, intermediates @ ..] = chain else {
        return Err(Fault::new("the chain holds no certificate"));
    };
    let unusable = |e: rustls::Error| broken("the server certificate", e);
    let parsed = ParsedCertificate::try_from(leaf.der()).map_err(unusable)?;
    let intermediates: Vec<_> = intermediates.iter().map(|c| c.der().clone()).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.unix_timestamp().try_into().unwrap_or(0)));
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots(root)?, &intermediates, at, algorithms)
        .map_err(unusable)
}

/// Whether a client that connects to `host` accepts the names of the certificate.
pub fn covers(leaf: &Certificate, host: &Host) -> bool {
    let (Ok(parsed), Ok(name)) =
        (ParsedCertificate::try_from(leaf.der()), ServerName::try_from(host.to_string()))
    else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

/// The TLS configuration of a client that trusts only `root`.
pub fn client_config(root: &Certificate) -> Result<ClientConfig, Fault> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the crypto backend has TLS 1.2 and 1.3")
        .with_root_certificates(roots(root)?)
        .with_no_client_auth())
}

fn roots(root: &Certificate) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).map_err(|e| broken("the root certificate cannot be used", e))?;
    Ok(roots)
}
