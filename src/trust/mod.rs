//! Root certificates in forms that a machine can install: packages, files for each container runtime, and scripts.
//! All files are public, except a pull secret.

mod anchors;
mod apk;
mod arch;
mod archive;
mod deb;
mod formats;
mod package;
mod pull_secret;
mod rpm;

pub use anchors::Anchors;
use anchors::Place;
pub use formats::{FORMATS, Format, INSTALL};
pub use pull_secret::{Namespace, ObjectName, pull_secret};

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::error::Fault;
use crate::pki::{hex, sha256};
use crate::render::render;
use package::Package;

/// The name, below `trust/`, of the list of all files for clients.
pub const INDEX: &str = "index.txt";

/// The version and the time of the packages for clients. The version rises with every change of the roots.
pub struct Release {
    /// The version, such as `2026.11.20` or `2026.11.20.1`.
    pub version: String,
    /// The modification time of every file in a package.
    pub at: OffsetDateTime,
}

/// A file for clients.
pub struct Artefact {
    /// The format in [`FORMATS`] that the file belongs to.
    pub format: &'static Format,
    /// The path below `trust/`.
    pub path: String,
    pub bytes: Vec<u8>,
}

impl Artefact {
    /// The SHA-256 of the file in lower-case hexadecimal.
    pub fn digest(&self) -> String {
        hex(&sha256(&self.bytes))
    }
}

/// Creates the files of the `wanted` formats, in the order of [`FORMATS`]. The same roots give the same bytes.
pub fn artefacts(anchors: &Anchors, wanted: impl Fn(&Format) -> bool) -> Result<Vec<Artefact>, Fault> {
    let mut artefacts = Vec::new();
    // Many directories contain the same file, so that a user can copy one directory alone. Each file is built only
    // once.
    let mut made: BTreeMap<(&str, &str), Vec<u8>> = BTreeMap::new();
    for format in FORMATS.iter().filter(|format| wanted(format)) {
        for (pattern, template) in format.files {
            for (path, place) in anchors.paths(pattern) {
                let key = (*template, place.registry());
                let bytes = match (made.get(&key), *template) {
                    (Some(bytes), _) => bytes.clone(),
                    (None, "deb") => packaged(anchors, deb::build),
                    (None, "rpm") => packaged(anchors, rpm::build),
                    (None, "apk") => packaged(anchors, apk::build),
                    (None, "arch") => packaged(anchors, arch::build),
                    (None, template) => render(template, &At { anchors, place })?.into_bytes(),
                };
                made.insert(key, bytes.clone());
                artefacts.push(Artefact { format, path, bytes });
            }
        }
    }
    Ok(artefacts)
}

/// Fills in the script that makes a machine trust the registry, and that can check whether the machine does.
pub fn script(anchors: &Anchors) -> Result<Vec<u8>, Fault> {
    Ok(render("trust/install.sh", anchors)?.into_bytes())
}

/// The values for a template: all anchors, and the host and port that the file is for.
#[derive(serde::Serialize)]
struct At<'a> {
    #[serde(flatten)]
    anchors: &'a Anchors,
    place: &'a Place,
}

/// Writes the list of the files, for users and for `sha256sum -c`.
pub fn index(anchors: &Anchors, artefacts: &[Artefact]) -> String {
    let mut text = format!(
        "# {}: what makes its clients trust it. Public: hand it to whom you like.\n\
         # Compare the files with `sha256sum -c {INDEX}`, and the root certificate with what the administrator says:\n",
        anchors.registry()
    );
    for fingerprint in anchors.fingerprints() {
        text += &format!("#   SHA-256 {fingerprint}\n");
    }
    let mut last = "";
    for artefact in artefacts {
        if last != artefact.format.name {
            last = artefact.format.name;
            text += &format!("\n# {last}: {}\n", artefact.format.purpose);
        }
        text += &format!("{}  {}\n", artefact.digest(), artefact.path);
    }
    text
}

fn packaged(anchors: &Anchors, build: fn(&Package) -> Vec<u8>) -> Vec<u8> {
    let roots: Vec<_> =
        anchors.roots().iter().map(|root| (root.stem.clone(), root.pem.as_bytes().to_vec())).collect();
    let fingerprints: Vec<_> = anchors.fingerprints().map(str::to_owned).collect();
    build(&Package {
        name: anchors.package(),
        version: anchors.version(),
        label: anchors.label(),
        released: anchors.released(),
        roots: &roots,
        fingerprints: &fingerprints,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use snapbox::{Assert, Data as Snapshot};

    use super::*;
    use crate::error::Gather;
    use crate::pki::Certificate;
    use crate::settings::{RawSettings, RunAs, Settings, Side};

    /// Anchors with up to two roots. The content of the roots does not matter here.
    fn anchors(server: &str, port: &str, roots: usize) -> Anchors {
        let server = Some(server.to_owned());
        anchors_of(
            &RawSettings { server, https_port: Some(port.to_owned()), ..RawSettings::default() },
            roots,
        )
    }

    fn anchors_of(settings: &RawSettings, roots: usize) -> Anchors {
        let invoker = RunAs { uid: 65532, gid: 65532 };
        let spec = Settings::check(settings, Side::Options, invoker, &mut Gather::default()).unwrap();
        let pems = [
            include_str!("../../tests/golden/trust/staying.crt"),
            include_str!("../../tests/golden/trust/retiring.crt"),
        ];
        let certificates: Vec<_> =
            pems[..roots].iter().map(|pem| Certificate::from_pem(pem).unwrap()).collect();
        let release = Release { version: "2026.11.20".to_owned(), at: OffsetDateTime::UNIX_EPOCH };
        Anchors::of(&spec, &certificates.iter().collect::<Vec<_>>(), &release)
    }

    /// `SNAPSHOTS=overwrite cargo test golden` rewrites the golden files. The packages have their own tests. Files
    /// that contain only the certificates are compared with the certificates.
    #[test]
    fn every_file_for_clients_is_as_in_its_golden_files() {
        let same = |text: &str, file: &str| {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
            Assert::new().action_env("SNAPSHOTS").eq(text.to_owned(), Snapshot::read_from(&file, None).raw());
        };
        let names = RawSettings {
            server: Some("registry1".to_owned()),
            domain: Some("myhouse.local".to_owned()),
            sans: Some(
                ["alias.myhouse.local", "*.apps.myhouse.local", "10.99.0.2", "fd00::2"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            anonymous_port: Some("5443".to_owned()),
            ..RawSettings::default()
        };
        for (shape, anchors) in [
            ("dns", anchors("registry1.myhouse.local", "443", 1)),
            ("dns-5443", anchors("registry1.myhouse.local", "5443", 1)),
            ("address-5443", anchors("fd00::12", "5443", 2)),
            ("dns-names", anchors_of(&names, 1)),
        ] {
            let mut paths = String::new();
            let bundle: String = anchors.roots().iter().map(|root| root.pem.as_str()).collect();
            for artefact in artefacts(&anchors, |_| true).unwrap() {
                paths += &format!("{}\n", artefact.path);
                let Ok(text) = String::from_utf8(artefact.bytes) else { continue };
                if artefact.path.ends_with(".crt") || artefact.path.ends_with(".pem") {
                    assert_eq!(text, bundle, "{}", artefact.path);
                } else {
                    // The names of golden files contain no brackets and no colons.
                    let file = artefact.path.replace(['[', ']', ':'], "-");
                    same(&text, &format!("trust/{shape}/{file}"));
                }
            }
            same(&paths, &format!("trust/{shape}/paths"));
        }
    }

    #[test]
    fn every_format_has_files_and_a_purpose_of_one_line() {
        for format in FORMATS {
            assert!(!format.files.is_empty(), "{}", format.name);
            assert!(!format.purpose.contains('\n') && !format.purpose.starts_with(format.name));
            assert_eq!(format.name.parse::<&Format>().unwrap(), format);
        }
        let mut paths: Vec<_> = artefacts(&anchors("registry", "443", 1), |_| true).unwrap();
        paths.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(paths.windows(2).all(|pair| pair[0].path != pair[1].path), "two files of one path");
    }

    #[test]
    fn containerd_finds_its_directory_by_any_name() {
        for (server, port, directory) in [
            ("registry1.myhouse.local", "443", "registry1.myhouse.local"),
            ("registry1.myhouse.local", "5443", "registry1.myhouse.local_5443_"),
            ("192.168.0.12", "5443", "192.168.0.12_5443_"),
            ("fd00::12", "5443", "[fd00::12]_5443_"),
            ("fd00::443", "443", "[fd00::443]"),
        ] {
            assert_eq!(anchors(server, port, 1).paths("{containerd}")[0].0, directory);
        }
    }
}
