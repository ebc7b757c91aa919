//! The settings of a registry: `regcert.toml` and the options of `init`, checked by the same code.

mod alternatives;
mod choices;
mod fields;
mod kind;
mod row;
mod table;
mod text;

pub use choices::{BlobsBy, ClientAuth, Data, Delete, Proxy, RunAs, Signer};
pub use fields::Side;
pub use kind::days;
pub use row::{Group, below};
pub use table::{RawSettings, Settings, TABLE};

use std::collections::BTreeMap;

use toml_edit::DocumentMut;

use crate::error::{Fault, Gather};
use crate::names::{DnsName, Host, SubjectAltName, printable, short};
use crate::pki::Subject;
use fields::Fields;
use row::row;
use text::set;

/// The maximum validity of a server certificate, in days. Apple's systems refuse a longer validity, also from private
/// authorities (support.apple.com/103769).
pub const DAYS_MAX: u16 = 825;

/// The maximum validity, in days, of a certificate from a public authority. Some clients enforce this limit for all
/// authorities.
pub const DAYS_ADVISED: u16 = 398;

/// The maximum number of names in one certificate, as for public authorities. With 253 characters each, the names
/// take 26 kB; Java accepts handshake messages of 32 kB (`jdk.tls.maxHandshakeMessageSize`), Go of 64 kB.
const NAMES_MAX: usize = 100;

/// The maximum length of a name and a port together, in characters. `NAME..PORT` is a key of an OpenShift ConfigMap,
/// which Kubernetes limits to 253 characters, and `NAME:PORT` is a directory of Docker.
const WAY_MAX: usize = 253;

/// The first lines of regcert.toml.
const INTRODUCTION: &str = "\
# The settings of this registry. Edit them here, or use the options of `regcert init`. Then run `regcert init`, which
# applies the change and issues a new server certificate. It keeps your comments. This file contains no secret.
";

impl Settings {
    /// Checks the settings, and uses the defaults of the table for missing ones. Adds every fault to `gather`, under
    /// the name that `side` gives the setting. Returns `None` if a single setting has a fault.
    pub fn check(raw: &RawSettings, side: Side, invoker: RunAs, gather: &mut Gather) -> Option<Self> {
        let mut fields = Fields::new(side, gather);
        let settings = Self::read(&raw.derived(invoker), &mut fields);
        if let (Host::Ip(ip), Some(domain)) = (&settings.server, &settings.domain)
            && !fields.refused(&["server"])
        {
            let fault = format!("`{ip}` is an address and is in no domain, not in `{domain}`");
            fields.fault(
                row("domain"),
                Fault::new(fault).hint("leave the domain out, or give the server a name"),
            );
        }
        if !fields.refused(&["server", "domain"]) {
            settings.agrees(&mut fields);
        }
        fields.are_fine().then_some(settings)
    }

    /// Adds the faults of settings that contradict each other.
    fn agrees(&self, fields: &mut Fields<'_>) {
        let redirect = self.http_port.filter(|_| self.proxy == Proxy::Nginx);
        let ports: Vec<_> = [redirect, Some(self.https_port), self.anonymous_port, self.metrics_port]
            .into_iter()
            .flatten()
            .collect();
        for (n, port) in ports.iter().enumerate() {
            if ports[..n].contains(port) {
                fields.disagree(Fault::new(format!("port {port} is asked for twice")));
            }
        }
        if self.proxy == Proxy::None && self.client_auth != ClientAuth::Off {
            let fault = Fault::new(
                "client certificates need nginx: the registry cannot tell a revoked one from a good one",
            );
            fields.disagree(fault.hint("leave --client-auth out, or take `--proxy nginx`"));
        }
        if self.proxy == Proxy::None && self.anonymous_port.is_some() {
            let fault =
                Fault::new("a port without passwords needs nginx: the registry would take pushes there");
            fields.disagree(fault.hint("leave --anonymous-port out, or take `--proxy nginx`"));
        }
        match self.checked_host() {
            Ok(_) => self.names_fit(fields),
            Err(fault) => fields.disagree(fault),
        }
    }

    /// Checks the number and the length of the names.
    fn names_fit(&self, fields: &mut Fields<'_>) {
        let names = self.names();
        if names.len() > NAMES_MAX {
            let fault = Fault::new(format!(
                "{} names are too many for one certificate: clients take {NAMES_MAX}",
                names.len()
            ));
            fields.disagree(fault.hint("a wildcard, `--san '*.myhouse.local'`, covers many"));
        }
        for (host, port) in self.ways().iter().filter(|(_, port)| *port != 443) {
            if host.to_string().len() + format!("..{port}").len() > WAY_MAX {
                let fault = Fault::new(format!(
                    "the name {} is too long for a registry on port {port}: clients keep what they trust under both",
                    printable(&host.to_string())
                ));
                let most = WAY_MAX - "..65535".len();
                fields.disagree(
                    fault.hint(format!("take a name of at most {most} characters, or port 443 alone")),
                );
            }
        }
    }

    /// Whether the registry has the default name that `init` uses.
    pub fn has_default_name(&self) -> bool {
        let domain = self.domain.as_ref().map(DnsName::as_str);
        self.server.to_string() == row("server").default && domain == Some(row("domain").default)
    }

    /// The host that clients use: `<server>.<domain>`, or the address.
    pub fn host(&self) -> Host {
        self.checked_host().expect("`check` refused names that are too long")
    }

    /// The host in a form for file names.
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

    /// The host and the port as in an image reference, which omits port 443.
    pub fn registry(&self) -> String {
        self.registry_at(self.https_port)
    }

    /// The host and the port without passwords, as in an image reference; `None` if there is no such port.
    pub fn anonymous_registry(&self) -> Option<String> {
        self.anonymous_port.map(|port| self.registry_at(port))
    }

    fn registry_at(&self, port: u16) -> String {
        reference(&self.host(), port)
    }

    /// Every host and port of the registry that an image reference can contain: each name of the certificate with
    /// each port. [`Self::registry`] is the first.
    pub fn ways(&self) -> Vec<(Host, u16)> {
        let hosts = self.names().into_iter().filter_map(|name| match name {
            SubjectAltName::Host(host) => Some(host),
            // Container runtimes look up a root certificate by the exact name, so a wildcard is of no use.
            SubjectAltName::Wildcard(_) => None,
        });
        let ports: Vec<_> = std::iter::once(self.https_port).chain(self.anonymous_port).collect();
        let ways = hosts.flat_map(|host| ports.clone().into_iter().map(move |port| (host.clone(), port)));
        ways.filter(|(host, port)| *host == self.host() || is_in_references(host, *port)).collect()
    }

    /// The server's name without the domain; `None` for an address or a name outside the domain.
    pub fn bare_name(&self) -> Option<SubjectAltName> {
        let (Host::Dns(name), Some(domain)) = (self.host(), &self.domain) else {
            return None;
        };
        let bare = name.as_str().strip_suffix(&format!(".{domain}"))?;
        Some(SubjectAltName::Host(Host::Dns(bare.parse().expect("what stands before a domain is a name"))))
    }

    /// Every name that the server certificate must cover, beginning with the name that clients use.
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

    /// The label of the root certificate: the domain, or the address.
    pub fn label(&self) -> String {
        self.domain.as_ref().map_or_else(|| self.server.to_string(), DnsName::to_string)
    }

    /// The subject of the certificates.
    pub fn subject(&self) -> Subject {
        let Self { country, state, locality, company, unit, email, .. } = self.clone();
        Subject { country, state, locality, company, unit, email }
    }

    /// The settings in which `other` differs: the key in regcert.toml, the value in `self`, and the value in `other`.
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let differ = self.texts().into_iter().zip(other.texts()).filter(|((_, old), (_, new))| old != new);
        differ
            .map(|((row, old), (_, new))| (row.key.to_owned(), row.form.shown(&old), row.form.shown(&new)))
            .collect()
    }

    /// Every setting as a value for templates, by its field name: a text, a number (0 for none), or a list of texts.
    pub fn plain(&self) -> BTreeMap<String, serde_json::Value> {
        let plain =
            |(row, texts): (&row::Row, Vec<String>)| (row.key.replace('-', "_"), row.form.plain(texts));
        self.texts().into_iter().map(plain).collect()
    }

    /// The text of `regcert.toml` with these settings. If `old` is given, only values that differ change, and every
    /// comment stays.
    pub fn to_toml(&self, old: Option<&str>) -> Result<String, Fault> {
        let unreadable = |e: toml_edit::TomlError| Fault::new(format!("regcert.toml cannot be read: {e}"));
        let mut document: DocumentMut = old.map_or_else(fresh, str::to_owned).parse().map_err(unreadable)?;
        for (row, texts) in self.texts() {
            // An empty text means "none"; a missing key would mean "the default".
            set(&mut document, row.key, row.form.item(&texts), &row.comment_lines());
        }
        Ok(document.to_string())
    }
}

/// The text of a new regcert.toml, without values.
fn fresh() -> String {
    let before = std::iter::once(None).chain(TABLE.iter().map(Some));
    let lines = TABLE.iter().zip(before).map(|(row, before)| row.toml(before));
    format!("{INTRODUCTION}{}", lines.collect::<String>())
}

/// The host and the port as in an image reference, which omits port 443.
pub fn reference(host: &Host, port: u16) -> String {
    let host = match host {
        Host::Ip(ip) if ip.is_ipv6() => format!("[{ip}]"),
        host @ (Host::Ip(_) | Host::Dns(_)) => host.to_string(),
    };
    if port == 443 { host } else { format!("{host}:{port}") }
}

/// Whether clients accept `host` as a registry. Clients take a name without a dot or a port as part of a repository's
/// name on Docker Hub (`splitDockerDomain` in github.com/distribution/reference).
fn is_in_references(host: &Host, port: u16) -> bool {
    let reference = reference(host, port);
    reference.contains(['.', ':']) || reference == "localhost"
}

#[cfg(test)]
mod tests;
