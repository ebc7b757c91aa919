//! The target and the observations of a test of a running registry. Plain values: `probe` fills them in, and other
//! modules judge them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;

use crate::error::Fault;
use crate::names::{Host, printable};
use crate::pki::Certificate;
use crate::settings::RunAs;

/// The address of a registry as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: Host,
    /// The port; 443 by default.
    pub port: u16,
}

impl Target {
    /// Returns the https address of `path`. `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("https://{self}{path}")
    }

    fn bracketed(&self) -> String {
        match &self.host {
            Host::Ip(ip) if ip.is_ipv6() => format!("[{ip}]"),
            host @ (Host::Ip(_) | Host::Dns(_)) => host.to_string(),
        }
    }
}

impl fmt::Display for Target {
    /// Writes the address as in an image reference, which omits port 443.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bracketed())?;
        if self.port == 443 { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Target {
    type Err = Fault;

    /// Parses `host`, `host:port`, or either of them as an https address, with or without `/v2/`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.starts_with("http://") {
            return Err(Fault::new(format!("`{}` is not https", printable(text)))
                .hint("regcert's registries speak https only: write `https://…`, or leave the scheme out"));
        }
        let bare = text.strip_prefix("https://").unwrap_or(text);
        let bare = ["/v2/", "/v2", "/"].iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(bare);
        let numbered = |host: &str, port: &str| {
            let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                Fault::new(format!("`{}` is not a port", printable(port)))
                    .hint("a port is a number from 1 to 65535")
            })?;
            Ok(Self { host: host.parse()?, port })
        };
        match (bare.rsplit_once(':'), bare.ends_with(']') || bare.parse::<IpAddr>().is_ok()) {
            (Some((host, port)), false) => numbered(host, port),
            (Some(_), true) | (None, _) => Ok(Self { host: bare.parse()?, port: 443 }),
        }
    }
}

/// The state of a path on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// A file or directory that regcert may not read, with the reason.
    Unreadable(String),
    /// A directory, with the names of its entries.
    Directory(Vec<String>),
    /// A file. The bytes are empty if the file is too large for a settings file.
    File {
        bytes: Vec<u8>,
        /// The time of the last change, in seconds since 1970.
        modified: i64,
    },
}

/// The repository for trial images, and the most that a test may store in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    pub repository: String,
    pub extent: Extent,
}

/// The most that a test may store in a repository. The test removes everything afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Nothing,
    /// The start of an upload. The registry must refuse it.
    Start,
    Upload,
    /// An upload, a blob and a manifest.
    Images,
}

/// The result of a test; `None` if the test was skipped because an earlier one failed. The error is a short reason.
pub type Tried<T> = Option<Result<T, String>>;

/// All observations of a test, in a client's order.
#[derive(Debug, Default)]
pub struct Seen {
    /// The addresses that the name resolves to.
    pub addresses: Tried<Vec<IpAddr>>,
    /// The addresses of the name that belong to this machine.
    pub ours: Vec<IpAddr>,
    /// The address that accepted the connection.
    pub peer: Option<Result<SocketAddr, NoConnection>>,
    /// The other addresses of the name that do not reach the same server, each with the reason.
    pub astray: Vec<(SocketAddr, String)>,
    /// The certificate chain that the server sent, leaf first.
    pub chain: Option<Result<Vec<Certificate>, Refusal>>,
    /// The leaf certificate that this machine serves on the port, independent of the addresses of the name.
    pub nearby: Option<Certificate>,
    /// The insecure TLS versions that the server accepted.
    pub old: Option<Vec<&'static str>>,
    /// The answer to `GET /v2/` without a password.
    pub api: Tried<Answer>,
    /// The time from the start of the test to the answer in `api`.
    pub api_after: Duration,
    /// The answer to `GET /v2/` with the password.
    pub login: Tried<Answer>,
    /// The answer to the start of an upload.
    pub start: Tried<Answer>,
    /// The answer to a chunk of more than a megabyte, of unknown length.
    pub chunk: Tried<Answer>,
    /// The results of uploading and downloading a blob and a manifest.
    pub trip: Tried<Trip>,
    /// The servers on port 5000, the default port of a registry without a proxy; empty if the port was not tested.
    pub bare: Vec<(SocketAddr, Bare)>,
}

/// A program that listens on one of the registry's ports on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The ID of the user that owns the socket.
    pub uid: u32,
    /// The process ID, if regcert's user may see it.
    pub process: Option<u32>,
    pub program: Option<String>,
    /// The container that publishes the port, if there is one.
    pub container: Option<String>,
}

/// The programs that forward ports for Docker, rootless Docker and Podman. Names are cut at 15 characters.
const FORWARDERS: [&str; 6] =
    ["docker-proxy", "rootlesskit", "rootlessport", "slirp4netns", "pasta", "conmon"];

impl Listener {
    /// Whether the program can be this registry: one of `containers`, or an nginx or a registry on the host's network
    /// that runs as `run_as`.
    pub fn can_be(&self, containers: &Containers, run_as: RunAs) -> bool {
        match (&self.container, containers) {
            (Some(name), Containers::Known(own)) => {
                return own.iter().any(|contained| contained.name == *name);
            }
            (Some(_), Containers::Unknown(_)) => return true,
            (None, _) => {}
        }
        // The container engine's port forwarder does not show which container it serves.
        if self.program.as_ref().is_some_and(|program| FORWARDERS.contains(&program.as_str())) {
            return true;
        }
        if self.program.is_none() && matches!(containers, Containers::Unknown(_)) {
            return true;
        }
        let is_server = |program: &String| program.contains("nginx") || program.contains("registry");
        self.uid == run_as.uid && self.program.as_ref().is_none_or(is_server)
    }
}

impl fmt::Display for Listener {
    /// Writes the listener as part of a sentence, such as: `sshd` (process 12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.container, &self.program, self.process) {
            (Some(container), ..) => write!(f, "the container `{}`", printable(container)),
            (None, Some(program), Some(id)) => write!(f, "`{}` (process {id})", printable(program)),
            (None, ..) => write!(f, "another program of the user with the number {}", self.uid),
        }
    }
}

/// The state of the registry's own containers according to Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Containers {
    /// The containers are not on this machine, or Docker does not list them: the reason and the cure.
    Unknown(Fault),
    /// The containers of the registry's directory.
    Known(Vec<Contained>),
}

/// One container of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    pub name: String,
    /// The service in docker-compose.yml that the container belongs to.
    pub service: &'static str,
    pub is_running: bool,
    /// Whether the container's health check succeeds; `None` while the container starts, or without a health check.
    pub is_healthy: Option<bool>,
    /// The fault of the container, with its cure, if there is one.
    pub trouble: Option<Fault>,
    /// The last line of the container's log or health check; empty if there is none.
    pub said: String,
    /// The image that the container was created from; empty if Docker does not say.
    pub image: String,
    /// The directory of the registry's images on this machine.
    pub data: Option<PathBuf>,
    /// The time when the container last started.
    pub started: Option<OffsetDateTime>,
}

impl Containers {
    /// Returns the container of a service.
    pub fn of(&self, service: &str) -> Option<&Contained> {
        match self {
            Self::Unknown(_) => None,
            Self::Known(all) => all.iter().find(|contained| contained.service == service),
        }
    }
}

/// The reason why no address accepted the connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoConnection {
    /// A short reason for each address.
    pub why: String,
    /// Whether an address refused the connection, which means that nothing listens there.
    pub is_refused: bool,
}

/// The reason why a TLS handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The server uses plain HTTP.
    PlainHttp,
    /// The server uses neither TLS nor HTTP.
    NotTls,
    /// The server refused TLS 1.2 and TLS 1.3.
    Version,
    /// The server ended the handshake with another alert.
    Alert(String),
    /// The connection was closed.
    Closed,
    /// No answer came in time.
    Silent,
    /// Any other reason.
    Other(String),
}

/// The kind of server on port 5000, the default port of a registry without a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// No server listens, or none answers.
    Closed,
    /// A server that is not a registry.
    Other,
    /// A registry.
    Registry,
}

/// An HTTP answer with the beginning of its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    /// Header names in lower case, and values; one entry for each header line.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether the answer asks for a login with a password (RFC 7617).
    pub fn asks_for_password(&self) -> bool {
        let challenges = self.all("www-authenticate");
        self.status == 401 && challenges.iter().any(|one| one.to_ascii_lowercase().starts_with("basic "))
    }

    /// Returns the first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// The upload and download of a blob and a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trip {
    /// The requests in order; the last one may have failed.
    pub steps: Vec<Step>,
    /// The status of deleting the stored image: 202, or the first other status. `None` if nothing was deleted, or if
    /// there was no answer.
    pub deleted: Option<u16>,
}

/// One request of a trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The purpose of the request, as text for the user.
    pub what: &'static str,
    /// The status that a working registry returns.
    pub expected: u16,
    pub answer: Answer,
    /// The body that the registry must return, if any.
    pub sent: Option<Vec<u8>>,
}

impl Step {
    /// Whether the status and the body are as expected.
    pub fn is_done(&self) -> bool {
        self.answer.status == self.expected && self.sent.as_ref().is_none_or(|sent| *sent == self.answer.body)
    }
}

/// Returns the addresses as text for the user.
pub(super) fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The settings observed on the running registry.
#[derive(Debug, Default)]
pub struct Running {
    /// Whether the TLS handshake asks for a client certificate.
    pub asks_for_certificate: Option<bool>,
    /// The answer to `GET /v2/` without a client certificate.
    pub without_certificate: Tried<Answer>,
    /// The answer to `GET /v2/` on the port without passwords.
    pub anonymous: Tried<Answer>,
    /// The answer to a request for the tags of [`super::NOT_OPEN`] on the port without passwords.
    pub anonymous_closed: Tried<Answer>,
    /// The answer to `GET /v2/` on the http port.
    pub http: Tried<Answer>,
    /// The answer on the metrics port.
    pub metrics: Tried<Answer>,
    /// The answer to the start of an upload. A mirror must refuse it.
    pub mirror_push: Tried<Answer>,
    /// The configured image directory; `None` if the images are in a volume.
    pub data: Option<PathBuf>,
    /// The time of the last change of registry/config.yml.
    pub config_changed: Option<OffsetDateTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_as_people_name_it() {
        for (text, host, port) in [
            ("registry1.myhouse.local", "registry1.myhouse.local", 443),
            ("https://registry1.myhouse.local:5443", "registry1.myhouse.local", 5443),
            ("https://registry1.myhouse.local/v2/", "registry1.myhouse.local", 443),
            ("10.0.0.7:5443", "10.0.0.7", 5443),
            ("[fd00::7]:5443/v2", "fd00::7", 5443),
            ("[fd00::7]", "fd00::7", 443),
            ("fd00::7", "fd00::7", 443),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.host.to_string().as_str(), target.port), (host, port), "{text}");
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
        for bad in
            ["", "http://a.lan", "a.lan:0", "a.lan:70000", "a.lan:x", "a.lan/path", "user@a.lan", "a b"]
        {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
