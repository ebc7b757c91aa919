//! `regcert check`: the running registry as a client sees it, link by link, each broken one with its cure.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use time::OffsetDateTime;

use super::World;
use super::connection::{self, ClientCertificate};
use super::password::{Prompt, Source};
use crate::auth::Password;
use crate::deployment::{Deployment, NGINX_CONF, ROLES, reads_roles};
use crate::error::{Blame, Fault, Gather};
use crate::health::{self, Found, Known, Link, Machine, RolesOnDisk, State, Target};
use crate::names::{Repository, Username, shell};
use crate::pki::{Certificate, ServerIdentity};
use crate::probe::{self, Client, Compose, Login, Step};
use crate::spec::{Data, Proxy};
use crate::trust::{self, Anchors, Release};
use crate::{store, ui};

/// Look at the running registry as a client does
///
/// From the name to the last byte, link by link: each is held, broken or not tried, and a broken one is shown with what
/// mends it. Trial images go to the repository `regcert-check`, or to one of that name that is open to the user; nothing of
/// them stays, or the same few hundred bytes each time where the user may not delete. Ctrl-C takes back what is stored
/// before it ends the run. The exit code is 3 where something needs doing, so that a timer can tell.
///
/// On another machine, the root certificate and the registry's name are enough.
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
    /// Whether it reads settings of this machine that may be root's alone.
    pub fn looks_at_client(&self) -> bool {
        self.as_client
    }
}

/// What is asked for, read and checked.
struct Asked {
    target: Option<Target>,
    user: Option<(Username, Password)>,
    repository: Option<Repository>,
    identity: Option<ServerIdentity>,
}

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<ExitCode> {
    let asked = asked(args)?;
    let links = match &args.ca_cert {
        Some(path) => {
            let roots = connection::roots(path)?;
            let target = asked.target.clone().expect("clap requires it");
            let subject =
                Subject { target, roots: roots.iter().collect(), deployment: None, root_file: path.clone() };
            look(args, world, &asked, &subject)
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
                root_file: world.dir.join(deployment.root_path()),
                deployment: Some(&deployment),
            };
            look(args, world, &asked, &subject)
        }
    };
    let broken = links.1.iter().any(|link| link.state == State::Broken);
    let text = if args.json { summary(&links.0, &links.1).to_string() } else { screen(&links.0, &links.1) };
    ui::data(text)?;
    Ok(if broken { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

fn asked(args: &Args) -> Result<Asked> {
    let mut gather = Gather::default();
    let target = args.registry.as_deref().and_then(|text| gather.take("REGISTRY", text.parse()));
    let user: Option<Username> = args.user.as_deref().and_then(|text| gather.take("--user", text.parse()));
    if args.user.is_some() != args.password.is_given() {
        gather.push(
            Fault::new("a user needs a password, and a password a user")
                .hint("say `--user NAME --password-stdin`, or `--password-file FILE`"),
        );
    }
    let repository: Option<Repository> =
        args.repository.as_deref().and_then(|name| gather.take("--repository", name.parse()));
    gather.finish(Blame::CommandLine)?;
    let user = match user {
        Some(user) => {
            let (password, _) = args.password.read(user.as_str(), Prompt::Never)?;
            Some((user, password))
        }
        None => None,
    };
    let identity = args.client_certificate.read()?;
    Ok(Asked { target, user, repository, identity })
}

/// What is looked at.
struct Subject<'a> {
    target: Target,
    roots: Vec<&'a Certificate>,
    deployment: Option<&'a Deployment>,
    root_file: PathBuf,
}

fn look(args: &Args, world: &World, asked: &Asked, subject: &Subject<'_>) -> (String, Vec<Link>) {
    let Subject { target, roots, deployment, .. } = subject;
    let user = asked.user.as_ref();
    let access =
        deployment.zip(user).map(|(deployment, (user, _))| deployment.state.access.of(user.as_str()));
    let is_mirror = deployment.is_some_and(|deployment| deployment.spec.mirror_of.is_some());
    let trial = health::trial(asked.repository.as_ref().map(Repository::as_str), is_mirror, access.as_ref());
    let client = Client {
        roots,
        login: user.map(|(user, password)| Login { user, password }),
        shows: asked.identity.as_ref(),
        trial: &trial,
        at_home: deployment.is_some(),
    };
    let hosts_file = hosts_file(&store::look(Path::new("/etc/hosts")), &target.host.to_string());
    ui::busy(format!("looking at {target}"));
    let seen = probe::look(target, &client, world.now);
    let place = |path: &Path| shell(&path.display().to_string());
    let dir = place(&world.dir);
    let usual = ["registry", "."].contains(&dir.as_str());
    let reload = match deployment.map(|deployment| deployment.spec.proxy) {
        Some(Proxy::Nginx) | None => Step::ReloadNginx,
        Some(Proxy::None) => Step::RestartRegistry,
    };
    let data = deployment.and_then(|deployment| match &deployment.spec.data {
        Data::Directory(path) => Some(place(&world.dir.join(path).components().collect::<PathBuf>())),
        Data::Volume | Data::Existing(_) => None,
    });
    let known = Known {
        target,
        roots,
        deployment: *deployment,
        regcert: &if usual { "regcert".to_owned() } else { format!("regcert -C {dir}") },
        dir: &dir,
        data: data.as_deref(),
        reload: &reload.words().join(" "),
        // Of another machine only the usual command is known.
        compose: &deployment.map_or(Compose::Plugin, |_| world.compose).to_string(),
        user: user.map(|(user, _)| user),
        entry: user.and_then(|(user, password)| Some(deployment.as_ref()?.users.login(user, password))),
        access: access.as_ref(),
        roles: deployment.map_or(RolesOnDisk::Fit, |deployment| roles(deployment, &world.dir)),
        trial: &trial,
        hosts_file: &hosts_file,
        now: world.now,
    };
    let mut links = health::check(&known, &seen);
    if args.as_client {
        links.extend(as_client(world, asked, subject, known.regcert));
    }
    (target.to_string(), links)
}

/// Whether the runtimes of this machine trust it.
fn as_client(world: &World, asked: &Asked, subject: &Subject<'_>, regcert: &str) -> Vec<Link> {
    let Subject { target, roots, deployment, root_file } = subject;
    let config_home = world.config_home.as_deref();
    let root_file = &shell(&root_file.display().to_string());
    let targets = match deployment.filter(|_| asked.target.is_none()) {
        Some(deployment) => {
            deployment.spec.ways().into_iter().map(|(host, port)| Target { host, port }).collect()
        }
        None => vec![target.clone()],
    };
    let cure = match deployment {
        Some(_) => format!("sudo {regcert} trust install"),
        None => "sudo sh install.sh".to_owned(),
    };
    let told = told(&targets, roots, &cure).unwrap_or_else(|error| {
        ui::warn(format!("containerd and clusters were not looked at: {error}"));
        String::new()
    });
    health::runtimes(&Machine {
        targets: &targets,
        told: &told,
        roots,
        root_file,
        config_home,
        look: &store::look,
    })
}

/// What the script for clients, asked for these names, says of this machine.
fn told(targets: &[Target], roots: &[&Certificate], cure: &str) -> Result<String> {
    let ways: Vec<_> = targets.iter().map(|target| (target.host.clone(), target.port)).collect();
    let release = Release { version: String::new(), at: OffsetDateTime::UNIX_EPOCH };
    let script = trust::script(&Anchors::at(&ways, &ways[0].0.to_string(), Some(80), roots, &release))?;
    probe::script_output(&script, &["--check", "--quiet", "--cure", cure], &[0, 3])
}

/// Whether nginx would read what the directory says.
fn roles(deployment: &Deployment, dir: &Path) -> RolesOnDisk {
    let is = |path: &str, test: &dyn Fn(&[u8]) -> bool| match store::look(&dir.join(path)) {
        Found::File { bytes, .. } => test(&bytes),
        Found::Nothing | Found::Directory(_) => false,
        // Who may not look cannot tell.
        Found::Unreadable(_) => true,
    };
    let wanted = deployment.state.access.to_map();
    match deployment.spec.proxy {
        Proxy::None => RolesOnDisk::Fit,
        Proxy::Nginx if !is(NGINX_CONF, &reads_roles) => RolesOnDisk::Unread,
        Proxy::Nginx if !is(ROLES, &|bytes| bytes == wanted.as_bytes()) => RolesOnDisk::Other,
        Proxy::Nginx => RolesOnDisk::Fit,
    }
}

/// The addresses that /etc/hosts gives to `name`.
fn hosts_file(found: &Found, name: &str) -> Vec<IpAddr> {
    let Found::File { bytes, .. } = found else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let address = |mut words: std::str::SplitWhitespace<'_>| {
        let address = words.next()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then(|| address.parse().ok())?
    };
    lines.filter_map(address).collect()
}

fn screen(registry: &str, links: &[Link]) -> String {
    let mut lines = vec![format!("{registry} as a client sees it"), String::new()];
    for Link { name, state, message, .. } in links {
        lines.push(format!("  {name:<15}  {:<9}  {message}", state.text()));
    }
    lines.push(String::new());
    let broken: Vec<_> = links.iter().filter(|link| link.state == State::Broken).collect();
    for link in &broken {
        lines.push(format!("broken: {}: {}", link.name, link.message));
        lines.push(format!("hint: {}", link.hint));
    }
    lines.push(match broken.len() {
        0 => "nothing is broken".to_owned(),
        1 => "1 link is broken".to_owned(),
        n => format!("{n} links are broken"),
    });
    lines.join("\n")
}

fn summary(registry: &str, links: &[Link]) -> serde_json::Value {
    json!({
        "registry": registry,
        "healthy": links.iter().all(|link| link.state != State::Broken),
        "links": links,
    })
}
