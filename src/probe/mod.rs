//! The running registry: the only module that opens sockets and starts other programs.
#![allow(clippy::disallowed_methods)] // The one module that may.

mod api;
mod compose;
mod container;
mod containers;
mod docker;
mod engine;
mod gc;
mod here;
mod http;
mod inspected;
mod interrupt;
mod look;
mod outward;
mod owner;
mod port;
mod program;
mod project_name;
mod reload;
mod route;
mod running;
mod survey;
mod tls;

pub use api::{Api, Session};
pub use compose::{Compose, on_path};
pub use container::{Container, Service};
pub use containers::Project;
pub use docker::{Volume, running, volume};
pub use gc::{Collected, Collector, Errand, Extent, Look, READ_ONLY};
pub use here::{
    Here, Leads, Version, docker_is_for_root, has_rootless_docker, here, is_running, own_address,
};
pub use http::{Login, ask_upstream};
pub use look::{Client, look};
pub use outward::Outward;
pub use owner::{Engine, Surroundings};
pub use port::Ports;
pub use program::{act_for, choose_engine, engine};
pub use reload::Step;
pub use running::try_settings;
pub use survey::{Survey, survey, tag_lists, tagged};

use std::io::Write;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use program::program;

/// Runs a script with `sh`. The script's output and questions go to the user. Returns the script's exit code.
pub fn script(text: &[u8], words: &[&str]) -> Result<ExitCode> {
    let mut shell = program("sh")
        .arg("-s")
        .arg("--")
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .context("`sh` cannot be run")?;
    if let Some(mut stdin) = shell.stdin.take() {
        // The error is ignored: a script that stops early has printed the reason.
        _ = stdin.write_all(text);
    }
    let status = shell.wait().context("`sh` cannot be waited for")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs a script with `sh` and returns its output. Fails if the exit code is not one of `codes`.
pub fn script_output(text: &[u8], words: &[&str], codes: &[i32]) -> Result<String> {
    let mut shell = program("sh")
        .arg("-s")
        .arg("--")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`sh` cannot be run")?;
    if let Some(mut stdin) = shell.stdin.take() {
        // The error is ignored: a script that stops early has printed the reason.
        _ = stdin.write_all(text);
    }
    let output = shell.wait_with_output().context("`sh` cannot be waited for")?;
    if !output.status.code().is_some_and(|code| codes.contains(&code)) {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("`sh` failed: {said}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
