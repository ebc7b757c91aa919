//! What clients are told: the registry's names and the roots they are to trust. Nothing in it is secret.

use std::path::PathBuf;

use serde::Serialize;
use time::OffsetDateTime;

use super::Release;
use crate::names::{Host, file_stem};
use crate::pki::{Certificate, hex, sha256};
use crate::settings::{Settings, reference};

/// Everything a template below `trust/` may say.
#[derive(Serialize)]
pub struct Anchors {
    /// Where a password is asked for.
    #[serde(flatten)]
    place: Place,
    /// Every way to the registry, the first one included: each name of the certificate with each port.
    places: Vec<Place>,
    /// The host alone: a name or an address, IPv6 without brackets.
    host: String,
    /// The HTTPS port.
    port: u16,
    /// A DNS label of this registry's own (RFC 1123), the same for ever: of objects in a cluster and of units.
    id: String,
    /// `http://host[:port]`, where those without trust can reach the page.
    plain_url: String,
    /// What the roots are for: the domain, or the address.
    label: String,
    /// `root-cert-<label>`: of packages, and the stem of files.
    package: String,
    /// Version of the packages.
    version: String,
    /// The root to stay: SHA-256, upper-case pairs joined by colons.
    fingerprint: String,
    /// Of these roots together, for a configuration profile.
    uuid: String,
    /// Every root to be trusted, the one to stay first; two while the authority is being rotated.
    roots: Vec<Root>,
    /// All of them, PEM.
    bundle: String,
    #[serde(skip)]
    released: OffsetDateTime,
}

/// A host and a port. Runtimes look for roots by both, to the letter: each pair has directories of its own.
#[derive(Clone, Serialize)]
pub(super) struct Place {
    /// Host and, where it is not 443, port: as in an image reference.
    registry: String,
    /// Host and port, 443 too; IPv6 in brackets.
    host_port: String,
    /// The directory below containerd's `certs.d` that is found under every system.
    containerd: String,
    /// The directory below Docker's `certs.d` on Windows.
    windows: String,
    /// What containerd is told in that directory, beside `ca.crt`.
    hosts_toml: String,
    /// The key of an OpenShift ConfigMap; empty where none can stand for the name.
    openshift_key: String,
}

/// A root certificate.
#[derive(Serialize)]
pub struct Root {
    /// Stem of its file's name in a trust store: one root's for ever.
    pub stem: String,
    /// PEM, one certificate, with a final newline.
    pub pem: String,
    /// DER in base64, on one line.
    pub base64: String,
    /// SHA-256 of the DER, upper-case pairs joined by colons, as people compare it.
    pub fingerprint: String,
    /// The same in lower-case hexadecimal, as `sha256sum` prints it.
    pub sha256: String,
    /// One root's for ever.
    pub uuid: String,
}

impl Anchors {
    /// For the clients of this registry.
    pub fn of(spec: &Settings, roots: &[&Certificate], release: &Release) -> Self {
        Self::at(&spec.ways(), &spec.label(), spec.http_port, roots, release)
    }

    /// For the clients of a registry with these names and ports, of which nothing else is known.
    pub fn at(
        ways: &[(Host, u16)],
        label: &str,
        http_port: Option<u16>,
        roots: &[&Certificate],
        release: &Release,
    ) -> Self {
        let package = format!("root-cert-{}", file_stem(label));
        let roots: Vec<_> = roots.iter().map(|root| Root::of(root, &package)).collect();
        let (host, port) = ways.first().expect("a registry has a name");
        let places: Vec<_> = ways.iter().map(|(host, port)| Place::of(host, *port)).collect();
        let place = Place::of(host, *port);
        let plain_url = match http_port {
            Some(80) => format!("http://{}", reference(host, 443)),
            Some(port) => format!("http://{}:{port}", reference(host, 443)),
            // The page is then at https alone, where a browser warns until it trusts the root.
            None => format!("https://{}", place.registry),
        };
        Self {
            id: format!("registry-trust-{}", &hex(&sha256(place.registry.as_bytes()))[..8]),
            place,
            places,
            uuid: uuid(&roots.iter().map(|root| root.sha256.as_str()).collect::<Vec<_>>().join(" ")),
            port: *port,
            plain_url,
            fingerprint: roots.first().map(|root| root.fingerprint.clone()).unwrap_or_default(),
            bundle: roots.iter().map(|root| root.pem.as_str()).collect(),
            version: release.version.clone(),
            released: release.at,
            host: host.to_string(),
            label: label.to_owned(),
            package,
            roots,
        }
    }

    /// Host and, where it is not 443, port.
    pub fn registry(&self) -> &str {
        &self.place.registry
    }

    /// Where `install.sh` and the Debian package put the root that stays on a machine, as far as Docker reads it.
    pub fn places(&self) -> Vec<PathBuf> {
        let stem = self.roots.first().map(|root| root.stem.as_str()).unwrap_or_default();
        vec![
            PathBuf::from(format!("/etc/docker/certs.d/{}/{stem}.crt", self.registry())),
            PathBuf::from(format!("/usr/local/share/ca-certificates/{stem}.crt")),
            PathBuf::from(format!("/usr/local/share/ca-certificates/{}/{stem}.crt", self.package)),
        ]
    }

    /// The name of the Debian package.
    pub fn deb(&self) -> String {
        format!("{}_{}_all.deb", self.package, self.version)
    }

    /// `http://host[:port]/`, which needs no trust; `https://…` where no http port is published.
    pub fn plain_url(&self) -> String {
        format!("{}/", self.plain_url)
    }

    /// What the roots are for.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What a package of them is called.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// Version of the packages.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The one time of everything in a package.
    pub fn released(&self) -> OffsetDateTime {
        self.released
    }

    /// Every root to be trusted, the one to stay first.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// SHA-256 of each root.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(|root| root.fingerprint.as_str())
    }

    /// The paths of a pattern of [`super::FORMATS`]: one for each place where it has a name of a place in it, else one.
    pub(super) fn paths(&self, pattern: &str) -> Vec<(String, &Place)> {
        let path = |place: &Place| {
            let names = [
                ("{registry}", &place.registry),
                ("{containerd}", &place.containerd),
                ("{windows}", &place.windows),
                ("{package}", &self.package),
                ("{version}", &self.version),
            ];
            names.iter().fold(pattern.to_owned(), |path, (name, value)| path.replace(name, value))
        };
        let by_place = ["{registry}", "{containerd}", "{windows}"].iter().any(|name| pattern.contains(name));
        let places = if by_place { &self.places[..] } else { std::slice::from_ref(&self.place) };
        places.iter().map(|place| (path(place), place)).collect()
    }
}

impl Place {
    /// Host and, where it is not 443, port.
    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    fn of(host: &Host, port: u16) -> Self {
        let registry = reference(host, port);
        let host_port = if port == 443 { format!("{registry}:443") } else { registry.clone() };
        Self {
            containerd: containerd(&registry),
            // Docker on Windows drops every colon (moby daemon/pkg/registry/config_windows.go).
            windows: registry.replace(':', ""),
            hosts_toml: hosts_toml(&registry),
            openshift_key: if registry.starts_with('[') {
                String::new()
            } else {
                registry.replace(':', "..")
            },
            registry,
            host_port,
        }
    }
}

/// `host_port_` instead of `host:port`: found everywhere, and mounted where a colon would end a path (containerd
/// docs/hosts.md). An address keeps its brackets.
fn containerd(registry: &str) -> String {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => format!("{host}_{port}_"),
        Some(_) | None => registry.to_owned(),
    }
}

/// Everything twice: containerd takes what stands at the top for the server itself and what stands in a table for a
/// mirror, and some versions want a table (containerd#10027).
fn hosts_toml(registry: &str) -> String {
    format!(
        "\
server = \"https://{registry}\"
ca = \"ca.crt\"

[host.\"https://{registry}\"]
  capabilities = [\"pull\", \"resolve\", \"push\"]
  ca = \"ca.crt\"
"
    )
}

impl Root {
    fn of(certificate: &Certificate, package: &str) -> Self {
        let pem = certificate.pem();
        let base64 = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let sha256 = hex(&sha256(certificate.der()));
        Self {
            // An upgrade of a package then only adds files or only takes some away.
            stem: format!("{package}-{}", &sha256[..8]),
            pem: format!("{}\n", pem.trim_end()),
            base64,
            uuid: uuid(&format!("root {sha256}")),
            fingerprint: certificate.fingerprint(),
            sha256,
        }
    }
}

/// A UUID that follows from `text`: version 8, of a vendor's own making (RFC 9562 §5.8).
fn uuid(text: &str) -> String {
    let mut digits = hex(&sha256(text.as_bytes())).to_uppercase();
    digits.truncate(32);
    digits.replace_range(12..13, "8");
    digits.replace_range(16..17, "A");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
