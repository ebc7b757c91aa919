//! A configuration of nginx that was edited by hand and stays: the other files must fit it. Reads it; writes nothing.

use anyhow::Result;

use super::World;
use crate::auth::PasswordFiles;
use crate::deployment::Deployment;
use crate::files::{Action, Edits, FileSet, Part, utf8};
use crate::front;
use crate::health::Found;
use crate::store::{self, Store};

impl World {
    /// The files of the registry, which depend on what nginx's configuration knows if it was edited by hand and stays.
    pub(super) fn files(&self, store: &Store, deployment: &Deployment, edits: Edits) -> Result<FileSet> {
        Ok(match self.kept_configuration(store, deployment, edits)? {
            Some(configuration) => deployment.files_beside(&configuration, &self.site)?,
            None => deployment.files(&self.site)?,
        })
    }

    /// A file of the directory as text; `None` where it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match store::look(&self.dir.join(path)) {
            Found::File { bytes, .. } => {
                utf8(&bytes).ok().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            }
            Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => None,
        }
    }

    /// nginx's configuration on the disk, if a part of it was edited by hand and stays, and if it knows less of users than
    /// one that regcert writes now.
    fn kept_configuration(
        &self,
        store: &Store,
        deployment: &Deployment,
        edits: Edits,
    ) -> Result<Option<String>> {
        let on_disk = front::whole(&|path| self.text(path));
        if on_disk.is_none_or(|text| front::password_files(&text) == PasswordFiles::ByAccess) {
            return Ok(None);
        }
        let change = store.compare(deployment.files(&self.site)?, deployment.spec.run_as, edits, None)?;
        let is_kept = change.with(Action::EditedByHand).any(|path| path.part() == Part::Front);
        if !is_kept {
            return Ok(None);
        }
        // What is left after the change: perhaps a file that is written again has what was missing.
        let after = front::whole(&|path| match change.files.text(path) {
            Some(text) if !change.with(Action::EditedByHand).any(|edited| edited.as_str() == path) => {
                Some(text.to_owned())
            }
            Some(_) | None => self.text(path),
        });
        Ok(after.filter(|text| front::password_files(text) == PasswordFiles::OneForAll))
    }

    /// Whether a configuration of nginx stays that was edited by hand and does not read the roles.
    pub(super) fn keeps_an_nginx_without_roles(
        &self,
        store: &Store,
        deployment: &Deployment,
        edits: Edits,
    ) -> Result<bool> {
        let kept = self.kept_configuration(store, deployment, edits)?;
        Ok(kept.is_some_and(|configuration| !front::reads_roles(&configuration)))
    }
}
