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

/// The facts that `check` needs besides its observations.
pub struct Known<'a> {
    /// The address of the tested registry.
    pub target: &'a Target,
    /// The root certificates that clients have.
    pub roots: &'a [&'a Certificate],
    /// The registry, if its directory is on this machine.
    pub deployment: Option<&'a Deployment>,
    /// The host user that the containers run as; `None` if no file of the directory can belong to that user.
    pub server: Option<RunAs>,
    /// The image directory, quoted for a shell; `None` for a volume.
    pub data: Option<&'a str>,
    /// The path of the registry's directory in commands for the user.
    pub dir: &'a Path,
    /// The user's own files that the containers read in addition to regcert's files.
    pub own: &'a [&'a str],
    /// The command that runs Docker Compose.
    pub compose: &'a str,
    /// The arguments of `compose` that make the containers apply new files.
    pub reload: &'a str,
    /// The user that `check` logged in as.
    pub user: Option<&'a Username>,
    /// The result of checking the user's password against the password file, if that file is on this machine.
    pub entry: Option<Login>,
    /// The user's access according to the registry's directory, if the directory is on this machine.
    pub access: Option<&'a Access>,
    /// The state of the roles file on disk.
    pub roles: RolesOnDisk,
    /// The repository for trial images, and the most that the test may store there.
    pub trial: &'a Trial,
    /// The addresses that /etc/hosts gives for the name.
    pub hosts_file: &'a [IpAddr],
    /// The state of the registry's containers according to Docker.
    pub containers: &'a Containers,
    /// The programs that listen on the registry's ports on this machine, each with its port.
    pub listeners: &'a [(u16, Listener)],
    /// Free ports on this machine: one for http and one for https.
    pub free_ports: (u16, u16),
    /// The files in the directory that differ from those that regcert would write.
    pub files: &'a [(String, Ill)],
    /// The observed settings of the running registry, if it is the one in the directory.
    pub running: Option<&'a Running>,
    /// The finding about a mirror's access to its upstream.
    pub upstream: Option<&'a Finding>,
    /// The reason why nginx could not start again with its files on disk, if there is one.
    pub refused: Option<&'a str>,
    /// The time when the test began, by this machine's clock.
    pub now: OffsetDateTime,
}

/// The reason why a file differs from what regcert would write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ill {
    /// The file was edited by hand, and `init` keeps it.
    Edited,
    /// The file is missing or outdated, and `init` writes it.
    Due,
}

/// The state of the roles file on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolesOnDisk {
    /// The file is correct, and nginx.conf refers to it.
    Fit,
    /// The file is missing or contains other roles.
    Other,
    /// nginx.conf does not refer to the file, because nginx.conf is older or was edited by hand.
    Unread,
}
