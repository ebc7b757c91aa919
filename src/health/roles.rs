//! Roles: whether the running registry enforces them, and the repository for the trial images of a limited user.

use super::answer::is_denied;
use super::finding::Finding;
use super::known::{Known, RolesOnDisk};
use super::seen::{Answer, Extent, Seen, Trial};
use crate::auth::{Access, Role};
use crate::front::ROLES;
use crate::names::{Pattern, Repositories};
use crate::settings::Proxy;

/// The repository for trial images, unless an option names another.
const USUAL: &str = "regcert-check";

/// Whether `regcert check` created this repository for its trial images. The empty repository stays, because a
/// registry has no request that removes it.
pub fn is_trial(repository: &str) -> bool {
    repository.rsplit('/').next() == Some(USUAL)
}

/// Returns the repository for the trial of a user with this access, and the most that may be stored there.
pub fn trial(given: Option<&str>, is_mirror: bool, access: Option<&Access>) -> Trial {
    let patterns = match access.map(|access| &access.repositories) {
        Some(Repositories::Of(patterns)) => patterns.as_slice(),
        Some(Repositories::Every) | None => &[],
    };
    let below = patterns.iter().find_map(|pattern| match pattern {
        Pattern::Below(name) => Some(format!("{name}/{USUAL}")),
        Pattern::One(_) => None,
    });
    let (repository, extent) = match (given, below, patterns.first()) {
        (Some(given), ..) => (given.to_owned(), Extent::Images),
        (None, Some(below), _) => (below, Extent::Images),
        // The repository is in real use, so no trial image is stored there.
        (None, None, Some(one)) => (one.to_string(), Extent::Upload),
        (None, None, None) => (USUAL.to_owned(), Extent::Images),
    };
    let extent = match access.map(|access| access.role) {
        _ if is_mirror => Extent::Nothing,
        Some(Role::Pull) => Extent::Start,
        Some(Role::Push | Role::Admin) | None => extent,
    };
    Trial { repository, extent }
}

/// Returns the reason why a push is not tested although the registry has no fault; `None` if there is no reason.
pub(super) fn no_push(known: &Known<'_>, seen: &Seen, name: &str) -> Option<String> {
    let Trial { repository, extent } = known.trial;
    if *extent == Extent::Nothing {
        return Some("a mirror takes no push".to_owned());
    }
    let user = known.user?;
    let answer = seen.start.as_ref()?.as_ref().ok()?;
    if is_denied(answer) {
        return Some(match known.access {
            Some(access) if access.role == Role::Pull => format!("`{user}` may only pull"),
            Some(access) if !access.repositories.contains(repository) => {
                format!("`{repository}` is not open to `{user}`")
            }
            Some(_) => "waits for `roles`".to_owned(),
            None => format!("`{user}` may not push to `{repository}`"),
        });
    }
    match (extent, name) {
        (Extent::Start, "upload" | "digest") if answer.status == 202 => Some("waits for `roles`".to_owned()),
        (Extent::Upload, "digest") if seen.chunk.as_ref().is_some_and(stored) => {
            Some(format!("no trial image is put into `{repository}`, and no other is open to `{user}`"))
        }
        (_, _) => None,
    }
}

fn stored(chunk: &Result<Answer, String>) -> bool {
    chunk.as_ref().is_ok_and(|answer| answer.status == 202)
}

/// Reports whether the registry enforces the access that the directory gives the user.
pub(super) fn roles(known: &Known<'_>, seen: &Seen, waits: &str) -> Finding {
    let not_tried = |why: &str| Finding::not_tried("roles", why);
    if known.deployment.is_some_and(|deployment| deployment.spec.proxy == Proxy::None) {
        return not_tried("without nginx there are no roles");
    }
    if known.roles == RolesOnDisk::Other {
        let message = format!(
            "`{ROLES}` is missing, or not as regcert wrote it: nginx reads it when it starts or reloads"
        );
        return Finding::broken("roles", message, known.takes_roles());
    }
    let Some(user) = known.user else {
        return not_tried("no login: `--user NAME --password-stdin`");
    };
    let Trial { repository, extent } = known.trial;
    if *extent == Extent::Nothing {
        return not_tried("a mirror takes no push");
    }
    let Some(Ok(start)) = &seen.start else {
        return not_tried(waits);
    };
    match (is_denied(start), start.status, known.access) {
        (true, _, None) => Finding::held(
            "roles",
            format!("a push by `{user}` to `{repository}` is refused: right for one who may only pull"),
        ),
        (false, 202, None) => not_tried(
            "what the user may do stands in the registry's directory; with --ca-cert, that is not looked at",
        ),
        (true, _, Some(access)) => judged(known, access, Said::Refused),
        (false, 202, Some(access)) => judged(known, access, Said::Taken(deletion(seen))),
        (false, ..) => not_tried(waits),
    }
}

/// The registry's answer to a push.
enum Said {
    /// The push was refused.
    Refused,
    /// The push was accepted. The number is the status of the deletion, if one was tried.
    Taken(Option<u16>),
}

fn deletion(seen: &Seen) -> Option<u16> {
    seen.trip.as_ref()?.as_ref().ok()?.deleted
}

/// Compares the registry's answer with the access in the directory.
fn judged(known: &Known<'_>, Access { role, repositories }: &Access, said: Said) -> Finding {
    let user = known.user.map_or_else(String::new, ToString::to_string);
    let repository = &known.trial.repository;
    let may_push = *role != Role::Pull && repositories.contains(repository);
    let wrong = |what: &str| {
        let message = format!(
            "`{user}` has the role `{role}`, and {what}: nginx has not read the roles since they changed"
        );
        Finding::broken("roles", message, known.takes_roles())
    };
    let right = |what: &str| Finding::held("roles", format!("{what}, as it should be"));
    match (may_push, said, role) {
        (true, Said::Refused, _) => wrong(&format!("a push to `{repository}` is refused")),
        (false, Said::Refused, _) => right(&format!("a push by `{user}` is refused")),
        (false, Said::Taken(_), Role::Pull) => wrong("a push is taken"),
        (false, Said::Taken(_), Role::Push | Role::Admin) => {
            wrong(&format!("a push to `{repository}` is taken, which is not open to this user"))
        }
        (true, Said::Taken(Some(202)), Role::Pull | Role::Push) => wrong("a deletion is taken"),
        (true, Said::Taken(Some(403)), Role::Admin) => wrong("a deletion is refused"),
        (true, Said::Taken(Some(202)), Role::Admin) => {
            right(&format!("a push by `{user}` is taken, and a deletion"))
        }
        (true, Said::Taken(Some(403)), Role::Pull | Role::Push) => {
            right(&format!("a push by `{user}` is taken, and a deletion refused"))
        }
        (true, Said::Taken(_), _) => right(&format!("a push by `{user}` is taken")),
    }
}
