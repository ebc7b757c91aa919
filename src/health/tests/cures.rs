//! Tests of the cures: a cure changes only the faulty file, and stops nothing that still works.

use std::net::{IpAddr, Ipv4Addr};

use super::behind::{anonymous, contained, links_with, no_connection};
use super::*;
use crate::error::Fault;
use crate::settings::ClientAuth;

const NONE: Containers = Containers::Known(Vec::new());

/// Returns the first cure, after `change` has modified the other facts.
fn cure(seen: &Seen, files: &[(&str, Ill)], change: impl FnOnce(&mut Known<'_>)) -> String {
    summary(&links_with(seen, &NONE, &[], files, change)).1
}

/// Returns the observations of a registry that needs no password.
fn open() -> Seen {
    Seen { api: Some(Ok(answer(200, &[VERSION]))), ..anonymous() }
}

#[test]
fn an_edit_of_another_file_is_not_overwritten() {
    let edited = |paths: &[&'static str]| {
        let files: Vec<_> = paths.iter().map(|path| (*path, Ill::Edited)).collect();
        cure(&open(), &files, |_| ())
    };
    let one = edited(&["nginx/nginx.conf"]);
    assert!(
        one.ends_with("`regcert init --force --reload`, which overwrites the edits in `nginx/nginx.conf`"),
        "{one}"
    );
    let two = edited(&["docker-compose.yml", "nginx/nginx.conf"]);
    let moves =
        "run `mv registry/nginx/nginx.conf registry/nginx/nginx.conf.edited && regcert init --reload`";
    let (first, then) = two.split_once("; where that does not help, ").unwrap();
    assert!(first.contains(moves) && !first.contains("--force"), "{first}");
    assert!(then.ends_with("overwrites the edits in `docker-compose.yml`, `nginx/nginx.conf`"), "{then}");
    // The edit of another file is not the cause, so the cure keeps it.
    let other = edited(&["docker-compose.yml"]);
    assert!(other.contains("up -d --force-recreate") && !other.contains("--force --reload"), "{other}");
}

#[test]
fn a_file_of_the_persons_own_may_say_otherwise() {
    let own = |own: &'static [&'static str]| cure(&open(), &[], |known| known.own = own);
    assert!(own(&[]).ends_with("so that the server reads it"));
    let both = own(&["nginx/local.conf", "docker-compose.override.yml"]);
    assert!(
        both.ends_with("correct what `nginx/local.conf`, `docker-compose.override.yml` says otherwise"),
        "{both}"
    );
    // nginx/local.conf does not change the registry's configuration.
    let mut mode = seen();
    mode.start = Some(Ok(answer(405, &[])));
    let hint = cure(&mode, &[], |known| {
        known.own = &["nginx/local.conf", "docker-compose.override.yml"];
        known.user = Some(&USER);
    });
    assert!(hint.ends_with("correct what `docker-compose.override.yml` says otherwise"), "{hint}");
}

static USER: LazyLock<Username> = LazyLock::new(|| "docker".parse().unwrap());

#[test]
fn an_nginx_that_still_runs_is_not_restarted_with_files_that_it_refuses() {
    let hint = |why: &'static str| {
        cure(&anonymous(), &[], |known| {
            known.refused = Some(why);
            known.own = &["nginx/local.conf"];
        })
    };
    let own = hint("[emerg] unknown directive \"x\" in /etc/nginx/local.conf:1");
    assert!(own.contains("correct `nginx/local.conf` before nginx restarts, then run"), "{own}");
    let other = hint("[emerg] open() \"/etc/nginx/more\" failed");
    assert!(other.contains("correct what it names before nginx restarts"), "{other}");
    let denied = hint("[emerg] open() \"/etc/nginx/auth/registry.roles\" failed (13: Permission denied)");
    assert!(
        denied.ends_with(
            "run `sudo find registry/nginx -type d -exec chmod 0755 {} + && docker compose exec -T nginx nginx -s reload`"
        ),
        "{denied}"
    );
    assert!(![own, other].iter().any(|hint| hint.contains("up -d")));
}

#[test]
fn an_unhealthy_registry_has_the_cure_of_its_storage() {
    let hint = |said: &str| {
        let why = format!("container `r-registry-1` is unhealthy: {said}");
        let containers = Containers::Known(vec![
            contained("nginx", Some(true), None),
            contained("registry", Some(false), Some(&why)),
        ]);
        let links =
            links_with(&anonymous(), &containers, &[], &[], |known| known.data = Some("registry/data"));
        summary(&links).1
    };
    let storage = "the storage of the registry cannot be written: /var/lib/registry";
    let said = |why: &str| hint(&format!("sh: can't create .regcert-health: {why}; {storage}"));
    assert_eq!(said("Permission denied"), "run `sudo chown -R 65532:65532 registry/data`");
    assert_eq!(hint(&format!("{storage}/docker")), "run `sudo chown -R 65532:65532 registry/data`");
    assert!(said("Read-only file system").contains("sudo mount -o remount,rw"));
    assert!(said("No space left on device").starts_with("make room"));
    assert_eq!(hint("connection refused"), "run `docker compose up -d`");
}

#[test]
fn a_mirror_that_ends_for_its_upstream_has_the_cure_of_that() {
    let upstream = Finding::broken("upstream", "https://a.lan is not a registry", "run `x`");
    let cure = |said: &str, upstream: &Finding| {
        let why = format!("container `r-registry-1` ends each time it starts: {said}");
        let containers = Containers::Known(vec![
            contained("nginx", Some(true), None),
            contained("registry", Some(false), Some(&why)),
        ]);
        let upstream: &'static Finding = Box::leak(Box::new(upstream.clone()));
        let change = |known: &mut Known<'_>| known.upstream = Some(upstream);
        let links = links_with(&anonymous(), &containers, &[], &[], change);
        assert_eq!(links.last().unwrap().id, "upstream");
        summary(&links).1
    };
    let asks = "panic: Get \"https://a.lan/v2/\": x509: unknown authority";
    assert_eq!(cure(asks, &upstream), "a mirror starts when its upstream answers: run `x`");
    assert_eq!(cure("yaml: line 3", &upstream), "run `docker compose up -d`");
    assert_eq!(cure(asks, &Finding::held("upstream", "")), "run `docker compose up -d`");
}

#[test]
fn a_disk_that_docker_compose_mounts_read_only_is_mended_there() {
    let mut full = seen();
    let body = br#"{"errors":[{"code":"UNKNOWN","detail":{"Err":30}}]}"#.to_vec();
    full.start = Some(Ok(Answer { body, ..answer(500, &[]) }));
    let hint = |files: &[(&str, Ill)], data| {
        cure(&full, files, |known| {
            known.user = Some(&USER);
            known.data = data;
        })
    };
    let findmnt = "`sudo mount -o remount,rw \"$(findmnt -n -o TARGET -T registry/data)\"`";
    assert!(hint(&[], Some("registry/data")).contains(findmnt));
    assert!(
        hint(&[("docker-compose.yml", Ill::Edited)], Some("registry/data")).contains("init --force --reload")
    );
    assert!(hint(&[], None).contains("dmesg"));
}

static REQUIRED: LazyLock<Deployment> = LazyLock::new(|| {
    let mut required = deployment(false);
    required.spec.client_auth = ClientAuth::Required;
    required
});

#[test]
fn a_client_certificate_is_wanted_by_the_settings_or_by_an_edit() {
    let mut wants = anonymous();
    wants.api =
        Some(Ok(Answer { body: b"No required SSL certificate was sent".to_vec(), ..answer(400, &[]) }));
    assert!(cure(&wants, &[], |_| ()).starts_with("nginx.conf must not ask for a client certificate"));
    let links = links_with(&wants, &NONE, &[], &[], |known| known.deployment = Some(&REQUIRED));
    let api = links.iter().find(|link| link.id == "api").unwrap();
    assert!(api.cure.starts_with("run `regcert add-client NAME`"), "{}", api.cure);
}

#[test]
fn passwords_that_are_not_served_are_mended_where_they_are_named() {
    let mut unreadable = seen();
    unreadable.login = Some(Ok(answer(403, &[])));
    let hint = |files: &[(&str, Ill)]| cure(&unreadable, files, |known| known.user = Some(&USER));
    assert!(hint(&[("nginx/auth/registry.passwd", Ill::Due)]).ends_with("run `regcert init --reload`"));
    assert!(hint(&[("nginx/nginx.conf", Ill::Edited)]).contains("init --force --reload"));
    assert!(hint(&[]).contains("up -d --force-recreate"));

    let mut refused = seen();
    refused.login = Some(Ok(answer(401, &[])));
    let hint = |files: &[(&str, Ill)]| {
        cure(&refused, files, |known| {
            known.user = Some(&USER);
            known.entry = Some(Login::Good);
        })
    };
    let edited = hint(&[("nginx/nginx.conf", Ill::Edited)]);
    let (first, then) = edited.split_once("; where that does not help: ").unwrap();
    assert_eq!(first, "run `docker compose exec -T nginx nginx -s reload`");
    assert!(then.contains("init --force --reload"), "{then}");
}

#[test]
fn a_registry_that_runs_is_not_started() {
    let mut down = seen();
    down.login = Some(Ok(answer(502, &[])));
    let hint = |running: bool, files: &[(&str, Ill)]| {
        let all = if running { vec![contained("registry", Some(true), None)] } else { Vec::new() };
        let links = links_with(&down, &Containers::Known(all), &[], files, |known| known.user = Some(&USER));
        summary(&links).1
    };
    assert!(hint(false, &[]).starts_with("run `docker compose up -d`"));
    assert!(hint(true, &[]).starts_with("run `docker compose restart`"));
    assert!(hint(true, &[("registry/config.yml", Ill::Edited)]).contains("init --force --reload"));
}

#[test]
fn a_port_that_cannot_be_reached_though_nginx_runs_is_behind_a_firewall() {
    let hint = |why: &str, running: bool| {
        let mut seen = Seen { addresses: seen().addresses, ..Seen::default() };
        seen.peer = no_connection(&format!("10.0.0.7:443: {why}"));
        let all = if running { vec![contained("nginx", Some(true), None)] } else { Vec::new() };
        summary(&links_with(&seen, &Containers::Known(all), &[], &[], |_| ())).1
    };
    assert!(hint("connection timed out", true).starts_with("let port 443 through every firewall"));
    assert!(hint("connection timed out", false).starts_with("run `docker compose up -d`"));
    assert!(hint("connection refused", true).contains("where that does not help, let port 443 through"));
    assert!(!hint("connection refused", false).contains("firewall"));
}

#[test]
fn a_name_that_hosts_leads_elsewhere_is_taken_out_and_given_this_machines_address() {
    let mut seen = seen();
    seen.nearby = HERE.server.as_ref().map(|server| server.leaf().clone());
    seen.peer = no_connection("10.0.0.7:443: no route to host");
    seen.chain = None;
    const LED: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))];
    let hint = cure(&seen, &[], |known| known.hosts_file = &LED);
    let sed = r"sudo sed -i '/^10\.0\.0\.7\s/s/\sr\.myhouse\.local\b//I' /etc/hosts";
    assert!(hint.starts_with(&format!("run `{sed} && sudo regcert trust install`")), "{hint}");
}

#[test]
fn a_name_that_the_root_does_not_allow_needs_another_root_first() {
    let hint = |host: &str| {
        let target: Target = host.parse().unwrap();
        cure(&Seen { api: None, ..anonymous() }, &[], |known| known.target = Box::leak(Box::new(target)))
    };
    assert_eq!(hint("other.myhouse.local"), "run `regcert init --san other.myhouse.local --reload`");
    let refused = hint("10.0.0.7");
    assert!(
        refused.starts_with("the root does not allow `10.0.0.7`: leave it out, or replace the root by one that allows it: `regcert rotate --ca --permit 10.0.0.7`"),
        "{refused}"
    );
    assert!(refused.ends_with("then run `regcert init --san 10.0.0.7 --reload`"), "{refused}");
}

#[test]
fn a_fault_is_told_with_its_cure_where_docker_does_not_answer() {
    let containers = Containers::Unknown(Fault::new("Docker does not run").hint("run `x`"));
    let silent = Seen { chain: Some(Err(Refusal::Silent)), api: None, ..anonymous() };
    let hint = summary(&links_with(&silent, &containers, &[], &[], |_| ())).1;
    assert!(hint.starts_with("run `docker compose restart`; where that does not help,"), "{hint}");
}
