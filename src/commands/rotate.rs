//! `regcert rotate`: a new server certificate, or in two steps a new root.

use anyhow::Result;

use super::{World, Writing, busy_with_keys};
use crate::deployment::ServerKey;
use crate::error::{Blame, Fault, Gather};
use crate::guide::News;
use crate::health::{self, SERVER_DAYS};
use crate::names::{Subtree, printable};
use crate::pki::date;
use crate::ui;

/// Renew the server certificate, or replace the root
///
/// A new root takes two steps. `rotate --ca` makes it: it signs from then on, the old root vouches for it, and both are
/// in every package below trust/, so that clients with either of them go on working. When every client has the new
/// one, `rotate --ca --finish` drops the old. On a terminal it asks first; a script without a terminal is not asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert rotate --reload
  regcert rotate --if-due --within 30d
  regcert rotate --ca
  regcert rotate --ca --finish
  regcert rotate --ca --finish --yes --reload")]
pub struct Args {
    /// Begin to replace the root
    #[arg(long)]
    ca: bool,
    /// Drop the old root
    #[arg(long, requires = "ca")]
    finish: bool,
    /// Drop it without a question
    #[arg(long, requires = "finish")]
    yes: bool,
    /// Something more that the new root may speak for; may be repeated
    #[arg(long, value_name = "DOMAIN|NETWORK", requires = "ca", conflicts_with = "finish")]
    permit: Vec<String>,
    /// Do nothing while the server certificate lasts longer than --within
    #[arg(long, conflicts_with = "ca")]
    if_due: bool,
    /// How close to its end a certificate is due
    #[arg(long, value_name = "DAYS", default_value = "30d", requires = "if_due")]
    within: String,
    /// Keep the server's key, for clients that have pinned it
    #[arg(long, conflicts_with = "ca")]
    keep_key: bool,
    #[command(flatten)]
    writing: Writing,
}

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let within = gather.take("--within", days(&args.within)).unwrap_or(SERVER_DAYS);
    let permit: Vec<Subtree> =
        args.permit.iter().filter_map(|tree| gather.take("--permit", tree.parse())).collect();
    gather.finish(Blame::CommandLine)?;
    if args.if_due {
        let (_store, deployment) = world.open()?;
        if health::server_is_due(&deployment, within, world.now).is_none() {
            if deployment.server.is_none() {
                ui::say("nothing is due: a signing request waits for the external authority");
                return Ok(());
            }
            let server = deployment.server.as_ref().map(|server| server.leaf());
            let until = server.map(|leaf| {
                format!("{}, {} days left", date(leaf.validity.not_after), health::days_left(leaf, world.now))
            });
            ui::say(format!(
                "nothing is due: the server certificate lasts until {}",
                until.unwrap_or_default()
            ));
            return Ok(());
        }
    }
    if args.finish && !args.writing.dry_run && !agrees_to_finish(args, world)? {
        ui::say("nothing was changed");
        return Ok(());
    }
    let (mut store, mut deployment) = world.open_to_sign()?;
    if !args.keep_key {
        busy_with_keys(deployment.spec.key_type);
    }
    match (args.ca, args.finish) {
        (true, false) => deployment.begin_rotation(&permit, world.now)?,
        (true, true) => _ = deployment.finish_rotation(world.now)?,
        (false, _) => {
            let key = if args.keep_key { ServerKey::Keep } else { ServerKey::New };
            deployment.authority()?;
            deployment.reconfigure(deployment.spec.clone(), key, world.now)?;
        }
    }
    let written = args.writing.apply(world, &mut store, &deployment, &News::default(), None, |_| Ok(()))?;
    if args.ca && written.is_some() {
        ui::say(crate::guide::rotated(&deployment, &world.words));
    }
    Ok(())
}

/// Says which clients the end of a rotation shuts out, and asks where a person is there. No lock is held meanwhile.
fn agrees_to_finish(args: &Args, world: &World) -> Result<bool> {
    let (_, deployment) = world.open()?;
    let Some(retiring) = &deployment.retiring else {
        // The command that follows refuses it, and says why.
        return Ok(true);
    };
    ui::warn(format!(
        "clients that trust only the old root, SHA-256 {}, refuse the registry from its next reload on",
        retiring.root.fingerprint()
    ));
    if args.yes || !ui::can_ask() {
        return Ok(true);
    }
    ui::confirm("Does every client have the new root? Drop the old one?")
}

/// `30d` or `30`, in days.
fn days(text: &str) -> Result<i64, Fault> {
    let days = text.strip_suffix('d').unwrap_or(text).parse::<u16>();
    days.map(i64::from).map_err(|_| {
        Fault::new(format!("`{}` is no number of days", printable(text))).hint("write it as `30d`")
    })
}
