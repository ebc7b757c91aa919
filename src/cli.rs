//! The command line: global options and the list of commands. No work is done here.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{add_user, init, list_users, remove_user};

/// A private, TLS-secured container registry from one command
///
/// regcert makes a certificate authority, a server certificate, users, nginx.conf, docker-compose.yml and what each
/// client needs to trust it all, in one directory. Run `init` again to renew the certificate.
#[derive(Parser)]
#[command(name = "regcert", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  regcert init --cert-domain myhouse.local --registry-server-name registry1
  regcert add-user bob
  regcert init --reload

Exit codes: 0 done, 1 could not, 2 wrong command line.")]
pub struct Cli {
    /// The registry's directory [default: ./registry; the current directory where it holds regcert.toml]
    #[arg(short = 'C', long, global = true, env = "REGCERT_DIR", value_name = "DIR", hide_env = true)]
    pub dir: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One verb each.
#[derive(Subcommand)]
pub enum Command {
    /// Create a registry, or apply changed settings and renew the server certificate
    Init(Box<init::Args>),
    /// Add a user, or give one another password
    AddUser(add_user::Args),
    /// Remove a user
    RemoveUser(remove_user::Args),
    /// List the users
    ListUsers(list_users::Args),
}
