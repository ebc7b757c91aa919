//! Root certificates as something a machine can install. Public material only.

mod deb;

use time::OffsetDateTime;

use crate::names::file_stem;
use crate::pki::{Certificate, hex, sha256};
use deb::Deb;

/// What the packages for clients are called, beside the registry: a version that rises with every change of roots.
pub struct Release {
    /// `2026.11.20`, or `2026.11.20.1`.
    pub version: String,
    /// The one time of everything in a package.
    pub at: OffsetDateTime,
}

/// File name of the Debian package.
pub fn debian_package_name(label: &str, release: &Release) -> String {
    format!("{}_{}_all.deb", package_name(label), release.version)
}

/// File name and bytes of the Debian package that makes `roots` trusted, the one to stay first. The same roots give
/// the same bytes, and other roots a higher version.
pub fn debian_package(label: &str, roots: &[&Certificate], release: &Release) -> (String, Vec<u8>) {
    let package = package_name(label);
    // A file name is one root's for ever: an upgrade then only adds or only takes away.
    let stem = |root: &&Certificate| format!("{package}-{}", &hex(&sha256(root.der()))[..8]);
    let roots_in: Vec<_> = roots.iter().map(|root| (stem(root), root.pem().as_bytes().to_vec())).collect();
    let fingerprints: Vec<_> = roots.iter().map(|root| root.fingerprint()).collect();
    let deb = Deb {
        package: &package,
        version: &release.version,
        description_name: label,
        released: release.at,
        roots: &roots_in,
        fingerprints: &fingerprints,
    };
    (debian_package_name(label, release), deb.build())
}

fn package_name(label: &str) -> String {
    format!("root-cert-{}", file_stem(label))
}
