//! A limit holds from the moment it is said, and ends with its user.

use super::super::files::LIMITED;
use super::*;
use crate::spec::Proxy;

/// With a user who may only pull.
fn limited() -> Deployment {
    let mut made = create(|_| ());
    made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
    made.set_access("ann".parse().unwrap(), pull()).unwrap();
    made
}

#[test]
fn who_is_limited_has_no_password_where_a_limit_may_be_unknown() {
    let mut made = limited();
    let files = made.files(&site()).unwrap();
    assert!(!files.text("nginx/auth/registry.passwd").unwrap().contains("ann"));
    assert_eq!(files.text(LIMITED), Some("ann:HASH\n"));
    let mut without = FileSet::default();
    for (path, file) in files.iter().filter(|(path, _)| path.as_str() != LIMITED) {
        without.put(path.as_str(), file.bytes.clone(), file.mode, file.origin);
    }
    assert_eq!(load(&without), Err(vec![format!("`{LIMITED}` is missing")]));
    // An admin may do more than any nginx has read.
    made.set_access("ann".parse().unwrap(), Access { role: Role::Admin, ..Access::default() }).unwrap();
    let files = made.files(&site()).unwrap();
    assert!(files.text("nginx/auth/registry.passwd").unwrap().ends_with("ann:HASH\n"));
    assert_eq!(files.text(LIMITED), Some(""));
    // Who is one no more is let in by no nginx that still thinks so; nor is the next user of that name.
    for next in [Deployment::remove_user as fn(&mut Deployment, &str) -> bool, |_, _| false] {
        made.set_access("ann".parse().unwrap(), Access { role: Role::Admin, ..Access::default() }).unwrap();
        next(&mut made, "ann");
        made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
        made.set_access("ann".parse().unwrap(), Access::default()).unwrap();
        assert_eq!(made.files(&site()).unwrap().text(LIMITED), Some("ann:HASH\n"));
    }
}

#[test]
fn a_role_ends_with_its_user() {
    let mut made = limited();
    assert!(made.remove_user("ann") && !made.remove_user("ann"));
    made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
    assert_eq!(made.state.access.of("ann"), Access::default());
    // Nor does one stay that somebody took out by hand.
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
