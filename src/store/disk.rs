//! Single steps on the disk outside a registry's directory: files that the user named, configuration files of
//! clients, and the directories above a registry.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::error::Fault;
use crate::files::utf8;
use crate::health::Found;

/// The maximum size of a file that regcert reads, in bytes. An htpasswd line takes about 70 bytes, so the limit
/// allows almost a million users, but guards against a file named by mistake, such as a disk image.
pub(super) const SIZE_MAX: u64 = 64 << 20;

/// Reads at most `SIZE_MAX` bytes of a file that the user named.
pub fn read_raw(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let mut bytes = Vec::new();
    file.take(SIZE_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    Ok(bytes)
}

/// Reads a text file that the user named, such as a password, and removes the byte order mark of Windows programs.
pub fn read_given(path: &Path) -> Result<Vec<u8>> {
    let bytes = Zeroizing::new(read_raw(path)?);
    let text = utf8(&bytes);
    Ok(text
        .map_err(|fault| Fault { message: format!("`{}`: {}", path.display(), fault.message), ..fault })?
        .to_vec())
}

/// The maximum size of a client's configuration file that regcert reads, in bytes. A system's file of root
/// certificates has about 250 kB.
const SETTING_MAX: u64 = 4 << 20;

/// Whether two paths refer to the same directory.
pub fn is_same_directory(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    identity(one).is_some_and(|identity_of_one| Some(identity_of_one) == identity(other))
}

/// The modification time of a file; `None` if the file cannot be examined.
pub fn changed(path: &Path) -> Option<OffsetDateTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok().map(OffsetDateTime::from)
}

/// Restores the modification time of a file that was rewritten with its old content. Ignores failures, because the
/// newer time is not wrong.
pub fn set_changed(path: &Path, when: OffsetDateTime) {
    _ = fs::File::open(path).and_then(|file| file.set_modified(when.into()));
}

/// Reads the file or directory at a path on this machine. Follows links, as their owner intends.
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
        // A path that regcert cannot look up does not exist for a container runtime either.
        Found::Nothing
    })
}

/// Creates a directory with exactly this mode, independent of the umask.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    let make = || -> io::Result<File> {
        DirBuilder::new().mode(mode).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        File::open(path)
    };
    let dir = make().with_context(|| format!("`{}` cannot be made", path.display()))?;
    keeps(&dir, path, mode, None).inspect_err(|_| _ = fs::remove_dir(path))
}

/// Fails if the file system did not keep the mode or the owner of a file or directory, for example on vfat, CIFS or
/// WSL's /mnt/c. Every user of the machine could then read a key.
pub(super) fn keeps(file: &File, path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    let kept = file.metadata().with_context(|| format!("`{}` cannot be examined", path.display()))?;
    let hint = "choose a directory on a Linux file system with -C, such as one below your home; on WSL, /mnt/c keeps modes with `options = \"metadata\"` below `[automount]` in /etc/wsl.conf";
    let mode_kept = kept.mode() & 0o777;
    ensure!(
        mode_kept == mode & 0o777,
        Fault::new(format!(
            "the file system of `{}` does not keep permissions (0{mode_kept:o} in place of 0{mode:o}): others could read the keys",
            path.display()
        ))
        .hint(hint)
    );
    let me = rustix::process::geteuid().as_raw();
    ensure!(
        owner.map_or(kept.uid() == me, |owner| owner == (kept.uid(), kept.gid())),
        Fault::new(format!("the file system of `{}` does not keep owners", path.display())).hint(hint)
    );
    Ok(())
}

/// Creates a directory and its missing parents. None of them is writable by every user, independent of the umask.
pub(super) fn make_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Makes the names in a directory durable, with fsync.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .with_context(|| format!("`{}` cannot be made durable", dir.display()))
}
