//! The Arch Linux package that makes a root certificate trusted: a tar compressed with zstd.
//!
//! The same input gives the same bytes. This module reads no clock, no file and no environment, and never sees a key.

use md5::{Digest, Md5};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::archive::{Files, entries, gzip, tar};
use super::package::{LICENSE, PACKAGER, Package};
use crate::pki::{hex, sha256};

/// The directory in which a package may install root certificates (update-ca-trust(8) of Arch Linux).
const DIRECTORY: &str = "usr/share/ca-certificates/trust-source/anchors";

const INSTALL: &str = include_str!("arch/install");

/// Builds the package in memory.
pub fn build(package: &Package) -> Vec<u8> {
    package.debug_assert_input();
    let mut files = package.certificates(DIRECTORY);
    let size: usize = files.values().map(|(_, content)| content.len()).sum();
    for (name, text) in [
        (".PKGINFO", info(package, size)),
        (".BUILDINFO", build_info(package)),
        (".INSTALL", INSTALL.to_owned()),
    ] {
        files.insert(name.to_owned(), (0o644, text.into_bytes()));
    }
    let manifest = gzip(manifest(&files, package.time()).as_bytes());
    files.insert(".MTREE".to_owned(), (0o644, manifest));
    // The library does not implement the higher compression levels yet, and would panic.
    compress_to_vec(&tar(&files, package.time())[..], CompressionLevel::Fastest)
}

fn info(package: &Package, size: usize) -> String {
    format!(
        "pkgname = {0}\npkgbase = {0}\nxdata = pkgtype=pkg\npkgver = {1}-1\npkgdesc = {2}\nbuilddate = {3}\n\
         packager = {PACKAGER}\nsize = {size}\narch = any\nlicense = {LICENSE}\ndepend = ca-certificates-utils\n",
        package.name,
        package.version,
        package.description(),
        package.time()
    )
}

/// The fields of BUILDINFO(5) that apply to a package that was not built by makepkg.
fn build_info(package: &Package) -> String {
    format!(
        "format = 2\npkgname = {0}\npkgbase = {0}\npkgver = {1}-1\npkgarch = any\npackager = {PACKAGER}\n\
         builddate = {2}\nbuildtool = regcert\n",
        package.name,
        package.version,
        package.time()
    )
}

/// The list in the format mtree(5) from which `pacman -Qkk` detects changed files.
fn manifest(files: &Files, time: u64) -> String {
    let mut manifest = "#mtree\n/set type=file uid=0 gid=0 mode=644\n".to_owned();
    for (path, (mode, content)) in entries(files) {
        manifest += &match path.strip_suffix('/') {
            Some(folder) => format!("./{folder} time={time}.0 mode={mode:o} type=dir\n"),
            None => {
                // pacman compares the MD5 sum up to version 6.0, and the SHA-256 sum in later versions.
                let sums = (hex(&Md5::digest(content)), hex(&sha256(content)));
                format!(
                    "./{path} time={time}.0 size={} md5digest={} sha256digest={}\n",
                    content.len(),
                    sums.0,
                    sums.1
                )
            }
        };
    }
    manifest
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use ruzstd::decoding::StreamingDecoder;

    use super::super::archive::examples::read;
    use super::super::package::examples::{NAME, PEM, TIME, built};
    use super::*;

    fn unpacked(stems: &[&str]) -> Vec<u8> {
        let mut tar = Vec::new();
        let package = built(build, stems, PEM);
        StreamingDecoder::new(&package[..]).unwrap().read_to_end(&mut tar).unwrap();
        tar
    }

    #[test]
    fn same_input_gives_the_same_bytes() {
        assert_eq!(built(build, &[NAME], PEM), built(build, &[NAME], PEM));
    }

    #[test]
    fn what_pacman_is_told_comes_before_the_files() {
        let paths: Vec<_> =
            read(&unpacked(&["old", "new"]), TIME).into_iter().map(|(line, _)| line).collect();
        let expected = [
            "644 .BUILDINFO",
            "644 .INSTALL",
            "644 .MTREE",
            "644 .PKGINFO",
            "755 usr/",
            "755 usr/share/",
            "755 usr/share/ca-certificates/",
            "755 usr/share/ca-certificates/trust-source/",
            "755 usr/share/ca-certificates/trust-source/anchors/",
            "644 usr/share/ca-certificates/trust-source/anchors/new.crt",
            "644 usr/share/ca-certificates/trust-source/anchors/old.crt",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn it_says_what_is_trusted() {
        let entries = read(&unpacked(&[NAME]), TIME);
        let fingerprint = ["AB"; 32].join(":");
        let expected = format!(
            "pkgname = {NAME}\npkgbase = {NAME}\nxdata = pkgtype=pkg\npkgver = 2020.11.20-1\n\
             pkgdesc = Private root certificate for myhouse.local, trusted system-wide. SHA-256 {fingerprint}\n\
             builddate = {TIME}\npackager = {PACKAGER}\nsize = 59\narch = any\n\
             license = LicenseRef-public-data\ndepend = ca-certificates-utils\n"
        );
        assert_eq!(entries[3].1, expected);
    }

    #[test]
    fn the_manifest_has_every_entry_but_itself() {
        let tar = unpacked(&[NAME]);
        let manifest = tar.windows(3).position(|bytes| bytes == [0x1f, 0x8b, 8]).unwrap();
        let mut text = String::new();
        GzDecoder::new(&tar[manifest..]).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 2 + read(&tar, TIME).len() - 1);
        // The expected sums were computed with md5sum and sha256sum.
        let line = format!(
            "./usr/share/ca-certificates/trust-source/anchors/{NAME}.crt time={TIME}.0 size=59 \
             md5digest=a4cc3db5f61a7f7b26ba82b9be725e57 sha256digest=7cc358aa45100f42d57b76e9b235253bfc6fc830b3e45858d2bc473657aae3f7"
        );
        assert_eq!(text.lines().last().unwrap(), line);
    }
}
