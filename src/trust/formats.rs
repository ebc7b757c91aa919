//! Everything that can be made for clients, by the name it has on the command line.

use std::str::FromStr;

use crate::error::Fault;
use crate::names::printable;

/// One or several files that make one kind of client trust the registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Format {
    /// As it is named on the command line.
    pub name: &'static str,
    /// What it is for and where it goes, in one line.
    pub purpose: &'static str,
    /// Path below `trust/`, with names in braces that [`super::Anchors::path`] fills in; and the template, or the kind
    /// of package.
    pub(super) files: &'static [(&'static str, &'static str)],
}

/// The script that does a whole machine, below `trust/`.
pub const INSTALL: &str = "install.sh";

/// In the order in which people are shown them.
pub const FORMATS: &[Format] = &[
    Format {
        name: "script",
        purpose: "Linux, macOS: `sudo sh install.sh` finds the system and its container runtimes",
        files: &[(INSTALL, "trust/install.sh")],
    },
    Format {
        name: "windows",
        purpose: "Windows, as Administrator: `powershell -ExecutionPolicy Bypass -File install.ps1`",
        files: &[("install.ps1", "trust/install.ps1")],
    },
    Format {
        name: "macos",
        purpose: "macOS: a configuration profile, for device management or a double click",
        files: &[("{package}.mobileconfig", "trust/trust.mobileconfig")],
    },
    Format {
        name: "pem",
        purpose: "the root certificate itself, for whatever is not below",
        files: &[("ca.crt", "trust/ca.crt")],
    },
    Format {
        name: "deb",
        purpose: "Debian, Ubuntu: `sudo apt install ./FILE`",
        files: &[("{package}_{version}_all.deb", "deb")],
    },
    Format {
        name: "k3s",
        purpose: "both files into /etc/rancher/k3s/ on every node, then restart k3s or k3s-agent",
        files: &[("k3s/registries.yaml", "trust/k3s/registries.yaml"), ("k3s/ca.crt", "trust/ca.crt")],
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
