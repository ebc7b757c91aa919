//! Judges each step on a client's way to the registry, from the observations of `probe`. Pure rules, in the client's
//! order: a step is judged only if the steps before it work.
// Long because each step keeps its test, its message and its cure together.

use super::finding::{Finding, waits};
use super::known::{Known, RolesOnDisk};
use super::seen::{Bare, Containers, NoConnection, Refusal, Seen, list};
use super::{behind, service, settings, shown};
use crate::error::Fault;
use crate::files::Part;
use crate::front::ROLES;
use crate::names::Host;

/// Returns the findings for all steps, in the order in which a client goes through them.
pub fn check(known: &Known<'_>, seen: &Seen) -> Vec<Finding> {
    let nothing = Seen::default();
    let mut links = vec![name(known, seen)];
    // If the name resolves to another machine, the observations there are not about the registry.
    let seen = if links[0].is_broken() { &nothing } else { seen };
    links.push(tcp(known, seen));
    // If another program uses the registry's port, its answers are not about the registry either.
    let is_taken = seen.peer.as_ref().is_some_and(Result::is_ok) && behind::taken(known, seen).is_some();
    let astray = Seen { peer: Some(Err(NoConnection::default())), ..Seen::default() };
    let seen = if is_taken { &astray } else { seen };
    links.push(tls(known, seen));
    match &seen.chain {
        Some(Ok(chain)) if !chain.is_empty() => shown::links(known, chain, seen, &mut links),
        Some(Ok(_) | Err(_)) | None => {
            let waits = waits(&links);
            let names = ["served", "chain", "trust", "covers", "days", "protocols"];
            links.extend(names.map(|name| Finding::not_tried(name, waits.clone())));
        }
    }
    service::links(known, seen, &mut links);
    links.push(settings::settings(known, seen, &waits(&links)));
    links.push(bypass(known, seen));
    links.extend(known.upstream.cloned());
    links
}

fn name(known: &Known<'_>, seen: &Seen) -> Finding {
    let host = match &known.target.host {
        Host::Ip(_) => return Finding::held("name", "an address: there is nothing to resolve"),
        Host::Dns(name) => name,
    };
    let hosts_line =
        format!("a line with the registry's address and `{host}` to /etc/hosts, or a record to the DNS");
    let addresses = match &seen.addresses {
        Some(Ok(addresses)) => addresses,
        Some(Err(why)) => {
            let message = format!("`{host}` leads nowhere: {why}; /etc/hosts does not have it");
            let hint = match known.deployment {
                Some(_) => format!(
                    "run `sudo regcert trust install`, which adds `{host}` to /etc/hosts of this machine; or add a record to the DNS"
                ),
                None => format!("add {hosts_line}"),
            };
            return Finding::broken("name", message, hint);
        }
        None => return Finding::not_tried("name", "not asked for"),
    };
    let from_file = !known.hosts_file.is_empty() && known.hosts_file.iter().all(|ip| addresses.contains(ip));
    // The registry runs here, but the name resolves to another machine. That is fine if the other machine forwards to
    // this one.
    let elsewhere = seen.nearby.as_ref().is_some_and(|leaf| Some(leaf) == known.leaf());
    let served = seen.chain.as_ref().and_then(|chain| chain.as_ref().ok()).and_then(|chain| chain.first());
    if elsewhere && served != seen.nearby.as_ref() {
        let message = format!(
            "`{host}` leads to {}, which is not this machine, and the registry runs on this one{}",
            list(addresses),
            if from_file { "; /etc/hosts says so" } else { "; /etc/hosts does not say so" }
        );
        let hint = if from_file {
            format!(
                "run `{} && sudo regcert trust install`, which take the name from that address and give it this machine's",
                behind::out_of_hosts(known.hosts_file, host)
            )
        } else {
            format!(
                "mend the record in the DNS, or add a line with this machine's address and `{host}` to /etc/hosts"
            )
        };
        return Finding::broken("name", message, hint);
    }
    let source = match (from_file, known.hosts_file.is_empty()) {
        (true, _) => "from /etc/hosts".to_owned(),
        (false, true) => "/etc/hosts does not have it".to_owned(),
        (false, false) => format!("though /etc/hosts says {}", list(known.hosts_file)),
    };
    Finding::held("name", format!("{}, {source}", list(addresses)))
}

fn tcp(known: &Known<'_>, seen: &Seen) -> Finding {
    if let Some(link) = behind::taken(known, seen) {
        return link;
    }
    match &seen.peer {
        None => Finding::not_tried("tcp", "waits for `name`"),
        Some(Ok(peer)) if !seen.astray.is_empty() => behind::second(known, seen, *peer),
        Some(Ok(peer)) => Finding::held("tcp", format!("{peer} takes connections")),
        Some(Err(NoConnection { why, is_refused })) => {
            let (compose, port) = (known.compose, known.target.port);
            let mut start = known.compose("up -d");
            if known.roles == RolesOnDisk::Other {
                // nginx does not start without the roles file.
                start = format!("{}, which rewrites `{ROLES}`, then {start}", known.regcert("init"));
            }
            if let Some(Fault { message, hint }) = known.front_trouble()
                && known.roles != RolesOnDisk::Other
            {
                return Finding::broken("tcp", format!("no connection: {why}; {message}"), hint);
            }
            let firewall = format!("let port {port} through every firewall on the way");
            let hint = match (is_refused, known.front_runs()) {
                (true, false) => format!("{start}; `{compose} ps` says what runs, and on which port"),
                (true, true) => format!("{start}; where that does not help, {firewall}"),
                (false, true) => format!("{firewall}, this machine's own as well: its container runs"),
                (false, false) => {
                    format!("{start}; {firewall}, and see that the address is the registry's")
                }
            };
            Finding::broken("tcp", format!("no connection: {why}"), hint)
        }
    }
}

fn tls(known: &Known<'_>, seen: &Seen) -> Finding {
    let refusal = match &seen.chain {
        None => {
            return Finding::not_tried(
                "tls",
                if seen.peer.is_none() { "waits for `name`" } else { "waits for `tcp`" },
            );
        }
        Some(Ok(chain)) if chain.is_empty() => {
            return Finding::broken(
                "tls",
                "the server shows no certificate",
                known.mends(&[Part::Front], "nginx.conf must say `listen 8443 ssl;`"),
            );
        }
        Some(Ok(_)) => return Finding::held("tls", "the handshake succeeds"),
        Some(Err(refusal)) => refusal,
    };
    let port = known.target.port;
    let (message, hint) = match refusal {
        Refusal::PlainHttp => (
            format!("port {port} speaks plain HTTP, not TLS"),
            known.mends(
                &[Part::Front, Part::Engine],
                &format!(
                    "nginx.conf must say `listen 8443 ssl;`, and docker-compose.yml publish that port as {port}"
                ),
            ),
        ),
        Refusal::NotTls => (
            format!("what listens on port {port} speaks neither TLS nor HTTP"),
            known.other_port(port),
        ),
        Refusal::Version => (
            "the server offers neither TLS 1.2 nor TLS 1.3".to_owned(),
            known.mends(&[Part::Front], "nginx.conf must say `ssl_protocols TLSv1.2 TLSv1.3;`"),
        ),
        Refusal::Alert(alert) => (
            format!("the server ends the handshake (`{alert}`): its key may not belong to its certificate"),
            known.mends(&Part::OF_FRONT, "the server's key must be the one of its certificate"),
        ),
        Refusal::Closed => (
            "the server cuts the handshake off: it may have no certificate for that name".to_owned(),
            known.restarts(),
        ),
        Refusal::Silent => silent(known),
        Refusal::Other(why) => (format!("the handshake fails: {why}"), known.restarts()),
    };
    Finding::broken("tls", message, hint)
}

/// Returns the message and the cure for a server that does not answer.
fn silent(known: &Known<'_>) -> (String, String) {
    let message = "the server takes the connection and says nothing".to_owned();
    // If Docker does not list the containers, the cause is unknown.
    let trouble = match known.containers {
        Containers::Known(_) => known.front_trouble(),
        Containers::Unknown(_) => None,
    };
    match trouble {
        Some(fault) => (format!("{message}: {}", fault.message), fault.hint),
        None => (message, known.restarts()),
    }
}

fn bypass(known: &Known<'_>, seen: &Seen) -> Finding {
    let open = seen.bare.iter().find(|(_, bare)| *bare == Bare::Registry);
    if let Some((address, _)) = open {
        let message = format!(
            "a registry answers on {address} over plain HTTP: every client that reaches this port bypasses TLS and passwords"
        );
        let hint = format!(
            "{}; `docker ps --filter publish=5000` says which container publishes it",
            known.mends(&[Part::Engine], "docker-compose.yml must not publish port 5000")
        );
        return Finding::broken("bypass", message, hint);
    }
    match seen.bare.first() {
        None if known.target.port == 5000 => {
            Finding::not_tried("bypass", "port 5000 is the registry's public one")
        }
        None => Finding::not_tried("bypass", "no address to look at"),
        Some((address, _)) => {
            Finding::held("bypass", format!("no registry on port {} without TLS", address.port()))
        }
    }
}
