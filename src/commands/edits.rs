//! Handles files that were edited by hand. If such a file lacks a change that concerns the file, the command fails
//! before it writes anything.

use anyhow::{Result, bail};

use super::World;
use crate::deployment::{Deployment, IGNORED, Loaded, Mends};
use crate::error::{Blame, Fault, Faults};
use crate::files::{Action, Change, Edits, FileSet, Part, RelPath};
use crate::front;
use crate::health::{self, Found, Ill};
use crate::settings::Settings;
use crate::store::{self, Store};
use crate::ui;

impl World {
    /// Reads the files that were edited by hand and are kept. Leaves out .gitignore, which the user may change, and
    /// the copy of the certificate, which no program reads.
    pub(super) fn edited(&self, deployment: &Deployment, change: &Change) -> Vec<(String, Vec<u8>)> {
        let counts =
            |path: &&RelPath| path.as_str() != IGNORED && path.as_str() != deployment.certificate_path();
        let read = |path: &RelPath| match store::look(&self.dir.join(path.as_str())) {
            Found::File { bytes, .. } => Some((path.as_str().to_owned(), bytes)),
            Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => None,
        };
        change.with(Action::EditedByHand).filter(counts).filter_map(read).collect()
    }

    /// Renders the files from the settings last applied; `None` on a first run, or if those settings are unknown.
    pub(super) fn before(&self, store: &Store) -> Result<Option<(Settings, FileSet)>> {
        let loaded = self.load(store, Mends::Derived { force: true }).ok().flatten();
        let Some(Ok(old)) = loaded.map(Loaded::in_force) else {
            return Ok(None);
        };
        let files = self.files(store, &old, Edits::Keep)?;
        Ok(Some((old.spec, files)))
    }

    /// Fails if a file that was edited by hand lacks this change. `rewrites` tells the user how to rewrite the file.
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
                // An edited file for clients must not block a renewal or a new root: `status` warns of the file.
                .filter(|(path, _)| spec != deployment.spec || !Part::of(path).is_for_clients())
                .filter_map(|(path, bytes)| health::unreached(path, bytes, &before, &change.files))
                .collect(),
            None => health::swallowed(deployment, &self.site, &edited)?
                .into_iter()
                .map(|(file, _)| file)
                .collect(),
        };
        let faults: Vec<_> = unreached.iter().map(|file| file.fault(rewrites)).collect();
        if faults.is_empty() { Ok(()) } else { bail!(Faults { faults, blame: Blame::Elsewhere }) }
    }

    /// Shows the lines of edited files that a rewrite will remove or restore.
    pub(super) fn show_edits(&self, store: &Store, deployment: &Deployment) -> Result<()> {
        let kept = self.compare(store, deployment, Edits::Keep)?;
        let edited = self.edited(deployment, &kept);
        if edited.is_empty() {
            return Ok(());
        }
        let before = self.before(store)?;
        for (path, bytes) in &edited {
            let before = before.as_ref().map(|(_, before)| before);
            let written = before.filter(|before| before.get(path).is_some()).unwrap_or(&kept.files);
            ui::edit(path, &health::edit(path, bytes, written));
        }
        Ok(())
    }

    /// Fails if the change removes a file that a configuration edited by hand names.
    pub(super) fn guard(&self, change: &Change) -> Result<()> {
        let removed: Vec<_> = change.with(Action::Removed).filter(|path| path.part().is_named()).collect();
        for edited in change.with(Action::EditedByHand).filter(|path| path.part().names_others()) {
            let text = self.text(edited.as_str());
            let names = |path: &&&RelPath| text.as_ref().is_none_or(|text| text.contains(below(path)));
            if let Some(removed) = removed.iter().find(names) {
                bail!(
                    Fault::new(format!(
                        "`{edited}` was edited by hand and names `{removed}`, which this change removes"
                    ))
                    .hint("`regcert init --force` rewrites it; keep a copy of your edit")
                );
            }
        }
        Ok(())
    }

    /// Drops added files that no program would read: an nginx.conf in one piece, from an earlier regcert or from a
    /// user, does not include them.
    pub(super) fn without_unread(&self, change: Change) -> Change {
        if !self.text(front::NGINX_CONF).is_some_and(|text| front::is_in_one_piece(&text)) {
            return change;
        }
        let unread: Vec<_> =
            change.with(Action::Added).filter(|path| path.part() == Part::Front).cloned().collect();
        change.only(|path| !unread.iter().any(|unread| unread.as_str() == path))
    }

    /// Lists the files of the directory that differ from the files that regcert would write.
    pub(super) fn ill(&self, deployment: &Deployment) -> Result<Vec<(String, Ill)>> {
        let change = self.without_unread(self.compare(&self.store()?, deployment, Edits::Keep)?);
        let ill = |(path, action): &(RelPath, Action)| match action {
            Action::EditedByHand => Some((path.as_str().to_owned(), Ill::Edited)),
            // Users may remove their own files.
            Action::Added if path.part() == Part::Local => None,
            Action::Added | Action::Changed => Some((path.as_str().to_owned(), Ill::Due)),
            Action::Unchanged | Action::Removed => None,
        };
        Ok(change.actions.iter().filter_map(ill).collect())
    }
}

/// Strips the first directory from the path, because its path in the containers is different.
fn below(path: &RelPath) -> &str {
    path.as_str().split_once('/').map_or(path.as_str(), |(_, below)| below)
}
