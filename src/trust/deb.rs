//! The Debian package that makes a root certificate trusted on Debian and Ubuntu: an `ar` of two compressed
//! tars, so no Debian tool is needed to make it.
//!
//! The same input gives the same bytes. It never reads a clock, a file or the environment, and never sees a key.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use flate2::{Compression, GzBuilder};
use md5::{Digest, Md5};
use tar::{Builder, EntryType, Header};
use time::format_description::well_known::Rfc2822;
use time::{OffsetDateTime, UtcOffset};

/// The top-level domain `invalid` is reserved (RFC 2606): mail to it can reach nobody.
const MAINTAINER: &str = "regcert <regcert@registry.invalid>";

const POSTINST: &str = concat!(include_str!("deb/common"), include_str!("deb/postinst"));
const POSTRM: &str = concat!(include_str!("deb/common"), include_str!("deb/postrm"));

/// Why a write is expected to succeed.
const IN_MEMORY: &str = "a `Vec` takes every write";

/// Contents and modes by path; a path starts with `./`, as deb(5) files do by custom.
type Files = BTreeMap<String, (u32, Vec<u8>)>;

/// A root certificate as a Debian package.
pub struct Deb<'a> {
    /// A valid package name, such as `root-cert-myhouse.local`.
    pub package: &'a str,
    /// Must rise whenever the roots change, or apt will not upgrade.
    pub version: &'a str,
    /// What the roots are for, such as `myhouse.local`.
    pub description_name: &'a str,
    /// The one time of everything in the package.
    pub released: OffsetDateTime,
    /// File stem and PEM of each root: one, or two while the authority is being rotated.
    pub roots: &'a [(String, Vec<u8>)],
    /// SHA-256 of each root, as hexadecimal pairs joined by colons.
    pub fingerprints: &'a [String],
}

impl Deb<'_> {
    /// Writes the package.
    pub fn build(&self) -> Vec<u8> {
        self.debug_assert_input();
        let data = self.data();
        let control = self.control(&data);
        let mut deb = b"!<arch>\n".to_vec();
        for (name, content) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", gzip(&self.tar(&control))),
            ("data.tar.gz", gzip(&self.tar(&data))),
        ] {
            // deb(5): name, time, owner, group, mode, size; members start at even offsets.
            let (time, size) = (self.mtime(), content.len());
            let header = format!("{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644");
            deb.extend(header.into_bytes());
            deb.extend(content);
            deb.resize(deb.len().next_multiple_of(2), b'\n');
        }
        deb
    }

    /// The alphabets are closed before a package is made; this finds a caller that forgot.
    fn debug_assert_input(&self) {
        // Debian policy 5.6.1 and 5.6.12. A version without a hyphen is a native one.
        let made_of = |text: &str, more: &[u8]| {
            text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(&c))
                && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        };
        debug_assert!(self.package.len() > 1 && made_of(self.package, b"+-."));
        debug_assert!(made_of(self.version, b"+.~") && self.version.as_bytes()[0].is_ascii_digit());
        debug_assert!(!self.description_name.contains(char::is_control));
        let stems: BTreeSet<_> = self.roots.iter().map(|(stem, _)| stem).collect();
        debug_assert!(stems.iter().all(|stem| made_of(stem, b"+-.")));
        debug_assert!(!stems.is_empty() && stems.len() == self.roots.len());
        debug_assert_eq!(self.roots.len(), self.fingerprints.len());
        for (_, pem) in self.roots {
            debug_assert!(!pem.windows(11).any(|window| window == b"PRIVATE KEY"));
        }
    }

    fn mtime(&self) -> u64 {
        u64::try_from(self.released.unix_timestamp()).unwrap_or(0)
    }

    fn data(&self) -> Files {
        let package = self.package;
        let documents = [
            (format!("./usr/share/doc/{package}/changelog.gz"), gzip(self.changelog().as_bytes())),
            (format!("./usr/share/doc/{package}/copyright"), self.copyright().into_bytes()),
        ];
        let roots =
            self.roots.iter().map(|(stem, pem)| (format!("./usr/share/{package}/{stem}.crt"), pem.clone()));
        roots.chain(documents).map(|(path, content)| (path, (0o644, content))).collect()
    }

    fn control(&self, data: &Files) -> Files {
        let files = [
            ("control", 0o644, self.control_file(data)),
            ("md5sums", 0o644, md5sums(data)),
            ("postinst", 0o755, POSTINST.to_owned()),
            ("postrm", 0o755, POSTRM.to_owned()),
        ];
        files.into_iter().map(|(name, mode, text)| (format!("./{name}"), (mode, text.into_bytes()))).collect()
    }

    fn control_file(&self, data: &Files) -> String {
        // As dpkg-gencontrol counts: a file takes whole KiB, a folder takes one.
        let size = folders(data).len()
            + data.values().map(|(_, content)| content.len().div_ceil(1024)).sum::<usize>();
        let mut control = format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: {MAINTAINER}\n\
             Installed-Size: {size}\nDepends: ca-certificates\nSection: misc\nPriority: optional\n\
             Multi-Arch: foreign\nDescription: private root certificate, trusted system-wide\n \
             This computer will trust the certificates that a private authority issues for\n .\n  \
             {}\n .\n SHA-256 fingerprint of each root certificate in this package:\n",
            self.package, self.version, self.description_name
        );
        for fingerprint in self.fingerprints {
            // A fingerprint has 95 characters, a line of a description at most 80 (lintian).
            let (first, second) = fingerprint.split_at_checked(48).unwrap_or((fingerprint, ""));
            control.extend([" .\n  ", first, "\n"]);
            if !second.is_empty() {
                control.extend(["  ", second, "\n"]);
            }
        }
        control
    }

    fn changelog(&self) -> String {
        let date = self.released.to_offset(UtcOffset::UTC).format(&Rfc2822);
        let date = date.expect("a release is later than 1900");
        let roots: String = self.roots.iter().map(|(stem, _)| format!("    - {stem}.crt\n")).collect();
        format!(
            "{} ({}) stable; urgency=medium\n\n  * Trusts these root certificates:\n{roots}\n \
             -- {MAINTAINER}  {date}\n",
            self.package, self.version
        )
    }

    fn copyright(&self) -> String {
        format!(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
             Files: *\nCopyright: {}, whoever runs the authority for {}\nLicense: public-data\n \
             A root certificate holds public data only. It may be copied and passed on\n \
             without restriction, and comes without any warranty.\n",
            self.released.to_offset(UtcOffset::UTC).year(),
            self.description_name
        )
    }

    /// A tar of the files and of the folders they are in, sorted: a folder before its content.
    fn tar(&self, files: &Files) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        let folders = folders(files).into_iter().map(|path| (path, (0o755, &[][..])));
        let files = files.iter().map(|(path, (mode, content))| (&path[..], (*mode, &content[..])));
        for (path, (mode, content)) in folders.chain(files).collect::<BTreeMap<_, _>>() {
            let mut header = Header::new_gnu();
            let kind = if path.ends_with('/') { EntryType::Directory } else { EntryType::Regular };
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_mtime(self.mtime());
            header.set_uid(0);
            header.set_gid(0);
            header.set_username("root").expect("a short name fits");
            header.set_groupname("root").expect("a short name fits");
            header.set_size(content.len() as u64);
            match header.as_old_mut().name.get_mut(..path.len()) {
                // Not by `append_data`, which drops the `./`.
                Some(name) => {
                    name.copy_from_slice(path.as_bytes());
                    header.set_cksum();
                    tar.append(&header, content).expect(IN_MEMORY);
                }
                // A path of more than 100 bytes takes an entry of its own, `./` included.
                None => tar.append_data(&mut header, path, content).expect(IN_MEMORY),
            }
        }
        tar.into_inner().expect(IN_MEMORY)
    }
}

/// The folders above the files, each with its final slash.
fn folders(files: &Files) -> BTreeSet<&str> {
    files.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..=at])).collect()
}

fn md5sums(data: &Files) -> String {
    let line = |(path, (_, content)): (&String, &(u32, Vec<u8>))| {
        let sum: String = Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{sum}  {}\n", path.trim_start_matches("./"))
    };
    data.iter().map(line).collect()
}

/// No time in the header and an unknown system (RFC 1952: 255), so that only the content counts.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(content).expect(IN_MEMORY);
    gzip.finish().expect(IN_MEMORY)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use tar::Archive;
    use time::macros::datetime;

    use super::*;

    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const NAME: &str = "root-cert-myhouse.local";
    const TIME: u64 = 1_795_172_400;

    fn deb(stems: &[&str], pem: &[u8]) -> Vec<u8> {
        let roots: Vec<_> = stems.iter().map(|stem| (stem.to_string(), pem.to_vec())).collect();
        Deb {
            package: NAME,
            version: "2026.11.20",
            description_name: "myhouse.local",
            released: datetime!(2026-11-20 12:00 +1),
            roots: &roots,
            fingerprints: &vec![["AB"; 32].join(":"); stems.len()],
        }
        .build()
    }

    /// Names and contents of the members of the `ar`.
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

    /// `mode path` and content of each entry of a tar; owner and time are the same for all.
    fn entries(deb: &[u8], member: usize) -> Vec<(String, String)> {
        let members = members(deb);
        let mut entries = Vec::new();
        for entry in Archive::new(GzDecoder::new(&members[member].1[..])).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, TIME));
            assert_eq!(
                (header.username().unwrap(), header.groupname().unwrap()),
                (Some("root"), Some("root"))
            );
            let line =
                format!("{:o} {}", header.mode().unwrap(), String::from_utf8_lossy(&entry.path_bytes()));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            entries.push((line, String::from_utf8_lossy(&content).into_owned()));
        }
        entries
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
        // RFC 1952: deflate, no flags, no time, best compression, unknown system.
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
            "Package: root-cert-myhouse.local\nVersion: 2026.11.20\nArchitecture: all\n\
             Maintainer: regcert <regcert@registry.invalid>\nInstalled-Size: 9\n\
             Depends: ca-certificates\nSection: misc\nPriority: optional\nMulti-Arch: foreign\n\
             Description: private root certificate, trusted system-wide\n \
             This computer will trust the certificates that a private authority issues for\n .\n  \
             myhouse.local\n .\n SHA-256 fingerprint of each root certificate in this package:\n \
             .\n  AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:\n  \
             AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\n"
        );
        assert_eq!(entries[2].1.lines().count(), 3);
        // The sum is from md5sum.
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

    #[test]
    #[should_panic(expected = "PRIVATE KEY")]
    #[cfg(debug_assertions)]
    fn a_private_key_is_never_packaged() {
        deb(&[NAME], b"-----BEGIN PRIVATE KEY-----\n");
    }
}
