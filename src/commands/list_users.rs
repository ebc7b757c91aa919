//! `regcert list-users`.

use anyhow::Result;

use super::World;
use crate::ui;

/// List the users
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert list-users
  regcert list-users --json")]
pub struct Args {
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<()> {
    let (_store, deployment) = world.open()?;
    let names = deployment.users.names();
    if args.json {
        ui::data(serde_json::json!(names).to_string())?;
    } else {
        names.iter().try_for_each(ui::data)?;
    }
    Ok(())
}
