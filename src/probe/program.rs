//! Starts programs with the settings of the user that regcert works as.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::compose::on_path;

/// The command of the container engine, if it is not `docker`.
static ENGINE: OnceLock<&str> = OnceLock::new();

/// The home directory that programs get, if it is not that of the caller's environment.
static HOME: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Makes programs use the settings in this home directory, or none, because regcert works as another user.
pub fn act_for(home: Option<PathBuf>) {
    _ = HOME.set(home);
}

/// Uses `podman` for containers from now on, if it is on `path` (the value of PATH) and `docker` is not.
pub fn choose_engine(path: Option<&OsStr>) {
    if on_path("docker", path).is_none() && on_path("podman", path).is_some() {
        _ = ENGINE.set("podman");
    }
}

/// The command of the container engine.
pub fn engine() -> &'static str {
    ENGINE.get().copied().unwrap_or("docker")
}

/// The command that starts a program, with the home directory of [`act_for`].
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
