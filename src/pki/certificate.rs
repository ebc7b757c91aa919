//! A certificate: its PEM text as it was read, and its parsed contents.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::{GeneralName, GeneralSubtree};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Extension};
use x509_parser::public_key::PublicKey;

use super::constraints::Constraints;
use super::sign::check_signature;
use super::{Subject, broken, der, hex, pem_blocks, sha256};
use crate::error::Fault;
use crate::names::{Subtree, masked, visible};

/// The validity of a certificate, both ends included (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first valid second.
    pub not_before: OffsetDateTime,
    /// The last valid second.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// The number of days; a part of a day counts as a whole day.
    pub fn days(&self) -> i64 {
        (self.not_after - self.not_before).whole_seconds() / 86_400 + 1
    }

    /// The period of `days` from an hour before `now`, because clients' clocks differ. It is one second shorter than
    /// whole days: both ends count, so programs would otherwise count one day more.
    pub fn starting(now: OffsetDateTime, days: u16) -> Result<Self, Fault> {
        let whole = now.replace_nanosecond(0).expect("zero is a nanosecond");
        let not_before = whole.checked_sub(Duration::HOUR);
        let length = Duration::days(days.into()) - Duration::SECOND;
        let ends = not_before.and_then(|start| Some((start, start.checked_add(length)?)));
        // GeneralizedTime has four digits for the year (RFC 5280 §4.1.2.5.2), and 9999 means "never".
        match ends {
            Some((not_before, not_after)) if not_after.year() < 9999 && not_before.year() >= 1970 => {
                Ok(Self { not_before, not_after })
            }
            Some(_) | None => Err(Fault::new(format!("{days} days from {} is no date", date(now)))
                .hint("set this machine's clock")),
        }
    }
}

/// The date in UTC, as `2026-11-20`.
pub fn date(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day())
}

/// Whole days from `now` to `end`, rounded down; negative after the end.
pub fn days_until(end: OffsetDateTime, now: OffsetDateTime) -> i64 {
    (end - now).whole_seconds().div_euclid(86_400)
}

/// A text such as `ends on 2036-11-24, in 51 days` or `ended on 2036-11-24, 51 days ago`.
pub fn when(end: OffsetDateTime, now: OffsetDateTime) -> String {
    let days = |days: i64| match days {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        _ => format!("{days} days"),
    };
    let seconds = (end - now).whole_seconds();
    if seconds >= 0 {
        format!("ends on {}, in {}", date(end), days(seconds / 86_400))
    } else {
        format!("ended on {}, {} ago", date(end), days(-seconds / 86_400))
    }
}

/// A certificate and its PEM text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pem: String,
    der: CertificateDer<'static>,
    pub validity: Validity,
    /// The serial number in lower-case hexadecimal.
    pub serial: String,
    /// The DNS names and IP addresses in the subject alternative name.
    pub names: Vec<String>,
    /// Whether the certificate is a CA: basicConstraints has CA, and keyUsage, if present, has keyCertSign.
    pub is_authority: bool,
    /// The name constraints; `None` permits every name.
    pub constraints: Option<Constraints>,
    /// The SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// The subject in DER.
    pub subject: Vec<u8>,
    /// The subject as readable text.
    pub subject_text: String,
    /// The issuer in DER.
    pub issuer: Vec<u8>,
    /// The issuer as readable text.
    pub issuer_text: String,
    /// The maximum number of authorities below this one; `None` for any number.
    pub path_length: Option<u32>,
}

impl Certificate {
    /// The certificates in a PEM text, in the order of the text.
    pub fn chain_from_pem(text: &str) -> Result<Vec<Self>, Fault> {
        pem_blocks(text)
            .into_iter()
            .filter(|(label, _)| *label == "CERTIFICATE")
            .map(|(_, pem)| Self::from_block(pem))
            .collect()
    }

    /// Reads the certificates in a file that the user supplies: PEM, or a single certificate in DER.
    pub fn read(bytes: &[u8]) -> Result<Vec<Self>, Fault> {
        // A DER certificate is a SEQUENCE (X.690 §8.9).
        if bytes.first() == Some(&0x30) {
            return Self::chain_from_pem(&der::pem("CERTIFICATE", bytes));
        }
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        super::file::blocks(text)?;
        let chain = Self::chain_from_pem(text)?;
        if chain.is_empty() {
            return Err(Fault::new("it holds no certificate")
                .hint("a certificate in PEM begins with `-----BEGIN CERTIFICATE-----`"));
        }
        Ok(chain)
    }

    /// Reads the only certificate in a PEM text; fails if the text contains none or several.
    pub fn from_pem(text: &str) -> Result<Self, Fault> {
        let mut chain = Self::chain_from_pem(text)?;
        match (chain.pop(), chain.is_empty()) {
            (Some(certificate), true) => Ok(certificate),
            (Some(_), false) | (None, _) => {
                Err(Fault::new("it does not hold exactly one certificate in PEM"))
            }
        }
    }

    fn from_block(pem: &str) -> Result<Self, Fault> {
        let unreadable = |why: String| broken("the certificate cannot be read", why);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| unreadable(e.to_string()))?;
        let (rest, x509) = X509Certificate::from_der(&der).map_err(|e| unreadable(e.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("bytes follow it".into()));
        }
        let validity = Validity {
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
        };
        let certificate = Self {
            validity,
            serial: hex(x509.raw_serial()),
            names: names(&x509).map_err(unreadable)?,
            is_authority: is_authority(&x509).map_err(unreadable)?,
            constraints: constraints(&x509)?,
            public_key: x509.public_key().raw.to_vec(),
            subject: x509.subject().as_raw().to_vec(),
            subject_text: visible(&x509.subject().to_string()),
            issuer: x509.issuer().as_raw().to_vec(),
            issuer_text: visible(&x509.issuer().to_string()),
            path_length: x509
                .basic_constraints()
                .ok()
                .flatten()
                .and_then(|basic| basic.value.path_len_constraint),
            pem: format!("{pem}\n"),
            der: der.clone(),
        };
        Ok(certificate)
    }

    /// The PEM text, as it was read.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The organization in the subject, and the common name.
    pub fn subject_fields(&self) -> (Subject, Option<String>) {
        let (_, x509) = X509Certificate::from_der(&self.der).expect("it was parsed before");
        let name = x509.subject();
        fn first<'a>(mut fields: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<String> {
            fields.next().and_then(|field| field.as_str().ok()).map(str::to_owned)
        }
        let subject = Subject {
            country: first(name.iter_country()),
            state: first(name.iter_state_or_province()),
            locality: first(name.iter_locality()),
            company: first(name.iter_organization()),
            unit: first(name.iter_organizational_unit()),
            email: first(name.iter_email()),
        };
        (subject, first(name.iter_common_name()))
    }

    /// Whether subject and issuer are equal. Such a certificate is a root if its own key signed it.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether `issuer` issued the certificate: the names match, and the signature is valid or too weak to verify.
    pub fn is_signed_by(&self, issuer: &Certificate) -> bool {
        let parse = |der| X509Certificate::from_der(der).map(|(_, x509)| x509);
        let (Ok(own), Ok(above)) = (parse(&self.der), parse(&issuer.der)) else {
            return false;
        };
        // x509-parser supports neither P-521 nor a hash whose length differs from the length of the curve.
        let signed = || {
            own.verify_signature(Some(above.public_key())).is_ok()
                || check_signature(&self.der, above.public_key().raw).is_ok()
        };
        // A signature that is too weak to verify still identifies the issuer; `fit_to_sign` reports its weakness.
        self.issuer == issuer.subject && (is_weak(&own) || signed())
    }

    /// Builds the chain from `first` to its root, with certificates from `others`.
    pub fn order(first: Certificate, others: &[Certificate]) -> Result<Vec<Certificate>, Fault> {
        let mut chain = vec![first];
        loop {
            let last = chain.last().expect("it begins with one");
            if last.is_signed_by(last) {
                return Ok(chain);
            }
            if last.is_self_issued() {
                return Err(Fault::new(format!(
                    "the certificate of `{}` names itself as its issuer, and its own key did not sign it",
                    last.subject_text
                ))
                .hint("bring the certificate as its authority made it, or sign the root again: `openssl req -x509 …`"));
            }
            let Some(above) = others.iter().find(|other| !chain.contains(other) && last.is_signed_by(other))
            else {
                return Err(Fault::new(format!(
                    "the certificate that signed `{}` is not among those given",
                    last.subject_text
                ))
                .hint("put every certificate up to the self-signed root into one file"));
            };
            chain.push(above.clone());
        }
    }

    /// Fails if clients would not accept the certificate as an issuer: it is not an authority, has expired or has not
    /// begun, has a weak key or signature, allows fewer than `below` authorities below it, or has contents that some
    /// clients refuse.
    pub fn fit_to_sign(&self, below: u32, now: OffsetDateTime) -> Result<(), Fault> {
        let who = format!("the certificate of `{}`", self.subject_text);
        let fault = |why: String| Err(Fault::new(format!("{who} {why}")));
        if !self.is_authority {
            return fault("is no authority's: it may not sign certificates".into());
        }
        if now > self.validity.not_after {
            return fault(format!("ended on {}", date(self.validity.not_after)));
        }
        if now < self.validity.not_before {
            return fault(format!("begins on {}", date(self.validity.not_before)));
        }
        if self.path_length.is_some_and(|room| room < below) {
            return fault(format!("leaves no room for {below} authorities below it (path length)"));
        }
        self.weakness().or_else(|| self.narrowness()).map_or(Ok(()), fault)
    }

    /// The reason why some clients, but not all, refuse servers below this authority. webpki reads only the name, the
    /// key and the name constraints of a trust anchor; Go, OpenSSL and GnuTLS read everything.
    pub fn narrowness(&self) -> Option<String> {
        let (_, x509) = X509Certificate::from_der(&self.der).expect("it was parsed before");
        let unknown = |extension: &&X509Extension<'_>| {
            extension.critical && !KNOWN_EXTENSIONS.contains(&extension.oid.to_id_string().as_str())
        };
        if let Some(extension) = x509.extensions().iter().find(unknown) {
            let oid = extension.oid.to_id_string();
            return Some(format!(
                "has the critical extension {oid}, and clients refuse what they do not know"
            ));
        }
        let Ok(Some(usage)) = x509.extended_key_usage() else {
            return None;
        };
        // OpenSSL does not accept `any` as the usage of a server (`check_purpose_ssl_server`).
        (!usage.value.server_auth).then(|| {
            "is not for servers: its extended key usage is there and does not name serverAuth, so clients refuse every server below it".into()
        })
    }

    /// The reason why clients refuse the certificate as too weak: a short RSA key, or a signature with MD5 or SHA-1.
    pub fn weakness(&self) -> Option<String> {
        let (_, x509) = X509Certificate::from_der(&self.der).expect("it was parsed before");
        if let Ok(PublicKey::RSA(rsa)) = x509.public_key().parsed()
            && rsa.key_size() < 2048
        {
            return Some(format!("has an RSA key of {} bits; clients want 2048", rsa.key_size()));
        }
        // Clients do not check a root's own signature.
        let weak = !self.is_self_issued() && is_weak(&x509);
        weak.then(|| "is signed with MD5 or SHA-1, which clients refuse".into())
    }

    /// SHA-256 of the DER in upper-case hexadecimal with colons, as `openssl x509 -fingerprint -sha256` prints it.
    pub fn fingerprint(&self) -> String {
        let pairs: Vec<_> = sha256(&self.der).iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// The extensions that may be critical in an authority's certificate: key usage, subject alternative name, basic
/// constraints, name constraints, extended key usage. Go supports no others (`crypto/x509` `processExtensions`).
const KNOWN_EXTENSIONS: [&str; 5] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.37"];

/// Whether the signature uses RSA with MD5 or SHA-1, or ECDSA with SHA-1 (RFC 8017 appendix A.2.4, RFC 3279 §2.2.3).
fn is_weak(x509: &X509Certificate<'_>) -> bool {
    let weak = ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];
    weak.contains(&x509.signature_algorithm.algorithm.to_id_string().as_str())
}

fn names(x509: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let Some(extension) = x509.subject_alternative_name().map_err(|e| e.to_string())? else {
        return Ok(Vec::new());
    };
    let name = |general: &GeneralName<'_>| match general {
        GeneralName::DNSName(name) => Some(visible(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    Ok(extension.value.general_names.iter().filter_map(name).collect())
}

fn is_authority(x509: &X509Certificate<'_>) -> Result<bool, String> {
    let basic = x509.basic_constraints().map_err(|e| e.to_string())?.is_some_and(|basic| basic.value.ca);
    let usage = x509.key_usage().map_err(|e| e.to_string())?;
    Ok(basic && usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

fn constraints(x509: &X509Certificate<'_>) -> Result<Option<Constraints>, Fault> {
    let Some(extension) =
        x509.name_constraints().map_err(|e| broken("the name constraints cannot be read", e))?
    else {
        return Ok(None);
    };
    let trees = |list: &Option<Vec<GeneralSubtree<'_>>>| {
        list.iter()
            .flatten()
            .filter_map(|tree| subtree(&tree.base).transpose())
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Some(Constraints {
        permitted: trees(&extension.value.permitted_subtrees)?,
        excluded: trees(&extension.value.excluded_subtrees)?,
    }))
}

/// Converts a DNS or IP subtree; `None` for other kinds, which do not concern servers.
fn subtree(base: &GeneralName<'_>) -> Result<Option<Subtree>, Fault> {
    match base {
        GeneralName::DNSName(name) => {
            name.strip_prefix('.').unwrap_or(name).parse().map(|name| Some(Subtree::Domain(name)))
        }
        GeneralName::IPAddress(bytes) => {
            let (ip, mask) = bytes.split_at(bytes.len() / 2);
            let odd = || Fault::new("the name constraints hold a network that is none");
            let (ip, mask) = (address(ip).ok_or_else(odd)?, address(mask).ok_or_else(odd)?);
            let ones: u32 = match mask {
                IpAddr::V4(v4) => v4.to_bits().leading_ones(),
                IpAddr::V6(v6) => v6.to_bits().leading_ones(),
            };
            let prefix = u8::try_from(ones).expect("an address has at most 128 bits");
            Ok(Some(Subtree::Network(masked(ip, prefix), prefix)))
        }
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => Ok(None),
    }
}

pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}
