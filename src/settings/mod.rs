//! What a registry is wanted to be: `regcert.toml` and the options of `init`, checked by one and the same code.

mod alternatives;
mod kinds;
mod raw;
mod text;

pub use kinds::{BlobsBy, ClientAuth, Data, Delete, Proxy, RunAs, Signer};
pub use raw::{RawSettings, Side, days};

use toml_edit::{DocumentMut, value};

use crate::error::{Fault, Gather};
use crate::names::{
    DnsName, Host, ImageRef, Repositories, SubjectAltName, Upstream, Webhook, printable, short,
};
use crate::pki::{KeyType, Subject};
use raw::Fields;
use text::{meaning, set, shown};

/// Apple refuses a server certificate that is good for longer, from private authorities too
/// (support.apple.com/103769).
pub const DAYS_MAX: u16 = 825;

/// Beyond this many days public authorities may not go, and some clients follow them.
pub const DAYS_ADVISED: u16 = 398;

/// The most names of one certificate, as many as public authorities take. With 253 characters each they are 26 kB; Java
/// reads handshake messages of 32 kB (`jdk.tls.maxHandshakeMessageSize`), Go of 64 kB.
const NAMES_MAX: usize = 100;

/// The most characters of a name and a port together: `NAME..PORT` is a key of an OpenShift ConfigMap, of 253 characters
/// (Kubernetes), and `NAME:PORT` a directory of Docker.
const WAY_MAX: usize = 253;

/// What `gen_config.py` called a registry for want of another name.
const DEFAULT_SERVER: &str = "registry";
const DEFAULT_DOMAIN: &str = "local.priv";

/// Everything a registry is meant to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As typed: a label, a full name, or an address.
    pub server: Host,
    /// `None` for an address.
    pub domain: Option<DnsName>,
    /// More names, without those that follow from `server` and `domain`.
    pub sans: Vec<SubjectAltName>,
    /// Kind of the server's key; the root gets the same at its creation.
    pub key_type: KeyType,
    /// How long a server certificate is good for.
    pub days: u16,
    /// Who is behind the certificates.
    pub subject: Subject,
    /// Who stands in front.
    pub proxy: Proxy,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
    /// Who hands out the layers.
    pub blobs_by: BlobsBy,
    /// Whether admins may delete images.
    pub delete: Delete,
    /// Published beside `https_port`: a port that asks for no password and takes no push.
    pub anonymous_port: Option<u16>,
    /// What can be pulled there.
    pub anonymous_repos: Repositories,
    /// Who signs.
    pub authority: Signer,
    /// Published for the redirect to https and for the page that clients need before they trust https.
    pub http_port: Option<u16>,
    /// Published for the registry.
    pub https_port: u16,
    /// Where images are kept.
    pub data: Data,
    /// Who the containers run as.
    pub run_as: RunAs,
    /// The registry's image.
    pub registry_image: ImageRef,
    /// nginx's image.
    pub nginx_image: ImageRef,
    /// What it is a mirror of, where it is one.
    pub mirror_of: Option<Upstream>,
    /// Who is told of pushes and pulls.
    pub notify: Vec<Webhook>,
    /// Published on this machine only, for Prometheus.
    pub metrics_port: Option<u16>,
}

impl Settings {
    /// The settings, checked, with the defaults of `gen_config.py` where nothing is said. Every fault goes to `gather`
    /// under the name that `side` gives it.
    pub fn check(settings: &RawSettings, side: Side, invoker: RunAs, gather: &mut Gather) -> Option<Self> {
        let mut fields = Fields { side, gather };
        let server: Option<Host> = fields.parse("server", &settings.server, DEFAULT_SERVER);
        let domain = fields.domain(&settings.domain, server.as_ref());
        let sans = settings.sans.iter().flatten().map(|san| fields.value("sans", san)).collect::<Vec<_>>();
        let subject = Subject {
            country: fields.country(&settings.country),
            state: fields.text("state", &settings.state, "ON", 128),
            locality: fields.text("locality", &settings.locality, "", 128),
            company: fields.text("company", &settings.company, "NA", 64),
            unit: fields.text("unit", &settings.unit, "", 64),
            email: fields.email(&settings.email),
        };
        let run_as = settings.run_as.as_ref().map_or(Some(invoker), |text| fields.value("run-as", text));
        let registry_image = fields.parse("registry-image", &settings.registry_image, "registry:3");
        let nginx_image = fields.parse("nginx-image", &settings.nginx_image, "nginx:stable-alpine");
        let mirror_of = fields.optional("mirror-of", &settings.mirror_of);
        let spec = Self {
            key_type: fields.parse("key-type", &settings.key_type, "p256").unwrap_or_default(),
            days: fields.days(&settings.days),
            subject,
            proxy: fields.parse("proxy", &settings.proxy, "nginx").unwrap_or(Proxy::Nginx),
            client_auth: fields.parse("client-auth", &settings.client_auth, "off").unwrap_or(ClientAuth::Off),
            blobs_by: fields.parse("blobs-by", &settings.blobs_by, "nginx").unwrap_or(BlobsBy::Nginx),
            delete: fields.parse("delete", &settings.delete, "on").unwrap_or(Delete::Off),
            anonymous_port: fields.optional_port("anonymous-port", &settings.anonymous_port),
            anonymous_repos: fields.repositories("anonymous-repos", &settings.anonymous_repos),
            authority: fields.parse("authority", &settings.authority, "own").unwrap_or(Signer::Own),
            http_port: fields
                .optional_port("http-port", &Some(settings.http_port.clone().unwrap_or("80".to_owned()))),
            https_port: fields.port("https-port", &settings.https_port, 443),
            data: fields.parse("data", &settings.data, "./data").unwrap_or(Data::Volume),
            notify: fields.webhooks(&settings.notify),
            metrics_port: fields.optional_port("metrics-port", &settings.metrics_port),
            mirror_of: mirror_of?,
            run_as: run_as?,
            registry_image: registry_image?,
            nginx_image: nginx_image?,
            sans: sans.into_iter().flatten().collect(),
            server: server?,
            domain: domain?,
        };
        spec.agrees(gather);
        Some(spec)
    }

    /// What no setting can say alone.
    fn agrees(&self, gather: &mut Gather) {
        let redirect = self.http_port.filter(|_| self.proxy == Proxy::Nginx);
        let ports: Vec<_> = [redirect, Some(self.https_port), self.anonymous_port, self.metrics_port]
            .into_iter()
            .flatten()
            .collect();
        for (n, port) in ports.iter().enumerate() {
            if ports[..n].contains(port) {
                gather.push(Fault::new(format!("port {port} is asked for twice")));
            }
        }
        if self.proxy == Proxy::None && self.client_auth != ClientAuth::Off {
            let fault = Fault::new(
                "client certificates need nginx: the registry cannot tell a revoked one from a good one",
            );
            gather.push(fault.hint("leave --client-auth out, or take `--proxy nginx`"));
        }
        if self.proxy == Proxy::None && self.anonymous_port.is_some() {
            let fault =
                Fault::new("a port without passwords needs nginx: the registry would take pushes there");
            gather.push(fault.hint("leave --anonymous-port out, or take `--proxy nginx`"));
        }
        match self.checked_host() {
            Ok(_) => self.names_fit(gather),
            Err(fault) => gather.push(fault),
        }
    }

    /// What all names together can be too much for.
    fn names_fit(&self, gather: &mut Gather) {
        let names = self.names();
        if names.len() > NAMES_MAX {
            let fault = Fault::new(format!(
                "{} names are too many for one certificate: clients take {NAMES_MAX}",
                names.len()
            ));
            gather.push(fault.hint("a wildcard, `--san '*.myhouse.local'`, covers many"));
        }
        for (host, port) in self.ways().iter().filter(|(_, port)| *port != 443) {
            if host.to_string().len() + format!("..{port}").len() > WAY_MAX {
                let fault = Fault::new(format!(
                    "the name {} is too long for a registry on port {port}: clients keep what they trust under both",
                    printable(&host.to_string())
                ));
                let most = WAY_MAX - "..65535".len();
                gather
                    .push(fault.hint(format!("take a name of at most {most} characters, or port 443 alone")));
            }
        }
    }

    /// Whether the registry has the name that `init` gives one for want of another.
    pub fn has_default_name(&self) -> bool {
        let domain = self.domain.as_ref().map(DnsName::as_str);
        self.server.to_string() == DEFAULT_SERVER && domain == Some(DEFAULT_DOMAIN)
    }

    /// The name clients use: `<server>.<domain>`, or the address.
    pub fn host(&self) -> Host {
        self.checked_host().expect("`check` refused names that are too long")
    }

    /// `host` as a part of file names.
    pub fn host_stem(&self) -> String {
        short(&self.host().to_string())
    }

    fn checked_host(&self) -> Result<Host, Fault> {
        match (&self.server, &self.domain) {
            (Host::Dns(server), Some(domain)) if !server.is_within(domain.as_str()) => {
                server.below(domain).map(Host::Dns)
            }
            (server @ (Host::Dns(_) | Host::Ip(_)), _) => Ok(server.clone()),
        }
    }

    /// Host and port as they stand in an image reference; 443 is not written.
    pub fn registry(&self) -> String {
        self.registry_at(self.https_port)
    }

    /// The host with the port that asks for no password.
    pub fn anonymous_registry(&self) -> Option<String> {
        self.anonymous_port.map(|port| self.registry_at(port))
    }

    fn registry_at(&self, port: u16) -> String {
        reference(&self.host(), port)
    }

    /// Host and port of every way to the registry that can stand in an image reference, [`Self::registry`] first: each
    /// name of the certificate, with each port.
    pub fn ways(&self) -> Vec<(Host, u16)> {
        let hosts = self.names().into_iter().filter_map(|name| match name {
            SubjectAltName::Host(host) => Some(host),
            // No runtime looks for a root by a pattern.
            SubjectAltName::Wildcard(_) => None,
        });
        let ports: Vec<_> = std::iter::once(self.https_port).chain(self.anonymous_port).collect();
        let ways = hosts.flat_map(|host| ports.clone().into_iter().map(move |port| (host.clone(), port)));
        ways.filter(|(host, port)| *host == self.host() || is_in_references(host, *port)).collect()
    }

    /// The server's name without its domain, where that is another name.
    pub fn bare_name(&self) -> Option<SubjectAltName> {
        let (Host::Dns(name), Some(domain)) = (self.host(), &self.domain) else {
            return None;
        };
        let bare = name.as_str().strip_suffix(&format!(".{domain}"))?;
        Some(SubjectAltName::Host(Host::Dns(bare.parse().expect("what stands before a domain is a name"))))
    }

    /// Every name the server certificate covers, the one clients use first.
    pub fn names(&self) -> Vec<SubjectAltName> {
        let own = [Some(SubjectAltName::Host(self.host())), self.bare_name()].into_iter().flatten();
        let mut names: Vec<SubjectAltName> = Vec::new();
        for name in own.chain(self.sans.iter().cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What the root is the root of: the domain, or the address.
    pub fn label(&self) -> String {
        self.domain.as_ref().map_or_else(|| self.server.to_string(), DnsName::to_string)
    }

    /// The keys of regcert.toml in which `other` differs, with the value here and there.
    pub fn differences(&self, other: &Self) -> Result<Vec<(String, String, String)>, Fault> {
        let read = |spec: &Self| -> Result<DocumentMut, Fault> {
            Ok(spec.to_toml(None)?.parse().expect("what was written can be read"))
        };
        let (old, new) = (read(self)?, read(other)?);
        let differ = |key: &str| meaning(&old[key]) != meaning(&new[key]);
        let keys = new.iter().map(|(key, _)| key).filter(|key| differ(key));
        Ok(keys.map(|key| (key.to_owned(), shown(&old[key]), shown(&new[key]))).collect())
    }

    /// `regcert.toml` with this in it: `old` where it is given, with only what differs changed and every comment kept.
    pub fn to_toml(&self, old: Option<&str>) -> Result<String, Fault> {
        let fresh = include_str!("../../templates/regcert.toml");
        let mut document: DocumentMut = old
            .unwrap_or(fresh)
            .parse()
            .map_err(|e: toml_edit::TomlError| Fault::new(format!("regcert.toml cannot be read: {e}")))?;
        let subject = &self.subject;
        let texts = [
            ("server", Some(self.server.to_string())),
            ("domain", self.domain.as_ref().map(DnsName::to_string)),
            ("key-type", Some(self.key_type.to_string())),
            ("country", subject.country.clone()),
            ("state", subject.state.clone()),
            ("locality", subject.locality.clone()),
            ("company", subject.company.clone()),
            ("unit", subject.unit.clone()),
            ("email", subject.email.clone()),
            ("authority", Some(self.authority.to_string())),
            ("proxy", Some(self.proxy.to_string())),
            ("client-auth", Some(self.client_auth.to_string())),
            ("blobs-by", Some(self.blobs_by.to_string())),
            ("delete", Some(self.delete.to_string())),
            ("data", Some(self.data.to_string())),
            ("run-as", Some(self.run_as.to_string())),
            ("registry-image", Some(self.registry_image.to_string())),
            ("nginx-image", Some(self.nginx_image.to_string())),
            ("mirror-of", self.mirror_of.as_ref().map(Upstream::to_string)),
        ];
        for (key, text) in texts {
            // An empty text says "none", where a missing key would say "the default".
            set(&mut document, key, value(text.unwrap_or_default()));
        }
        let numbers = [
            ("days", self.days),
            ("http-port", self.http_port.unwrap_or(0)),
            ("https-port", self.https_port),
            ("anonymous-port", self.anonymous_port.unwrap_or(0)),
            ("metrics-port", self.metrics_port.unwrap_or(0)),
        ];
        for (key, number) in numbers {
            set(&mut document, key, value(i64::from(number)));
        }
        let sans = self.sans.iter().map(ToString::to_string).collect::<toml_edit::Array>();
        let notify = self.notify.iter().map(ToString::to_string).collect::<toml_edit::Array>();
        set(&mut document, "sans", value(sans));
        set(&mut document, "notify", value(notify));
        let anonymous = Vec::from(self.anonymous_repos.clone()).into_iter().collect::<toml_edit::Array>();
        set(&mut document, "anonymous-repos", value(anonymous));
        Ok(document.to_string())
    }
}

/// Host and port as they stand in an image reference; 443 is not written.
pub fn reference(host: &Host, port: u16) -> String {
    let host = match host {
        Host::Ip(ip) if ip.is_ipv6() => format!("[{ip}]"),
        host @ (Host::Ip(_) | Host::Dns(_)) => host.to_string(),
    };
    if port == 443 { host } else { format!("{host}:{port}") }
}

/// Whether clients take it for a registry: without a dot or a port, they take it for a part of a repository's name on
/// Docker Hub (`splitDockerDomain` in github.com/distribution/reference).
fn is_in_references(host: &Host, port: u16) -> bool {
    let reference = reference(host, port);
    reference.contains(['.', ':']) || reference == "localhost"
}

#[cfg(test)]
mod tests;
