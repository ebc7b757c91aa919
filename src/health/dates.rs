//! The things in a registry that expire: when they end, when `status` warns, and how to renew them.

use time::OffsetDateTime;

use super::finding::{Finding, State};
use crate::deployment::{CLIENTS_AHEAD, Client, Deployment, Issuer, Retiring};
use crate::error::Fault;
use crate::pki::{Certificate, date, days_until, verify, when};

/// A certificate is renewed this many days before its end, if its lifetime is at least three times as long.
pub const SERVER_DAYS: i64 = 30;

/// Returns the number of days before its end at which a certificate is renewed: at most a third of its lifetime.
pub fn days_ahead(certificate: &Certificate) -> i64 {
    SERVER_DAYS.min(certificate.validity.days() / 3).max(1)
}

/// The timer begins to replace the root this many days before the end: a year, as every client must get the new root.
const BEGIN_DAYS: i64 = 365;

/// `status` asks for a new root this many days before server certificates get shorter than the settings say.
const ROOT_DAYS: i64 = 182;

/// The part that `rotate --if-due` must renew.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    /// A new server certificate.
    Server,
    /// A new authority for client certificates.
    Clients,
    /// A new root, and with it a new server certificate.
    Root,
}

/// Returns the part that must be renewed now without asking. The root counts only if the user need not act, because
/// clients keep working with the old root.
pub fn due(deployment: &Deployment, within: Option<i64>, now: OffsetDateTime) -> Due {
    if let Issuer::Own { authority, .. } = &deployment.issuer
        && (0..BEGIN_DAYS).contains(&days_until(authority.ends(), now))
        && deployment.voucher(now).is_ok()
    {
        return Due::Root;
    }
    if server_is_due(deployment, within, now).is_some() && !is_as_long_as_can_be(deployment, now) {
        return Due::Server;
    }
    if clients_are_due(deployment, now) { Due::Clients } else { Due::Nothing }
}

/// Reports something that ends within this many days and that only the user can renew.
pub fn ends_within(deployment: &Deployment, within: i64, now: OffsetDateTime) -> Option<Finding> {
    let mut findings = Vec::new();
    if let Some(retiring) = &deployment.retiring
        && (0..within).contains(&days_until(retiring.root.validity.not_after, now))
    {
        findings.push(rotation(deployment, retiring, now));
    }
    if deployment.root_until().is_some_and(|end| days_until(end, now) < within) {
        root(deployment, now, &mut findings);
    }
    findings.into_iter().next()
}

/// Returns the reason to renew the server certificate; `None` if it is not due.
fn server_is_due(deployment: &Deployment, within: Option<i64>, now: OffsetDateTime) -> Option<String> {
    let (server, end) = (deployment.server.as_ref()?, deployment.served_until()?);
    if days_until(end, now) < within.unwrap_or_else(|| days_ahead(server.leaf())) {
        return Some(format!("it {}", when(end, now)));
    }
    if deployment.serves_what_is_over(now) {
        return Some("it comes with a certificate of the old root, which has ended".to_owned());
    }
    refused(deployment, now).err().map(|fault| fault.message)
}

/// Whether the server certificate is valid and ends with its authority, so that a new one would end on the same day.
fn is_as_long_as_can_be(deployment: &Deployment, now: OffsetDateTime) -> bool {
    let Issuer::Own { authority, .. } = &deployment.issuer else {
        return false;
    };
    deployment.served_until() == Some(authority.ends())
        && now <= authority.ends()
        && !deployment.serves_what_is_over(now)
        && refused(deployment, now).is_ok()
}

/// Whether a client certificate issued now or soon would need a new authority for client certificates.
fn clients_are_due(deployment: &Deployment, now: OffsetDateTime) -> bool {
    let ahead = CLIENTS_AHEAD + i64::from(deployment.spec.days);
    deployment
        .clients
        .as_ref()
        .is_some_and(|clients| days_until(clients.current.authority.ends(), now) < ahead)
}

/// Fails if a client would refuse the served chain.
fn refused(deployment: &Deployment, now: OffsetDateTime) -> Result<(), Fault> {
    let (Some(server), Some(root)) = (&deployment.server, deployment.root()) else {
        return Ok(());
    };
    let names: Vec<_> = deployment.names().iter().map(ToString::to_string).collect();
    verify(server.chain(), root, &names, now)
}

/// Adds the findings about everything that expires.
pub(super) fn findings(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    server(deployment, now, findings);
    if let Some(retiring) = &deployment.retiring {
        findings.push(rotation(deployment, retiring, now));
    }
    let ahead = (ROOT_DAYS + i64::from(deployment.spec.days)).max(BEGIN_DAYS);
    if deployment.root_until().is_some_and(|end| days_until(end, now) < ahead) {
        root(deployment, now, findings);
    }
    authority_for_clients(deployment, now, findings);
    clients(deployment, now, findings);
}

fn server(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    let own = matches!(deployment.issuer, Issuer::Own { .. });
    if deployment.pending.is_some() {
        let message = "a signing request waits for the external authority";
        let hint = "have it signed, then run `regcert import-cert FILE`";
        findings.push(Finding::due("request", message, hint).at(deployment.request_path()));
    }
    let (Some(server), Some(end)) = (&deployment.server, deployment.served_until()) else {
        return;
    };
    let is_good = end >= now && refused(deployment, now).is_ok();
    // If clients refuse a certificate before its end, the fault is in the file with the key.
    let path = if is_good || end < now { deployment.certificate_path() } else { deployment.identity_path() };
    let hint = if own {
        "run `regcert rotate --reload`"
    } else {
        "run `regcert csr`, have it signed, run `regcert import-cert FILE`"
    };
    if server.leaf().validity.not_before > now {
        let message = format!("the server certificate begins on {}", date(server.leaf().validity.not_before));
        findings.push(Finding::broken("clock", message, "set this machine's clock").at(path));
    } else if let Some(why) = server_is_due(deployment, None, now)
        // Otherwise the finding about the root has the cure.
        && !is_as_long_as_can_be(deployment, now)
        && !deployment.root_until().is_some_and(|end| own && end < now)
    {
        let state = if is_good { State::Due } else { State::Broken };
        let message = format!("the server certificate is due: {why}");
        findings.push(Finding::new("server certificate", state, message, hint).at(path));
    }
}

/// Returns the finding about an unfinished rotation, during which clients may have either of two roots.
fn rotation(deployment: &Deployment, retiring: &Retiring, now: OffsetDateTime) -> Finding {
    let fingerprint = retiring.root.fingerprint();
    let end = retiring.root.validity.not_after;
    if end < now {
        let message = format!(
            "two roots are in everything below trust/: the one with SHA-256 {fingerprint} {}, and no client accepts it any more",
            when(end, now)
        );
        let hint = "run `regcert rotate --ca --finish --reload`, and give the new root to every client that refuses the registry";
        return Finding::due("rotation", message, hint);
    }
    let message = format!(
        "two roots are in everything below trust/ since {}: the one with SHA-256 {fingerprint} is on its way out, and {}",
        date(deployment.state.release().at),
        when(end, now)
    );
    let hint = "run trust/install.sh on every client, or give it its package or file again, then run `regcert rotate --ca --finish --reload`";
    Finding::due("rotation", message, hint)
}

/// Adds the finding about a root that ends, or about the intermediate that signs in its place.
fn root(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    let Some(end) = deployment.root_until() else {
        return;
    };
    let is_over = end < now;
    let hint = match &deployment.issuer {
        Issuer::External { .. } => "ask the external authority for its next root and a certificate below it: run `regcert csr`, have it signed, run `regcert import-cert FILE --ca-cert ROOT`".to_owned(),
        Issuer::Own { .. } => match deployment.voucher(now) {
            Ok(_) if is_over => "run `regcert rotate --ca --reload`, then trust/install.sh on every client, or give it its package or file again".to_owned(),
            Ok(_) => "run `regcert rotate --ca --reload`, which begins to replace it: clients go on with the old root until it ends".to_owned(),
            // Another finding reports the unfinished rotation.
            Err(_) if deployment.retiring.is_some() => "run `regcert rotate --ca --finish --reload`, then `regcert rotate --ca --reload`".to_owned(),
            Err(fault) => format!("{}: {}", fault.message, fault.hint),
        },
    };
    let is_root = deployment.root().is_some_and(|root| root.validity.not_after == end);
    let what = if is_root { "root" } else { "intermediate" };
    let state = if is_over { State::Broken } else { State::Due };
    let message = format!("the {what} certificate {}", when(end, now));
    findings.push(Finding::new("root certificate", state, message, hint).at(deployment.root_path()));
}

fn authority_for_clients(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    let Some(clients) = deployment.clients.as_ref().filter(|_| clients_are_due(deployment, now)) else {
        return;
    };
    let end = clients.current.authority.ends();
    let state = if end < now { State::Broken } else { State::Due };
    let message =
        format!("the authority for client certificates, and its list of revoked ones, {}", when(end, now));
    let command = match &deployment.issuer {
        // An expired root must be replaced in the same run, because it cannot sign anything.
        Issuer::Own { authority, .. } if authority.ends() < now => "regcert rotate --ca --reload",
        Issuer::Own { .. } => "regcert rotate --reload",
        Issuer::External { .. } => "regcert init --reload",
    };
    let hint = format!(
        "run `{command}`, which makes its successor; client certificates stay good until their own end"
    );
    findings.push(Finding::new("clients' authority", state, message, hint).at("clients/clients-ca.crt"));
}

fn clients(deployment: &Deployment, now: OffsetDateTime, findings: &mut Vec<Finding>) {
    for client in deployment.state.clients.iter().filter(|client| client.revoked.is_none()) {
        let end = OffsetDateTime::from_unix_timestamp(client.until).unwrap_or(now);
        // A client with a newer certificate needs no reminder.
        let newer = |other: &&Client| other.name == client.name && other.until > client.until;
        if days_until(end, now) < SERVER_DAYS && !deployment.state.clients.iter().any(|other| newer(&other)) {
            let message = format!("the client certificate {}", when(end, now));
            let hint = format!(
                "run `regcert add-client {}` and hand the files over; or run `regcert revoke {}`, where it is of no more use",
                client.name, client.name
            );
            findings.push(
                Finding::due("client certificate", message, hint).at(format!("client {}", client.name)),
            );
        }
    }
}
