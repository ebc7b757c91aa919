//! The Debian package that makes a root certificate trusted on Debian and Ubuntu: an `ar` of two
//! compressed tars, so no Debian tool is needed to make it.
//!
//! The same input gives the same bytes. It never reads a clock, a file or the environment, and it
//! never sees a key.

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
        debug_assert!(
            made_of(self.version, b"+.~") && self.version.starts_with(|c: char| c.is_ascii_digit())
        );
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
        let date =
            self.released.to_offset(UtcOffset::UTC).format(&Rfc2822).expect("a release is later than 1900");
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
            self.released.year(),
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

    /// Names, times and contents of the members of an `ar`.
    fn members(mut ar: &[u8]) -> Vec<(String, String, Vec<u8>)> {
        ar = ar.strip_prefix(b"!<arch>\n").unwrap();
        let mut members = Vec::new();
        while !ar.is_empty() {
            let header = std::str::from_utf8(&ar[..60]).unwrap();
            assert_eq!(&header[28..48], "0     0     100644  ");
            assert_eq!(&header[58..], "`\n");
            let field = |from: usize, to: usize| header[from..to].trim_end().to_owned();
            let size: usize = field(48, 58).parse().unwrap();
            members.push((field(0, 16), field(16, 28), ar[60..60 + size].to_vec()));
            ar = &ar[60 + size.next_multiple_of(2)..];
        }
        members
    }

    /// `mode owner/group time path` of each entry, and its content.
    fn entries(deb: &[u8], member: usize) -> Vec<(String, String)> {
        let members = members(deb);
        let mut tar = Archive::new(GzDecoder::new(&members[member].2[..]));
        tar.entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
                let line = format!(
                    "{:o} {}/{} {} {}",
                    header.mode().unwrap(),
                    header.username().unwrap().unwrap(),
                    header.groupname().unwrap().unwrap(),
                    header.mtime().unwrap(),
                    String::from_utf8(entry.path_bytes().into_owned()).unwrap()
                );
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (line, String::from_utf8_lossy(&content).into_owned())
            })
            .collect()
    }

    fn lines(deb: &[u8], member: usize) -> String {
        entries(deb, member).into_iter().map(|(line, _)| line + "\n").collect()
    }

    #[test]
    fn same_input_gives_the_same_bytes() {
        assert_eq!(deb(&[NAME], PEM), deb(&[NAME], PEM));
        // RFC 1952: deflate, no flags, no time, best compression, unknown system.
        for (_, _, content) in &members(&deb(&[NAME], PEM))[1..] {
            assert_eq!(content[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
        }
    }

    #[test]
    fn a_package_has_the_three_members_of_deb_5() {
        let members = members(&deb(&[NAME], PEM));
        let names: Vec<_> = members.iter().map(|(name, time, _)| format!("{name} {time}")).collect();
        assert_eq!(
            names,
            ["debian-binary 1795172400", "control.tar.gz 1795172400", "data.tar.gz 1795172400"]
        );
        assert_eq!(members[0].2, b"2.0\n");
    }

    #[test]
    fn data_belongs_to_root_and_is_sorted() {
        assert_eq!(
            lines(&deb(&[NAME, "root-cert-myhouse.local-2"], PEM), 2),
            "755 root/root 1795172400 ./\n\
             755 root/root 1795172400 ./usr/\n\
             755 root/root 1795172400 ./usr/share/\n\
             755 root/root 1795172400 ./usr/share/doc/\n\
             755 root/root 1795172400 ./usr/share/doc/root-cert-myhouse.local/\n\
             644 root/root 1795172400 ./usr/share/doc/root-cert-myhouse.local/changelog.gz\n\
             644 root/root 1795172400 ./usr/share/doc/root-cert-myhouse.local/copyright\n\
             755 root/root 1795172400 ./usr/share/root-cert-myhouse.local/\n\
             644 root/root 1795172400 ./usr/share/root-cert-myhouse.local/root-cert-myhouse.local-2.crt\n\
             644 root/root 1795172400 ./usr/share/root-cert-myhouse.local/root-cert-myhouse.local.crt\n"
        );
    }

    #[test]
    fn a_path_longer_than_a_tar_header_is_kept_whole() {
        let long = "a".repeat(120);
        let expected = format!("./usr/share/{NAME}/{long}.crt");
        assert!(lines(&deb(&[&long], PEM), 2).ends_with(&format!(" {expected}\n")));
    }

    #[test]
    fn control_says_what_is_trusted_and_what_it_needs() {
        let deb = deb(&[NAME], PEM);
        assert_eq!(
            lines(&deb, 1),
            "755 root/root 1795172400 ./\n644 root/root 1795172400 ./control\n\
             644 root/root 1795172400 ./md5sums\n755 root/root 1795172400 ./postinst\n\
             755 root/root 1795172400 ./postrm\n"
        );
        assert_eq!(
            entries(&deb, 1)[1].1,
            "Package: root-cert-myhouse.local\nVersion: 2026.11.20\nArchitecture: all\n\
             Maintainer: regcert <regcert@registry.invalid>\nInstalled-Size: 9\n\
             Depends: ca-certificates\nSection: misc\nPriority: optional\nMulti-Arch: foreign\n\
             Description: private root certificate, trusted system-wide\n \
             This computer will trust the certificates that a private authority issues for\n .\n  \
             myhouse.local\n .\n SHA-256 fingerprint of each root certificate in this package:\n \
             .\n  AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:\n  \
             AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\n"
        );
    }

    #[test]
    fn md5sums_lists_every_file() {
        let sums = &entries(&deb(&[NAME], PEM), 1)[2].1;
        let paths: Vec<_> = sums.lines().map(|line| line.split_at(34).1).collect();
        assert_eq!(
            paths,
            [
                "usr/share/doc/root-cert-myhouse.local/changelog.gz",
                "usr/share/doc/root-cert-myhouse.local/copyright",
                "usr/share/root-cert-myhouse.local/root-cert-myhouse.local.crt"
            ]
        );
        // By md5sum.
        assert!(sums.lines().last().unwrap().starts_with("a4cc3db5f61a7f7b26ba82b9be725e57  usr/"));
    }

    #[test]
    fn maintainer_scripts_hold_no_placeholder_and_stop_on_errors() {
        for (_, script) in &entries(&deb(&[NAME], PEM), 1)[3..] {
            assert!(script.starts_with("#!/bin/sh\n"));
            assert!(script.contains("\nset -eu\n"));
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
