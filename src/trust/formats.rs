//! The formats of everything that regcert can create for clients, by their names on the command line.

use std::str::FromStr;

use crate::error::Fault;
use crate::names::printable;

/// One or several files that make one kind of client trust the registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Format {
    /// The name on the command line.
    pub name: &'static str,
    /// The use of the files and the place to install them, in one line.
    pub purpose: &'static str,
    /// Whether every registry has this format. Other formats are created only if the user has asked for them.
    pub always: bool,
    /// Each path below `trust/`, and its template or kind of package. [`super::Anchors::paths`] replaces names in
    /// braces in the path. If such a name contains the host and port, there is one file for each host and port of the
    /// registry.
    pub(super) files: &'static [(&'static str, &'static str)],
}

/// The path below `trust/` of the script that sets up a whole machine.
pub const INSTALL: &str = "install.sh";

/// All formats, in the order in which regcert lists them.
pub const FORMATS: &[Format] = &[
    Format {
        name: "script",
        purpose: "Linux, macOS: `sudo sh install.sh` finds the system and its container runtimes",
        always: true,
        files: &[(INSTALL, "trust/install.sh")],
    },
    Format {
        name: "windows",
        purpose: "Windows, as Administrator: `powershell -ExecutionPolicy Bypass -File install.ps1`",
        always: true,
        files: &[("install.ps1", "trust/install.ps1")],
    },
    Format {
        name: "macos",
        purpose: "macOS: a configuration profile, for device management or a double click",
        always: true,
        files: &[("{package}.mobileconfig", "trust/trust.mobileconfig")],
    },
    Format {
        name: "pem",
        purpose: "the root certificate itself, for whatever is not below",
        always: true,
        files: &[("ca.crt", "trust/ca.crt")],
    },
    Format {
        name: "deb",
        purpose: "Debian, Ubuntu: `sudo apt install ./FILE`",
        always: true,
        files: &[("{package}_{version}_all.deb", "deb")],
    },
    Format {
        name: "rpm",
        purpose: "Fedora, RHEL and their kin: `sudo dnf install ./FILE`; SUSE: `sudo zypper install --allow-unsigned-rpm ./FILE`",
        always: true,
        files: &[("{package}-{version}-1.noarch.rpm", "rpm")],
    },
    Format {
        name: "apk",
        purpose: "Alpine: `apk add --allow-untrusted ./FILE`",
        always: true,
        files: &[("{package}-{version}-r0.apk", "apk")],
    },
    Format {
        name: "arch",
        purpose: "Arch Linux: `sudo pacman -U ./FILE`",
        always: true,
        files: &[("{package}-{version}-1-any.pkg.tar.zst", "arch")],
    },
    Format {
        name: "docker",
        purpose: "the directories in certs.d/ into /etc/docker/certs.d/; README.txt: rootless, Desktop, Windows Server; no restart",
        always: false,
        files: &[
            ("docker/README.txt", "trust/docker/README.txt"),
            ("docker/certs.d/{registry}/ca.crt", "trust/ca.crt"),
            ("docker/windows/{windows}/ca.crt", "trust/ca.crt"),
        ],
    },
    Format {
        name: "podman",
        purpose: "the directories in certs.d/ into /etc/containers/certs.d/, for Buildah, Skopeo and CRI-O as well; no restart",
        always: false,
        files: &[
            ("podman/README.txt", "trust/podman/README.txt"),
            ("podman/certs.d/{registry}/ca.crt", "trust/ca.crt"),
        ],
    },
    Format {
        name: "containerd",
        purpose: "the directories in certs.d/ into /etc/containerd/certs.d/, for nerdctl and Kubernetes nodes; hosts.toml: what each version reads",
        always: false,
        files: &[
            ("containerd/certs.d/{containerd}/hosts.toml", "trust/containerd/hosts.toml"),
            ("containerd/certs.d/{containerd}/ca.crt", "trust/ca.crt"),
        ],
    },
    Format {
        name: "kubernetes",
        purpose: "a DaemonSet that keeps the root certificates on every node: `kubectl apply -f trust.yaml`; trust.yaml: what each node needs",
        always: false,
        files: &[("kubernetes/trust.yaml", "trust/kubernetes/trust.yaml")],
    },
    Format {
        name: "k3s",
        purpose: "both files into /etc/rancher/k3s/ on every node, then restart k3s or k3s-agent",
        always: false,
        files: &[("k3s/registries.yaml", "trust/k3s/registries.yaml"), ("k3s/ca.crt", "trust/ca.crt")],
    },
    Format {
        name: "rke2",
        purpose: "both files into /etc/rancher/rke2/ on every node, then restart rke2-server or rke2-agent",
        always: false,
        files: &[("rke2/registries.yaml", "trust/rke2/registries.yaml"), ("rke2/ca.crt", "trust/ca.crt")],
    },
    Format {
        name: "microk8s",
        purpose: "the directories in certs.d/ into /var/snap/microk8s/current/args/certs.d/ on every node, then `microk8s stop && microk8s start`",
        always: false,
        files: &[
            ("microk8s/certs.d/{containerd}/hosts.toml", "trust/containerd/hosts.toml"),
            ("microk8s/certs.d/{containerd}/ca.crt", "trust/ca.crt"),
        ],
    },
    Format {
        name: "k3d",
        purpose: "a new cluster takes them from this directory: registries.yaml has the command",
        always: false,
        files: &[("k3d/registries.yaml", "trust/k3d/registries.yaml"), ("k3d/ca.crt", "trust/ca.crt")],
    },
    Format {
        name: "kind",
        purpose: "a new cluster, made in this directory: `kind create cluster --config kind.yaml`",
        always: false,
        files: &[
            ("kind/kind.yaml", "trust/kind/kind.yaml"),
            ("kind/certs.d/{containerd}/hosts.toml", "trust/containerd/hosts.toml"),
            ("kind/certs.d/{containerd}/ca.crt", "trust/ca.crt"),
        ],
    },
    Format {
        name: "minikube",
        purpose: "the .pem into ~/.minikube/certs/, then `minikube start --embed-certs`",
        always: false,
        files: &[
            ("minikube/README.txt", "trust/minikube/README.txt"),
            ("minikube/{package}.pem", "trust/ca.crt"),
        ],
    },
    Format {
        name: "talos",
        purpose: "one of the two by `talosctl patch machineconfig`: registry-tls.yaml from 1.12 on, trusted-roots.yaml from 1.10",
        always: false,
        files: &[
            ("talos/registry-tls.yaml", "trust/talos/registry-tls.yaml"),
            ("talos/trusted-roots.yaml", "trust/talos/trusted-roots.yaml"),
        ],
    },
    Format {
        name: "openshift",
        purpose: "a ConfigMap for the whole cluster: trust.yaml has the two commands; no restart",
        always: false,
        files: &[("openshift/trust.yaml", "trust/openshift/trust.yaml")],
    },
    Format {
        name: "buildkit",
        purpose: "both files into /etc/buildkit/, then restart buildkitd",
        always: false,
        files: &[
            ("buildkit/buildkitd.toml", "trust/buildkit/buildkitd.toml"),
            ("buildkit/ca.crt", "trust/ca.crt"),
        ],
    },
    Format {
        name: "buildx",
        purpose: "a new docker-container builder, made in this directory: buildkitd.toml has the command",
        always: false,
        files: &[("buildx/buildkitd.toml", "trust/buildx/buildkitd.toml"), ("buildx/ca.crt", "trust/ca.crt")],
    },
    Format {
        name: "cloud-init",
        purpose: "user data for new machines: their store, Docker, Podman and containerd",
        always: false,
        files: &[("cloud-init.yaml", "trust/cloud-init.yaml")],
    },
    Format {
        name: "ignition",
        purpose: "new Flatcar or Fedora CoreOS machines: their store, Docker, Podman and containerd; as it is, or merged into yours",
        always: false,
        files: &[
            ("ignition/flatcar.ign", "trust/ignition/flatcar.ign"),
            ("ignition/fedora-coreos.ign", "trust/ignition/fedora-coreos.ign"),
        ],
    },
    Format {
        name: "ansible",
        purpose: "machines that are there: their store, Docker, Podman, CRI-O and containerd: `ansible-playbook -i INVENTORY playbook.yaml`",
        always: false,
        files: &[
            ("ansible/playbook.yaml", "trust/ansible/playbook.yaml"),
            ("ansible/tasks.yaml", "trust/ansible/tasks.yaml"),
            ("ansible/handlers.yaml", "trust/ansible/handlers.yaml"),
        ],
    },
];

impl FromStr for &'static Format {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        FORMATS.iter().find(|format| format.name == text).ok_or_else(|| {
            let names: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
            Fault::new(format!("`{}` is nothing that is made for clients", printable(text)))
                .hint(format!("there are {}", names.join(", ")))
        })
    }
}
