//! An nginx.conf that was edited by hand and stays: the other files must fit it. Reads it; writes nothing.

use anyhow::Result;

use super::World;
use crate::auth::PasswordFiles;
use crate::deployment::{Deployment, NGINX_CONF, password_files, reads_roles};
use crate::files::{Action, Edits, FileSet};
use crate::health::Found;
use crate::store::{self, Store};

impl World {
    /// The files of the registry, which depend on what an nginx.conf knows that was edited by hand and stays.
    pub(super) fn files(&self, store: &Store, deployment: &Deployment, edits: Edits) -> Result<FileSet> {
        Ok(match self.kept_nginx_conf(store, deployment, edits)? {
            Some(nginx_conf) => deployment.files_beside(&nginx_conf, &self.site)?,
            None => deployment.files(&self.site)?,
        })
    }

    /// The nginx.conf that was edited by hand and stays, if it knows less of users than one that regcert writes now.
    fn kept_nginx_conf(
        &self,
        store: &Store,
        deployment: &Deployment,
        edits: Edits,
    ) -> Result<Option<Vec<u8>>> {
        let bytes = match store::look(&self.dir.join(NGINX_CONF)) {
            Found::File { bytes, .. } if password_files(&bytes) == PasswordFiles::OneForAll => bytes,
            Found::File { .. } | Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => {
                return Ok(None);
            }
        };
        let change = store.compare(deployment.files(&self.site)?, deployment.spec.run_as, edits, None)?;
        let stays = change.with(Action::EditedByHand).any(|path| path.as_str() == NGINX_CONF);
        Ok(stays.then_some(bytes))
    }

    /// Whether an nginx.conf stays that was edited by hand and does not read the roles.
    pub(super) fn keeps_an_nginx_without_roles(
        &self,
        store: &Store,
        deployment: &Deployment,
        edits: Edits,
    ) -> Result<bool> {
        Ok(self.kept_nginx_conf(store, deployment, edits)?.is_some_and(|bytes| !reads_roles(&bytes)))
    }
}
