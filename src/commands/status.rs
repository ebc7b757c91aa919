//! `regcert status`: shows the certificates, the users and the findings that need attention. Reads only files.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::init::foreign_files;
use super::{MAKE_ONE, World};
use crate::deployment::{Clients, Deployment, Issuer, Mends};
use crate::error::Fault;
use crate::files::Edits;
use crate::front;
use crate::health::{self, Finding, State};
use crate::images::{Amount, Garbage, Named, Storage};
use crate::pki::{Certificate, date, days_until, when};
use crate::store::{self, Store};
use crate::ui;

/// Show the registry's certificates and users, and what needs your attention
///
/// From the files alone: `regcert check` asks the running registry. Unfinished uploads are counted where the images are in a
/// directory that you can read; `regcert gc --dry-run` counts them in a volume. The exit code is 3 where something needs doing,
/// so that a timer can tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert status
  regcert status --json")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, world: &World) -> Result<ExitCode> {
    let (store, loaded) = world.find(MAKE_ONE, Mends::Nothing)?;
    let is_unknown = loaded.is_unknown();
    let deployment = loaded.known();
    let findings = findings(world, &store, &deployment, is_unknown)?;
    if args.json {
        ui::data(summary(&deployment, world, &findings).to_string())?;
    } else {
        ui::data(screen(&deployment, world, &findings))?;
    }
    Ok(if health::are_healthy(&findings) { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Computes the amounts that a collection would free: unfinished uploads, and leftovers of an interrupted collection.
fn to_be_freed(store: &Store, deployment: &Deployment, world: &World) -> [Amount; 2] {
    let mut storage = Storage::default();
    let uploads = store.uploads(&deployment.spec.data).unwrap_or_default();
    let now = format!("now={}", world.now.unix_timestamp());
    for line in [now].into_iter().chain(uploads).chain(store.left_by_collection(&deployment.spec.data)) {
        // A line that is not part of the registry's storage is ignored here; `gc` reports it.
        _ = storage.take(&line);
    }
    [storage.plan(&Named::default(), Garbage::Unreferenced).uploads, storage.left()]
}

/// Lists the findings, the worst first. If `is_unknown`, it is unknown which settings are in use.
fn findings(world: &World, store: &Store, deployment: &Deployment, is_unknown: bool) -> Result<Vec<Finding>> {
    let change = world.without_unread(world.compare(store, deployment, Edits::Keep)?);
    let edited = world.edited(deployment, &change);
    let swallowed = health::swallowed(deployment, &world.site, &edited)?;
    let mut findings = health::findings(deployment, &change, &swallowed, world.now);
    health::damage(deployment, &edited, &mut findings);
    findings.extend(health::unapplied(deployment, is_unknown));
    findings.extend(health::lost_users(deployment));
    findings.extend(front::LOCAL.into_iter().filter_map(|path| health::own_damage(path, &world.text(path)?)));
    if !change.digests_fit {
        findings.push(health::lost_digests(store::DIGESTS));
    }
    if let Some((place, Fault { message, hint: cure })) = foreign_files(deployment, store, world) {
        findings.push(Finding { id: "owner", state: State::Due, message, cure, place });
    }
    if store.collection_was_interrupted() {
        findings.push(health::interrupted_collection());
    }
    let [given_up, left] = to_be_freed(store, deployment, world);
    if given_up.blobs > 0 {
        findings.push(health::given_up_uploads(given_up.blobs, &ui::size(given_up.bytes)));
    }
    if left.blobs > 0 {
        findings.push(health::left_by_collection(&ui::size(left.bytes)));
    }
    findings.sort_by_key(|finding| finding.state);
    Ok(world.typed(findings))
}

/// Formats the end of the validity: `2026-11-20, 365 days left`, or `ended on 2026-11-20, 5 days ago`.
fn life(certificate: &Certificate, world: &World) -> String {
    let end = certificate.validity.not_after;
    if end < world.now {
        return when(end, world.now);
    }
    format!("{}, {} days left", date(end), days_until(end, world.now))
}

fn screen(deployment: &Deployment, world: &World, findings: &[Finding]) -> String {
    let mut lines = vec![format!("{} in {}", deployment.spec.registry(), world.dir.display()), String::new()];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<18}  {text}"));
    match &deployment.server {
        Some(server) => {
            row("server certificate", deployment.certificate_path());
            row("  covers", server.leaf().names.join(", "));
            row("  until", life(server.leaf(), world));
            row("  serial number", server.leaf().serial.clone());
            row("  SHA-256", server.leaf().fingerprint());
        }
        None => row("server certificate", "none yet: a request is waiting for a signature".to_owned()),
    }
    for (root, name) in deployment.roots().into_iter().zip(["root certificate", "retiring root"]) {
        row(
            name,
            if name == "root certificate" { deployment.root_path() } else { root.subject_text.clone() },
        );
        row("  allows", root.constraints.as_ref().map_or("every name".to_owned(), ToString::to_string));
        row("  until", life(root, world));
        row("  SHA-256", root.fingerprint());
    }
    let kind = deployment.authority().and_then(|authority| Ok(authority.key().open()?.kind()));
    row(
        "authority's key",
        kind.map_or(key(deployment).to_owned(), |kind| format!("{kind}, {}", key(deployment))),
    );
    row("packages", format!("version {}", deployment.state.release().version));
    row(
        "client auth",
        format!("{}, {} certificates issued", deployment.spec.client_auth, deployment.state.clients.len()),
    );
    let authorities = deployment.clients.iter().flat_map(Clients::all);
    for (signing, name) in authorities.zip(["clients' authority", "  retiring"]) {
        row(name, life(signing.authority.root(), world));
    }
    row("users", deployment.users.names().len().to_string());
    lines.push(String::new());
    lines.extend(health::told(findings));
    if health::are_healthy(findings) {
        let calm = "nothing needs doing in the files; `regcert check` looks whether the registry runs";
        lines.push(world.words.complete(calm));
    }
    lines.join("\n")
}

/// Describes where the signing key is stored, and whether it is encrypted.
fn key(deployment: &Deployment) -> &'static str {
    match &deployment.issuer {
        Issuer::Own { authority, root_key } => {
            match (authority.key().is_encrypted(), authority.intermediates().is_empty(), root_key) {
                (true, true, _) => "here, encrypted",
                (false, true, _) => "here, in clear",
                (true, false, Some(_)) => {
                    "an intermediate's, encrypted; the root's is still here: move it away"
                }
                (false, false, Some(_)) => {
                    "an intermediate's, in clear; the root's is still here: move it away"
                }
                (true, false, None) => "an intermediate's, encrypted; the root's is elsewhere",
                (false, false, None) => "an intermediate's, in clear; the root's is elsewhere",
            }
        }
        Issuer::External { .. } => "external",
    }
}

fn summary(deployment: &Deployment, world: &World, findings: &[Finding]) -> serde_json::Value {
    let certificate = |certificate: &Certificate| {
        json!({
            "names": certificate.names,
            "serial": certificate.serial,
            "until": date(certificate.validity.not_after),
            "days_left": days_until(certificate.validity.not_after, world.now),
            "fingerprint": certificate.fingerprint(),
        })
    };
    json!({
        "registry": deployment.spec.registry(),
        "directory": world.dir,
        "fingerprint": deployment.root().map(Certificate::fingerprint),
        "server": deployment.server.as_ref().map(|server| certificate(server.leaf())),
        "roots": deployment.roots().into_iter().map(certificate).collect::<Vec<_>>(),
        "rotating": deployment.retiring.is_some(),
        "authority_key": key(deployment),
        "packages": deployment.state.release().version,
        "users": deployment.users.names().len(),
        "clients": deployment.state.clients.len(),
        "client_authorities": deployment
            .clients
            .iter()
            .flat_map(Clients::all)
            .map(|signing| certificate(signing.authority.root()))
            .collect::<Vec<_>>(),
        "healthy": health::are_healthy(findings),
        "findings": findings,
    })
}
