//! What is known about a registry without looking at it: its directory, its machine, who asks.

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

/// What is known about the registry without looking at it.
pub struct Known<'a> {
    /// What is looked at.
    pub target: &'a Target,
    /// The roots that clients have.
    pub roots: &'a [&'a Certificate],
    /// The registry itself, where its directory is here.
    pub deployment: Option<&'a Deployment>,
    /// The user of its machine whom its containers act as; `None` for one to whom no file of the directory can belong.
    pub server: Option<RunAs>,
    /// Where its images are kept, as one word of a shell; `None` for a volume.
    pub data: Option<&'a str>,
    /// The registry's directory, as the person names it.
    pub dir: &'a Path,
    /// The files of the person's own that the containers read beside those that regcert writes.
    pub own: &'a [&'a str],
    /// The command that runs Docker Compose.
    pub compose: &'a str,
    /// The words after it that make the containers take new files.
    pub reload: &'a str,
    /// Whom the look logged in as.
    pub user: Option<&'a Username>,
    /// What the password file says about that user, where it is here.
    pub entry: Option<Login>,
    /// What the registry's directory lets that user do, where it is here.
    pub access: Option<&'a Access>,
    /// What there is for nginx to know it by.
    pub roles: RolesOnDisk,
    /// Where trial images went, and how far.
    pub trial: &'a Trial,
    /// What /etc/hosts says about the name.
    pub hosts_file: &'a [IpAddr],
    /// What Docker knows of the registry's own containers.
    pub containers: &'a Containers,
    /// What listens on the registry's ports on this machine.
    pub listeners: &'a [(u16, Listener)],
    /// Ports of this machine on which nothing listens: for http and for https.
    pub free_ports: (u16, u16),
    /// Files of the directory that are not as regcert writes them.
    pub files: &'a [(String, Ill)],
    /// What the running registry shows of its settings, where it is the one of the directory.
    pub running: Option<&'a Running>,
    /// Whether a mirror can fetch from its upstream.
    pub upstream: Option<&'a Finding>,
    /// What the running nginx has against its files on disk.
    pub refused: Option<&'a str>,
    /// This machine's time when the look began.
    pub now: OffsetDateTime,
}

/// Why a file is not as regcert writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ill {
    /// It was edited by hand, and `init` keeps it.
    Edited,
    /// It is missing or old, and `init` writes it.
    Due,
}

/// What lies on the disk for nginx to know the roles by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolesOnDisk {
    /// The file is as it should be, and nginx.conf names it.
    Fit,
    /// The file is missing, or says something else.
    Other,
    /// nginx.conf does not name it: it is older, or was edited by hand.
    Unread,
}
