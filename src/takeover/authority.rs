//! The authority that signed an old registry's certificate. Finds its root certificate and key, and decides whether
//! regcert can continue to use them.

use std::path::{Path, PathBuf};

use super::{Entry, Look, Old};
use crate::error::Fault;
use crate::pki::{Certificate, date};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// The directories in which common recipes keep certificates and keys.
const PLACES: [&str; 6] = ["root-cert", "certs", "ssl", "nginx/ssl", "ca", "."];

/// The old root certificate and its key.
pub struct OldAuthority {
    /// The certificate that clients trust.
    pub certificate: Certificate,
    /// The path of `certificate`.
    pub path: PathBuf,
    /// The key as stored: encrypted or not.
    pub key: Zeroizing<Vec<u8>>,
    pub key_path: PathBuf,
}

impl OldAuthority {
    /// Finds the root that signed the certificate of `old`, if the root can sign for `days` more. Otherwise, the
    /// fault contains every reason.
    pub fn find(
        dir: &Path,
        old: &Old,
        look: Look<'_>,
        days: u16,
        now: OffsetDateTime,
    ) -> Result<Self, Fault> {
        let unfit = |why: String| {
            Fault::new(format!("the old root certificate cannot be kept: {why}"))
                .hint("leave --keep-root out: regcert then makes a new one, and each client installs it once")
        };
        let Some(leaf) = &old.certificate else {
            return Err(unfit("there is no certificate that it signed".to_owned()));
        };
        let files = files(dir, look);
        let certificates: Vec<_> = files
            .iter()
            .filter_map(|(path, bytes)| Some((path, Certificate::read(bytes).ok()?.into_iter().next()?)))
            .collect();
        let signer = certificates
            .iter()
            .find(|(_, certificate)| leaf.is_signed_by(certificate) && certificate.is_self_issued());
        let Some((path, root)) = signer else {
            return Err(unfit(format!(
                "no certificate in `{}` signed that of `{}`; a later run of gen_config.py makes another root, and the old one is then lost",
                dir.display(),
                leaf.subject_text
            )));
        };
        let key_path = path.with_extension("key");
        let key = files.iter().find(|(path, _)| *path == key_path);
        let mut reasons = reasons(root, days, now);
        let key = match (key, look(&key_path)) {
            (Some((_, key)), _) => Some(key.clone()),
            (None, Entry::Unreadable(why)) => {
                reasons.push(format!("its key `{}` cannot be read: {why}", key_path.display()));
                None
            }
            (None, Entry::Link(link)) => {
                reasons
                    .push(format!("`{}` is a symbolic link, which regcert does not follow", link.display()));
                None
            }
            (None, Entry::Nothing | Entry::File(_) | Entry::Directory(_)) => {
                reasons.push(format!("its key `{}` is missing", key_path.display()));
                None
            }
        };
        match (key, reasons.is_empty()) {
            (Some(key), true) => Ok(Self { certificate: root.clone(), path: (*path).clone(), key, key_path }),
            (Some(_) | None, _) => Err(unfit(reasons.join("; "))),
        }
    }
}

/// The reasons why clients would refuse a certificate that `root` signs now and that is valid for `days`.
fn reasons(root: &Certificate, days: u16, now: OffsetDateTime) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Err(fault) = root.fit_to_sign(0, now) {
        reasons.push(fault.message);
    } else if root.validity.not_after < now + time::Duration::days(days.into()) {
        reasons.push(format!(
            "it ends on {}, before a server certificate of {days} days (`--days` asks for a shorter one)",
            date(root.validity.not_after)
        ));
    }
    reasons
}

/// The certificate and key files in `PLACES`, with their contents.
fn files(dir: &Path, look: Look<'_>) -> Vec<(PathBuf, Zeroizing<Vec<u8>>)> {
    let mut files = Vec::new();
    for place in PLACES {
        let place = if place == "." { dir.to_owned() } else { dir.join(place) };
        let Entry::Directory(names) = look(&place) else {
            continue;
        };
        let kind = |name: &&String| [".crt", ".pem", ".cer", ".key"].iter().any(|end| name.ends_with(end));
        for path in names.iter().filter(kind).map(|name| place.join(name)) {
            if let Entry::File(bytes) = look(&path) {
                files.push((path, bytes));
            }
        }
    }
    files
}
