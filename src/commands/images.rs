//! `regcert images`: lists the images in the running registry.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde::Serialize;

use super::World;
use super::connection::{Connected, Connection};
use crate::error::{Fault, Gather};
use crate::health::is_trial;
use crate::images::{Held, Tagged};
use crate::names::{Repository, Typed, printable};
use crate::probe::{self, Api, Survey};
use crate::ui;

/// The maximum number of faults of single images that a run shows. Further faults are only counted.
const TOLD: usize = 10;

/// List the images of the running registry
///
/// Every tag with its digest, its platforms and what it takes to pull it. The last line counts each blob once. An image
/// without a tag is in no list of a registry's: `regcert gc --dry-run --delete-untagged` says how much room such ones take.
/// The empty repository `regcert-check`, which `regcert check` leaves behind, is not listed.
///
/// With --json: `registry`; `repositories`, each with `name` and `tags`, and those with `tag`, `digest`, `media_type`,
/// `platforms` and `size` in bytes (null where the manifest does not say); `totals` with `repositories`, `tags`,
/// `manifests`, `blobs` and `bytes`; `left_out`, how many warnings say that something could not be read and is left out:
/// 0 where the list is whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert images
  regcert images team-a/app
  regcert images --user bob --password-file bob.txt --json
  regcert images --registry registry1.myhouse.local:5443 --ca-cert root.crt --user bob")]
pub struct Args {
    /// Only this repository; the registry may stand before it
    #[arg(value_name = "REPO")]
    repository: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The complete list, in the form of the JSON output.
#[derive(Serialize)]
struct Listing {
    registry: String,
    repositories: Vec<Row>,
    totals: Totals,
    /// The number of warnings, including warnings that are counted but not shown.
    left_out: usize,
}

#[derive(Serialize)]
struct Row {
    name: String,
    tags: Vec<TagRow>,
}

#[derive(Serialize)]
struct TagRow {
    tag: String,
    digest: String,
    #[serde(skip)]
    short: String,
    media_type: String,
    platforms: Vec<String>,
    size: Option<u64>,
}

#[derive(Serialize)]
struct Totals {
    repositories: usize,
    tags: usize,
    #[serde(flatten)]
    held: Held,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let typed: Option<Typed<Repository>> =
        args.repository.as_deref().and_then(|text| gather.take("REPO", text.parse()));
    let (connected, repository) = args.connection.read(world, gather, typed)?;
    let survey = connected.with(|api| survey(api, &connected, repository))?;
    for fault in survey.left_out.iter().take(TOLD) {
        ui::warn(format!("{}: left out", fault.message));
    }
    if survey.left_out.len() > TOLD {
        ui::warn(format!("{} more are left out", survey.left_out.len() - TOLD));
    }
    let listing = listing(&connected, &survey, args.repository.is_some());
    if args.json {
        return ui::data(serde_json::to_string(&listing)?);
    }
    ui::data(screen(&listing))
}

fn survey(api: &Api<'_>, connected: &Connected, only: Option<Repository>) -> Result<Survey> {
    ui::busy(format!("asking {}", connected.target));
    let Some(repository) = only else {
        return every(api);
    };
    match api.tags(&repository)?? {
        Some(tags) => probe::survey(api, vec![(repository, tags)], ui::busy),
        None => bail!(
            Fault::new(format!(
                "there is no repository `{repository}`, or none of its images has a tag{}",
                elsewhere(&repository)
            ))
            .hint("`regcert images` lists them")
        ),
    }
}

/// Returns a hint if the first part of a missing repository's name looks like a registry; otherwise an empty text.
pub fn elsewhere(repository: &Repository) -> String {
    repository
        .looks_like_in()
        .map_or(String::new(), |host| format!(", and `{host}` is not a name of this registry"))
}

/// Surveys every repository that the registry lists.
fn every(api: &Api<'_>) -> Result<Survey> {
    let mut left_out = Vec::new();
    // If the list changes while its pages are read, a name may be listed twice.
    let names: BTreeSet<String> = api.repositories()?.into_iter().collect();
    let read = |name: String| {
        let fault = |_| Fault::new(format!("`{}` is not the name of a repository", printable(&name)));
        name.parse().map_err(fault).map_err(|fault| left_out.push(fault)).ok()
    };
    let repositories: Vec<Repository> = names.into_iter().filter_map(read).collect();
    let (lists, unread) = probe::tag_lists(api, repositories)?;
    left_out.extend(unread);
    let mut survey = probe::survey(api, lists, ui::busy)?;
    survey.left_out.splice(..0, left_out);
    Ok(survey)
}

fn listing(connected: &Connected, survey: &Survey, named: bool) -> Listing {
    let Survey { repositories, contents, left_out } = survey;
    let mut rows: Vec<Row> = Vec::new();
    // Always shows a repository that the user names.
    let is_shown = |repository: &Repository, tags: &[Tagged]| {
        named || !tags.is_empty() || !is_trial(repository.as_str())
    };
    for (repository, tags) in repositories.iter().filter(|(name, tags)| is_shown(name, tags)) {
        let mut tags: Vec<_> = tags.iter().collect();
        tags.sort_by_key(|tagged| &tagged.tag);
        let row = |tagged: &Tagged| TagRow {
            tag: tagged.tag.to_string(),
            digest: tagged.digest.to_string(),
            short: tagged.digest.short().to_owned(),
            media_type: tagged.media_type.clone(),
            platforms: contents.platforms(&tagged.digest),
            size: contents.size(&tagged.digest),
        };
        rows.push(Row { name: repository.to_string(), tags: tags.into_iter().map(row).collect() });
    }
    let totals = Totals {
        repositories: rows.len(),
        tags: rows.iter().map(|row| row.tags.len()).sum(),
        held: contents.held(),
    };
    let registry = connected.target.to_string();
    Listing { registry, repositories: rows, totals, left_out: left_out.len() }
}

/// Renders a table with the totals below it. A repository without tags also gets a line.
fn screen(listing: &Listing) -> String {
    let none = || "-".to_owned();
    let mut lines = vec![["REPOSITORY", "TAG", "DIGEST", "PLATFORMS", "SIZE"].map(str::to_owned)];
    for Row { name, tags } in &listing.repositories {
        if tags.is_empty() {
            lines.push([name.clone(), none(), none(), none(), none()]);
        }
        for tag in tags {
            let platforms = tag.platforms.join(", ");
            lines.push([
                name.clone(),
                tag.tag.clone(),
                tag.short.clone(),
                if platforms.is_empty() { none() } else { platforms },
                tag.size.map_or_else(none, ui::size),
            ]);
        }
    }
    let mut out = if lines.len() > 1 { format!("{}\n\n", ui::table(&lines)) } else { String::new() };
    let Totals { repositories, tags, held } = &listing.totals;
    let many =
        |n: usize, one: &str, more: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {more}") };
    out += &format!(
        "{}, {}, {}, {} ({})",
        many(*repositories, "repository", "repositories"),
        many(*tags, "tag", "tags"),
        many(held.manifests, "manifest", "manifests"),
        many(held.blobs, "blob", "blobs"),
        ui::size(held.bytes),
    );
    out
}
