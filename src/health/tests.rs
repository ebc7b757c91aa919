//! Tests of the rules of `check`: observations decide which findings are broken, and each broken finding has a cure.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use time::macros::datetime;

use super::answer::{Cure, reason};
use super::*;
use crate::auth::{Access, Login, Password};
use crate::deployment::{First, New, Origin};
use crate::error::Gather;
use crate::names::Username;
use crate::pki::Certificate;
use crate::settings::{RawSettings, RunAs, Settings, Side};

mod addresses;
mod behind;
mod cures;
mod roles;

const NOW: OffsetDateTime = datetime!(2026-11-20 12:00 UTC);

/// Two registries with the same names.
static HERE: LazyLock<Deployment> = LazyLock::new(|| deployment(true));
static OTHER: LazyLock<Deployment> = LazyLock::new(|| deployment(false));

fn deployment(offline_root: bool) -> Deployment {
    let server = Some("r.myhouse.local".to_owned());
    let settings = RawSettings { server, ..RawSettings::default() };
    let invoker = RunAs { uid: 65532, gid: 65532 };
    let spec = Settings::check(&settings, Side::Options, invoker, &mut Gather::default()).unwrap();
    let origin = Origin::Create { permit: Some(vec![]), offline_root };
    let (user, password) = ("docker".parse().unwrap(), Password::generate());
    Deployment::create(New { spec, origin, passphrase: None, users: First::Admin(user, password) }, NOW)
        .unwrap()
}

fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { status, headers, body: Vec::new() }
}

const VERSION: (&str, &str) = ("docker-distribution-api-version", "registry/2.0");
const ASKS: (&str, &str) = ("www-authenticate", "Basic realm=\"registry\"");
const DATE: (&str, &str) = ("date", "Fri, 20 Nov 2026 12:00:01 GMT");

fn step(status: u16, came: &str) -> Step {
    let answer = Answer { status, body: came.into(), ..Answer::default() };
    Step { what: "fetch the blob", expected: 200, answer, sent: Some(b"{}".to_vec()) }
}

/// Returns the observations of a registry without faults.
fn seen() -> Seen {
    let ip = "10.0.0.7".parse().unwrap();
    let chain = HERE.server.as_ref().unwrap().chain().to_vec();
    let location = ("location", "https://r.myhouse.local/v2/a/blobs/uploads/x?state=y");
    Seen {
        addresses: Some(Ok(vec![ip])),
        peer: Some(Ok((ip, 443).into())),
        chain: Some(Ok(chain)),
        old: Some(Vec::new()),
        api: Some(Ok(answer(401, &[VERSION, ASKS, DATE]))),
        api_after: Duration::from_secs(1),
        login: Some(Ok(answer(200, &[VERSION]))),
        start: Some(Ok(answer(202, &[location]))),
        chunk: Some(Ok(answer(202, &[]))),
        trip: Some(Ok(Trip { steps: vec![step(200, "{}")], deleted: Some(202) })),
        bare: vec![((ip, 5000).into(), Bare::Closed)],
        ..Seen::default()
    }
}

/// Returns the findings on the registry's machine, or on a machine that has only the root certificate.
fn links(seen: &Seen, here: bool, entry: Option<Login>) -> Vec<Finding> {
    let access = here.then(|| HERE.state.access.of("docker"));
    links_of(seen, here, entry, access.as_ref(), RolesOnDisk::Fit)
}

/// Returns the findings for a user with this access in the directory, and for this state of the roles on disk.
fn links_of(
    seen: &Seen,
    here: bool,
    entry: Option<Login>,
    access: Option<&Access>,
    roles: RolesOnDisk,
) -> Vec<Finding> {
    let target: Target = "r.myhouse.local".parse().unwrap();
    let user: Username = "docker".parse().unwrap();
    let roots = HERE.roots();
    let known = Known {
        target: &target,
        roots: &roots,
        deployment: here.then_some(&*HERE),
        server: Some(RunAs { uid: 65532, gid: 65532 }),
        data: Some("registry/data"),
        dir: Path::new("registry"),
        own: &[],
        compose: "docker compose",
        reload: "exec -T nginx nginx -s reload",
        user: Some(&user),
        entry,
        access,
        roles,
        trial: &trial(None, false, access),
        hosts_file: &[],
        containers: &Containers::Known(Vec::new()),
        listeners: &[],
        free_ports: (8080, 5443),
        files: &[],
        running: None,
        upstream: None,
        refused: None,
        now: NOW,
    };
    let links = check(&known, seen);
    for Finding { id, state, cure, .. } in &links {
        assert_eq!(cure.is_empty(), *state != State::Broken, "{id}: {cure}");
    }
    links
}

/// Returns the names of the broken findings, and the cure of the first one.
fn broken(change: impl Fn(&mut Seen)) -> (String, String) {
    let mut seen = seen();
    change(&mut seen);
    summary(&links(&seen, true, Some(Login::Good)))
}

fn summary(links: &[Finding]) -> (String, String) {
    let broken: Vec<_> = links.iter().filter(|link| link.is_broken()).collect();
    let names: Vec<_> = broken.iter().map(|link| link.id).collect();
    (names.join(","), broken.first().map(|link| link.cure.clone()).unwrap_or_default())
}

fn waiting(links: &[Finding]) -> Vec<&str> {
    let waits = links.iter().filter(|link| link.message.starts_with("waits for"));
    waits.map(|link| link.id).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for here in [true, false] {
        let links = links(&seen(), here, None);
        assert_eq!(summary(&links).0, "", "{links:#?}");
        let untried: Vec<_> =
            links.iter().filter(|link| link.state == State::NotTried).map(|link| link.id).collect();
        assert_eq!(untried, if here { vec!["settings"] } else { vec!["served", "roles", "settings"] });
    }
}

#[test]
fn a_registry_on_this_machine_tells_a_name_that_leads_elsewhere() {
    let (names, hint) = broken(|seen| {
        seen.nearby = HERE.server.as_ref().map(|server| server.leaf().clone());
        seen.peer = behind::no_connection("10.0.0.7:443: no route to host");
        seen.chain = None;
    });
    assert_eq!(names, "name");
    assert!(hint.contains("mend the record in the DNS"), "{hint}");
    // The name may reach the registry through a router: then there is no fault.
    let nearby = |seen: &mut Seen| seen.nearby = HERE.server.as_ref().map(|server| server.leaf().clone());
    assert_eq!(broken(nearby).0, "");
}

#[test]
fn what_cannot_be_tried_waits_for_the_link_in_its_way() {
    let mut down = Seen { addresses: seen().addresses, ..Seen::default() };
    down.peer = behind::no_connection("10.0.0.7:443: connection refused");
    let down = links(&down, true, None);
    assert_eq!(summary(&down).0, "tcp");
    assert_eq!(waiting(&down).len(), 15, "{down:#?}");

    let mut refused = seen();
    refused.old = Some(vec!["TLS 1.0"]);
    refused.login = Some(Ok(answer(401, &[])));
    (refused.start, refused.chunk, refused.trip) = (None, None, None);
    let refused = links(&refused, false, None);
    assert_eq!(summary(&refused).0, "protocols,login");
    let waits = refused.iter().filter(|link| link.message == "waits for `login`").count();
    assert_eq!(waits, 4, "{refused:#?}");
}

#[test]
fn each_fault_of_a_chain_is_its_own_link() {
    let root = HERE.root().unwrap();
    let other = OTHER.server.as_ref().unwrap().chain().to_vec();
    let chain = |change: &dyn Fn(&mut Vec<Certificate>)| {
        broken(|seen| {
            if let Some(Ok(chain)) = &mut seen.chain {
                change(chain);
            }
            // After each of these faults, `check` sends no password.
            (seen.api, seen.login, seen.start, seen.chunk, seen.trip) = (None, None, None, None, None);
        })
    };
    assert_eq!(chain(&|chain| chain.push(root.clone())).0, "chain");
    assert_eq!(chain(&|chain| chain.truncate(1)).0, "chain");
    assert_eq!(chain(&|chain| chain.insert(1, other[0].clone())).0, "chain");
    let (names, hint) = chain(&|chain| *chain = other.clone());
    assert_eq!(names, "served,trust");
    assert_eq!(hint, "run `docker compose exec -T nginx nginx -s reload`");
}

#[test]
fn from_afar_a_foreign_certificate_asks_for_the_right_root() {
    let mut found = seen();
    found.chain = Some(Ok(OTHER.server.as_ref().unwrap().chain().to_vec()));
    let links = links(&found, false, None);
    let (names, hint) = summary(&links);
    assert_eq!(names, "trust");
    assert!(hint.contains(&HERE.root().unwrap().fingerprint()), "{hint}");
}

#[test]
fn a_certificate_lasts_or_is_due() {
    let at = |now: OffsetDateTime| {
        let (target, roots) = ("r.myhouse.local".parse().unwrap(), HERE.roots());
        let known = Known {
            target: &target,
            roots: &roots,
            deployment: Some(&HERE),
            dir: Path::new("registry"),
            own: &[],
            compose: "docker compose",
            server: Some(RunAs { uid: 65532, gid: 65532 }),
            data: None,
            reload: "restart registry",
            user: None,
            entry: None,
            access: None,
            roles: RolesOnDisk::Fit,
            trial: &trial(None, false, None),
            hosts_file: &[],
            containers: &Containers::Known(Vec::new()),
            listeners: &[],
            free_ports: (8080, 5443),
            files: &[],
            running: None,
            upstream: None,
            refused: None,
            now,
        };
        summary(&check(&known, &Seen { api: None, ..seen() }))
    };
    let (end, day) = (HERE.server.as_ref().unwrap().leaf().validity.not_after, time::Duration::DAY);
    let renew = "run `regcert rotate --reload`".to_owned();
    assert_eq!(at(end - day * 31).0, "");
    assert_eq!(at(end - day * 10), ("days".to_owned(), renew.clone()));
    assert_eq!(at(end + day), ("days".to_owned(), renew));
    let (names, hint) = at(NOW - day);
    assert_eq!(names, "days");
    assert!(hint.starts_with("if 2026-11-19 is wrong, set this machine's clock; else"), "{hint}");
    assert_eq!(at(HERE.root().unwrap().validity.not_after + day).1, "run `regcert rotate --ca --reload`");
}

#[test]
fn a_handshake_that_fails_says_who_speaks_there() {
    for (refusal, cure) in [
        (Refusal::PlainHttp, "listen 8443 ssl;"),
        (Refusal::NotTls, "--https-port 5443 && docker compose"),
        (Refusal::Version, "ssl_protocols"),
        (Refusal::Alert("handshake failure".into()), "the one of its certificate"),
        (Refusal::Closed, "docker compose restart"),
        (Refusal::Silent, "docker compose restart"),
        (Refusal::Other("no route".into()), "docker compose restart"),
    ] {
        let (names, hint) = broken(|seen| {
            *seen = Seen {
                addresses: seen.addresses.take(),
                peer: seen.peer.take(),
                chain: Some(Err(refusal.clone())),
                ..Seen::default()
            }
        });
        assert_eq!(names, "tls");
        assert!(hint.contains(cure), "{refusal:?}: {hint}");
    }
}

#[test]
fn the_first_answer_is_401_with_a_way_in() {
    let api = |answer: Answer| broken(|seen| seen.api = Some(Ok(answer.clone())));
    assert_eq!(api(answer(401, &[VERSION, ASKS])).0, "");
    assert_eq!(api(answer(200, &[VERSION])).0, "api");
    assert_eq!(api(answer(401, &[VERSION])).0, "api");
    assert_eq!(api(answer(401, &[ASKS])).0, "api");
    assert_eq!(api(answer(401, &[ASKS, VERSION, VERSION])).0, "api");
    assert_eq!(broken(|seen| seen.login = Some(Ok(answer(200, &[VERSION, VERSION])))).0, "api");
    assert_eq!(broken(|seen| seen.api = Some(Err("no answer within 8 seconds".into()))).0, "api");
}

#[test]
fn clocks_may_differ_by_five_minutes() {
    for (date, expected) in [
        ("Fri, 20 Nov 2026 12:04:59 GMT", ""),
        ("Fri, 20 Nov 2026 11:55:02 GMT", ""),
        ("Fri, 20 Nov 2026 12:05:02 GMT", "clock"),
        ("Fri, 20 Nov 2026 10:00:00 GMT", "clock"),
        ("yesterday", ""),
    ] {
        let found = broken(|seen| seen.api = Some(Ok(answer(401, &[VERSION, ASKS, ("date", date)]))));
        assert_eq!(found.0, expected, "{date}");
    }
}

#[test]
fn a_refused_login_is_held_against_the_password_file() {
    for (entry, cure) in [
        (Some(Login::NoSuchUser), "regcert add-user docker"),
        (Some(Login::OtherHash), "which gives a new password"),
        (Some(Login::WrongPassword), "try another"),
        (Some(Login::Good), "--force-recreate"),
        (None, "regcert add-user docker"),
    ] {
        let mut found = seen();
        found.login = Some(Ok(answer(401, &[])));
        let (names, hint) = summary(&links(&found, true, entry));
        assert_eq!(names, "login");
        assert!(hint.contains(cure), "{entry:?}: {hint}");
    }
}

#[test]
fn a_location_must_lead_back_to_where_it_came_from() {
    let target: Target = "r.myhouse.local:5443".parse().unwrap();
    let line = |location: &str| location_fault(&target, location).map(|(_, line)| line);
    assert_eq!(line("https://r.myhouse.local:5443/v2/a/blobs/uploads/x?_state=https://x"), None);
    assert_eq!(line("/v2/a/blobs/uploads/x"), None);
    for (location, expected) in [
        ("http://r.myhouse.local:5443/v2/", "X-Forwarded-Proto"),
        ("https://r.myhouse.local/v2/", "Host $client_host;"),
        ("https://registry:5000/v2/", "X-Forwarded-Host"),
        ("https://r.myhouse.local.evil.lan:5443/v2/", "X-Forwarded-Host"),
        ("//evil.lan/v2/", "X-Forwarded-Proto"),
        ("v2/", "X-Forwarded-Proto"),
        ("", "X-Forwarded-Proto"),
    ] {
        assert!(line(location).is_some_and(|line| line.contains(expected)), "{location}");
    }
}

#[test]
fn an_answer_tells_the_proxy_from_the_registry() {
    let json = |text: &str| text.replace('\'', "\"").into_bytes();
    let disk = |number: u8| {
        json(&format!("{{'errors':[{{'code':'UNKNOWN','detail':{{'Enclosed':{{'Err':{number}}}}}}}]}}"))
    };
    let full = json("{'errors':[{'code':'UNKNOWN','detail':'write /d: no space left on device'}]}");
    for (status, body, cure) in [
        (413, Vec::new(), Cure::Proxy("client_max_body_size 0;")),
        (502, b"<html>".to_vec(), Cure::Start),
        (421, Vec::new(), Cure::ServerName),
        (421, json("{'errors':[{'code':'UNSUPPORTED','message':'not to that name'}]}"), Cure::ServerName),
        (400, b"No required SSL certificate was sent".to_vec(), Cure::ClientCertificate),
        (400, Vec::new(), Cure::Log),
        (429, Vec::new(), Cure::Wait),
        (
            429,
            json("{'errors':[{'code':'TOOMANYREQUESTS','message':'too many passwords are being checked'}]}"),
            Cure::Wait,
        ),
        (502, json("{'errors':[{'code':'UNAVAILABLE','message':'it does not answer'}]}"), Cure::Start),
        (503, json("{'errors':[{'code':'UNAVAILABLE','message':'health check failed'}]}"), Cure::Log),
        (405, b"Method not allowed".to_vec(), Cure::ReadOnlyMode),
        (405, json("{'errors':[{'code':'UNSUPPORTED'}]}"), Cure::ReadOnlyMode),
        (
            405,
            json("{'errors':[{'code':'UNSUPPORTED','message':'read-only while `regcert gc` removes'}]}"),
            Cure::Collection,
        ),
        (500, disk(28), Cure::DataSpace),
        (500, disk(30), Cure::DiskReadOnly),
        (500, disk(13), Cure::DataOwner),
        (500, disk(5), Cure::Log),
        (500, full, Cure::DataSpace),
        (403, json("{'errors':[{'code':'DENIED'}]}"), Cure::Rights),
        (
            401,
            json("{'errors':[{'code':'UNAUTHORIZED'}]}"),
            Cure::Proxy("proxy_set_header Authorization \"\";"),
        ),
        (500, Vec::new(), Cure::Log),
    ] {
        let answer = Answer { status, headers: Vec::new(), body };
        assert_eq!(reason(&answer, "it").cure, cure, "{answer:?}");
    }
}

#[test]
fn bytes_that_come_back_as_others_are_no_success() {
    let trip =
        |step: Step| broken(|seen| seen.trip = Some(Ok(Trip { steps: vec![step.clone()], deleted: None })));
    assert_eq!(trip(step(200, "{}")).0, "");
    assert!(trip(step(200, "[]")).1.contains("must not filter or compress"));
    assert!(trip(step(404, "")).1.contains("proxy_pass"));
    assert!(trip(step(403, "")).1.contains("chown"));
}
