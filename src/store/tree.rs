//! The files below one directory, which is opened once. Every path is resolved from there part by part, and no part
//! may be a symbolic link. A link that another user makes in the directory therefore cannot lead regcert elsewhere.
//! Does not decide which files are written.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, FileType, Gid, Mode as Bits, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::disk::{SIZE_MAX, keeps};
use crate::error::Fault;
use crate::files::Mode;
use crate::names::visible;

/// An open directory and everything below it.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The path as the user typed it, for messages.
    path: PathBuf,
}

/// The metadata of a file or directory, or of a link itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub kind: FileType,
    /// The permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The modification time in seconds since 1970.
    pub modified: i64,
}

/// A path, split into its last part and the open directory that contains the last part.
struct Place<'a> {
    above: Option<OwnedFd>,
    root: BorrowedFd<'a>,
    name: &'a str,
}

impl Place<'_> {
    fn above(&self) -> BorrowedFd<'_> {
        self.above.as_ref().map_or(self.root, AsFd::as_fd)
    }
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Tree {
    /// Opens the directory at `path`; `None` if the directory is missing. `path` itself may contain links, because
    /// the user chose it.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        match rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Bits::empty())
            .map_err(io::Error::from)
        {
            Ok(root) => Ok(Some(Self { root, path: path.to_owned() })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => bail!(
                Fault::new(format!("`{}` is not a directory", path.display())).hint("choose another with -C")
            ),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => bail!(
                Fault::new(format!("`{}` cannot be opened: {e}", path.display()))
                    .hint("run regcert as the owner of the directory, or with sudo")
            ),
            Err(e) => Err(e).with_context(|| format!("`{}` cannot be opened", path.display())),
        }
    }

    /// Returns the path for messages: on one line, even if a file name of another user contains line breaks.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path.join(visible(path))
    }

    /// The metadata of the directory itself.
    pub fn itself(&self) -> Result<Found> {
        let stat = rustix::fs::fstat(&self.root);
        Ok(found(&stat.with_context(|| format!("`{}` cannot be examined", self.path.display()))?))
    }

    /// The metadata of `path`; `None` if the path is missing. A disk that does not answer is an error, not a missing
    /// file.
    pub fn find(&self, path: &str) -> Result<Option<Found>> {
        let stat = self.on(path, |above, name| rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW));
        match stat {
            Ok(stat) => Ok(Some(found(&stat))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.fault(e, path, "cannot be examined")),
        }
    }

    pub fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.find(path)?.is_some())
    }

    /// The names in a directory, sorted. Leaves out names that are not UTF-8, because regcert creates no such names.
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        let read = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::new(self.directory(path)?)? {
                let entry = entry?;
                if let Ok(name) = entry.file_name().to_str()
                    && name != "."
                    && name != ".."
                {
                    names.push(name.to_owned());
                }
            }
            names.sort();
            Ok(names)
        };
        read().map_err(|e| self.fault(e, path, "cannot be read"))
    }

    /// Reads a regular file of at most `SIZE_MAX` bytes. Does not follow a link.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let cannot = || format!("`{}` cannot be read", self.at(path).display());
        let open = |above: BorrowedFd<'_>, name: &str| {
            rustix::fs::openat(above, name, OFlags::RDONLY | FILE, Bits::empty())
        };
        let file = File::from(self.on(path, open).map_err(|e| {
            if e.kind() == io::ErrorKind::PermissionDenied {
                return anyhow::Error::new(
                    Fault::new(format!("{}: {e}", cannot()))
                        .hint("run regcert as the owner of the directory, or with sudo"),
                );
            }
            let is_link =
                self.find(path).is_ok_and(|found| found.is_some_and(|found| found.kind.is_symlink()));
            if is_link {
                return anyhow::anyhow!("{}: it is a symbolic link", cannot());
            }
            self.fault(e, path, "cannot be read")
        })?);
        let metadata = file.metadata().with_context(cannot)?;
        ensure!(metadata.is_file(), "{}: it is not a regular file", cannot());
        ensure!(metadata.len() <= SIZE_MAX, "{}: it is larger than 64 MiB", cannot());
        let mut bytes = Vec::with_capacity(metadata.len().try_into().unwrap_or(0));
        file.take(SIZE_MAX).read_to_end(&mut bytes).with_context(cannot)?;
        Ok(bytes)
    }

    /// Opens a file of regcert's own notes, to lock it. `flags` may create the file. Fails if the file has a second
    /// hard link, because the file may then belong elsewhere.
    pub fn note(&self, path: &str, flags: OFlags) -> Result<File> {
        let open = |above: BorrowedFd<'_>, name: &str| {
            rustix::fs::openat(above, name, flags | FILE, Bits::from(0o600))
        };
        let file = File::from(self.on(path, open).map_err(|e| self.fault(e, path, "cannot be opened"))?);
        let metadata =
            file.metadata().with_context(|| format!("`{}` cannot be examined", self.at(path).display()))?;
        ensure!(
            metadata.is_file() && metadata.nlink() == 1,
            Fault::new(format!("`{}` is not a file of its own", self.at(path).display()))
                .hint("remove it: regcert makes it again")
        );
        Ok(file)
    }

    /// Writes a new file. The file is private from the first moment, and durable when the function returns.
    pub fn write_new(&self, path: &str, bytes: &[u8], mode: Mode, owner: Option<(u32, u32)>) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FILE;
        let open =
            |above: BorrowedFd<'_>, name: &str| rustix::fs::openat(above, name, flags, Bits::from(0o600));
        let cannot = "cannot be written";
        let mut file = File::from(self.on(path, open).map_err(|e| self.fault(e, path, cannot))?);
        let prepare = || -> io::Result<()> {
            chown(&file, owner)?;
            // Sets the mode on the open file, because the umask does not apply there.
            file.set_permissions(Permissions::from_mode(mode.bits()))
        };
        prepare().map_err(|e| self.fault(e, path, cannot))?;
        keeps(&file, &self.at(path), mode.bits(), owner)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| self.fault(e, path, cannot))
    }

    /// Gives a new file a later modification time, in whole seconds, than the file that it replaces: nginx compares
    /// whole seconds, and two changes may happen within one second.
    pub fn date_after(&self, new: &str, old: &str) -> Result<()> {
        let Some(before) = self.find(old)?.map(|found| found.modified) else {
            return Ok(());
        };
        if self.find(new)?.is_some_and(|found| found.modified > before) {
            return Ok(());
        }
        let later = Timespec { tv_sec: before.saturating_add(1), tv_nsec: 0 };
        let times = Timestamps { last_access: later, last_modification: later };
        self.on(new, |above, name| rustix::fs::utimensat(above, name, &times, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|e| self.fault(e, new, "cannot be dated"))
    }

    /// Creates a directory with exactly this mode and owner, independent of the umask.
    pub fn make_dir(&self, path: &str, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
        let make = || -> io::Result<File> {
            self.on(path, |above, name| rustix::fs::mkdirat(above, name, Bits::from(0o700)))?;
            let dir = File::from(self.directory(path)?);
            chown(&dir, owner)?;
            dir.set_permissions(Permissions::from_mode(mode))?;
            Ok(dir)
        };
        let dir = make().map_err(|e| self.fault(e, path, "cannot be made"))?;
        keeps(&dir, &self.at(path), mode, owner).inspect_err(|_| _ = self.remove_dir(path))
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let from = self.place(from)?;
        self.on(to, |above, name| rustix::fs::renameat(from.above(), from.name, above, name))
    }

    pub fn remove_file(&self, path: &str) -> io::Result<()> {
        self.on(path, |above, name| rustix::fs::unlinkat(above, name, AtFlags::empty()))
    }

    pub fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.on(path, |above, name| rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR))
    }

    /// Removes a directory with its contents, or any other file. Removes a link itself, not its target.
    pub fn remove_all(&self, path: &str) -> Result<()> {
        let gone = |result: io::Result<()>| result.map_err(|e| self.fault(e, path, "cannot be removed"));
        match self.find(path)? {
            None => Ok(()),
            Some(found) if found.kind.is_dir() => {
                for name in self.names(path)? {
                    self.remove_all(&format!("{path}/{name}"))?;
                }
                gone(self.remove_dir(path))
            }
            Some(_) => gone(self.remove_file(path)),
        }
    }

    /// Makes the names in a directory durable, with fsync. The empty path means the root directory of the tree.
    pub fn sync(&self, path: &str) -> Result<()> {
        let synced = if path.is_empty() {
            rustix::fs::fsync(&self.root).map_err(io::Error::from)
        } else {
            self.directory(path).and_then(|dir| Ok(rustix::fs::fsync(dir)?))
        };
        synced.map_err(|e| self.fault(e, path, "cannot be made durable"))
    }

    /// Gives a directory to `owner`. Does nothing for `None`, or if the directory already belongs to a user other
    /// than the caller.
    pub fn hand_over(&self, path: &str, owner: Option<(u32, u32)>) -> Result<()> {
        let dir =
            self.directory(path).map(File::from).map_err(|e| self.fault(e, path, "cannot be opened"))?;
        hand_over(&dir, owner)
            .with_context(|| format!("`{}` cannot change its owner", self.at(path).display()))
    }

    fn directory(&self, path: &str) -> io::Result<OwnedFd> {
        self.on(path, |above, name| {
            rustix::fs::openat(above, name, OFlags::RDONLY | DIRECTORY, Bits::empty())
        })
    }

    fn on<T>(
        &self,
        path: &str,
        act: impl FnOnce(BorrowedFd<'_>, &str) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let place = self.place(path)?;
        Ok(act(place.above(), place.name)?)
    }

    /// Opens the directory that contains the last part of `path`. Follows no links.
    fn place<'a>(&'a self, path: &'a str) -> io::Result<Place<'a>> {
        let mut place = Place { above: None, root: self.root.as_fd(), name: path };
        let mut walked = 0;
        while let Some((part, rest)) = place.name.split_once('/') {
            walked += part.len();
            let next = rustix::fs::openat(place.above(), part, OFlags::PATH | DIRECTORY, Bits::empty());
            let next = next.map_err(|e| {
                if e == Errno::NOTDIR || e == Errno::LOOP {
                    let fault = not_a_directory(&self.at(&path[..walked]));
                    io::Error::new(io::ErrorKind::NotADirectory, fault)
                } else {
                    e.into()
                }
            })?;
            walked += 1;
            place = Place { above: Some(next), root: place.root, name: rest };
        }
        Ok(place)
    }

    /// Adds the path and the failed action `what` to an error. Returns a `Fault` unchanged.
    pub fn fault(&self, error: io::Error, path: &str, what: &str) -> anyhow::Error {
        match error.downcast::<Fault>() {
            Ok(fault) => fault.into(),
            Err(error) => anyhow::Error::new(error).context(format!("`{}` {what}", self.at(path).display())),
        }
    }
}

/// The fault for a path that must be a directory and is not, such as a link to a directory.
pub(super) fn not_a_directory(path: &Path) -> Fault {
    Fault::new(format!("`{}` is not a directory", path.display()))
        .hint("move it away: regcert writes no file through a link")
}

fn found(stat: &rustix::fs::Stat) -> Found {
    Found {
        kind: FileType::from_raw_mode(stat.st_mode),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified: stat.st_mtime,
    }
}

/// Gives an open file or directory to `owner`; does nothing for `None`. Changes only files of the calling user:
/// another user's file may be a hard link to a file elsewhere.
pub(super) fn hand_over(file: &File, owner: Option<(u32, u32)>) -> io::Result<()> {
    let ours = file.metadata()?.uid() == rustix::process::geteuid().as_raw();
    chown(file, owner.filter(|_| ours))
}

fn chown(file: &File, owner: Option<(u32, u32)>) -> io::Result<()> {
    match owner {
        Some((uid, gid)) => Ok(rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?),
        None => Ok(()),
    }
}
