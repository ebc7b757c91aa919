//! The running registry: the only module that opens sockets and starts other programs.
#![allow(clippy::disallowed_methods)] // The one module that may.

mod api;
mod compose;
mod docker;
mod gc;
mod http;
mod interrupt;
mod look;
mod route;
mod survey;
mod tls;

use gc::{Workers, workers};

pub use api::{Api, Session};
pub use compose::Compose;
pub use docker::{Volume, running, volume};
pub use gc::{Amount, Containers, Garbage, READ_ONLY};
pub use http::Login;
pub use look::{Client, look};
pub use survey::{Survey, survey, tag_lists, tagged};

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustls::{ClientConnection, Stream};
use rustls_pki_types::ServerName;

use crate::error::Fault;
use crate::names::Host;
use crate::pki::{Certificate, client_config};
use crate::spec::Spec;

/// A reload is done when the old workers have handed over: milliseconds, or seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// One command that makes a running registry take new files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Containers whose part of docker-compose.yml changed are made anew.
    Up,
    /// The registry reads its configuration and, without nginx, its certificate at its start only.
    RestartRegistry,
    /// On SIGHUP nginx starts new workers; the old ones finish what they serve.
    ReloadNginx,
}

impl Step {
    /// The words after `docker compose`.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Up => &["up", "-d", "--remove-orphans"],
            Self::RestartRegistry => &["restart", "registry"],
            Self::ReloadNginx => &["exec", "-T", "nginx", "nginx", "-s", "reload"],
        }
    }
}

/// Makes the running registry take its new files and returns when it serves `expected`.
pub fn reload(
    compose: Compose,
    dir: &Path,
    steps: &[Step],
    spec: &Spec,
    root: &Certificate,
    expected: &Certificate,
) -> Result<()> {
    installed(compose)?;
    for step in steps {
        match step {
            Step::ReloadNginx => reload_nginx(compose, dir)?,
            Step::Up | Step::RestartRegistry => _ = run(compose.words(), dir, step.words(), &logs(compose))?,
        }
    }
    let start = Instant::now();
    loop {
        match served(spec, root) {
            Ok(der) if der == expected.der().as_ref() => return Ok(()),
            Ok(_) | Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            Ok(_) => {
                bail!(Fault::new("the registry was reloaded and still serves another certificate").hint(
                    format!("`{compose} logs` says why; `{compose} up -d --force-recreate` starts it again")
                ))
            }
            Err(error) => return Err(error.context("the registry was reloaded and does not answer")),
        }
    }
}

fn logs(compose: Compose) -> String {
    format!("`{compose} ps` and `{compose} logs` say more")
}

/// Returns when only workers that have read the new files take requests.
fn reload_nginx(compose: Compose, dir: &Path) -> Result<()> {
    // nginx keeps the old configuration when the new one is bad, and says so only in its log.
    let hint = format!("is it running (`{compose} up -d`)? If so, it goes on with the old files");
    run(compose.words(), dir, &["exec", "-T", "nginx", "nginx", "-q", "-t"], &hint)?;
    let serving =
        || workers(&run(compose.words(), dir, &["top", "nginx"], &logs(compose))?, Workers::Serving);
    let before = serving()?;
    run(compose.words(), dir, Step::ReloadNginx.words(), &logs(compose))?;
    let start = Instant::now();
    while serving()?.iter().any(|worker| before.contains(worker)) {
        if start.elapsed() > PATIENCE {
            bail!(Fault::new("nginx was told to reload and goes on with the old files").hint(logs(compose)));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The server's own certificate, as a client on this machine gets it who trusts only our root.
fn served(spec: &Spec, root: &Certificate) -> Result<Vec<u8>> {
    let host = spec.host();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, spec.https_port));
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .with_context(|| format!("{address} does not take a connection"))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let name = match host {
        Host::Dns(name) => ServerName::try_from(name.to_string())?,
        Host::Ip(ip) => ServerName::from(ip),
    };
    let mut tls = ClientConnection::new(Arc::new(client_config(root)?), name)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    let leaf = tls.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
    tls.send_close_notify();
    _ = Stream::new(&mut tls, &mut socket).flush();
    leaf.ok_or_else(|| anyhow!("the server showed no certificate"))
}

/// Fails where the command does not run.
fn installed(compose: Compose) -> Result<()> {
    let words = compose.words();
    let version = Command::new(words[0]).args(&words[1..]).arg("version").stdin(Stdio::null()).output();
    if version.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    bail!(
        Fault::new("neither `docker compose` nor `docker-compose` runs here")
            .hint("install Docker Compose, or run this where the registry runs")
    )
}

/// Runs a script by `sh`. What it says and asks goes to the person; its exit code is the answer.
pub fn script(text: &[u8], words: &[&str]) -> Result<ExitCode> {
    let mut shell = Command::new("sh")
        .arg("-s")
        .arg("--")
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .context("`sh` cannot be run")?;
    if let Some(mut stdin) = shell.stdin.take() {
        // One that stops early has said why.
        _ = stdin.write_all(text);
    }
    let status = shell.wait().context("`sh` cannot be waited for")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What a script prints, run by `sh`, where it ends with one of these exit codes.
pub fn script_output(text: &[u8], words: &[&str], codes: &[i32]) -> Result<String> {
    let mut shell = Command::new("sh")
        .arg("-s")
        .arg("--")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`sh` cannot be run")?;
    if let Some(mut stdin) = shell.stdin.take() {
        // One that stops early has said why.
        _ = stdin.write_all(text);
    }
    let output = shell.wait_with_output().context("`sh` cannot be waited for")?;
    if !output.status.code().is_some_and(|code| codes.contains(&code)) {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("`sh` failed: {said}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the command prints.
fn run(program: &[&str], dir: &Path, words: &[&str], hint: &str) -> Result<String> {
    let line = [program, words].concat().join(" ");
    let command = Command::new(program[0])
        .args(&program[1..])
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output();
    let output = command.with_context(|| format!("`{line}` cannot be run"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!(Fault::new(format!("`{line}` failed: {said}")).hint(hint));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
