//! The facts for client trust: the registry's names and roots. Nothing in them is secret.

use std::path::PathBuf;

use serde::Serialize;
use time::OffsetDateTime;

use super::Release;
use crate::names::{Host, file_stem};
use crate::pki::{Certificate, hex, sha256};
use crate::settings::{Settings, reference};

/// Every value that a template below `trust/` may use.
#[derive(Serialize)]
pub struct Anchors {
    /// The host and port that ask for a password.
    #[serde(flatten)]
    place: Place,
    /// Every host and port of the registry, including the first: each name of the certificate with each port.
    places: Vec<Place>,
    /// The host alone: a name or an address, IPv6 without brackets.
    host: String,
    /// The HTTPS port.
    port: u16,
    /// A DNS label (RFC 1123) that is unique to this registry and never changes; names objects in a cluster and
    /// systemd units.
    id: String,
    /// The address of the page, `http://host[:port]`, which clients can open before they trust the root.
    plain_url: String,
    /// The domain or the address that the roots are for.
    label: String,
    /// The name of the packages and the stem of file names: `root-cert-<label>`.
    package: String,
    /// Version of the packages.
    version: String,
    /// SHA-256 of the root that stays, upper-case pairs joined by colons.
    fingerprint: String,
    /// The UUID of these roots together, for a configuration profile.
    uuid: String,
    /// Every trusted root, the one that stays first; two while the authority is being rotated.
    roots: Vec<Root>,
    /// All trusted roots, PEM.
    bundle: String,
    #[serde(skip)]
    released: OffsetDateTime,
}

/// A host and a port. Runtimes look up roots by the exact host and port: each pair has its own directories.
#[derive(Clone, Serialize)]
pub(super) struct Place {
    /// The host, with the port unless it is 443: the form of an image reference.
    registry: String,
    /// The host and the port, even 443; IPv6 in brackets.
    host_port: String,
    /// The directory below containerd's `certs.d` that works on every system.
    containerd: String,
    /// The directory below Docker's `certs.d` on Windows.
    windows: String,
    /// The `hosts.toml` for containerd in that directory, beside `ca.crt`.
    hosts_toml: String,
    /// The key of an OpenShift ConfigMap; empty if the name cannot be written as a key.
    openshift_key: String,
}

/// A root certificate.
#[derive(Serialize)]
pub struct Root {
    /// The stem of the file name in a trust store; it never changes for a root.
    pub stem: String,
    /// PEM, one certificate, with a final newline.
    pub pem: String,
    /// DER in base64, on one line.
    pub base64: String,
    /// SHA-256 of the DER, upper-case pairs joined by colons, the form that users compare.
    pub fingerprint: String,
    /// SHA-256 of the DER in lower-case hexadecimal, the form of `sha256sum`.
    pub sha256: String,
    /// A UUID that never changes for a root.
    pub uuid: String,
}

impl Anchors {
    /// The facts for the clients of this registry.
    pub fn of(spec: &Settings, roots: &[&Certificate], release: &Release) -> Self {
        Self::at(&spec.ways(), &spec.label(), spec.http_port, roots, release)
    }

    /// The facts for the clients of a registry of which only names, ports and roots are known.
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
            // The page is then only at https, and a browser warns until it trusts the root.
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

    /// The host, with the port unless it is 443.
    pub fn registry(&self) -> &str {
        &self.place.registry
    }

    /// The paths at which `install.sh` and the Debian package store the root that stays, among those that Docker
    /// reads.
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

    /// The address `http://host[:port]/`, which needs no trust; `https://…` if no http port is published.
    pub fn plain_url(&self) -> String {
        format!("{}/", self.plain_url)
    }

    /// The domain or the address that the roots are for.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name of a package with the roots.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// The version of the packages.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The time of every file in a package.
    pub fn released(&self) -> OffsetDateTime {
        self.released
    }

    /// Every trusted root, the one that stays first.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// SHA-256 of each root.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(|root| root.fingerprint.as_str())
    }

    /// The paths of a pattern of [`super::FORMATS`]: one for each place if the pattern contains a place's name,
    /// otherwise one.
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
    /// The host, with the port unless it is 443.
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

/// The name of a directory: `host_port_` instead of `host:port`, which every containerd finds, and which can be
/// mounted, because no colon ends the path (containerd docs/hosts.md). An address keeps its brackets.
fn containerd(registry: &str) -> String {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => format!("{host}_{port}_"),
        Some(_) | None => registry.to_owned(),
    }
}

/// Each setting appears twice: containerd uses the top level for the server itself and a table for a mirror, and
/// some versions need a table (containerd#10027).
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
            // With the digest in the name, an upgrade of a package only adds files or only removes some.
            stem: format!("{package}-{}", &sha256[..8]),
            pem: format!("{}\n", pem.trim_end()),
            base64,
            uuid: uuid(&format!("root {sha256}")),
            fingerprint: certificate.fingerprint(),
            sha256,
        }
    }
}

/// A UUID that is computed from `text`: version 8, for a vendor's own method (RFC 9562 §5.8).
fn uuid(text: &str) -> String {
    let mut digits = hex(&sha256(text.as_bytes())).to_uppercase();
    digits.truncate(32);
    digits.replace_range(12..13, "8");
    digits.replace_range(16..17, "A");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
