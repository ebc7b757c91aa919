//! Whether each runtime trusts, from the files that it reads.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use time::macros::datetime;

use super::*;
use crate::health::State;
use crate::pki::{Authority, KeyType, PrivateKey, RootProfile, Subject};

static ROOT: LazyLock<Certificate> = LazyLock::new(root);
static OTHER: LazyLock<Certificate> = LazyLock::new(root);

fn root() -> Certificate {
    let profile = RootProfile {
        label: "lan",
        edition: "1",
        levels: 1,
        subject: &Subject::default(),
        constraints: None,
    };
    let key = PrivateKey::generate(KeyType::P256);
    Authority::create(&profile, key, datetime!(2026-11-20 12:00 UTC)).unwrap().root().clone()
}

/// Name, state and hint of each link on a machine with these files, each with its time.
fn links(files: &[(&str, &str, i64)]) -> Vec<(&'static str, State, String)> {
    links_by(&["r.lan:5443"], "", &disk(files))
}

fn disk(files: &[(&str, &str, i64)]) -> BTreeMap<PathBuf, Found> {
    let mut disk: BTreeMap<PathBuf, Found> = BTreeMap::new();
    for (path, text, modified) in files {
        let mut path = PathBuf::from(path);
        disk.insert(path.clone(), Found::File { bytes: text.as_bytes().to_vec(), modified: *modified });
        while let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            let name = name.to_string_lossy().into_owned();
            match disk.entry(parent.to_owned()).or_insert(Found::Directory(Vec::new())) {
                Found::Directory(names) if !names.contains(&name) => names.push(name),
                Found::Directory(_) | Found::File { .. } | Found::Nothing | Found::Unreadable(_) => {}
            }
            path = parent.to_owned();
        }
    }
    disk
}

fn links_by(
    names: &[&str],
    told: &str,
    disk: &BTreeMap<PathBuf, Found>,
) -> Vec<(&'static str, State, String)> {
    let targets: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
    let roots = [&*ROOT];
    let machine = Machine {
        targets: &targets,
        told,
        roots: &roots,
        root_file: "root.crt",
        script: "install",
        addresses: &["10.99.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        config_home: Some(Path::new("/home/u/.config")),
        look: &|path| disk.get(path).cloned().unwrap_or(Found::Nothing),
    };
    let links = runtimes(&machine);
    links.into_iter().map(|link| (link.name, link.state, link.hint)).collect()
}

/// The one link of `name`.
fn link(name: &str, files: &[(&str, &str, i64)]) -> (State, String) {
    let found: Vec<_> = links(files).into_iter().filter(|(own, ..)| *own == name).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    (found[0].1, found[0].2.clone())
}

const DOCKERD: (&str, &str, i64) = ("/usr/bin/dockerd", "", 0);
const CERTS: &str = "/etc/docker/certs.d/r.lan:5443";

#[test]
fn only_runtimes_that_are_here_are_told() {
    let names = |files| links(files).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(names(&[]), ["system store"]);
    let docker = [DOCKERD, ("/usr/bin/containerd", "", 0)];
    assert_eq!(names(&docker), ["docker", "system store"]);
    let all = [
        DOCKERD,
        ("/home/u/.config/systemd/user/docker.service", "", 0),
        ("/usr/bin/podman", "", 0),
        ("/etc/buildkit/buildkitd.toml", "", 0),
    ];
    let expected = ["docker", "rootless docker", "podman", "buildkit", "system store"];
    assert_eq!(names(&all), expected);
}

#[test]
fn docker_reads_files_that_end_in_crt_and_stumbles_over_half_a_pair() {
    let docker = |name: &str, text: &str| link("docker", &[DOCKERD, (&format!("{CERTS}/{name}"), text, 0)]);
    let (root, other) = (ROOT.pem(), OTHER.pem());
    let install = format!("run `sudo install -D -m 644 root.crt {CERTS}/ca.crt`");
    assert_eq!(docker("any.crt", root).0, State::Held);
    assert_eq!(docker("two.crt", &format!("{other}{root}")).0, State::Held);
    assert_eq!(docker("ca.crt", other), (State::Broken, install.clone()));
    assert_eq!(link("docker", &[DOCKERD]), (State::Broken, install));
    assert_eq!(docker("ca.pem", root).1, format!("run `sudo mv {CERTS}/ca.pem {CERTS}/ca.crt`"));
    assert_eq!(docker("ca.cert", root).1, format!("run `sudo mv {CERTS}/ca.cert {CERTS}/ca.crt`"));
    assert_eq!(
        docker("server.key", "a key").1,
        format!("run `sudo mv {CERTS}/server.key {CERTS}/server.key.unused`")
    );
    let pair = [
        DOCKERD,
        (&*format!("{CERTS}/client.cert"), "", 0),
        (&*format!("{CERTS}/client.key"), "", 0),
        (&*format!("{CERTS}/ca.crt"), root, 0),
    ];
    assert_eq!(link("docker", &pair).0, State::Held);
}

#[test]
fn a_root_in_the_systems_store_counts_from_dockers_next_start() {
    let bundle = |at| ("/etc/ssl/certs/ca-certificates.crt", ROOT.pem(), at);
    let started = ("/run/docker.pid", "1", 100);
    assert_eq!(link("docker", &[DOCKERD, started, bundle(50)]).0, State::Held);
    let restart = (State::Broken, "run `sudo systemctl restart docker`".to_owned());
    assert_eq!(link("docker", &[DOCKERD, started, bundle(150)]), restart);
    // What lies in certs.d is read at each request.
    let own = format!("{CERTS}/ca.crt");
    assert_eq!(link("docker", &[DOCKERD, started, bundle(150), (&own, ROOT.pem(), 150)]).0, State::Held);
}

#[test]
fn the_store_is_needed_where_nothing_else_is_here() {
    let bundle = ("/etc/ssl/certs/ca-certificates.crt", OTHER.pem(), 0);
    let placed = ("/usr/local/share/ca-certificates/ours.crt", ROOT.pem(), 0);
    let docker = (&*format!("{CERTS}/ca.crt"), ROOT.pem(), 0);
    assert_eq!(link("system store", &[]).0, State::NotTried);
    assert_eq!(link("system store", &[bundle]).0, State::Broken);
    assert_eq!(link("system store", &[bundle, DOCKERD, docker]).0, State::Held);
    assert!(link("system store", &[bundle, DOCKERD, docker, placed]).1.contains("update-ca-certificates"));
}

#[test]
fn the_script_tells_of_containerd_and_clusters() {
    let told = "containerd\tbroken\tneeds a restart\trun `x`\nk3s\theld\ttrusts it by /c\t\n\
                rke2\tnot tried\tunknown\t\ndocker\tbroken\tseen here\t\nother\theld\tunknown\t\n";
    let links = links_by(&["r.lan"], told, &BTreeMap::new());
    let expected = [
        ("containerd", State::Broken, "run `x`"),
        ("k3s", State::Held, ""),
        ("rke2", State::NotTried, ""),
        ("system store", State::NotTried, ""),
    ];
    assert_eq!(links, expected.map(|(name, state, hint)| (name, state, hint.to_owned())));
}

#[test]
fn each_name_needs_the_root() {
    let root = ("/etc/docker/certs.d/r.lan/ca.crt", ROOT.pem(), 0);
    let disk = disk(&[DOCKERD, root]);
    let docker = |names: &[&str]| links_by(names, "", &disk).swap_remove(0);
    assert_eq!(docker(&["r.lan"]).1, State::Held);
    let (_, state, hint) = docker(&["r.lan", "alias.lan", "10.0.0.7:5443"]);
    assert_eq!(state, State::Broken);
    let install = |name| format!("sudo install -D -m 644 root.crt /etc/docker/certs.d/{name}/ca.crt");
    assert_eq!(hint, format!("run `{} && {}`", install("alias.lan"), install("10.0.0.7:5443")));
}

#[test]
fn podman_takes_the_first_directory_that_is_there() {
    let podman = ("/usr/bin/podman", "", 0);
    let docker = (&*format!("{CERTS}/ca.crt"), ROOT.pem(), 0);
    assert_eq!(link("podman", &[podman, docker]).0, State::Held);
    let own = ("/home/u/.config/containers/certs.d/r.lan:5443/ca.crt", OTHER.pem(), 0);
    assert_eq!(link("podman", &[podman, docker, own]).0, State::Broken);
}

#[test]
fn buildkit_names_its_roots_by_registry() {
    let toml = |registry: &str| format!("[registry.\"{registry}\"]\n  ca = [\"/etc/b/ca.crt\"]\n[worker]\n");
    let ca = ("/etc/b/ca.crt", ROOT.pem(), 0);
    assert_eq!(
        link("buildkit", &[("/etc/buildkit/buildkitd.toml", &toml("r.lan:5443"), 0), ca]).0,
        State::Held
    );
    assert_eq!(link("buildkit", &[("/etc/buildkit/buildkitd.toml", &toml("r.lan"), 0), ca]).0, State::Broken);
}

#[test]
fn a_docker_that_verifies_nothing_is_told_whatever_it_trusts() {
    let trusted = (&*format!("{CERTS}/ca.crt"), ROOT.pem(), 0);
    let docker = |entry: &str| {
        let settings = format!("{{\"insecure-registries\": [\"other.lan\", \"{entry}\"]}}");
        link("docker", &[DOCKERD, trusted, ("/etc/docker/daemon.json", &settings, 0)])
    };
    for entry in ["r.lan:5443", "R.lan:5443", "http://r.lan:5443"] {
        assert_eq!(docker(entry), (State::Broken, "run `sudo install --verify`".to_owned()), "{entry}");
    }
    // Other registries may be in a network.
    for entry in ["10.99.0.0/16", "0.0.0.0/0", "fd00::/8"] {
        let cure =
            format!("take `{entry}` out of /etc/docker/daemon.json, then run `sudo systemctl reload docker`");
        assert_eq!(docker(entry), (State::Broken, cure));
    }
    // Docker holds the port against the entry, and a network against the addresses.
    for entry in ["r.lan", "r.lan:443", "10.98.0.0/16", "fe80::/10", "a.r.lan:5443"] {
        assert_eq!(docker(entry).0, State::Held, "{entry}");
    }
    let marked = "\u{feff}{\"insecure-registries\": [\"r.lan:5443\"]}";
    assert_eq!(link("docker", &[DOCKERD, trusted, ("/etc/docker/daemon.json", marked, 0)]).0, State::Broken);
    let rootless = [
        ("/home/u/.config/systemd/user/docker.service", "", 0),
        ("/home/u/.config/docker/daemon.json", "{\"insecure-registries\": [\"r.lan:5443\"]}", 0),
    ];
    assert_eq!(link("rootless docker", &rootless).1, "run `install --verify`");
}

#[test]
fn a_podman_that_verifies_nothing_is_told() {
    let podman = |path: &str, text: &str| {
        link(
            "podman",
            &[
                ("/usr/bin/podman", "", 0),
                (path, text, 0),
                ("/etc/containers/certs.d/r.lan:5443/ca.crt", ROOT.pem(), 0),
            ],
        )
    };
    let insecure = "[[registry]]\nlocation = \"r.lan:5443\"\ninsecure = true\n";
    for (path, cure) in [
        ("/etc/containers/registries.conf", "run `sudo install --verify`"),
        ("/etc/containers/registries.conf.d/own.conf", "run `sudo install --verify`"),
        ("/home/u/.config/containers/registries.conf", "run `install --verify`"),
    ] {
        assert_eq!(podman(path, insecure), (State::Broken, cure.to_owned()));
    }
    for other in [
        "[[registry]]\nlocation = \"r.lan\"\ninsecure = true\n",
        "[[registry]]\nlocation = \"r.lan:5443\"\n",
        "[[",
    ] {
        assert_eq!(podman("/etc/containers/registries.conf", other).0, State::Held, "{other}");
    }
}
