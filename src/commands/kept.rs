//! Adapts the other files to an nginx configuration that was edited by hand and is kept. Writes nothing.

use anyhow::Result;

use super::World;
use crate::auth::PasswordFiles;
use crate::deployment::Deployment;
use crate::files::{Action, Edits, FileSet, Part, utf8};
use crate::front;
use crate::health::Found;
use crate::store::{self, Store};

impl World {
    /// Renders the files of the registry. If an edited nginx configuration is kept, uses the password files that the
    /// configuration names.
    pub(super) fn files(&self, store: &Store, deployment: &Deployment, edits: Edits) -> Result<FileSet> {
        Ok(match self.kept_configuration(store, deployment, edits)? {
            Some(configuration) => deployment.files_beside(&configuration, &self.site)?,
            None => deployment.files(&self.site)?,
        })
    }

    /// Reads a file of the directory as text; `None` if the file is missing or unreadable.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match store::look(&self.dir.join(path)) {
            Found::File { bytes, .. } => {
                utf8(&bytes).ok().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            }
            Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => None,
        }
    }

    /// Returns the nginx configuration on the disk if an edited part of it is kept, and if the whole still uses one
    /// password file for all limited users.
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
        // The configuration after the change: a rewritten file may already use a password file for each access.
        let after = front::whole(&|path| match change.files.text(path) {
            Some(text) if !change.with(Action::EditedByHand).any(|edited| edited.as_str() == path) => {
                Some(text.to_owned())
            }
            Some(_) | None => self.text(path),
        });
        Ok(after.filter(|text| front::password_files(text) == PasswordFiles::OneForAll))
    }

    /// Whether a kept nginx configuration that was edited by hand does not read the roles.
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
