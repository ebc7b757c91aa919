//! The certificate authority: a root or an intermediate with its chain and key, created by regcert or imported.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::constraints::Constraints;
use super::subject::{COMMON_NAME_MAX, Subject};
use super::{
    Certificate, KeyAtRest, PrivateKey, Request, ServerIdentity, Validity, broken, date, random, sign,
    verify, when,
};
use crate::error::Fault;
use crate::names::{Host, SubjectAltName, Username};

/// The validity of a root, in days. Machines in factories run for about ten years, and clients accept a root that is
/// valid for so long.
const ROOT_DAYS: u16 = 3650;

/// The properties of a new root.
pub struct RootProfile<'a> {
    /// The domain or address that the root is for; it becomes a part of the common name.
    pub label: &'a str,
    /// The part of the common name that distinguishes the root from earlier ones: `2026.11.20`, `2026.11.20.1`.
    pub edition: &'a str,
    /// The organization in the subject.
    pub subject: &'a Subject,
    /// The name constraints; `None` permits every name.
    pub constraints: Option<Constraints>,
    /// The path length: the maximum number of authorities between the root and a server certificate.
    pub levels: u8,
}

/// The properties of a new server certificate.
pub struct ServerProfile<'a> {
    /// The names that the certificate is valid for; the first host name is also the common name.
    pub names: &'a [SubjectAltName],
    /// The organization in the subject.
    pub subject: &'a Subject,
    /// The validity in days, from now.
    pub days: u16,
}

/// A certificate authority: the certificates from the signer to the root, and the signer's key.
#[derive(Debug, PartialEq)]
pub struct Authority {
    /// The certificates from the signer to the root; only one certificate if the root itself signs.
    chain: Vec<Certificate>,
    key: KeyAtRest,
}

impl Authority {
    /// Creates a self-signed root with the key `key`, valid for ten years.
    pub fn create(profile: &RootProfile<'_>, key: PrivateKey, now: OffsetDateTime) -> Result<Self, Fault> {
        let params = root_params(profile, now)?;
        let root = params.self_signed(&key.pair).map_err(|e| broken("the root cannot be signed", e))?;
        Self::of(vec![Certificate::from_pem(&root.pem().replace('\r', ""))?], KeyAtRest::clear(key))
    }

    /// Creates an intermediate below this authority. The intermediate's key can stay on this machine while the key of
    /// this authority is moved to a safe place.
    pub fn delegate(
        &self,
        profile: &RootProfile<'_>,
        key: PrivateKey,
        now: OffsetDateTime,
    ) -> Result<Self, Fault> {
        let mut params = root_params(profile, now)?;
        let name = authority_name(profile, "Intermediate CA");
        params.distinguished_name = profile.subject.distinguished_name(Some(&name));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.subject_alt_names = Vec::new();
        params.not_after = params.not_after.min(self.root().validity.not_after);
        params.use_authority_key_identifier_extension = true;
        let signer = sign(params, &key.public_key(), self.signer(), self.key.open()?)?;
        Self::of([vec![signer], self.chain.clone()].concat(), KeyAtRest::clear(key))
    }

    /// Cross-signs the root of `successor`, so that clients that trust only this root can verify certificates from
    /// `successor`.
    pub fn vouch_for(
        &self,
        successor: &Self,
        profile: &RootProfile<'_>,
        now: OffsetDateTime,
    ) -> Result<Certificate, Fault> {
        self.can_vouch(profile.levels)?;
        let mut params = root_params(profile, now)?;
        params.not_before = params.not_before.max(self.root().validity.not_before);
        params.not_after = params.not_after.min(self.root().validity.not_after);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(profile.levels - 1));
        params.use_authority_key_identifier_extension = true;
        let vouched = sign(params, &successor.root().public_key, self.root(), self.key.open()?)?;
        debug_assert_eq!(vouched.subject, successor.root().subject);
        Ok(vouched)
    }

    /// Fails if this root cannot cross-sign its successor because the root's path length is less than `levels`.
    pub fn can_vouch(&self, levels: u8) -> Result<(), Fault> {
        if self.root().path_length.is_some_and(|length| length < u32::from(levels)) {
            return Err(Fault::new(
                "the root certificate allows no other authority below it, so it cannot vouch for its successor",
            )
            .hint("`regcert csr` makes a request for another authority; when this root has ended, `regcert rotate --ca` replaces it without its help"));
        }
        Ok(())
    }

    /// Imports an external authority. The certificates may be in any order; `key` belongs to one of them.
    pub fn import(
        certificates: Vec<Certificate>,
        key: KeyAtRest,
        now: OffsetDateTime,
    ) -> Result<Self, Fault> {
        let public_key = key.open()?.public_key();
        let Some(signer) = certificates.iter().find(|certificate| certificate.public_key == public_key)
        else {
            return Err(Fault::new("the key belongs to none of the certificates")
                .hint("compare `openssl x509 -noout -pubkey` of the certificate with `openssl pkey -pubout` of the key"));
        };
        let chain = Certificate::order(signer.clone(), &certificates)?;
        for (below, certificate) in chain.iter().enumerate() {
            certificate.fit_to_sign(below.try_into().unwrap_or(u32::MAX), now)?;
        }
        Self::of(chain, key)
    }

    /// Combines a chain and a key; fails if they do not match. For a locked key, `check_unlocked` checks this later.
    pub fn of(chain: Vec<Certificate>, key: KeyAtRest) -> Result<Self, Fault> {
        let Some(signer) = chain.first() else {
            return Err(Fault::new("there is no authority's certificate"));
        };
        if key.is_open() && signer.public_key != key.open()?.public_key() {
            return Err(Fault::new("the authority's certificate and its key do not belong together"));
        }
        if let Some(other) = chain.iter().find(|certificate| !certificate.is_authority) {
            return Err(Fault::new(format!(
                "the certificate of `{}` may not sign certificates",
                other.subject_text
            )));
        }
        Ok(Self { chain, key })
    }

    /// The root certificate, which clients trust.
    pub fn root(&self) -> &Certificate {
        self.chain.last().expect("`of` lets no empty chain in")
    }

    /// The certificate whose key signs.
    pub fn signer(&self) -> &Certificate {
        self.chain.first().expect("`of` lets no empty chain in")
    }

    /// The certificates between a server certificate and the root, signer first; empty if the root itself signs.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.chain[..self.chain.len() - 1]
    }

    pub fn key(&self) -> &KeyAtRest {
        &self.key
    }

    /// The key, for callers that unlock or encrypt it.
    pub fn key_mut(&mut self) -> &mut KeyAtRest {
        &mut self.key
    }

    pub fn into_key(self) -> KeyAtRest {
        self.key
    }

    /// Fails if the key does not belong to the certificate. `of` does not check this for a locked key.
    pub fn check_unlocked(&self) -> Result<(), Fault> {
        if self.signer().public_key == self.key.open()?.public_key() {
            return Ok(());
        }
        Err(Fault::new("the authority's certificate and its key do not belong together"))
    }

    /// The names that the name constraints of the chain do not permit. Clients would refuse a certificate for these
    /// names.
    pub fn refuses<'n>(&self, names: &'n [SubjectAltName]) -> Vec<&'n SubjectAltName> {
        let admits = |name: &SubjectAltName| {
            self.chain
                .iter()
                .filter_map(|certificate| certificate.constraints.as_ref())
                .all(|c| c.admit(name))
        };
        names.iter().filter(|name| !admits(name)).collect()
    }

    /// Issues a server certificate for `key`, and verifies the certificate as a client would.
    pub fn issue(
        &self,
        profile: &ServerProfile<'_>,
        key: PrivateKey,
        now: OffsetDateTime,
    ) -> Result<ServerIdentity, Fault> {
        let leaf = self.issue_leaf(profile, &key.public_key(), key.is_rsa(), now)?;
        ServerIdentity::of([vec![leaf], self.intermediates().to_vec()].concat(), key)
    }

    /// Issues a server certificate for a request that was made elsewhere. Only the key comes from the request. The
    /// names come from `profile`, and regcert chooses the rest.
    pub fn issue_for(
        &self,
        request: &Request,
        profile: &ServerProfile<'_>,
        now: OffsetDateTime,
    ) -> Result<Vec<Certificate>, Fault> {
        let leaf = self.issue_leaf(profile, &request.public_key, request.kind.starts_with("RSA"), now)?;
        Ok([vec![leaf], self.intermediates().to_vec()].concat())
    }

    fn issue_leaf(
        &self,
        profile: &ServerProfile<'_>,
        public_key: &[u8],
        rsa: bool,
        now: OffsetDateTime,
    ) -> Result<Certificate, Fault> {
        let validity = self.fit(Validity::starting(now, profile.days)?, now)?;
        let common_name = common_name(profile.names);
        let mut params = params(profile.subject.distinguished_name(common_name.as_deref()), validity);
        if params.distinguished_name.iter().next().is_none() {
            // With an empty subject, RFC 5280 §4.1.2.6 requires critical SANs, and some clients do not support these.
            params.distinguished_name.push(DnType::OrganizationName, "regcert");
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if rsa {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = profile.names.iter().map(san).collect();
        let leaf = sign(params, public_key, self.signer(), self.key.open()?)?;
        let names: Vec<_> = profile.names.iter().map(ToString::to_string).collect();
        verify(&[vec![leaf.clone()], self.intermediates().to_vec()].concat(), self.root(), &names, now)?;
        Ok(leaf)
    }

    /// Issues a client certificate for `name`, with a new key.
    pub fn issue_client(
        &self,
        name: &Username,
        days: u16,
        now: OffsetDateTime,
    ) -> Result<ServerIdentity, Fault> {
        let key = PrivateKey::generate(super::KeyType::P256);
        let validity = self.fit(Validity::starting(now, days)?, now)?;
        // With the space, the common name is not a valid host name, so OpenSSL ignores it when it checks name
        // constraints.
        let common_name = format!("{name} (client)");
        let mut params = params(Subject::default().distinguished_name(Some(&common_name)), validity);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = sign(params, &key.public_key(), self.signer(), self.key.open()?)?;
        ServerIdentity::of([vec![leaf], self.intermediates().to_vec()].concat(), key)
    }

    /// The earliest end of validity in the chain. After it, clients refuse every certificate from this authority.
    pub fn ends(&self) -> OffsetDateTime {
        self.chain.iter().map(|above| above.validity.not_after).min().expect("`of` lets no empty chain in")
    }

    /// Ends `validity` no later than the chain, because clients refuse a certificate that outlives its issuer.
    fn fit(&self, validity: Validity, now: OffsetDateTime) -> Result<Validity, Fault> {
        let begins = self.chain.iter().map(|above| above.validity.not_before).max();
        if let Some(begins) = begins.filter(|begins| now < *begins) {
            return Err(Fault::new(format!(
                "the authority's certificate begins on {}, and today is {}",
                date(begins),
                date(now)
            ))
            .hint("set this machine's clock"));
        }
        if now > self.ends() {
            return Err(Fault::new(format!(
                "the authority's certificate {}: it can sign nothing more",
                when(self.ends(), now)
            ))
            .hint("run `regcert rotate --ca --reload`, which replaces the root, and give every client the new one; if this machine's clock is wrong, set it"));
        }
        Ok(Validity { not_after: validity.not_after.min(self.ends()), ..validity })
    }
}

fn authority_name(profile: &RootProfile<'_>, kind: &str) -> String {
    let name = format!("{} {kind} {}", profile.label, profile.edition);
    if name.len() <= COMMON_NAME_MAX { name } else { format!("regcert {kind} {}", profile.edition) }
}

/// The first host name, if it is short enough for a common name. An address is never the common name: OpenSSL and
/// GnuTLS check `CN=10.0.0.1` against the root's DNS constraints.
pub(super) fn common_name(names: &[SubjectAltName]) -> Option<String> {
    let host = names.iter().find(|name| matches!(name, SubjectAltName::Host(Host::Dns(_))));
    host.map(ToString::to_string).filter(|name| name.len() <= COMMON_NAME_MAX)
}

fn root_params(profile: &RootProfile<'_>, now: OffsetDateTime) -> Result<CertificateParams, Fault> {
    let name = authority_name(profile, "Root CA");
    let mut params =
        params(profile.subject.distinguished_name(Some(&name)), Validity::starting(now, ROOT_DAYS)?);
    // The path length allows an intermediate, and the cross-signed certificate of a successor during a rotation. The
    // name constraints apply to both.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(profile.levels));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = profile.constraints.as_ref().map(Constraints::to_rcgen);
    if let Some(email) = &profile.subject.email {
        let email = email.as_str().try_into().map_err(|e| broken("the e-mail address", e))?;
        params.subject_alt_names = vec![SanType::Rfc822Name(email)];
    }
    Ok(params)
}

/// The parameters that all certificates from regcert have: the given name and dates, a random serial number and a key
/// identifier.
fn params(distinguished_name: DistinguishedName, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name;
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    // rcgen's default is a hash of the key, but two certificates for one key need different numbers (RFC 5280
    // §4.1.2.2).
    let mut serial = random::<16>();
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

pub(super) fn san(name: &SubjectAltName) -> SanType {
    let dns = |name: String| SanType::DnsName(name.try_into().expect("a host name is ASCII"));
    match name {
        SubjectAltName::Host(Host::Ip(ip)) => SanType::IpAddress(*ip),
        SubjectAltName::Host(Host::Dns(name)) => dns(name.to_string()),
        SubjectAltName::Wildcard(_) => dns(name.to_string()),
    }
}
