//! Tests of the registry behind nginx, judged by its containers if no user logs in, and of other programs on its
//! ports.

use std::net::SocketAddr;

use super::*;
use crate::error::Fault;

pub(super) fn contained(service: &'static str, is_healthy: Option<bool>, trouble: Option<&str>) -> Contained {
    let said = trouble.and_then(|message| message.split_once(": ")).map_or("", |(_, said)| said).to_owned();
    let trouble = trouble.map(|message| Fault::new(message).hint("run `docker compose up -d`"));
    let name = format!("r-{service}-1");
    let is_running = trouble.is_none();
    Contained {
        name,
        service,
        is_running,
        is_healthy,
        trouble,
        said,
        image: String::new(),
        data: None,
        started: None,
    }
}

fn unknown() -> Containers {
    Containers::Unknown(
        Fault::new("the Docker daemon does not run").hint("run `sudo systemctl start docker`"),
    )
}

/// Returns the findings for these containers, listeners and files, without a user.
fn links(
    seen: &Seen,
    containers: &Containers,
    listeners: &[(u16, Listener)],
    files: &[(&str, Ill)],
) -> Vec<Finding> {
    links_with(seen, containers, listeners, files, |_| ())
}

/// Returns the findings for these containers, listeners and files, after `change` has modified the other facts.
pub(super) fn links_with(
    seen: &Seen,
    containers: &Containers,
    listeners: &[(u16, Listener)],
    files: &[(&str, Ill)],
    change: impl FnOnce(&mut Known<'_>),
) -> Vec<Finding> {
    let (target, roots): (Target, _) = ("r.myhouse.local".parse().unwrap(), HERE.roots());
    let files: Vec<_> = files.iter().map(|(path, ill)| ((*path).to_owned(), *ill)).collect();
    let mut known = Known {
        target: &target,
        roots: &roots,
        deployment: Some(&HERE),
        server: Some(RunAs { uid: 65532, gid: 65532 }),
        data: None,
        dir: Path::new("registry"),
        own: &[],
        compose: "docker compose",
        reload: "exec -T nginx nginx -s reload",
        user: None,
        entry: None,
        access: None,
        roles: RolesOnDisk::Fit,
        trial: &trial(None, false, None),
        hosts_file: &[],
        containers,
        listeners,
        free_ports: (8080, 5443),
        files: &files,
        running: None,
        upstream: None,
        refused: None,
        now: NOW,
    };
    change(&mut known);
    check(&known, seen)
}

/// Returns the error for a connection that no address accepted.
pub(super) fn no_connection(why: &str) -> Option<Result<SocketAddr, NoConnection>> {
    Some(Err(NoConnection { why: why.to_owned(), is_refused: why.ends_with("refused") }))
}

/// Returns the observations of a test without a user.
pub(super) fn anonymous() -> Seen {
    Seen { login: None, start: None, chunk: None, trip: None, ..seen() }
}

fn registry(containers: &Containers) -> Finding {
    let links = links(&anonymous(), containers, &[], &[]);
    links.into_iter().find(|link| link.id == "registry").unwrap()
}

#[test]
fn without_a_user_the_container_says_whether_the_registry_lives() {
    let nginx = || contained("nginx", Some(true), None);
    let beside = |registry| Containers::Known(vec![nginx(), registry]);
    assert_eq!(registry(&beside(contained("registry", Some(true), None))).state, State::Held);
    assert_eq!(registry(&beside(contained("registry", None, None))).state, State::NotTried);
    assert_eq!(registry(&Containers::Known(Vec::new())).state, State::NotTried);
    let link = registry(&unknown());
    assert_eq!(link.state, State::NotTried);
    assert!(link.message.contains("the Docker daemon does not run"), "{link:?}");
    for trouble in ["container `r` has ended (exit code 137)", "container `r` is unhealthy"] {
        let link = registry(&beside(contained("registry", Some(false), Some(trouble))));
        assert_eq!((link.state, link.message.as_str()), (State::Broken, trouble));
    }
    let link = registry(&Containers::Known(vec![nginx()]));
    assert_eq!((link.state, link.message.as_str()), (State::Broken, "the registry has no container"));
}

#[test]
fn an_answer_with_a_password_is_the_registrys_own() {
    let mut down = seen();
    down.login = Some(Ok(answer(502, &[])));
    (down.start, down.chunk, down.trip) = (None, None, None);
    let links = super::links(&down, true, None);
    assert_eq!(summary(&links).0, "registry");
    assert_eq!(waiting(&links), ["login", "location", "upload", "digest", "roles"]);
}

fn program(name: &str, uid: u32) -> Listener {
    Listener { uid, process: Some(12), program: Some(name.to_owned()), container: None }
}

/// Returns the broken findings and the first cure for a port with this chain and this listening program.
fn taken(chain: Option<Result<Vec<Certificate>, Refusal>>, listener: Listener) -> (String, String) {
    let ip = "10.0.0.7".parse().unwrap();
    let seen = Seen {
        addresses: Some(Ok(vec![ip])),
        ours: vec![ip],
        peer: Some(Ok((ip, 443).into())),
        chain,
        ..Seen::default()
    };
    summary(&links(&seen, &Containers::Known(Vec::new()), &[(443, listener)], &[]))
}

#[test]
fn another_program_on_the_port_is_named_whatever_it_speaks() {
    let foreign = || Ok(OTHER.server.as_ref().unwrap().chain().to_vec());
    for chain in [foreign(), Err(Refusal::PlainHttp), Err(Refusal::NotTls), Err(Refusal::Silent)] {
        let (names, hint) = taken(Some(chain), program("apache2", 0));
        assert_eq!(names, "tcp");
        assert!(hint.contains("regcert init --https-port 5443 && docker compose up -d"), "{hint}");
        assert!(!hint.contains("--force"), "{hint}");
    }
    // If Docker does not list the containers, only a program that is not a port forwarder counts.
    let ip = "10.0.0.7".parse().unwrap();
    let seen = Seen {
        addresses: Some(Ok(vec![ip])),
        ours: vec![ip],
        peer: Some(Ok((ip, 443).into())),
        chain: Some(foreign()),
        ..Seen::default()
    };
    let of = |listener| summary(&links(&seen, &unknown(), &[(443, listener)], &[])).0;
    assert_eq!(of(program("apache2", 0)), "tcp");
    for listener in [program("docker-proxy", 0), Listener { program: None, ..program("", 0) }] {
        assert_eq!(of(listener), "served,trust");
    }
    // The listener is a container of another project.
    let container = |name: &str| Listener { container: Some(name.to_owned()), ..program("docker-proxy", 0) };
    assert_eq!(taken(Some(foreign()), container("traefik")).0, "tcp");
    // The listener is this registry's own nginx on the host's network, with another authority's certificate.
    assert_eq!(taken(Some(foreign()), program("nginx", 65532)).0, "served,trust");
    // The certificate proves that the listener is this registry.
    let own = HERE.server.as_ref().unwrap().chain().to_vec();
    assert_eq!(taken(Some(Ok(own)), program("apache2", 0)).0, "");
}

#[test]
fn nginx_that_cannot_start_is_told_by_the_port_in_its_way_or_by_its_container() {
    let ip = "10.0.0.7".parse().unwrap();
    let refused = Seen {
        addresses: Some(Ok(vec![ip])),
        ours: vec![ip],
        peer: no_connection("10.0.0.7:443: connection refused"),
        ..Seen::default()
    };
    let created = Containers::Known(vec![contained("nginx", None, Some("container `r-nginx-1` is created"))]);
    let (names, hint) = summary(&links(&refused, &created, &[(80, program("apache2", 0))], &[]));
    assert_eq!(names, "tcp");
    assert!(hint.contains("--http-port 8080"), "{hint}");
    let (_, hint) = summary(&links(&refused, &created, &[], &[]));
    assert_eq!(hint, "run `docker compose up -d`");
    let (_, hint) = summary(&links(&refused, &unknown(), &[], &[]));
    assert_eq!(hint, "run `sudo systemctl start docker`");
}

#[test]
fn force_is_proposed_only_where_it_mends_and_says_what_it_overwrites() {
    let mut open = anonymous();
    open.api = Some(Ok(answer(200, &[VERSION])));
    let hint = |files: &[(&str, Ill)]| summary(&links(&open, &unknown(), &[], files)).1;
    let edited = hint(&[("nginx/nginx.conf", Ill::Edited)]);
    assert!(
        edited.ends_with("`regcert init --force --reload`, which overwrites the edits in `nginx/nginx.conf`"),
        "{edited}"
    );
    for (files, cure) in [
        (vec![("docker-compose.yml", Ill::Edited)], "docker compose up -d --force-recreate"),
        (vec![("nginx/nginx.conf", Ill::Due)], "run `regcert init --reload`"),
        (vec![], "docker compose up -d --force-recreate"),
    ] {
        let hint = hint(&files);
        assert!(hint.contains(cure) && !hint.contains("--force --reload"), "{hint}");
    }
}

#[test]
fn a_user_whom_no_file_can_belong_to_is_told_with_its_cure() {
    let why =
        "container `r-registry-1` ends each time it starts: open /etc/regcert/config.yml: permission denied";
    let containers = Containers::Known(vec![contained("registry", None, Some(why))]);
    let hint =
        |change: fn(&mut Known<'_>)| summary(&links_with(&anonymous(), &containers, &[], &[], change)).1;
    assert!(hint(|known| known.server = None).ends_with("run `regcert init --run-as 0:0 --reload`"));
    assert!(hint(|_| ()).contains("the container must be able to read `/etc/regcert/config.yml`"));
}

#[test]
fn files_that_nginx_would_not_start_with_are_told() {
    let edited = [("nginx/nginx.conf", Ill::Edited)];
    let links = links_with(&anonymous(), &unknown(), &[], &edited, |known| {
        known.refused = Some("[emerg] unknown directive \"x\"");
    });
    let (names, hint) = summary(&links);
    assert_eq!(names, "served");
    assert!(hint.contains("`regcert init --force --reload`, which overwrites the edits"), "{hint}");
}
