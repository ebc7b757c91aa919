//! The registry's containers and ports on this machine: whether this registry is the program that listens on the
//! ports, and whether the registry behind nginx answers.

use std::net::{IpAddr, SocketAddr};

use super::answer::storage;
use super::finding::Finding;
use super::known::Known;
use super::seen::{Contained, Containers, Listener, Seen, list};
use crate::deployment::Deployment;
use crate::error::Fault;
use crate::files::Part;
use crate::names::{DnsName, Host};
use crate::settings::Proxy;

/// Returns the Compose service that clients connect to.
fn front(deployment: &Deployment) -> &'static str {
    match deployment.spec.proxy {
        Proxy::Nginx => "nginx",
        Proxy::None => "registry",
    }
}

/// Returns a broken finding if another program uses one of the registry's ports, so that the registry cannot run.
pub(super) fn taken(known: &Known<'_>, seen: &Seen) -> Option<Finding> {
    let deployment = known.deployment?;
    let is_here = match seen.peer.as_ref()? {
        Ok(peer) => seen.ours.contains(&peer.ip()),
        Err(_) => !seen.ours.is_empty(),
    };
    let chain = seen.chain.as_ref().and_then(|chain| chain.as_ref().ok());
    let last = chain.and_then(|chain| chain.last());
    let is_own = last.is_some_and(|last| known.roots.iter().any(|root| last.is_signed_by(root)));
    // Docker does not start a container if its port is in use.
    let runs = known.containers.of(front(deployment)).is_some_and(|front| front.is_running);
    if !is_here || is_own || runs {
        return None;
    }
    let is_other =
        |(_, listener): &&(u16, Listener)| !listener.can_be(known.containers, deployment.spec.run_as);
    let (port, listener) = known.listeners.iter().find(is_other)?;
    let message = format!("port {port} is taken by {listener}: this registry cannot listen there");
    Some(Finding::broken("tcp", message, known.other_port(*port)))
}

impl Known<'_> {
    /// Returns the command that moves the registry away from `port`, which another program uses.
    pub(super) fn other_port(&self, port: u16) -> String {
        let Some(deployment) = self.deployment else {
            return "end the program that listens there, or choose another port where the registry runs: `regcert init --https-port`".to_owned();
        };
        let (option, free) = match port {
            port if Some(port) == deployment.spec.http_port => ("--http-port", self.free_ports.0),
            port if Some(port) == deployment.spec.anonymous_port => ("--anonymous-port", self.free_ports.1),
            _ => ("--https-port", self.free_ports.1),
        };
        format!(
            "choose another port: run `regcert init {option} {free} && {0} up -d && {0} restart registry`; or end that program, then run `{0} up -d`",
            self.compose
        )
    }

    /// Whether the container that clients connect to runs without a fault, according to Docker.
    pub(super) fn front_runs(&self) -> bool {
        let front = self.deployment.and_then(|deployment| self.containers.of(front(deployment)));
        front.is_some_and(|front| front.is_running && front.trouble.is_none())
    }

    /// Returns the reason why the container that clients connect to does not run, if Docker knows it.
    pub(super) fn front_trouble(&self) -> Option<Fault> {
        let deployment = self.deployment?;
        match self.containers {
            Containers::Unknown(fault) => Some(fault.clone()).filter(|fault| !fault.hint.is_empty()),
            Containers::Known(_) => self.read_by_container(self.containers.of(front(deployment))?),
        }
    }
}

/// The mounted directories: each path inside the container, and the path below the registry's directory.
const MOUNTED: [(&str, &str); 2] = [("/etc/nginx/", "nginx"), ("/etc/regcert/", "registry")];

/// Finds the configuration file that a container's log names. Returns its path in the container, the directory that is
/// mounted there, and its part.
fn configuration(said: &str) -> Option<(String, &'static str, Part)> {
    let named = |(mounted, directory): (&'static str, &'static str)| {
        said.match_indices(mounted).map(move |(at, _)| {
            let is_path = |letter: &char| letter.is_ascii_alphanumeric() || "/._-".contains(*letter);
            let path: String = said[at..].chars().take_while(is_path).collect();
            let part = Part::of(&format!("{directory}/{}", &path[mounted.len()..]));
            (path, directory, part)
        })
    };
    MOUNTED.into_iter().flat_map(named).find(|(.., part)| matches!(part, Part::Front | Part::RegistryConfig))
}

impl Known<'_> {
    /// Returns the fault of a container. If its log names a configuration file, the cure is for that file.
    fn read_by_container(&self, contained: &Contained) -> Option<Fault> {
        let Fault { message, hint } = contained.trouble.clone()?;
        let is_denied = contained.said.to_lowercase().contains("permission denied");
        if self.server.is_none() && is_denied {
            let hint = format!(
                "root in a container of your own Docker or Podman is you, and no other user of it is: {}",
                self.regcert("init --run-as 0:0 --reload")
            );
            return Some(Fault { message, hint });
        }
        if let Some(cure) = storage(&contained.said) {
            return Some(Fault { message, hint: self.cure(cure) });
        }
        // A mirror contacts its upstream when it starts, and exits if it gets no answer.
        if let Some(upstream) = self.upstream.filter(|upstream| upstream.is_broken())
            && contained.said.contains("/v2/")
        {
            let hint = format!("a mirror starts when its upstream answers: {}", upstream.cure);
            return Some(Fault { message, hint });
        }
        let hint = match configuration(&contained.said) {
            Some((path, directory, part)) if is_denied && !self.differs(&[part]) => {
                let opens = self.opens(directory, "up -d --force-recreate");
                format!("the container must be able to read `{path}`: {opens}")
            }
            Some((path, _, part)) => {
                self.mends(&[part], &format!("the container must be able to read `{path}`"))
            }
            None => hint,
        };
        Some(Fault { message, hint })
    }
}

/// Reports whether the registry itself answers, with or without nginx in front of it.
pub(super) fn registry(known: &Known<'_>, seen: &Seen, waits: &str) -> Finding {
    let broken = |message: String, hint: String| Finding::broken("registry", message, hint);
    let status = |answer: &Option<Result<super::Answer, String>>| {
        answer.as_ref().and_then(|answer| answer.as_ref().ok()).map(|answer| answer.status)
    };
    let contained = known.containers.of("registry");
    if let Some(fault) = contained.and_then(|contained| known.read_by_container(contained)) {
        return broken(fault.message, fault.hint);
    }
    if matches!(status(&seen.login), Some(502..=504)) {
        let message = "nginx answers, and the registry behind it does not".to_owned();
        return broken(message, known.starts());
    }
    let is_bare = known.deployment.is_some_and(|deployment| deployment.spec.proxy == Proxy::None);
    if status(&seen.login) == Some(200) || (is_bare && status(&seen.api) == Some(401)) {
        return Finding::held("registry", "the registry itself answers");
    }
    match (known.containers, contained) {
        (_, Some(contained)) if contained.is_healthy == Some(true) => {
            Finding::held("registry", format!("container `{}` is healthy", contained.name))
        }
        (_, Some(contained)) => {
            let name = &contained.name;
            Finding::not_tried(
                "registry",
                format!("container `{name}` runs, and its health is not known yet"),
            )
        }
        // nginx runs, but the registry's container was removed.
        (Containers::Known(all), None) if all.iter().any(|contained| contained.is_running) => {
            broken("the registry has no container".to_owned(), known.starts())
        }
        (Containers::Known(_) | Containers::Unknown(_), None) if seen.api.is_none() => {
            Finding::not_tried("registry", waits)
        }
        (Containers::Known(_), None) => {
            Finding::not_tried("registry", "Docker has no container of this directory, and no user logged in")
        }
        (Containers::Unknown(fault), None) => {
            Finding::not_tried("registry", format!("{}, and no user logged in", fault.message))
        }
    }
}

/// Returns a broken finding: some addresses of the name do not reach the registry, and clients may use any of them.
pub(super) fn second(known: &Known<'_>, seen: &Seen, peer: SocketAddr) -> Finding {
    let faults: Vec<_> = seen.astray.iter().map(|(address, why)| format!("{address}: {why}")).collect();
    let ips: Vec<_> = seen.astray.iter().map(|(address, _)| address.ip()).collect();
    let place = match known.hosts_file.iter().any(|ip| ips.contains(ip)) {
        true => "/etc/hosts",
        false => "the DNS",
    };
    let take = match (place, &known.target.host) {
        ("/etc/hosts", Host::Dns(name)) => format!("run `{}`", out_of_hosts(&ips, name)),
        (_, _) => format!("take {} out of {place}", list(&ips)),
    };
    let hint = if ips.iter().any(IpAddr::is_ipv6) && ips.iter().all(|ip| seen.ours.contains(ip)) {
        format!(
            "{}, which listens where this machine has IPv6; or {take}",
            known.compose("up -d --force-recreate")
        )
    } else {
        take
    };
    let message = format!(
        "{peer} takes connections, but other addresses of the name do not lead to it: {}",
        faults.join("; ")
    );
    Finding::broken("tcp", message, hint)
}

/// Returns the command that removes the name from the lines of these addresses in /etc/hosts. Other names on these
/// lines stay.
pub(super) fn out_of_hosts(ips: &[IpAddr], name: &DnsName) -> String {
    let literal = |text: String| text.replace('.', r"\.");
    let name = literal(name.to_string());
    let lines: Vec<_> =
        ips.iter().map(|ip| format!(r"/^{}\s/s/\s{name}\b//I", literal(ip.to_string()))).collect();
    format!("sudo sed -i '{}' /etc/hosts", lines.join(";"))
}
