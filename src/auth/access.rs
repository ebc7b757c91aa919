//! The role and the repositories of each user, and the password file that depends on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::names::{Repositories, Username, printable};
use crate::pki::{hex, sha256};

/// The password file of users who can log in even if nginx has not read their current roles.
pub const EVERY_NGINX: &str = "registry.passwd";

/// The password file of all other users, if nginx.conf has only one file for them.
pub const LIMITED: &str = "limited.passwd";

/// A user's rights in the repositories that are open to that user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user may pull images.
    Pull,
    /// The user may pull and push images, and move tags.
    #[default]
    Push,
    /// The user may pull, push and delete images, and move tags.
    Admin,
}

impl FromStr for Role {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text {
            "pull" => Ok(Self::Pull),
            "push" => Ok(Self::Push),
            "admin" => Ok(Self::Admin),
            _ => Err(Fault::new(format!("`{}` is no role", printable(text)))
                .hint("choose `pull`, `push` (pull as well) or `admin` (delete as well)")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Admin => "admin",
        })
    }
}

/// The role and the repositories of one user. By default, a user may push to every repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    pub role: Role,
    /// The repositories to which the role applies.
    pub repositories: Repositories,
}

impl Access {
    /// Names the password file of all users with exactly this access. If nginx still has another access for a user,
    /// nginx searches another file and does not find the user. 16 digits of SHA-256 are enough: only an administrator
    /// could produce a collision, and an administrator already has every right.
    pub fn password_file(&self) -> String {
        if self.is_everything() {
            return EVERY_NGINX.to_owned();
        }
        let said = format!("{} {}", self.role, self.repositories.words());
        format!("limited-{}.passwd", &hex(&sha256(said.as_bytes()))[..16])
    }

    /// Whether this access includes every right: the user is an admin of every repository.
    fn is_everything(&self) -> bool {
        self.role == Role::Admin && self.repositories == Repositories::Every
    }

    /// Whether the user may do less than push to every repository.
    pub fn is_limited(&self) -> bool {
        self.role == Role::Pull || self.repositories != Repositories::Every
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Pull => "pull",
            Role::Push => "pull and push",
            Role::Admin => "pull, push and delete",
        };
        match &self.repositories {
            Repositories::Every => f.write_str(role),
            these @ Repositories::Of(_) => write!(f, "{role} in {these}"),
        }
    }
}

/// The layout of the password files in nginx.conf, for users whom nginx accepts only after it has read their access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFiles {
    /// One file for each access.
    ByAccess,
    /// One file for all such users: an nginx.conf edited by hand before regcert had a file for each access.
    OneForAll,
}

/// The access of each user, by user name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Accesses(BTreeMap<Username, Access>);

impl Accesses {
    /// Looks up the access of `name`; without an entry, returns the default access.
    pub fn of(&self, name: &str) -> Access {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// Whether `name` may log in only after nginx has read the current roles: older roles may allow too much.
    pub fn must_be_read(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|access| !access.is_everything())
    }

    /// Names the password file that contains `name`.
    pub fn password_file(&self, name: &str) -> String {
        self.0.get(name).map_or_else(|| EVERY_NGINX.to_owned(), Access::password_file)
    }

    /// Lists the password files of the users who can log in only after nginx has read their access.
    pub fn limited_files(&self) -> BTreeSet<String> {
        let limited = self.0.values().filter(|access| !access.is_everything());
        limited.map(Access::password_file).collect()
    }

    /// Sets the access of `name`. Replaces entries whose names differ only in case, because nginx does not distinguish
    /// them. Stores the default access only for a user who may have been an admin.
    pub fn set(&mut self, name: Username, access: Access) {
        let alike = |known: &Username| known.as_str().eq_ignore_ascii_case(name.as_str());
        let was_more = self.0.iter().any(|(known, access)| alike(known) && !access.is_limited());
        self.0.retain(|known, _| !alike(known));
        if access != Access::default() || was_more {
            self.0.insert(name, access);
        }
    }

    /// Resets `name` to the default access. Keeps the entry of a former admin, because nginx must read that change.
    pub fn forget(&mut self, name: &Username) {
        self.set(name.clone(), Access::default());
    }

    /// Iterates over the users with an entry, and their access.
    pub fn iter(&self) -> impl Iterator<Item = (&Username, &Access)> {
        self.0.iter()
    }

    /// Iterates over the users who may do less than push to every repository.
    pub fn limited(&self) -> impl Iterator<Item = &Username> {
        self.0.iter().filter(|(_, access)| access.is_limited()).map(|(name, _)| name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn access(role: Role, repositories: &[&str]) -> Access {
        let texts: Vec<_> = repositories.iter().map(ToString::to_string).collect();
        Access { role, repositories: Repositories::parse(&texts).unwrap() }
    }

    #[test]
    fn only_what_was_said_is_kept() {
        let mut accesses = Accesses::default();
        accesses.set("bob".parse().unwrap(), access(Role::Pull, &["team-a/*", "b"]));
        accesses.set("carol".parse().unwrap(), access(Role::Admin, &[]));
        assert_eq!(accesses.of("stranger"), Access::default());
        assert_eq!(accesses.limited().map(ToString::to_string).collect::<Vec<_>>(), ["bob"]);
        let json = serde_json::to_string(&accesses).unwrap();
        assert_eq!(
            json,
            r#"{"bob":{"role":"pull","repositories":["b","team-a/*"]},"carol":{"role":"admin","repositories":["*"]}}"#
        );
        assert_eq!(serde_json::from_str::<Accesses>(&json).unwrap(), accesses);
    }

    #[test]
    fn who_was_an_admin_is_let_in_only_by_an_nginx_that_knows_better() {
        let mut accesses = Accesses::default();
        accesses.set("carol".parse().unwrap(), access(Role::Admin, &[]));
        assert!(!accesses.must_be_read("carol") && !accesses.must_be_read("stranger"));
        accesses.forget(&"carol".parse().unwrap());
        assert!(accesses.must_be_read("carol") && accesses.limited().next().is_none());
        // A limited user, or a user without an entry, has no entry afterwards.
        accesses.forget(&"Carol".parse().unwrap());
        accesses.set("CAROL".parse().unwrap(), access(Role::Pull, &[]));
        accesses.forget(&"carol".parse().unwrap());
        accesses.forget(&"stranger".parse().unwrap());
        assert_eq!(accesses, Accesses::default());
    }

    #[test]
    fn each_access_has_a_password_file_of_its_own() {
        let mut accesses = Accesses::default();
        assert_eq!(accesses.password_file("ann"), EVERY_NGINX);
        let mut files = BTreeSet::new();
        for (role, repositories) in [
            (Role::Admin, &[][..]),
            (Role::Push, &[]),
            (Role::Push, &["a"]),
            (Role::Pull, &["a"]),
            (Role::Admin, &["a"]),
            (Role::Push, &["a", "b"]),
            (Role::Push, &["a/*"]),
            (Role::Pull, &[]),
        ] {
            accesses.set("ann".parse().unwrap(), access(role, repositories));
            assert!(files.insert(accesses.password_file("ann")), "{role} {repositories:?}");
        }
        assert!(files.remove(EVERY_NGINX) && files.iter().all(|file| file.starts_with("limited-")));
        // The file name depends neither on the user nor on the order of the repositories.
        accesses.set("ann".parse().unwrap(), access(Role::Push, &["b", "a"]));
        accesses.set("bob".parse().unwrap(), access(Role::Push, &["a", "b"]));
        assert_eq!(accesses.password_file("ann"), accesses.password_file("bob"));
        assert_eq!(accesses.limited_files().into_iter().collect::<Vec<_>>(), [accesses.password_file("bob")]);
    }

    #[test]
    fn a_damaged_note_is_no_access() {
        for bad in [
            r#"{"b;b":{"role":"pull","repositories":["*"]}}"#,
            r#"{"bob":{"role":"root","repositories":["*"]}}"#,
            r#"{"bob":{"role":"pull","repositories":["a b"]}}"#,
            r#"{"bob":{"role":"pull","repositories":[]}}"#,
        ] {
            assert!(serde_json::from_str::<Accesses>(bad).is_err(), "{bad}");
        }
    }
}
