//! Starts programs with the home directory and the settings of the user that regcert runs as.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::compose::on_path;

/// The command of the container engine; `docker` if not set.
static ENGINE: OnceLock<&str> = OnceLock::new();

/// The home directory for started programs. If not set, programs inherit the environment of regcert.
static HOME: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Makes started programs use the settings in this home directory, or no settings. Called after regcert has switched
/// from root to another user.
pub fn act_for(home: Option<PathBuf>) {
    _ = HOME.set(home);
}

/// Uses `podman` for containers from now on if `path`, the value of PATH, contains `podman` but not `docker`.
pub fn choose_engine(path: Option<&OsStr>) {
    if on_path("docker", path).is_none() && on_path("podman", path).is_some() {
        _ = ENGINE.set("podman");
    }
}

/// The command of the container engine: `docker` or `podman`.
pub fn engine() -> &'static str {
    ENGINE.get().copied().unwrap_or("docker")
}

/// Prepares a command that runs the program `name`, with the home directory from [`act_for`].
pub(super) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    if let Some(home) = HOME.get() {
        for variable in ["HOME", "DOCKER_CONFIG", "XDG_CONFIG_HOME"] {
            command.env_remove(variable);
        }
        command.envs(home.iter().map(|home| ("HOME", home)));
    }
    command
}
