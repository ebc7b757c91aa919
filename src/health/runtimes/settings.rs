//! The runtimes that name their roots in a settings file: containerd, k3s and RKE2, BuildKit. Only the few keys that say
//! so are read, as people write them.

use std::path::{Path, PathBuf};

use super::{Found, Machine, Store};
use crate::health::check::Link;

impl Machine<'_> {
    pub(super) fn containerd(&self, store: &Store) -> Option<Link> {
        let config = self.text(Path::new("/etc/containerd/config.toml")).unwrap_or_default();
        if !self.is_containerd_a_client(&config) {
            return None;
        }
        let place = config_path(&config).unwrap_or_else(|| "/etc/containerd/certs.d".to_owned());
        let name = self.target.to_string();
        let underscored = format!("{}_", name.replace(':', "_"));
        let directories = place.split(':').flat_map(|place| {
            [underscored.as_str(), &name, "_default"].map(|name| Path::new(place).join(name))
        });
        let directories: Vec<_> = directories.collect();
        let used = directories.iter().find(|dir| matches!((self.look)(dir), Found::Directory(_)));
        let first = place.split(':').next().unwrap_or_default();
        let directory = used.cloned().unwrap_or_else(|| Path::new(first).join(&name));
        if config_path(&config).is_none() && config.contains("version = 2") {
            let message = "reads no directory of certificates: config_path is not set";
            let hint = "set `config_path = \"/etc/containerd/certs.d\"` in [plugins.\"io.containerd.grpc.v1.cri\".registry] of /etc/containerd/config.toml, then run `sudo systemctl restart containerd`";
            return Some(Link::broken("containerd", message, hint));
        }
        let Some(hosts) = self.text(&directory.join("hosts.toml")) else {
            return Some(self.judge("containerd", &directory, Some(store), "sudo "));
        };
        let named = strings_after(&hosts, "ca");
        let trusted = named.iter().map(|file| directory.join(file)).find(|path| self.is_ours(path));
        Some(match trusted {
            Some(path) => Link::held("containerd", format!("trusts it by {}", path.display())),
            None if store.holds => Link::held("containerd", "trusts it by the system's store"),
            None => Link::broken(
                "containerd",
                format!(
                    "does not trust it: {} names no file with the root",
                    directory.join("hosts.toml").display()
                ),
                format!(
                    "{}, and write `ca = \"ca.crt\"` into hosts.toml there",
                    self.install(&directory, "sudo ")
                ),
            ),
        })
    }

    /// Whether something pulls images with this containerd. Docker brings one along that pulls none, and install.sh may
    /// have put the root into its directory.
    fn is_containerd_a_client(&self, config: &str) -> bool {
        let others = match (self.look)(Path::new("/etc/containerd/certs.d")) {
            Found::Directory(names) => names.iter().any(|name| !self.is_own_directory(name)),
            Found::Nothing | Found::Unreadable(_) | Found::File { .. } => false,
        };
        // A kubelet with cri-dockerd pulls with Docker.
        let kubernetes = self.has("kubelet") && !self.has("cri-dockerd");
        let alone = self.has("containerd") && !self.has("dockerd");
        others || kubernetes || alone || self.has("nerdctl") || config_path(config).is_some()
    }

    /// Whether a directory below certs.d is the one of this registry, in either spelling, or of its anonymous port.
    fn is_own_directory(&self, name: &str) -> bool {
        let host = self.target.host.to_string();
        let rest = name.strip_prefix(&format!("[{host}]")).or_else(|| name.strip_prefix(&host));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_']))
    }

    pub(super) fn rancher(&self, store: &Store, name: &'static str, units: &[&str]) -> Option<Link> {
        let settings = PathBuf::from(format!("/etc/rancher/{name}"));
        if !self.has(name) && (self.look)(&settings) == Found::Nothing {
            return None;
        }
        let path = settings.join("registries.yaml");
        let restart = format!("run `sudo systemctl restart {}`", units[0]);
        let read = self.file(&path);
        let text =
            read.as_ref().map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        let file = ca_file(&text, &self.target.to_string());
        // Written anew at each start, out of registries.yaml.
        let taken =
            self.file(Path::new(&format!("/var/lib/rancher/{name}/agent/etc/containerd/config.toml")));
        let stale = matches!((&read, &taken), (Some((_, wrote)), Some((_, started))) if started < wrote);
        Some(match file {
            Some(file) if !self.is_ours(Path::new(&file)) => Link::broken(
                name,
                format!("does not trust it: `{file}`, which {} names, is not the root", path.display()),
                format!(
                    "run `sudo install -D -m 644 {} {}`, then {restart}",
                    self.root_file,
                    crate::names::shell(&file)
                ),
            ),
            Some(_) if stale => Link::broken(
                name,
                format!("needs a restart: {} is newer than its start", path.display()),
                restart,
            ),
            Some(file) => Link::held(name, format!("trusts it by {file}")),
            None if store.holds => Link::held(name, "trusts it by the system's store"),
            None => Link::broken(
                name,
                format!("does not trust it: {} has no `ca_file` for it", path.display()),
                format!(
                    "write `ca_file` below `configs:`, `\"{}\":`, `tls:` in {}, then {restart}",
                    self.target,
                    path.display()
                ),
            ),
        })
    }

    pub(super) fn buildkit(&self, store: &Store) -> Option<Link> {
        let own = self.config_home.map(|home| home.join("buildkit/buildkitd.toml"));
        let places = own.into_iter().chain([PathBuf::from("/etc/buildkit/buildkitd.toml")]);
        let path = places.into_iter().find(|path| self.text(path).is_some());
        if path.is_none() && !self.has("buildkitd") {
            return None;
        }
        let path = path.unwrap_or_else(|| PathBuf::from("/etc/buildkit/buildkitd.toml"));
        let text = self.text(&path).unwrap_or_default();
        let section = format!("[registry.\"{}\"]", self.target);
        let own = text.split_once(&section).map(|(_, rest)| rest.split("\n[").next().unwrap_or_default());
        let named = own.map(|own| strings_after(own, "ca")).unwrap_or_default();
        Some(match named.iter().find(|file| self.is_ours(Path::new(file))) {
            Some(file) => Link::held("buildkit", format!("trusts it by {file}")),
            None if store.holds => Link::held("buildkit", "trusts it by the system's store"),
            None => Link::broken(
                "buildkit",
                format!("does not trust it: {} names no file with the root for it", path.display()),
                format!(
                    "write `{section}` and `ca = [\"FILE\"]` into {}, with the root in FILE, then restart buildkitd",
                    path.display()
                ),
            ),
        })
    }
}

/// `config_path` of containerd's settings, in any of its places.
fn config_path(config: &str) -> Option<String> {
    strings_after(config, "config_path").into_iter().next()
}

/// The quoted texts of `key = "a"` and `key = ["a", "b"]`, each on one line.
fn strings_after(text: &str, key: &str) -> Vec<String> {
    let value = |line: &str| line.trim().strip_prefix(key)?.trim_start().strip_prefix('=').map(str::to_owned);
    let quoted = |value: String| value.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    text.lines().filter_map(value).flat_map(quoted).filter(|text| !text.is_empty()).collect()
}

/// `configs.<registry>.tls.ca_file` of a registries.yaml as people write it, a key on each line.
pub(super) fn ca_file(text: &str, registry: &str) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let configs = lines.skip_while(|line| !line.starts_with("configs:")).skip(1);
    let own = configs
        .take_while(|line| indent(line) > 0)
        .skip_while(|line| line.trim().strip_suffix(':').map(bare).as_deref() != Some(registry));
    let own: Vec<_> = own.collect();
    let depth = indent(own.first()?);
    let below = own[1..].iter().take_while(|line| indent(line) > depth);
    below.filter_map(|line| line.trim().strip_prefix("ca_file:")).map(bare).next()
}
