//! `regcert revoke`: revokes a client certificate.

use anyhow::Result;

use super::{World, take};
use crate::{guide, ui};

/// Revoke a client certificate
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert revoke laptop7
  regcert revoke laptop7 --reload")]
pub struct Args {
    /// The name it was issued for, or its serial number, as `regcert list-clients` shows them
    which: String,
    /// Make the running nginx take the new list
    #[arg(long)]
    reload: bool,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let (mut store, mut deployment) = world.able_to_sign(|| world.open())?;
    let revoked = deployment.revoke(&args.which, world.now)?;
    let change = world.commit(&mut store, &deployment)?;
    for client in &revoked {
        ui::say(format!("revoked {}, serial number {}", client.name, client.serial));
    }
    if revoked.is_empty() {
        ui::say("it was revoked before");
    }
    take(world, &deployment, &change, args.reload, |words, steps| {
        guide::take(&deployment, words, &world.project(), steps)
    })
}
