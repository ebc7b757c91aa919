//! `regcert csr`: creates a certificate signing request for an external authority.

use anyhow::Result;

use super::{MAKE_ONE, World, busy_with_keys};
use crate::deployment::Mends;
use crate::files::{Edits, Part};
use crate::pki::PrivateKey;
use crate::ui;

/// Make a key and a certificate signing request for an external authority
///
/// The request has the names of regcert.toml, whether they are applied or not. What is served goes on until
/// `regcert import-cert` brings the answer, which applies them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert csr")]
pub struct Args {}

pub fn run(_: &Args, world: &World) -> Result<()> {
    let (mut store, loaded) = world.find(MAKE_ONE, Mends::Request)?;
    let mut deployment = loaded.known();
    // Reuses the key of a pending request, which an authority may be signing now.
    let waiting = deployment.pending.take().map(|pending| pending.key);
    if waiting.is_none() {
        busy_with_keys(deployment.spec.key_type);
    }
    let key = waiting.unwrap_or_else(|| PrivateKey::generate(deployment.spec.key_type));
    deployment.request(key)?;
    // Writes only the request: an edit of regcert.toml stays unapplied.
    let change =
        world.compare(&store, &deployment, Edits::Keep)?.only(|path| Part::of(path) == Part::Request);
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
    let names: Vec<_> = deployment.asked().names().iter().map(ToString::to_string).collect();
    ui::say(format!("{} asks for {}", deployment.request_path(), names.join(", ")));
    ui::say("have it signed, then run `regcert import-cert FILE` with what comes back");
    Ok(())
}
