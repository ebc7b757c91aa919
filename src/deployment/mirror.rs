//! The credentials of a mirror for its upstream registry. They are stored with the other secrets, and only as long as
//! the mirror has that upstream.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Deployment;
use crate::error::Fault;
use crate::names::Upstream;

/// The user name and password for an upstream.
pub struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Credentials {
    /// Reads `user:password` from the first line of a file.
    pub fn first_line(input: &[u8]) -> Result<Self, Fault> {
        let hint = "write `user:password` on one line";
        let text = std::str::from_utf8(input).map_err(|_| Fault::new("it is not UTF-8").hint(hint))?;
        let line = text.lines().next().unwrap_or_default();
        let (user, password) = line
            .split_once(':')
            .filter(|(user, password)| !user.is_empty() && !password.is_empty())
            .ok_or_else(|| Fault::new("it does not begin with a user and a password").hint(hint))?;
        if line.chars().any(char::is_control) {
            return Err(Fault::new("it holds a control character").hint(hint));
        }
        Ok(Self { user: user.to_owned().into(), password: password.to_owned().into() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Stored credentials, with the upstream for which they are valid.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamLogin {
    upstream: String,
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Deployment {
    /// Stores the credentials for the upstream; without an upstream, removes them.
    pub fn log_in_upstream(&mut self, credentials: Credentials) {
        let Credentials { user, password } = credentials;
        let login = |upstream: &Upstream| UpstreamLogin { upstream: upstream.to_string(), user, password };
        self.state.upstream = self.spec.mirror_of.as_ref().map(login);
    }

    /// Removes credentials for an upstream that is no longer set, and returns the URL of that upstream.
    pub fn forget_upstream(&mut self) -> Option<String> {
        let upstream = self.spec.mirror_of.as_ref().map(Upstream::to_string);
        let other = self.state.upstream.take_if(|login| Some(&login.upstream) != upstream.as_ref());
        other.map(|login| login.upstream)
    }

    /// Returns the user name and password for the current upstream, if stored.
    pub fn upstream_login(&self) -> Option<(&str, &str)> {
        let upstream = self.spec.mirror_of.as_ref()?.to_string();
        let login = self.state.upstream.as_ref().filter(|login| login.upstream == upstream)?;
        Some((&login.user, &login.password))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_user_and_password() {
        let credentials = Credentials::first_line(b"me:a:b \r\nrest").unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("me", "a:b "));
        assert_eq!(format!("{credentials:?}"), "Credentials(…)");
        for bad in [&b""[..], b"me", b"me:", b":x", b"\nme:x", b"\xff:x", b"me:\x07"] {
            assert!(Credentials::first_line(bad).is_err(), "{bad:?}");
        }
    }
}
