//! Certificate requests (PKCS#10, RFC 2986). regcert creates them for an external authority, and reads those that it
//! signs. It uses only the key and the names of a request. It reports the rest but never copies it, because a request could otherwise
//! obtain the rights of a CA. rcgen's own reader copies everything.

#[cfg(test)]
mod tests;

use rcgen::CertificateParams;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OidRegistry, format_oid};
use x509_parser::prelude::FromDer;

use super::authority::{common_name, san};
use super::file::{Content, Shape, blocks, content, decode, instead, shape};
use super::{PrivateKey, Subject, broken, certificate, der, key, sign};
use crate::error::Fault;
use crate::names::{SubjectAltName, printable};

/// The expected content of a file, as messages name it.
const WANTED: &str = "certificate request";

/// A certificate request. Its signature has been checked, and proves that the requester has the private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pem: String,
    /// The DER SubjectPublicKeyInfo, unchanged from the request.
    pub public_key: Vec<u8>,
    /// The type of the key: `ECDSA P-256`, `RSA 2048`.
    pub kind: String,
    /// The subject as one readable line. It is not verified, so do not copy it to a certificate without a check.
    pub subject: String,
    /// The requested host names and addresses. If the request has none, the common name.
    pub names: Vec<SubjectAltName>,
    /// The other requested properties as readable text. regcert does not grant them.
    pub ignored: Vec<String>,
}

impl Request {
    /// Creates a request for `names`, signed with `key`.
    pub fn create(key: &PrivateKey, names: &[SubjectAltName], subject: &Subject) -> Result<Self, Fault> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.distinguished_name(common_name(names).as_deref());
        params.subject_alt_names = names.iter().map(san).collect();
        let request = params
            .serialize_request(&key.pair)
            .map_err(|e| broken("the certificate request cannot be signed", e))?;
        Self::from_der(request.der())
    }

    /// Reads the only request in a file, PEM or DER.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let text = match content(bytes, WANTED)? {
            Content::Pem(text) => text,
            Content::Der(whole) => {
                return match shape(whole) {
                    Shape::Other("CERTIFICATE REQUEST") => Self::from_der(bytes),
                    Shape::Other(label) => Err(instead(label, WANTED)),
                    Shape::Pkcs8 | Shape::Pkcs1 | Shape::Sec1 | Shape::Encrypted => {
                        Err(instead("PRIVATE KEY", WANTED))
                    }
                    Shape::Unknown => Err(Fault::new("it is DER, but no certificate request")),
                };
            }
        };
        let blocks = blocks(&text)?;
        let mut requests = blocks.iter().filter(|(label, _)| label.ends_with("CERTIFICATE REQUEST"));
        match (requests.next(), requests.count()) {
            (Some((label, block)), 0) => Self::from_der(decode(label, block)?.contents()),
            (Some(_), more) => Err(Fault::new(format!("it holds {} certificate requests", more + 1))
                .hint("sign them one after the other")),
            (None, _) => Err(instead(blocks.first().map_or("nothing", |(label, _)| label), WANTED)),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, Fault> {
        let (rest, parsed) = X509CertificationRequest::from_der(der).map_err(|_| {
            Fault::new("the certificate request is damaged").hint("copy the whole file again")
        })?;
        if !rest.is_empty() {
            return Err(Fault::new("bytes follow the certificate request").hint("copy the whole file again"));
        }
        let info = &parsed.certification_request_info;
        let public_key = info.subject_pki.raw.to_vec();
        let kind = key::public_kind(&public_key)?;
        sign::check_signature(der, &public_key)?;
        let mut asked = Asked::default();
        for extension in parsed.requested_extensions().into_iter().flatten() {
            asked.add(extension)?;
        }
        if asked.names.is_empty() {
            let common_name = info.subject.iter_common_name().last().and_then(|name| name.as_str().ok());
            asked.names.extend(common_name.and_then(|name| name.parse().ok()));
        }
        if asked.names.is_empty() {
            return Err(Fault::new("the certificate request names no host")
                .hint("make it with `openssl req -new … -addext subjectAltName=DNS:registry.example.com`"));
        }
        Ok(Self {
            pem: der::pem("CERTIFICATE REQUEST", der),
            public_key,
            kind,
            subject: printable(&info.subject.to_string()),
            names: asked.names,
            ignored: asked.ignored,
        })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }
}

/// The contents of a request: the names to use, and the properties to report and ignore.
#[derive(Default)]
struct Asked {
    names: Vec<SubjectAltName>,
    ignored: Vec<String>,
}

impl Asked {
    #[allow(clippy::wildcard_enum_match_arm)] // Each other extension is reported by its name.
    fn add(&mut self, extension: &ParsedExtension<'_>) -> Result<(), Fault> {
        match extension {
            ParsedExtension::SubjectAlternativeName(list) => {
                return list.general_names.iter().try_for_each(|name| self.add_name(name));
            }
            ParsedExtension::ParseError { .. } | ParsedExtension::Unparsed => {
                return Err(Fault::new("an extension of the certificate request is damaged"));
            }
            // Not reported, because every server certificate has these properties.
            ParsedExtension::SubjectKeyIdentifier(_) => {}
            ParsedExtension::BasicConstraints(basic) if !basic.ca => {}
            ParsedExtension::KeyUsage(usage) if !usage.key_cert_sign() && !usage.crl_sign() => {}
            ParsedExtension::ExtendedKeyUsage(usage)
                if !usage.any
                    && !usage.code_signing
                    && !usage.email_protection
                    && !usage.time_stamping
                    && !usage.ocsp_signing
                    && usage.other.is_empty() => {}
            ParsedExtension::BasicConstraints(_) => {
                self.ignored.push("the rights of a certificate authority".into())
            }
            ParsedExtension::KeyUsage(_) => {
                self.ignored.push("the right to sign certificates or revocation lists".into());
            }
            ParsedExtension::ExtendedKeyUsage(_) => {
                self.ignored.push("uses other than TLS server and client".into());
            }
            ParsedExtension::NameConstraints(_) => self.ignored.push("name constraints".into()),
            ParsedExtension::UnsupportedExtension { oid } => {
                let registry = OidRegistry::default().with_x509();
                self.ignored.push(format!("extension `{}`", format_oid(oid, &registry)));
            }
            other => {
                // `Debug` prints `CertificatePolicies(…)`: the name of the variant is the name of the extension.
                let debug = format!("{other:?}");
                let name = debug.split('(').next().unwrap_or_default();
                self.ignored.push(format!("extension `{}`", printable(name)));
            }
        }
        Ok(())
    }

    fn add_name(&mut self, name: &GeneralName<'_>) -> Result<(), Fault> {
        let other = match name {
            GeneralName::DNSName(name) => return self.add_host(name),
            GeneralName::IPAddress(bytes) => {
                let ip = certificate::address(bytes)
                    .ok_or_else(|| Fault::new("the certificate request asks for an address that is none"))?;
                return self.add_host(&ip.to_string());
            }
            GeneralName::RFC822Name(name) => format!("e-mail address `{}`", printable(name)),
            GeneralName::URI(name) => format!("URI `{}`", printable(name)),
            GeneralName::DirectoryName(name) => format!("directory name `{}`", printable(&name.to_string())),
            GeneralName::RegisteredID(oid) => format!("registered identifier `{oid}`"),
            GeneralName::OtherName(oid, _) => format!("name of the type `{oid}`"),
            GeneralName::X400Address(_) | GeneralName::EDIPartyName(_) | GeneralName::Invalid(..) => {
                "a name of no use to TLS".into()
            }
        };
        self.ignored.push(other);
        Ok(())
    }

    fn add_host(&mut self, name: &str) -> Result<(), Fault> {
        let name: SubjectAltName = name.parse().map_err(|fault: Fault| Fault {
            message: format!("the certificate request asks for a name that cannot be: {}", fault.message),
            hint: fault.hint,
        })?;
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        Ok(())
    }
}
