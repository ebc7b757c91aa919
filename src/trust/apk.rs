//! The Alpine package that makes a root certificate trusted, in apk's format 2: two gzip members that form one tar.
//! The first member is for apk, the second contains the files. The package has no signature, so it needs `apk add
//! --allow-untrusted`.
//!
//! The same input gives the same bytes. This module reads no clock, no file and no environment, and never sees a key.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tar::{Builder, EntryType};

use super::archive::{self, Files, IN_MEMORY, gzip};
use super::package::{LICENSE, PACKAGER, Package};
use crate::pki::{hex, sha256};

/// The directory for the certificates. Alpine's update-ca-certificates reads no directory below this one.
const DIRECTORY: &str = "usr/local/share/ca-certificates";

const UPDATED: &str = include_str!("apk/updated");
const REMOVED: &str = include_str!("apk/removed");

/// The length of the two blocks of zeros that end a tar. The first member has no such blocks, so apk continues with
/// the next member.
const END: usize = 2 * 512;

/// Builds the package in memory.
pub fn build(package: &Package) -> Vec<u8> {
    package.debug_assert_input();
    let files = package.certificates(DIRECTORY);
    let data = gzip(&data(&files, package.time()));
    let mut control = archive::tar(&control(package, &files, &data), package.time());
    control.truncate(control.len() - END);
    [gzip(&control), data].concat()
}

fn control(package: &Package, files: &Files, data: &[u8]) -> Files {
    // An upgrade runs only `.post-upgrade`, and not the other two scripts.
    let scripts = [(".post-install", UPDATED), (".post-upgrade", UPDATED), (".post-deinstall", REMOVED)];
    let scripts = scripts.map(|(name, script)| (name.to_owned(), (0o755, script.as_bytes().to_vec())));
    let mut control = Files::from(scripts);
    control.insert(".PKGINFO".to_owned(), (0o644, info(package, files, data).into_bytes()));
    control
}

fn info(package: &Package, files: &Files, data: &[u8]) -> String {
    let size: usize = files.values().map(|(_, content)| content.len()).sum();
    format!(
        "pkgname = {0}\npkgver = {1}-r0\npkgdesc = {2}\nbuilddate = {3}\npackager = {PACKAGER}\n\
         size = {size}\narch = noarch\norigin = {0}\nlicense = {LICENSE}\ndepend = ca-certificates\n\
         datahash = {4}\n",
        package.name,
        package.version,
        package.description(),
        package.time(),
        hex(&sha256(data))
    )
}

/// Writes a tar that has the checksum of each file in a header before the file, for `apk audit` and `apk verify`.
fn data(files: &Files, time: u64) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, (mode, content)) in archive::entries(files) {
        if path.ends_with('/') {
            archive::append(&mut tar, EntryType::Directory, path, (mode, content), time);
            continue;
        }
        let sum = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, content).as_ref());
        let record = pax_record("APK-TOOLS.checksum.SHA1", &sum);
        // The header needs a name, because apk takes an entry without a name for the end of the tar.
        archive::append(&mut tar, EntryType::XHeader, "PaxHeaders/file", (0o644, record.as_bytes()), time);
        archive::append(&mut tar, EntryType::Regular, path, (mode, content), time);
    }
    tar.into_inner().expect(IN_MEMORY)
}

/// Writes a record in the POSIX pax format: the length of the record, a space, `key=value`, and a newline. The length
/// includes its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::bufread::GzDecoder;

    use super::super::archive::examples::read;
    use super::super::package::examples::{NAME, PEM, TIME, built};
    use super::*;

    /// The compressed bytes and the uncompressed content of each gzip member.
    fn members(mut apk: &[u8]) -> Vec<(&[u8], Vec<u8>)> {
        let mut members = Vec::new();
        while !apk.is_empty() {
            let mut tar = Vec::new();
            let mut member = GzDecoder::new(apk);
            member.read_to_end(&mut tar).unwrap();
            let rest = member.into_inner();
            members.push((&apk[..apk.len() - rest.len()], tar));
            apk = rest;
        }
        members
    }

    #[test]
    fn same_input_gives_the_same_bytes_in_two_members_that_are_one_tar() {
        let apk = built(build, &["old", "new"], PEM);
        assert_eq!(apk, built(build, &["old", "new"], PEM));
        let members = members(&apk);
        assert_eq!(members.len(), 2);
        let whole = members.iter().flat_map(|(_, tar)| tar.clone()).collect::<Vec<_>>();
        let paths: Vec<_> = read(&whole, TIME).into_iter().map(|(line, _)| line).collect();
        let expected = [
            "644 .PKGINFO",
            "755 .post-deinstall",
            "755 .post-install",
            "755 .post-upgrade",
            "755 usr/",
            "755 usr/local/",
            "755 usr/local/share/",
            "755 usr/local/share/ca-certificates/",
            "644 usr/local/share/ca-certificates/new.crt",
            "644 usr/local/share/ca-certificates/old.crt",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn control_says_what_is_trusted_and_what_the_data_are() {
        let apk = built(build, &[NAME], PEM);
        let members = members(&apk);
        let control = read(&members[0].1, TIME);
        let fingerprint = ["AB"; 32].join(":");
        let expected = format!(
            "pkgname = {NAME}\npkgver = 2020.11.20-r0\npkgdesc = Private root certificate for myhouse.local, \
             trusted system-wide. SHA-256 {fingerprint}\nbuilddate = {TIME}\npackager = {PACKAGER}\n\
             size = 59\narch = noarch\norigin = {NAME}\nlicense = LicenseRef-public-data\n\
             depend = ca-certificates\ndatahash = {}\n",
            hex(&sha256(members[1].0))
        );
        assert_eq!(control[0].1, expected);
    }

    #[test]
    fn each_file_has_its_checksum_before_it_and_no_entry_is_nameless() {
        let apk = built(build, &[NAME], PEM);
        let tar = &members(&apk)[1].1;
        let headers = tar.chunks(512).filter(|block| block[257..].starts_with(b"ustar"));
        assert!(headers.clone().all(|header| header[0] != 0));
        assert_eq!(headers.filter(|header| header[156] == b'x').count(), 1);
        // The expected sum was computed with sha1sum.
        let record = "68 APK-TOOLS.checksum.SHA1=6c068641cab7843464144331c7f787eea8246867\n";
        assert_eq!(tar.windows(record.len()).filter(|window| *window == record.as_bytes()).count(), 1);
    }

    #[test]
    fn a_record_counts_the_digits_of_its_length() {
        assert_eq!(pax_record("a", "1234"), "9 a=1234\n");
        // With one digit for the length, the record has ten bytes; the second digit makes eleven.
        assert_eq!(pax_record("a", "12345"), "11 a=12345\n");
    }
}
