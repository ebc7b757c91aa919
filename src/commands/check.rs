//! `regcert check`: tests the running registry as a client, and shows how to repair each fault found.
// Long because the options, the tests and the output are easier to read together.

mod home;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use time::OffsetDateTime;

use home::Home;

use super::World;
use super::connection::{self, ClientCertificate, Names};
use super::password::{Prompt, Source};
use crate::auth::{Password, PasswordFiles};
use crate::deployment::{Deployment, REGISTRY_CONFIG};
use crate::error::{Blame, Fault, Gather};
use crate::front;
use crate::health::{self, Finding, Found, Known, RolesOnDisk, Running, Seen, State, Target, UpstreamSeen};
use crate::names::{Repository, Typed, Username};
use crate::pki::{Certificate, ServerIdentity};
use crate::probe::{self, Client, Compose, Engine, Login, Outward, Step};
use crate::settings::{Data, Proxy, RunAs};
use crate::trust::{self, Anchors, Release};
use crate::{store, ui};

/// Test the running registry as a client, and say how to mend what is broken
///
/// From the name to the last byte, link by link: each is held, broken or not tried, and a broken one is shown with what
/// mends it. Trial images go to the repository `regcert-check`, or to one of that name that is open to the user; nothing of
/// them stays but the repository's empty name, or the same few hundred bytes each time where the user may not delete. Ctrl-C takes back what is stored
/// before it ends the run. The exit code is 3 where something needs doing, so that a timer can tell.
///
/// On a terminal it asks for the password of the user, or of the only one there is; without a user it sees less, and says
/// how much. On another machine, the root certificate and the registry's name are enough.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert check
  regcert check --user bob --password-file bob.txt
  regcert check --ca-cert root.crt https://registry1.myhouse.local:5443
  regcert check --as-client --json")]
pub struct Args {
    /// The registry, HOST[:PORT] or its https address [default: the one in the directory]
    registry: Option<String>,
    /// The root certificate that clients trust [default: the one in the directory]
    #[arg(long, value_name = "FILE", requires = "registry")]
    ca_cert: Option<PathBuf>,
    /// Log in, push and pull as this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    password: Source,
    #[command(flatten)]
    client_certificate: ClientCertificate,
    /// Where trial images go [default: regcert-check, or one of that name that is open to the user]
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// See also whether Docker and the other runtimes of this machine trust the registry
    #[arg(long)]
    as_client: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether the command reads settings of this machine that only root may be able to read.
    pub fn looks_at_client(&self) -> bool {
        self.as_client
    }
}

/// The validated arguments of the command, with the contents of the files that the arguments name.
struct Asked {
    target: Option<Target>,
    user: Option<Username>,
    password: Option<Password>,
    /// Whether regcert can ask for the password on a terminal.
    asks: bool,
    repository: Option<Typed<Repository>>,
    identity: Option<ServerIdentity>,
}

pub fn run(args: &Args, world: &World) -> Result<ExitCode> {
    let mut asked = asked(args)?;
    let (registry, links, logged_in) = match &args.ca_cert {
        Some(path) => {
            let roots = connection::roots(path)?;
            let target = asked.target.clone().expect("clap requires it");
            let subject = Subject { target, roots: roots.iter().collect(), deployment: None };
            let user = asked.login(None)?;
            let (registry, links) = look(args, world, &asked, user.as_ref(), &subject)?;
            (registry, links, user.is_some())
        }
        None => {
            let deployment = connection::served(
                world,
                "name its directory with -C, or the registry and its root: `regcert check --ca-cert FILE HOST`",
            )?;
            let own = Target { host: deployment.spec.host(), port: deployment.spec.https_port };
            let subject = Subject {
                target: asked.target.clone().unwrap_or(own),
                roots: deployment.roots(),
                deployment: Some(&deployment),
            };
            let user = asked.login(Some(&deployment))?;
            let (registry, links) = look(args, world, &asked, user.as_ref(), &subject)?;
            (registry, links, user.is_some())
        }
    };
    let text =
        if args.json { summary(&registry, &links).to_string() } else { screen(&registry, &links, logged_in) };
    ui::data(text)?;
    Ok(if health::are_healthy(&links) { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

impl Asked {
    /// Determines the user who logs in, and the password; `None` if there is no user or no password.
    fn login(&mut self, deployment: Option<&Deployment>) -> Result<Option<(Username, Password)>> {
        let only = || match deployment?.users.names().as_slice() {
            [name] => name.parse().ok(),
            _ => None,
        };
        let Some(user) = self.user.take().or_else(only) else {
            return Ok(None);
        };
        let password = match self.password.take() {
            None if self.asks => ui::ask_password_or_none(user.as_str())?,
            given => given,
        };
        Ok(password.map(|password| (user, password)))
    }
}

fn asked(args: &Args) -> Result<Asked> {
    let mut gather = Gather::default();
    let target = args.registry.as_deref().and_then(|text| gather.take("REGISTRY", text.parse()));
    let user: Option<Username> = args.user.as_deref().and_then(|text| gather.take("--user", text.parse()));
    let asks = ui::can_ask() && !args.json;
    if (args.user.is_some() && !asks && !args.password.is_given())
        || (args.user.is_none() && args.password.is_given())
    {
        gather.push(
            Fault::new("a user needs a password, and a password a user")
                .hint("say `--user NAME --password-stdin`, or `--password-file FILE`"),
        );
    }
    let repository: Option<Typed<Repository>> =
        args.repository.as_deref().and_then(|name| gather.take("--repository", name.parse()));
    gather.finish(Blame::CommandLine)?;
    let password = match (&user, args.password.is_given()) {
        (Some(user), true) => Some(args.password.read(user.as_str(), Prompt::Never)?.0),
        (Some(_), false) | (None, _) => None,
    };
    let identity = args.client_certificate.read()?;
    Ok(Asked { target, user, password, asks, repository, identity })
}

/// The registry to test.
struct Subject<'a> {
    target: Target,
    roots: Vec<&'a Certificate>,
    deployment: Option<&'a Deployment>,
}

fn look(
    args: &Args,
    world: &World,
    asked: &Asked,
    user: Option<&(Username, Password)>,
    subject: &Subject<'_>,
) -> Result<(String, Vec<Finding>)> {
    let Subject { target, roots, deployment, .. } = subject;
    let access =
        deployment.zip(user).map(|(deployment, (user, _))| deployment.state.access.of(user.as_str()));
    let is_mirror = deployment.is_some_and(|deployment| deployment.spec.mirror_of.is_some());
    let repository = named(asked, subject)?;
    let trial = health::trial(repository.as_ref().map(Repository::as_str), is_mirror, access.as_ref());
    let client = Client {
        roots,
        login: user.map(|(user, password)| Login { user, password }),
        shows: asked.identity.as_ref(),
        trial: &trial,
        at_home: deployment.is_some(),
        wanted: deployment.and_then(|deployment| Some(deployment.server.as_ref()?.leaf())),
    };
    ui::busy(format!("looking at {target}"));
    let seen = probe::look(target, &client, world.now);
    let running = running(world, asked, subject, user, &seen);
    let home = deployment.map_or_else(Home::elsewhere, |deployment| Home::of(world, deployment));
    let upstream = upstream(asked, subject, &home.outward);
    let known = Known {
        target,
        roots,
        deployment: *deployment,
        server: server(world, *deployment),
        data: home.data.as_deref(),
        reload: &reload(*deployment).commands(world.compose)[0].join(" "),
        dir: &world.dir,
        own: &home.own,
        // The Compose command of another machine is unknown, so the usual one is shown.
        compose: &deployment.map_or(Compose::Plugin, |_| world.compose).to_string(),
        user: user.map(|(user, _)| user),
        entry: user.and_then(|(user, password)| Some(deployment.as_ref()?.users.login(user, password))),
        access: access.as_ref(),
        roles: deployment.map_or(RolesOnDisk::Fit, |deployment| roles(world, deployment)),
        trial: &trial,
        hosts_file: &hosts_file(world, target),
        containers: &home.containers,
        listeners: &home.listeners,
        free_ports: home.free_ports,
        files: &home.files,
        running: running.as_ref(),
        upstream: upstream.as_ref(),
        refused: home.refused.as_deref(),
        now: world.now,
    };
    let mut links = health::check(&known, &seen);
    if args.as_client {
        links.extend(as_client(world, asked, subject));
    }
    Ok((target.to_string(), if deployment.is_some() { world.typed(links) } else { links }))
}

/// Chooses the step that makes the containers read new files.
fn reload(deployment: Option<&Deployment>) -> Step {
    match deployment.map(|deployment| deployment.spec.proxy) {
        Some(Proxy::Nginx) | None => Step::ReloadNginx,
        Some(Proxy::None) => Step::RestartRegistry,
    }
}

/// Finds out the settings that the running registry uses; `None` if the target is not the registry in the directory.
fn running(
    world: &World,
    asked: &Asked,
    subject: &Subject<'_>,
    user: Option<&(Username, Password)>,
    seen: &Seen,
) -> Option<Running> {
    let spec = &subject.deployment.filter(|_| asked.target.is_none())?.spec;
    let login = user.map(|(user, password)| Login { user, password });
    let data = match &spec.data {
        Data::Directory(path) => store::real(&world.dir.join(path)).ok(),
        Data::Volume | Data::Existing(_) => None,
    };
    let config_changed = store::changed(&world.dir.join(REGISTRY_CONFIG));
    let tried = probe::try_settings(spec, seen, &subject.roots, asked.identity.as_ref(), login.as_ref());
    Some(Running { data, config_changed, ..tried })
}

/// Determines the host user that the containers run as; `None` if no file can belong to that user.
fn server(world: &World, deployment: Option<&Deployment>) -> Option<RunAs> {
    match deployment {
        Some(deployment) if world.engine == Engine::Own && deployment.spec.run_as.uid != 0 => None,
        Some(deployment) => Some(world.server(deployment)),
        None => Some(world.invoker),
    }
}

/// Lists the addresses that /etc/hosts contains for the target's host.
fn hosts_file(world: &World, target: &Target) -> Vec<IpAddr> {
    let name = target.host.to_string();
    world.site.hosts.iter().filter(|(known, _)| *known == name).map(|(_, ip)| *ip).collect()
}

/// Resolves the value of `--repository` to a repository name without the registry in front.
fn named(asked: &Asked, subject: &Subject<'_>) -> Result<Option<Repository>> {
    let names = match subject.deployment.filter(|_| asked.target.is_none()) {
        Some(deployment) => Names::own(deployment),
        None => Names::of(subject.target.clone()),
    };
    Ok(asked.repository.clone().map(|typed| names.resolve(typed)).transpose()?)
}

/// Checks whether a mirror can fetch from its upstream; `None` if the registry is not a mirror.
fn upstream(asked: &Asked, subject: &Subject<'_>, outward: &Outward) -> Option<Finding> {
    let deployment = subject.deployment.filter(|_| asked.target.is_none())?;
    let upstream = deployment.spec.mirror_of.as_ref()?;
    let (url, proxy) = (upstream.to_string(), outward.to(upstream));
    let through = proxy.as_ref().map(ToString::to_string);
    // Not tested: through a proxy, http needs another protocol than https. regcert supports only HTTP proxies.
    if proxy.as_ref().is_some_and(|proxy| upstream.is_in_clear() || !proxy.speaks_http()) {
        return Some(health::upstream(&UpstreamSeen { url: &url, through, answer: None }));
    }
    // The bundle of this machine contains the same public roots as the bundle in the container.
    let bundle = health::BUNDLES.iter().find_map(|path| match store::look(Path::new(path)) {
        Found::File { bytes, .. } => Some(bytes),
        Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => None,
    });
    let mut roots = bundle.unwrap_or_default();
    roots.extend(deployment.state.upstream_roots.as_bytes());
    ui::busy(format!("asking {url}"));
    let answer = Some(probe::ask_upstream(&url, &roots, proxy.as_ref()));
    Some(health::upstream(&UpstreamSeen { url: &url, through, answer }))
}

/// Checks whether the container runtimes of this machine trust the registry.
fn as_client(world: &World, asked: &Asked, subject: &Subject<'_>) -> Vec<Finding> {
    let targets = match subject.deployment.filter(|_| asked.target.is_none()) {
        Some(deployment) => {
            deployment.spec.ways().into_iter().map(|(host, port)| Target { host, port }).collect()
        }
        None => vec![subject.target.clone()],
    };
    let cure = match subject.deployment {
        Some(_) => world.words.regcert_as_root("trust install"),
        None => "sudo sh install.sh".to_owned(),
    };
    health::runtimes(told(&targets, &subject.roots, &cure).map_err(|error| error.to_string()))
}

/// Runs `install.sh --check` for these targets on this machine, and returns the output.
fn told(targets: &[Target], roots: &[&Certificate], cure: &str) -> Result<String> {
    let ways: Vec<_> = targets.iter().map(|target| (target.host.clone(), target.port)).collect();
    let release = Release { version: String::new(), at: OffsetDateTime::UNIX_EPOCH };
    let script = trust::script(&Anchors::at(&ways, &ways[0].0.to_string(), Some(80), roots, &release))?;
    probe::script_output(&script, &["--check", "--quiet", "--cure", cure], &[0, 3])
}

/// Checks the roles on disk, and whether nginx.conf reads them.
fn roles(world: &World, deployment: &Deployment) -> RolesOnDisk {
    let look = |path: &str| store::look(&world.dir.join(path));
    // Treats a file that this user cannot read as correct. Another finding reports a missing or unreadable
    // configuration.
    let is_hidden = |path: &&str| matches!(look(path), Found::Unreadable(_));
    let configuration = front::whole(&|path| world.text(path));
    let reads =
        configuration.as_deref().is_some_and(front::reads_roles) || front::FILES.iter().any(is_hidden);
    let passwords = configuration.as_deref().map_or(PasswordFiles::OneForAll, front::password_files);
    let fits = match look(front::ROLES) {
        Found::File { bytes, .. } => bytes == front::map(&deployment.state.access, passwords).as_bytes(),
        Found::Nothing | Found::Directory(_) => false,
        Found::Unreadable(_) => true,
    };
    match deployment.spec.proxy {
        Proxy::None => RolesOnDisk::Fit,
        Proxy::Nginx if !reads => RolesOnDisk::Unread,
        Proxy::Nginx if !fits => RolesOnDisk::Other,
        Proxy::Nginx => RolesOnDisk::Fit,
    }
}

fn screen(registry: &str, links: &[Finding], logged_in: bool) -> String {
    let mut lines = vec![format!("{registry} as a client sees it"), String::new()];
    for Finding { id, state, message, .. } in links {
        lines.push(format!("  {id:<15}  {:<9}  {message}", state.text()));
    }
    lines.push(String::new());
    lines.extend(health::told(links));
    let found = match links.iter().filter(|link| link.is_broken()).count() {
        0 => "nothing is broken".to_owned(),
        1 => "1 link is broken".to_owned(),
        n => format!("{n} links are broken"),
    };
    lines.push(found + &untried(links, logged_in));
    lines.join("\n")
}

/// Formats the number of checks that were not tried, for the end of the last line.
fn untried(links: &[Finding], logged_in: bool) -> String {
    let count = links.iter().filter(|link| link.state == State::NotTried).count();
    let tried = match count {
        0 => return String::new(),
        1 => "; 1 link was not tried".to_owned(),
        n => format!("; {n} links were not tried"),
    };
    let waits = links.iter().any(Finding::is_broken);
    if logged_in || waits { tried } else { format!("{tried}: name a user with `--user NAME`") }
}

fn summary(registry: &str, links: &[Finding]) -> serde_json::Value {
    json!({
        "registry": registry,
        "not_tried": links.iter().filter(|link| link.state == State::NotTried).count(),
        "healthy": health::are_healthy(links),
        "findings": links,
    })
}
