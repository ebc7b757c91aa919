//! regcert: a private, TLS-secured container registry from one command.
//!
//! The map, each module below those it may use:
//!
//! ```text
//! error · names · files → pki → auth · spec → render · takeover → trust → deployment → health → images → store · probe → guide · ui → commands → cli → main
//! ```
//!
//! What holds everywhere:
//! - `Deployment` is the whole registry as one value; it loads from a set of files and turns back into one.
//! - Only `store` touches the disk, only `probe` opens sockets and starts programs, only `ui` prints and asks, only
//!   `main` asks the time, the environment and who runs it.
//! - A name that a person typed is a type with a closed alphabet before it reaches a template.
//! - Every certificate is checked as a strict client would check it before it is written.

mod auth;
mod cli;
mod commands;
mod deployment;
mod error;
mod files;
mod guide;
mod health;
mod images;
mod names;
mod pki;
mod probe;
mod render;
mod spec;
mod store;
mod takeover;
mod trust;
mod ui;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use time::OffsetDateTime;

use cli::{Cli, Command};
use commands::World;
use probe::{Compose, PROJECT_NAME};
use render::Site;
use spec::RunAs;

#[allow(clippy::disallowed_methods)] // The one place that asks the machine.
fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.quiet {
        ui::be_quiet();
    }
    let invoker = RunAs::invoker(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let dir = directory(cli.dir);
    let text =
        |path: std::io::Result<PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
    let site = Site { directory: text(std::path::absolute(&dir)), program: text(std::env::current_exe()) };
    let now = OffsetDateTime::now_utc();
    let world = World {
        now,
        invoker,
        dir,
        site,
        passphrase_file: cli.ca_passphrase_file,
        config_home: config_home(),
        compose: compose(),
        project_variable: project_variable(),
    };
    let result = match &cli.command {
        Command::Init(args) => commands::init::run(args, &world).map(done),
        Command::AddUser(args) => commands::add_user::run(args, &world).map(done),
        Command::RemoveUser(args) => commands::remove_user::run(args, &world).map(done),
        Command::ListUsers(args) => commands::list_users::run(args, &world).map(done),
        Command::Status(args) => commands::status::run(args, &world),
        Command::Check(args) => commands::check::run(args, &world),
        Command::Rotate(args) => commands::rotate::run(args, &world).map(done),
        Command::Images(args) => commands::images::run(args, &world).map(done),
        Command::Delete(args) => commands::delete::run(args, &world).map(done),
        Command::Gc(args) => commands::gc::run(args, &world).map(done),
        Command::Trust(args) => commands::trust::run(args, &world),
        Command::Csr(args) => commands::csr::run(args, &world).map(done),
        Command::ImportCert(args) => commands::import_cert::run(args, &world).map(done),
        Command::Sign(args) => commands::sign::run(args, &world).map(done),
        Command::AddClient(args) => commands::add_client::run(args, &world).map(done),
        Command::Revoke(args) => commands::revoke::run(args, &world).map(done),
        Command::ListClients(args) => commands::list_clients::run(args, &world).map(done),
    };
    result.unwrap_or_else(|error| {
        ui::error(&error);
        ExitCode::from(error::exit_code(&error))
    })
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// `./registry`, unless somebody said otherwise or stands in a registry's directory.
fn directory(given: Option<PathBuf>) -> PathBuf {
    let here =
        || if Path::new("regcert.toml").exists() { PathBuf::from(".") } else { PathBuf::from("registry") };
    given.unwrap_or_else(here)
}

/// How Docker Compose is called here.
#[allow(clippy::disallowed_methods)] // The one place that asks the machine.
fn compose() -> Compose {
    let settings = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    Compose::find(std::env::var_os("PATH").as_deref(), settings.or_else(home).as_deref())
}

/// The name that the environment gives to every Compose project.
#[allow(clippy::disallowed_methods)] // The one place that asks the machine.
fn project_variable() -> Option<String> {
    std::env::var(PROJECT_NAME).ok()
}

/// Where the person's own settings are (XDG base directories).
#[allow(clippy::disallowed_methods)] // The one place that asks the machine.
fn config_home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))
}
