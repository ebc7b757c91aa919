//! BuildKit, which names its roots in a settings file. Only the few keys that say so are read, as people write them.

use std::path::{Path, PathBuf};

use super::{Machine, Store};
use crate::health::check::Link;
use crate::health::seen::Target;

impl Machine<'_> {
    pub(super) fn buildkit(&self, store: &Store) -> Option<Link> {
        let own = self.config_home.map(|home| home.join("buildkit/buildkitd.toml"));
        let places = own.into_iter().chain([PathBuf::from("/etc/buildkit/buildkitd.toml")]);
        let path = places.into_iter().find(|path| self.text(path).is_some());
        if path.is_none() && !self.has("buildkitd") {
            return None;
        }
        let path = path.unwrap_or_else(|| PathBuf::from("/etc/buildkit/buildkitd.toml"));
        let text = self.text(&path).unwrap_or_default();
        Some(self.by_each_name(|target| self.buildkit_for(target, &path, &text, store)))
    }

    fn buildkit_for(&self, target: &Target, path: &Path, text: &str, store: &Store) -> Link {
        let section = format!("[registry.\"{}\"]", target);
        let own = text.split_once(&section).map(|(_, rest)| rest.split("\n[").next().unwrap_or_default());
        let named = own.map(|own| strings_after(own, "ca")).unwrap_or_default();
        match named.iter().find(|file| self.is_ours(Path::new(file))) {
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
        }
    }
}

/// The quoted texts of `key = "a"` and `key = ["a", "b"]`, each on one line.
fn strings_after(text: &str, key: &str) -> Vec<String> {
    let value = |line: &str| line.trim().strip_prefix(key)?.trim_start().strip_prefix('=').map(str::to_owned);
    let quoted = |value: String| value.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    text.lines().filter_map(value).flat_map(quoted).filter(|text| !text.is_empty()).collect()
}
