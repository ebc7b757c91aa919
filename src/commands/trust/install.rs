//! `regcert trust install` and `uninstall`: make this machine trust the registry, or undo that. Both run the script
//! that other machines use.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::World;
use crate::trust::INSTALL;
use crate::{probe, ui};

/// Both directions take the same options.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Do it without asking if the root certificate has this SHA-256
    #[arg(long, value_name = "SHA-256", conflicts_with = "yes")]
    fingerprint: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave the system's own store and /etc/hosts alone: only the container runtimes
    #[arg(long)]
    no_system: bool,
    /// Also restart what must be restarted: containerd, k3s, RKE2
    #[arg(long)]
    restart: bool,
}

/// What only one direction takes.
#[derive(Debug, clap::Args)]
pub struct Install {
    #[command(flatten)]
    args: Args,
    /// Also make Docker and Podman verify the registry, where their settings tell them not to
    #[arg(long)]
    verify: bool,
}

pub fn install(Install { args, verify }: &Install, world: &World) -> Result<ExitCode> {
    let address = probe::own_address().to_string();
    let mut words = vec!["--address", &address];
    words.extend(verify.then_some("--verify"));
    run(args, words, world)
}

pub fn uninstall(args: &Args, world: &World) -> Result<ExitCode> {
    run(args, vec!["--uninstall"], world)
}

/// Runs the script and returns its exit code. The script itself prints and asks.
fn run(args: &Args, words: Vec<&str>, world: &World) -> Result<ExitCode> {
    let (store, deployment) = super::open(world)?;
    let artefacts = deployment.artefacts()?;
    let script = artefacts.iter().find(|artefact| artefact.path == INSTALL).context("no script is made")?;
    let own = deployment.root().map(|root| root.fingerprint()).unwrap_or_default();
    // Releases the lock: this command changes no file of the registry, and the user may take a while to answer.
    drop(store);
    let (fingerprint, asks) = match (&args.fingerprint, args.yes) {
        (Some(given), _) => (given, None),
        (None, true) => (&own, Some("--yes")),
        (None, false) => (&own, Some("--ask")),
    };
    let mut words = words;
    words.extend(["--fingerprint", fingerprint]);
    words.extend(asks);
    words.extend(ui::is_quiet().then_some("--quiet"));
    words.extend(args.dry_run.then_some("--dry-run"));
    words.extend(args.no_system.then_some("--no-system"));
    words.extend(args.restart.then_some("--restart"));
    probe::script(&script.bytes, &words)
}
