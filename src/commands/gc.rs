//! `regcert gc`: the room that deleted and replaced images take is given back.

use anyhow::{Result, bail};
use serde_json::json;

use super::World;
use crate::deployment::Deployment;
use crate::error::Fault;
use crate::probe::{Amount, Collector, Garbage, READ_ONLY};
use crate::spec::Proxy;
use crate::store::Store;
use crate::ui;

/// Free the disk space of deleted and replaced images
///
/// What no manifest names any more is removed from the running registry. Meanwhile pushes are refused and pulls go on;
/// nothing is restarted. Requests that began before are waited for. Interrupted in any way, the registry takes pushes
/// again by itself, and the rest waits for the next run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert gc --dry-run
  regcert gc
  regcert gc --delete-untagged")]
pub struct Args {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove images without a tag as well, such as those whose tag was given to another image
    ///
    /// Clients can then no longer pull them by digest. Refused with registry 2 where images for several platforms are stored:
    /// that version takes each platform's image for one without a tag.
    #[arg(long)]
    delete_untagged: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<()> {
    let (store, deployment) = world.open()?;
    let garbage = if args.delete_untagged { Garbage::Untagged } else { Garbage::Unreferenced };
    can_collect(args, &store, &deployment, world)?;
    // Nobody need wait for the collection but another one.
    drop(store);
    ui::busy("looking for what no image needs");
    let containers = Collector::find(world.project(), !args.dry_run)?;
    if args.delete_untagged {
        spares_platforms(&containers)?;
    }
    let (before, found) = (containers.stored()?, containers.garbage(garbage)?);
    if args.dry_run {
        return report(args, before, found, None);
    }
    let collection = world.open()?.0.begin_collection()?;
    let mut result = Ok(());
    let collects = found.blobs > 0;
    if collects {
        ui::say(format!("found {} to remove, of {}", shown(found), shown(before)));
        result = containers.collect(garbage, |step| ui::say(step));
    }
    // Also where there was nothing to do: an earlier run may have been killed.
    containers.take_pushes()?;
    collection.done()?;
    result?;
    if collects {
        ui::say("pushes are taken again");
    }
    report(args, before, found, Some(containers.stored()?))
}

/// Refuses where collecting would do harm or could not be done without.
fn can_collect(args: &Args, store: &Store, deployment: &Deployment, world: &World) -> Result<()> {
    if deployment.spec.mirror_of.is_some() {
        bail!(
            Fault::new("this registry is a mirror: it removes layers seven days after it fetched them, and keeps the few kilobytes of manifests and tags")
                .hint("there is nothing to do")
        );
    }
    if args.dry_run {
        return Ok(());
    }
    if deployment.spec.proxy == Proxy::None {
        let (compose, options) =
            (world.compose, if args.delete_untagged { "--delete-untagged " } else { "" });
        bail!(Fault::new("without nginx, gc cannot refuse pushes while pulls go on").hint(format!(
            "stop the registry meanwhile: `{compose} stop registry && {compose} run --rm --no-deps registry garbage-collect {options}/etc/regcert/config.yml; {compose} start registry`"
        )));
    }
    let files = store.read()?;
    if !files.text("nginx/nginx.conf").is_some_and(|text| text.contains(READ_ONLY)) {
        bail!(Fault::new("`nginx/nginx.conf` does not refuse pushes during a collection: it is older, or was edited by hand")
            .hint("`regcert init --reload` rewrites it; where it was edited by hand, `regcert init --force --reload`, with a copy of your edit"));
    }
    Ok(())
}

/// Registry 2 marks no manifest that an index names, and removes it for want of a tag; 3 was mended.
fn spares_platforms(containers: &Collector) -> Result<()> {
    let version = containers.version()?;
    if version >= 3 {
        return Ok(());
    }
    let indexes = containers.indexes()?;
    if indexes > 0 {
        bail!(Fault::new(format!("registry {version} would remove the images behind {indexes} image indexes (images for several platforms), which have no tag of their own"))
            .hint("leave --delete-untagged out, or change to registry 3: `regcert init --registry-image registry:3 --reload`"));
    }
    Ok(())
}

fn report(args: &Args, before: Amount, found: Amount, after: Option<Amount>) -> Result<()> {
    let freed = after.map(|after| Amount {
        blobs: before.blobs.saturating_sub(after.blobs),
        bytes: before.bytes.saturating_sub(after.bytes),
    });
    if args.json {
        let untagged = args.delete_untagged;
        return ui::data(
            json!({ "delete_untagged": untagged, "before": before, "garbage": found, "after": after, "freed": freed })
                .to_string(),
        );
    }
    ui::data(match (after, freed) {
        (Some(after), Some(freed)) => format!("removed {}; {} stay", shown(freed), shown(after)),
        (_, _) => format!("would remove {}, of {}; nothing was removed", shown(found), shown(before)),
    })
}

/// Blobs and bytes for people.
fn shown(amount: Amount) -> String {
    let blobs = if amount.blobs == 1 { "1 blob".to_owned() } else { format!("{} blobs", amount.blobs) };
    format!("{blobs} ({})", ui::size(amount.bytes))
}
