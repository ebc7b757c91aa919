//! `regcert rotate`: renews the server certificate, or replaces the root in two steps.

use std::process::ExitCode;

use anyhow::Result;

use super::{MAKE_ONE, World, Writing, busy_with_keys};
use crate::deployment::{Deployment, Mends, ServerKey};
use crate::error::{Blame, Fault, Gather};
use crate::guide::News;
use crate::health::{self, Due, SERVER_DAYS};
use crate::names::{Subtree, printable};
use crate::pki::{date, days_until, when};
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
    /// For a timer: renew what is due, and nothing else
    ///
    /// A server certificate within --within of its end; the authority for client certificates; a root in its last year,
    /// whose replacement begins as with `rotate --ca`. Exit code 3: something ends soon that a person has to renew.
    #[arg(long, conflicts_with = "ca")]
    if_due: bool,
    /// How close to its end a certificate is due [default: 30d, or a third of its life where that is less]
    #[arg(long, value_name = "DAYS", requires = "if_due")]
    within: Option<String>,
    /// Keep the server's key, for clients that have pinned it
    #[arg(long, conflicts_with = "ca")]
    keep_key: bool,
    #[command(flatten)]
    writing: Writing,
}

pub fn run(args: &Args, world: &World) -> Result<ExitCode> {
    let mut gather = Gather::default();
    let within = args.within.as_deref().and_then(|within| gather.take("--within", days(within)));
    let permit: Vec<Subtree> =
        args.permit.iter().filter_map(|tree| gather.take("--permit", tree.parse())).collect();
    gather.finish(Blame::CommandLine)?;
    let due = if args.if_due { Some(due(within, world)?) } else { None };
    if due == Some(Due::Nothing) {
        return left_to_a_person(within, world);
    }
    let ca = args.ca || due == Some(Due::Root);
    if args.finish && !args.writing.dry_run && !agrees_to_finish(args, world)? {
        ui::say("nothing was changed");
        return Ok(ExitCode::SUCCESS);
    }
    let (mut store, mut deployment) = world.able_to_sign(|| {
        let (store, loaded) = world.find(MAKE_ONE, Mends::Derived { force: false })?;
        Ok((store, loaded.in_force()?))
    })?;
    if !args.keep_key {
        busy_with_keys(deployment.spec.key_type);
    }
    match (ca, args.finish) {
        (true, false) => deployment.begin_rotation(&permit, world.now)?,
        (true, true) => _ = deployment.finish_rotation(world.now)?,
        (false, _) => {
            let key = if args.keep_key { ServerKey::Keep } else { ServerKey::New };
            // The authority for clients is regcert's own, even if an external authority signs the server certificate.
            if due != Some(Due::Clients) {
                deployment.authority()?;
            }
            deployment.reconfigure(deployment.spec.clone(), key, world.now)?;
        }
    }
    let written = args.writing.apply(world, &mut store, &deployment, &News::default(), None, |_| Ok(()))?;
    if ca && written.is_some() {
        ui::say(crate::guide::rotated(&deployment, &world.words, args.finish));
    }
    drop(store);
    if args.if_due { left_to_a_person(within, world) } else { Ok(ExitCode::SUCCESS) }
}

/// Determines the certificate that `rotate --if-due` must renew. Prints a line if nothing or the root is due.
fn due(within: Option<i64>, world: &World) -> Result<Due> {
    let (_store, deployment) = world.open()?;
    let due = health::due(&deployment, within, world.now);
    let until = deployment.served_until();
    match (&due, until) {
        (Due::Nothing, None) => {
            ui::say("nothing is due: a signing request waits for the external authority");
        }
        (Due::Nothing, Some(until)) => ui::say(format!(
            "nothing is due: the server certificate lasts until {}, {} days left",
            date(until),
            days_until(until, world.now)
        )),
        (Due::Root, _) => {
            let end = deployment.root_until().map(|end| when(end, world.now)).unwrap_or_default();
            ui::warn(format!(
                "the root certificate {end}: its replacement begins now, and clients have until then to take the new root"
            ));
        }
        (Due::Server | Due::Clients, _) => {}
    }
    Ok(due)
}

/// Warns, and returns exit code 3, if a certificate ends soon that a timer cannot renew.
fn left_to_a_person(within: Option<i64>, world: &World) -> Result<ExitCode> {
    let (_store, deployment) = world.open()?;
    Ok(match health::ends_within(&deployment, within.unwrap_or(SERVER_DAYS), world.now) {
        Some(finding) => {
            ui::warn(format!("{}: {}", finding.message, finding.cure));
            ExitCode::from(3)
        }
        None => ExitCode::SUCCESS,
    })
}

/// Warns which clients lose access when the rotation ends, and asks for confirmation on a terminal. Does not hold the
/// lock meanwhile.
fn agrees_to_finish(args: &Args, world: &World) -> Result<bool> {
    let (_, deployment) = world.open()?;
    let Some(retiring) = &deployment.retiring else {
        // The next step fails and explains why.
        return Ok(true);
    };
    if retiring.root.validity.not_after < world.now {
        // No client accepts the old root any more.
        return Ok(true);
    }
    ui::warn(format!(
        "clients that trust only the old root, SHA-256 {}, refuse the registry from its next reload on",
        retiring.root.fingerprint()
    ));
    if args.yes || !ui::can_ask() {
        return Ok(true);
    }
    ui::confirm("Does every client have the new root? Drop the old one?")
}

/// Warns if the server certificate lasts for fewer days than the settings say, because its authority ends earlier.
pub(super) fn warn_if_cut(deployment: &Deployment) {
    let (Some(server), Ok(authority)) = (&deployment.server, deployment.authority()) else {
        return;
    };
    let (days, asked) = (server.leaf().validity.days(), i64::from(deployment.spec.days));
    if days < asked && server.leaf().validity.not_after == authority.ends() {
        ui::warn(format!(
            "the server certificate lasts {days} days and not {asked}, because its authority ends on {}: `regcert rotate --ca --reload` begins to replace the root",
            date(authority.ends())
        ));
    }
}

/// Parses a number of days: `30d` or `30`.
fn days(text: &str) -> Result<i64, Fault> {
    let days = text.strip_suffix('d').unwrap_or(text).parse::<u16>();
    days.map(i64::from).map_err(|_| {
        Fault::new(format!("`{}` is no number of days", printable(text))).hint("write it as `30d`")
    })
}
