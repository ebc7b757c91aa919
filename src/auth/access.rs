//! What each user may do, and the file by which nginx knows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::names::{Repositories, Username, printable};

/// What a user may do in the repositories that are open to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Fetch images.
    Pull,
    /// That, and store images and move tags.
    #[default]
    Push,
    /// That, and delete.
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

/// What one user may do. A user of whom nothing was said may push everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// What.
    pub role: Role,
    /// Where.
    pub repositories: Repositories,
}

impl Access {
    /// Whether this user may do less than push everywhere.
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

/// What was said of each user, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Accesses(BTreeMap<Username, Access>);

impl Accesses {
    /// What `name` may do.
    pub fn of(&self, name: &str) -> Access {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// Whether nginx must have read what was said before it lets `name` in: else it might allow too much.
    pub fn must_be_read(&self, name: &str) -> bool {
        let everything = Access { role: Role::Admin, ..Access::default() };
        self.0.get(name).is_some_and(|access| *access != everything)
    }

    /// Whether there may be anybody of whom it must have.
    pub fn has_unread(&self) -> bool {
        self.0.keys().any(|name| self.must_be_read(name.as_str()))
    }

    /// Notes what `name` may do. nginx reads one line for all who are called that, whatever their capitals. That
    /// somebody may do what everybody may is said only of who may have been an admin.
    pub fn set(&mut self, name: Username, access: Access) {
        let alike = |known: &Username| known.as_str().eq_ignore_ascii_case(name.as_str());
        let was_more = self.0.iter().any(|(known, access)| alike(known) && !access.is_limited());
        self.0.retain(|known, _| !alike(known));
        if access != Access::default() || was_more {
            self.0.insert(name, access);
        }
    }

    /// What was said of whoever was called `name` holds no longer.
    pub fn forget(&mut self, name: &Username) {
        self.set(name.clone(), Access::default());
    }

    /// Those who may do less than push everywhere.
    pub fn limited(&self) -> impl Iterator<Item = &Username> {
        self.0.iter().filter(|(_, access)| access.is_limited()).map(|(name, _)| name)
    }

    /// The lines of nginx's map (ngx_http_map_module): the name behind `=`, so that none is a word of the map's own;
    /// role and repositories; and the name again, because a map takes `Bob` for `bob`.
    pub fn to_map(&self) -> String {
        let mut text =
            String::from("# Who may do what. Written by regcert: `regcert add-user` changes it.\n");
        for (name, access) in &self.0 {
            let words = access.repositories.words();
            text.push_str(&format!("\"={name}\" \"{} {words}|{name}\";\n", access.role));
        }
        text
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
        assert_eq!(accesses.of("nobody"), Access::default());
        assert_eq!(accesses.limited().map(ToString::to_string).collect::<Vec<_>>(), ["bob"]);
        let json = serde_json::to_string(&accesses).unwrap();
        assert_eq!(
            json,
            r#"{"bob":{"role":"pull","repositories":["b","team-a/*"]},"carol":{"role":"admin","repositories":["*"]}}"#
        );
        assert_eq!(serde_json::from_str::<Accesses>(&json).unwrap(), accesses);
        let map = accesses.to_map();
        let lines: Vec<_> = map.lines().skip(1).collect();
        assert_eq!(lines, [r#""=bob" "pull b team-a/* team-a%2F*|bob";"#, r#""=carol" "admin *|carol";"#]);
    }

    #[test]
    fn who_was_an_admin_is_let_in_only_by_an_nginx_that_knows_better() {
        let mut accesses = Accesses::default();
        accesses.set("carol".parse().unwrap(), access(Role::Admin, &[]));
        assert!(!accesses.must_be_read("carol") && !accesses.must_be_read("nobody"));
        accesses.forget(&"carol".parse().unwrap());
        assert!(accesses.must_be_read("carol") && accesses.limited().next().is_none());
        assert!(accesses.to_map().ends_with("\"=carol\" \"push *|carol\";\n"));
        // nginx refuses two lines for what is one name to it.
        accesses.forget(&"Carol".parse().unwrap());
        assert!(accesses.to_map().ends_with("\"=Carol\" \"push *|Carol\";\n"));
        accesses.set("CAROL".parse().unwrap(), access(Role::Pull, &[]));
        assert_eq!(accesses.to_map().lines().count(), 2);
        // Of others nothing need be said any more.
        accesses.forget(&"carol".parse().unwrap());
        accesses.forget(&"nobody".parse().unwrap());
        assert_eq!(accesses, Accesses::default());
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
