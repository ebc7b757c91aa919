//! `regcert init --start-over`: allows a new root unless this machine shows signs that the old root is in use.

use anyhow::{Result, bail};

use crate::deployment::Deployment;
use crate::error::Fault;
use crate::probe;
use crate::store::Store;

/// Fails if a client may depend on the root.
pub(super) fn unused(old: &Deployment, store: &Store) -> Result<()> {
    let Some(used) = use_of(old, store) else {
        return Ok(());
    };
    bail!(Fault::new(format!("--start-over: {used}")).hint(
        "`regcert rotate --ca` replaces the root while clients go on working, and takes `--permit` as well"
    ))
}

/// Finds a sign on this machine that the registry is already in use; `None` if there is none.
pub(super) fn use_of(old: &Deployment, store: &Store) -> Option<String> {
    if let Some(server) = &old.server
        && probe::is_running(&old.spec.host(), old.spec.https_port, server.leaf())
    {
        return Some("the registry runs".to_owned());
    }
    if store.has_images(&old.spec.data) {
        return Some(format!("there are images in `{}`", old.spec.data));
    }
    let trusted = old.anchors().places().into_iter().find(|place| place.exists())?;
    Some(format!("this machine trusts the root (`{}`)", trusted.display()))
}

/// Adds `--start-over` to the hint if no client depends on the root.
pub(super) fn or_start_over(hint: &str, can: bool) -> String {
    if can {
        format!("{hint}; or, as the registry is not used yet, run this command again with `--start-over`")
    } else {
        hint.to_owned()
    }
}
