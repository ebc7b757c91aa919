//! The only module that uses the disk. A registry has one directory, one lock, and one way to write: files are staged
//! durably, one rename commits them, and the next command finishes a committed change or discards an uncommitted one.
#![allow(clippy::disallowed_methods)] // The one module that may.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::OFlags;

use tree::{Tree, hand_over, not_a_directory};

use crate::deployment::{FORMAT, refuse_newer};
use crate::error::Fault;
use crate::files::{Action, Change, Digests, Edits, FileSet, Mode, OnDisk, Origin, RelPath};
use crate::pki::{hex, sha256};
use crate::settings::{Data, RunAs};

mod clone;
mod collection;
mod commit;
mod disk;
mod old;
mod standing;
mod tree;
mod uploads;

pub use clone::{Lead, is_clone, lead_compose};
pub use collection::Collection;
pub use disk::{changed, is_same_directory, look, read_given, read_raw, set_changed};
pub use old::{entry, is_root, others_may_read, owner, real};
pub use standing::{Account, Caller, owner_to_become};

const OWN: &str = ".regcert";
/// The file with the digests of the files that regcert wrote.
pub const DIGESTS: &str = ".regcert/digests.json";
const LOCK: &str = ".regcert/lock";

/// The files and directories that regcert reads in a registry's directory.
const READ: [&str; 9] = [
    "regcert.toml",
    "nginx",
    "registry",
    "root-cert",
    "request",
    "clients",
    ".regcert/state.json",
    // regcert reads these two to find out which of two other files is wrong.
    ".env",
    "trust/ca.crt",
];

/// The files that regcert writes, and the directories below which regcert writes files. If a redo log names another
/// path, regcert did not write the log. The list contains other names of a Compose file, because a takeover removes
/// files with these names.
const WRITTEN: [&str; 19] = [
    "regcert.toml",
    ".env",
    ".gitignore",
    "compose.yml",
    "compose.yaml",
    "docker-compose.yaml",
    "files",
    "before-regcert",
    "docker-compose.yml",
    "nginx",
    "registry",
    "root-cert",
    "request",
    "clients",
    "renewal",
    "trust",
    ".regcert/state.json",
    FORMAT,
    DIGESTS,
];

fn is_written(path: &RelPath) -> bool {
    let below = |top: &str| path.as_str().strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
    WRITTEN.iter().any(|top| path.as_str() == *top || below(top))
}

/// The maximum time to wait for another regcert that holds the lock.
const PATIENCE: Duration = Duration::from_secs(30);

/// The nearest directory above `dir` that contains a registry. `dir` is an absolute path.
pub fn registry_above(dir: &str) -> Option<PathBuf> {
    let holds_one = |above: &&Path| above.join(READ[0]).exists() && above.join(OWN).exists();
    Path::new(dir).ancestors().skip(1).find(holds_one).map(Path::to_owned)
}

/// The output directory, which contains a registry.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// The open directory; `None` if it does not exist.
    tree: Option<Tree>,
    lock: Option<File>,
}

impl Store {
    /// Opens the directory, which need not exist yet, waits for the lock, and finishes or discards the change of an
    /// interrupted run. Does not create the directory. Calls `waits` if another process holds the lock.
    pub fn open(dir: &Path, waits: impl FnOnce()) -> Result<Self> {
        let mut store = Self { dir: dir.to_owned(), tree: Tree::open(dir)?, lock: None };
        if let Some(tree) = &store.tree {
            let own = tree.find(OWN)?;
            standing::check(dir, tree.itself()?, own)?;
            if let Some(own) = own {
                ensure!(own.kind.is_dir(), not_a_directory(&tree.at(OWN)));
                store.lock(waits)?;
                // An older regcert must not finish a change that a newer one has committed.
                store.refuse_newer()?;
                store.finish()?;
            }
        }
        Ok(store)
    }

    /// Reads the files of the registry. Fails for symbolic links, devices and other special files.
    pub fn read(&self) -> Result<FileSet> {
        let mut files = FileSet::default();
        if let Some(tree) = &self.tree {
            READ.iter().try_for_each(|root| read_below(tree, root, &mut files))?;
        }
        Ok(files)
    }

    /// Compares the disk with `wanted`. A file that is the same as in `known` counts as written by regcert, even if
    /// the stored digest differs.
    pub fn compare(
        &self,
        wanted: FileSet,
        run_as: RunAs,
        edits: Edits,
        known: Option<&FileSet>,
    ) -> Result<Change> {
        let written = self.digests()?;
        let mut digests = written.clone();
        let mut paths: BTreeSet<RelPath> = wanted.iter().map(|(path, _)| path.clone()).collect();
        paths.extend(digests.keys().filter_map(|path| RelPath::new(path.clone())));
        let mut on_disk = std::collections::BTreeMap::new();
        for path in paths {
            if let Some(tree) = &self.tree {
                let mode = wanted.get(path.as_str()).map(|file| file.mode);
                let owner = mode.map(|mode| self.owner(mode, run_as)).transpose()?.flatten();
                if let Some(found) = on_disk_at(tree, &path, mode, owner)? {
                    on_disk.insert(path, found);
                }
            }
        }
        let digest = |bytes: &[u8]| hex(&sha256(bytes));
        let is_as = |path: &RelPath, bytes: &[u8]| {
            on_disk.get(path).is_some_and(|on_disk: &OnDisk| on_disk.digest == digest(bytes))
        };
        let rendered =
            known.into_iter().flat_map(FileSet::iter).filter(|(_, file)| file.origin == Origin::Rendered);
        for (path, file) in rendered.filter(|(path, file)| is_as(path, &file.bytes)) {
            digests.insert(path.to_string(), digest(&file.bytes));
        }
        let rendered = || wanted.iter().filter(|(_, file)| file.origin == Origin::Rendered);
        let digests_fit = rendered().all(|(path, file)| {
            !is_as(path, &file.bytes) || written.get(path.as_str()) == Some(&digest(&file.bytes))
        });
        let mut change = Change::between(wanted, &digests, edits, digest, |path| on_disk.get(path).cloned());
        change.digests_fit = digests_fit;
        Ok(change)
    }

    fn lock(&mut self, waits: impl FnOnce()) -> Result<()> {
        let tree = self.tree.as_ref().expect("what is locked is there");
        let path = tree.at(LOCK);
        let file = tree.note(LOCK, OFlags::RDWR | OFlags::CREATE).map_err(|error| {
            let refused = error.root_cause().downcast_ref::<std::io::Error>();
            if refused.is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied) {
                let fault = Fault::new(format!("`{}` belongs to another user", self.dir.display()));
                anyhow::Error::new(fault.hint("run regcert as the owner of the directory, or with sudo"))
            } else {
                error
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
        // Done on each run, because an interrupted run may have created the directory and the file without giving
        // them to their owner.
        let owner = self.owner(Mode::Secret, RunAs { uid: 0, gid: 0 })?;
        tree.hand_over(OWN, owner)?;
        hand_over(&file, owner).with_context(|| format!("`{}` cannot change its owner", path.display()))?;
        self.lock = Some(file);
        Ok(())
    }

    fn refuse_newer(&self) -> Result<()> {
        match &self.tree {
            Some(tree) if tree.exists(FORMAT)? => {
                Ok(refuse_newer(&tree.read(FORMAT)?, &self.dir.display().to_string())?)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn digests(&self) -> Result<Digests> {
        let Some(tree) = &self.tree else {
            return Ok(Digests::new());
        };
        if !tree.exists(DIGESTS)? {
            return Ok(Digests::new());
        }
        // `status` reports a damaged file, and the next change rewrites it.
        Ok(serde_json::from_slice(&tree.read(DIGESTS)?).unwrap_or_default())
    }

    /// The owner that a file with this mode gets; `None` if regcert does not run as root, because only root can
    /// change owners.
    fn owner(&self, mode: Mode, run_as: RunAs) -> Result<Option<(u32, u32)>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if mode == Mode::Server {
            return Ok(Some((run_as.uid, run_as.gid)));
        }
        // A file that root creates in a user's directory must belong to that user.
        let itself = self.tree.as_ref().map(Tree::itself).transpose()?;
        Ok(Some(itself.map_or((0, 0), |itself| (itself.uid, itself.gid))))
    }

    /// Fails if only root could give the containers' files to the user who must own them. Containers that run as root
    /// can read the files of any user.
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

    /// Whether the registry has images, as far as regcert can see. A new volume belongs to Docker, and counts as
    /// empty.
    pub fn has_images(&self, data: &Data) -> bool {
        let holds = |path: &String| {
            fs::read_dir(self.dir.join(path)).is_ok_and(|mut entries| entries.next().is_some())
        };
        match data {
            Data::Directory(path) => holds(path),
            Data::Volume => false,
            // The takeover kept this volume with the images of the old registry.
            Data::Existing(_) => true,
        }
    }

    /// The owner of the directory for the images, if the directory exists. A registry that runs as another user
    /// cannot write there.
    pub fn data_owner(&self, data: &Data) -> Option<u32> {
        match data {
            Data::Directory(path) => fs::metadata(self.dir.join(path)).ok().map(|metadata| metadata.uid()),
            Data::Volume | Data::Existing(_) => None,
        }
    }
}

fn read_below(tree: &Tree, path: &str, files: &mut FileSet) -> Result<()> {
    let Some(found) = tree.find(path)? else {
        return Ok(());
    };
    if found.kind.is_dir() {
        return tree
            .names(path)?
            .iter()
            .try_for_each(|name| read_below(tree, &format!("{path}/{name}"), files));
    }
    let bytes = tree.read(path)?;
    let mode = if found.mode & 0o077 == 0 { Mode::Secret } else { Mode::Public };
    files.put(path, bytes, mode, Origin::Kept);
    Ok(())
}

fn on_disk_at(
    tree: &Tree,
    path: &RelPath,
    mode: Option<Mode>,
    owner: Option<(u32, u32)>,
) -> Result<Option<OnDisk>> {
    let Some(found) = tree.find(path.as_str())? else {
        return Ok(None);
    };
    ensure!(
        found.kind.is_file(),
        Fault::new(format!("`{}` is not a regular file", tree.at(path.as_str()).display()))
            .hint("move it away: regcert writes no file through a link, and over no directory")
    );
    let permissions_fit = mode.is_none_or(|mode| found.mode == mode.bits())
        && owner.is_none_or(|owner| (found.uid, found.gid) == owner);
    let digest = hex(&sha256(&tree.read(path.as_str())?));
    Ok(Some(OnDisk { digest, permissions_fit }))
}
