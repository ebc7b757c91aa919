//! The options that name the registry, the user and the trusted root, for every command that connects to a registry.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::World;
use super::password::{Prompt, Source};
use crate::auth::Password;
use crate::deployment::{Deployment, Mends};
use crate::error::{Blame, Fault, Gather};
use crate::health::Target;
use crate::names::{Typed, Username, printable};
use crate::pki::{Certificate, ServerIdentity, covers};
use crate::probe::{Api, Login, Session};
use crate::settings::Settings;
use crate::{store, ui};

/// The certificate that a client shows.
#[derive(Debug, clap::Args)]
pub struct ClientCertificate {
    /// Show this certificate, where the registry asks clients for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The key that belongs to it
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

impl ClientCertificate {
    /// Reads the certificate and its key, if the options name them.
    pub fn read(&self) -> Result<Option<ServerIdentity>> {
        let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) else {
            return Ok(None);
        };
        let mut text = Zeroizing::new(String::new());
        for path in [certificate, key] {
            let bytes = Zeroizing::new(store::read_given(path)?);
            text.push_str(&String::from_utf8_lossy(&bytes));
            text.push('\n');
        }
        let identity = ServerIdentity::from_pem(&text);
        identity.map(Some).with_context(|| format!("`{}`", certificate.display()))
    }
}

/// The options of a command that logs in.
#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The registry, HOST[:PORT] or its https address [default: the one in the directory]
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,
    /// The root certificate that clients trust [default: the one in the directory]
    #[arg(long, value_name = "FILE", requires = "registry")]
    ca_cert: Option<PathBuf>,
    /// Log in as this user [default: the only one there is]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    password: Source,
    #[command(flatten)]
    client_certificate: ClientCertificate,
}

/// The validated options: a registry, and the user who logs in.
pub struct Connected {
    pub target: Target,
    roots: Vec<Certificate>,
    identity: Option<ServerIdentity>,
    user: Username,
    password: Password,
    /// The settings of the registry, if it is the one in the directory.
    deployed: Option<Settings>,
}

impl Connection {
    /// Reads the options, resolves `typed` within the registry, and asks for the password if no option gives one.
    /// `gather` already contains the faults of the other arguments.
    pub fn read<T>(
        &self,
        world: &World,
        mut gather: Gather,
        typed: Option<Typed<T>>,
    ) -> Result<(Connected, Option<T>)> {
        let target: Option<Target> =
            self.registry.as_deref().and_then(|text| gather.take("--registry", text.parse()));
        let user: Option<Username> =
            self.user.as_deref().and_then(|text| gather.take("--user", text.parse()));
        if self.ca_cert.is_some() && self.user.is_none() {
            gather.push(Fault::new("no user is named").hint("say `--user NAME`"));
        }
        gather.finish(Blame::CommandLine)?;
        let identity = self.client_certificate.read()?;
        let (goes_by, roots, user, deployed) = match (&self.ca_cert, target, user) {
            (Some(path), Some(target), Some(user)) => (Names::of(target), roots(path)?, user, None),
            (_, target, user) => {
                let hint = "name its directory with -C, or the registry, its root and a user: `--registry HOST --ca-cert FILE --user NAME`";
                let deployment = served(world, hint)?;
                let user = user.map_or_else(|| only_user(&deployment), Ok)?;
                let roots = deployment.roots().into_iter().cloned().collect();
                match target {
                    // Does not try this machine if the name fails to resolve: the named registry may run elsewhere.
                    Some(target) => (Names::of(target), roots, user, None),
                    None => (Names::own(&deployment), roots, user, Some(deployment.spec)),
                }
            }
        };
        let typed = typed.map(|typed| goes_by.resolve(typed)).transpose()?;
        let password = self.password(&user)?;
        let target = goes_by.target;
        Ok((Connected { target, roots, identity, user, password, deployed }, typed))
    }

    fn password(&self, user: &Username) -> Result<Password> {
        if self.password.is_given() {
            return Ok(self.password.read(user.as_str(), Prompt::Never)?.0);
        }
        if ui::can_ask() {
            return ui::ask_password(user.as_str());
        }
        bail!(
            Fault::new(format!("there is no terminal to ask on for the password of {user}"))
                .hint("give it with `--password-stdin` or `--password-file FILE`")
        )
    }
}

/// The names by which users refer to a registry.
pub struct Names {
    target: Target,
    /// The server certificate, which contains every name, if the registry is the one in the directory.
    leaf: Option<Certificate>,
    anonymous_port: Option<u16>,
}

impl Names {
    /// Creates the names of a registry of which only `target` is known.
    pub fn of(target: Target) -> Self {
        Self { target, leaf: None, anonymous_port: None }
    }

    /// Collects the names of the registry in the directory.
    pub fn own(deployment: &Deployment) -> Self {
        Self {
            target: Target { host: deployment.spec.host(), port: deployment.spec.https_port },
            leaf: deployment.server.as_ref().map(|server| server.leaf().clone()),
            anonymous_port: deployment.spec.anonymous_port,
        }
    }

    /// Resolves `typed` to a name within this registry.
    pub fn resolve<T>(&self, typed: Typed<T>) -> Result<T, Fault> {
        typed.within(&self.target, |name| self.has(name))
    }

    /// Whether `name`, with or without a port, is one of the registry's names.
    fn has(&self, name: &str) -> bool {
        let Ok(typed) = name.parse::<Target>() else {
            return false;
        };
        let is_bare = !name.contains(':') || name.ends_with(']');
        let port = is_bare || typed.port == self.target.port || Some(typed.port) == self.anonymous_port;
        let covers = self.leaf.as_ref().is_some_and(|leaf| covers(leaf, &typed.host));
        port && (typed.host == self.target.host || covers)
    }
}

impl Connected {
    /// Connects to the registry and calls `work` with its API.
    pub fn with<T>(&self, work: impl FnOnce(&Api<'_>) -> Result<T>) -> Result<T> {
        let roots: Vec<_> = self.roots.iter().collect();
        let session = Session {
            target: &self.target,
            roots: &roots,
            shows: self.identity.as_ref(),
            login: Login { user: &self.user, password: &self.password },
            deployed: self.deployed.as_ref(),
        };
        work(&Api::connect(&session)?)
    }
}

/// Reads the root certificates in the file that the user named.
pub fn roots(path: &Path) -> Result<Vec<Certificate>> {
    Certificate::read(&store::read_given(path)?).with_context(|| format!("`{}`", path.display()))
}

/// Loads the registry in the directory and releases the lock; fails if the registry has no certificate to serve.
pub fn served(world: &World, hint: &str) -> Result<Deployment> {
    let deployment = world.find(hint, Mends::Nothing)?.1.known();
    if deployment.server.is_none() || deployment.root().is_none() {
        bail!(
            Fault::new(
                "the registry serves no certificate yet: a signing request waits for the external authority"
            )
            .hint("have it signed, then run `regcert import-cert FILE`")
        );
    }
    Ok(deployment)
}

/// Finds the only user, who logs in if no option names a user. Fails if there is none or more than one.
fn only_user(deployment: &Deployment) -> Result<Username> {
    let mut names = deployment.users.names();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [name] => Ok(name.parse()?),
        [] => bail!(Fault::new("no user can log in").hint("`regcert add-user NAME` adds one")),
        names => {
            let some: Vec<_> = names.iter().take(10).map(|name| printable(name)).collect();
            let more = if names.len() > some.len() { ", …" } else { "" };
            bail!(
                Fault::new(format!("there are {} users: {}{more}", names.len(), some.join(", ")))
                    .hint("say which one logs in: `--user NAME`")
            )
        }
    }
}
