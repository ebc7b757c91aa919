//! The root certificate and its key, what it may speak for, and the server certificates it signs.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyUsagePurpose, NameConstraints, SanType,
    SerialNumber,
};
use time::OffsetDateTime;

use super::certificate::date;
use super::{Certificate, PrivateKey, Validity, broken, random, verify};
use crate::error::Fault;
use crate::names::{DnsName, Host, SubjectAltName, Subtree, masked};

/// Ten years: as long as a machine in a factory runs, and what clients accept of a root.
const ROOT_DAYS: u16 = 3650;

/// RFC 5280 appendix A.1: ub-common-name.
const COMMON_NAME_MAX: usize = 64;

/// Who is behind a certificate. Every field but the country may be any printable text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// Two capital letters (ISO 3166-1).
    pub country: Option<String>,
    /// State or province.
    pub state: Option<String>,
    /// City.
    pub locality: Option<String>,
    /// Organization.
    pub company: Option<String>,
    /// Organizational unit.
    pub unit: Option<String>,
    /// Contact address. It goes into the root as a subject alternative name (RFC 5280 §4.1.2.6).
    pub email: Option<String>,
}

impl Subject {
    fn distinguished_name(&self, common_name: Option<&str>) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if let Some(country) = &self.country {
            let country = country.as_str().try_into().expect("two letters are printable");
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        let fields = [
            (DnType::StateOrProvinceName, self.state.as_deref()),
            (DnType::LocalityName, self.locality.as_deref()),
            (DnType::OrganizationName, self.company.as_deref()),
            (DnType::OrganizationalUnitName, self.unit.as_deref()),
            (DnType::CommonName, common_name),
        ];
        for (kind, value) in fields {
            if let Some(value) = value {
                name.push(kind, value);
            }
        }
        name
    }
}

/// What a root may speak for (RFC 5280 §4.2.1.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraints {
    /// A name of a kind listed here must fall into one of that kind.
    pub permitted: Vec<Subtree>,
    /// A name that falls into one of these is refused.
    pub excluded: Vec<Subtree>,
}

impl Constraints {
    /// Room for exactly `permitted`. A list without addresses would let every address through, so a family without a
    /// network is excluded whole; one without domains would let every name through, so a domain that nobody can have
    /// (RFC 6761 §6.4) stands in for "none".
    pub fn to(mut permitted: Vec<Subtree>) -> Self {
        if !permitted.iter().any(|tree| matches!(tree, Subtree::Domain(_))) {
            permitted.push(Subtree::Domain("invalid".parse().expect("a constant name")));
        }
        permitted.sort();
        permitted.dedup();
        let everything: [Subtree; 2] = ["0.0.0.0", "::"].map(|any| {
            let any = any.parse().expect("a constant address");
            Subtree::Network(any, 0)
        });
        // One permitted network of either kind shuts out every other address, v4 and v6 alike (they are one kind to
        // RFC 5280), but not every verifier reads it so: exclude the other family too.
        let has = |family: &Subtree| permitted.iter().any(|tree| same_family(tree, family));
        let excluded = everything.into_iter().filter(|family| !has(family)).collect();
        Self { permitted, excluded }
    }

    /// Whether a certificate with `name` passes.
    pub fn admit(&self, name: &SubjectAltName) -> bool {
        let kind = |tree: &&Subtree| {
            matches!((tree, name), (Subtree::Network(..), SubjectAltName::Host(Host::Ip(_))))
                || matches!(
                    (tree, name),
                    (Subtree::Domain(_), SubjectAltName::Host(Host::Dns(_)) | SubjectAltName::Wildcard(_))
                )
        };
        let mut permitted = self.permitted.iter().filter(kind).peekable();
        let free = permitted.peek().is_none();
        (free || permitted.any(|tree| covers(tree, name)))
            && !self.excluded.iter().any(|tree| covers(tree, name))
    }
}

impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permitted: Vec<_> = self.permitted.iter().map(Subtree::to_string).collect();
        f.write_str(&permitted.join(", "))
    }
}

fn same_family(a: &Subtree, b: &Subtree) -> bool {
    match (a, b) {
        (Subtree::Network(a, _), Subtree::Network(b, _)) => a.is_ipv4() == b.is_ipv4(),
        (Subtree::Domain(_), Subtree::Domain(_)) => true,
        (Subtree::Domain(_), Subtree::Network(..)) | (Subtree::Network(..), Subtree::Domain(_)) => false,
    }
}

fn covers(tree: &Subtree, name: &SubjectAltName) -> bool {
    match (tree, name) {
        (Subtree::Domain(domain), SubjectAltName::Host(Host::Dns(name)) | SubjectAltName::Wildcard(name)) => {
            name.is_within(domain.as_str())
        }
        (Subtree::Network(network, prefix), SubjectAltName::Host(Host::Ip(ip))) => {
            network.is_ipv4() == ip.is_ipv4() && masked(*ip, *prefix) == *network
        }
        (Subtree::Domain(_), SubjectAltName::Host(Host::Ip(_)))
        | (Subtree::Network(..), SubjectAltName::Host(Host::Dns(_)) | SubjectAltName::Wildcard(_)) => false,
    }
}

/// What a new root is to be.
pub struct RootProfile<'a> {
    /// What it is the root of, for its common name: a domain or an address.
    pub label: &'a str,
    /// Who is behind it.
    pub subject: &'a Subject,
    /// `None`: it may speak for every name there is.
    pub constraints: Option<Constraints>,
}

/// What a new server certificate is to be.
pub struct ServerProfile<'a> {
    /// The names it is good for; the first is the common name.
    pub names: &'a [SubjectAltName],
    /// Who is behind it.
    pub subject: &'a Subject,
    /// How long from now, in days.
    pub days: u16,
}

/// A root certificate and the key that belongs to it.
#[derive(Debug, PartialEq)]
pub struct Authority {
    certificate: Certificate,
    key: PrivateKey,
}

impl Authority {
    /// A new root around `key`, good for ten years.
    pub fn create(profile: RootProfile<'_>, key: PrivateKey, now: OffsetDateTime) -> Result<Self, Fault> {
        let name = format!("{} Root CA {}", profile.label, date(now));
        let short = format!("regcert Root CA {}", date(now));
        let name = if name.len() <= COMMON_NAME_MAX { name } else { short };
        let mut params =
            params(profile.subject.distinguished_name(Some(&name)), Validity::starting(now, ROOT_DAYS)?);
        // Path length 1: room for one intermediate, and for the certificate by which its successor is trusted during a
        // rotation. The name constraints limit those too.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = profile.constraints.map(|constraints| NameConstraints {
            permitted_subtrees: constraints.permitted.iter().map(general_subtree).collect(),
            excluded_subtrees: constraints.excluded.iter().map(general_subtree).collect(),
        });
        if let Some(email) = &profile.subject.email {
            let email = email.as_str().try_into().map_err(|e| broken("the e-mail address", e))?;
            params.subject_alt_names = vec![SanType::Rfc822Name(email)];
        }
        let signed = params.self_signed(&key.pair).map_err(|e| broken("the root cannot be signed", e))?;
        Self::of(Certificate::from_pem(&signed.pem().replace('\r', ""))?, key)
    }

    /// An authority out of its two halves, where they belong together.
    pub fn of(certificate: Certificate, key: PrivateKey) -> Result<Self, Fault> {
        if certificate.public_key != key.public_key() {
            return Err(Fault::new("the root certificate and the root key do not belong together"));
        }
        if !certificate.is_authority {
            return Err(Fault::new("the root certificate may not sign certificates"));
        }
        Ok(Self { certificate, key })
    }

    /// The root certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The root's key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The names out of `names` that no client would accept from this root.
    pub fn refuses<'n>(&self, names: &'n [SubjectAltName]) -> Vec<&'n SubjectAltName> {
        let admits =
            |name: &SubjectAltName| self.certificate.constraints.as_ref().is_none_or(|c| c.admit(name));
        names.iter().filter(|name| !admits(name)).collect()
    }

    /// A server certificate for `key`, checked as a client would before anybody sees it.
    pub fn issue(
        &self,
        profile: ServerProfile<'_>,
        key: PrivateKey,
        now: OffsetDateTime,
    ) -> Result<ServerIdentity, Fault> {
        let validity = Validity::starting(now, profile.days)?;
        let ours = self.certificate.validity;
        if now < ours.not_before || validity.not_after > ours.not_after {
            let (from, until) = (date(ours.not_before), date(ours.not_after));
            return Err(Fault::new(format!(
                "the root certificate is good from {from} to {until}, and {} days from {} do not fit into that",
                profile.days,
                date(now)
            ))
            .hint("set this machine's clock, or ask for fewer `--days`"));
        }
        let first = profile.names.first().map(ToString::to_string);
        let common_name = first.filter(|name| name.len() <= COMMON_NAME_MAX);
        let mut params = params(profile.subject.distinguished_name(common_name.as_deref()), validity);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if key.is_rsa() {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = profile.names.iter().map(san).collect();
        let issuer = Issuer::from_ca_cert_der(self.certificate.der(), &self.key.pair)
            .map_err(|e| broken("the root certificate cannot sign", e))?;
        let signed = params
            .signed_by(&key.pair, &issuer)
            .map_err(|e| broken("the certificate cannot be signed", e))?;
        let identity =
            ServerIdentity::of(vec![Certificate::from_pem(&signed.pem().replace('\r', ""))?], key)?;
        let names: Vec<_> = profile.names.iter().map(ToString::to_string).collect();
        verify(&identity.chain, &self.certificate, &names, now)?;
        Ok(identity)
    }
}

/// The server's certificate chain (leaf first, no root) and the leaf's key.
#[derive(Debug, PartialEq)]
pub struct ServerIdentity {
    chain: Vec<Certificate>,
    key: PrivateKey,
}

impl ServerIdentity {
    /// An identity out of its two halves, where they belong together. An EC certificate with an RSA key would pass
    /// `nginx -t` and then fail every handshake.
    pub fn of(chain: Vec<Certificate>, key: PrivateKey) -> Result<Self, Fault> {
        match chain.first() {
            None => Err(Fault::new("there is no server certificate")),
            Some(leaf) if leaf.public_key != key.public_key() => {
                Err(Fault::new("the server certificate and the server key do not belong together"))
            }
            Some(_) => Ok(Self { chain, key }),
        }
    }

    /// Key and chain out of one PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Fault> {
        Self::of(Certificate::chain_from_pem(text)?, PrivateKey::from_pem(text)?)
    }

    /// Key and chain in one PEM text: whoever replaces the file replaces both.
    pub fn pem(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(format!("{}{}", self.key.pem(), self.chain_pem()))
    }

    /// The chain alone, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::pem).collect()
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> &Certificate {
        self.chain.first().expect("`of` lets no empty chain in")
    }
}

/// What every certificate of ours has: given dates, a given name, a serial number of its own, a key identifier.
fn params(distinguished_name: DistinguishedName, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name;
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    // rcgen's own choice is a hash of the key, which repeats when a key is used again (RFC 5280 §4.1.2.2).
    let mut serial = random::<16>();
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn san(name: &SubjectAltName) -> SanType {
    let dns = |name: String| SanType::DnsName(name.try_into().expect("a host name is ASCII"));
    match name {
        SubjectAltName::Host(Host::Ip(ip)) => SanType::IpAddress(*ip),
        SubjectAltName::Host(Host::Dns(name)) => dns(name.to_string()),
        SubjectAltName::Wildcard(_) => dns(name.to_string()),
    }
}

fn general_subtree(tree: &Subtree) -> GeneralSubtree {
    match tree {
        Subtree::Domain(name) => GeneralSubtree::DnsName(DnsName::to_string(name)),
        Subtree::Network(ip, prefix) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, *prefix)),
    }
}
