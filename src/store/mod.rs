//! The only disk. One directory, one lock, one way to write: everything is staged and made durable beside its place,
//! one rename decides, and whoever comes next finishes what was decided or discards what was not.
#![allow(clippy::disallowed_methods)] // The one module that may.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::OFlags;

use disk::{exists, hand_over, read_file};

use crate::error::Fault;
use crate::files::{Action, Change, Digests, Edits, FileSet, Mode, OnDisk, Origin, RelPath};
use crate::pki::{hex, sha256};
use crate::spec::{Data, RunAs};

mod clone;
mod collection;
mod commit;
mod disk;
mod old;

pub use clone::lead_compose;
pub use disk::{is_same_directory, look, read_given};
pub use old::{entry, is_root, others_may_read, owner, real};

const OWN: &str = ".regcert";
const DIGESTS: &str = ".regcert/digests.json";

/// What belongs to a registry; nothing else in the directory is looked at.
const READ: [&str; 7] =
    ["regcert.toml", "nginx", "registry", "root-cert", "request", "clients", ".regcert/state.json"];

/// How long to wait for another regcert.
const PATIENCE: Duration = Duration::from_secs(30);

/// The output directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    lock: Option<File>,
}

impl Store {
    /// Opens the directory, which need not exist yet, waits for its lock, and finishes or discards what an
    /// interrupted run left. Creates nothing where nothing is. `waits` is told when the lock is somebody else's.
    pub fn open(dir: &Path, waits: impl FnOnce()) -> Result<Self> {
        let mut store = Self { dir: dir.to_owned(), lock: None };
        match fs::metadata(dir) {
            Ok(metadata) if !metadata.is_dir() => {
                bail!(
                    Fault::new(format!("`{}` is not a directory", dir.display()))
                        .hint("choose another with -C")
                )
            }
            Ok(metadata) if metadata.mode() & 0o002 != 0 && metadata.mode() & 0o1000 == 0 => {
                let hint = format!("run `chmod o-w {}`, or choose another directory with -C", dir.display());
                bail!(
                    Fault::new(format!(
                        "everybody may write to `{}`: keys are not safe there",
                        dir.display()
                    ))
                    .hint(hint)
                )
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(store),
            Err(e) => return Err(e).with_context(|| format!("`{}` cannot be opened", dir.display())),
        }
        let own = store.dir.join(OWN);
        if exists(&own)? {
            ensure!(
                own.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()),
                Fault::new(format!("`{}` is not a directory", store.dir.join(OWN).display()))
                    .hint("move it away: regcert writes no file through a link")
            );
            store.lock(waits)?;
            store.finish()?;
        }
        Ok(store)
    }

    /// The files of the registry as they lie there. Symbolic links, devices and the like are refused.
    pub fn read(&self) -> Result<FileSet> {
        let mut files = FileSet::default();
        for root in READ {
            self.read_below(root, &mut files)?;
        }
        Ok(files)
    }

    fn read_below(&self, path: &str, files: &mut FileSet) -> Result<()> {
        let at = self.dir.join(path);
        let metadata = match at.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e).with_context(|| format!("`{}` cannot be read", at.display())),
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&at).with_context(|| format!("`{}` cannot be read", at.display()))?;
            let names = entries.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>();
            let mut names = names.with_context(|| format!("`{}` cannot be read", at.display()))?;
            names.sort();
            for name in names.iter().filter_map(|name| name.to_str()) {
                self.read_below(&format!("{path}/{name}"), files)?;
            }
            return Ok(());
        }
        let bytes = read_file(&at)?;
        let mode = if metadata.mode() & 0o077 == 0 { Mode::Secret } else { Mode::Public };
        files.put(path, bytes, mode, Origin::Kept);
        Ok(())
    }

    /// The difference between the disk and `wanted`.
    pub fn compare(&self, wanted: FileSet, run_as: RunAs, edits: Edits) -> Result<Change> {
        let digests = self.digests()?;
        let mut paths: BTreeSet<RelPath> = wanted.iter().map(|(path, _)| path.clone()).collect();
        paths.extend(digests.keys().filter_map(|path| RelPath::new(path.clone())));
        let mut on_disk = std::collections::BTreeMap::new();
        for path in paths {
            let at = path.under(&self.dir);
            self.check_parents(&path)?;
            match at.symlink_metadata() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e).with_context(|| format!("`{}` cannot be read", at.display())),
                Ok(metadata) if !metadata.is_file() => {
                    let hint = "move it away: regcert writes no file through a link, and over no directory";
                    bail!(Fault::new(format!("`{}` is not a regular file", at.display())).hint(hint))
                }
                Ok(metadata) => {
                    let mode = wanted.get(path.as_str()).map(|file| file.mode);
                    let owner = mode.map(|mode| self.owner(mode, run_as)).transpose()?.flatten();
                    let fit = mode.is_none_or(|mode| metadata.mode() & 0o7777 == mode.bits())
                        && owner.is_none_or(|(uid, gid)| (metadata.uid(), metadata.gid()) == (uid, gid));
                    let digest = hex(&sha256(&read_file(&at)?));
                    on_disk.insert(path, OnDisk { digest, permissions_fit: fit });
                }
            }
        }
        Ok(Change::between(
            wanted,
            &digests,
            edits,
            |bytes| hex(&sha256(bytes)),
            |path| on_disk.get(path).cloned(),
        ))
    }

    fn lock(&mut self, waits: impl FnOnce()) -> Result<()> {
        let path = self.dir.join(OWN).join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path);
        let file = file.map_err(|e| {
            if e.kind() == io::ErrorKind::PermissionDenied {
                anyhow::Error::new(
                    Fault::new(format!("`{}` belongs to somebody else", self.dir.display()))
                        .hint("run regcert as the one who made it, or with sudo"),
                )
            } else {
                anyhow::Error::new(e).context(format!("`{}` cannot be opened", path.display()))
            }
        })?;
        let start = Instant::now();
        let mut waits = Some(waits);
        while let Err(error) = file.try_lock() {
            match error {
                fs::TryLockError::WouldBlock if start.elapsed() < PATIENCE => {
                    if start.elapsed() > Duration::from_millis(500)
                        && let Some(waits) = waits.take()
                    {
                        waits();
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                fs::TryLockError::WouldBlock => {
                    bail!(
                        Fault::new(format!(
                            "another regcert has been at work in `{}` for 30 seconds",
                            self.dir.display()
                        ))
                        .hint("wait for it, or end it: it holds `.regcert/lock`")
                    )
                }
                fs::TryLockError::Error(e) => {
                    return Err(e).context(format!("`{}` cannot be locked", path.display()));
                }
            }
        }
        // Each time: whoever made them may have been stopped before it had given them away.
        let owner = self.owner(Mode::Secret, RunAs { uid: 0, gid: 0 })?;
        hand_over(&self.dir.join(OWN), owner)?;
        hand_over(&path, owner)?;
        self.lock = Some(file);
        Ok(())
    }

    fn digests(&self) -> Result<Digests> {
        let path = self.dir.join(DIGESTS);
        if !exists(&path)? {
            return Ok(Digests::new());
        }
        serde_json::from_slice(&read_file(&path)?).map_err(|e| {
            let hint =
                "remove it: regcert then takes every file for edited by hand, and `--force` writes them anew";
            anyhow::Error::new(Fault::new(format!("`{}` is damaged: {e}", path.display())).hint(hint))
        })
    }

    /// Directories on the way to a file of ours are directories, not links that lead elsewhere.
    fn check_parents(&self, path: &RelPath) -> Result<()> {
        for parent in path.parents().map(|parent| self.dir.join(parent)) {
            match parent.symlink_metadata() {
                Ok(metadata) if !metadata.is_dir() => bail!(
                    Fault::new(format!("`{}` is not a directory", parent.display()))
                        .hint("move it away: regcert writes no file through a link")
                ),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Who must own a file of this mode; `None` where it cannot be chosen, because only root gives files away.
    fn owner(&self, mode: Mode, run_as: RunAs) -> Result<Option<(u32, u32)>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if mode == Mode::Server {
            return Ok(Some((run_as.uid, run_as.gid)));
        }
        // What root makes in somebody's directory belongs to that somebody.
        match fs::metadata(&self.dir) {
            Ok(metadata) => Ok(Some((metadata.uid(), metadata.gid()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Some((0, 0))),
            Err(e) => Err(e).with_context(|| format!("`{}` cannot be looked at", self.dir.display())),
        }
    }

    /// Without root, files for the containers can only belong to the one who runs regcert.
    fn check_owner(&self, change: &Change, run_as: RunAs) -> Result<()> {
        let me = rustix::process::geteuid();
        let ours = me.is_root() || run_as.uid == me.as_raw() || run_as.uid == 0;
        let writes = change.with(Action::Added).chain(change.with(Action::Changed));
        let serves =
            |path: &RelPath| change.files.get(path.as_str()).is_some_and(|file| file.mode == Mode::Server);
        ensure!(
            ours || !writes.into_iter().any(serves),
            Fault::new(format!("the containers run as {run_as}, and only root can give files to that user"))
                .hint("run this command with sudo")
        );
        Ok(())
    }

    /// Whether what `owner` owns belongs to the containers' user. Root in a container of a rootless engine is the user who
    /// started it.
    pub fn belongs_to(owner: u32, run_as: RunAs) -> bool {
        let me = rustix::process::geteuid();
        owner == if run_as.uid == 0 && !me.is_root() { me.as_raw() } else { run_as.uid }
    }

    /// Who owns the directory for the images, where it is there: a registry that runs as somebody else cannot write.
    pub fn data_owner(&self, data: &Data) -> Option<u32> {
        match data {
            Data::Directory(path) => fs::metadata(self.dir.join(path)).ok().map(|metadata| metadata.uid()),
            Data::Volume | Data::Existing(_) => None,
        }
    }
}
