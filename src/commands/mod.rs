//! One file per verb: its arguments and what it does, in terms of the values below. What they share stands here.

pub mod add_user;
pub mod init;
pub mod list_users;
pub mod password;
pub mod remove_user;

use std::path::PathBuf;

use anyhow::Result;
use time::OffsetDateTime;

use crate::deployment::Deployment;
use crate::error::Fault;
use crate::files::{Change, Edits};
use crate::spec::RunAs;
use crate::store::Store;

/// What `main` asked the machine for.
#[derive(Debug)]
pub struct World {
    /// The one clock reading of this run.
    pub now: OffsetDateTime,
    /// Who runs regcert.
    pub invoker: RunAs,
    /// The registry's directory.
    pub dir: PathBuf,
}

impl World {
    /// The registry in the directory, which must be there.
    fn open(&self) -> Result<(Store, Deployment)> {
        let store = Store::open(&self.dir)?;
        let deployment = Deployment::load(&store.read()?, self.invoker)?.ok_or_else(|| {
            Fault::new(format!("there is no registry in `{}`", self.dir.display()))
                .hint("make one with `regcert init`, or name its directory with -C")
        })?;
        Ok((store, deployment))
    }
}

/// Writes what differs between the disk and the registry.
fn commit(store: &mut Store, deployment: &Deployment, edits: Edits) -> Result<Change> {
    let run_as = deployment.spec.run_as;
    let change = store.compare(deployment.files()?, run_as, edits)?;
    store.commit(&change, run_as, &deployment.spec.data)?;
    Ok(change)
}
