//! `regcert sign`: signs the certificate signing request of another server.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::World;
use crate::error::{Blame, Fault, Gather};
use crate::pki::{Certificate, Request, ServerProfile, Subject, date};
use crate::{store, ui};

/// Sign the certificate signing request of another server
///
/// The certificate is for servers only, for all names in the request. If the root does not allow one of them, nothing is
/// signed. regcert takes nothing else from the request. It prints the chain, ready to be served.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert sign other.csr >other.crt")]
pub struct Args {
    /// The request: PEM or DER
    file: PathBuf,
    /// How long the certificate lasts, at most 825 [default: as the registry's own]
    #[arg(long, value_name = "DAYS")]
    days: Option<String>,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let days = args.days.as_deref().map(|text| gather.take("--days", crate::settings::days(text)));
    gather.finish(Blame::CommandLine)?;
    let request = Request::read(&store::read_given(&args.file)?)
        .with_context(|| format!("`{}`", args.file.display()))?;
    let (_store, deployment) = world.able_to_sign(|| world.look())?;
    deployment.admit(&request.names).map_err(|fault| Fault {
        message: format!("nothing was signed: {}", fault.message),
        hint: fault.hint.replacen("leave it out", "have a request made without it", 1),
    })?;
    let days = days.flatten().unwrap_or(deployment.spec.days);
    // regcert does not know who runs the other server, so the subject stays empty.
    let profile = ServerProfile { names: &request.names, subject: &Subject::default(), days };
    let mut chain = deployment.authority()?.issue_for(&request, &profile, world.now)?;
    let vouched = deployment.retiring.as_ref().and_then(|retiring| retiring.vouched.as_ref());
    chain.extend(vouched.filter(|vouched| world.now <= vouched.validity.not_after).cloned());
    let lasts = chain[0].validity.days();
    if lasts < i64::from(days) {
        ui::warn(format!(
            "the certificate lasts {lasts} days and not {days}, because its authority ends on that day"
        ));
    }
    for ignored in &request.ignored {
        ui::warn(format!("the request asks for {ignored}: the certificate does not have it"));
    }
    let names: Vec<_> = request.names.iter().map(ToString::to_string).collect();
    ui::say(format!(
        "signed for {}, until {}, serial number {}",
        names.join(", "),
        date(chain[0].validity.not_after),
        chain[0].serial
    ));
    ui::data(chain.iter().map(Certificate::pem).collect::<String>().trim_end())?;
    Ok(())
}
