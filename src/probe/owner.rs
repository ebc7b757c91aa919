//! Finds the owner of the container engine that `docker` uses: root, or the user. Starts no program.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::compose::on_path;
use super::here::{SOCKET, docker_is_for_root};
use crate::pki::{hex, sha256};
use crate::settings::RunAs;

/// The owner of the container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Root's engine: a user id in a container is the same user id on this machine.
    Roots,
    /// The user's own engine (rootless): root in a container is this user on this machine, and files of the registry
    /// cannot belong to any other id of a container.
    Own,
    /// No engine was found, or it is on another machine.
    Unknown,
}

/// The part of the user's environment from which `docker` chooses its engine.
#[derive(Debug, Default)]
pub struct Surroundings<'a> {
    /// The environment variable `DOCKER_HOST`.
    pub host: Option<&'a str>,
    /// The environment variable `DOCKER_CONTEXT`.
    pub context: Option<&'a str>,
    /// The directory of Docker's client configuration, `~/.docker`.
    pub settings: Option<&'a Path>,
    /// The environment variable `XDG_RUNTIME_DIR`.
    pub runtime: Option<&'a Path>,
    /// The environment variable `PATH`.
    pub path: Option<&'a OsStr>,
}

impl Engine {
    /// Finds the owner of the engine that the user `uid` uses, by the owner of the engine's socket.
    pub fn find(uid: u32, around: &Surroundings<'_>) -> Self {
        if uid == 0 {
            return Self::Roots;
        }
        let Some(socket) = around.socket() else {
            return Self::Unknown;
        };
        match fs::metadata(socket).map(|metadata| metadata.uid()) {
            Ok(0) => Self::Roots,
            Ok(owner) if owner == uid => Self::Own,
            Ok(_) | Err(_) => Self::Unknown,
        }
    }

    /// Returns the user on this machine whose rights a container has if it runs as `run_as`. `me` is the user who
    /// runs regcert.
    pub fn on_host(self, run_as: RunAs, me: RunAs) -> RunAs {
        match self {
            Self::Own | Self::Unknown if run_as.uid == 0 => me,
            Self::Roots | Self::Own | Self::Unknown => run_as,
        }
    }
}

impl Surroundings<'_> {
    /// The socket that `docker` uses, searched in the order of docker/cli; Podman's socket if `docker` is not
    /// installed.
    fn socket(&self) -> Option<PathBuf> {
        if let Some(host) = self.host.filter(|host| !host.is_empty()) {
            return local(host);
        }
        let current = || current_context(&self.settings?.join("config.json"));
        let context = self.context.map(str::to_owned).filter(|name| !name.is_empty()).or_else(current);
        if let Some(name) = context.filter(|name| name != "default") {
            return local(&endpoint(self.settings?, &name)?);
        }
        let own = |name: &str| self.runtime.map(|runtime| runtime.join(name)).filter(|path| path.exists());
        if Path::new(SOCKET).exists() && !docker_is_for_root() {
            return Some(SOCKET.into());
        }
        let has = |program: &str| on_path(program, self.path).is_some();
        let of_podman = || {
            let only_podman = has("podman") && !has("docker");
            // Podman needs no daemon, so the socket may be missing. The user's runtime directory has the same owner.
            only_podman.then(|| own("podman/podman.sock").or_else(|| own("."))).flatten()
        };
        own("docker.sock").or_else(of_podman).or_else(|| Path::new(SOCKET).exists().then(|| SOCKET.into()))
    }
}

/// The path in a `unix://` address; `None` for any other address.
fn local(host: &str) -> Option<PathBuf> {
    host.strip_prefix("unix://").map(PathBuf::from)
}

fn json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn current_context(config: &Path) -> Option<String> {
    Some(json(config)?["currentContext"].as_str()?.to_owned())
}

/// The address of the engine in a Docker context. Docker names a context's directory after the SHA-256 of the
/// context's name (docker/cli, cli/context/store).
fn endpoint(settings: &Path, name: &str) -> Option<String> {
    let digest = hex(&sha256(name.as_bytes()));
    let meta = json(&settings.join("contexts/meta").join(digest).join("meta.json"))?;
    Some(meta["Endpoints"]["docker"]["Host"].as_str()?.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Returns the owner of `path`. If the owner is root, gives the file to an unprivileged user first.
    fn user(path: &Path) -> u32 {
        match fs::metadata(path).unwrap().uid() {
            0 => {
                std::os::unix::fs::chown(path, Some(61234), Some(61234)).unwrap();
                61234
            }
            uid => uid,
        }
    }

    #[test]
    fn an_engine_belongs_to_the_owner_of_its_socket() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("docker.sock");
        fs::write(&socket, "").unwrap();
        let uid = user(&socket);
        let host = format!("unix://{}", socket.display());
        let at = |host| Engine::find(uid, &Surroundings { host: Some(host), ..Surroundings::default() });
        assert_eq!(at(&host), Engine::Own);
        assert_eq!(at("unix:///proc/version"), Engine::Roots);
        assert_eq!(at("unix:///no/such/socket"), Engine::Unknown);
        assert_eq!(at("tcp://192.0.2.1:2376"), Engine::Unknown);
        assert_eq!(
            Engine::find(0, &Surroundings { host: Some(&host), ..Surroundings::default() }),
            Engine::Roots
        );
    }

    #[test]
    fn a_context_names_the_engine() {
        let root = tempfile::tempdir().unwrap();
        let settings = root.path();
        let socket = settings.join("docker.sock");
        fs::write(&socket, "").unwrap();
        let uid = user(&socket);
        let meta = settings.join("contexts/meta").join(hex(&sha256(b"rootless")));
        fs::create_dir_all(&meta).unwrap();
        let host = format!("unix://{}", socket.display());
        let text = serde_json::json!({ "Name": "rootless", "Endpoints": { "docker": { "Host": host } } });
        fs::write(meta.join("meta.json"), text.to_string()).unwrap();
        let around = |context| Surroundings { context, settings: Some(settings), ..Surroundings::default() };
        assert_eq!(Engine::find(uid, &around(Some("rootless"))), Engine::Own);
        assert_eq!(Engine::find(uid, &around(Some("other"))), Engine::Unknown);
        fs::write(settings.join("config.json"), r#"{"currentContext": "rootless"}"#).unwrap();
        assert_eq!(Engine::find(uid, &around(None)), Engine::Own);
    }

    #[test]
    fn root_of_an_own_engine_is_its_user() {
        let (root, me, other) =
            (RunAs { uid: 0, gid: 0 }, RunAs { uid: 1000, gid: 100 }, RunAs { uid: 5, gid: 5 });
        assert_eq!(Engine::Own.on_host(root, me), me);
        assert_eq!(Engine::Roots.on_host(root, me), root);
        for engine in [Engine::Own, Engine::Roots, Engine::Unknown] {
            assert_eq!(engine.on_host(other, me), other);
        }
    }
}
