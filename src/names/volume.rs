//! The volume names that Docker accepts.

use std::fmt;
use std::str::FromStr;

use super::printable;
use crate::error::Fault;

/// The name of a volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, as the Docker Engine restricts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeName(String);

impl VolumeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if begins && (2..=255).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(format!("`{}` is not the name of a Docker volume", printable(text)))
            .hint("`docker volume ls` shows the names; write `volume:NAME`"))
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
