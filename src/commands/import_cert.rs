//! `regcert import-cert`: imports a certificate that an external authority signed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{MAKE_ONE, World, Writing};
use crate::deployment::Mends;
use crate::guide::News;
use crate::names::printable;
use crate::pki::Certificate;
use crate::settings::{DAYS_ADVISED, DAYS_MAX};
use crate::{store, ui};

/// Import the certificate that an external authority signed for `regcert csr`
///
/// The chain may be in any order. It is checked as a client would check it: key, names, dates, signatures. Only then is
/// it served. Names that were changed in regcert.toml are applied with it, and no other setting.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert import-cert signed.pem
  regcert import-cert signed.pem --ca-cert their-root.pem --reload")]
pub struct Args {
    /// The signed certificate, and whatever of its chain came with it: PEM
    file: PathBuf,
    /// The rest of the chain up to the root, where it is not in FILE
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    #[command(flatten)]
    writing: Writing,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let given = certificates(&args.file)?;
    let more = args.ca_cert.as_deref().map(certificates).transpose()?.unwrap_or_default();
    // If an older regcert did not record the settings last applied, `known` uses the settings of regcert.toml.
    let (mut store, loaded) = world.find(MAKE_ONE, Mends::Request)?;
    let mut deployment = loaded.known();
    let before = (deployment.spec.clone(), deployment.covers());
    let unasked = deployment.import(given, more, world.now)?;
    if !unasked.is_empty() {
        let names: Vec<_> = unasked.iter().map(|name| format!("`{}`", printable(name))).collect();
        ui::warn(format!(
            "the certificate also covers {}, which the request did not ask for: this key can now serve these names; if they are not yours, ask for a certificate without them",
            names.join(", ")
        ));
    }
    if let Some(server) = &deployment.server {
        warn_of_days(server.leaf().validity.days());
    }
    let mut news = News::default();
    news.of_settings(&before.0, &deployment.spec);
    news.of_names(&before.1, &deployment.covers());
    args.writing.apply(world, &mut store, &deployment, &news, None, |_| Ok(()))?;
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    Certificate::read(&store::read_given(path)?).with_context(|| format!("`{}`", path.display()))
}

/// Warns of a server certificate whose validity is too long for some clients.
pub(super) fn warn_of_days(days: i64) {
    if let Some(warning) = too_long(days) {
        ui::warn(warning);
    }
}

fn too_long(days: i64) -> Option<String> {
    if days > DAYS_MAX.into() {
        return Some(format!(
            "the certificate lasts {days} days: Apple's systems refuse a server certificate that lasts longer than {DAYS_MAX} days, and some clients one of more than {DAYS_ADVISED}"
        ));
    }
    (days > DAYS_ADVISED.into()).then(|| {
        format!("some clients refuse a server certificate that lasts longer than {DAYS_ADVISED} days")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_apple_refuses_is_warned_of() {
        assert_eq!(too_long(398), None);
        assert!(too_long(825).is_some_and(|warning| !warning.contains("Apple")));
        assert!(too_long(1000).is_some_and(|warning| warning.contains("Apple's systems refuse")));
    }
}
