//! Whether the container runtimes of this machine would trust a registry: which files each of them reads, and what is
//! in them. Pure rules; the files come through a function.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

mod insecure;
mod settings;

use super::check::{Link, State};
use super::seen::Target;
use crate::files::MARK;
use crate::pki::Certificate;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Something that may not be read, and why.
    Unreadable(String),
    /// A directory and the names in it.
    Directory(Vec<String>),
    /// A file, without its bytes where they are too many for a setting.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// When it was last written, in seconds since 1970.
        modified: i64,
    },
}

/// The client's machine.
pub struct Machine<'a> {
    /// The registry that is to be trusted, by each of its names and ports.
    pub targets: &'a [Target],
    /// Its roots, the one to stay first.
    pub roots: &'a [&'a Certificate],
    /// Where the root certificate can be had for copying, as one word of a shell.
    pub root_file: &'a str,
    /// The command that runs the script for clients.
    pub script: &'a str,
    /// The addresses of the registry, as far as they are known.
    pub addresses: &'a [IpAddr],
    /// Where the person's own settings are.
    pub config_home: Option<&'a Path>,
    /// What lies where.
    pub look: &'a dyn Fn(&Path) -> Found,
    /// What `install.sh --check` prints. It alone knows how containerd and the clusters around it come to trust.
    pub told: &'a str,
}

/// Where programs are; what else is on a person's PATH is not a daemon's.
const PROGRAMS: [&str; 5] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/bin"];

/// The one file of all roots that each family of systems makes (Debian, Fedora, SUSE, Alpine).
pub const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// One link for each runtime that is here, and one for the system's own store.
pub fn runtimes(machine: &Machine<'_>) -> Vec<Link> {
    let store = machine.store();
    let runtimes =
        [machine.docker(&store), machine.rootless(&store), machine.podman(&store), machine.buildkit(&store)];
    let mut links: Vec<_> = runtimes.into_iter().flatten().collect();
    links.extend(machine.told.lines().filter_map(told));
    let system = machine.system(&store, links.is_empty());
    links.push(system);
    links
}

/// The link in a line of `install.sh --check`: name, state, message and cure, with tabs between. The runtimes that are
/// judged here are left out.
fn told(line: &str) -> Option<Link> {
    let mut fields = line.split('\t');
    let name = fields.next()?;
    let name =
        ["containerd", "nerdctl", "k3s", "rke2", "microk8s"].into_iter().find(|known| *known == name)?;
    let (state, message, cure) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
    Some(match state {
        "held" => Link::held(name, message),
        "broken" => Link::broken(name, message, cure),
        _ => Link::not_tried(name, message),
    })
}

/// What the system's own store says.
struct Store {
    bundle: Option<&'static str>,
    holds: bool,
    modified: i64,
}

/// What a directory of certificates for one registry says.
enum Certificates {
    /// There is none.
    Absent,
    /// One of the files is the root.
    Trusted(PathBuf),
    /// There are others.
    Other(Vec<String>),
    /// A file that makes every request fail, or that is never read, and what mends it.
    Fault(String, String),
}

impl Machine<'_> {
    fn file(&self, path: &Path) -> Option<(Vec<u8>, i64)> {
        match (self.look)(path) {
            Found::File { bytes, modified } => Some((bytes, modified)),
            Found::Nothing | Found::Unreadable(_) | Found::Directory(_) => None,
        }
    }

    /// Docker takes UTF-16 with its mark as well (moby, daemon/config).
    fn text(&self, path: &Path) -> Option<String> {
        let (bytes, _) = self.file(path)?;
        let wide = |from: fn([u8; 2]) -> u16| {
            let units = bytes[2..].chunks_exact(2).map(|pair| from([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<String, _>>().ok()
        };
        match &bytes[..] {
            [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
            [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
            _ => String::from_utf8(bytes.strip_prefix(MARK).unwrap_or(&bytes).to_vec()).ok(),
        }
    }

    fn exists(&self, path: &str) -> bool {
        (self.look)(Path::new(path)) != Found::Nothing
    }

    fn has(&self, program: &str) -> bool {
        PROGRAMS.iter().any(|place| self.exists(&format!("{place}/{program}")))
    }

    fn is_ours(&self, path: &Path) -> bool {
        self.file(path).is_some_and(|(bytes, _)| self.roots.iter().any(|root| holds(&bytes, root)))
    }

    fn store(&self) -> Store {
        let here = BUNDLES.iter().find(|bundle| self.exists(bundle));
        let read = here.and_then(|bundle| self.file(Path::new(bundle)));
        let holds = |bytes: &[u8]| self.roots.iter().any(|root| holds(bytes, root));
        Store {
            bundle: here.copied(),
            holds: read.as_ref().is_some_and(|(bytes, _)| holds(bytes)),
            modified: read.map_or(0, |(_, modified)| modified),
        }
    }

    /// What Docker and its kin make of `directory`.
    fn certificates(&self, directory: &Path) -> Certificates {
        let names = match (self.look)(directory) {
            Found::Directory(names) => names,
            Found::Unreadable(why) => {
                let fault = format!("`{}` cannot be read: {why}", directory.display());
                return Certificates::Fault(fault, "run this command with sudo".to_owned());
            }
            Found::Nothing | Found::File { .. } => return Certificates::Absent,
        };
        let at = |name: &String| directory.join(name);
        let stray = names.iter().find(|name| {
            let half = |own: &str, other: &str| {
                name.strip_suffix(own).is_some_and(|stem| !names.contains(&format!("{stem}{other}")))
            };
            half(".cert", ".key") || half(".key", ".cert")
        });
        if let Some(name) = stray {
            let path = at(name);
            let shown = path.display();
            let mend = if self.is_ours(&path) {
                format!("run `sudo mv {shown} {}`", path.with_extension("crt").display())
            } else {
                // A key without its certificate may be the only copy of it.
                format!("run `sudo mv {shown} {shown}.unused`")
            };
            let fault =
                format!("`{shown}` is half of a client's pair without the other: every request fails");
            return Certificates::Fault(fault, mend);
        }
        if let Some(name) = names.iter().find(|name| name.ends_with(".crt") && self.is_ours(&at(name))) {
            return Certificates::Trusted(at(name));
        }
        if let Some(name) = names.iter().find(|name| self.is_ours(&at(name))) {
            let path = at(name);
            let fault = format!("`{}` is the root, and only files that end in .crt are read", path.display());
            let mend = format!("run `sudo mv {} {}`", path.display(), path.with_extension("crt").display());
            return Certificates::Fault(fault, mend);
        }
        Certificates::Other(names.into_iter().filter(|name| name.ends_with(".crt")).collect())
    }

    fn install(&self, directory: &Path, sudo: &str) -> String {
        let to = crate::names::shell(&directory.join("ca.crt").display().to_string());
        format!("run `{sudo}install -D -m 644 {} {to}`", self.root_file)
    }

    /// One link for all names: where some are not trusted, it names them, and mends each.
    fn by_each_name(&self, judge: impl Fn(&Target) -> Link) -> Link {
        let mut links: Vec<_> = self.targets.iter().map(|target| (target, judge(target))).collect();
        let broken: Vec<_> = links.iter().filter(|(_, link)| link.state == State::Broken).collect();
        let Some((_, first)) = broken.first() else {
            return links.swap_remove(0).1;
        };
        if self.targets.len() == 1 {
            return first.clone();
        }
        let names: Vec<_> = broken.iter().map(|(target, _)| target.to_string()).collect();
        let mut hints: Vec<_> = broken.iter().map(|(_, link)| link.hint.as_str()).collect();
        hints.dedup();
        // One command where each is one.
        let command = |hint: &&str| hint.strip_prefix("run `")?.strip_suffix('`').map(str::to_owned);
        let hint = match hints.iter().map(command).collect::<Option<Vec<_>>>() {
            Some(commands) if !commands.iter().any(|command| command.contains('`')) => {
                format!("run `{}`", commands.join(" && "))
            }
            Some(_) | None => hints.join(", then "),
        };
        Link::broken(first.name, format!("as {}: {}", names.join(", "), first.message), hint)
    }

    /// The link of a runtime that reads such a directory, and the system's store.
    fn judge(&self, name: &'static str, directory: &Path, store: Option<&Store>, sudo: &str) -> Link {
        let mend = self.install(directory, sudo);
        match self.certificates(directory) {
            Certificates::Trusted(path) => Link::held(name, format!("trusts it by {}", path.display())),
            Certificates::Fault(fault, mend) => Link::broken(name, fault, mend),
            Certificates::Other(_) | Certificates::Absent if store.is_some_and(|store| store.holds) => {
                Link::held(name, "trusts it by the system's store")
            }
            Certificates::Other(files) if !files.is_empty() => {
                let message = format!(
                    "does not trust it: {} in {} is another root",
                    files.join(", "),
                    directory.display()
                );
                Link::broken(name, message, mend)
            }
            Certificates::Other(_) | Certificates::Absent => {
                Link::broken(name, format!("does not trust it: no root in {}", directory.display()), mend)
            }
        }
    }

    fn docker(&self, store: &Store) -> Option<Link> {
        if !self.has("dockerd") {
            return None;
        }
        if let Some(link) = self.docker_verifies_nothing(
            "docker",
            Path::new("/etc/docker/daemon.json"),
            "sudo systemctl reload docker",
        ) {
            return Some(link);
        }
        let directory = |target: &Target| Path::new("/etc/docker/certs.d").join(target.to_string());
        let link = self.by_each_name(|target| self.judge("docker", &directory(target), Some(store), "sudo "));
        // The system's store is read when the daemon starts (moby#39869); certs.d at each request.
        let started =
            ["/run/docker.pid", "/var/run/docker.pid"].iter().find_map(|pid| self.file(Path::new(pid)));
        let stale = started.is_some_and(|(_, started)| started < store.modified);
        if stale && link.message.ends_with("the system's store") {
            let message = "needs a restart: the root came into the system's store after dockerd had started";
            return Some(Link::broken("docker", message, "run `sudo systemctl restart docker`"));
        }
        Some(link)
    }

    fn rootless(&self, store: &Store) -> Option<Link> {
        let home = self.config_home?;
        let unit = home.join("systemd/user/docker.service");
        if (self.look)(&unit) == Found::Nothing {
            return None;
        }
        let settings = home.join("docker/daemon.json");
        let reload = "systemctl --user reload docker";
        if let Some(link) = self.docker_verifies_nothing("rootless docker", &settings, reload) {
            return Some(link);
        }
        let directory = |target: &Target| home.join("docker/certs.d").join(target.to_string());
        Some(self.by_each_name(|target| self.judge("rootless docker", &directory(target), Some(store), "")))
    }

    fn podman(&self, store: &Store) -> Option<Link> {
        if !["podman", "buildah", "skopeo", "crio"].iter().any(|program| self.has(program)) {
            return None;
        }
        if let Some(link) = self.podman_verifies_nothing() {
            return Some(link);
        }
        Some(self.by_each_name(|target| self.podman_for(target, store)))
    }

    fn podman_for(&self, target: &Target, store: &Store) -> Link {
        let own = self.config_home.map(|home| home.join("containers/certs.d"));
        let places =
            own.into_iter().chain(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from));
        let directories: Vec<_> = places.map(|place| place.join(target.to_string())).collect();
        // The first one that is there counts, whatever is in it (containers-certs.d(5)).
        let used = directories.iter().find(|dir| matches!((self.look)(dir), Found::Directory(_)));
        let usual = Path::new("/etc/containers/certs.d").join(target.to_string());
        self.judge("podman", used.unwrap_or(&usual), Some(store), "sudo ")
    }

    fn system(&self, store: &Store, alone: bool) -> Link {
        let name = "system store";
        let Some(bundle) = store.bundle else {
            return Link::not_tried(name, "this system has none that is known");
        };
        if store.holds {
            return Link::held(name, format!("the root is in {bundle}"));
        }
        let local = Path::new("/usr/local/share/ca-certificates");
        let placed = match (self.look)(local) {
            Found::Directory(names) => {
                names.into_iter().map(|name| local.join(name)).find(|path| self.is_ours(path))
            }
            Found::Nothing | Found::Unreadable(_) | Found::File { .. } => None,
        };
        match placed {
            Some(path) => Link::broken(
                name,
                format!("`{}` is the root, and {bundle} was not rebuilt with it", path.display()),
                "run `sudo update-ca-certificates`; its name must end in .crt",
            ),
            None if alone => Link::broken(
                name,
                format!("no runtime is here, and the root is not in {bundle}"),
                "install the package in trust/, or put the root where the system keeps its own and run `sudo update-ca-certificates`",
            ),
            None => {
                Link::held(name, format!("the root is not in {bundle}, and no runtime here needs it there"))
            }
        }
    }
}

/// Whether a text in PEM has the certificate in it, however its lines are broken.
fn holds(text: &[u8], root: &Certificate) -> bool {
    let joined =
        |text: &[u8]| text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>();
    let (text, wanted) = (joined(text), joined(root.pem().as_bytes()));
    text.windows(wanted.len()).any(|part| part == wanted)
}

#[cfg(test)]
mod tests;
