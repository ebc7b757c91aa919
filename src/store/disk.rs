//! Single steps on the disk: a file read without following a link, a file or directory made with its final mode.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{AtFlags, CWD, Gid, OFlags, Timespec, Timestamps, Uid};

use crate::error::Fault;
use crate::files::Mode;
use crate::health::Found;

/// An htpasswd line is 70 bytes: room for a million users, and no room for a mistake such as a disk image.
const SIZE_MAX: u64 = 64 << 20;

/// Reads a password or another file that the person named.
pub fn read_given(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let mut bytes = Vec::new();
    file.take(SIZE_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    Ok(bytes)
}

/// No setting of a client is larger; a system's store of roots has a quarter of a megabyte.
const SETTING_MAX: u64 = 4 << 20;

/// Whether two paths lead to one directory.
pub fn is_same_directory(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    identity(one).is_some_and(|identity_of_one| Some(identity_of_one) == identity(other))
}

/// What is at a path of this machine, links followed as its owner means them to be.
pub fn look(path: &Path) -> Found {
    let found = || -> io::Result<Found> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            let names =
                fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            return Ok(Found::Directory(names));
        }
        let mut bytes = Vec::new();
        if metadata.is_file() && metadata.len() <= SETTING_MAX {
            File::open(path)?.take(SETTING_MAX).read_to_end(&mut bytes)?;
        }
        Ok(Found::File { bytes, modified: metadata.mtime() })
    };
    found().unwrap_or_else(|e| {
        if e.kind() == io::ErrorKind::PermissionDenied {
            return Found::Unreadable(e.to_string());
        }
        // Where it cannot even be looked for, it is not there for any runtime either.
        Found::Nothing
    })
}

/// A regular file, never through a link, never without end.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("`{}` cannot be read", path.display());
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(|e| {
        if e.kind() == io::ErrorKind::PermissionDenied {
            return anyhow::Error::new(
                Fault::new(format!("{}: {e}", cannot()))
                    .hint("run regcert as the one who made it, or with sudo"),
            );
        }
        let link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let why = if link { "it is a symbolic link".to_owned() } else { e.to_string() };
        anyhow::anyhow!("{}: {why}", cannot())
    })?;
    let metadata = file.metadata().with_context(cannot)?;
    ensure!(metadata.is_file(), "{}: it is not a regular file", cannot());
    ensure!(metadata.len() <= SIZE_MAX, "{}: it is larger than 64 MiB", cannot());
    let mut bytes = Vec::with_capacity(metadata.len().try_into().unwrap_or(0));
    file.take(SIZE_MAX).read_to_end(&mut bytes).with_context(cannot)?;
    Ok(bytes)
}

/// A file that was not there, private from its first moment, durable when this returns.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: Mode, owner: Option<(u32, u32)>) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        file.write_all(bytes)?;
        // On the open file: the umask has no say.
        file.set_permissions(Permissions::from_mode(mode.bits()))?;
        file.sync_all()
    };
    write().with_context(|| format!("`{}` cannot be written", path.display()))
}

/// Dates a new file later than the one whose place it takes, in whole seconds: nginx tells a file from the one before it
/// by them, and two changes may fall into one.
pub(super) fn date_after(new: &Path, old: &Path) -> Result<()> {
    let seconds = |path: &Path| path.symlink_metadata().map(|metadata| metadata.mtime());
    let date = || -> io::Result<()> {
        let Ok(before) = seconds(old) else {
            return Ok(());
        };
        if seconds(new)? > before {
            return Ok(());
        }
        let later = Timespec { tv_sec: before.saturating_add(1), tv_nsec: 0 };
        let times = Timestamps { last_access: later, last_modification: later };
        Ok(rustix::fs::utimensat(CWD, new, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    };
    date().with_context(|| format!("`{}` cannot be dated", new.display()))
}

/// A directory that was not there, with this mode whatever the umask.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    let make = || -> io::Result<()> {
        DirBuilder::new().mode(mode).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    make().with_context(|| format!("`{}` cannot be made", path.display()))
}

pub(super) fn sync(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .with_context(|| format!("`{}` cannot be made durable", dir.display()))
}

/// The directories on the way to another: never writable by everybody, whatever the umask.
pub(super) fn make_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Gives something to its owner, where that can be chosen.
pub(super) fn hand_over(path: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let Some((uid, gid)) = owner else {
        return Ok(());
    };
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
        .with_context(|| format!("`{}` cannot be given to user {uid}", path.display()))
}

/// Whether something is there, be it a link that leads nowhere. A disk that does not answer is an error, not an absence.
pub(super) fn exists(path: &Path) -> Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).with_context(|| format!("`{}` cannot be looked at", path.display())),
    }
}
