//! The command line: the global options and the list of commands. Only parses; the commands do the work.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    add_client, add_user, check, csr, delete, gc, images, import_cert, init, list_clients, list_users,
    remove_user, revoke, rotate, sign, status, trust,
};

/// Set up a private container registry with verified TLS in one command
///
/// regcert writes into one directory: a certificate authority, a server certificate, users, nginx.conf,
/// docker-compose.yml, and the files that make clients trust the registry. Docker Compose runs it. Later regcert renews
/// the certificates, manages the users and checks the running registry.
#[derive(Parser)]
#[command(name = "regcert", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  regcert init --cert-domain myhouse.local --registry-server-name registry1
  regcert add-user bob
  regcert init --reload

Data for scripts goes to stdout, text for people to stderr.
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 something needs your attention.")]
pub struct Cli {
    /// The registry's directory [env: REGCERT_DIR] [default: ./registry, or the current directory if it holds regcert.toml]
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Read the passphrase of the authority's encrypted key from the first line of a file [env:
    /// REGCERT_CA_PASSPHRASE_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_passphrase_file: Option<PathBuf>,

    /// Print only data, warnings and errors; a generated password is then alone on stdout
    #[arg(short, long, global = true, display_order = 900)]
    pub quiet: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
// The variants have no doc comments, because these would replace the help text of each command's `Args`.
#[derive(Subcommand)]
pub enum Command {
    Init(Box<init::Args>),
    AddUser(add_user::Args),
    RemoveUser(remove_user::Args),
    ListUsers(list_users::Args),
    Status(status::Args),
    Check(Box<check::Args>),
    Rotate(rotate::Args),
    Images(Box<images::Args>),
    Delete(Box<delete::Args>),
    Gc(gc::Args),
    Trust(trust::Args),
    Csr(csr::Args),
    ImportCert(import_cert::Args),
    Sign(sign::Args),
    AddClient(add_client::Args),
    Revoke(revoke::Args),
    ListClients(list_clients::Args),
}

impl Command {
    /// Whether the command needs the rights of root. Otherwise, a root process switches to the owner of the directory.
    pub fn needs_root(&self) -> bool {
        match self {
            Self::Init(args) => args.gives_files_away(),
            Self::Check(args) => args.looks_at_client(),
            Self::Trust(args) => args.changes_machine(),
            Self::AddUser(_)
            | Self::RemoveUser(_)
            | Self::ListUsers(_)
            | Self::Status(_)
            | Self::Rotate(_)
            | Self::Images(_)
            | Self::Delete(_)
            | Self::Gc(_)
            | Self::Csr(_)
            | Self::ImportCert(_)
            | Self::Sign(_)
            | Self::AddClient(_)
            | Self::Revoke(_)
            | Self::ListClients(_) => false,
        }
    }
}
