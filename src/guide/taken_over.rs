//! The text shown after the takeover of a registry that regcert did not create.

use std::path::Path;

use crate::auth::Scheme;
use crate::deployment::Deployment;
use crate::guide::Words;
use crate::names::{printable, shell};
use crate::pki::date;
use crate::settings::{Data, Proxy};
use crate::takeover::Old;
use crate::trust::INSTALL;

/// The data for the text after a takeover.
pub struct Takeover<'a> {
    /// The registry that was in the old directory.
    pub old: &'a Old,
    /// The old directory.
    pub from: &'a Path,
    /// The new registry.
    pub deployment: &'a Deployment,
    /// The form of the printed commands for this user.
    pub words: &'a Words,
    /// Whether the new registry keeps and uses the old root.
    pub kept_root: bool,
    /// The password of the user that regcert added, if any.
    pub password: Option<&'a str>,
    /// The directory that now contains the old files, if the new registry is in the old directory.
    pub aside: Option<&'a str>,
}

/// Builds the text: the result for each part, and the remaining steps.
pub fn taken_over(told: &Takeover<'_>) -> String {
    let Takeover { deployment, words, from, .. } = told;
    let from = shell(&from.display().to_string());
    let old_files = match told.aside {
        Some(aside) => {
            format!("{aside}; remove them when the new registry works: the old root's key is among them")
        }
        None => format!("{from}, unchanged"),
    };
    format!(
        "\
{registry} in {dir} takes over from {from}

  images              {images}
  users               {users}
{certificates}  old files           {old_files}

Start it:
  {up}

{clients}
{notes}
`regcert check` tests the running registry as a client.
",
        registry = deployment.spec.registry(),
        dir = words.path(""),
        up = words.compose("up -d"),
        images = images(told),
        users = users(told),
        certificates = certificates(told),
        clients = clients(told),
        notes = notes(told).iter().map(|note| format!("note: {note}\n")).collect::<String>(),
    )
}

fn images(told: &Takeover<'_>) -> String {
    let run_as = told.deployment.spec.run_as;
    let place = match &told.deployment.spec.data {
        Data::Directory(path) => shell(path),
        Data::Existing(name) => format!("the volume {name}"),
        Data::Volume => return "a new volume".to_owned(),
    };
    format!("{place}, where they were; the containers run as their owner, {run_as}")
}

/// Lists each user with the scheme of the stored password, and marks users who cannot log in.
fn users(told: &Takeover<'_>) -> String {
    if told.old.users.is_none() {
        let name = told.deployment.users.names().join(", ");
        let password = told.password.map_or(String::new(), |password| {
            format!("\n  password            {password}   (shown only now)")
        });
        return format!("{name}, new: the old registry asked for no password{password}");
    }
    let entries = told.deployment.users.entries();
    let checks = |scheme: Scheme| match told.deployment.spec.proxy {
        Proxy::Nginx => scheme.nginx_checks(),
        Proxy::None => scheme.registry_checks(),
    };
    let width = entries.iter().map(|(name, _)| printable(name).chars().count()).max().unwrap_or(0);
    let lines = entries.iter().map(|(name, scheme)| {
        let verdict = match (checks(*scheme), scheme.weakness()) {
            (false, _) => {
                format!("{scheme}: cannot log in; `regcert add-user NAME` sets another password")
            }
            (true, Some(weakness)) => format!("{scheme}: {weakness}"),
            (true, None) => scheme.to_string(),
        };
        format!("\n    {:<width$}  {verdict}", printable(name))
    });
    let password = told.password.map_or(String::new(), |password| {
        format!("\n  password            {password}   (of the new user; shown only now)")
    });
    format!("{}, with their old passwords{}{password}", entries.len(), lines.collect::<String>())
}

fn certificates(told: &Takeover<'_>) -> String {
    let deployment = told.deployment;
    let (Some(root), Some(server)) = (deployment.root(), &deployment.server) else {
        return format!("  request             {}\n", deployment.request_path());
    };
    let leaf = server.leaf();
    let admits = root.constraints.as_ref().map_or("every name".to_owned(), ToString::to_string);
    let lines = [
        ("  server certificate", deployment.certificate_path()),
        ("    covers", leaf.names.join(", ")),
        ("    until", date(leaf.validity.not_after)),
        ("  root certificate", deployment.root_path()),
        ("    made", if told.kept_root { "by the old registry; it still signs" } else { "now" }.to_owned()),
        ("    allows", admits),
        ("    until", date(root.validity.not_after)),
        ("    SHA-256", root.fingerprint()),
    ];
    lines.iter().map(|(label, text)| format!("{label:<20}  {text}\n")).collect()
}

fn clients(told: &Takeover<'_>) -> String {
    if told.kept_root {
        return "A client that trusts the old root certificate needs nothing.\n".to_owned();
    }
    let reason = match &told.old.certificate {
        Some(old) if old.names.is_empty() => {
            "The root is new, because every Docker built with Go 1.17 or newer (from 20.10.8 on) refuses the old server\n\
             certificate: its name is in the Common Name only."
        }
        Some(_) => {
            "The root is new and signs only for your names. --keep-root keeps the old root instead, if it is fit."
        }
        None => "The root is new: the old registry had no certificate.",
    };
    let anchors = told.deployment.anchors();
    format!(
        "On each client, once:\n  copy {script} there, and\n    sudo sh {INSTALL}        # shows the SHA-256 above and asks you to confirm it\n  \
         or install {deb}, which replaces an installed package {package}\n\n{reason}\n",
        package = anchors.package(),
        script = told.words.path(&format!("trust/{INSTALL}")),
        deb = told.words.path(&format!("trust/{}", anchors.deb())),
    )
}

fn notes(told: &Takeover<'_>) -> Vec<String> {
    let spec = &told.deployment.spec;
    let mut notes = Vec::new();
    if !told.old.dropped.is_empty() {
        let names: Vec<_> = told.old.dropped.iter().map(|name| format!("`{}`", printable(name))).collect();
        notes.push(format!("no certificate can cover {}: use one of the names above", names.join(", ")));
    }
    if spec.http_port.is_none() && spec.proxy == Proxy::Nginx {
        notes.push(
            "the old registry did not publish port 80; `regcert init --http-port 80` serves the page for new clients there"
                .to_owned(),
        );
    }
    if told.old.compose.is_none() {
        notes.push(format!(
            "without a docker-compose.yml the port of the old registry is unknown; this registry uses {}, and `--https-port` changes it",
            spec.https_port
        ));
    }
    if told.old.users.is_some() && spec.proxy == Proxy::Nginx {
        notes.push("no user may delete images; `regcert add-user NAME --role admin` allows it".to_owned());
    }
    notes
}
