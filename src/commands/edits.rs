//! Files that were edited by hand, and whether a change reaches them: a command whose change does not reach every file that
//! it concerns fails before it writes anything.

use anyhow::{Result, bail};

use super::World;
use crate::deployment::{Deployment, IGNORED, Loaded, Mends};
use crate::error::{Blame, Fault, Faults};
use crate::files::{Action, Change, Edits, FileSet, RelPath};
use crate::health::{self, Found, Ill};
use crate::settings::Settings;
use crate::store::{self, Store};
use crate::ui;

impl World {
    /// The files that were edited by hand and are kept, as they are on the disk. A .gitignore of the user's own is as it
    /// should be, and the copy of the certificate is read by no program.
    pub(super) fn edited(&self, deployment: &Deployment, change: &Change) -> Vec<(String, Vec<u8>)> {
        let counts =
            |path: &&RelPath| path.as_str() != IGNORED && path.as_str() != deployment.certificate_path();
        let read = |path: &RelPath| match store::look(&self.dir.join(path.as_str())) {
            Found::File { bytes, .. } => Some((path.as_str().to_owned(), bytes)),
            Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => None,
        };
        change.with(Action::EditedByHand).filter(counts).filter_map(read).collect()
    }

    /// The files as the settings last applied make them; `None` on a first run, or where those settings are not known.
    pub(super) fn before(&self, store: &Store) -> Result<Option<(Settings, FileSet)>> {
        let loaded = self.load(store, Mends::Derived { force: true }).ok().flatten();
        let Some(Ok(old)) = loaded.map(Loaded::in_force) else {
            return Ok(None);
        };
        let files = self.files(store, &old, Edits::Keep)?;
        Ok(Some((old.spec, files)))
    }

    /// Fails where a file that was edited by hand stays without this change. `rewrites` says how the file is rewritten.
    pub(super) fn reaches(
        &self,
        store: &Store,
        deployment: &Deployment,
        change: &Change,
        rewrites: &str,
    ) -> Result<()> {
        let edited = self.edited(deployment, change);
        if edited.is_empty() {
            return Ok(());
        }
        let unreached: Vec<_> = match self.before(store)? {
            Some((spec, before)) => edited
                .iter()
                // A renewal, and a new root, must not fail over a file for clients: `status` warns of it.
                .filter(|(path, _)| spec != deployment.spec || !for_clients(path))
                .filter_map(|(path, bytes)| {
                    let (before, after) = (before.get(path), change.files.get(path)?);
                    let before = before.map_or(&[][..], |before| &before.bytes);
                    health::unreached(path, bytes, before, &after.bytes)
                })
                .collect(),
            None => health::swallowed(deployment, &self.site, &edited)?
                .into_iter()
                .map(|(file, _)| file)
                .collect(),
        };
        let faults: Vec<_> = unreached.iter().map(|file| file.fault(rewrites)).collect();
        if faults.is_empty() { Ok(()) } else { bail!(Faults { faults, blame: Blame::Elsewhere }) }
    }

    /// Shows what a rewrite of edited files takes away.
    pub(super) fn show_edits(&self, store: &Store, deployment: &Deployment) -> Result<()> {
        let kept = self.compare(store, deployment, Edits::Keep)?;
        let edited = self.edited(deployment, &kept);
        if edited.is_empty() {
            return Ok(());
        }
        let before = self.before(store)?;
        for (path, bytes) in &edited {
            let written =
                before.as_ref().and_then(|(_, before)| before.get(path)).or_else(|| kept.files.get(path));
            let lines = written.map(|file| health::edit(path, bytes, &file.bytes)).unwrap_or_default();
            ui::edit(path, &lines);
        }
        Ok(())
    }

    /// The files of the directory that are not as regcert writes them.
    pub(super) fn ill(&self, deployment: &Deployment) -> Result<Vec<(String, Ill)>> {
        let change = self.compare(&self.store()?, deployment, Edits::Keep)?;
        let ill = |(path, action): &(RelPath, Action)| match action {
            Action::EditedByHand => Some((path.as_str().to_owned(), Ill::Edited)),
            Action::Added | Action::Changed => Some((path.as_str().to_owned(), Ill::Due)),
            Action::Unchanged | Action::Removed => None,
        };
        Ok(change.actions.iter().filter_map(ill).collect())
    }
}

/// Whether a file only tells clients what to trust.
fn for_clients(path: &str) -> bool {
    path.starts_with("trust/") || path.starts_with("nginx/www/")
}

/// Refuses a change that takes files away which a configuration that was edited by hand may name.
pub(super) fn guard(change: &Change) -> Result<()> {
    let configures = |path: &&RelPath| path.as_str().ends_with(".conf") || path.as_str().ends_with(".yml");
    // The roles name the password files of single accesses, and no configuration does.
    let is_named = |path: &RelPath| !path.as_str().starts_with("nginx/auth/limited-");
    let served = |path: &RelPath| {
        path.as_str().contains("/ssl/") || path.as_str().contains("/auth/") && is_named(path)
    };
    let edited = change.with(Action::EditedByHand).find(configures);
    match (edited, change.with(Action::Removed).find(|path| served(path))) {
        (Some(edited), Some(removed)) => bail!(
            Fault::new(format!(
                "`{edited}` was edited by hand and may name `{removed}`, which this change takes away"
            ))
            .hint("`regcert init --force` rewrites it; keep a copy of your edit")
        ),
        (_, _) => Ok(()),
    }
}
