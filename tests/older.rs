//! Directories as regcert 0.1.0 wrote them go on working: `status` says what it should, `init --dry-run` shows what changes,
//! the next command that writes brings the directory to today's form, and users, root, settings and edits by hand stay.
//! `tests/fixtures/0.1.0/make` made the directories. `SNAPSHOTS=overwrite cargo test --test older` rewrites what is printed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use common::{Sandbox, redact};
use snapbox::{Assert, Data};
use time::OffsetDateTime;
use x509_parser::pem::Pem;

/// Where the directories were made, and the program that made them.
const PLACE: &str = "/tmp/regcert-0.1.0";
/// The containers' user there.
const CONTAINERS: u32 = 65_532;
/// When commands run, in seconds since 1970: 2026-11-29 12:00, the day after the directories were made.
const NOW: i64 = 1_795_953_600;

/// A shape, and the command that writes next.
const SHAPES: [(&str, &str); 11] = [
    ("default", "regcert add-user dave </dev/null"),
    ("roles", "regcert remove-user bob"),
    ("mirror", "regcert rotate"),
    ("without-nginx", "regcert add-user dave </dev/null"),
    ("imported", "echo 'an old passphrase' >phrase && regcert rotate --ca-passphrase-file phrase"),
    ("external", "regcert add-user dave </dev/null"),
    ("rotation", "regcert rotate --ca --finish"),
    ("edited", "regcert init"),
    ("anonymous", "regcert init --cert-company Ours"),
    ("clients", "regcert revoke laptop"),
    ("unapplied", "regcert add-user dave </dev/null"),
];

/// A file of an archive.
#[derive(Clone)]
struct Packed {
    mode: u32,
    owner: u32,
    /// `None` for a directory.
    bytes: Option<Vec<u8>>,
}

fn archive(shape: &str) -> BTreeMap<PathBuf, Packed> {
    let path = format!("{}/tests/fixtures/0.1.0/{shape}.tar.gz", env!("CARGO_MANIFEST_DIR"));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (mode, owner) = (entry.header().mode().unwrap(), entry.header().uid().unwrap());
        let path = entry.path().unwrap().strip_prefix(".").unwrap().to_owned();
        let is_file = entry.header().entry_type().is_file();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let owner = owner.try_into().unwrap();
        files.insert(path, Packed { mode, owner, bytes: is_file.then_some(bytes) });
    }
    files
}

/// The whole directory: what the archive has, and what it shares with the default.
fn directory(shape: &str) -> BTreeMap<PathBuf, Packed> {
    let mut files = archive("default");
    if shape != "default" {
        files.extend(archive(shape));
    }
    if let Some(Packed { bytes: Some(removed), .. }) = files.remove(Path::new(".removed")) {
        for path in String::from_utf8(removed).unwrap().lines() {
            files.remove(Path::new(path).strip_prefix(".").unwrap());
        }
    }
    files
}

/// The files with `from` as `to`, and with the digests of those that it changes.
fn with(files: &mut BTreeMap<PathBuf, Packed>, from: &str, to: &str) {
    let digests = Path::new(".regcert/digests.json");
    let mut known: BTreeMap<String, String> =
        serde_json::from_slice(files[digests].bytes.as_ref().unwrap()).unwrap();
    for (path, file) in files.iter_mut() {
        let Some(text) = file.bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
            continue;
        };
        if text.contains(from) {
            let hex = |bytes: &[u8]| -> String {
                digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
            };
            let (before, text) = (hex(text.as_bytes()), text.replace(from, to));
            // One that was edited by hand stays so.
            if let Some(known) = known.get_mut(path.to_str().unwrap()).filter(|known| **known == before) {
                *known = hex(text.as_bytes());
            }
            file.bytes = Some(text.into_bytes());
        }
    }
    files.get_mut(digests).unwrap().bytes = Some(serde_json::to_vec(&known).unwrap());
}

/// A registry as regcert 0.1.0 wrote it, as if it had always been here and the caller's.
struct Older {
    sandbox: Sandbox,
    before: BTreeMap<PathBuf, Packed>,
}

impl Older {
    fn new(shape: &str) -> Self {
        let sandbox = Sandbox::new();
        let work = sandbox.path();
        let mut files = directory(shape);
        // Without root, the files of the containers belong to the caller.
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if ids.0 != 0 {
            let (from, to) = (format!("{CONTAINERS}:{CONTAINERS}"), format!("{}:{}", ids.0, ids.1));
            with(&mut files, &from, &to);
        }
        with(&mut files, &format!("{PLACE}/regcert"), env!("CARGO_BIN_EXE_regcert"));
        with(&mut files, PLACE, work.to_str().unwrap());
        let dir = work.join("registry");
        fs::create_dir(&dir).unwrap();
        for (path, Packed { mode, owner, bytes }) in &files {
            let path = dir.join(path);
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::create_dir(&path).unwrap(),
            }
            if ids.0 == 0 {
                chown(&path, Some(*owner), Some(*owner)).unwrap();
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        Self { sandbox, before: files }
    }

    /// Runs a command at that time, whatever time it is.
    fn run(&self, command: &str) -> String {
        let ahead = NOW - OffsetDateTime::now_utc().unix_timestamp();
        let line = format!("export CLOCK_AHEAD={ahead} LD_PRELOAD=\"$CLOCK\"; {{ {command}; }} 2>&1");
        let output = self.sandbox.sh(&line);
        let text = redact(&String::from_utf8_lossy(&output.stdout), self.sandbox.path());
        // How many depends on the second in which a certificate is made.
        let days = |line: &str| match line.split_once("[DATE], ").filter(|_| line.ends_with(" days left")) {
            Some((before, _)) => format!("{before}[DATE], [DAYS] days left\n"),
            None => format!("{line}\n"),
        };
        let text: String = text.lines().map(days).collect();
        let code = output.status.code().unwrap();
        let code = if code == 0 { String::new() } else { format!("? {code}\n") };
        format!("$ {command}\n{text}{code}")
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.sandbox.path().join("registry").join(path)).ok()
    }

    fn was(&self, path: &str) -> Option<String> {
        let bytes = self.before.get(Path::new(path))?.bytes.as_ref()?;
        Some(String::from_utf8(bytes.clone()).unwrap())
    }

    /// The lines of a file that are not there any more.
    fn gone(&self, path: &str) -> Vec<String> {
        let now = self.read(path).unwrap();
        let was = self.was(path).unwrap();
        was.lines().filter(|line| !now.lines().any(|now| now == *line)).map(str::to_owned).collect()
    }

    /// Whether each certificate that is served is signed by the next one, the last by the root, and each is valid then.
    fn assert_serves(&self, shape: &str) {
        let front = if shape == "without-nginx" { "registry" } else { "nginx" };
        let read = |path: String| -> Vec<Pem> {
            let text = self.read(&path).unwrap();
            Pem::iter_from_buffer(text.as_bytes()).map(Result::unwrap).collect()
        };
        let mut chain = read(format!("{front}/ssl/registry1.myhouse.local.pem"));
        chain.retain(|pem| pem.label == "CERTIFICATE");
        chain.extend(read("root-cert/root-cert-myhouse.local.crt".to_owned()));
        let chain: Vec<_> = chain.iter().map(|pem| pem.parse_x509().unwrap()).collect();
        let names = chain[0].subject_alternative_name().unwrap().unwrap();
        assert!(format!("{names:?}").contains("registry1.myhouse.local"), "{shape}");
        for (below, above) in chain.iter().zip(&chain[1..]) {
            below.verify_signature(Some(above.public_key())).unwrap();
            let valid = below.validity();
            // A certificate made some seconds later than that counts from before it.
            assert!((valid.not_before.timestamp()..valid.not_after.timestamp()).contains(&NOW), "{shape}");
        }
    }
}

fn assert_printed(shape: &str, printed: String) {
    let file = format!("{}/tests/fixtures/0.1.0/{shape}.txt", env!("CARGO_MANIFEST_DIR"));
    Assert::new().action_env("SNAPSHOTS").eq(printed, Data::read_from(Path::new(&file), None).raw());
}

#[test]
fn a_directory_of_0_1_0_goes_on_working() {
    for (shape, next) in SHAPES {
        let older = Older::new(shape);
        let mut printed = older.run("regcert status");
        let dry = if shape == "imported" {
            "echo 'an old passphrase' >phrase && regcert init --dry-run --ca-passphrase-file phrase"
        } else {
            "regcert init --dry-run"
        };
        printed += &older.run(dry);
        let untouched = older.gone(".regcert/state.json");
        assert_eq!((untouched, older.read(".regcert/format")), (vec![], None), "{shape}: a dry run wrote");
        printed += &older.run(next);
        printed += &older.run("regcert status");
        assert_printed(shape, printed);
        // In the form of today.
        assert!(older.read(".regcert/format").is_some(), "{shape}");
        older.assert_serves(shape);

        let root = "root-cert/root-cert-myhouse.local.crt";
        assert_eq!(older.read(root), older.was(root), "{shape}: the root stays");
        let front = if shape == "without-nginx" { "registry" } else { "nginx" };
        let gone = older.gone(&format!("{front}/auth/registry.passwd"));
        assert!(gone.is_empty(), "{shape}: {gone:?} lost their passwords");
        let company =
            if next.contains("--cert-company") { vec!["company = \"NA\"".to_owned()] } else { vec![] };
        assert_eq!(older.gone("regcert.toml"), company, "{shape}: settings and their comments stay");
        if shape == "edited" {
            assert!(older.read("docker-compose.yml").unwrap().contains("labels: [ours]"));
            let ours = older.read("nginx/nginx.conf").unwrap();
            assert!(ours.contains("# ours: slow lines") && ours.contains("send_timeout 77s;"));
        }
    }
}

#[test]
fn no_regcert_touches_the_directory_of_a_newer_one() {
    for command in [
        "init",
        "init --dry-run",
        "status",
        "add-user eve",
        "remove-user docker",
        "list-users",
        "rotate",
        "rotate --ca",
        "csr",
        "add-client pc",
        "trust",
        "check",
        "gc --dry-run",
    ] {
        let older = Older::new("default");
        let format = older.sandbox.path().join("registry/.regcert/format");
        fs::write(&format, "9\nThis directory needs regcert 7.8.9 or newer.\n").unwrap();
        // What a newer one had decided before it was stopped is not for this one to finish.
        older
            .sandbox
            .ok("mkdir registry/.regcert/staged && echo '{' >registry/.regcert/staged/manifest.json");
        let before =
            older.sandbox.ok("find registry | sort; cat registry/.regcert/*.json registry/regcert.toml");
        let told = older.run(&format!("regcert {command} </dev/null"));
        assert!(told.contains("error: `registry` was written by a newer regcert"), "{told}");
        assert!(told.contains("hint: install regcert 7.8.9 or newer") && told.ends_with("? 1\n"), "{told}");
        let after =
            older.sandbox.ok("find registry | sort; cat registry/.regcert/*.json registry/regcert.toml");
        assert_eq!(before, after, "{command}");
    }
}
