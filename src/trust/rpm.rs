//! The rpm that makes a root certificate trusted on RHEL, Fedora and their derivatives, and on SUSE: one package for
//! both families. Each family reads a directory that the other does not, so both directories contain the roots, and
//! the scripts run the program that exists.
//!
//! The same input gives the same bytes if the release is in the past, because the library uses the earlier of the
//! release and the clock as the build time. This module reads no file and no environment, and never sees a key.

use rpm::{BuildConfig, CompressionType, Dependency, Error, FileOptions, PackageBuilder};

use super::archive::IN_MEMORY;
use super::package::{JAVA, LICENSE, PACKAGER, Package, halves};

const POST: &str = include_str!("rpm/post");
const POSTUN: &str = include_str!("rpm/postun");

/// The directories in which a package may install root certificates (update-ca-trust(8) of Fedora,
/// update-ca-certificates(8) of SUSE).
const DIRECTORIES: [&str; 2] = ["/usr/share/pki/ca-trust-source", "/usr/share/pki/trust"];

/// The release number. Each version has only one build.
const RELEASE: &str = "1";

/// Builds the package in memory.
pub fn build(package: &Package) -> Vec<u8> {
    package.debug_assert_input();
    let mut bytes = Vec::new();
    package_of(package)
        .expect("names without control characters are valid")
        .write(&mut bytes)
        .expect(IN_MEMORY);
    bytes
}

fn package_of(package: &Package) -> Result<rpm::Package, Error> {
    // The format stores a time in 32 bits, enough until 2106.
    let time = u32::try_from(package.time()).unwrap_or(u32::MAX);
    let summary = "Private root certificate, trusted system-wide";
    let mut rpm = PackageBuilder::new(package.name, package.version, LICENSE, "noarch", summary);
    // The header reserves space for a signature, so that `rpmsign` can add one.
    rpm.using_config(BuildConfig::v4().source_date(time).compression(CompressionType::Gzip))
        .release(RELEASE)
        .build_host("localhost")
        .packager(PACKAGER)
        .group("System/Management")
        .description(description(package))
        .add_changelog_entry(format!("{PACKAGER} - {}-{RELEASE}", package.version), changes(package), time)
        .requires(Dependency::any("ca-certificates"))
        .requires(Dependency::script_post("ca-certificates"))
        .requires(Dependency::script_postun("ca-certificates"))
        .post_install_script(POST)
        .post_uninstall_script(POSTUN);
    for directory in DIRECTORIES {
        let anchors = format!("{directory}/anchors");
        // No other package owns the directories of the other family. If this package did not own them either, they
        // would stay on the machine after the package is removed.
        for owned in [directory, &anchors] {
            rpm.with_dir_entry(FileOptions::dir(owned).permissions(0o755))?;
        }
        for (path, (mode, pem)) in package.certificates(&anchors) {
            let mode = u16::try_from(mode).expect("a mode has twelve bits");
            rpm.with_file_contents(pem, FileOptions::new(path).permissions(mode))?;
        }
    }
    rpm.build()
}

fn description(package: &Package) -> String {
    let mut text = format!(
        "This computer will trust the certificates that a private authority issues for\n\n  {}\n\n\
         {}\n{}\n\nSHA-256 fingerprint of each root certificate in this package:\n",
        package.label, JAVA[0], JAVA[1]
    );
    for fingerprint in package.fingerprints {
        text += "\n";
        for half in halves(fingerprint) {
            text.extend(["  ", half, "\n"]);
        }
    }
    text
}

fn changes(package: &Package) -> String {
    let roots: String = package.roots.iter().map(|(stem, _)| format!("\n  {stem}.crt")).collect();
    format!("- Trusts these root certificates:{roots}")
}

#[cfg(test)]
mod tests {
    use rpm::FileType;

    use super::super::package::examples::{NAME, PEM, TIME, built};
    use super::*;

    fn parsed(stems: &[&str]) -> rpm::Package {
        rpm::Package::parse(&mut &built(build, stems, PEM)[..]).unwrap()
    }

    #[test]
    fn same_input_gives_the_same_bytes_whose_digests_are_right() {
        assert_eq!(built(build, &[NAME], PEM), built(build, &[NAME], PEM));
        parsed(&[NAME]).verify_digests().unwrap();
    }

    #[test]
    fn both_families_find_every_root_and_every_directory_is_owned() {
        let rpm = parsed(&["old", "new"]);
        let files = rpm.metadata.get_file_entries().unwrap();
        let listed: Vec<_> = files
            .iter()
            .map(|file| {
                assert_eq!((file.user(), file.group()), ("root", "root"));
                assert_eq!(u64::from(u32::from(file.modified_at())), TIME);
                let kind = if file.file_type() == FileType::Dir { "d" } else { "-" };
                format!("{kind}{:o} {}", file.permissions(), file.path().display())
            })
            .collect();
        let expected = [
            "d755 /usr/share/pki/ca-trust-source",
            "d755 /usr/share/pki/ca-trust-source/anchors",
            "-644 /usr/share/pki/ca-trust-source/anchors/new.crt",
            "-644 /usr/share/pki/ca-trust-source/anchors/old.crt",
            "d755 /usr/share/pki/trust",
            "d755 /usr/share/pki/trust/anchors",
            "-644 /usr/share/pki/trust/anchors/new.crt",
            "-644 /usr/share/pki/trust/anchors/old.crt",
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn header_says_what_is_trusted_and_nothing_of_this_machine() {
        let metadata = parsed(&[NAME]).metadata;
        assert_eq!(metadata.get_nevra().unwrap().nvra(), "root-cert-myhouse.local-2020.11.20-1.noarch");
        assert_eq!(metadata.get_build_host().unwrap(), "localhost");
        assert_eq!(metadata.get_build_time().unwrap(), TIME);
        assert_eq!(
            metadata.get_description().unwrap(),
            "This computer will trust the certificates that a private authority issues for\n\n  \
             myhouse.local\n\nJava takes its roots from the system's store, and ignores the limits of a\n\
             root: Java programs here will trust this one for every name.\n\n\
             SHA-256 fingerprint of each root certificate in this package:\n\n  \
             AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:\n  \
             AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\n"
        );
        assert_eq!(metadata.get_post_install_script().unwrap().script, POST);
        assert_eq!(metadata.get_post_uninstall_script().unwrap().script, POSTUN);
    }
}
