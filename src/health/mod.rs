//! The findings about a registry: what is broken and what is due, judged from its files and from tests. Pure rules:
//! this module reads nothing from the machine.

mod answer;
mod behind;
mod check;
mod cures;
mod damage;
mod dates;
mod edits;
mod finding;
mod known;
mod roles;
mod runtimes;
mod seen;
mod service;
mod settings;
mod shown;
mod upstream;

pub use answer::{explained, location_fault, registry_said};
pub use check::check;
pub use damage::{damage, lost_digests, lost_users, own_damage, unapplied};
pub use dates::{Due, SERVER_DAYS, days_ahead, due, ends_within};
pub use edits::{Unreached, edit, swallowed, unreached};
pub use finding::{Finding, State, are_healthy, told};
pub use known::{Ill, Known, RolesOnDisk};
pub use roles::{is_trial, trial};
pub use runtimes::runtimes;
pub use seen::{
    Answer, Bare, Contained, Containers, Extent, Found, Listener, NoConnection, Refusal, Running, Seen, Step,
    Target, Trial, Trip,
};
pub use settings::NOT_OPEN;
pub use upstream::{BUNDLES, UpstreamSeen, upstream};

use time::OffsetDateTime;

use crate::auth::Unusable;
use crate::deployment::{Deployment, FORMAT};
use crate::files::{Action, Change, Part};
use crate::names::{Username, printable, shell, visible};

/// Returns the findings from dates, users and files.
pub fn findings(
    deployment: &Deployment,
    change: &Change,
    swallowed: &[(Unreached, Vec<String>)],
    now: OffsetDateTime,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    dates::findings(deployment, now, &mut findings);
    if deployment.users.names().is_empty() {
        let hint = "run `regcert add-user NAME`";
        findings.push(Finding::due("users", "no user can log in", hint).at(deployment.users_path()));
    }
    findings.extend(locked_out(deployment));
    files(change, &mut findings);
    for (file, keys) in swallowed {
        findings.retain(|finding| finding.place != file.path);
        let (message, cure) = file.told(keys);
        findings.push(Finding::broken("file", message, cure).at(&file.path));
    }
    findings
}

/// Reports the users for whom no password works.
pub fn locked_out(deployment: &Deployment) -> Vec<Finding> {
    let locked = |(name, why): (String, Unusable)| {
        let hint = match name.parse::<Username>() {
            Ok(name) => format!("run `regcert add-user {name}`, which gives another password"),
            Err(_) => format!("remove the line: `regcert remove-user {}`", shell(&visible(&name))),
        };
        let message = format!("`{}` cannot log in: {why}", printable(&name));
        Finding::due("users", message, hint).at(deployment.users_path())
    };
    deployment.locked_out().into_iter().map(locked).collect()
}

/// Reports an interrupted garbage collection. The registry's container finishes the collection by itself, unless the
/// container was killed too.
pub fn interrupted_collection() -> Finding {
    let message = "a garbage collection was interrupted, and pushes may still be refused";
    Finding::due("gc", message, "run `regcert gc`")
}

/// Reports the blobs that an interrupted collection moved but did not remove. `size` is a text for the user.
pub fn left_by_collection(size: &str) -> Finding {
    let message = format!("a garbage collection that was interrupted left {size} to be removed");
    Finding::note("gc", message, "`regcert gc` frees the space")
}

/// Reports unfinished uploads that are old enough for a collection to remove them. `size` is a text for the user.
pub fn given_up_uploads(count: u64, size: &str) -> Finding {
    let uploads = if count == 1 { "1 unfinished upload" } else { &format!("{count} unfinished uploads") };
    let message = format!("{uploads} ({size}): untouched for a day or longer");
    Finding::note("gc", message, "`regcert gc` frees the space")
}

fn files(change: &Change, findings: &mut Vec<Finding>) {
    for (path, action) in &change.actions {
        let for_clients = path.part() == Part::ClientTrust;
        let (state, message, cure) = match action {
            Action::Unchanged => continue,
            Action::EditedByHand if for_clients => (
                State::Due,
                "edited by hand: it keeps the root certificates that it had",
                "run `regcert trust --force`, which rewrites it; keep a copy of your edit",
            ),
            Action::Added | Action::Changed if for_clients => {
                (State::Due, "missing, or not as it should be", "run `regcert trust` to rewrite it")
            }
            Action::EditedByHand => {
                (State::Note, "edited by hand, and kept; `regcert init --force` rewrites it", "")
            }
            // The user may have taken the request away to have it signed, and regcert can recreate it from its key.
            Action::Added if path.part() == Part::Request => continue,
            // The file is the user's own, so the user may have removed it.
            Action::Added if path.part() == Part::Local => continue,
            Action::Added if path.as_str() == FORMAT => (
                State::Due,
                "missing: the directory has the form that an older regcert gave it",
                "run `regcert init`, which gives it today's form; `regcert init --dry-run` shows what changes",
            ),
            Action::Added => (State::Broken, "missing", "run `regcert init` to rewrite it"),
            Action::Changed => (
                State::Due,
                "not as it should be: its content, its mode or its owner differs",
                "run `regcert init`; `regcert init --dry-run` shows what changes",
            ),
            Action::Removed => (State::Note, "of no use any more", ""),
        };
        findings.push(Finding::new("file", state, message, cure).at(path.as_str()));
    }
}

#[cfg(test)]
mod tests;
