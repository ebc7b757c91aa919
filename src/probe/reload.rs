//! Makes a running registry apply new files, and returns when the registry itself has answered a request.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustls::{ClientConnection, Stream};
use rustls_pki_types::ServerName;

use super::compose::Compose;
use super::container::{Container, Service};
use super::containers::Project;
use super::engine::{failed, last_line, run, started};
use super::gc::{Workers, workers};
use super::program::engine;
use crate::error::Fault;
use crate::front;
use crate::names::{Host, shell};
use crate::pki::{Certificate, client_config};
use crate::settings::{Data, Proxy, Settings};

/// The maximum time to wait for a reload. A reload is complete when new workers have replaced the old ones, which
/// takes milliseconds, or seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// The shell command that sends a request inside a container, with the HTTP client of the image: Alpine's wget, or
/// curl. The request must not use a proxy, because proxies are for other machines.
const ASK: &str = r#"http_proxy= wget -q -O - "$1" 2>/dev/null || curl -qfs --noproxy '*' "$1""#;

/// The URL at which nginx passes a request to the registry without a password. Only requests from inside nginx's
/// container can reach the URL.
const THROUGH_NGINX: &str = "http://127.0.0.1:8081/registry";

/// The URL of the registry's health check, inside the registry's container. The health check includes the storage.
const HEALTH: &str = "http://127.0.0.1:8081/debug/health";

/// The body of the registry's answer at both URLs. If nginx answers by itself, the body is empty.
const ANSWER: &str = "{}";

/// The shell command that exits with 0 if the registry can store images, and with 1 if not.
const CAN_WRITE: &str =
    r#"d=/var/lib/registry; [ ! -d $d/docker/registry/v2 ] || d=$d/docker/registry/v2; [ -w $d ]"#;

/// One step in making a running registry apply new files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Recreates the containers whose part of docker-compose.yml changed.
    Up,
    /// Restarts the registry. The registry reads its configuration, and without nginx also its certificate, only at
    /// its start.
    RestartRegistry,
    /// Reloads nginx with SIGHUP: nginx starts new workers, and the old workers finish their requests.
    ReloadNginx,
}

impl Step {
    /// The commands of a step, as the arguments of `docker compose`.
    pub fn commands(self, compose: Compose) -> &'static [&'static [&'static str]] {
        match (self, compose) {
            // With `--remove-orphans`, `up` of podman-compose 1.6 removes every container, recreates only the changed
            // ones, and waits forever for the others.
            (Self::Up, Compose::Podman) => &[&["down", "--remove-orphans"], &["up", "-d"]],
            (Self::Up, Compose::Plugin | Compose::Standalone) => &[&["up", "-d", "--remove-orphans"]],
            (Self::RestartRegistry, _) => &[&["restart", "registry"]],
            (Self::ReloadNginx, _) => &[&["exec", "-T", "nginx", "nginx", "-s", "reload"]],
        }
    }
}

impl Project {
    /// Makes the running registry apply its new files. Returns when clients get the certificate `expected` and the
    /// registry has answered.
    pub fn reload(
        &self,
        steps: &[Step],
        spec: &Settings,
        root: &Certificate,
        expected: &Certificate,
    ) -> Result<()> {
        // Checks that the running containers belong to this directory. `reload_nginx` makes this check itself.
        if steps.first() != Some(&Step::ReloadNginx) {
            self.containers()?;
        }
        for step in steps {
            match step {
                Step::ReloadNginx => self.reload_nginx()?,
                Step::Up | Step::RestartRegistry => {
                    for words in step.commands(self.compose) {
                        run(self.compose.words(), &self.dir, words, &self.logs())?;
                    }
                }
            }
            if *step == Step::Up {
                self.drop_old_socket();
            }
        }
        self.serves(spec, root, expected)?;
        let (start, mut pause) = (Instant::now(), Duration::from_millis(250));
        loop {
            match self.answers(spec) {
                Ok(()) => return Ok(()),
                // Pauses between attempts, because each attempt starts the Docker client several times.
                Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(pause),
                Err(error) => return Err(error),
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Succeeds if the registry itself, and not only nginx in front of it, answers a request now and can store
    /// images. Needs no password.
    pub fn answers(&self, spec: &Settings) -> Result<()> {
        let containers = self.containers()?;
        let registry = self.running_of(&containers, Service::Registry)?;
        if spec.proxy == Proxy::Nginx {
            let nginx = self.running_of(&containers, Service::Nginx)?;
            // An old or edited nginx.conf may lack the location that passes the request to the registry. In that
            // case, the registry is asked directly.
            if self.ask(&nginx, THROUGH_NGINX) != ANSWER
                && (self.hands_on() || self.ask(&registry, HEALTH) != ANSWER)
            {
                return Err(self.silent(&registry)?);
            }
        }
        self.stores(spec, &registry)
    }

    /// Fails if the registry cannot write to its image directory.
    fn stores(&self, spec: &Settings, registry: &Container) -> Result<()> {
        let output = started(&[engine()], &self.dir, &["exec", &registry.id, "sh", "-c", CAN_WRITE])?;
        if output.status.success() {
            return Ok(());
        }
        if output.status.code() != Some(1) || !output.stderr.is_empty() {
            return Err(
                failed("no command runs in the registry's container", &output.stderr, &self.logs()).into()
            );
        }
        let cure = match (&spec.data, registry.mounts.get("/var/lib/registry")) {
            (Data::Directory(_), Some(data)) => {
                format!("run `sudo chown -R {} {}`", self.server(spec), shell(&data.display().to_string()))
            }
            (_, _) => self.runs("up -d --force-recreate"),
        };
        bail!(
            Fault::new(format!(
                "the registry in container `{}` may not write where it keeps images: every push fails",
                registry.name
            ))
            .hint(format!("{cure}; the disk must not be mounted read-only either"))
        )
    }

    /// The user and group on the host that the registry runs as: the owners of the registry's configuration file,
    /// which the registry must be able to read.
    fn server(&self, spec: &Settings) -> String {
        let configuration = std::fs::metadata(self.dir.join("registry/config.yml"));
        configuration
            .map_or_else(|_| spec.run_as.to_string(), |found| format!("{}:{}", found.uid(), found.gid()))
    }

    /// Removes the volume in which an older docker-compose.yml kept a socket. Keeps a volume that is in use or that
    /// is not a tmpfs.
    fn drop_old_socket(&self) {
        let volume = self.old_socket();
        let device = ["volume", "inspect", "-f", "{{index .Options \"device\"}}", &volume];
        let is_socket = started(&[engine()], &self.dir, &device)
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == "tmpfs");
        if is_socket {
            // Ignores a failure: an empty volume in memory does no harm.
            _ = started(&[engine()], &self.dir, &["volume", "rm", &volume]);
        }
    }

    /// The error for a registry that does not answer nginx although the registry's container runs, at least some of
    /// the time.
    fn silent(&self, registry: &Container) -> Result<anyhow::Error> {
        // If the container has stopped in the meantime, returns the error about the stopped container.
        self.running(Service::Registry)?;
        let why = match registry.restarts {
            0 => String::new(),
            restarts => format!(" ({restarts} restarts): {}", self.why(&registry.id)),
        };
        let fault = Fault::new(format!(
            "nginx gets no answer from the registry in container `{}`{why}",
            registry.name
        ));
        Ok(fault.hint(self.runs("logs registry nginx")).into())
    }

    /// The body of the answer to a request from inside the container; empty if there is no answer.
    fn ask(&self, container: &Container, url: &str) -> String {
        let output = started(&[engine()], &self.dir, &["exec", &container.id, "sh", "-c", ASK, "sh", url]);
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    }

    /// Whether nginx.conf has the location for [`THROUGH_NGINX`].
    fn hands_on(&self) -> bool {
        let read = |path: &str| std::fs::read_to_string(self.dir.join(path)).ok();
        front::whole(&read).is_some_and(|configuration| front::asks_registry(&configuration))
    }

    pub(super) fn logs(&self) -> String {
        format!("`{0} ps` and `{0} logs` say more", self.compose)
    }

    /// The reason why nginx could not start with its files on disk; `None` if nginx accepts the files or is not
    /// running. A running nginx keeps the configuration that it has read.
    pub fn nginx_refuses(&self) -> Option<String> {
        let nginx = self.running(Service::Nginx).ok()?;
        let output = started(&[engine()], &self.dir, &["exec", &nginx.id, "nginx", "-q", "-t"]).ok()?;
        emergency(&output.stderr).filter(|_| !output.status.success())
    }

    /// Reloads nginx, and returns when only workers that have read the new files accept requests.
    fn reload_nginx(&self) -> Result<()> {
        let nginx = self.running(Service::Nginx)?;
        let docker = |words: &[&str], hint: &str| run(&[engine()], &self.dir, words, hint);
        // If the new configuration is invalid, nginx keeps the old one, and reports the error only in its log.
        let goes_on = "nginx goes on with the old files, and cannot start again with the new ones";
        let output = started(&[engine()], &self.dir, &["exec", &nginx.id, "nginx", "-q", "-t"])?;
        if !output.status.success() {
            bail!(match emergency(&output.stderr) {
                Some(why) => {
                    let hint = match front::local_named(&why) {
                        Some(own) => format!("{goes_on}: correct `{own}`, which regcert never rewrites"),
                        None => format!("{goes_on}: mend them"),
                    };
                    Fault::new(format!("nginx refuses its files: {why}")).hint(hint)
                }
                None => failed("nginx cannot be asked", &output.stderr, &self.logs()),
            });
        }
        let serving = || workers(&docker(&["top", &nginx.id], &self.logs())?, Workers::Serving);
        let before = serving()?;
        docker(&["exec", &nginx.id, "nginx", "-s", "reload"], &self.logs())?;
        let start = Instant::now();
        while serving()?.iter().any(|worker| before.contains(worker)) {
            if start.elapsed() > PATIENCE {
                bail!(
                    Fault::new("nginx was told to reload and goes on with the old files").hint(self.logs())
                );
            }
            std::thread::sleep(Duration::from_millis(150));
        }
        Ok(())
    }

    /// Returns when clients get the certificate `expected`. If clients still get another certificate after
    /// [`PATIENCE`], fails with the reason from the containers.
    fn serves(&self, spec: &Settings, root: &Certificate, expected: &Certificate) -> Result<()> {
        let start = Instant::now();
        loop {
            let served = served(spec, root);
            if served.as_ref().is_ok_and(|der| *der == expected.der().as_ref()) {
                return Ok(());
            }
            if start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let front = if spec.proxy == Proxy::Nginx { Service::Nginx } else { Service::Registry };
            self.running(front)?;
            return match served {
                Ok(_) => {
                    bail!(Fault::new("the registry was reloaded and still serves another certificate").hint(
                        format!(
                            "`{0} logs` says why; `{0} up -d --force-recreate` starts it again",
                            self.compose
                        )
                    ))
                }
                Err(error) => Err(error.context("the registry was reloaded and does not answer")),
            };
        }
    }
}

/// The error that keeps nginx from starting: the first `[emerg]` line of nginx's output.
fn emergency(said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    said.lines().find(|line| line.contains("[emerg]")).map(last_line)
}

/// The server certificate, in DER, that the registry sends to a client on this machine which trusts only the
/// registry's root.
fn served(spec: &Settings, root: &Certificate) -> Result<Vec<u8>> {
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
