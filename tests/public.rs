//! What is made for clients is public: every file below `trust/` is opened, archives within archives and base64 within
//! text too, and holds no private key, no password, no hash of one and no other secret of the registry.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common::Sandbox;
use flate2::read::MultiGzDecoder;

/// What no client has any business with, whatever it belongs to: keys in PEM, password hashes, and the DER of an EC key, whose
/// version and length of 32 bytes stand before the secret (RFC 5915 §3).
const MARKS: [&[u8]; 7] =
    [b"PRIVATE KEY", b"$2y$", b"$2b$", b"$2a$", b"$apr1$", b"dockerconfigjson", b"\x02\x01\x01\x04\x20"];

/// Where in a file something lies, and what is there.
struct Part {
    place: String,
    bytes: Vec<u8>,
    /// A file or a member of an archive must be of a kind that is known here; what base64 decodes to need not.
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    File,
    Decoded,
}

/// The file itself and everything in it, however deep.
fn open(part: Part) -> Vec<Part> {
    let inner = inner(&part);
    let mut parts = vec![part];
    parts.extend(inner.into_iter().flat_map(open));
    parts
}

/// What is right inside. A new kind of archive gets its line here; until then the test fails at it.
fn inner(part: &Part) -> Vec<Part> {
    let bytes = part.bytes.as_slice();
    let member = |name: &str, bytes: Vec<u8>| Part {
        place: format!("{} > {name}", part.place),
        bytes,
        kind: part.kind,
    };
    if bytes.starts_with(b"!<arch>\n") {
        ar(bytes).into_iter().map(|(name, bytes)| member(&name, bytes)).collect()
    } else if bytes.starts_with(b"\x1f\x8b") {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut unpacked).unwrap();
        vec![member("gzip", unpacked)]
    } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        let mut unpacked = Vec::new();
        ruzstd::decoding::StreamingDecoder::new(bytes).unwrap().read_to_end(&mut unpacked).unwrap();
        vec![member("zstd", unpacked)]
    } else if bytes.starts_with(b"\xed\xab\xee\xdb") {
        rpm_members(bytes).into_iter().map(|(name, bytes)| member(&name, bytes)).collect()
    } else if bytes.get(257..262) == Some(b"ustar") {
        tar_members(bytes).into_iter().map(|(name, bytes)| member(&name, bytes)).collect()
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        let decoded = base64_runs(text).into_iter();
        decoded
            .map(|bytes| Part { place: format!("{} > base64", part.place), bytes, kind: Kind::Decoded })
            .collect()
    } else {
        assert!(part.kind == Kind::Decoded, "{}: this test cannot look into such a file", part.place);
        Vec::new()
    }
}

/// Members of a Unix archive: a header of 60 bytes with the name at 0 and the size at 48, padded to even.
fn ar(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut members = Vec::new();
    let mut rest = &bytes[8..];
    while !rest.is_empty() {
        let field = |from: usize, to: usize| std::str::from_utf8(&rest[from..to]).unwrap().trim().to_owned();
        let size: usize = field(48, 58).parse().unwrap();
        members.push((field(0, 16), rest[60..60 + size].to_vec()));
        rest = &rest[(60 + size + size % 2).min(rest.len())..];
    }
    members
}

/// Members of a tar archive; their names, owners and links count as well.
fn tar_members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut members = vec![("headers".to_owned(), b"headers:\n".to_vec())];
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        members[0].1.extend(String::from_utf8_lossy(entry.header().as_bytes()).replace('\0', "\n").bytes());
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        members.push((name, content));
    }
    members
}

/// Files of an rpm; its headers count as well.
fn rpm_members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let package = rpm::Package::parse(&mut &bytes[..]).unwrap();
    let mut headers = Vec::new();
    package.metadata.write(&mut headers).unwrap();
    let headers = String::from_utf8_lossy(&headers).replace('\0', "\n").into_bytes();
    let files = package.files().unwrap().map(Result::unwrap);
    let files = files.map(|file| {
        (file.metadata.path().display().to_string(), file.content().unwrap_or_default().to_vec())
    });
    [("headers".to_owned(), headers)].into_iter().chain(files).collect()
}

/// What every run of base64 stands for; lines of one block, indented or not, are one run.
fn base64_runs(text: &str) -> Vec<Vec<u8>> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut runs: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let whole = line.len() >= 4 && line.chars().all(is_base64);
        if whole && open {
            runs.last_mut().unwrap().push_str(line);
        } else {
            runs.extend(line.split(|c| !is_base64(c)).filter(|run| run.len() >= 24).map(str::to_owned));
        }
        open = whole && (open || line.len() >= 24);
    }
    runs.iter().filter_map(|run| BASE64_STANDARD.decode(run).ok()).collect()
}

/// Every file below `directory`, opened.
fn parts_below(directory: &Path, kind: Kind) -> Vec<Part> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            parts.extend(parts_below(&path, kind));
        } else {
            let place = path.display().to_string();
            parts.extend(open(Part { place, bytes: fs::read(path).unwrap(), kind }));
        }
    }
    parts
}

/// The secrets of this very registry, each with a name: they must not be in any part, in whatever form they lie there.
fn secrets(registry: &Path, password: &str) -> Vec<(String, Vec<u8>)> {
    let mut secrets = vec![("the password".to_owned(), password.as_bytes().to_vec())];
    let hashes = fs::read_to_string(registry.join("nginx/auth/registry.passwd")).unwrap();
    secrets.push(("the hash".to_owned(), hashes.trim().split_once(':').unwrap().1.as_bytes().to_vec()));
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(registry.join(".regcert/state.json")).unwrap()).unwrap();
    let secret = state["http_secret"].as_str().unwrap();
    secrets.push(("the upload secret".to_owned(), secret.as_bytes().to_vec()));
    for part in ["root-cert", "nginx/ssl", "clients"]
        .iter()
        .flat_map(|dir| parts_below(&registry.join(dir), Kind::Decoded))
    {
        let mark = MARKS[6];
        // The 32 bytes behind the mark are the key itself.
        if let Some(at) = part.bytes.windows(mark.len()).position(|window| window == mark) {
            let from = at + mark.len();
            secrets.push((part.place, part.bytes[from..from + 32].to_vec()));
        }
    }
    secrets
}

/// What is in the parts that should not be, and where.
fn found(parts: &[Part], secrets: &[(String, Vec<u8>)]) -> Vec<String> {
    let has = |part: &Part, needle: &[u8]| part.bytes.windows(needle.len()).any(|window| window == needle);
    let mut found = Vec::new();
    for part in parts {
        let marks = MARKS.iter().filter(|mark| has(part, mark));
        found.extend(marks.map(|mark| format!("{}: {}", part.place, mark.escape_ascii())));
        let own = secrets.iter().filter(|(_, secret)| has(part, secret));
        found.extend(own.map(|(name, _)| format!("{}: {name}", part.place)));
    }
    found
}

const PASSWORD: &str = "correct-horse-battery";

/// A registry with everything that has a secret, in the middle of a rotation of its root.
fn registry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok(&format!("echo {PASSWORD} > password"));
    sandbox.ok(&format!(
        "regcert init --docker-username bob --docker-password {PASSWORD} --client-auth optional"
    ));
    sandbox.ok("regcert add-client laptop7 && regcert trust pull-secret bob --password-file password");
    sandbox.ok("regcert trust && regcert rotate --ca");
    sandbox
}

#[test]
fn nothing_for_clients_holds_a_secret() {
    let sandbox = registry();
    let registry = sandbox.path().join("registry");
    let secrets = secrets(&registry, PASSWORD);
    // Both roots', the server's, the clients' authority's, one client's; password, hash and upload secret.
    assert!(secrets.len() >= 8, "{:?}", secrets.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let mut parts = parts_below(&registry.join("trust"), Kind::File);
    assert!(parts.len() > 60, "{} parts", parts.len());
    // Both roots are there, as deep as a package has them.
    for package in [".deb > data.tar", ".rpm > ", ".apk > gzip > ", ".pkg.tar.zst > zstd > "] {
        let roots = parts.iter().filter(|part| part.place.contains(package) && part.place.ends_with(".crt"));
        assert!(roots.count() >= 2, "{package}");
    }
    // And what else anybody is shown.
    parts.extend(parts_below(&registry.join("nginx/www"), Kind::File));
    assert_eq!(found(&parts, &secrets), Vec::<String>::new());
}

#[test]
fn a_secret_that_is_planted_is_found_wherever_it_lies() {
    let sandbox = registry();
    let registry = sandbox.path().join("registry");
    let secrets = secrets(&registry, PASSWORD);
    let key = fs::read(registry.join("clients/laptop7/client.key")).unwrap();
    let hash = fs::read(registry.join("nginx/auth/registry.passwd")).unwrap();
    let pull_secret = fs::read(registry.join("clients/pull-secret-bob.yaml")).unwrap();
    let body: String =
        String::from_utf8(key.clone()).unwrap().lines().filter(|l| !l.contains("-----")).collect();
    let der = BASE64_STANDARD.decode(&body).unwrap();
    for (what, secret) in [
        ("key", key.clone()),
        ("hash", hash),
        ("pull secret", pull_secret),
        ("password", format!("x={PASSWORD}\n").into_bytes()),
        ("key in base64", format!("  data: {body}\n").into_bytes()),
        ("key in base64, twice", BASE64_STANDARD.encode(&key).into_bytes()),
        (
            "key in indented lines",
            String::from_utf8(key)
                .unwrap()
                .replace("-----", "")
                .replace('\n', "\n   ")
                .replace("PRIVATE", "")
                .into_bytes(),
        ),
        ("raw key", [b"x".as_slice(), &der].concat()),
    ] {
        for (place, bytes) in [
            ("file", secret.clone()),
            ("gzip", gzip(&secret)),
            ("tar", tar(&secret)),
            ("deb", deb(&gzip(&tar(&secret)))),
            (
                "zstd",
                ruzstd::encoding::compress_to_vec(&secret[..], ruzstd::encoding::CompressionLevel::Fastest),
            ),
            ("rpm", rpm(&secret)),
        ] {
            let kind = if what == "raw key" { Kind::Decoded } else { Kind::File };
            let parts = open(Part { place: format!("{what} in {place}"), bytes, kind });
            assert!(!found(&parts, &secrets).is_empty(), "{what} in {place}");
        }
    }
}

#[test]
#[should_panic(expected = "cannot look into such a file")]
fn an_archive_of_a_kind_that_is_not_known_here_is_no_pass() {
    open(Part { place: "x.xz".to_owned(), bytes: b"\xfd7zXZ\x00\xff\xfe".to_vec(), kind: Kind::File });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

fn tar(bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "planted", bytes).unwrap();
    archive.into_inner().unwrap()
}

fn deb(data: &[u8]) -> Vec<u8> {
    let header = format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "data.tar.gz", 0, 0, 0, 100_644, data.len());
    [b"!<arch>\n".as_slice(), header.as_bytes(), data, &[b'\n'][..data.len() % 2]].concat()
}

fn rpm(bytes: &[u8]) -> Vec<u8> {
    let mut package = rpm::PackageBuilder::new("planted", "1", "none", "noarch", "planted");
    package.with_file_contents(bytes, rpm::FileOptions::new("/planted")).unwrap();
    let mut packed = Vec::new();
    package.build().unwrap().write(&mut packed).unwrap();
    packed
}
