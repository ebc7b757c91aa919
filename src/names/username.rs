//! The user names that regcert accepts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::printable;
use crate::error::Fault;

/// The name of a person or machine that logs in. It has 1 to 64 letters, digits, `.`, `_`, `-`, `@` or `+`, and begins
/// with a letter or digit. htpasswd forbids `:`; the other limits make the name safe in nginx maps and shells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Username(String);

impl Username {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = |why: &str| Err(Fault::new(format!("`{}` is not a user name: {why}", printable(text))));
        if text.is_empty() {
            return fault("it is empty");
        }
        if text.len() > 64 {
            return fault("it is longer than 64 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@+".contains(&b)) {
            return fault("only letters, digits and `.`, `_`, `-`, `@`, `+` are allowed");
        }
        if !text.as_bytes()[0].is_ascii_alphanumeric() {
            return fault("it must begin with a letter or digit");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Username {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Username> for String {
    fn from(name: Username) -> Self {
        name.0
    }
}

impl TryFrom<String> for Username {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|fault: Fault| fault.message)
    }
}
