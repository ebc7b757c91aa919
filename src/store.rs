//! The only disk. One directory, one lock, one way to write: everything is staged and made durable beside its place,
//! one rename decides, and whoever comes next finishes what was decided or discards what was not.
#![allow(clippy::disallowed_methods)] // The one module that may.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Gid, OFlags, Uid};

use crate::error::Fault;
use crate::files::{Action, Change, Digests, Edits, FileSet, Mode, OnDisk, Origin, RelPath};
use crate::pki::{hex, sha256};
use crate::spec::{Data, RunAs};

const OWN: &str = ".regcert";
const DIGESTS: &str = ".regcert/digests.json";

/// What belongs to a registry; nothing else in the directory is looked at.
const READ: [&str; 5] = ["regcert.toml", "nginx", "registry", "root-cert", ".regcert/http-secret"];

/// An htpasswd line is 70 bytes: room for a million users, and no room for a mistake such as a disk image.
const SIZE_MAX: u64 = 64 << 20;

/// How long to wait for another regcert.
const PATIENCE: Duration = Duration::from_secs(30);

/// The output directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    lock: Option<File>,
}

/// What the redo log says: file `n` of the staged directory goes to `put[n]`; `remove` goes away.
#[derive(serde::Serialize, serde::Deserialize)]
struct Manifest {
    put: Vec<String>,
    remove: Vec<String>,
}

impl Store {
    /// Opens the directory, which need not exist yet, waits for its lock, and finishes or discards what an
    /// interrupted run left. Creates nothing where nothing is.
    pub fn open(dir: &Path) -> Result<Self> {
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
        if store.dir.join(OWN).symlink_metadata().is_ok() {
            store.lock()?;
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
            let mut names =
                entries.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
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
                    let owner = mode.and_then(|mode| self.owner(mode, run_as));
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

    /// Writes the change: all of it, or nothing.
    pub fn commit(&mut self, change: &Change, run_as: RunAs, data: &Data) -> Result<()> {
        if self.lock.is_none() {
            self.found()?;
        }
        self.check_owner(change, run_as)?;
        let staging = self.dir.join(OWN).join("staging");
        let staged = self.dir.join(OWN).join("staged");
        self.make_data(data, run_as)?;
        make_dir(&staging, 0o700)?;
        if let Err(error) = self.stage(&staging, change, run_as) {
            // Best effort: the next run discards it too.
            _ = fs::remove_dir_all(&staging);
            return Err(error);
        }
        fs::rename(&staging, &staged)
            .with_context(|| format!("`{}` cannot be renamed", staging.display()))?;
        sync(&self.dir.join(OWN))?;
        self.finish()
    }

    /// Puts everything that is to be written into `staging`, durable, with its final mode and owner.
    fn stage(&self, staging: &Path, change: &Change, run_as: RunAs) -> Result<()> {
        let mut put = Vec::new();
        let written = change.with(Action::Added).chain(change.with(Action::Changed));
        for path in written {
            let file = change.files.get(path.as_str()).expect("what is written is wanted");
            write_new(
                &staging.join(put.len().to_string()),
                &file.bytes,
                file.mode,
                self.owner(file.mode, run_as),
            )?;
            put.push(path.to_string());
        }
        let digests = serde_json::to_vec_pretty(&change.digests).expect("text by text is JSON");
        write_new(
            &staging.join(put.len().to_string()),
            &digests,
            Mode::Secret,
            self.owner(Mode::Secret, run_as),
        )?;
        put.push(DIGESTS.to_owned());
        let manifest =
            Manifest { put, remove: change.with(Action::Removed).map(RelPath::to_string).collect() };
        let manifest = serde_json::to_vec(&manifest).expect("a list of paths is JSON");
        write_new(&staging.join("manifest.json"), &manifest, Mode::Secret, None)?;
        sync(staging)
    }

    /// Discards what was only staged; finishes what was decided. Safe to stop and begin again at any point.
    fn finish(&self) -> Result<()> {
        let staging = self.dir.join(OWN).join("staging");
        if staging.symlink_metadata().is_ok() {
            fs::remove_dir_all(&staging)
                .with_context(|| format!("`{}` cannot be removed", staging.display()))?;
        }
        let staged = self.dir.join(OWN).join("staged");
        if staged.symlink_metadata().is_err() {
            return Ok(());
        }
        let manifest_path = staged.join("manifest.json");
        if manifest_path.symlink_metadata().is_ok() {
            let manifest: Manifest = serde_json::from_slice(&read_file(&manifest_path)?)
                .with_context(|| format!("`{}` cannot be read", manifest_path.display()))?;
            self.apply(&staged, &manifest)?;
            fs::remove_file(&manifest_path)
                .with_context(|| format!("`{}` cannot be removed", manifest_path.display()))?;
        }
        fs::remove_dir_all(&staged).with_context(|| format!("`{}` cannot be removed", staged.display()))
    }

    fn apply(&self, staged: &Path, manifest: &Manifest) -> Result<()> {
        let mut touched = BTreeSet::from([self.dir.clone()]);
        for (n, path) in manifest.put.iter().enumerate() {
            let path =
                RelPath::new(path.clone()).context("the redo log names a path outside the directory")?;
            for parent in path.parents() {
                let parent = self.dir.join(parent);
                if parent.symlink_metadata().is_err() {
                    make_dir(&parent, 0o755)?;
                    self.hand_over(&parent)?;
                }
                touched.insert(parent);
            }
            let (from, to) = (staged.join(n.to_string()), path.under(&self.dir));
            match fs::rename(&from, &to) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && to.symlink_metadata().is_ok() => {}
                other => other.with_context(|| format!("`{}` cannot be written", to.display()))?,
            }
        }
        for path in &manifest.remove {
            let path =
                RelPath::new(path.clone()).context("the redo log names a path outside the directory")?;
            let at = path.under(&self.dir);
            match fs::remove_file(&at) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other.with_context(|| format!("`{}` cannot be removed", at.display()))?,
            }
            touched.extend(at.parent().map(Path::to_owned));
        }
        touched.iter().try_for_each(|dir| sync(dir))
    }

    /// Makes the directory and its lock, for a registry that is new.
    fn found(&mut self) -> Result<()> {
        if self.dir.symlink_metadata().is_err() {
            let parent =
                self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::create_dir_all(parent).with_context(|| format!("`{}` cannot be made", parent.display()))?;
            make_dir(&self.dir, 0o755)?;
            sync(parent)?;
        }
        let own = self.dir.join(OWN);
        match make_dir(&own, 0o700) {
            Ok(()) => self.hand_over(&own)?,
            Err(_) if own.is_dir() => {}
            Err(error) => return Err(error),
        }
        sync(&self.dir)?;
        self.lock()?;
        if self.dir.join(DIGESTS).symlink_metadata().is_ok() {
            bail!(
                Fault::new(format!("another regcert made a registry in `{}` just now", self.dir.display()))
                    .hint("run the command again")
            )
        }
        Ok(())
    }

    fn lock(&mut self) -> Result<()> {
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
        while let Err(error) = file.try_lock() {
            match error {
                fs::TryLockError::WouldBlock if start.elapsed() < PATIENCE => {
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
        self.hand_over(&path)?;
        self.lock = Some(file);
        Ok(())
    }

    fn digests(&self) -> Result<Digests> {
        let path = self.dir.join(DIGESTS);
        match path.symlink_metadata() {
            Err(_) => Ok(Digests::new()),
            Ok(_) => serde_json::from_slice(&read_file(&path)?).map_err(|e| {
                let hint = "remove it: regcert then takes every file for edited by hand, and `--force` writes them anew";
                anyhow::Error::new(Fault::new(format!("`{}` is damaged: {e}", path.display())).hint(hint))
            }),
        }
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
    fn owner(&self, mode: Mode, run_as: RunAs) -> Option<(u32, u32)> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        match mode {
            Mode::Server => Some((run_as.uid, run_as.gid)),
            Mode::Public | Mode::Secret => {
                let metadata = fs::metadata(&self.dir).ok();
                Some(metadata.map_or((0, 0), |metadata| (metadata.uid(), metadata.gid())))
            }
        }
    }

    /// Gives what root makes in somebody's directory to that somebody.
    fn hand_over(&self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.owner(Mode::Secret, RunAs { uid: 0, gid: 0 }) else {
            return Ok(());
        };
        std::os::unix::fs::lchown(path, Some(uid), Some(gid))
            .with_context(|| format!("`{}` cannot be given to user {uid}", path.display()))
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

    /// The directory for the images, before Docker makes it and gives it to root.
    fn make_data(&self, data: &Data, run_as: RunAs) -> Result<()> {
        let Data::Directory(path) = data else {
            return Ok(());
        };
        let path = self.dir.join(path);
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        let parent = path.parent().expect("a data directory is not the root");
        fs::create_dir_all(parent).with_context(|| format!("`{}` cannot be made", parent.display()))?;
        make_dir(&path, 0o750)?;
        if let Some((uid, gid)) = self.owner(Mode::Server, run_as) {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid))
                .with_context(|| format!("`{}` cannot be given to user {uid}", path.display()))?;
        }
        Ok(())
    }

    /// Who owns the directory for the images, where it is there: a registry that runs as somebody else cannot write.
    pub fn data_owner(&self, data: &Data) -> Option<u32> {
        match data {
            Data::Directory(path) => fs::metadata(self.dir.join(path)).ok().map(|metadata| metadata.uid()),
            Data::Volume => None,
        }
    }
}

/// Reads a password or another file that the person named.
pub fn read_given(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let mut bytes = Vec::new();
    file.take(SIZE_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    Ok(bytes)
}

/// A regular file, never through a link, never without end.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("`{}` cannot be read", path.display());
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(|e| {
        if e.kind() == io::ErrorKind::PermissionDenied {
            return anyhow::Error::new(
                Fault::new(cannot()).hint("run regcert as the one who made it, or with sudo"),
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
fn write_new(path: &Path, bytes: &[u8], mode: Mode, owner: Option<(u32, u32)>) -> Result<()> {
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

/// A directory that was not there, with this mode whatever the umask.
fn make_dir(path: &Path, mode: u32) -> Result<()> {
    let make = || -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    make().with_context(|| format!("`{}` cannot be made", path.display()))
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .with_context(|| format!("`{}` cannot be made durable", dir.display()))
}
