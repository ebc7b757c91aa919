//! `regcert remove-user`: removes a user and the user's role.

use anyhow::{Result, bail};

use super::{World, take, warn_without_admin};
use crate::error::Fault;
use crate::names::printable;
use crate::{guide, ui};

/// Remove a user
///
/// The registry takes the change at the next request: nothing is restarted. Where the user had a role, nginx forgets it
/// with the next reload.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert remove-user bob")]
pub struct Args {
    /// The name, as `regcert list-users` shows it
    pub name: String,
    /// Make the running nginx forget the role as well
    #[arg(long)]
    pub reload: bool,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let (mut store, mut deployment) = world.open()?;
    let had_admin = deployment.has_admin();
    if !deployment.remove_user(&args.name) {
        bail!(
            Fault::new(format!("there is no user `{}`", printable(&args.name)))
                .hint("`regcert list-users` shows who is there")
        );
    }
    let change = world.commit(&mut store, &deployment)?;
    ui::say(format!("removed {0}; the registry refuses {0} from the next request on", args.name));
    if deployment.users.names().is_empty() {
        ui::warn("no user can log in now: `regcert add-user NAME` adds one");
    } else {
        warn_without_admin(&deployment, had_admin);
    }
    take(world, &deployment, &change, args.reload, |words, steps| {
        guide::forget_role(words, &args.name, steps)
    })
}
