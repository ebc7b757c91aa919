//! The one write: staged and made durable, decided by one rename, then put in place. Whoever comes next finishes what was
//! decided and discards what was not.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::disk::{date_after, exists, hand_over, make_dir, make_dirs, read_file, sync, write_new};
use super::{DIGESTS, OWN, Store};
use crate::error::Fault;
use crate::files::{Action, Change, Mode, RelPath};
use crate::spec::{Data, RunAs};

/// Where a directory gets its mode and owner before it appears.
const FRESH: &str = ".regcert/directory";

/// What the redo log says: file `n` of the staged directory goes to `put[n]`; `remove` goes away.
#[derive(serde::Serialize, serde::Deserialize)]
struct Manifest {
    put: Vec<String>,
    remove: Vec<String>,
}

impl Store {
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
        let prepared = self.stage(&staging, change, run_as).and_then(|()| self.make_parents(change));
        if let Err(error) = prepared {
            // Best effort: the next run discards it too.
            _ = fs::remove_dir_all(&staging);
            return Err(error);
        }
        fs::rename(&staging, &staged)
            .with_context(|| format!("`{}` cannot be renamed", staging.display()))?;
        let finished = sync(&self.dir.join(OWN)).and_then(|()| self.finish());
        finished.map_err(|error| {
            let hint =
                "the change is decided: mend the cause and run any regcert command here, which finishes it";
            anyhow::Error::new(Fault::new(format!("{error:#}")).hint(hint))
        })
    }

    /// Makes the directories on the way to every file, while there is still a way back.
    fn make_parents(&self, change: &Change) -> Result<()> {
        let written = change.with(Action::Added).chain(change.with(Action::Changed));
        written
            .into_iter()
            .flat_map(RelPath::parents)
            .try_for_each(|parent| self.make_parent(&self.dir.join(parent)))
    }

    fn make_parent(&self, parent: &Path) -> Result<()> {
        if exists(parent)? {
            return Ok(());
        }
        let owner = self.owner(Mode::Public, RunAs { uid: 0, gid: 0 })?;
        self.place_dir(parent, 0o755, owner)
    }

    /// A directory that appears with its mode and owner, or not at all.
    fn place_dir(&self, path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
        let fresh = self.dir.join(FRESH);
        if exists(&fresh)? {
            fs::remove_dir(&fresh).with_context(|| format!("`{}` cannot be removed", fresh.display()))?;
        }
        make_dir(&fresh, mode)?;
        hand_over(&fresh, owner)?;
        fs::rename(&fresh, path).with_context(|| format!("`{}` cannot be made", path.display()))
    }

    /// Puts everything that is to be written into `staging`, durable, with its final mode and owner.
    fn stage(&self, staging: &Path, change: &Change, run_as: RunAs) -> Result<()> {
        let mut put = Vec::new();
        // A configuration comes after the files it names, and what starts it last: nothing is named that is not there.
        let rank = |path: &&RelPath| match path.as_str() {
            "docker-compose.yml" => 2,
            other => u8::from(other.ends_with(".conf") || other.ends_with(".yml")),
        };
        let mut written: Vec<_> = change.with(Action::Added).chain(change.with(Action::Changed)).collect();
        written.sort_by_key(rank);
        for path in written {
            let file = change.files.get(path.as_str()).expect("what is written is wanted");
            let staged = staging.join(put.len().to_string());
            write_new(&staged, &file.bytes, file.mode, self.owner(file.mode, run_as)?)?;
            date_after(&staged, &path.under(&self.dir))?;
            put.push(path.to_string());
        }
        let digests = serde_json::to_vec_pretty(&change.digests).expect("text by text is JSON");
        write_new(
            &staging.join(put.len().to_string()),
            &digests,
            Mode::Secret,
            self.owner(Mode::Secret, run_as)?,
        )?;
        put.push(DIGESTS.to_owned());
        // The other way round, for the same reason.
        let mut removed: Vec<_> = change.with(Action::Removed).collect();
        removed.sort_by_key(|path| std::cmp::Reverse(rank(path)));
        let manifest = Manifest { put, remove: removed.into_iter().map(RelPath::to_string).collect() };
        let manifest = serde_json::to_vec(&manifest).expect("a list of paths is JSON");
        write_new(&staging.join("manifest.json"), &manifest, Mode::Secret, None)?;
        sync(staging)
    }

    /// Discards what was only staged; finishes what was decided. Safe to stop and begin again at any point.
    pub(super) fn finish(&self) -> Result<()> {
        let staging = self.dir.join(OWN).join("staging");
        if exists(&staging)? {
            fs::remove_dir_all(&staging)
                .with_context(|| format!("`{}` cannot be removed", staging.display()))?;
        }
        let fresh = self.dir.join(FRESH);
        if exists(&fresh)? {
            fs::remove_dir(&fresh).with_context(|| format!("`{}` cannot be removed", fresh.display()))?;
        }
        let staged = self.dir.join(OWN).join("staged");
        if !exists(&staged)? {
            return Ok(());
        }
        let manifest_path = staged.join("manifest.json");
        if exists(&manifest_path)? {
            let manifest: Manifest = serde_json::from_slice(&read_file(&manifest_path)?).map_err(|e| {
                let hint =
                    format!("it says what an interrupted run had decided; bring `{OWN}` back from a backup");
                Fault::new(format!("`{}` is damaged: {e}", manifest_path.display())).hint(hint)
            })?;
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
                self.make_parent(&parent)?;
                touched.insert(parent);
            }
            let (from, to) = (staged.join(n.to_string()), path.under(&self.dir));
            match fs::rename(&from, &to) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && exists(&to)? => {}
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
            let left = self.prune(&path, &mut touched);
            touched.insert(left);
        }
        touched.iter().try_for_each(|dir| sync(dir))
    }

    /// Takes away the directories that a removed file leaves empty: to whoever copies one it would say something. Those
    /// right below the registry's own stay, for containers have them mounted. Returns the innermost that is left.
    fn prune(&self, removed: &RelPath, touched: &mut BTreeSet<PathBuf>) -> PathBuf {
        let mut parents: Vec<_> = removed.parents().map(|parent| self.dir.join(parent)).collect();
        while let Some(parent) = parents.pop() {
            let gone = !parents.is_empty()
                && match fs::remove_dir(&parent) {
                    Ok(()) => true,
                    Err(e) => e.kind() == io::ErrorKind::NotFound,
                };
            if !gone {
                return parent;
            }
            touched.remove(&parent);
        }
        self.dir.clone()
    }

    /// Makes the directory and its lock, for a registry that is new.
    fn found(&mut self) -> Result<()> {
        if !exists(&self.dir)? {
            let parent =
                self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            make_dirs(parent).with_context(|| format!("`{}` cannot be made", parent.display()))?;
            make_dir(&self.dir, 0o755)?;
            sync(parent)?;
        }
        let own = self.dir.join(OWN);
        match make_dir(&own, 0o700) {
            Ok(()) => {}
            Err(_) if own.is_dir() => {}
            Err(error) => return Err(error),
        }
        sync(&self.dir)?;
        self.lock(|| ())?;
        if exists(&self.dir.join(DIGESTS))? {
            bail!(
                Fault::new(format!("another regcert made a registry in `{}` just now", self.dir.display()))
                    .hint("run the command again")
            )
        }
        Ok(())
    }

    /// The directory for the images, before Docker makes it and gives it to root.
    fn make_data(&self, data: &Data, run_as: RunAs) -> Result<()> {
        let Data::Directory(path) = data else {
            return Ok(());
        };
        let path = self.dir.join(path);
        if exists(&path)? {
            return Ok(());
        }
        let parent = path.parent().expect("a data directory is not the root");
        make_dirs(parent).with_context(|| format!("`{}` cannot be made", parent.display()))?;
        let owner = self.owner(Mode::Server, run_as)?;
        if path.starts_with(&self.dir) {
            return self.place_dir(&path, 0o750, owner);
        }
        // Perhaps another file system, where nothing of ours can be moved to.
        make_dir(&path, 0o750)?;
        hand_over(&path, owner)
    }
}
