//! `regcert add-client`: issues a client certificate, with which a client may connect.

use anyhow::Result;

use super::{World, take};
use crate::auth::Password;
use crate::error::{Blame, Fault, Gather};
use crate::files::{Edits, Mode, Origin};
use crate::names::Username;
use crate::pki::{Passphrase, date, pkcs12};
use crate::settings::ClientAuth;
use crate::{guide, ui};

/// Issue a client certificate
///
/// The files are made as Docker wants them, below clients/NAME: hand them over and remove them. `regcert init
/// --client-auth required` makes nginx ask for one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert add-client laptop7")]
pub struct Args {
    /// Whom or what it is for: letters, digits and `.`, `_`, `-`, `@`, `+`
    name: String,
    /// How long the certificate lasts, at most 825 [default: as the registry's own]
    #[arg(long, value_name = "DAYS")]
    days: Option<String>,
    /// Make the running nginx take a new authority for clients, where this run made one
    #[arg(long)]
    reload: bool,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let name: Option<Username> = gather.take("NAME", args.name.parse());
    let days = args.days.as_deref().map(|text| gather.take("--days", crate::settings::days(text)));
    gather.finish(Blame::CommandLine)?;
    let name = name.expect("a name that is none was refused");
    if ["clients-ca.", "retiring-ca."].iter().any(|stem| name.as_str().starts_with(stem))
        || ["clients.crl", "retiring.crl"].contains(&name.as_str())
    {
        return Err(Fault::new(format!("`clients/{name}` is a file of the authority for clients"))
            .hint("choose another name")
            .into());
    }
    let (mut store, mut deployment) = world.able_to_sign(|| world.open())?;
    World::warn_of_edit(&deployment);
    let client = deployment.add_client(&name, days.flatten().unwrap_or(deployment.spec.days), world.now)?;
    let password = Password::generate();
    let passphrase = Passphrase::first_line(password.expose().as_bytes())?;
    let bundle = pkcs12(name.as_str(), client.chain(), client.key(), &passphrase)?;

    let mut files = world.files(&store, &deployment, Edits::Keep)?;
    let dir = format!("clients/{name}");
    files.put(format!("{dir}/client.cert"), client.chain_pem(), Mode::Public, Origin::HandedOver);
    files.put(format!("{dir}/client.key"), client.key().pem(), Mode::Secret, Origin::HandedOver);
    files.put(format!("{dir}/client.p12"), bundle, Mode::Secret, Origin::HandedOver);
    if let Some(root) = deployment.root() {
        files.put(format!("{dir}/ca.crt"), root.pem(), Mode::Public, Origin::HandedOver);
    }
    let change = store.compare(files, deployment.spec.run_as, Edits::Keep, None)?;
    world.reaches(&store, &deployment, &change, "run `regcert init --force`, which rewrites it")?;
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;

    let registry = deployment.spec.registry();
    let leaf = client.leaf();
    ui::say(format!(
        "{name} may connect until {}; serial number {}",
        date(leaf.validity.not_after),
        leaf.serial
    ));
    ui::say(format!(
        "  Docker   copy {dir}/client.cert, client.key and ca.crt to /etc/docker/certs.d/{registry}/ there"
    ));
    ui::say(format!("  browser  import {dir}/client.p12; its password, shown only now:"));
    ui::data(password.expose())?;
    if deployment.spec.client_auth == ClientAuth::Off {
        ui::say(
            "nginx does not ask for client certificates yet: `regcert init --client-auth required --reload` requires them",
        );
        return Ok(());
    }
    take(world, &deployment, &change, args.reload, |words, steps| {
        guide::take(&deployment, words, &world.project(), steps)
    })
}
