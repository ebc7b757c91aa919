//! Root certificates as something a machine can install: packages, files for each runtime, scripts. Public material
//! only.

mod anchors;
mod deb;
mod formats;

pub use anchors::Anchors;
pub use formats::{FORMATS, Format, INSTALL};

use time::OffsetDateTime;

use crate::error::Fault;
use crate::pki::{hex, sha256};
use crate::render::render;
use deb::Deb;

/// The list of everything, below `trust/`.
pub const INDEX: &str = "index.txt";

/// What the packages for clients are called, beside the registry: a version that rises with every change of roots.
pub struct Release {
    /// `2026.11.20`, or `2026.11.20.1`.
    pub version: String,
    /// The one time of everything in a package.
    pub at: OffsetDateTime,
}

/// A file for clients.
pub struct Artefact {
    /// Which of [`FORMATS`] it belongs to.
    pub format: &'static Format,
    /// Where it lies below `trust/`.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Artefact {
    /// SHA-256 of the file, lower-case hexadecimal.
    pub fn digest(&self) -> String {
        hex(&sha256(&self.bytes))
    }
}

/// Every file for clients, in the order of [`FORMATS`]. The same roots give the same bytes.
pub fn artefacts(anchors: &Anchors) -> Result<Vec<Artefact>, Fault> {
    let mut artefacts = Vec::new();
    for format in FORMATS {
        for (path, template) in format.files {
            let bytes = match *template {
                "deb" => deb(anchors),
                template => render(template, anchors)?.into_bytes(),
            };
            artefacts.push(Artefact { format, path: anchors.path(path), bytes });
        }
    }
    Ok(artefacts)
}

/// The list of the files, for people and for `sha256sum -c`.
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

fn deb(anchors: &Anchors) -> Vec<u8> {
    let roots: Vec<_> =
        anchors.roots().iter().map(|root| (root.stem.clone(), root.pem.as_bytes().to_vec())).collect();
    let fingerprints: Vec<_> = anchors.fingerprints().map(str::to_owned).collect();
    Deb {
        package: anchors.package(),
        version: anchors.version(),
        description_name: anchors.label(),
        released: anchors.released(),
        roots: &roots,
        fingerprints: &fingerprints,
    }
    .build()
}
