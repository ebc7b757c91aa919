//! The only way to write: regcert stages a change durably, commits it with one rename, and then moves the files to
//! their places. The next command finishes a committed change and discards an uncommitted one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::disk::{make_dir, make_dirs, sync_dir};
use super::standing;
use super::tree::{Tree, not_a_directory};
use super::{DIGESTS, OWN, Store, is_written};
use crate::error::Fault;
use crate::files::{Action, Change, Mode, Part, RelPath};
use crate::front::{self, NGINX_CONF};
use crate::names::{printable, shell};
use crate::settings::{Data, RunAs};

/// The path of a new directory until the directory has its mode and owner.
const FRESH: &str = ".regcert/directory";
/// The directory in which regcert prepares a change.
const STAGING: &str = ".regcert/staging";
/// The directory of a committed change. Committing a change renames `STAGING` to this path.
const STAGED: &str = ".regcert/staged";
const MANIFEST: &str = ".regcert/staged/manifest.json";

/// The position of a file in the order of writing. A configuration comes after the files that it names. The Compose
/// file, which starts the containers, comes last.
fn rank(path: &str) -> u8 {
    let part = Part::of(path);
    let orders = [part == Part::Engine, path == NGINX_CONF, part == Part::Front, part.names_others()];
    orders.iter().position(|is| *is).map_or(0, |at| [5, 3, 2, 4][at])
}

/// The position of a temporary nginx.conf that contains the whole configuration: before the files that it replaces.
const BRIDGE: u8 = 1;

/// The redo log. Finishing a change moves file `n` of the staged directory to `put[n]`, and removes the files in
/// `remove`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Manifest {
    put: Vec<String>,
    remove: Vec<String>,
}

impl Store {
    /// Writes either the whole change or nothing.
    pub fn commit(&mut self, change: &Change, run_as: RunAs, data: &Data) -> Result<()> {
        if self.lock.is_none() {
            self.found()?;
        }
        self.check_owner(change, run_as)?;
        self.make_data(data, run_as)?;
        let tree = self.tree();
        tree.make_dir(STAGING, 0o700, None)?;
        let prepared = self.stage(change, run_as).and_then(|()| self.make_parents(change));
        if let Err(error) = prepared {
            // Ignores a failure: the next run discards the directory too.
            _ = tree.remove_all(STAGING);
            return Err(error);
        }
        tree.rename(STAGING, STAGED).map_err(|e| tree.fault(e, STAGING, "cannot be renamed"))?;
        let finished = tree.sync(OWN).and_then(|()| self.finish());
        finished.map_err(|error| {
            let hint =
                "the change is decided: mend the cause and run any regcert command here, which finishes it";
            anyhow::Error::new(Fault::new(format!("{error:#}")).hint(hint))
        })
    }

    fn tree(&self) -> &Tree {
        self.tree.as_ref().expect("the directory is there once it is locked")
    }

    /// Creates the parent directories of every file, while the change can still be abandoned.
    fn make_parents(&self, change: &Change) -> Result<()> {
        let written = change.with(Action::Added).chain(change.with(Action::Changed));
        written.into_iter().flat_map(RelPath::parents).try_for_each(|parent| self.make_parent(parent))
    }

    fn make_parent(&self, parent: &str) -> Result<()> {
        match self.tree().find(parent)? {
            Some(found) if found.kind.is_dir() => Ok(()),
            Some(_) => bail!(not_a_directory(&self.tree().at(parent))),
            None => {
                let owner = self.owner(Mode::Public, RunAs { uid: 0, gid: 0 })?;
                self.place_dir(parent, 0o755, owner)
            }
        }
    }

    /// Creates a directory that appears with its final mode and owner, or not at all.
    fn place_dir(&self, path: &str, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
        let tree = self.tree();
        tree.remove_all(FRESH)?;
        tree.make_dir(FRESH, mode, owner)?;
        tree.rename(FRESH, path).map_err(|e| tree.fault(e, path, "cannot be made"))
    }

    /// Writes every changed file to the staging directory, durably and with its final mode and owner.
    fn stage(&self, change: &Change, run_as: RunAs) -> Result<()> {
        let tree = self.tree();
        let mut put: Vec<String> = Vec::new();
        for (path, bytes, mode) in self.in_order(change) {
            let staged = format!("{STAGING}/{}", put.len());
            tree.write_new(&staged, &bytes, mode, self.owner(mode, run_as)?)?;
            tree.date_after(&staged, path)?;
            put.push(path.to_owned());
        }
        let digests = serde_json::to_vec_pretty(&change.digests).expect("text by text is JSON");
        let staged = format!("{STAGING}/{}", put.len());
        tree.write_new(&staged, &digests, Mode::Secret, self.owner(Mode::Secret, run_as)?)?;
        put.push(DIGESTS.to_owned());
        // Files are removed in the reverse order: a configuration before the files that it names.
        let mut removed: Vec<_> = change.with(Action::Removed).collect();
        removed.sort_by_key(|path| std::cmp::Reverse(rank(path.as_str())));
        let manifest = Manifest { put, remove: removed.into_iter().map(RelPath::to_string).collect() };
        let manifest = serde_json::to_vec(&manifest).expect("a list of paths is JSON");
        tree.write_new(&format!("{STAGING}/manifest.json"), &manifest, Mode::Secret, None)?;
        tree.sync(STAGING)
    }

    /// The files to write, in order. If several files of nginx's configuration change, nginx.conf temporarily
    /// contains the whole new configuration. A running nginx therefore loads the old configuration or the new one,
    /// but never a mixture.
    fn in_order<'c>(&self, change: &'c Change) -> Vec<(&'c str, Cow<'c, [u8]>, Mode)> {
        let on_disk = |path: &str| self.tree().read(path).ok();
        let text = |path: &str| on_disk(path).and_then(|bytes| String::from_utf8(bytes).ok());
        let mut all = Vec::new();
        for path in change.with(Action::Added).chain(change.with(Action::Changed)) {
            let file = change.files.get(path.as_str()).expect("what is written is wanted");
            assert!(is_written(path), "`{path}` is not among what regcert writes");
            all.push((rank(path.as_str()), path.as_str(), Cow::from(&file.bytes), file.mode));
        }
        if let Some(bridge) = front::bridge(change, &text) {
            all.push((BRIDGE, NGINX_CONF, Cow::from(bridge.into_bytes()), Mode::Public));
            if !all.iter().any(|(rank, path, ..)| *rank != BRIDGE && *path == NGINX_CONF) {
                let kept = on_disk(NGINX_CONF).expect("the bridge was made of it");
                all.push((rank(NGINX_CONF), NGINX_CONF, Cow::from(kept), Mode::Public));
            }
        }
        all.sort_by_key(|(rank, ..)| *rank);
        all.into_iter().map(|(_, path, bytes, mode)| (path, bytes, mode)).collect()
    }

    /// Discards a change that was only staged, and finishes a committed one. Can be interrupted at any point and run
    /// again.
    pub(super) fn finish(&self) -> Result<()> {
        let tree = self.tree();
        tree.remove_all(STAGING)?;
        tree.remove_all(FRESH)?;
        let Some(staged) = tree.find(STAGED)? else {
            return Ok(());
        };
        ensure!(staged.kind.is_dir(), not_a_directory(&tree.at(STAGED)));
        // The redo log is executed, so the user who runs regcert must own it.
        let me = rustix::process::geteuid().as_raw();
        if staged.uid != me || staged.mode & 0o022 != 0 {
            let at = tree.at(STAGED);
            let hint = format!(
                "run a regcert command as that user, or remove what an interrupted run had decided: `rm -r {}`",
                shell(&at.display().to_string())
            );
            bail!(
                Fault::new(format!(
                    "`{}` belongs to user {}, or others can write to it",
                    at.display(),
                    staged.uid
                ))
                .hint(hint)
            );
        }
        if tree.exists(MANIFEST)? {
            let manifest: Manifest = serde_json::from_slice(&tree.read(MANIFEST)?).map_err(|e| {
                let hint =
                    format!("it says what an interrupted run had decided; bring `{OWN}` back from a backup");
                Fault::new(format!("`{}` is damaged: {e}", tree.at(MANIFEST).display())).hint(hint)
            })?;
            self.apply(&manifest)?;
            tree.remove_file(MANIFEST).map_err(|e| tree.fault(e, MANIFEST, "cannot be removed"))?;
        }
        tree.remove_all(STAGED)
    }

    fn apply(&self, manifest: &Manifest) -> Result<()> {
        let tree = self.tree();
        let ours = |path: &String| {
            RelPath::new(path.clone()).filter(is_written).ok_or_else(|| {
                Fault::new(format!(
                    "`{}` names `{}`, which regcert does not write",
                    tree.at(MANIFEST).display(),
                    printable(path)
                ))
                .hint(format!("another program made it: remove `{}`", tree.at(STAGED).display()))
            })
        };
        // Checks all paths before moving the first file.
        let put = manifest.put.iter().map(ours).collect::<Result<Vec<_>, _>>()?;
        let remove = manifest.remove.iter().map(ours).collect::<Result<Vec<_>, _>>()?;
        let mut touched = BTreeSet::from([String::new()]);
        for (n, path) in put.iter().enumerate() {
            for parent in path.parents() {
                self.make_parent(parent)?;
                touched.insert(parent.to_owned());
            }
            match tree.rename(&format!("{STAGED}/{n}"), path.as_str()) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && tree.exists(path.as_str())? => {}
                other => other.map_err(|e| tree.fault(e, path.as_str(), "cannot be written"))?,
            }
        }
        for path in &remove {
            match tree.remove_file(path.as_str()) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(|e| tree.fault(e, path.as_str(), "cannot be removed"))?,
            }
            let left = self.prune(path, &mut touched);
            touched.insert(left);
        }
        touched.iter().try_for_each(|dir| tree.sync(dir))
    }

    /// Removes directories that are empty after a file was removed, because an empty directory would mislead a user
    /// who copies it. Keeps directories directly below the registry's directory, because containers mount them.
    /// Returns the innermost remaining directory.
    fn prune(&self, removed: &RelPath, touched: &mut BTreeSet<String>) -> String {
        let mut parents: Vec<_> = removed.parents().collect();
        while let Some(parent) = parents.pop() {
            let gone = !parents.is_empty()
                && match self.tree().remove_dir(parent) {
                    Ok(()) => true,
                    Err(e) => e.kind() == io::ErrorKind::NotFound,
                };
            if !gone {
                return parent.to_owned();
            }
            touched.remove(parent);
        }
        String::new()
    }

    /// Creates the directory of a new registry and locks it.
    fn found(&mut self) -> Result<()> {
        if self.tree.is_none() {
            let parent =
                self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            make_dirs(parent).with_context(|| format!("`{}` cannot be made", parent.display()))?;
            match make_dir(&self.dir, 0o755) {
                Err(_) if self.dir.is_dir() => {}
                other => other?,
            }
            sync_dir(parent)?;
            self.tree = Tree::open(&self.dir)?;
        }
        let tree = self.tree();
        let itself = tree.itself()?;
        match tree.make_dir(OWN, 0o700, None) {
            Ok(()) => {}
            Err(_) if tree.find(OWN)?.is_some_and(|own| own.kind.is_dir()) => {}
            Err(error) => return Err(error),
        }
        standing::check(&self.dir, itself, tree.find(OWN)?)?;
        tree.sync("")?;
        self.lock(|| ())?;
        if self.tree().exists(DIGESTS)? {
            bail!(
                Fault::new(format!("another regcert made a registry in `{}` just now", self.dir.display()))
                    .hint("run the command again")
            )
        }
        Ok(())
    }

    /// Creates the directory for the images, because Docker would create it with root as the owner.
    fn make_data(&self, data: &Data, run_as: RunAs) -> Result<()> {
        let Data::Directory(path) = data else {
            return Ok(());
        };
        let owner = self.owner(Mode::Server, run_as)?;
        if path.starts_with("./") {
            let parts = Path::new(path).components().skip(1).map(|part| part.as_os_str().to_string_lossy());
            let below =
                RelPath::new(parts.collect::<Vec<_>>().join("/")).expect("it was checked when it was read");
            // A symbolic link here is the user's own choice of another disk.
            if self.dir.join(below.as_str()).exists() || self.tree().exists(below.as_str())? {
                return Ok(());
            }
            below.parents().try_for_each(|parent| self.make_parent(parent))?;
            return self.place_dir(below.as_str(), 0o750, owner);
        }
        let path = Path::new(path);
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        let parent = path.parent().expect("a data directory is not the root");
        make_dirs(parent).with_context(|| format!("`{}` cannot be made", parent.display()))?;
        // Creates the directory in its place: regcert could not rename a directory to another file system.
        make_dir(path, 0o750)?;
        let Some((uid, gid)) = owner else {
            return Ok(());
        };
        lchown(path, Some(uid), Some(gid))
            .with_context(|| format!("`{}` cannot be given to user {uid}", path.display()))
    }
}
