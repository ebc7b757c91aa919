//! `regcert revoke`: a client certificate that counts no longer.

use anyhow::Result;

use super::World;
use crate::files::Action;
use crate::{guide, probe, ui};

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

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<()> {
    let (mut store, mut deployment) = world.open_to_sign()?;
    World::settled(&deployment)?;
    let revoked = deployment.revoke(&args.which, world.now)?;
    let change = world.commit(&mut store, &deployment)?;
    for client in &revoked {
        ui::say(format!("revoked {}, serial number {}", client.name, client.serial));
    }
    if revoked.is_empty() {
        ui::say("it was revoked before");
    }
    let steps = guide::steps(&deployment, &change);
    let served = change.with(Action::Changed).any(|path| path.as_str() == "nginx/ssl/clients.crl");
    match (&deployment.server, deployment.root(), served) {
        (Some(server), Some(root), true) if args.reload => {
            ui::busy("nginx takes the new list");
            probe::reload(&world.dir, &steps, &deployment.spec, root, server.leaf())?;
            ui::say("reloaded: nginx refuses it from now on");
        }
        (_, _, true) => ui::say(guide::take(&world.dir, &steps)),
        (_, _, false) => {}
    }
    Ok(())
}
