//! Checks who owns the directory, who runs regcert in it, and who else may write to it. In another user's directory,
//! root becomes that user, or fails if the files need root. Reads owners and modes; writes nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::OWN;
use super::tree::Found;
use crate::error::Fault;
use crate::names::shell;

/// The user who runs regcert, and the rights that the command needs.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The effective user id.
    pub uid: u32,
    /// The id of the user who ran sudo.
    pub sudo: Option<u32>,
    /// Whether the command may create a registry.
    pub founds: bool,
    /// Whether the command needs root, no matter who owns the directory.
    pub needs_root: bool,
}

/// A user account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    gid: u32,
    name: Option<String>,
    /// The home directory, which contains the user's settings for programs.
    pub home: Option<PathBuf>,
}

impl Account {
    /// Finds the account with this user id. Uses `gid` if /etc/passwd does not contain the user.
    pub fn of(uid: u32, gid: u32) -> Self {
        let user = lines("/etc/passwd").into_iter().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, id, group, _, home) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
            );
            (id.parse() == Ok(uid)).then(|| (name.to_owned(), group.parse().unwrap_or(gid), home.into()))
        });
        match user {
            Some((name, gid, home)) => Self { uid, gid, name: Some(name), home: Some(home) },
            None => Self { uid, gid, name: None, home: None },
        }
    }

    /// The name of the account, or its user id if it has no name.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// Permanently switches from root to this account. Must be called while there is only one thread: later threads
    /// inherit the account.
    pub fn become_it(&self) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let is_member = |group: &Group| self.name.as_ref().is_some_and(|name| group.members.contains(name));
        let mut groups = vec![gid];
        groups.extend(
            groups_of_machine().iter().filter(|group| is_member(group)).map(|group| Gid::from_raw(group.gid)),
        );
        let switch = || -> io::Result<()> {
            set_thread_groups(&groups)?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
            Ok(())
        };
        switch().with_context(|| format!("regcert cannot become user `{}`", self.name()))
    }
}

/// A group from /etc/group.
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

fn groups_of_machine() -> Vec<Group> {
    let group = |line: &String| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        let members = fields.next().unwrap_or_default().split(',').filter(|name| !name.is_empty());
        Some(Group {
            name: name.to_owned(),
            gid: gid.parse().ok()?,
            members: members.map(str::to_owned).collect(),
        })
    };
    lines("/etc/group").iter().filter_map(group).collect()
}

/// The lines of a local account file. The file lacks the accounts of a directory service; these accounts have only an
/// id and their own group.
fn lines(path: &str) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// Files that show that regcert needs root, if their owner is not the owner of the directory: the password files of
/// both front ends, which belong to the containers' user, and a change that an interrupted run of root had committed.
const SIGNS: [&str; 3] = ["nginx/auth/registry.passwd", "registry/auth/registry.passwd", ".regcert/staged"];

/// The account that root must become to work in `dir`. `None` if regcert keeps its user: the caller is not root, the
/// directory belongs to root or is missing, or root is needed in the sudo user's own directory.
pub fn owner_to_become(dir: &Path, caller: Caller) -> Result<Option<Account>> {
    if caller.uid != 0 {
        return Ok(None);
    }
    let metadata = match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("`{}` cannot be opened", dir.display()));
        }
        // `Store::open` reports a path that is not a directory.
        Ok(_) | Err(_) => return Ok(None),
    };
    trusted_link(dir, caller, metadata.uid())?;
    if metadata.uid() == 0 {
        return Ok(None);
    }
    let owner = Account::of(metadata.uid(), metadata.gid());
    let (shown, name) = (dir.display(), owner.name());
    let is_callers = caller.sudo == Some(owner.uid);
    if caller.founds && !is_callers && !dir.join("regcert.toml").exists() {
        bail!(
            Fault::new(format!(
                "`{shown}` belongs to `{name}`, who could replace whatever root writes there"
            ))
            .hint(format!(
                "run regcert as that user, or make the directory root's: `chown root: {}`; or choose another with -C",
                shell(&shown.to_string())
            ))
        );
    }
    let others = SIGNS.iter().filter_map(|path| dir.join(path).symlink_metadata().ok());
    let other = others.map(|metadata| metadata.uid()).find(|uid| *uid != owner.uid);
    match (other, caller.needs_root, is_callers) {
        (None, false, _) => Ok(Some(owner)),
        (_, _, true) => Ok(None),
        (other, _, false) => {
            let needs = other.map_or_else(
                || "this command needs root".to_owned(),
                |other| format!("files in it to user {other}, so that only root can write them"),
            );
            bail!(
                Fault::new(format!(
                    "`{shown}` belongs to `{name}` and {needs}; but root must not trust what `{name}` can change"
                ))
                .hint(format!(
                    "give the directory to root: `find {} -user {} -exec chown -h root: {{}} +`",
                    shell(&shown.to_string()),
                    shell(&name)
                ))
            )
        }
    }
}

/// Fails if `dir` is a link that a third user made, because that user could send root to any directory.
fn trusted_link(dir: &Path, caller: Caller, target: u32) -> Result<()> {
    let Ok(link) = dir.symlink_metadata() else {
        return Ok(());
    };
    if !link.is_symlink() || [0, target].contains(&link.uid()) || caller.sudo == Some(link.uid()) {
        return Ok(());
    }
    let whose = Account::of(link.uid(), link.gid()).name();
    bail!(
        Fault::new(format!(
            "`{}` is a link of user `{whose}`, who can make it lead elsewhere",
            dir.display()
        ))
        .hint("name the directory itself with -C")
    )
}

/// Fails if users other than the owner can write to the directory, or if another user made the directory of regcert's
/// notes.
pub(super) fn check(dir: &Path, itself: Found, own: Option<Found>) -> Result<()> {
    private(dir, itself)?;
    let Some(own) = own else {
        return Ok(());
    };
    let at = dir.join(OWN);
    let me = rustix::process::geteuid().as_raw();
    if own.uid != me && !(me == 0 && own.uid == itself.uid) && own.uid != 0 {
        let whose = Account::of(own.uid, own.gid).name();
        bail!(
            Fault::new(format!("`{}` belongs to `{whose}`: what it says is not believed", at.display()))
                .hint(format!(
                    "run regcert as that user; where it is your registry, `sudo chown -R {} {}`",
                    Account::of(me, 0).name(),
                    shell(&at.display().to_string())
                ))
        );
    }
    private(&at, own)
}

fn private(dir: &Path, found: Found) -> Result<()> {
    let shown = shell(&dir.display().to_string());
    let refuse = |who: &str, right: &str| {
        bail!(
            Fault::new(format!("{who} may write to `{}`: keys are not safe there", dir.display()))
                .hint(format!("run `chmod {right}-w {shown}`; where chmod does nothing, as on WSL's /mnt/c, vfat and CIFS, choose another directory with -C"))
        )
    };
    if found.mode & 0o002 != 0 {
        return refuse("everybody", "o");
    }
    if found.mode & 0o020 != 0 && !is_private_group(found.uid, found.gid) {
        let group = groups_of_machine().into_iter().find(|group| group.gid == found.gid);
        let group = group.map_or_else(|| found.gid.to_string(), |group| group.name);
        return refuse(&format!("the group `{group}`"), "g");
    }
    Ok(())
}

/// Whether a group has only one user. Distributions give each user a group with the user's name and number, and a
/// umask of 002: the group can write to the user's files, but the user is the only member (pam_umask(8),
/// `usergroups`).
fn is_private_group(uid: u32, gid: u32) -> bool {
    let user = Account::of(uid, gid).name;
    let group = groups_of_machine().into_iter().find(|group| group.gid == gid);
    match (user, group) {
        (Some(user), Some(group)) => user == group.name && group.members.iter().all(|member| *member == user),
        (None, None) => uid == gid,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
