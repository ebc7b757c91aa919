//! `regcert list-users`.

use anyhow::Result;
use serde_json::json;

use super::World;
use crate::auth::Access;
use crate::spec::Proxy;
use crate::ui;

/// List the users, with what each may do and where
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
    let users = deployment.users.names().into_iter().map(|name| (deployment.state.access.of(&name), name));
    if args.json {
        let users: Vec<_> = users.map(|(Access { role, repositories }, name)| json!({ "name": name, "role": role, "repositories": repositories })).collect();
        return ui::data(json!(users).to_string());
    }
    let users: Vec<_> = users.collect();
    let width = users.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
    users.iter().try_for_each(|(Access { role, repositories }, name)| {
        ui::data(match deployment.spec.proxy {
            Proxy::Nginx => format!("{name:<width$}  {:<5}  {repositories}", role.to_string()),
            // Without nginx there are no roles.
            Proxy::None => name.clone(),
        })
    })
}
