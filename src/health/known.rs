//! Facts about a registry that are known without connecting to it: its directory, its machine, the user.

use std::net::IpAddr;
use std::path::Path;

use time::OffsetDateTime;

use super::finding::Finding;
use super::seen::{Containers, Listener, Running, Target, Trial};
use crate::auth::{Access, Login};
use crate::deployment::Deployment;
use crate::names::Username;
use crate::pki::Certificate;
use crate::settings::RunAs;

/// The facts that are known without connecting to the registry.
pub struct Known<'a> {
    /// The registry that is tested.
    pub target: &'a Target,
    /// The root certificates that clients have.
    pub roots: &'a [&'a Certificate],
    /// The registry itself, if its directory is on this machine.
    pub deployment: Option<&'a Deployment>,
    /// The host user that the containers run as; `None` if no file of the directory can belong to that user.
    pub server: Option<RunAs>,
    /// The image directory, quoted for a shell; `None` for a volume.
    pub data: Option<&'a str>,
    /// The registry's directory, as the user names it.
    pub dir: &'a Path,
    /// The user's own files that the containers read in addition to those of regcert.
    pub own: &'a [&'a str],
    /// The command that runs Docker Compose.
    pub compose: &'a str,
    /// The arguments after `compose` that make the containers apply new files.
    pub reload: &'a str,
    /// The user that `check` logged in as.
    pub user: Option<&'a Username>,
    /// The result of checking the user's password with the password file, if the file is on this machine.
    pub entry: Option<Login>,
    /// The access that the registry's directory gives to the user, if the directory is on this machine.
    pub access: Option<&'a Access>,
    /// The state of the file from which nginx reads the roles.
    pub roles: RolesOnDisk,
    /// The repository of the trial images, and what may be stored there.
    pub trial: &'a Trial,
    /// The addresses of the name in /etc/hosts.
    pub hosts_file: &'a [IpAddr],
    /// The state of the registry's containers in Docker.
    pub containers: &'a Containers,
    /// The programs that listen on the registry's ports on this machine, each after its port.
    pub listeners: &'a [(u16, Listener)],
    /// Free ports of this machine: one for http and one for https.
    pub free_ports: (u16, u16),
    /// The files of the directory that differ from those that regcert would write.
    pub files: &'a [(String, Ill)],
    /// The settings that the running registry shows, if it is the one of the directory.
    pub running: Option<&'a Running>,
    /// The finding about whether a mirror can fetch from its upstream.
    pub upstream: Option<&'a Finding>,
    /// The reason why the running nginx would refuse its files on disk.
    pub refused: Option<&'a str>,
    /// The time on this machine when the test began.
    pub now: OffsetDateTime,
}

/// The reason why a file differs from the one that regcert would write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ill {
    /// The file was edited by hand, and `init` keeps it.
    Edited,
    /// The file is missing or old, and `init` writes it.
    Due,
}

/// The state on disk of the roles that nginx reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolesOnDisk {
    /// The file is correct, and nginx.conf names it.
    Fit,
    /// The file is missing or has other roles.
    Other,
    /// nginx.conf does not name the file: it is older, or was edited by hand.
    Unread,
}
