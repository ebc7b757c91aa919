//! What a look at the running registry is about, and what it found, before anybody judges it. Plain values: `probe`
//! fills them in.

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

/// A registry as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: Host,
    /// 443 unless another is given.
    pub port: u16,
}

impl Target {
    /// An address below it; `path` begins with a slash.
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
    /// As it stands in an image reference: 443 is not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bracketed())?;
        if self.port == 443 { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Target {
    type Err = Fault;

    /// `host`, `host:port`, or either of them as an https address, with or without `/v2/`.
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

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Something that may not be read, and why.
    Unreadable(String),
    /// A directory and the names in it.
    Directory(Vec<String>),
    /// A file, without its bytes where they are too many for a setting.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// When it was last written, in seconds since 1970.
        modified: i64,
    },
}

/// Where trial images go, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The repository.
    pub repository: String,
    /// How far.
    pub extent: Extent,
}

/// What a look may put into a repository; all of it is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    Nothing,
    /// An upload is begun: it is to be refused.
    Start,
    /// An upload.
    Upload,
    /// An upload, a blob and a manifest.
    Images,
}

/// Something that was tried, or was not because what comes before it failed. The error says why in few words.
pub type Tried<T> = Option<Result<T, String>>;

/// Everything a look found, in the order in which a client meets it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Where the name leads.
    pub addresses: Tried<Vec<IpAddr>>,
    /// Those of them that this machine has itself.
    pub ours: Vec<IpAddr>,
    /// Who took the connection.
    pub peer: Option<Result<SocketAddr, NoConnection>>,
    /// The other addresses of the name that do not lead to the same server, and why.
    pub astray: Vec<(SocketAddr, String)>,
    /// The chain that the server showed, leaf first.
    pub chain: Option<Result<Vec<Certificate>, Refusal>>,
    /// The leaf that this machine itself serves on the port, whatever the name leads to.
    pub nearby: Option<Certificate>,
    /// Versions of TLS that were accepted and should not be.
    pub old: Option<Vec<&'static str>>,
    /// `GET /v2/` without a password.
    pub api: Tried<Answer>,
    /// How long after the look began that answer came.
    pub api_after: Duration,
    /// `GET /v2/` with it.
    pub login: Tried<Answer>,
    /// The start of an upload.
    pub start: Tried<Answer>,
    /// A chunk of more than a megabyte, of unknown length.
    pub chunk: Tried<Answer>,
    /// A blob and a manifest, there and back.
    pub trip: Tried<Trip>,
    /// What listens on the registry's own port; empty where it was not looked at.
    pub bare: Vec<(SocketAddr, Bare)>,
}

/// What listens on one of the registry's ports on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The user of the socket.
    pub uid: u32,
    /// The process, where this user may see it.
    pub process: Option<u32>,
    /// Its program.
    pub program: Option<String>,
    /// The container that publishes the port.
    pub container: Option<String>,
}

/// The programs with which Docker, rootless Docker and Podman forward a published port, cut at 15 characters.
const FORWARDERS: [&str; 6] =
    ["docker-proxy", "rootlesskit", "rootlessport", "slirp4netns", "pasta", "conmon"];

impl Listener {
    /// Whether it can be the registry of `containers`, whose files belong to `run_as`: one of its containers, or its
    /// nginx or registry on the host's own network.
    pub fn can_be(&self, containers: &Containers, run_as: RunAs) -> bool {
        match (&self.container, containers) {
            (Some(name), Containers::Known(own)) => {
                return own.iter().any(|contained| contained.name == *name);
            }
            (Some(_), Containers::Unknown(_)) => return true,
            (None, _) => {}
        }
        // What a container engine forwards ports with says nothing about the container.
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
    /// As a part of a sentence: `sshd` (process 12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.container, &self.program, self.process) {
            (Some(container), ..) => write!(f, "the container `{}`", printable(container)),
            (None, Some(program), Some(id)) => write!(f, "`{}` (process {id})", printable(program)),
            (None, ..) => write!(f, "another program of the user with the number {}", self.uid),
        }
    }
}

/// What Docker knows of the registry's own containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Containers {
    /// They are not on this machine, or Docker does not say: why, and what to do.
    Unknown(Fault),
    /// Those of the directory.
    Known(Vec<Contained>),
}

/// One container of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    /// Its name.
    pub name: String,
    /// Its service in docker-compose.yml.
    pub service: &'static str,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether its health check succeeds; `None` while it starts, or without one.
    pub is_healthy: Option<bool>,
    /// What is wrong with it, and the cure.
    pub trouble: Option<Fault>,
    /// The last words of its log or of its health check; empty where none are known.
    pub said: String,
    /// The image it was made of; empty where Docker does not say.
    pub image: String,
    /// Where its images are on this machine.
    pub data: Option<PathBuf>,
    /// When it last started.
    pub started: Option<OffsetDateTime>,
}

impl Containers {
    /// The container of a service.
    pub fn of(&self, service: &str) -> Option<&Contained> {
        match self {
            Self::Unknown(_) => None,
            Self::Known(all) => all.iter().find(|contained| contained.service == service),
        }
    }
}

/// Why no address took the connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoConnection {
    /// In few words, for each address.
    pub why: String,
    /// Whether one of them refused it: nothing listens there.
    pub is_refused: bool,
}

/// Why a handshake did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Plain HTTP is spoken there.
    PlainHttp,
    /// Something that is neither TLS nor HTTP.
    NotTls,
    /// The server refused the versions of TLS that are good.
    Version,
    /// The server refused, and named another alert.
    Alert(String),
    /// The connection was cut.
    Closed,
    /// Nothing came in time.
    Silent,
    /// Anything else.
    Other(String),
}

/// What is behind the port that a registry has without a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// Nothing listens, or nothing answers.
    Closed,
    /// Another server.
    Other,
    /// A registry.
    Registry,
}

/// An answer over HTTP, its body cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case; one entry for each line.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether it says how to log in with a password (RFC 7617).
    pub fn asks_for_password(&self) -> bool {
        let challenges = self.all("www-authenticate");
        self.status == 401 && challenges.iter().any(|one| one.to_ascii_lowercase().starts_with("basic "))
    }

    /// Its first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// A blob and a manifest, there and back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trip {
    /// What was done, in its order; the last one may have failed.
    pub steps: Vec<Step>,
    /// How deleting what was stored was answered: with 202, or with what came first instead. `None`: not at all.
    pub deleted: Option<u16>,
}

/// One request of a trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, for people.
    pub what: &'static str,
    /// The status of a registry that does it.
    pub expected: u16,
    /// What came.
    pub answer: Answer,
    /// What must come back, where something must.
    pub sent: Option<Vec<u8>>,
}

impl Step {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        self.answer.status == self.expected && self.sent.as_ref().is_none_or(|sent| *sent == self.answer.body)
    }
}

/// Addresses as people read them.
pub(super) fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What the running registry shows of its settings.
#[derive(Debug, Default)]
pub struct Running {
    /// Whether the handshake asks for a client certificate.
    pub asks_for_certificate: Option<bool>,
    /// `GET /v2/` without a client certificate.
    pub without_certificate: Tried<Answer>,
    /// `GET /v2/` on the port without passwords.
    pub anonymous: Tried<Answer>,
    /// The tags of [`super::NOT_OPEN`] there.
    pub anonymous_closed: Tried<Answer>,
    /// `GET /v2/` on the http port.
    pub http: Tried<Answer>,
    /// The metrics.
    pub metrics: Tried<Answer>,
    /// The start of an upload to a mirror.
    pub mirror_push: Tried<Answer>,
    /// Where the images of a registry with a directory for them are to be.
    pub data: Option<PathBuf>,
    /// When registry/config.yml last changed.
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
