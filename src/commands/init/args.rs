//! The options of `regcert init`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use super::super::password::Source;
use super::super::{World, Writing};
use super::place::from_here;
use crate::deployment::{Credentials, Headers, Origin};
use crate::error::{Blame, Fault, Faults};
use crate::names::{Subtree, shell};
use crate::pki::{Authority, Certificate, KeyAtRest, PrivateKey};
use crate::settings::{RawSettings, Signer, below};
use crate::{store, ui};

/// Create a registry, or apply changed settings and renew the server certificate
///
/// The first run makes a root certificate for ten years, a server certificate, the first user, and every file that
/// Docker Compose and the clients need. A later run keeps the root, the users, the settings and your edits. It applies
/// the given options and issues a new server certificate.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  regcert init --cert-domain myhouse.local --registry-server-name registry1
  regcert init --registry-server-name 192.168.0.12
  regcert init --registry-server-name registry.example.org --san 192.168.0.12 --https-port 5443
  regcert init --mirror-of https://registry-1.docker.io --mirror-credentials hub.txt
  regcert init --notify ci=https://ci.myhouse.local/hook --notify-headers ci=headers.txt
  regcert init --metrics-port 9100
  regcert init --anonymous-port 5444 --anonymous-repo 'public/*'
  regcert init --from docker-registry-self-signed --dry-run
  regcert init --start-over --permit 192.168.0.0/24
  regcert init --dry-run
  regcert init --reload")]
pub struct Args {
    #[command(flatten)]
    pub(super) writing: Writing,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Take over the names, users and images of a registry made by gen_config.py or by hand in DIR
    ///
    /// The images stay in their place, and regcert only reads the old directory. Stop the old registry first. With
    /// `-C DIR` of the same directory, regcert moves the replaced files to before-regcert/.
    #[arg(long, value_name = "DIR")]
    pub(super) from: Option<PathBuf>,
    /// With --from: keep the old root certificate if it is fit to sign, so that clients need no new one
    #[arg(long, requires = "from", conflicts_with_all = ["ca_cert", "offline_root", "external_ca", "permit", "no_name_constraints"])]
    pub(super) keep_root: bool,
    /// Replace the root, users and secrets, and keep the settings; only before first use
    ///
    /// regcert refuses if the registry runs, if it holds images, or if this machine trusts its root. Later, use
    /// `regcert rotate --ca`, which replaces the root while clients go on working.
    #[arg(long)]
    pub(super) start_over: bool,
    /// Go on without files that are missing or damaged and that regcert cannot make again, as `regcert status` tells it
    #[arg(long, conflicts_with_all = ["from", "start_over"])]
    pub(super) accept_loss: bool,
    #[command(flatten)]
    given: RawSettings,
    #[command(flatten)]
    pub(super) names: Names,
    #[command(flatten)]
    services: Services,
    #[command(flatten)]
    pub(super) user: User,
    #[command(flatten)]
    authority: AuthorityArgs,
}

/// Names that the root allows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Names")]
pub(super) struct Names {
    /// Let the root also sign for this domain or network, for later names; may be repeated; first run only
    ///
    /// The root allows the domain, the server's name, every --san and every --permit. Clients refuse its certificates for
    /// any other name, even if the root's key is stolen.
    #[arg(long, value_name = "DOMAIN|NETWORK", display_order = below("sans"))]
    pub(super) permit: Vec<String>,
    /// Let the root sign for every name; first run only
    #[arg(long, conflicts_with = "permit", display_order = below("sans") + 1)]
    no_name_constraints: bool,
}

/// Who signs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Authority (first run only, but for --encrypt-ca-key)")]
pub(super) struct AuthorityArgs {
    /// Use an existing authority: the file with its certificate and its chain up to the root, PEM or DER
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_cert: Option<PathBuf>,
    /// The key of that authority: PKCS#8, PKCS#1 or SEC1, PEM or DER, encrypted or not
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// Let an intermediate authority sign, so that you can move the root's key away
    #[arg(long, conflicts_with_all = ["ca_cert", "external_ca"])]
    offline_root: bool,
    /// Let an external authority sign: make a certificate signing request instead of a certificate
    #[arg(long, conflicts_with = "ca_cert")]
    external_ca: bool,
    /// Encrypt the authority's key with a passphrase, from the terminal or --ca-passphrase-file
    #[arg(long, conflicts_with = "external_ca")]
    encrypt_ca_key: bool,
}

/// Secrets and roots for what the registry speaks to besides its clients.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Mirror, webhooks, metrics")]
pub(super) struct Services {
    /// The mirror's login at the upstream: a file with `user:password` on its first line
    ///
    /// Only you and the registry can read it. regcert forgets it when --mirror-of changes. Every user of the mirror can pull
    /// every image that this login can pull.
    #[arg(long, value_name = "FILE", display_order = below("mirror-of"))]
    mirror_credentials: Option<PathBuf>,
    /// Trust these root certificates as well, for the upstream of a mirror and for webhooks over https: PEM
    ///
    /// Needed where the server there has a certificate of a private authority. The roots of the image stay trusted. An
    /// empty text forgets them.
    #[arg(long, value_name = "FILE", display_order = below("mirror-of") + 1)]
    upstream_ca: Option<String>,
    /// Add headers to a webhook, from a file that only you can read, one `Name: value` a line; may be repeated
    ///
    /// Only you and the registry can read them. regcert forgets them when the URL changes. They are never logged.
    #[arg(long, value_name = "NAME=FILE", display_order = below("notify"))]
    notify_headers: Vec<String>,
}

/// Who may log in first.
#[derive(clap::Args)]
#[command(next_help_heading = "First user")]
pub(super) struct User {
    /// The first user's name [default: docker]
    #[arg(long, value_name = "NAME")]
    pub(super) docker_username: Option<String>,
    /// The first user's password. Every user of this machine can read it while regcert runs: prefer --password-stdin or
    /// --password-file, or let regcert generate one
    #[arg(long, value_name = "PASSWORD", hide_env_values = true, conflicts_with = "Source")]
    pub(super) docker_password: Option<String>,
    #[command(flatten)]
    pub(super) password: Source,
}

impl Args {
    /// Whether the options assign files to another user, which only root can do.
    pub fn gives_files_away(&self) -> bool {
        self.given.run_as.is_some()
    }

    /// Collects the settings from the options of this run.
    pub(super) fn settings(&self) -> RawSettings {
        RawSettings {
            authority: self.authority.external_ca.then(|| Signer::External.to_string()),
            data: self.given.data.as_deref().map(from_here),
            ..self.given.clone()
        }
    }

    /// Whether the options name repositories that can be pulled without a password.
    pub(super) fn names_anonymous_repositories(&self) -> bool {
        self.given.anonymous_repos.is_some()
    }

    /// Whether the options name a file with a mirror's credentials for its upstream.
    pub(super) fn has_credentials(&self) -> bool {
        self.services.mirror_credentials.is_some()
    }

    /// Reads a mirror's credentials for its upstream.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>> {
        let read = |path: &PathBuf| {
            let bytes = Zeroizing::new(store::read_given(path)?);
            let credentials = Credentials::first_line(&bytes).map_err(|fault| {
                Fault::new(format!("`{}`: {}", path.display(), fault.message)).hint(fault.hint)
            });
            Ok(credentials?)
        };
        self.services.mirror_credentials.as_ref().map(read).transpose()
    }

    /// Reads the root certificates for upstreams, as PEM; empty if the user wants regcert to forget the stored ones.
    pub(super) fn upstream_roots(&self) -> Result<Option<String>> {
        let read = |path: &String| {
            if path.is_empty() {
                return Ok(String::new());
            }
            let roots = Certificate::read(&store::read_given(Path::new(path))?)
                .with_context(|| format!("--upstream-ca: `{path}`"))?;
            Ok(roots.iter().map(Certificate::pem).collect())
        };
        self.services.upstream_ca.as_ref().map(read).transpose()
    }

    /// Reads the headers for each webhook, with the webhook's name.
    pub(super) fn headers(&self) -> Result<Vec<(String, Headers)>> {
        let read = |text: &String| {
            let Some((name, path)) = text.split_once('=') else {
                let fault = Fault::new("--notify-headers: it is not NAME=FILE");
                return Err(Faults { faults: vec![fault], blame: Blame::CommandLine }.into());
            };
            let bytes = Zeroizing::new(store::read_given(Path::new(path))?);
            let headers = Headers::parse(&bytes)
                .map_err(|fault| Fault::new(format!("`{path}`: {}", fault.message)).hint(fault.hint))?;
            if store::others_may_read(Path::new(path)) {
                ui::warn(format!(
                    "others on this machine may read `{path}`: run `chmod 600 {}`",
                    shell(path)
                ));
            }
            Ok((name.to_owned(), headers))
        };
        self.services.notify_headers.iter().map(read).collect()
    }

    /// Whether the options set anything that only the first run can set, such as the authority.
    pub(super) fn fixes_authority(&self) -> bool {
        let AuthorityArgs { ca_cert, ca_key: _, offline_root, external_ca, encrypt_ca_key: _ } =
            &self.authority;
        !self.names.permit.is_empty()
            || self.names.no_name_constraints
            || ca_cert.is_some()
            || *offline_root
            || *external_ca
    }

    /// Determines the source of a new registry's authority: created, imported or external.
    pub(super) fn origin(&self, world: &World, permit: Vec<Subtree>) -> Result<Origin> {
        let authority = &self.authority;
        match (&authority.ca_cert, &authority.ca_key) {
            (Some(certificate), Some(key)) => import(certificate, key, world).map(Origin::Import),
            (Some(_), None) | (None, _) if authority.external_ca => Ok(Origin::External),
            (Some(_), None) | (None, _) => {
                let permit = (!self.names.no_name_constraints).then_some(permit);
                Ok(Origin::Create { permit, offline_root: authority.offline_root })
            }
        }
    }

    /// Whether the authority's key is to be encrypted.
    pub(super) fn encrypts(&self) -> bool {
        self.authority.encrypt_ca_key
    }
}

/// Reads an existing authority from its certificate and its key.
fn import(certificate: &Path, key: &Path, world: &World) -> Result<Authority> {
    let read = |path: &Path| store::read_given(path);
    let named = |path: &Path| format!("`{}`", path.display());
    let certificates = Certificate::read(&read(certificate)?).with_context(|| named(certificate))?;
    let bytes = Zeroizing::new(read(key)?);
    let passphrase = PrivateKey::is_encrypted(&bytes).then(|| world.passphrase()).transpose()?;
    let key_at_rest = KeyAtRest::read(&bytes, passphrase.as_ref()).with_context(|| named(key))?;
    Authority::import(certificates, key_at_rest, world.now).with_context(|| named(certificate))
}
