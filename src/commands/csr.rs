//! `regcert csr`: a request for an external authority.

use anyhow::Result;

use super::{World, busy_with_keys};
use crate::pki::PrivateKey;
use crate::ui;

/// Make a key and a certificate signing request for an external authority
///
/// What is served goes on until `regcert import-cert` brings the answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert csr")]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args, world: &World) -> Result<()> {
    let (mut store, mut deployment) = world.open()?;
    // The key of a request that is perhaps being signed at this moment stays.
    let waiting = deployment.pending.take().map(|pending| pending.key);
    if waiting.is_none() {
        busy_with_keys(deployment.spec.key_type);
    }
    let key = waiting.unwrap_or_else(|| PrivateKey::generate(deployment.spec.key_type));
    deployment.request(key)?;
    world.commit(&mut store, &deployment)?;
    let names: Vec<_> = deployment.spec.names().iter().map(ToString::to_string).collect();
    ui::say(format!("{} asks for {}", deployment.request_path(), names.join(", ")));
    ui::say("have it signed, then run `regcert import-cert FILE` with what comes back");
    Ok(())
}
