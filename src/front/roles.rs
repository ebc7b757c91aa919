//! Users' roles and repositories in nginx's format: the lines of the map that http/roles.conf includes.

use crate::auth::{Accesses, PasswordFiles};

/// Returns the lines of nginx's map (ngx_http_map_module). A key is `=` and the name, so that no name is a keyword of
/// the map. The value is the role and the repositories; the name again, because a map ignores case and would find
/// `bob` for `Bob`; and the password file.
pub fn map(accesses: &Accesses, passwords: PasswordFiles) -> String {
    let mut text = String::from("# Who may do what. Written by regcert: `regcert add-user` changes it.\n");
    for (name, access) in accesses.iter() {
        let words = access.repositories.words();
        let file = match passwords {
            PasswordFiles::ByAccess => format!("|{}", access.password_file()),
            PasswordFiles::OneForAll => String::new(),
        };
        text.push_str(&format!("\"={name}\" \"{} {words}|{name}{file}\";\n", access.role));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auth::{Access, Role};
    use crate::names::Repositories;

    fn access(role: Role, repositories: &[&str]) -> Access {
        let texts: Vec<_> = repositories.iter().map(ToString::to_string).collect();
        Access { role, repositories: Repositories::parse(&texts).unwrap() }
    }

    #[test]
    fn each_user_with_a_role_has_a_line() {
        let mut accesses = Accesses::default();
        accesses.set("bob".parse().unwrap(), access(Role::Pull, &["team-a/*", "b"]));
        accesses.set("carol".parse().unwrap(), access(Role::Admin, &[]));
        let lines =
            |passwords| map(&accesses, passwords).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let file = accesses.password_file("bob");
        assert_eq!(
            lines(PasswordFiles::ByAccess),
            [
                format!(r#""=bob" "pull b team-a/* team-a%2F*|bob|{file}";"#),
                r#""=carol" "admin *|carol|registry.passwd";"#.to_owned()
            ]
        );
        assert_eq!(
            lines(PasswordFiles::OneForAll),
            [r#""=bob" "pull b team-a/* team-a%2F*|bob";"#, r#""=carol" "admin *|carol";"#]
        );
    }

    #[test]
    fn names_that_nginx_does_not_tell_apart_share_a_line() {
        let mut accesses = Accesses::default();
        let map = |accesses: &Accesses| map(accesses, PasswordFiles::OneForAll);
        accesses.set("carol".parse().unwrap(), access(Role::Admin, &[]));
        accesses.forget(&"carol".parse().unwrap());
        assert!(map(&accesses).ends_with("\"=carol\" \"push *|carol\";\n"));
        accesses.forget(&"Carol".parse().unwrap());
        assert!(map(&accesses).ends_with("\"=Carol\" \"push *|Carol\";\n"));
        accesses.set("CAROL".parse().unwrap(), access(Role::Pull, &[]));
        assert_eq!(map(&accesses).lines().count(), 2);
    }
}
