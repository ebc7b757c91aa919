//! The sources of a password. Arguments are excluded, because other users of the machine can read them.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::auth::Password;
use crate::store;
use crate::ui;

/// The options that name the source.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Source {
    /// Read the password from the first line of stdin
    #[arg(long)]
    pub password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// Whether the user already knows the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The user gave the password.
    ToThePerson,
    /// regcert generated the password and must show it once.
    ToNobody,
}

/// Whether to ask for the password if no option names a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Ask on the terminal, if there is one.
    IfPossible,
    /// Generate a password without asking.
    Never,
}

/// Warns of a password that is easy to guess. The password is accepted, because scripts use such passwords.
pub fn warn_if_weak(user: &str, password: &Password) {
    if let Some(weakness) = password.weakness() {
        ui::warn(format!(
            "the password of {user} has {weakness}: `regcert add-user {user}` gives another one"
        ));
    }
}

impl Source {
    /// Whether an option names a source.
    pub fn is_given(&self) -> bool {
        self.password_stdin || self.password_file.is_some()
    }

    /// Reads a password that will be stored, and warns if it is easy to guess.
    pub fn read_new(&self, user: &str, prompt: Prompt) -> Result<(Password, Known)> {
        let read = self.read(user, prompt)?;
        warn_if_weak(user, &read.0);
        Ok(read)
    }

    /// Reads the password from stdin, a file or the terminal, or else generates one.
    pub fn read(&self, user: &str, prompt: Prompt) -> Result<(Password, Known)> {
        if self.password_stdin {
            return Ok((Password::first_line(&ui::stdin()?)?, Known::ToThePerson));
        }
        if let Some(path) = &self.password_file {
            let bytes = zeroize::Zeroizing::new(store::read_given(path)?);
            return Ok((Password::first_line(&bytes)?, Known::ToThePerson));
        }
        if prompt == Prompt::IfPossible
            && ui::can_ask()
            && let Some(password) = ui::ask_new_password(user)?
        {
            return Ok((password, Known::ToThePerson));
        }
        Ok((Password::generate(), Known::ToNobody))
    }
}
