//! Runs `docker` and Docker Compose, and recognizes the cause if they do not work at all. Messages contain at most the
//! last line of their output.

use std::io;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::Result;

use crate::error::Fault;

/// The maximum length of a line in a message: a longer line is a stack trace or a request, not an explanation.
const LINE_MAX: usize = 300;

/// Runs a command and returns its output. `hint` is the hint for a failure with an unknown cause.
pub(super) fn run(program: &[&str], dir: &Path, words: &[&str], hint: &str) -> Result<String> {
    let output = started(program, dir, words)?;
    if !output.status.success() {
        let line = [program, words].concat().join(" ");
        return Err(failed(&format!("`{line}` failed"), &output.stderr, hint).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command and returns its output, whatever the exit code. Fails only if the command cannot be started.
pub(super) fn started(program: &[&str], dir: &Path, words: &[&str]) -> Result<Output, Fault> {
    let mut command = super::program::program(program[0]);
    command.args(&program[1..]).args(words).current_dir(dir).stdin(Stdio::null());
    if std::env::var("COMPOSE_FILE").is_ok_and(|files| !names_own_file(&files, dir)) {
        // Otherwise Compose would use the file of another project under the name of this project.
        command.env_remove("COMPOSE_FILE");
    }
    command.output().map_err(|error| not_started(program[0], &error))
}

/// Whether COMPOSE_FILE names the docker-compose.yml of `dir`.
fn names_own_file(files: &str, dir: &Path) -> bool {
    let own = dir.join("docker-compose.yml").canonicalize().ok();
    own.is_some() && files.split([':', ',', ';']).any(|file| dir.join(file).canonicalize().ok() == own)
}

/// The error for a program that cannot be started.
pub(super) fn not_started(program: &str, error: &io::Error) -> Fault {
    if error.kind() != io::ErrorKind::NotFound {
        return Fault::new(format!("`{program}` cannot be run: {error}"));
    }
    Fault::new(format!("`{program}` is not installed here")).hint(format!(
        "install it, or run this where the registry runs: https://docs.docker.com/engine/install/{}",
        if program == "docker" { " (Debian 13 has it in the package docker-cli)" } else { "" }
    ))
}

/// The error for a failed command, from its stderr: a known cause with a hint, or `what` and the last line.
pub(super) fn failed(what: &str, stderr: &[u8], hint: &str) -> Fault {
    let said = String::from_utf8_lossy(stderr);
    let last = match last_line(&said) {
        line if line.is_empty() => "it does not say why".to_owned(),
        line => line,
    };
    cause(&said).unwrap_or_else(|| Fault::new(format!("{what}: {last}")).hint(hint))
}

/// Recognizes why Docker does not work at all, from the messages of Docker 20.10 to 29 and of docker-compose 1.29.
fn cause(said: &str) -> Option<Fault> {
    let said = said.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let no_answer = says(&[
        "cannot connect to the docker daemon",
        "couldn't connect to docker daemon",
        "failed to connect to the docker api",
        "error while fetching server api version",
    ]);
    if says(&["permission denied", "permissionerror"])
        && (no_answer || says(&["docker daemon socket", "docker.sock", "docker api"]))
    {
        return Some(
            Fault::new("this user may not use Docker")
                .hint("run `sudo usermod -aG docker $USER` and log in again, or run this command with sudo"),
        );
    }
    if says(&["unable to resolve docker endpoint"]) {
        return Some(
            Fault::new("the Docker context that is chosen does not exist").hint(
                "run `docker context ls` to see those that do, then `docker context use default` or `unset DOCKER_CONTEXT`",
            ),
        );
    }
    if says(&["error during connect"]) || (no_answer && says(&["tcp://"])) {
        return Some(
            Fault::new(
                "DOCKER_HOST or the Docker context leads to another machine, whose daemon does not answer",
            )
            .hint("run this on the registry's machine, after `unset DOCKER_HOST DOCKER_CONTEXT`"),
        );
    }
    if no_answer {
        let own = if says(&["/run/user/"]) { "systemctl --user" } else { "sudo systemctl" };
        return Some(Fault::new("the Docker daemon does not run").hint(format!("run `{own} start docker`")));
    }
    if says(&["address already in use", "port is already allocated"])
        && let Some(port) = port_of(&said)
    {
        return Some(Fault::new(format!("port {port} of this host is taken")).hint(format!(
            "end what listens there (`sudo ss -ltnp sport = :{port}` names it), or choose another port with `--https-port` or `--http-port`"
        )));
    }
    // Without the plugin, `docker` reads the options of Compose as its own.
    if says(&[
        "'compose' is not a docker command",
        "unknown command: docker compose",
        "unknown shorthand flag",
    ]) {
        return Some(Fault::new("Docker Compose is not installed here").hint(
            "install it, or run this where the registry runs: https://docs.docker.com/compose/install/",
        ));
    }
    None
}

/// The host's port in a message of Docker: the port of the first address in the message.
fn port_of(said: &str) -> Option<u16> {
    ["0.0.0.0:", "127.0.0.1:", "[::]:"].into_iter().find_map(|address| {
        let (_, rest) = said.split_once(address)?;
        rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
    })
}

/// The last line that is not empty, cut to `LINE_MAX` characters; an empty text if there is none.
pub(super) fn last_line(said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(LINE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(said: &str) -> (String, String) {
        let fault = failed("`docker x` failed", said.as_bytes(), "look");
        (fault.message, fault.hint)
    }

    #[test]
    fn docker_that_cannot_be_used_has_a_cause_and_a_cure() {
        let traceback =
            "Traceback (most recent call last):\n  File \"urllib3/connectionpool.py\", line 670\n";
        for (said, cause, cure) in [
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
                "the Docker daemon does not run",
                "run `sudo systemctl start docker`",
            ),
            (
                "Cannot connect to the Docker daemon at unix:///run/user/1000/docker.sock. Is the docker daemon running?",
                "the Docker daemon does not run",
                "run `systemctl --user start docker`",
            ),
            (
                "Failed to initialize: unable to resolve docker endpoint: context \"x\": context not found: open /root/.docker/contexts/meta/8a/meta.json: no such file or directory",
                "the Docker context that is chosen does not exist",
                "run `docker context ls` to see those that do, then `docker context use default` or `unset DOCKER_CONTEXT`",
            ),
            (
                "error during connect: Get \"http://docker.example.com/v1.51/containers/json?all=1\": command [ssh -- host docker system dial-stdio] has exited with exit status 255",
                "DOCKER_HOST or the Docker context leads to another machine, whose daemon does not answer",
                "run this on the registry's machine, after `unset DOCKER_HOST DOCKER_CONTEXT`",
            ),
            (
                "Cannot connect to the Docker daemon at tcp://192.0.2.1:2376. Is the docker daemon running?",
                "DOCKER_HOST or the Docker context leads to another machine, whose daemon does not answer",
                "run this on the registry's machine, after `unset DOCKER_HOST DOCKER_CONTEXT`",
            ),
            (
                &format!(
                    "{traceback}docker.errors.DockerException: Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))\n"
                ),
                "the Docker daemon does not run",
                "run `sudo systemctl start docker`",
            ),
            (
                &format!(
                    "{traceback}docker.errors.DockerException: Error while fetching server API version: ('Connection aborted.', PermissionError(13, 'Permission denied'))\n"
                ),
                "this user may not use Docker",
                "run `sudo usermod -aG docker $USER` and log in again, or run this command with sudo",
            ),
            (
                "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
                "this user may not use Docker",
                "run `sudo usermod -aG docker $USER` and log in again, or run this command with sudo",
            ),
            (
                "Error response from daemon: driver failed programming external connectivity on endpoint x: Error starting userland proxy: listen tcp4 0.0.0.0:443: bind: address already in use",
                "port 443 of this host is taken",
                "end what listens there (`sudo ss -ltnp sport = :443` names it), or choose another port with `--https-port` or `--http-port`",
            ),
            (
                "failed to set up container networking: driver failed programming external connectivity on endpoint x: failed to bind host port for 0.0.0.0:80:172.18.0.2:8080/tcp: address already in use",
                "port 80 of this host is taken",
                "end what listens there (`sudo ss -ltnp sport = :80` names it), or choose another port with `--https-port` or `--http-port`",
            ),
            (
                "driver failed programming external connectivity: Bind for :::5443 failed: port is already allocated, Bind for 0.0.0.0:5443 failed: port is already allocated",
                "port 5443 of this host is taken",
                "end what listens there (`sudo ss -ltnp sport = :5443` names it), or choose another port with `--https-port` or `--http-port`",
            ),
            (
                "docker: 'compose' is not a docker command.\nSee 'docker --help'",
                "Docker Compose is not installed here",
                "install it, or run this where the registry runs: https://docs.docker.com/compose/install/",
            ),
        ] {
            assert_eq!(message(said), (cause.to_owned(), cure.to_owned()));
        }
    }

    #[test]
    fn a_compose_file_of_another_directory_is_not_ours() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("docker-compose.yml");
        std::fs::write(&own, "").unwrap();
        for (files, is_own) in [
            ("docker-compose.yml", true),
            ("docker-compose.yml:more.yml", true),
            (own.to_str().unwrap(), true),
            ("/srv/other/docker-compose.yml", false),
            ("more.yml", false),
            ("", false),
        ] {
            assert_eq!(names_own_file(files, root.path()), is_own, "{files}");
        }
    }

    #[test]
    fn of_any_other_failure_the_last_line_is_shown() {
        let said =
            "nginx: [emerg] open() \"/etc/nginx/x\" failed (13: Permission denied)\nnginx: test failed\n\n";
        assert_eq!(message(said), ("`docker x` failed: nginx: test failed".to_owned(), "look".to_owned()));
        assert_eq!(message("").0, "`docker x` failed: it does not say why");
    }
}
