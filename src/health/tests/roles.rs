//! Tests of `check` for users who may only pull, push, or use some repositories, and of the repository for their trial
//! images.

use super::*;
use crate::auth::Role;
use crate::names::Repositories;

fn access(role: Role, repositories: &[&str]) -> Access {
    let texts: Vec<_> = repositories.iter().map(ToString::to_string).collect();
    Access { role, repositories: Repositories::parse(&texts).unwrap() }
}

/// Changes the observations: nginx or the registry denies the push.
fn denied(seen: &mut Seen) {
    let body = br#"{"errors":[{"code":"DENIED","message":"this user may pull, and not push"}]}"#.to_vec();
    seen.start = Some(Ok(Answer { body, ..answer(403, &[]) }));
    (seen.chunk, seen.trip) = (None, None);
}

fn deleted(status: u16) -> impl Fn(&mut Seen) {
    move |seen| seen.trip = Some(Ok(Trip { steps: vec![step(200, "{}")], deleted: Some(status) }))
}

/// The access in the directory, a change of the observations, and the state and message of the finding `roles`.
type Case<'a> = (&'a Access, &'a dyn Fn(&mut Seen), State, &'a str);

#[test]
fn a_user_is_held_to_its_role() {
    let (pull, push, admin) = (access(Role::Pull, &[]), access(Role::Push, &[]), access(Role::Admin, &[]));
    let began = |seen: &mut Seen| (seen.chunk, seen.trip) = (None, None);
    let limited = access(Role::Push, &["team-a/*"]);
    let cases: [Case<'_>; 10] = [
        (&pull, &denied, State::Held, "a push by `docker` is refused, as it should be"),
        (&pull, &began, State::Broken, "and a push is taken"),
        (&push, &deleted(403), State::Held, "taken, and a deletion refused"),
        (&push, &deleted(405), State::Held, "is taken, as"),
        (&push, &deleted(202), State::Broken, "and a deletion is taken"),
        (&push, &denied, State::Broken, "a push to `regcert-check` is refused"),
        (&limited, &denied, State::Broken, "a push to `team-a/regcert-check` is refused"),
        (&admin, &deleted(202), State::Held, "taken, and a deletion, as"),
        (&admin, &deleted(405), State::Held, "is taken, as"),
        (&admin, &deleted(403), State::Broken, "and a deletion is refused"),
    ];
    for (access, change, state, message) in cases {
        let mut seen = seen();
        change(&mut seen);
        let links = links_of(&seen, true, Some(Login::Good), Some(access), RolesOnDisk::Fit);
        let broken: Vec<_> = links.iter().filter(|link| link.state == State::Broken).collect();
        let roles = links.iter().find(|link| link.id == "roles").unwrap();
        assert_eq!(roles.state, state, "{access}: {}", roles.message);
        assert!(roles.message.contains(message), "{access}: {}", roles.message);
        assert_eq!(broken.len(), usize::from(state == State::Broken), "{broken:?}");
        assert!(broken.iter().all(|link| link.cure.contains("nginx -s reload")), "{broken:?}");
    }
    // On another machine, `check` does not know the right answer.
    let mut seen = seen();
    assert_eq!(
        links_of(&seen, false, None, None, RolesOnDisk::Fit)
            .iter()
            .find(|link| link.id == "roles")
            .unwrap()
            .state,
        State::NotTried
    );
    denied(&mut seen);
    let links = links_of(&seen, false, None, None, RolesOnDisk::Fit);
    assert!(links.iter().all(|link| link.state != State::Broken));
    assert_eq!(
        links.iter().filter(|link| link.message == "`docker` may not push to `regcert-check`").count(),
        3
    );
}

#[test]
fn roles_that_nginx_cannot_read_are_written_anew() {
    let of = |roles, change: &dyn Fn(&mut Seen)| {
        let mut seen = seen();
        change(&mut seen);
        summary(&links_of(&seen, true, Some(Login::Good), Some(&access(Role::Pull, &[])), roles))
    };
    let cure = |words: &str| ("roles".to_owned(), format!("run `regcert {words}`"));
    assert_eq!(of(RolesOnDisk::Other, &denied), cure("init --reload"));
    let force = "run `regcert init --force --reload`, which overwrites the edits in `nginx/nginx.conf`";
    assert_eq!(of(RolesOnDisk::Unread, &|_| ()), ("roles".to_owned(), force.to_owned()));
    assert_eq!(of(RolesOnDisk::Unread, &denied).0, "");
    let down = |seen: &mut Seen| {
        *seen = Seen {
            peer: super::behind::no_connection("connection refused"),
            ..Seen { chain: None, ..Seen::default() }
        }
    };
    assert_eq!(of(RolesOnDisk::Other, &down).0, "tcp,roles");
}

#[test]
fn trial_images_go_where_the_user_may_push() {
    let of = |given, is_mirror, access: Option<Access>| {
        let Trial { repository, extent } = trial(given, is_mirror, access.as_ref());
        (repository, extent)
    };
    for (role, repositories, given, expected, extent) in [
        (Role::Push, vec![], None, "regcert-check", Extent::Images),
        (Role::Push, vec!["team-b/app", "team-a/*"], None, "team-a/regcert-check", Extent::Images),
        (Role::Admin, vec!["team-b/app"], None, "team-b/app", Extent::Upload),
        (Role::Admin, vec!["team-b/app"], Some("mine"), "mine", Extent::Images),
        (Role::Pull, vec!["team-a/*"], None, "team-a/regcert-check", Extent::Start),
        (Role::Pull, vec!["team-b/app"], None, "team-b/app", Extent::Start),
    ] {
        let access = access(role, &repositories);
        assert_eq!(of(given, false, Some(access.clone())), (expected.to_owned(), extent), "{access}");
        assert_eq!(of(given, true, Some(access)).1, Extent::Nothing);
    }
    assert_eq!(of(None, false, None), ("regcert-check".to_owned(), Extent::Images));
}
