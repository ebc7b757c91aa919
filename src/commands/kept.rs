//! Fits the other files to a configuration of nginx that was edited by hand and is kept. Only reads.

use anyhow::Result;

use super::World;
use crate::auth::PasswordFiles;
use crate::deployment::Deployment;
use crate::files::{Action, Edits, FileSet, Part, utf8};
use crate::front;
use crate::health::Found;
use crate::store::{self, Store};

impl World {
    /// The files of the registry. If an edited configuration of nginx is kept, they fit the password files that it
    /// reads.
    pub(super) fn files(&self, store: &Store, deployment: &Deployment, edits: Edits) -> Result<FileSet> {
        Ok(match self.kept_configuration(store, deployment, edits)? {
            Some(configuration) => deployment.files_beside(&configuration, &self.site)?,
            None => deployment.files(&self.site)?,
        })
    }

    /// The contents of a file of the directory; `None` if it is missing or unreadable.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match store::look(&self.dir.join(path)) {
            Found::File { bytes, .. } => {
                utf8(&bytes).ok().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            }
            Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => None,
        }
    }

    /// The configuration of nginx on the disk, if an edited part of it is kept and it still has one password file for
    /// all limited users.
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
        // The configuration after the change: a file that is rewritten may contain what was missing.
        let after = front::whole(&|path| match change.files.text(path) {
            Some(text) if !change.with(Action::EditedByHand).any(|edited| edited.as_str() == path) => {
                Some(text.to_owned())
            }
            Some(_) | None => self.text(path),
        });
        Ok(after.filter(|text| front::password_files(text) == PasswordFiles::OneForAll))
    }

    /// Whether a configuration of nginx is kept that was edited by hand and does not read the roles.
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
