//! The content of a package with root certificates. All package formats are built from it. It never contains a key.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::archive::Files;

/// The packager of every package. The top-level domain `invalid` is reserved (RFC 2606), so mail to this address
/// cannot arrive.
pub const PACKAGER: &str = "regcert <regcert@registry.invalid>";

/// The licence, in the form that SPDX requires for a licence that is not on the SPDX list. A root certificate
/// contains only public data.
pub const LICENSE: &str = "LicenseRef-public-data";

/// The content of a package, independent of the format.
pub struct Package<'a> {
    /// The name of the package, valid in every format, such as `root-cert-myhouse.local`.
    pub name: &'a str,
    /// The version. It must rise whenever the roots change, because package managers upgrade only to a higher
    /// version.
    pub version: &'a str,
    /// The domain or the address that the roots are for, such as `myhouse.local`.
    pub label: &'a str,
    /// The modification time of every file in the package.
    pub released: OffsetDateTime,
    /// The file name without extension, and the PEM text, of each root. There are two roots while the authority is
    /// being rotated.
    pub roots: &'a [(String, Vec<u8>)],
    /// The SHA-256 of each root, as hexadecimal pairs joined by colons.
    pub fingerprints: &'a [String],
}

impl Package<'_> {
    /// Checks the characters in the input, in debug builds. Callers must pass only valid input; this check finds a
    /// caller that does not.
    pub fn debug_assert_input(&self) {
        // The rules of Debian policy 5.6.1 and 5.6.12 are the strictest. A hyphen would end the version in rpm, apk
        // and pacman.
        let made_of = |text: &str, more: &[u8]| {
            text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(&c))
                && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        };
        debug_assert!(self.name.len() > 1 && made_of(self.name, b"+-."));
        // All four formats sort versions of digits and dots in the same way.
        debug_assert!(made_of(self.version, b".") && !self.version.contains(|c: char| c.is_alphabetic()));
        debug_assert!(!self.label.contains(char::is_control));
        let stems: BTreeSet<_> = self.roots.iter().map(|(stem, _)| stem).collect();
        debug_assert!(stems.iter().all(|stem| made_of(stem, b"+-.")));
        debug_assert!(!stems.is_empty() && stems.len() == self.roots.len());
        debug_assert_eq!(self.roots.len(), self.fingerprints.len());
        for (_, pem) in self.roots {
            debug_assert!(!pem.windows(11).any(|window| window == b"PRIVATE KEY"));
        }
    }

    /// The modification time of the files, in seconds since 1970.
    pub fn time(&self) -> u64 {
        u64::try_from(self.released.unix_timestamp()).unwrap_or(0)
    }

    /// The files of the package: one for each root, in `directory`.
    pub fn certificates(&self, directory: &str) -> Files {
        let file =
            |(stem, pem): &(String, Vec<u8>)| (format!("{directory}/{stem}.crt"), (0o644, pem.clone()));
        self.roots.iter().map(file).collect()
    }

    /// The description of the package, on one line.
    pub fn description(&self) -> String {
        format!(
            "Private root certificate for {}, trusted system-wide. SHA-256 {}",
            self.label,
            self.fingerprints.join(", ")
        )
    }
}

/// The warning about Java in a description, in lines of at most 78 characters. Tested with Java 17's default
/// `TrustManager`.
pub const JAVA: [&str; 2] = [
    "Java takes its roots from the system's store, and ignores the limits of a",
    "root: Java programs here will trust this one for every name.",
];

/// Splits a fingerprint into two parts: it has 95 characters, but a line of a description at most 80 (lintian,
/// rpmlint).
pub fn halves(fingerprint: &str) -> impl Iterator<Item = &str> {
    let (first, second) = fingerprint.split_at_checked(48).unwrap_or((fingerprint, ""));
    [first, second].into_iter().filter(|half| !half.is_empty())
}

#[cfg(test)]
pub mod examples {
    //! Packages for the tests of each format.

    use time::macros::datetime;

    use super::*;

    pub const NAME: &str = "root-cert-myhouse.local";
    pub const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    /// A time in the past. For a future time, the rpm would contain the time of the build instead.
    pub const TIME: u64 = 1_605_870_000;

    /// Builds a package of roots that have the file names `stems` and the content `pem`.
    pub fn built(build: fn(&Package) -> Vec<u8>, stems: &[&str], pem: &[u8]) -> Vec<u8> {
        let roots: Vec<_> = stems.iter().map(|stem| (stem.to_string(), pem.to_vec())).collect();
        build(&Package {
            name: NAME,
            version: "2020.11.20",
            label: "myhouse.local",
            released: datetime!(2020-11-20 12:00 +1),
            roots: &roots,
            fingerprints: &vec![["AB"; 32].join(":"); stems.len()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::examples::{NAME, built};
    use super::*;

    const FORMATS: [fn(&Package) -> Vec<u8>; 4] = [
        super::super::deb::build,
        super::super::rpm::build,
        super::super::apk::build,
        super::super::arch::build,
    ];

    #[test]
    #[cfg(debug_assertions)]
    fn a_private_key_is_never_packaged() {
        for build in FORMATS {
            let packaged =
                std::panic::catch_unwind(|| built(build, &[NAME], b"-----BEGIN PRIVATE KEY-----\n"));
            let panic = packaged.unwrap_err().downcast::<&str>().unwrap();
            assert!(panic.contains("PRIVATE KEY"), "{panic}");
        }
    }
}
