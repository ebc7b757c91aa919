//! What is due and what is wrong, judged from the registry and the state of its files. Pure rules; nothing is asked of
//! the machine here.

mod answer;
mod behind;
mod check;
mod roles;
mod runtimes;
mod seen;
mod service;
mod shown;
mod upstream;

pub use answer::{explained, location_fault, registry_said};
pub use check::{Ill, Known, Link, State, check};
pub use roles::{RolesOnDisk, is_trial, trial};
pub use runtimes::{BUNDLES, Found, Machine, runtimes};
pub use seen::{
    Answer, Bare, Contained, Containers, Extent, Listener, Refusal, Seen, Step, Target, Trial, Trip,
};
pub use upstream::{UpstreamSeen, upstream};

use serde::Serialize;
use time::OffsetDateTime;

use crate::auth::Unusable;
use crate::deployment::{Deployment, Issuer};
use crate::error::Fault;
use crate::files::{Action, Change};
use crate::names::{Username, printable, shell, visible};
use crate::pki::{Certificate, date, verify};

/// A server certificate is renewed this many days before its end.
pub const SERVER_DAYS: i64 = 30;

/// A root takes a rotation, and people: begin half a year before the last server certificate that fits into its life.
const ROOT_DAYS: i64 = 182;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known; nothing needs doing.
    Note,
    /// Something needs doing soon.
    Warning,
    /// Clients are or will be refused.
    Error,
}

/// One row of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, such as a path.
    pub subject: String,
    /// What is the matter.
    pub message: String,
    /// What to do; empty for a note.
    pub hint: String,
}

impl Finding {
    fn new(severity: Severity, subject: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity, subject: subject.to_owned(), message: message.into(), hint: hint.into() }
    }
}

/// Everything there is to say, the worst first.
pub fn findings(deployment: &Deployment, change: &Change, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    server(deployment, now, &mut findings);
    roots(deployment, now, &mut findings);
    clients(deployment, now, &mut findings);
    if deployment.users.names().is_empty() {
        let hint = "run `regcert add-user NAME`";
        findings.push(Finding::new(Severity::Warning, &deployment.users_path(), "no user can log in", hint));
    }
    findings.extend(locked_out(deployment));
    files(change, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The users whose lines in the password file let nothing in.
pub fn locked_out(deployment: &Deployment) -> Vec<Finding> {
    let locked = |(name, why): (String, Unusable)| {
        let hint = match name.parse::<Username>() {
            Ok(name) => format!("run `regcert add-user {name}`, which gives another password"),
            Err(_) => format!("remove the line: `regcert remove-user {}`", shell(&visible(&name))),
        };
        let message = format!("`{}` cannot log in: {why}", printable(&name));
        Finding::new(Severity::Warning, &deployment.users_path(), message, hint)
    };
    deployment.locked_out().into_iter().map(locked).collect()
}

/// A garbage collection that was cut short: it ends by itself in the registry's container, but for a container that was
/// killed at the same time.
pub fn interrupted_collection() -> Finding {
    let message = "a garbage collection was interrupted, and pushes may still be refused";
    Finding::new(Severity::Warning, "gc", message, "run `regcert gc`")
}

/// Whole days from `now` to the certificate's end, rounded down; negative when it is over.
pub fn days_left(certificate: &Certificate, now: OffsetDateTime) -> i64 {
    (certificate.validity.not_after - now).whole_seconds().div_euclid(86_400)
}

/// Why the server certificate should be renewed, where it should.
pub fn server_is_due(deployment: &Deployment, within: i64, now: OffsetDateTime) -> Option<String> {
    let server = deployment.server.as_ref()?;
    let left = days_left(server.leaf(), now);
    if left < within {
        let end = date(server.leaf().validity.not_after);
        return Some(if left < 0 {
            format!("it ended on {end}")
        } else {
            format!("it ends on {end}, in {left} days")
        });
    }
    refused(deployment, now).err().map(|fault| fault.message)
}

/// Whether a client would refuse what is served.
fn refused(deployment: &Deployment, now: OffsetDateTime) -> Result<(), Fault> {
    let (Some(server), Some(root)) = (&deployment.server, deployment.root()) else {
        return Ok(());
    };
    let names: Vec<_> = deployment.names().iter().map(ToString::to_string).collect();
    verify(server.chain(), root, &names, now)
}

fn server(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    let own = matches!(deployment.issuer, Issuer::Own { .. });
    if deployment.pending.is_some() {
        let message = "a signing request waits for the external authority";
        let hint = "have it signed, then run `regcert import-cert FILE`";
        findings.push(Finding::new(Severity::Warning, &deployment.request_path(), message, hint));
    }
    let Some(server) = &deployment.server else {
        return;
    };
    let path = deployment.certificate_path();
    let hint = if own {
        "run `regcert rotate --reload`"
    } else {
        "run `regcert csr`, have it signed, run `regcert import-cert FILE`"
    };
    if server.leaf().validity.not_before > now {
        let message = format!("the server certificate begins on {}", date(server.leaf().validity.not_before));
        findings.push(Finding::new(Severity::Error, &path, message, "set this machine's clock"));
    } else if let Some(why) = server_is_due(deployment, SERVER_DAYS, now) {
        let left = days_left(server.leaf(), now);
        let severity = if (0..SERVER_DAYS).contains(&left) { Severity::Warning } else { Severity::Error };
        findings.push(Finding::new(severity, &path, format!("the server certificate is due: {why}"), hint));
    }
}

fn roots(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    if let Some(retiring) = &deployment.retiring {
        let message = format!(
            "two roots are in everything below trust/ since {}: the one with SHA-256 {} is on its way out",
            date(deployment.state.release().at),
            retiring.root.fingerprint()
        );
        let hint = "run trust/install.sh on every client, or give it its package or file again, then run `regcert rotate --ca --finish --reload`";
        findings.push(Finding::new(Severity::Warning, "rotation", message, hint));
    }
    let Some(root) = deployment.root() else {
        return;
    };
    let left = days_left(root, now);
    // From then on a server certificate would outlive it, and none could be issued.
    if left < ROOT_DAYS + i64::from(deployment.spec.days) {
        let severity = if left < 0 { Severity::Error } else { Severity::Warning };
        let message =
            format!("the root certificate ends on {}, in {left} days", date(root.validity.not_after));
        let hint = match deployment.issuer {
            Issuer::Own { .. } => "run `regcert rotate --ca --reload`",
            Issuer::External { .. } => "ask the external authority for its next root",
        };
        findings.push(Finding::new(severity, &deployment.root_path(), message, hint));
    }
}

fn clients(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    for client in deployment.state.clients.iter().filter(|client| client.revoked.is_none()) {
        let left = (client.until - now.unix_timestamp()).div_euclid(86_400);
        // Whoever has a newer one needs no reminder.
        let newer =
            |other: &&crate::deployment::Client| other.name == client.name && other.until > client.until;
        if left < SERVER_DAYS && !deployment.state.clients.iter().any(|other| newer(&other)) {
            let message = if left < 0 {
                "the client certificate is over".to_owned()
            } else {
                format!("the client certificate ends in {left} days")
            };
            let hint = format!("run `regcert add-client {}` and hand the files over", client.name);
            findings.push(Finding::new(Severity::Warning, &format!("client {}", client.name), message, hint));
        }
    }
}

fn files(change: &Change, findings: &mut Vec<Finding>) {
    for (path, action) in &change.actions {
        let for_clients = path.as_str().starts_with("trust/");
        let (severity, message, hint) = match action {
            Action::Unchanged => continue,
            Action::EditedByHand if for_clients => (
                Severity::Warning,
                "edited by hand: it keeps the root certificates that it had",
                "keep a copy elsewhere, remove it, and run `regcert trust`",
            ),
            Action::Added | Action::Changed if for_clients => {
                (Severity::Warning, "missing, or not as it should be", "run `regcert trust` to rewrite it")
            }
            Action::EditedByHand => (Severity::Note, "edited by hand, and kept", ""),
            // Somebody took it away to have it signed; it is made again from its key.
            Action::Added if path.as_str().ends_with(".csr") => continue,
            Action::Added => (Severity::Error, "missing", "run `regcert init` to rewrite it"),
            Action::Changed => (
                Severity::Warning,
                "not as it should be: its content, its mode or its owner differs",
                "run `regcert init`; `regcert init --dry-run` shows what changes",
            ),
            Action::Removed => (Severity::Note, "of no use any more", ""),
        };
        findings.push(Finding::new(severity, path.as_str(), message, hint));
    }
}

#[cfg(test)]
mod tests;
