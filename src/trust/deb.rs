//! The Debian package that makes a root certificate trusted on Debian and Ubuntu: an `ar` of two compressed tars,
//! which regcert builds without any Debian tool.
//!
//! The same input gives the same bytes. This module reads no clock, no file and no environment, and never sees a key.

use md5::{Digest, Md5};
use time::UtcOffset;
use time::format_description::well_known::Rfc2822;

use super::archive::{Files, folders, gzip, tar};
use super::package::{JAVA, PACKAGER, Package, halves};
use crate::pki::hex;

const POSTINST: &str = concat!(include_str!("deb/common"), include_str!("deb/postinst"));
const POSTRM: &str = concat!(include_str!("deb/common"), include_str!("deb/postrm"));

/// Builds the package in memory.
pub fn build(package: &Package) -> Vec<u8> {
    package.debug_assert_input();
    let data = data(package);
    let control = control(package, &data);
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", gzip(&tar(&control, package.time()))),
        ("data.tar.gz", gzip(&tar(&data, package.time()))),
    ] {
        // A member's header in deb(5) has the name, time, owner, group, mode and size. Members start at even offsets.
        let (time, size) = (package.time(), content.len());
        let header = format!("{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644");
        deb.extend(header.into_bytes());
        deb.extend(content);
        deb.resize(deb.len().next_multiple_of(2), b'\n');
    }
    deb
}

/// The files of the package. Their paths start with `./`, as usual in deb(5) files.
fn data(package: &Package) -> Files {
    let name = package.name;
    let documents = [
        (format!("./usr/share/doc/{name}/changelog.gz"), gzip(changelog(package).as_bytes())),
        (format!("./usr/share/doc/{name}/copyright"), copyright(package).into_bytes()),
    ];
    let mut files = package.certificates(&format!("./usr/share/{name}"));
    files.extend(documents.map(|(path, content)| (path, (0o644, content))));
    files
}

fn control(package: &Package, data: &Files) -> Files {
    let files = [
        ("control", 0o644, control_file(package, data)),
        ("md5sums", 0o644, md5sums(data)),
        ("postinst", 0o755, POSTINST.to_owned()),
        ("postrm", 0o755, POSTRM.to_owned()),
    ];
    files.into_iter().map(|(name, mode, text)| (format!("./{name}"), (mode, text.into_bytes()))).collect()
}

fn control_file(package: &Package, data: &Files) -> String {
    // The size is calculated as in dpkg-gencontrol: a file counts as whole KiB, a directory as one.
    let size =
        folders(data).len() + data.values().map(|(_, content)| content.len().div_ceil(1024)).sum::<usize>();
    let mut control = format!(
        "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: {PACKAGER}\n\
         Installed-Size: {size}\nDepends: ca-certificates\nSection: misc\nPriority: optional\n\
         Multi-Arch: foreign\nDescription: private root certificate, trusted system-wide\n \
         This computer will trust the certificates that a private authority issues for\n .\n  \
         {}\n .\n {}\n {}\n .\n SHA-256 fingerprint of each root certificate in this package:\n",
        package.name, package.version, package.label, JAVA[0], JAVA[1]
    );
    for fingerprint in package.fingerprints {
        control += " .\n";
        for half in halves(fingerprint) {
            control.extend(["  ", half, "\n"]);
        }
    }
    control
}

fn changelog(package: &Package) -> String {
    let date = package.released.to_offset(UtcOffset::UTC).format(&Rfc2822);
    let date = date.expect("a release is later than 1900");
    let roots: String = package.roots.iter().map(|(stem, _)| format!("    - {stem}.crt\n")).collect();
    format!(
        "{} ({}) stable; urgency=medium\n\n  * Trusts these root certificates:\n{roots}\n \
         -- {PACKAGER}  {date}\n",
        package.name, package.version
    )
}

fn copyright(package: &Package) -> String {
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
         Files: *\nCopyright: {}, the owner of the authority for {}\nLicense: public-data\n \
         A root certificate holds public data only. It may be copied and passed on\n \
         without restriction, and comes without any warranty.\n",
        package.released.to_offset(UtcOffset::UTC).year(),
        package.label
    )
}

fn md5sums(data: &Files) -> String {
    let line = |(path, (_, content)): (&String, &(u32, Vec<u8>))| {
        format!("{}  {}\n", hex(&Md5::digest(content)), path.trim_start_matches("./"))
    };
    data.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::super::archive::examples::read;
    use super::super::package::examples::{NAME, PEM, TIME, built};
    use super::*;

    fn deb(stems: &[&str], pem: &[u8]) -> Vec<u8> {
        built(build, stems, pem)
    }

    /// The name and the content of each member of the `ar`.
    fn members(deb: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut rest = deb.strip_prefix(b"!<arch>\n").unwrap();
        let mut members = Vec::new();
        while !rest.is_empty() {
            let header = std::str::from_utf8(&rest[..60]).unwrap();
            assert_eq!(header[16..48], format!("{TIME}  0     0     100644  "));
            assert_eq!(&header[58..], "`\n");
            let size: usize = header[48..58].trim_end().parse().unwrap();
            members.push((header[..16].trim_end().to_owned(), rest[60..60 + size].to_vec()));
            rest = &rest[60 + size.next_multiple_of(2)..];
        }
        members
    }

    /// The `mode path` and the content of each entry in the tar of a member.
    fn entries(deb: &[u8], member: usize) -> Vec<(String, String)> {
        let mut tar = Vec::new();
        GzDecoder::new(&members(deb)[member].1[..]).read_to_end(&mut tar).unwrap();
        read(&tar, TIME)
    }

    fn listing(deb: &[u8], member: usize) -> Vec<String> {
        entries(deb, member).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn same_input_gives_the_same_bytes_in_the_members_of_deb_5() {
        let members = members(&deb(&[NAME], PEM));
        assert_eq!(deb(&[NAME], PEM), deb(&[NAME], PEM));
        assert_eq!(members[0], ("debian-binary".to_owned(), b"2.0\n".to_vec()));
        assert_eq!([&*members[1].0, &*members[2].0], ["control.tar.gz", "data.tar.gz"]);
        // The gzip header (RFC 1952): deflate, no flags, no time, best compression, unknown system.
        assert_eq!(members[1].1[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    }

    #[test]
    fn data_is_sorted_and_readable_by_all() {
        let expected = [
            "755 ./",
            "755 ./usr/",
            "755 ./usr/share/",
            "755 ./usr/share/doc/",
            "755 ./usr/share/doc/root-cert-myhouse.local/",
            "644 ./usr/share/doc/root-cert-myhouse.local/changelog.gz",
            "644 ./usr/share/doc/root-cert-myhouse.local/copyright",
            "755 ./usr/share/root-cert-myhouse.local/",
            "644 ./usr/share/root-cert-myhouse.local/new.crt",
            "644 ./usr/share/root-cert-myhouse.local/old.crt",
        ];
        assert_eq!(listing(&deb(&["old", "new"], PEM), 2), expected);
    }

    #[test]
    fn a_path_longer_than_a_tar_header_is_kept_whole() {
        let stem = "a".repeat(120);
        let paths = listing(&deb(&[&stem], PEM), 2);
        assert_eq!(paths.last().unwrap(), &format!("644 ./usr/share/{NAME}/{stem}.crt"));
    }

    #[test]
    fn control_says_what_is_trusted_and_what_it_needs() {
        let deb = deb(&[NAME], PEM);
        let modes = ["755 ./", "644 ./control", "644 ./md5sums", "755 ./postinst", "755 ./postrm"];
        assert_eq!(listing(&deb, 1), modes);
        let entries = entries(&deb, 1);
        assert_eq!(
            entries[1].1,
            "Package: root-cert-myhouse.local\nVersion: 2020.11.20\nArchitecture: all\n\
             Maintainer: regcert <regcert@registry.invalid>\nInstalled-Size: 9\n\
             Depends: ca-certificates\nSection: misc\nPriority: optional\nMulti-Arch: foreign\n\
             Description: private root certificate, trusted system-wide\n \
             This computer will trust the certificates that a private authority issues for\n .\n  \
             myhouse.local\n .\n Java takes its roots from the system's store, and ignores the limits of a\n \
             root: Java programs here will trust this one for every name.\n .\n \
             SHA-256 fingerprint of each root certificate in this package:\n \
             .\n  AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:\n  \
             AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\n"
        );
        assert_eq!(entries[2].1.lines().count(), 3);
        // The expected sum was computed with md5sum.
        let sum = "a4cc3db5f61a7f7b26ba82b9be725e57  usr/share/root-cert-myhouse.local/root-cert-myhouse.local.crt\n";
        assert!(entries[2].1.ends_with(sum));
    }

    #[test]
    fn maintainer_scripts_stop_on_errors_and_hold_no_placeholder() {
        for (_, script) in &entries(&deb(&[NAME], PEM), 1)[3..] {
            assert!(script.starts_with("#!/bin/sh\n") && script.contains("\nset -eu\n"));
            assert!(!script.contains(['@', '\r']) && !script.contains("{{") && !script.contains(NAME));
        }
    }
}
