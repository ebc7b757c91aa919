//! The facts that clients need to trust a registry: its names and root certificates. None of the facts is secret.

use std::path::PathBuf;

use serde::Serialize;
use time::OffsetDateTime;

use super::Release;
use crate::names::{Host, file_stem};
use crate::pki::{Certificate, hex, sha256};
use crate::settings::{Settings, reference};

/// All values that the templates below `trust/` may use.
#[derive(Serialize)]
pub struct Anchors {
    /// The host and the port that need a password.
    #[serde(flatten)]
    place: Place,
    /// Every host and port of the registry, including `place`: each name of the certificate with each port.
    places: Vec<Place>,
    /// The host without the port: a name or an address, IPv6 without brackets.
    host: String,
    /// The HTTPS port.
    port: u16,
    /// A DNS label (RFC 1123) that is unique to this registry and never changes. It is used in the names of objects
    /// in a cluster and of systemd units.
    id: String,
    /// The URL of the page that clients can open before they trust the root: `http://host[:port]`.
    plain_url: String,
    /// The domain or the address that the root certificates are for.
    label: String,
    /// The name of the packages, which is also part of file names: `root-cert-<label>`.
    package: String,
    /// The version of the packages.
    version: String,
    /// The SHA-256 of the first root in `roots`, as upper-case hexadecimal pairs joined by colons.
    fingerprint: String,
    /// A UUID for this set of roots, for a configuration profile.
    uuid: String,
    /// All trusted roots. While the authority is being rotated, there are two: first the one that stays.
    roots: Vec<Root>,
    /// All trusted roots as PEM.
    bundle: String,
    #[serde(skip)]
    released: OffsetDateTime,
}

/// A host and a port. Container runtimes look up roots by the exact host and port, so each pair has its own
/// directories.
#[derive(Clone, Serialize)]
pub(super) struct Place {
    /// The host, and the port unless it is 443, as in an image reference.
    registry: String,
    /// The host and the port, even if the port is 443. IPv6 addresses have brackets.
    host_port: String,
    /// The name of a directory below containerd's `certs.d`, in a form that works on every system.
    containerd: String,
    /// The name of a directory below Docker's `certs.d` on Windows.
    windows: String,
    /// The content of the `hosts.toml` that containerd reads from that directory, together with `ca.crt`.
    hosts_toml: String,
    /// The key in an OpenShift ConfigMap; empty if the host cannot be written as a key.
    openshift_key: String,
}

/// A root certificate.
#[derive(Serialize)]
pub struct Root {
    /// The file name in a trust store, without the extension. It never changes for a root.
    pub stem: String,
    /// One certificate as PEM, with a final newline.
    pub pem: String,
    /// The certificate as DER in base64, on one line.
    pub base64: String,
    /// The SHA-256 of the DER as upper-case pairs joined by colons, for users to compare.
    pub fingerprint: String,
    /// The SHA-256 of the DER in lower-case hexadecimal, as `sha256sum` prints it.
    pub sha256: String,
    /// A UUID that never changes for a root.
    pub uuid: String,
}

impl Anchors {
    /// Collects the facts for the clients of the registry with the settings `spec`.
    pub fn of(spec: &Settings, roots: &[&Certificate], release: &Release) -> Self {
        Self::at(&spec.ways(), &spec.label(), spec.http_port, roots, release)
    }

    /// Collects the facts for the clients of a registry, from only its names, ports and roots.
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
            // Without an HTTP port, only HTTPS serves the page, and a browser warns until it trusts the root.
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

    /// The host, and the port unless it is 443.
    pub fn registry(&self) -> &str {
        &self.place.registry
    }

    /// Paths at which `install.sh` and the Debian package store the first root. If one exists, this machine trusts
    /// the root.
    pub fn places(&self) -> Vec<PathBuf> {
        let stem = self.roots.first().map(|root| root.stem.as_str()).unwrap_or_default();
        vec![
            PathBuf::from(format!("/etc/docker/certs.d/{}/{stem}.crt", self.registry())),
            PathBuf::from(format!("/usr/local/share/ca-certificates/{stem}.crt")),
            PathBuf::from(format!("/usr/local/share/ca-certificates/{}/{stem}.crt", self.package)),
        ]
    }

    /// The file name of the Debian package.
    pub fn deb(&self) -> String {
        format!("{}_{}_all.deb", self.package, self.version)
    }

    /// The URL of a page that clients can open before they trust the root: `http://host[:port]/`, or `https://…` if
    /// no HTTP port is published.
    pub fn plain_url(&self) -> String {
        format!("{}/", self.plain_url)
    }

    /// The domain or the address that the root certificates are for.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name of the packages with the roots.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// The version of the packages.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The modification time of every file in a package.
    pub fn released(&self) -> OffsetDateTime {
        self.released
    }

    /// All trusted roots, first the one that stays.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The SHA-256 of each root.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(|root| root.fingerprint.as_str())
    }

    /// The paths that a pattern of [`super::FORMATS`] stands for: one for each place if the pattern contains a name
    /// of a place, otherwise only one.
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
    /// The host, and the port unless it is 443.
    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    fn of(host: &Host, port: u16) -> Self {
        let registry = reference(host, port);
        let host_port = if port == 443 { format!("{registry}:443") } else { registry.clone() };
        Self {
            containerd: containerd(&registry),
            // Docker on Windows removes every colon (moby daemon/pkg/registry/config_windows.go).
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

/// The name of a directory below `certs.d`: `host_port_` instead of `host:port`. Every containerd accepts this form,
/// and in a mount a colon would end the path (containerd docs/hosts.md). An IPv6 address keeps its brackets.
fn containerd(registry: &str) -> String {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => format!("{host}_{port}_"),
        Some(_) | None => registry.to_owned(),
    }
}

/// The content of hosts.toml. Each setting appears twice: containerd uses the top level for the server itself and a
/// table for a mirror, and some versions need the table (containerd#10027).
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
            // With the digest in the file name, upgrading a package only adds files or only removes files.
            stem: format!("{package}-{}", &sha256[..8]),
            pem: format!("{}\n", pem.trim_end()),
            base64,
            uuid: uuid(&format!("root {sha256}")),
            fingerprint: certificate.fingerprint(),
            sha256,
        }
    }
}

/// A UUID computed from `text`. Version 8 is for a vendor's own method (RFC 9562 §5.8).
fn uuid(text: &str) -> String {
    let mut digits = hex(&sha256(text.as_bytes())).to_uppercase();
    digits.truncate(32);
    digits.replace_range(12..13, "8");
    digits.replace_range(16..17, "A");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
