//! Revocation lists (RFC 5280 §5): the certificates of an issuer that are no longer valid. The caller keeps the record
//! of revoked certificates.

#[cfg(test)]
mod tests;

use rcgen::{CertificateRevocationListParams, RevokedCertParams, SerialNumber};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

use super::{Certificate, PrivateKey, broken, der, sign};
use crate::error::Fault;
use crate::names::printable;

/// Creates a revocation list in PEM, for nginx's `ssl_crl` and other programs. `revoked` contains serial numbers in
/// hexadecimal and revocation times. `number` must increase with each list of the issuer (RFC 5280 §5.2.3).
pub fn crl(
    issuer: &Certificate,
    issuer_key: &PrivateKey,
    revoked: &[(String, OffsetDateTime)],
    number: u64,
    now: OffsetDateTime,
    next_update: OffsetDateTime,
) -> Result<String, Fault> {
    let parsed = sign::parsed(issuer)?;
    if issuer.public_key != issuer_key.public_key() {
        return Err(Fault::new("the issuer's certificate and the issuer's key do not belong together"));
    }
    let usage = parsed.key_usage().map_err(|e| broken("the issuer's certificate cannot be read", e))?;
    if !issuer.is_authority || usage.is_some_and(|usage| !usage.value.crl_sign()) {
        return Err(Fault::new("the issuer's certificate may not sign revocation lists")
            .hint("it needs the key usage `cRLSign`: no client would heed the list"));
    }
    if next_update <= now {
        return Err(Fault::new("the next revocation list would be due before this one"));
    }
    let whole = |at: OffsetDateTime| at.replace_nanosecond(0).expect("zero is a nanosecond");
    let revoked = revoked.iter().map(|(serial, at)| {
        Ok(RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial_number(serial)?),
            revocation_time: whole(*at),
            reason_code: None,
            invalidity_date: None,
        })
    });
    let list = CertificateRevocationListParams {
        this_update: whole(now),
        next_update: whole(next_update),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect::<Result<_, Fault>>()?,
        key_identifier_method: sign::key_identifier(&parsed),
    };
    let signed = list
        .signed_by(&sign::placeholder(&parsed, issuer_key))
        .map_err(|e| broken("the revocation list cannot be signed", e))?;
    // RFC 5280 §5.1: the issuer is the field after version and algorithm.
    let der = sign::under_name_of(signed.der(), 2, &parsed, issuer_key)?;
    sign::check_signature(&der, &issuer.public_key)?;
    Ok(der::pem("X509 CRL", &der))
}

/// Fails if the text is not a revocation list of `issuer` in PEM.
pub fn is_revocation_list(text: &str, issuer: &Certificate) -> Result<(), Fault> {
    let der = CertificateRevocationListDer::from_pem_slice(text.as_bytes())
        .map_err(|_| Fault::new("it holds no revocation list in PEM"))?;
    sign::check_signature(&der, &issuer.public_key)
}

/// Parses a serial number in hexadecimal. It may contain colons, as in openssl's output.
fn serial_number(text: &str) -> Result<Vec<u8>, Fault> {
    let digits = text.replace(':', "");
    let padded = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
    let bytes = super::pbe::unhex(&padded).filter(|bytes| bytes.iter().any(|byte| *byte != 0));
    // RFC 5280 §4.1.2.2: at most 20 octets, plus one for the sign in DER.
    bytes.filter(|bytes| bytes.len() <= 21).ok_or_else(|| {
        Fault::new(format!("`{}` is no serial number", printable(text)))
            .hint("write it in hexadecimal, as `openssl x509 -noout -serial` prints it")
    })
}
