//! `regcert list-clients`: prints the client certificates with their expiry or revocation dates.

use anyhow::Result;
use serde_json::json;
use time::OffsetDateTime;

use super::World;
use crate::deployment::Client;
use crate::pki::date;
use crate::ui;

/// List the client certificates
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert list-clients
  regcert list-clients --json")]
pub struct Args {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let (_store, deployment) = world.look()?;
    let day = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).map(date).unwrap_or_default();
    let state = |client: &Client| match client.revoked {
        Some(at) => format!("revoked {}", day(at)),
        None if client.until < world.now.unix_timestamp() => format!("over since {}", day(client.until)),
        None => format!("until {}", day(client.until)),
    };
    if args.json {
        let clients = deployment.state.clients.iter().map(|client| {
            json!({
                "name": client.name,
                "serial": client.serial,
                "until": day(client.until),
                "revoked": client.revoked.map(day),
            })
        });
        ui::data(clients.collect::<serde_json::Value>().to_string())?;
        return Ok(());
    }
    for client in &deployment.state.clients {
        ui::data(format!("{:<20}  {}  {}", client.name, client.serial, state(client)))?;
    }
    Ok(())
}
