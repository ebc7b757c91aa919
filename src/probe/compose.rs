//! Docker Compose on this machine: finds the right command without running one.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The directories in which the docker program looks for its plugins (docker/cli, cli-plugins/manager).
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The command that runs Docker Compose on this machine. `Display` prints it as a user types it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compose {
    /// `docker compose`: Compose v2, a plugin of `docker`.
    Plugin,
    /// `docker-compose`: Compose 1.29, or v2 installed as a program.
    Standalone,
    /// `podman-compose`.
    Podman,
}

impl Compose {
    /// Searches `path` (the value of PATH) and the plugin directories of `docker`; `settings` is docker's own
    /// directory, `~/.docker`. If Compose is not installed, returns the plugin, which users should install.
    pub fn find(path: Option<&OsStr>, settings: Option<&Path>) -> Self {
        let on_path = |name: &str| on_path(name, path).is_some();
        let plugins = PLUGINS.iter().map(PathBuf::from);
        let own = settings.into_iter().flat_map(|settings| {
            [vec![settings.join("cli-plugins")], extra_directories(&settings.join("config.json"))].concat()
        });
        let is_plugin = on_path("docker") && own.chain(plugins).any(|dir| runs(&dir.join("docker-compose")));
        match (is_plugin, on_path("docker-compose"), on_path("podman-compose")) {
            (false, true, _) => Self::Standalone,
            (false, false, true) => Self::Podman,
            (true, _, _) | (false, false, false) => Self::Plugin,
        }
    }

    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Plugin => &["docker", "compose"],
            Self::Standalone => &["docker-compose"],
            Self::Podman => &["podman-compose"],
        }
    }
}

impl fmt::Display for Compose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// Finds the program with this name in `path` (the value of PATH).
pub fn on_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|dir| dir.join(name)).find(|program| runs(program))
}

/// Whether the path is an executable file.
fn runs(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The additional plugin directories in docker's `config.json`. Homebrew's instructions tell users to add one.
fn extra_directories(config: &Path) -> Vec<PathBuf> {
    #[derive(Default, serde::Deserialize)]
    struct Config {
        #[serde(default, rename = "cliPluginsExtraDirs")]
        directories: Vec<PathBuf>,
    }
    let config = fs::read(config).ok().and_then(|bytes| serde_json::from_slice::<Config>(&bytes).ok());
    config.unwrap_or_default().directories
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_command_is_the_one_that_is_installed() {
        let root = tempfile::tempdir().unwrap();
        let (bin, settings) = (root.path().join("bin"), root.path().join(".docker"));
        let find = || Compose::find(Some(bin.as_os_str()), Some(&settings));
        assert_eq!(find(), Compose::Plugin, "nothing is installed");
        program(&bin.join("docker-compose"));
        assert_eq!(find(), Compose::Standalone);
        program(&bin.join("podman-compose"));
        assert_eq!(find(), Compose::Standalone, "podman-compose comes last");
        fs::remove_file(bin.join("docker-compose")).unwrap();
        assert_eq!(find(), Compose::Podman);
        program(&bin.join("docker-compose"));
        program(&settings.join("cli-plugins/docker-compose"));
        assert_eq!(find(), Compose::Standalone, "a plugin needs its `docker`");
        program(&bin.join("docker"));
        assert_eq!(find(), Compose::Plugin);
        assert_eq!(Compose::find(None, None).to_string(), "docker compose");
    }

    #[test]
    fn the_settings_of_docker_name_more_directories() {
        let root = tempfile::tempdir().unwrap();
        let (bin, elsewhere) = (root.path().join("bin"), root.path().join("elsewhere"));
        program(&bin.join("docker"));
        program(&bin.join("docker-compose"));
        program(&elsewhere.join("docker-compose"));
        let config = serde_json::json!({ "auths": {}, "cliPluginsExtraDirs": [elsewhere] });
        fs::write(root.path().join("config.json"), config.to_string()).unwrap();
        assert_eq!(Compose::find(Some(bin.as_os_str()), Some(root.path())), Compose::Plugin);
    }
}
