//! Settings that let a runtime accept any certificate: whatever root it has, it verifies nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use toml_edit::DocumentMut;

use super::{Found, Machine};
use crate::health::check::Link;
use crate::names::{Host, Subtree, masked};

/// Where podman's family reads what registries are, the person's own file first (containers-registries.conf(5)).
const REGISTRIES: &str = "/etc/containers/registries.conf";

impl Machine<'_> {
    /// The link of a Docker daemon that has one of the names, or a network around it, in `insecure-registries`.
    pub(super) fn docker_verifies_nothing(
        &self,
        name: &'static str,
        file: &Path,
        reload: &str,
    ) -> Option<Link> {
        let settings: serde_json::Value = serde_json::from_str(&self.text(file)?).ok()?;
        let entries = settings.get("insecure-registries")?.as_array()?;
        let entry = entries.iter().filter_map(|entry| entry.as_str()).find(|entry| self.covers(entry))?;
        // Other registries may be in a network.
        let is_network = entry.contains('/') && !entry.contains("://");
        let (entry, shown) = (crate::names::printable(entry), file.display());
        let cure = if is_network {
            format!("take `{entry}` out of {shown}, then run `{reload}`")
        } else {
            self.verify(file)
        };
        Some(Link::broken(
            name,
            format!(
                "verifies nothing: `insecure-registries` in {shown} has `{entry}`, so it accepts any certificate"
            ),
            cure,
        ))
    }

    /// The command that takes the registry out of such a file.
    fn verify(&self, file: &Path) -> String {
        let is_own = self.config_home.is_some_and(|home| file.starts_with(home));
        format!("run `{}{} --verify`", if is_own { "" } else { "sudo " }, self.script)
    }

    /// Whether Docker would take the registry for an insecure one (moby `registry/config.go`, `isSecureIndex`): by name and
    /// port, or by a network.
    fn covers(&self, entry: &str) -> bool {
        let entry = entry.split_once("://").map_or(entry, |(_, rest)| rest);
        match entry.parse() {
            Ok(Subtree::Network(network, prefix)) if entry.contains('/') => {
                let own = self.targets.iter().filter_map(|target| match target.host {
                    Host::Ip(ip) => Some(ip),
                    Host::Dns(_) => None,
                });
                let same_kind = |ip: &IpAddr| ip.is_ipv4() == network.is_ipv4();
                own.chain(self.addresses.iter().copied())
                    .filter(same_kind)
                    .any(|ip| masked(ip, prefix) == network)
            }
            Ok(_) | Err(_) => {
                self.targets.iter().any(|target| target.to_string().eq_ignore_ascii_case(entry))
            }
        }
    }

    /// The link of podman where a `[[registry]]` with one of the names says `insecure = true`.
    pub(super) fn podman_verifies_nothing(&self) -> Option<Link> {
        let own = self.config_home.map(|home| home.join("containers/registries.conf"));
        let directory = PathBuf::from(format!("{REGISTRIES}.d"));
        let more = match (self.look)(&directory) {
            Found::Directory(names) => names,
            Found::Nothing | Found::Unreadable(_) | Found::File { .. } => Vec::new(),
        };
        let more = more.into_iter().filter(|name| name.ends_with(".conf")).map(|name| directory.join(name));
        let file = own
            .into_iter()
            .chain([PathBuf::from(REGISTRIES)])
            .chain(more)
            .find(|file| self.is_insecure(file))?;
        let (cure, file) = (self.verify(&file), file.display());
        Some(Link::broken(
            "podman",
            format!(
                "verifies nothing: {file} says `insecure = true` of the registry, so it accepts any certificate"
            ),
            cure,
        ))
    }

    fn is_insecure(&self, file: &Path) -> bool {
        let Some(document) = self.text(file).and_then(|text| text.parse::<DocumentMut>().ok()) else {
            return false;
        };
        let tables = document.get("registry").and_then(|item| item.as_array_of_tables());
        tables.into_iter().flatten().any(|table| {
            let text = |key: &str| table.get(key).and_then(|item| item.as_str());
            let place = text("prefix").or(text("location")).unwrap_or_default();
            let host = place.split('/').next().unwrap_or_default();
            let insecure = table.get("insecure").and_then(|item| item.as_bool()).unwrap_or(false);
            insecure && self.targets.iter().any(|target| target.to_string() == host)
        })
    }
}
