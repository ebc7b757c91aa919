//! `regcert gc`: frees the disk space of deleted and replaced images.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::World;
use crate::deployment::{Deployment, REGISTRY_CONFIG};
use crate::error::Fault;
use crate::front;
use crate::images::{Amount, Garbage, Plan};
use crate::probe::{Collected, Collector, Errand, Extent, Look, READ_ONLY};
use crate::settings::Proxy;
use crate::store::{Collection, Store};
use crate::takeover::document;
use crate::ui;

/// The maximum number of tags and manifests that a warning names. The warning only counts the rest.
const TOLD: usize = 5;

/// Free the disk space of deleted and replaced images
///
/// Removes what no manifest names from the running registry, and unfinished uploads that were last touched more than a day
/// ago. Layers of the last hour that no manifest names yet stay: their push may be under way. Links that a full disk has
/// cut off are mended.
///
/// Pushes are refused for seconds, while what goes is moved out of the way; it is removed after that. Pulls go on, and nothing is
/// restarted. Pushes that began before are waited for. A push whose next request comes while pushes are refused fails, and has
/// to be run again. Interrupted in any way, the registry takes pushes again by itself, and the rest waits for the next run.
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
    /// Clients can then no longer pull them by digest. What a tagged image for several platforms consists of stays.
    #[arg(long)]
    delete_untagged: bool,
    /// How long pushes that began before are waited for; then nothing is collected
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let (store, deployment) = world.look()?;
    let garbage = if args.delete_untagged { Garbage::Untagged } else { Garbage::Unreferenced };
    can_collect(args, &store, &deployment, world)?;
    let conf = front::of(&store.read()?).unwrap_or_default();
    // Releases the lock, so that only another collection has to wait for this one.
    drop(store);
    ui::busy("looking for what no image needs");
    let containers = Collector::find(world.project(), !args.dry_run, &conf)?;
    if !args.dry_run && containers.remembers_layers()? {
        let command = format!("{} up -d", world.compose);
        return Err(remembers_layers(
            "a variable REGISTRY_STORAGE_CACHE… of the service `registry`",
            &command,
        )
        .into());
    }
    let errand = if args.dry_run { Errand::Tell } else { Errand::Collect };
    let look = containers.look(garbage, errand)?;
    warn(&look.plan);
    if args.dry_run {
        return report(args, &Run { before: look.stored, left: look.left, plan: look.plan, done: None });
    }
    let collection = world.look()?.0.begin_collection()?;
    let run = collect(&containers, garbage, look, Duration::from_secs(args.wait), &collection)?;
    collection.done()?;
    report(args, &run)
}

/// The plan and the result of a run.
struct Run {
    /// The amount that was stored before the run.
    before: Amount,
    /// The amount that an interrupted collection left to be removed.
    left: Amount,
    plan: Plan,
    done: Option<Done>,
}

/// The result of a collection.
struct Done {
    after: Amount,
    freed: Amount,
    /// The total time for which pushes were refused, in all portions.
    refused: Duration,
}

/// Collects garbage in as many portions as needed, usually one.
fn collect(
    containers: &Collector,
    garbage: Garbage,
    mut look: Look,
    patience: Duration,
    collection: &Collection,
) -> Result<Run> {
    let left = look.left;
    let mut done = Done { after: look.stored, freed: left, refused: Duration::ZERO };
    if !look.plan.has_work() {
        // An earlier run may have been killed before it allowed pushes again and emptied the trash.
        containers.take_pushes()?;
        containers.empty_trash()?;
        return Ok(Run { before: look.stored, left, plan: look.plan, done: Some(done) });
    }
    ui::say(format!("found {}, of {}", to_do(&look.plan, left), shown(look.stored)));
    let mut first = None;
    loop {
        let start = Instant::now();
        let result = containers.collect(garbage, look, patience, |step| ui::say(step));
        containers.take_pushes()?;
        let refused = start.elapsed();
        if result.is_ok() {
            ui::say(format!("pushes are taken again, after {:.1} seconds", refused.as_secs_f64()));
            ui::busy("freeing the space");
        }
        let emptied = containers.empty_trash();
        if result.is_err() && emptied.is_ok() {
            collection.done()?;
        }
        let Collected { before, plan, extent } = result?;
        emptied?;
        let (after, freed) = containers.freed(&plan)?;
        done.after = after;
        done.freed.add(freed);
        done.refused += refused;
        let (before, plan) = first.unwrap_or((before, plan));
        if extent == Extent::Part {
            ui::say("looking for the rest");
            look = containers.look(garbage, Errand::Collect)?;
            if look.plan.has_work() {
                first = Some((before, plan));
                continue;
            }
        }
        return Ok(Run { before, left, plan, done: Some(done) });
    }
}

/// Warns of unreadable and damaged images, which the user can push again.
fn warn(plan: &Plan) {
    let list = |names: &[String]| {
        let told: Vec<_> = names.iter().take(TOLD).map(|name| format!("`{name}`")).collect();
        let more = names.len().saturating_sub(TOLD);
        told.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    if !plan.unreadable.is_empty() {
        ui::warn(format!(
            "the registry cannot read what {} names, as a full disk leaves a tag: push it again. Nothing in its repository is taken for untagged",
            list(&plan.unreadable)
        ));
    }
    if !plan.damaged.is_empty() {
        ui::warn(format!(
            "the bytes of {} do not have their digest: push the image again after `regcert delete`. Nothing in its repository is taken for untagged",
            list(&plan.damaged)
        ));
    }
}

/// Fails if a collection is unnecessary (in a mirror), impossible (if nginx cannot refuse pushes), or harmful (if the
/// registry caches layers).
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
        let compose = world.compose;
        let fault = Fault::new("without nginx, gc cannot refuse pushes while pulls go on");
        if args.delete_untagged {
            bail!(fault.hint("`regcert init --proxy nginx --reload` puts it in front; the registry's own `--delete-untagged` removes layers of images that have a tag"));
        }
        bail!(fault.hint(format!(
            "stop the registry meanwhile: `{compose} stop registry && {compose} run --rm --no-deps registry garbage-collect /etc/regcert/config.yml; {compose} start registry`"
        )));
    }
    let files = store.read()?;
    if !front::of(&files).is_some_and(|text| text.contains(READ_ONLY)) {
        bail!(Fault::new("the files of nginx do not refuse pushes during a collection: they are older, or were edited by hand")
            .hint("`regcert init --reload` rewrites them; if one was edited by hand, `regcert init --force --reload`, with a copy of your edit"));
    }
    let config = files.text(REGISTRY_CONFIG).and_then(|text| document(text).ok());
    if config.as_ref().and_then(|config| config.as_mapping_get("storage")?.as_mapping_get("cache")).is_some()
    {
        let command = format!("{} restart registry", world.compose);
        return Err(remembers_layers(&format!("`storage.cache` in `{REGISTRY_CONFIG}`"), &command).into());
    }
    Ok(())
}

/// Builds the fault for a registry that caches which layers exist. After a collection, such a registry would still
/// report a removed layer as stored, and would accept an image without that layer.
fn remembers_layers(setting: &str, command: &str) -> Fault {
    Fault::new(format!("{setting} makes the registry remember layers, and promise them to pushes after they were removed: nothing was collected"))
        .hint(format!("take it out, run `{command}`, then `regcert gc` again"))
}

fn report(args: &Args, run: &Run) -> Result<()> {
    let Run { before, left, plan, done } = run;
    let uploads = json!({ "uploads": plan.uploads.blobs, "bytes": plan.uploads.bytes });
    let unfinished = json!({ "uploads": plan.unfinished.blobs, "bytes": plan.unfinished.bytes });
    if args.json {
        return ui::data(
            json!({
                "delete_untagged": args.delete_untagged,
                "before": before,
                "garbage": plan.garbage,
                "left": left,
                "uploads": uploads,
                "mended": plan.mend.len(),
                "under_way": plan.under_way,
                "unfinished": unfinished,
                "after": done.as_ref().map(|done| done.after),
                "freed": done.as_ref().map(|done| done.freed),
                "refused_seconds": done.as_ref().map(|done| done.refused.as_secs_f64()),
            })
            .to_string(),
        );
    }
    let under_way = under_way(plan);
    let mend = |word: &str| links(plan).map(|links| format!(" and {word} {links}")).unwrap_or_default();
    ui::data(match done {
        Some(Done { after, freed, .. }) => {
            let removed = amounts(*freed, Amount::default(), plan);
            format!("removed {removed}{}; {} stay{under_way}", mend("mended"), shown(*after))
        }
        None => {
            let removed = amounts(plan.garbage, *left, plan);
            let mend = mend("mend");
            format!("would remove {removed}{mend}, of {}; nothing was removed{under_way}", shown(*before))
        }
    })
}

/// Describes the work of a collection that is about to start.
fn to_do(plan: &Plan, left: Amount) -> String {
    let mend = links(plan).map(|links| format!(" and {links} to mend")).unwrap_or_default();
    format!("{} to remove{mend}", amounts(plan.garbage, left, plan))
}

/// Formats the amounts to remove: the blobs, and other kinds only if there are any.
fn amounts(blobs: Amount, left: Amount, plan: &Plan) -> String {
    let mut parts = vec![shown(blobs)];
    if left.blobs > 0 {
        parts.push(format!("{} that an interrupted collection left", shown(left)));
    }
    if plan.uploads.blobs > 0 {
        parts.push(uploads(plan.uploads));
    }
    parts.join(" and ")
}

/// Formats the number of link files that need repair or were repaired; `None` if there are none.
fn links(plan: &Plan) -> Option<String> {
    (!plan.mend.is_empty()).then(|| many(plan.mend.len() as u64, "link"))
}

/// Describes the blobs and uploads that are kept because their push may be in progress; empty if there are none.
fn under_way(plan: &Plan) -> String {
    let mut parts = Vec::new();
    if plan.under_way.blobs > 0 {
        parts.push(format!("{} of the last hour", shown(plan.under_way)));
    }
    if plan.unfinished.blobs > 0 {
        parts.push(format!("{} of the last day", uploads(plan.unfinished)));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("\nmay be under way, and stay: {}", parts.join(", "))
    }
}

fn uploads(amount: Amount) -> String {
    format!("{} ({})", many(amount.blobs, "unfinished upload"), ui::size(amount.bytes))
}

/// Formats an amount: the number of blobs, and their size.
fn shown(amount: Amount) -> String {
    format!("{} ({})", many(amount.blobs, "blob"), ui::size(amount.bytes))
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
