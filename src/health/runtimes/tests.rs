//! Whether each runtime trusts, from the files that it reads.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use time::macros::datetime;

use super::settings::ca_file;
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
    let (target, roots) = ("r.lan:5443".parse().unwrap(), [&*ROOT]);
    let machine = Machine {
        target: &target,
        roots: &roots,
        root_file: "root.crt",
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
        ("/etc/containerd/certs.d/x/ca.crt", "", 0),
        ("/usr/bin/podman", "", 0),
        ("/usr/local/bin/k3s", "", 0),
        ("/etc/rancher/rke2/config.yaml", "", 0),
        ("/etc/buildkit/buildkitd.toml", "", 0),
    ];
    let expected =
        ["docker", "rootless docker", "containerd", "podman", "k3s", "rke2", "buildkit", "system store"];
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
    assert_eq!(docker("server.key", "a key").1, format!("run `sudo rm {CERTS}/server.key`"));
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
fn containerd_wants_its_directory_named_and_hosts_toml_before_all() {
    let config = ("/etc/containerd/config.toml", "version = 2\n[x.registry]\nconfig_path = \"/etc/c\"\n", 0);
    let ca = ("/etc/c/r.lan:5443/ca.crt", ROOT.pem(), 0);
    assert_eq!(link("containerd", &[config, ca]).0, State::Held);
    assert_eq!(link("containerd", &[config, ("/etc/c/r.lan_5443_/ca.crt", ROOT.pem(), 0)]).0, State::Held);
    let hosts = |text| ("/etc/c/r.lan:5443/hosts.toml", text, 0);
    assert_eq!(link("containerd", &[config, ca, hosts("[host.\"https://r.lan:5443\"]\n")]).0, State::Broken);
    assert_eq!(link("containerd", &[config, ca, hosts("ca = [\"ca.crt\"]\n")]).0, State::Held);
    let without = ("/etc/containerd/config.toml", "version = 2\n[x.registry]\nconfig_path = \"\"\n", 0);
    let containerd = ("/usr/bin/containerd", "", 0);
    assert!(link("containerd", &[containerd, without, ca]).1.contains("config_path"));
}

#[test]
fn the_containerd_of_docker_is_a_client_only_where_something_else_uses_it() {
    let default = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"\"\n";
    let docker = [
        DOCKERD,
        ("/usr/bin/containerd", "", 0),
        ("/etc/containerd/config.toml", default, 0),
        ("/etc/containerd/certs.d/r.lan:5443/ca.crt", ROOT.pem(), 0),
        ("/etc/containerd/certs.d/r.lan_5443_/ca.crt", ROOT.pem(), 0),
    ];
    let is_told = |others: &[(&str, &str, i64)]| {
        links(&[&docker, others].concat()).iter().any(|(name, ..)| *name == "containerd")
    };
    assert!(!is_told(&[]));
    assert!(!is_told(&[("/usr/bin/kubelet", "", 0), ("/usr/bin/cri-dockerd", "", 0)]));
    assert!(is_told(&[("/usr/bin/kubelet", "", 0)]));
    assert!(is_told(&[("/usr/local/bin/nerdctl", "", 0)]));
    assert!(is_told(&[("/etc/containerd/certs.d/r.lan.example:5443/ca.crt", "", 0)]));
    assert!(is_told(&[("/etc/containerd/certs.d/_default/hosts.toml", "", 0)]));
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
fn k3s_reads_registries_yaml_when_it_starts() {
    let yaml = "mirrors:\n  \"r.lan:5443\":\n    endpoint: [\"https://r.lan:5443\"]\nconfigs:\n  other.lan:\n    tls:\n      ca_file: /other.crt\n  \"r.lan:5443\":\n    auth:\n      username: u\n    tls:\n      ca_file: \"/etc/rancher/k3s/ca.crt\"\n";
    assert_eq!(ca_file(yaml, "r.lan:5443").unwrap(), "/etc/rancher/k3s/ca.crt");
    assert_eq!(ca_file(yaml, "other.lan").unwrap(), "/other.crt");
    assert_eq!(ca_file(yaml, "none.lan"), None);
    let settings = ("/etc/rancher/k3s/registries.yaml", yaml, 50);
    let ca = ("/etc/rancher/k3s/ca.crt", ROOT.pem(), 50);
    let started = |at| ("/var/lib/rancher/k3s/agent/etc/containerd/config.toml", "", at);
    assert_eq!(link("k3s", &[settings, ca, started(60)]).0, State::Held);
    assert_eq!(link("k3s", &[settings, ca, started(40)]).1, "run `sudo systemctl restart k3s`");
    assert_eq!(link("k3s", &[settings, started(60)]).0, State::Broken);
    assert_eq!(link("k3s", &[("/etc/rancher/k3s/config.yaml", "", 0)]).0, State::Broken);
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
