//! `regcert list-users`: prints the users with their roles and repositories.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::World;
use crate::auth::Access;
use crate::settings::Proxy;
use crate::ui;

/// List the users with their roles and repositories
///
/// JSON is an array of {"name", "role", "repositories", "can_log_in"}; without nginx there are no roles, and role and
/// repositories are null.
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

pub fn run(args: &Args, world: &World) -> Result<()> {
    let (_store, deployment) = world.look()?;
    let users = deployment.users.names().into_iter().map(|name| (deployment.state.access.of(&name), name));
    let locked_out: BTreeMap<_, _> = deployment.locked_out().into_iter().collect();
    // Without nginx there are no roles.
    let has_roles = deployment.spec.proxy == Proxy::Nginx;
    if args.json {
        let user = |(access, name): (Access, String)| {
            let access = has_roles.then_some(access);
            let (role, repositories) = access.map(|access| (access.role, access.repositories)).unzip();
            let can_log_in = !locked_out.contains_key(&name);
            json!({ "name": name, "role": role, "repositories": repositories, "can_log_in": can_log_in })
        };
        return ui::data(json!(users.map(user).collect::<Vec<_>>()).to_string());
    }
    let users: Vec<_> = users.collect();
    let width = users.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
    users.iter().try_for_each(|(Access { role, repositories }, name)| {
        let locked = locked_out.get(name).map(|why| format!("  (cannot log in: {why})")).unwrap_or_default();
        ui::data(if has_roles {
            format!("{name:<width$}  {:<5}  {repositories}{locked}", role.to_string())
        } else {
            format!("{name}{locked}")
        })
    })
}
