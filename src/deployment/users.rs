//! The users who may log in, and the rights of each.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{AUTH, STATE};
use super::lost::Part;
use super::read::{Found, Reader};
use super::{Deployment, State};
use crate::auth::{
    self, Access, Accesses, EVERY_NGINX, Htpasswd, LIMITED, PasswordFiles, Role, Set, Unusable,
};
use crate::error::Fault;
use crate::files::utf8;
use crate::names::{Username, printable};
use crate::settings::{Delete, Proxy, Settings};

impl Deployment {
    /// Adds the user, or changes the password of an existing one.
    pub fn set_user(&mut self, name: &Username, hash: &str) -> Result<Set, Fault> {
        let set = self.users.set(name, hash);
        if set == Set::Added {
            // An earlier user of this name may have left a role behind, if the password line was deleted by hand.
            self.state.access.forget(name);
            self.tell_apart(name)?;
        }
        self.sort_users();
        Ok(set)
    }

    /// Removes the user and the user's role. Returns false if there is neither.
    pub fn remove_user(&mut self, name: &str) -> bool {
        // Only valid names can have a role, because `add-user` refuses all others.
        let mut had_role = false;
        if let Ok(name) = name.parse::<Username>() {
            had_role = self.state.access.of(name.as_str()) != Access::default();
            self.state.access.forget(&name);
        }
        // If the user's password line is lost, removing the role counts as removing the user.
        self.users.remove(name) || had_role
    }

    /// Whether any user who can log in is an admin.
    pub fn has_admin(&self) -> bool {
        let is_admin = |name: &String| self.state.access.of(name).role == Role::Admin;
        self.users.names().iter().any(is_admin)
    }

    /// Whether admins can delete images: not without nginx, on a mirror or with `--delete off`.
    pub fn lets_admins_delete(&self) -> bool {
        let Settings { proxy, delete, mirror_of, .. } = &self.spec;
        *proxy == Proxy::Nginx && *delete == Delete::On && mirror_of.is_none()
    }

    /// Sets the role and the repositories of a user. Fails without nginx, because only nginx enforces them.
    pub fn set_access(&mut self, name: Username, access: Access) -> Result<(), Fault> {
        if self.spec.proxy == Proxy::None {
            return Err(Fault::new(
                "without nginx there are no roles: everybody may pull and push everywhere",
            )
            .hint("leave --role and --repo out, or take nginx: `regcert init --proxy nginx`"));
        }
        self.tell_apart(&name)?;
        self.state.access.set(name, access);
        self.sort_users();
        self.limits_hold()
    }

    /// Builds nginx's password files, by name. `EVERY_NGINX` has the users whose rights do not depend on the roles
    /// that nginx has loaded. The roles name the files of the others, so nginx with old roles does not find them.
    pub(super) fn password_files(&self, files: PasswordFiles) -> BTreeMap<String, Htpasswd> {
        let access = &self.state.access;
        let mut by_file = self.users.by_file(|name| match (access.must_be_read(name), files) {
            (true, PasswordFiles::OneForAll) => LIMITED.to_owned(),
            (true, PasswordFiles::ByAccess) | (false, _) => access.password_file(name),
        });
        // Also write the files without users, so that a missing file is noticed.
        let mut expected = match files {
            PasswordFiles::OneForAll => BTreeSet::from([LIMITED.to_owned()]),
            PasswordFiles::ByAccess => access.limited_files(),
        };
        expected.insert(EVERY_NGINX.to_owned());
        for name in expected {
            by_file.entry(name).or_default();
        }
        by_file
    }

    /// Returns the users for whom no password works, with the reason.
    pub fn locked_out(&self) -> Vec<(String, Unusable)> {
        self.users.unusable(match self.spec.proxy {
            Proxy::Nginx => auth::Reader::Nginx,
            Proxy::None => auth::Reader::Registry,
        })
    }

    /// Sorts the users into the order in which loading the files returns them.
    fn sort_users(&mut self) {
        let mut files = self.password_files(PasswordFiles::ByAccess);
        let first = files.remove(EVERY_NGINX).unwrap_or_default();
        self.users = files.values().fold(first, Htpasswd::join);
    }

    /// Fails if nginx cannot distinguish the name from an existing one.
    pub fn tell_apart(&self, name: &Username) -> Result<(), Fault> {
        match self.users.alike(name.as_str()).filter(|_| self.spec.proxy == Proxy::Nginx) {
            None => Ok(()),
            Some(other) => Err(Fault::new(format!("nginx does not tell `{name}` from `{other}`")).hint(
                format!("choose another name, or remove that user first: `regcert remove-user {other}`"),
            )),
        }
    }

    /// Fails if users are limited but nginx is missing: the registry alone lets every user do everything.
    pub(super) fn limits_hold(&self) -> Result<(), Fault> {
        let limited: Vec<_> = self.state.access.limited().map(ToString::to_string).collect();
        if self.spec.proxy == Proxy::Nginx || limited.is_empty() {
            return Ok(());
        }
        Err(Fault::new(format!(
            "without nginx there are no roles, and {} may not do everything",
            limited.join(", ")
        ))
        .hint("take `--proxy nginx`, or `--role push --repo '*'` for each"))
    }
}

impl Reader<'_> {
    /// Reads a password file, without a byte order mark: nginx would read the mark as a part of the first name.
    fn htpasswd(&mut self, path: &str) -> Option<Htpasswd> {
        let bytes = self.files.get(path).map_or(&[][..], |file| &file.bytes);
        self.gather.take(&format!("`{path}`"), utf8(bytes)).map(Htpasswd::parse)
    }

    /// Reads the users in all password files. If `is_forgotten`, the state is lost, and the users in the files for
    /// limited users are left out.
    pub fn users(
        &mut self,
        found: &Found,
        default: &str,
        state: Option<&State>,
        is_forgotten: bool,
    ) -> Option<Htpasswd> {
        let mut users = match found.users.as_deref().filter(|path| self.files.get(path).is_some()) {
            Some(path) => self.htpasswd(path)?,
            None => {
                self.missing(default, Part::Users);
                if !self.mends.covers(Part::Users) {
                    return None;
                }
                Htpasswd::default()
            }
        };
        let is_nginx = found.users.as_deref().unwrap_or(default).starts_with(AUTH);
        let paths: Vec<_> =
            self.files.matching(AUTH, "passwd").map(|path| path.as_str().to_owned()).collect();
        let name_of = |path: &str| path[AUTH.len() + 1..].to_owned();
        let names: BTreeSet<_> = paths.iter().map(|path| name_of(path)).collect();
        let Some(accesses) = state.map(|state| &state.access).filter(|_| is_nginx && !is_forgotten) else {
            return Some(users);
        };
        // A directory from an older regcert has one file for all limited users.
        if !names.contains(LIMITED) {
            let lost: Vec<_> =
                accesses.limited_files().into_iter().filter(|name| !names.contains(name)).collect();
            for name in lost {
                self.missing(&format!("{AUTH}/{name}"), Part::Users);
            }
        }
        for path in paths.iter().filter(|path| name_of(path).starts_with("limited")) {
            let mut limited = self.htpasswd(path)?;
            self.belong(path, &name_of(path), &mut limited, accesses);
            users = users.join(&limited);
        }
        Some(users)
    }

    /// Removes users whose access does not match the password file they are in. This is an error, unless the command
    /// may lose passwords.
    fn belong(&mut self, path: &str, file: &str, users: &mut Htpasswd, accesses: &Accesses) {
        let is_right = |name: &String| {
            accesses.must_be_read(name) && (file == LIMITED || accesses.password_file(name) == file)
        };
        let wrong: Vec<_> = users.names().into_iter().filter(|name| !is_right(name)).collect();
        if let Some(name) = wrong.first() {
            let what =
                format!("`{path}` has `{}`, whose access in `{STATE}` is another one", printable(name));
            self.lost(Part::Users, what);
        }
        for name in wrong {
            users.remove(&name);
        }
    }
}
