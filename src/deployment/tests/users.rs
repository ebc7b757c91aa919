//! Tests of users' access: a limit applies as soon as it is set, and removing the user removes it.

use super::super::files::AUTH;
use super::*;
use crate::files::{Mode, Origin, RelPath};
use crate::names::Repositories;
use crate::settings::Proxy;

/// Creates a registry with the user `ann`, who may only pull.
fn limited() -> Deployment {
    let mut made = create(|_| ());
    made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
    made.set_access("ann".parse().unwrap(), pull()).unwrap();
    made
}

/// Returns the path of the password file that contains `name`.
fn file_of(made: &Deployment, name: &str) -> String {
    let files = made.files(&site()).unwrap();
    let holds = |path: &&RelPath| files.text(path.as_str()).unwrap().contains(&format!("{name}:HASH\n"));
    let found: Vec<_> = files.matching(AUTH, "passwd").filter(holds).map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// Returns the line for `name` in the roles file. The line ends with the name of the user's password file.
fn said(made: &Deployment, name: &str) -> Option<String> {
    let files = made.files(&site()).unwrap();
    let roles = files.text("nginx/auth/registry.roles").unwrap();
    roles.lines().find(|line| line.starts_with(&format!("\"={name}\""))).map(str::to_owned)
}

/// Until it reloads, nginx uses the roles from before a change, but it already reads the changed password files.
#[test]
fn an_nginx_that_has_not_read_a_change_lets_in_no_user_with_other_rights() {
    let everything = Access { role: Role::Admin, ..Access::default() };
    let of = |role, repository: &str| Access {
        role,
        repositories: Repositories::parse(&[repository.to_owned()]).unwrap(),
    };
    let accesses = [
        Access::default(),
        everything,
        pull(),
        of(Role::Push, "a/*"),
        of(Role::Push, "a"),
        of(Role::Pull, "a/*"),
        of(Role::Admin, "a/*"),
    ];
    for (before, after) in accesses.iter().flat_map(|one| accesses.iter().map(move |other| (one, other))) {
        for is_replaced in [false, true] {
            let mut made = limited();
            made.set_access("ann".parse().unwrap(), before.clone()).unwrap();
            let (read, first) = (said(&made, "ann"), file_of(&made, "ann"));
            if is_replaced {
                made.remove_user("ann");
                made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
            }
            made.set_access("ann".parse().unwrap(), after.clone()).unwrap();
            let second = file_of(&made, "ann");
            let may_do_more = !is_within(before, after);
            assert!(!may_do_more || first != second, "{before} {after}");
            // nginx gets the name of the password file from the roles.
            let named = read.map_or("registry.passwd".to_owned(), |read| {
                read.trim_end_matches("\";").rsplit('|').next().unwrap().to_owned()
            });
            assert!(first.ends_with(&format!("/{named}")), "{first} {named}");
        }
    }
}

/// Whether `other` allows everything that `one` allows.
fn is_within(one: &Access, other: &Access) -> bool {
    one == other || other.role == Role::Admin && other.repositories == Repositories::Every
}

#[test]
fn a_password_file_that_is_missing_or_has_another_user_is_noticed() {
    let made = limited();
    let files = made.files(&site()).unwrap();
    let limited = file_of(&made, "ann");
    assert!(limited.starts_with("nginx/auth/limited-"));
    let but = |path: &str, text: Option<&str>| {
        let mut changed = FileSet::default();
        for (known, file) in files.iter().filter(|(known, _)| known.as_str() != path) {
            changed.put(known.as_str(), file.bytes.clone(), file.mode, file.origin);
        }
        if let Some(text) = text {
            changed.put(path, text, Mode::Server, Origin::Kept);
        }
        load(&changed)
    };
    assert_eq!(but(&limited, None), Err(vec![format!("`{limited}` is missing")]));
    let other = "nginx/auth/limited-0123456789abcdef.passwd";
    for path in [other, limited.as_str()] {
        assert_eq!(
            but(path, Some("eve:HASH\n")),
            Err(vec![format!("`{path}` has `eve`, whose access in `.regcert/state.json` is another one")])
        );
    }
    // An nginx.conf from an older regcert needs one password file for all limited users.
    let old = made.files_beside("include /etc/nginx/auth/registry.roles;", &site()).unwrap();
    assert_eq!(old.text("nginx/auth/limited.passwd"), Some("ann:HASH\n"));
    assert!(old.get(&limited).is_none());
    assert!(old.text("nginx/auth/registry.roles").unwrap().contains("|ann\";\n"));
    assert_eq!(load(&old).unwrap().unwrap().users, made.users);
}

#[test]
fn a_role_ends_with_its_user() {
    let mut made = limited();
    assert!(made.remove_user("ann") && !made.remove_user("ann"));
    made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
    assert_eq!(made.state.access.of("ann"), Access::default());
    // Adding a user resets the role, even if the earlier user was deleted from the password file by hand.
    made.set_access("ann".parse().unwrap(), pull()).unwrap();
    made.users.remove("ann");
    made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
    assert_eq!(made.state.access.of("ann"), Access::default());
}

#[test]
fn nginx_would_take_two_names_for_one() {
    let mut made = create(|_| ());
    made.set_user(&"bob".parse().unwrap(), "HASH").unwrap();
    let fault = made.set_user(&"Bob".parse().unwrap(), "HASH").unwrap_err();
    assert_eq!(fault.message, "nginx does not tell `Bob` from `bob`");
}

#[test]
fn limits_need_nginx() {
    let mut made = create(|settings| settings.proxy = Some("none".to_owned()));
    assert!(made.set_access("docker".parse().unwrap(), pull()).is_err());
    let mut made = limited();
    let mut spec = made.spec.clone();
    spec.proxy = Proxy::None;
    let fault = made.reconfigure(spec, ServerKey::New, datetime!(2027-06-01 12:00 UTC)).unwrap_err();
    assert!(fault.message.contains("ann may not do everything"), "{}", fault.message);
}
