//! A registry that `gen_config.py`, or a user with a recipe, has made. Finds the registry's names, users, authority
//! and images. Reads only through a function of type `Look`, and writes nothing.

mod authority;
mod compose;
mod nginx;
mod parts;

use std::path::{Path, PathBuf};

use crate::auth::Htpasswd;
use crate::error::{Blame, Fault, Faults, Gather};
use crate::files::utf8;
use crate::names::{Upstream, VolumeName, shell};
use crate::pki::Certificate;
use crate::settings::{Data, RawSettings, RunAs};
use parts::Parts;

pub use authority::OldAuthority;
pub use compose::{NAMES as COMPOSE_NAMES, document, scalar};

/// The entry at a path. A symbolic link below the old directory is an entry, and is not followed.
pub enum Entry {
    Nothing,
    /// A regular file.
    File(zeroize::Zeroizing<Vec<u8>>),
    /// A directory, with the names in it.
    Directory(Vec<String>),
    /// A symbolic link: the path itself, or a directory on the path.
    Link(PathBuf),
    /// An entry that cannot be read, with the reason.
    Unreadable(String),
}

/// A function that reads an entry of an old directory.
pub type Look<'a> = &'a dyn Fn(&Path) -> Entry;

/// The maker of an old directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// `gen_config.py` of docker-registry-self-signed.
    Script,
    /// A user with openssl, htpasswd and Docker.
    Person,
}

/// The facts about an old registry.
pub struct Old {
    /// The name of the directory's Compose file, if it has one.
    pub compose: Option<&'static str>,
    /// The settings that a new registry keeps: names, subject, ports, image and mirror.
    pub settings: RawSettings,
    /// The place of the images; a fault if the place is unknown, or if regcert cannot leave the images there.
    pub data: Result<Data, Fault>,
    /// The user that the registry's process ran as, if given.
    pub run_as: Option<RunAs>,
    /// The path and the contents of the password file.
    pub users: Option<(PathBuf, Htpasswd)>,
    /// The certificate that the registry presented to clients.
    pub certificate: Option<Certificate>,
    /// Names that clients may use but that a certificate from regcert cannot contain.
    pub dropped: Vec<String>,
}

/// The maker of the registry in `dir`; `None` if there is no registry that regcert can take over.
pub fn is_old(dir: &Path, look: Look<'_>) -> Option<Maker> {
    Parts::find(dir, look).ok().flatten().map(|parts| parts.maker())
}

impl Old {
    /// Reads the registry in `dir`. Fails if there is no registry, or if regcert made it.
    pub fn find(dir: &Path, look: Look<'_>) -> Result<Self, Faults> {
        let faults = |fault: Fault| Faults { faults: vec![fault], blame: Blame::Elsewhere };
        if !matches!(look(&dir.join("regcert.toml")), Entry::Nothing) {
            return Err(faults(
                Fault::new(format!("`{}` is a registry of regcert already", dir.display()))
                    .hint(format!("change it with `regcert -C {} init`", shell(&dir.display().to_string()))),
            ));
        }
        let Some(parts) = Parts::find(dir, look).map_err(faults)? else {
            return Err(faults(not_one(dir, look)));
        };
        let mut gather = Gather::default();
        let mut kept = |fault: Fault| gather.push(fault);
        let users = parts.users().map_err(&mut kept).ok().flatten();
        let certificate = parts.certificate().map_err(&mut kept).ok().flatten();
        gather.finish(Blame::Elsewhere)?;
        let mut settings =
            RawSettings { mirror_of: parts.setting(&["proxy", "remoteurl"]), ..RawSettings::default() };
        let dropped = parts.names(certificate.as_ref(), &mut settings);
        if let Some(certificate) = &certificate {
            subject(certificate, &mut settings);
        }
        parts.ports(&mut settings);
        if let Some(image) = Some(&parts.registry.image).filter(|image| keeps(image)) {
            settings.registry_image = Some(image.clone());
        }
        settings.mirror_of = settings.mirror_of.filter(|url| url.parse::<Upstream>().is_ok());
        Ok(Self {
            compose: parts.compose,
            settings,
            data: parts.data(),
            run_as: parts.registry.user.as_deref().and_then(user),
            users,
            certificate,
            dropped,
        })
    }

    /// The volume with the images; `None` if the images are in a directory or their place is unknown.
    pub fn volume(&self) -> Option<&VolumeName> {
        match &self.data {
            Ok(Data::Existing(name)) => Some(name),
            Ok(Data::Directory(_) | Data::Volume) | Err(_) => None,
        }
    }
}

fn not_one(dir: &Path, look: Look<'_>) -> Fault {
    match look(dir) {
        Entry::Directory(_) => Fault::new(format!("`{}` does not hold a registry that regcert can take over", dir.display())).hint(
            "name the directory with the docker-compose.yml of a registry, or with the certs/ and auth/htpasswd that a registry has mounted",
        ),
        Entry::Unreadable(why) => Fault::new(format!("`{}` cannot be read: {why}", dir.display())).hint("run this command with sudo"),
        Entry::Nothing | Entry::File(_) | Entry::Link(_) => {
            Fault::new(format!("`{}` is not a directory", dir.display())).hint("name the directory of the old registry")
        }
    }
}

/// Reads the bytes of a file that must exist.
fn read(path: &Path, look: Look<'_>) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
    let shown = shell(&path.display().to_string());
    match look(path) {
        Entry::File(bytes) => Ok(bytes),
        Entry::Nothing => Err(Fault::new(format!("`{}` is missing", path.display()))
            .hint("bring it back, or name the directory that holds it")),
        Entry::Directory(_) => Err(Fault::new(format!("`{}` is a directory", path.display()))
            .hint("Docker makes one where a mounted file is missing: put the file in its place")),
        Entry::Link(link) => Err(Fault::new(format!("`{}` is a symbolic link", link.display()))
            .hint(format!("regcert reads no file of a registry through a link; replace it by a copy: `cp --remove-destination \"$(readlink -f {shown})\" {shown}`"))),
        Entry::Unreadable(why) => Err(Fault::new(format!("`{}` cannot be read: {why}", path.display()))
            .hint("run this command with sudo")),
    }
}

/// Reads the text of a file that must exist.
fn read_text(path: &Path, look: Look<'_>) -> Result<String, Fault> {
    let bytes = read(path, look)?;
    let named = |fault: Fault| Fault { message: format!("`{}`: {}", path.display(), fault.message), ..fault };
    Ok(String::from_utf8_lossy(utf8(&bytes).map_err(named)?).into_owned())
}

/// Copies the subject of the certificate to the settings. An empty text means that a field is missing.
fn subject(certificate: &Certificate, settings: &mut RawSettings) {
    let (subject, _) = certificate.subject_fields();
    let text = |field: Option<String>| Some(field.unwrap_or_default());
    let country = subject
        .country
        .filter(|country| country.len() == 2 && country.bytes().all(|b| b.is_ascii_alphabetic()));
    settings.country = text(country);
    settings.state = text(subject.state);
    settings.locality = text(subject.locality);
    settings.company = text(subject.company);
    settings.unit = text(subject.unit);
    settings.email = subject.email;
}

/// Whether to keep the old image. The image's tag must show version 2.x or 3.x, which regcert can configure.
fn keeps(image: &str) -> bool {
    image.rsplit_once(':').is_some_and(|(name, tag)| {
        name.rsplit('/').next() == Some("registry") && (tag.starts_with('2') || tag.starts_with('3'))
    })
}

/// Parses `uid:gid` or `uid`, with numbers. A missing `gid` is the same as the `uid`.
fn user(text: &str) -> Option<RunAs> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    Some(RunAs { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

#[cfg(test)]
mod tests;
