//! A root certificate as something a machine can install. Public material only.

mod deb;

use time::Duration;

use crate::deployment::file_stem;
use crate::pki::Certificate;
use deb::Deb;

/// File name and bytes of the Debian package that makes `root` trusted. The version is the day the root was made, so
/// that the same root gives the same bytes and its successor a higher version.
pub fn debian_package(label: &str, root: &Certificate) -> (String, Vec<u8>) {
    // Certificates begin an hour before they are made.
    let made = root.validity.not_before + Duration::HOUR;
    let version = format!("{:04}.{:02}.{:02}", made.year(), u8::from(made.month()), made.day());
    let package = format!("root-cert-{}", file_stem(label));
    let deb = Deb {
        package: &package,
        version: &version,
        description_name: label,
        released: made,
        roots: &[(package.clone(), root.pem().as_bytes().to_vec())],
        fingerprints: &[root.fingerprint()],
    };
    (format!("{package}_{version}_all.deb"), deb.build())
}
