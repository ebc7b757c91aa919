//! regcert: a private, TLS-secured container registry from one command.
//!
//! The modules in the order of their dependencies. A module uses only modules to its left:
//!
//! ```text
//! error · names · files → pki → auth → front → settings → render · takeover → trust → deployment → health → images → store · probe → guide · ui → commands → cli → main
//! ```
//!
//! Rules for all modules:
//! - `Deployment` holds the whole registry. It is loaded from a set of files, and rendered to a set of files.
//! - Only `store` uses the disk, only `probe` opens sockets and starts programs, only `ui` prints and asks. Only
//!   `main` reads the time, the environment and the identity of the user.
//! - A name that a user typed is parsed into a type with a restricted character set before a template uses it.
//! - Every certificate is checked before it is written, as a strict client would check it.

mod auth;
mod cli;
mod commands;
mod deployment;
mod error;
mod files;
mod front;
mod guide;
mod health;
mod images;
mod names;
mod pki;
mod probe;
mod render;
mod settings;
mod store;
mod takeover;
mod trust;
mod ui;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use time::OffsetDateTime;

use cli::{Cli, Command};
use commands::{PassphraseFile, World};
use error::Fault;
use guide::{AsRoot, OVERRIDE, Words};
use health::Found;
use probe::{Compose, Engine, Surroundings};
use render::Site;
use settings::RunAs;
use store::{Account, Caller};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.quiet {
        ui::be_quiet();
    }
    let result = world(&cli).and_then(|world| run(&cli.command, &world));
    result.unwrap_or_else(|error| {
        ui::error(&error);
        ExitCode::from(error::exit_code(&error))
    })
}

fn run(command: &Command, world: &World) -> Result<ExitCode> {
    match command {
        Command::Init(args) => commands::init::run(args, world).map(done),
        Command::AddUser(args) => commands::add_user::run(args, world).map(done),
        Command::RemoveUser(args) => commands::remove_user::run(args, world).map(done),
        Command::ListUsers(args) => commands::list_users::run(args, world).map(done),
        Command::Status(args) => commands::status::run(args, world),
        Command::Check(args) => commands::check::run(args, world),
        Command::Rotate(args) => commands::rotate::run(args, world),
        Command::Images(args) => commands::images::run(args, world).map(done),
        Command::Delete(args) => commands::delete::run(args, world).map(done),
        Command::Gc(args) => commands::gc::run(args, world).map(done),
        Command::Trust(args) => commands::trust::run(args, world),
        Command::Csr(args) => commands::csr::run(args, world).map(done),
        Command::ImportCert(args) => commands::import_cert::run(args, world).map(done),
        Command::Sign(args) => commands::sign::run(args, world).map(done),
        Command::AddClient(args) => commands::add_client::run(args, world).map(done),
        Command::Revoke(args) => commands::revoke::run(args, world).map(done),
        Command::ListClients(args) => commands::list_clients::run(args, world).map(done),
    }
}

/// Fails if a path contains a control character: a timer or cron job could not contain such a path.
fn printable(site: &Site) -> Result<()> {
    for path in [&site.directory, &site.program] {
        if path.chars().any(char::is_control) {
            bail!(
                Fault::new(format!(
                    "`{}` holds a control character, which no timer or cron job can carry",
                    names::printable(path)
                ))
                .hint("choose another directory with -C, or rename it")
            );
        }
    }
    Ok(())
}

/// The facts about this machine that the registry's files contain: the paths of the directory and of regcert, and the
/// contents of `/etc/hosts`.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn site(dir: &Path) -> Site {
    let text =
        |path: std::io::Result<PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
    Site {
        directory: text(std::path::absolute(dir)),
        program: text(std::env::current_exe()),
        user: None,
        hosts: match store::look(Path::new("/etc/hosts")) {
            Found::File { bytes, .. } => names::hosts(&String::from_utf8_lossy(&bytes)),
            Found::Nothing | Found::Directory(_) | Found::Unreadable(_) => Vec::new(),
        },
    }
}

/// Collects the facts about this machine and the user who runs regcert. If root runs regcert in another user's
/// directory, switches to that user.
// Long because each fact about the machine has its line.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn world(cli: &Cli) -> Result<World> {
    // Must come before root becomes another user: `as_root` is about the user who typed the command.
    let as_root = as_root();
    // Read here and not by clap, because clap treats an empty variable as a missing path.
    let given = cli.dir.clone().or_else(|| variable("REGCERT_DIR").map(PathBuf::from));
    let dir = directory(given.clone());
    let mut site = site(&dir);
    printable(&site)?;
    let uid = rustix::process::geteuid().as_raw();
    let caller = Caller {
        uid,
        sudo: std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()),
        founds: matches!(cli.command, Command::Init(_)),
        needs_root: cli.command.needs_root(),
    };
    let passphrase = variable("REGCERT_CA_PASSPHRASE_FILE").map(PathBuf::from);
    let mut passphrase = cli.ca_passphrase_file.clone().or(passphrase).map(PassphraseFile::Named);
    let owner = store::owner_to_become(&dir, caller)?;
    if let Some(owner) = &owner {
        // Read before regcert gives up root's rights: a timer may name a passphrase file that only root can read.
        if let Some(PassphraseFile::Named(path)) = &passphrase {
            passphrase = Some(PassphraseFile::Read(path.clone(), store::read_raw(path)?.into()));
        }
        ui::busy(format!("working as `{}`, the owner of `{}`", owner.name(), dir.display()));
        owner.become_it()?;
        probe::act_for(owner.home.clone());
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if uid != 0 {
        site.user = Some(Account::of(uid, gid).name());
    }
    let compose = compose(owner.as_ref());
    let engine = engine(uid, owner.as_ref());
    probe::choose_engine(std::env::var_os("PATH").as_deref());
    let docker = if engine == Engine::Own { AsRoot::Already } else { docker(as_root) };
    let words = Words {
        typed: typed(),
        program: PathBuf::from(&site.program),
        dir: dir.clone(),
        finds_dir: given.is_none(),
        as_root,
        docker,
        compose,
        overrides: dir.join(OVERRIDE).exists(),
    };
    ui::complete_with(&words);
    Ok(World {
        now: OffsetDateTime::now_utc(),
        // In a rootless engine, root in a container is the user who runs the engine.
        invoker: if engine == Engine::Own { RunAs::ROOT } else { RunAs::invoker(uid, gid) },
        me: RunAs { uid, gid },
        engine,
        dir,
        site,
        passphrase_file: passphrase,
        compose,
        words,
        project_variable: project_variable(),
    })
}

/// The value of an environment variable; `None` if the variable is unset or empty.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// The given directory, or the current one if it contains a registry, or else `./registry`.
fn directory(given: Option<PathBuf>) -> PathBuf {
    let here =
        || if Path::new("regcert.toml").exists() { PathBuf::from(".") } else { PathBuf::from("registry") };
    given.unwrap_or_else(here)
}

/// The command that runs Docker Compose on this machine.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn compose(owner: Option<&Account>) -> Compose {
    let own = || variable("DOCKER_CONFIG").map(PathBuf::from);
    let home = match owner {
        Some(owner) => owner.home.clone(),
        None => variable("HOME").map(PathBuf::from),
    };
    let settings = if owner.is_some() { None } else { own() };
    let settings = settings.or_else(|| home.map(|home| home.join(".docker")));
    Compose::find(std::env::var_os("PATH").as_deref(), settings.as_deref())
}

/// The container engine that `docker` connects to. `owner` is the user that regcert switched to; the environment
/// variables of this user are unknown.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn engine(uid: u32, owner: Option<&Account>) -> Engine {
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    let (host, context) = (text("DOCKER_HOST"), text("DOCKER_CONTEXT"));
    let set = |name: &str| variable(name).map(PathBuf::from);
    let path = std::env::var_os("PATH");
    match owner {
        Some(owner) => Engine::find(
            uid,
            &Surroundings {
                settings: owner.home.as_ref().map(|home| home.join(".docker")).as_deref(),
                runtime: Some(Path::new(&format!("/run/user/{uid}"))),
                path: path.as_deref(),
                ..Surroundings::default()
            },
        ),
        None => Engine::find(
            uid,
            &Surroundings {
                host: host.as_deref(),
                context: context.as_deref(),
                settings: set("DOCKER_CONFIG")
                    .or_else(|| set("HOME").map(|home| home.join(".docker")))
                    .as_deref(),
                runtime: set("XDG_RUNTIME_DIR").as_deref(),
                path: path.as_deref(),
            },
        ),
    }
}

/// The value of the environment variable `COMPOSE_PROJECT_NAME`.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn project_variable() -> Option<String> {
    std::env::var(names::PROJECT_NAME).ok()
}

/// The command that runs regcert, for messages: the bare name if PATH finds this program, otherwise the path as typed.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn typed() -> String {
    let typed = std::env::args().next().unwrap_or_else(|| "regcert".to_owned());
    let name = Path::new(&typed).file_name().and_then(|name| name.to_str()).unwrap_or(&typed).to_owned();
    let found = probe::on_path(&name, std::env::var_os("PATH").as_deref());
    let same = found.and_then(|found| found.canonicalize().ok()) == Path::new(&typed).canonicalize().ok();
    if typed.contains('/') && same { name } else { typed }
}

/// The way this user runs commands as root: directly, with sudo or with su.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn as_root() -> AsRoot {
    if rustix::process::geteuid().is_root() {
        AsRoot::Already
    } else if probe::on_path("sudo", std::env::var_os("PATH").as_deref()).is_some() {
        AsRoot::Sudo
    } else {
        AsRoot::Su
    }
}

/// The way this user runs `docker`: directly or as root.
#[allow(clippy::disallowed_methods)] // Only this file reads the environment.
fn docker(as_root: AsRoot) -> AsRoot {
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let has_own = variable("DOCKER_HOST").is_some() || probe::has_rootless_docker(runtime.as_deref());
    if !has_own && probe::docker_is_for_root() { as_root } else { AsRoot::Already }
}
