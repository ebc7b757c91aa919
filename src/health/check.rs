//! The way to a registry, link by link, judged from what a look found. Pure rules. The order is a client's: what comes
//! later waits for what comes before.

use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;

use super::seen::{Bare, Refusal, Seen, Target};
use super::service;
use crate::auth::Login;
use crate::deployment::Deployment;
use crate::health::{SERVER_DAYS, days_left};
use crate::names::{Host, Username};
use crate::pki::{Certificate, covers, date, leads_to, verify};

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// As it should be.
    #[serde(rename = "held")]
    Held,
    /// Not as it should be: something needs doing.
    #[serde(rename = "broken")]
    Broken,
    /// Not looked at, and why stands in the message.
    #[serde(rename = "not tried")]
    NotTried,
}

impl State {
    /// As people read it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::NotTried => "not tried",
        }
    }
}

/// One thing that must be right for clients to work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// A short word.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub message: String,
    /// What to do; empty unless it is broken.
    pub hint: String,
}

impl Link {
    pub(super) fn held(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, state: State::Held, message: message.into(), hint: String::new() }
    }

    pub(super) fn broken(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, state: State::Broken, message: message.into(), hint: hint.into() }
    }

    pub(super) fn not_tried(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, state: State::NotTried, message: message.into(), hint: String::new() }
    }
}

/// What is known about the registry without looking at it.
pub struct Known<'a> {
    /// What is looked at.
    pub target: &'a Target,
    /// The roots that clients have.
    pub roots: &'a [&'a Certificate],
    /// The registry itself, where its directory is here.
    pub deployment: Option<&'a Deployment>,
    /// How `regcert` is called for it: with -C where that is needed.
    pub regcert: &'a str,
    /// Its directory, as one word of a shell.
    pub dir: &'a str,
    /// Where its images are kept, as one word of a shell; `None` for a volume.
    pub data: Option<&'a str>,
    /// What `docker compose` is told so that new files are taken.
    pub reload: &'a str,
    /// Whom the look logged in as.
    pub user: Option<&'a Username>,
    /// What the password file says about that user, where it is here.
    pub entry: Option<Login>,
    /// What /etc/hosts says about the name.
    pub hosts_file: &'a [IpAddr],
    /// This machine's time when the look began.
    pub now: OffsetDateTime,
}

impl Known<'_> {
    /// A command for where the registry's directory is.
    pub(super) fn regcert(&self, words: &str) -> String {
        match self.deployment {
            Some(_) => format!("run `{} {words}`", self.regcert),
            None => format!("on the registry's machine, run `regcert {words}`"),
        }
    }

    /// The same for compose.
    pub(super) fn compose(&self, words: &str) -> String {
        match self.deployment {
            Some(_) => format!("run `cd {} && docker compose {words}`", self.dir),
            None => format!("on the registry's machine, in its directory, run `docker compose {words}`"),
        }
    }

    fn reloads(&self) -> String {
        self.compose(self.reload)
    }

    /// The leaf on disk.
    fn leaf(&self) -> Option<&Certificate> {
        self.deployment.and_then(|deployment| deployment.server.as_ref()).map(|server| server.leaf())
    }
}

/// Every link, in a client's order.
pub fn check(known: &Known<'_>, seen: &Seen) -> Vec<Link> {
    let nothing = Seen::default();
    let mut links = vec![name(known, seen)];
    // What was found behind a name that leads astray says nothing about the registry.
    let seen = if links[0].state == State::Broken { &nothing } else { seen };
    links.extend([tcp(known, seen), tls(known, seen)]);
    match &seen.chain {
        Some(Ok(chain)) if !chain.is_empty() => certificate(known, chain, seen, &mut links),
        Some(Ok(_) | Err(_)) | None => {
            let waits = waits(&links);
            let names = ["served", "chain", "trust", "covers", "days", "protocols"];
            links.extend(names.map(|name| Link::not_tried(name, waits.clone())));
        }
    }
    service::links(known, seen, &mut links);
    links.push(bypass(known, seen));
    links
}

/// What the links that cannot be tried say: the broken one that is in their way.
pub(super) fn waits(links: &[Link]) -> String {
    let broken = |link: &&Link| link.state == State::Broken;
    // Whoever speaks with the registry is past the links before it, broken ones too.
    let talk = links.iter().filter(broken).rfind(|link| ["api", "login", "location", "upload"].contains(&link.name));
    let way = || links.iter().find(|link| link.state == State::Broken && link.name != "protocols");
    talk.or_else(way).map_or_else(|| "nothing leads there".to_owned(), |link| format!("waits for `{}`", link.name))
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn name(known: &Known<'_>, seen: &Seen) -> Link {
    let host = match &known.target.host {
        Host::Ip(_) => return Link::held("name", "an address: there is nothing to resolve"),
        Host::Dns(name) => name,
    };
    let hosts_line = format!("a line `ADDRESS {host}` in /etc/hosts, or a record in the DNS, with the registry's address");
    let addresses = match &seen.addresses {
        Some(Ok(addresses)) => addresses,
        Some(Err(why)) => {
            let message = format!("`{host}` leads nowhere: {why}; /etc/hosts does not have it");
            return Link::broken("name", message, format!("add {hosts_line}"));
        }
        None => return Link::not_tried("name", "nobody asked"),
    };
    let from_file = !known.hosts_file.is_empty() && known.hosts_file.iter().all(|ip| addresses.contains(ip));
    // The registry is here, and the name is not: unless what it leads to hands on to this machine.
    let elsewhere = seen.nearby.as_ref().is_some_and(|leaf| Some(leaf) == known.leaf());
    let served = seen.chain.as_ref().and_then(|chain| chain.as_ref().ok()).and_then(|chain| chain.first());
    if elsewhere && served != seen.nearby.as_ref() {
        let message = format!(
            "`{host}` leads to {}, which is not this machine, and the registry runs on this one{}",
            list(addresses),
            if from_file { "; /etc/hosts says so" } else { "; /etc/hosts does not say so" }
        );
        let hint = if from_file {
            format!("in /etc/hosts, write this machine's address before `{host}`")
        } else {
            format!("mend the record in the DNS, or add a line `ADDRESS {host}` to /etc/hosts, with this machine's address")
        };
        return Link::broken("name", message, hint);
    }
    let source = match (from_file, known.hosts_file.is_empty()) {
        (true, _) => "from /etc/hosts".to_owned(),
        (false, true) => "/etc/hosts does not have it".to_owned(),
        (false, false) => format!("though /etc/hosts says {}", list(known.hosts_file)),
    };
    Link::held("name", format!("{}, {source}", list(addresses)))
}

fn tcp(known: &Known<'_>, seen: &Seen) -> Link {
    match &seen.peer {
        None => Link::not_tried("tcp", "waits for `name`"),
        Some(Ok(peer)) => Link::held("tcp", format!("{peer} takes connections")),
        Some(Err(why)) => {
            let port = known.target.port;
            let start = known.compose("up -d");
            let hint = if why.contains("refused") {
                format!("{start}; `docker compose ps` says what runs, and on which port")
            } else {
                format!("{start}; let port {port} through every firewall on the way, and see that the address is the registry's")
            };
            Link::broken("tcp", format!("no connection: {why}"), hint)
        }
    }
}

fn tls(known: &Known<'_>, seen: &Seen) -> Link {
    let force = known.regcert("init --force --reload");
    let refusal = match &seen.chain {
        None => return Link::not_tried("tls", if seen.peer.is_none() { "waits for `name`" } else { "waits for `tcp`" }),
        Some(Ok(chain)) if chain.is_empty() => {
            return Link::broken("tls", "the server shows no certificate", force);
        }
        Some(Ok(_)) => return Link::held("tls", "the handshake succeeds"),
        Some(Err(refusal)) => refusal,
    };
    let port = known.target.port;
    let (message, hint) = match refusal {
        Refusal::PlainHttp => (
            format!("port {port} speaks plain HTTP, not TLS"),
            format!("nginx.conf must say `listen 8443 ssl;`, and docker-compose.yml publish that port as {port}: {force}"),
        ),
        Refusal::NotTls => (
            format!("what listens on port {port} speaks neither TLS nor HTTP"),
            "end what else listens there, or choose another port with `regcert init --https-port`".to_owned(),
        ),
        Refusal::Alert(alert) if alert.contains("protocol version") => (
            "the server offers neither TLS 1.2 nor TLS 1.3".to_owned(),
            format!("nginx.conf must say `ssl_protocols TLSv1.2 TLSv1.3;`: {force}"),
        ),
        Refusal::Alert(alert) => (
            format!("the server ends the handshake (`{alert}`): its key may not belong to its certificate"),
            format!("{force}, which writes a key and a certificate that belong together"),
        ),
        Refusal::Closed => (
            "the server cuts the handshake off: it may have no certificate for that name".to_owned(),
            known.compose("logs nginx registry"),
        ),
        Refusal::Silent => (
            "the server takes the connection and says nothing".to_owned(),
            known.compose("restart"),
        ),
        Refusal::Other(why) => (format!("the handshake fails: {why}"), known.compose("logs nginx registry")),
    };
    Link::broken("tls", message, hint)
}

/// What the server shows about itself.
fn certificate(known: &Known<'_>, chain: &[Certificate], seen: &Seen, links: &mut Vec<Link>) {
    let leaf = &chain[0];
    links.push(served(known, leaf));
    // Where the right certificate lies on disk, every fault of the one served has the same cure.
    let stale = known.leaf().is_some_and(|on_disk| on_disk != leaf);
    let cure = |otherwise: String| if stale { known.reloads() } else { otherwise };
    let (shape, gap) = shape(known, chain);
    links.push(shape);
    if gap {
        links.push(Link::not_tried("trust", "waits for `chain`"));
    } else {
        links.push(trust(known, chain, &cure));
    }
    links.push(if covers(leaf, &known.target.host) {
        Link::held("covers", format!("the certificate is for {}", names(leaf)))
    } else {
        let host = &known.target.host;
        let message = if leaf.names.is_empty() {
            "the certificate has no subjectAltName at all, and clients look at nothing else".to_owned()
        } else {
            format!("the certificate is for {}, not for `{host}`", names(leaf))
        };
        Link::broken("covers", message, cure(known.regcert(&format!("init --san {host} --reload"))))
    });
    links.push(days(known, chain, &cure));
    // With all of them held, this cannot fail but for a rule that none of them knows.
    let sound = links.iter().all(|link| link.state != State::Broken);
    let names = [known.target.host.to_string()];
    if let (true, Some(root)) = (sound, known.roots.first())
        && let Err(fault) = verify(chain, root, &names, known.now)
        && let Some(link) = links.iter_mut().find(|link| link.name == "trust")
    {
        *link = Link::broken("trust", fault.message, cure(known.regcert("rotate --reload")));
    }
    links.push(match seen.old.as_deref() {
        None | Some([]) => Link::held("protocols", "TLS 1.0 and 1.1 are refused"),
        Some(old) => Link::broken(
            "protocols",
            format!("old versions are accepted: {}", old.join(", ")),
            format!("nginx.conf must say `ssl_protocols TLSv1.2 TLSv1.3;`: {}", known.regcert("init --force --reload")),
        ),
    });
}

/// The names of a certificate, as many as a line takes.
fn names(leaf: &Certificate) -> String {
    let mut names: Vec<_> = leaf.names.iter().map(|name| crate::names::printable(name)).take(4).collect();
    if leaf.names.len() > names.len() {
        names.push(format!("{} more", leaf.names.len() - names.len()));
    }
    names.join(", ")
}

fn served(known: &Known<'_>, leaf: &Certificate) -> Link {
    let about = |certificate: &Certificate| {
        format!("number {} (until {})", certificate.serial, date(certificate.validity.not_after))
    };
    match known.leaf() {
        None => Link::not_tried("served", "the registry's directory is not here to compare with"),
        Some(on_disk) if on_disk == leaf => {
            Link::held("served", format!("the certificate on disk, number {}", leaf.serial))
        }
        Some(on_disk) => Link::broken(
            "served",
            format!("certificate {} is served, and {} is on disk", about(leaf), about(on_disk)),
            known.reloads(),
        ),
    }
}

/// The form of the chain, and whether something is missing from it.
fn shape(known: &Known<'_>, chain: &[Certificate]) -> (Link, bool) {
    let whole = known.regcert("init --force --reload");
    if let Some(root) = chain.iter().skip(1).find(|one| one.is_signed_by(one)) {
        let message = format!("the root `{}` is sent along: clients have it, or must not take it from here", root.subject_text);
        return (Link::broken("chain", message, format!("take it out of the file with the certificate: {whole}")), false);
    }
    if let Some(n) = (1..chain.len()).find(|n| !chain[n - 1].is_signed_by(&chain[*n])) {
        let message = format!("certificate {} (`{}`) is not the one that signed certificate {n}", n + 1, chain[n].subject_text);
        return (Link::broken("chain", message, whole), false);
    }
    let last = &chain[chain.len() - 1];
    let on_disk = known.deployment.and_then(|deployment| deployment.server.as_ref());
    let missing = on_disk.and_then(|server| server.chain().iter().skip(1).find(|one| last.is_signed_by(one)));
    if let Some(missing) = missing {
        let message = format!("the intermediate certificate `{}` is not sent", missing.subject_text);
        return (Link::broken("chain", message, whole), true);
    }
    let length = match chain.len() {
        1 => "the server's own certificate alone".to_owned(),
        2 => "the server's own certificate and one more".to_owned(),
        n => format!("the server's own certificate and {} more", n - 1),
    };
    (Link::held("chain", format!("{length}, without the root")), false)
}

fn trust(known: &Known<'_>, chain: &[Certificate], cure: &dyn Fn(String) -> String) -> Link {
    let last = &chain[chain.len() - 1];
    // The dates are another link's business.
    let latest = chain.iter().map(|one| one.validity.not_before).max().unwrap_or(known.now);
    let refuses = |root: &&&Certificate| {
        let at = latest.max(root.validity.not_before);
        leads_to(chain, root, at).is_err()
    };
    let Some(root) = known.roots.iter().find(refuses) else {
        let roots = match known.roots {
            [_] => "the root",
            _ => "either root",
        };
        return Link::held("trust", format!("who trusts {roots} trusts it"));
    };
    let remote = format!(
        "compare the SHA-256 of the root certificate here, {}, with what `regcert status` says on the registry's machine",
        root.fingerprint()
    );
    let hint = cure(if known.deployment.is_some() { known.regcert("rotate --reload") } else { remote });
    if chain[0].is_authority {
        let message = "the server's certificate is itself an authority's: strict clients refuse it as a server's";
        return Link::broken("trust", message, hint);
    }
    if last.is_signed_by(root) {
        let why = leads_to(chain, root, latest.max(root.validity.not_before)).err().map(|fault| fault.message);
        let message = format!("the root signed it, and strict clients refuse it all the same: {}", why.unwrap_or_default());
        return Link::broken("trust", message, hint);
    }
    if chain[0].is_signed_by(&chain[0]) {
        return Link::broken("trust", "the server's certificate is signed by itself", hint);
    }
    if last.issuer == root.subject {
        let message = "it was signed by another authority of the same name as the root, with another key";
        return Link::broken("trust", message, hint);
    }
    let issuer = issuer(last);
    let alone = chain.len() == 1 && known.deployment.is_none();
    let gap = if alone { " (or the server does not send the intermediate certificate of that name)" } else { "" };
    Link::broken("trust", format!("it was issued by `{issuer}`, which the root did not sign{gap}"), hint)
}

/// Who signed it, for people.
fn issuer(certificate: &Certificate) -> String {
    crate::names::printable(&certificate.issuer_text)
}

fn days(known: &Known<'_>, chain: &[Certificate], cure: &dyn Fn(String) -> String) -> Link {
    let leaf = &chain[0];
    let today = date(known.now);
    if let Some(early) = chain.iter().find(|one| one.validity.not_before > known.now) {
        let message = format!("the certificate begins on {} and it is {today} here", date(early.validity.not_before));
        return Link::broken("days", message, format!("if {today} is wrong, set this machine's clock; else {}", cure(known.regcert("rotate --reload"))));
    }
    let ends = chain.iter().chain(known.roots.iter().copied()).map(|one| one.validity.not_after);
    let root_over = known.roots.iter().any(|root| root.validity.not_after < known.now);
    if root_over {
        let hint = known.regcert("rotate --ca --reload");
        return Link::broken("days", "the root certificate is over", hint);
    }
    if ends.min().is_some_and(|end| end < known.now) {
        let message = format!("the certificate ended on {} and it is {today} here", date(leaf.validity.not_after));
        return Link::broken("days", message, cure(known.regcert("rotate --reload")));
    }
    let (left, end) = (days_left(leaf, known.now), date(leaf.validity.not_after));
    if left < SERVER_DAYS {
        return Link::broken("days", format!("it ends on {end}, in {left} days"), cure(known.regcert("rotate --reload")));
    }
    Link::held("days", format!("until {end}, {left} days left"))
}

fn bypass(known: &Known<'_>, seen: &Seen) -> Link {
    let open = seen.bare.iter().find(|(_, bare)| *bare == Bare::Registry);
    if let Some((address, _)) = open {
        let message = format!("a registry answers on {address} over plain HTTP: whoever reaches that port goes round TLS and passwords");
        let hint = format!("take that port out of docker-compose.yml: {}", known.regcert("init --force --reload"));
        return Link::broken("bypass", message, hint);
    }
    match seen.bare.first() {
        None if known.target.port == 5000 => Link::not_tried("bypass", "port 5000 is the registry's public one"),
        None => Link::not_tried("bypass", "no address to look at"),
        Some((address, _)) => Link::held("bypass", format!("no registry on port {} without TLS", address.port())),
    }
}
