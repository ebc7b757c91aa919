//! `regcert trust`: writes the files that make clients trust the registry.

mod install;
mod pull_secret;

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;

use super::World;
use crate::deployment::Deployment;
use crate::error::{Blame, Fault, Gather};
use crate::files::{Action, Edits, Part};
use crate::store::Store;
use crate::trust::{Artefact, FORMATS, Format, INDEX};
use crate::ui;

/// Write the files that make clients trust the registry, and say what each is for
///
/// Everything for clients lies below trust/, is public, and is kept up to date from then on, with both roots while the
/// root is being replaced. Scripts and packages for systems are there from the start; this adds the files for container
/// runtimes and clusters, all of them or those that are named. `index.txt` lists what there is, with SHA-256.
#[derive(Debug, clap::Args)]
#[command(subcommand_precedence_over_arg = true)]
#[command(after_help = "\
Examples:
  regcert trust
  regcert trust deb k3s
  regcert trust --json")]
pub struct Args {
    /// Only these, such as deb or k3s [default: all]
    #[arg(value_name = "FORMAT")]
    formats: Vec<String>,
    /// Print a JSON array: name, purpose, and path and SHA-256 of each file
    #[arg(long)]
    json: bool,
    /// Overwrite files that were edited by hand
    #[arg(long)]
    force: bool,
    #[command(subcommand)]
    action: Option<Verb>,
}

/// What else there is to do about trust.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make this machine trust the registry: the system's store and every container runtime found
    ///
    /// The exit code is 3 where something is left to you, such as a restart.
    Install(install::Install),
    /// Take away what `install` put on this machine
    ///
    /// The exit code is 3 where something is left to you, such as a restart.
    Uninstall(install::Args),
    /// Write the Secret by which Kubernetes pulls images as a user
    PullSecret(pull_secret::Args),
}

impl Args {
    /// Whether the command changes what this machine trusts.
    pub fn changes_machine(&self) -> bool {
        matches!(self.action, Some(Verb::Install(_) | Verb::Uninstall(_)))
    }
}

pub fn run(args: &Args, world: &World) -> Result<ExitCode> {
    // Not `args_conflicts_with_subcommands` of clap, which also rejects the global -C.
    if args.action.is_some() && (args.json || args.force || !args.formats.is_empty()) {
        let mut gather = Gather::default();
        gather.push(
            Fault::new("FORMAT, --json and --force are for the list alone")
                .hint("leave them out, or run both apart"),
        );
        gather.finish(Blame::CommandLine)?;
    }
    let done = |()| ExitCode::SUCCESS;
    match &args.action {
        Some(Verb::Install(args)) => install::install(args, world),
        Some(Verb::Uninstall(args)) => install::uninstall(args, world),
        Some(Verb::PullSecret(args)) => pull_secret::run(args, world).map(done),
        None => list(args, world).map(done),
    }
}

/// Opens the registry; fails if it has no root certificate yet.
fn open(world: &World) -> Result<(Store, Deployment)> {
    let (store, deployment) = world.open()?;
    if deployment.server.is_none() {
        bail!(Fault::new("there is no root certificate yet that clients could trust").hint(
            "`regcert import-cert` imports the certificate that the external authority signed, and its root"
        ));
    }
    Ok((store, deployment))
}

fn list(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let wanted: Vec<&Format> =
        args.formats.iter().filter_map(|name| gather.take("FORMAT", name.parse())).collect();
    gather.finish(Blame::CommandLine)?;
    let (mut store, mut deployment) = open(world)?;
    let is_wanted = |format: &Format| wanted.is_empty() || wanted.contains(&format);
    let asked_for = FORMATS.iter().filter(|format| !format.always && is_wanted(format));
    deployment.state.formats.extend(asked_for.map(|format| format.name.to_owned()));
    ui::busy("making packages and files for clients");
    let artefacts = deployment.artefacts()?;
    let wanted: Vec<_> = artefacts.iter().filter(|artefact| is_wanted(artefact.format)).collect();
    let concerns = |path: &str| match path.strip_prefix("trust/") {
        Some(path) => path == INDEX || wanted.iter().any(|artefact| artefact.path == path),
        // Also writes the state, which records the requested formats.
        None => Part::of(path) == Part::Notes,
    };
    let edits = if args.force { Edits::Overwrite } else { Edits::Keep };
    World::warn_of_edit(&deployment);
    let change = world.compare(&store, &deployment, edits)?.only(concerns);
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
    ui::changes(&change);
    for path in change.with(Action::EditedByHand) {
        ui::warn(format!(
            "`{path}` was edited by hand and stays as it is: `regcert trust --force` rewrites it"
        ));
    }
    if args.json { ui::data(summary(&wanted).to_string()) } else { ui::data(table(&wanted)) }
}

fn table(artefacts: &[&Artefact]) -> String {
    let mut lines = Vec::new();
    let mut last = "";
    for artefact in artefacts {
        if last != artefact.format.name {
            last = artefact.format.name;
            lines.push(format!("{last:<12}  {}", artefact.format.purpose));
        }
        lines.push(format!("{:<12}    trust/{}", "", artefact.path));
    }
    lines.join("\n")
}

fn summary(artefacts: &[&Artefact]) -> serde_json::Value {
    let mut formats: Vec<(&Format, Vec<serde_json::Value>)> = Vec::new();
    for artefact in artefacts {
        let file = json!({ "path": format!("trust/{}", artefact.path), "sha256": artefact.digest() });
        match formats.last_mut() {
            Some((format, files)) if *format == artefact.format => files.push(file),
            Some(_) | None => formats.push((artefact.format, vec![file])),
        }
    }
    let formats = formats
        .into_iter()
        .map(|(format, files)| json!({ "name": format.name, "purpose": format.purpose, "files": files }));
    formats.collect()
}
