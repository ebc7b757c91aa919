//! The command line: global options and the list of commands. No work is done here.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    add_client, add_user, check, csr, delete, gc, images, import_cert, init, list_clients, list_users,
    remove_user, revoke, rotate, sign, status, trust,
};

/// A private, TLS-secured container registry from one command
///
/// regcert makes a certificate authority, a server certificate, users, nginx.conf, docker-compose.yml and what each
/// client needs to trust it all, in one directory. Later it
/// renews and replaces what it made.
#[derive(Parser)]
#[command(name = "regcert", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  regcert init --cert-domain myhouse.local --registry-server-name registry1
  regcert add-user bob
  regcert init --reload

Exit codes: 0 done, 1 could not, 2 wrong command line, 3 something needs doing.")]
pub struct Cli {
    /// The registry's directory [default: ./registry; the current directory where it holds regcert.toml]
    #[arg(short = 'C', long, global = true, env = "REGCERT_DIR", value_name = "DIR", hide_env = true)]
    pub dir: Option<PathBuf>,

    /// Read the passphrase of the authority's key from a file, one line, where that key is encrypted
    #[arg(long, global = true, env = "REGCERT_CA_PASSPHRASE_FILE", value_name = "FILE", hide_env = true)]
    pub ca_passphrase_file: Option<PathBuf>,

    /// Print only data, warnings and errors; a password that regcert made is then alone on stdout
    #[arg(short, long, global = true, display_order = 900)]
    pub quiet: bool,

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
    /// Show what there is and what needs doing
    Status(status::Args),
    // A line of its own would hide the whole help, which stands with its arguments.
    #[allow(missing_docs)]
    Check(Box<check::Args>),
    /// Renew the server certificate, or replace the root
    Rotate(rotate::Args),
    #[allow(missing_docs)]
    Images(Box<images::Args>),
    #[allow(missing_docs)]
    Delete(Box<delete::Args>),
    /// Give back the room that deleted and replaced images take
    Gc(gc::Args),
    /// Write what makes clients trust the registry, and say what each file is for
    Trust(trust::Args),
    /// Make a request for somebody else's authority to sign
    Csr(csr::Args),
    /// Take the certificate that somebody else's authority signed
    ImportCert(import_cert::Args),
    /// Sign another server's request
    Sign(sign::Args),
    /// Issue a client certificate
    AddClient(add_client::Args),
    /// Revoke a client certificate
    Revoke(revoke::Args),
    /// List the client certificates
    ListClients(list_clients::Args),
}
