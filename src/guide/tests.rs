//! Snapshots of the text after the first run on different machines; `SNAPSHOTS=overwrite cargo test` rewrites them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use snapbox::{Assert, Data};
use time::macros::datetime;

use super::*;
use crate::auth::Password;
use crate::deployment::{First, New, Origin};
use crate::error::Gather;
use crate::probe::Compose;
use crate::settings::{RawSettings, RunAs, Settings, Side};

fn deployment(change: impl FnOnce(&mut RawSettings)) -> Deployment {
    let mut settings = RawSettings::default();
    change(&mut settings);
    let run_as = RunAs { uid: 1000, gid: 1000 };
    let spec = Settings::check(&settings, Side::Options, run_as, &mut Gather::default()).unwrap();
    let origin = Origin::Create { permit: Some(vec![]), offline_root: false };
    let users = First::Admin("docker".parse().unwrap(), Password::generate());
    let now = datetime!(2026-11-20 12:00 UTC);
    Deployment::create(New { spec, origin, passphrase: None, users }, now).unwrap()
}

fn words(as_root: AsRoot) -> Words {
    Words {
        typed: "regcert".to_owned(),
        program: "/usr/local/bin/regcert".into(),
        dir: "registry".into(),
        finds_dir: true,
        as_root,
        docker: as_root,
        compose: Compose::Plugin,
        overrides: false,
    }
}

fn here(leads: Leads) -> Here {
    Here {
        address: Some("192.168.0.12".parse().unwrap()),
        network: Some("192.168.0.0/24".parse().unwrap()),
        name: None,
        leads,
        compose: Version::Known("2.40.3".to_owned()),
    }
}

fn shows(name: &str, deployment: &Deployment, words: &Words, here: &Here) {
    let user = "docker".parse().unwrap();
    let screen =
        words.complete(&created(deployment, words, here, &user, Some("aaaaa-bbbbb-ccccc-ddddd-eeeee")));
    let screen = screen.replace(&deployment.root().unwrap().fingerprint(), "[FINGERPRINT]");
    assert!(screen.lines().count() < 32, "more than a screen:\n{screen}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/guide/{name}.txt"));
    Assert::new().action_env("SNAPSHOTS").eq(screen, Data::read_from(&file, None).raw());
}

fn named(settings: &mut RawSettings) {
    settings.server = Some("registry1.myhouse.local".to_owned());
}

#[test]
fn a_user_with_sudo_whose_name_nothing_knows() {
    shows("sudo", &deployment(named), &words(AsRoot::Sudo), &here(Leads::Nowhere));
}

#[test]
fn root_elsewhere_with_compose_1_and_a_name_in_dns() {
    let words = Words {
        dir: "/srv/my registry".into(),
        finds_dir: false,
        compose: Compose::Standalone,
        ..words(AsRoot::Already)
    };
    shows("root", &deployment(named), &words, &here(Leads::Here));
}

#[test]
fn the_default_name_on_a_machine_with_a_name() {
    let here = Here { name: Some("nas.lan".parse().unwrap()), ..here(Leads::Nowhere) };
    shows("default-name", &deployment(|_| {}), &words(AsRoot::Su), &here);
}

#[test]
fn no_proxy_and_an_address_of_another_machine() {
    let deployment = deployment(|settings| {
        settings.server = Some("192.168.0.13".to_owned());
        settings.proxy = Some("none".to_owned());
        settings.registry_image = Some("mirror.lan:5000/library/registry:3@sha256:00".to_owned());
    });
    let here = Here {
        network: None,
        compose: Version::Missing,
        ..here(Leads::Elsewhere("192.168.0.13".parse().unwrap()))
    };
    shows("no-proxy", &deployment, &words(AsRoot::Already), &here);
}

#[test]
fn a_mirror_with_a_port_that_asks_for_no_password() {
    let deployment = deployment(|settings| {
        named(settings);
        settings.mirror_of = Some("https://registry-1.docker.io".to_owned());
        settings.anonymous_port = Some("5444".to_owned());
    });
    let nowhere = Here { address: None, network: None, ..here(Leads::Nowhere) };
    shows("mirror", &deployment, &words(AsRoot::Already), &nowhere);
}
