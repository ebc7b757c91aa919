//! A program that is started, with the settings of the user that regcert works as.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The home directory that programs are told of, where it is not that of the caller's environment.
static HOME: OnceLock<Option<PathBuf>> = OnceLock::new();

/// From now on programs find their settings in this home directory, or in none: regcert works as another user.
pub fn act_for(home: Option<PathBuf>) {
    _ = HOME.set(home);
}

/// A program by its name.
pub(super) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    if let Some(home) = HOME.get() {
        command.env_remove("HOME").env_remove("DOCKER_CONFIG").envs(home.iter().map(|home| ("HOME", home)));
    }
    command
}
