//! This machine as its network sees it: its address and name, and the machine that the registry's name resolves to.
//! Sends other machines nothing but name lookups, and waits at most [`PATIENCE`] for each fact.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::Compose;
use super::route::{is_ours, resolve_within};
use super::tls::chain;
use crate::names::{DnsName, Host, Subtree, masked};
use crate::pki::Certificate;

/// The path of the Docker daemon's default socket.
pub(super) const SOCKET: &str = "/var/run/docker.sock";

/// The maximum time to wait for each fact about this machine. A fact that is unknown by then is not shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// An address that no machine has (RFC 5737 §3): the route to it shows this machine's own address.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Prefixes of the names of interfaces that other machines cannot reach: loopback, containers, virtual machines.
const INNER: [&str; 8] = ["lo", "docker", "br-", "veth", "virbr", "lxc", "cni", "flannel"];

/// The facts about this machine that `regcert init` shows and uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// The address at which other machines reach this one.
    pub address: Option<IpAddr>,
    /// The private network that the address is in.
    pub network: Option<Subtree>,
    /// This machine's full name.
    pub name: Option<DnsName>,
    /// The machine that the registry's name resolves to.
    pub leads: Leads,
    /// The version of Docker Compose.
    pub compose: Version,
}

impl Here {
    /// The address of this machine; without a network, the loopback address, at which only this machine reaches the
    /// registry.
    pub fn own_address(&self) -> IpAddr {
        self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// Finds the address of [`Here::own_address`] without the other facts, which take longer to find.
pub fn own_address() -> IpAddr {
    address_in(&own_routes()).unwrap_or(Ipv4Addr::LOCALHOST).into()
}

fn own_routes() -> Vec<Route> {
    routes(&fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// The machine that a name or an address resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// This machine.
    Here,
    /// Another machine, with its address.
    Elsewhere(IpAddr),
    /// No machine: the resolver does not know the name.
    Nowhere,
}

/// The version of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The output of the program.
    Known(String),
    /// The program cannot be run.
    Missing,
    /// The program did not answer in time.
    Unknown,
}

/// Finds the facts about this machine, and the machine that `host` resolves to.
pub fn here(host: &Host, compose: Compose) -> Here {
    let name = within(|| said(&["hostname", "-f"]));
    let version = within(move || said(&[compose.words(), &["version", "--short"]].concat()));
    let leads = match resolve_within(host, PATIENCE).as_deref() {
        Ok(addresses) if addresses.iter().any(is_ours) => Leads::Here,
        Ok([first, ..]) => Leads::Elsewhere(*first),
        Ok([]) | Err(_) => Leads::Nowhere,
    };
    let routes = own_routes();
    let address = address_in(&routes);
    let own_name = |said: Said| match said {
        // Other machines cannot resolve a name without a domain.
        Said::Text(text) => text.parse::<DnsName>().ok().filter(|name| name.as_str().contains('.')),
        Said::Failed | Said::Missing => None,
    };
    Here {
        network: address.and_then(|address| network(address, &routes)),
        address: address.map(IpAddr::V4),
        name: name
            .recv_timeout(PATIENCE)
            .ok()
            .and_then(own_name)
            .filter(|name| !name.is_within("localdomain")),
        leads,
        compose: match version.recv_timeout(PATIENCE) {
            // The version numbers of podman-compose differ from those of Docker Compose.
            _ if compose == Compose::Podman => Version::Unknown,
            Ok(Said::Text(text)) => Version::Known(text),
            Ok(Said::Missing) => Version::Missing,
            Ok(Said::Failed) | Err(_) => Version::Unknown,
        },
    }
}

/// Whether this user may not access the machine's Docker daemon.
pub fn docker_is_for_root() -> bool {
    access(SOCKET, Access::WRITE_OK) == Err(Errno::ACCESS)
}

/// Whether this user's own Docker daemon has a socket in `runtime` (XDG_RUNTIME_DIR).
pub fn has_rootless_docker(runtime: Option<&Path>) -> bool {
    runtime.is_some_and(|runtime| runtime.join("docker.sock").exists())
}

/// Whether this machine serves `leaf` on `port`.
pub fn is_running(host: &Host, port: u16, leaf: &Certificate) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    chain(address, host).is_ok_and(|chain| chain.first().is_some_and(|shown| shown == leaf))
}

/// The result of running a program.
enum Said {
    Text(String),
    Failed,
    Missing,
}

fn said(words: &[&str]) -> Said {
    match Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output() {
        Err(_) => Said::Missing,
        Ok(output) if output.status.success() => {
            Said::Text(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        // `docker` without its Compose plugin prints this.
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("is not a docker command") => {
            Said::Missing
        }
        Ok(_) => Said::Failed,
    }
}

/// Runs `work` in a thread. The caller receives the result, or abandons the thread if it takes too long.
fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    receive
}

/// One line of the kernel's routing table.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    interface: String,
    destination: Ipv4Addr,
    prefix: u8,
    direct: bool,
}

/// Parses `/proc/net/route` (proc(5)): addresses are hexadecimal, in the machine's own byte order.
fn routes(table: &str) -> Vec<Route> {
    let address =
        |text: &str| u32::from_str_radix(text, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
    let route = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [interface, destination, gateway, _, _, _, _, mask, ..] = fields[..] else {
            return None;
        };
        let mask = address(mask)?.to_bits();
        Some(Route {
            interface: interface.to_owned(),
            destination: address(destination)?,
            prefix: u8::try_from(mask.leading_ones()).ok()?,
            direct: address(gateway)?.is_unspecified(),
        })
    };
    table.lines().skip(1).filter_map(route).collect()
}

/// This machine's address on the default route, or else in the first network that is not for containers.
fn address_in(routes: &[Route]) -> Option<Ipv4Addr> {
    let outer = |route: &&Route| !INNER.iter().any(|inner| route.interface.starts_with(inner));
    let beside = routes.iter().filter(|route| route.direct && route.prefix > 0).find(outer);
    let neighbour = beside.map(|route| Ipv4Addr::from(route.destination.to_bits() | 1));
    [Some(FAR), neighbour].into_iter().flatten().find_map(towards)
}

/// This machine's address on the route to `target`. The UDP socket is only connected, and nothing is sent.
fn towards(target: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((target, 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The private network that contains `address`.
fn network(address: Ipv4Addr, routes: &[Route]) -> Option<Subtree> {
    let contains = |route: &&Route| {
        route.direct
            && (1..31).contains(&route.prefix)
            && masked(address.into(), route.prefix) == IpAddr::V4(route.destination)
    };
    let nearest = routes.iter().filter(contains).max_by_key(|route| route.prefix)?;
    address.is_private().then(|| Subtree::Network(nearest.destination.into(), nearest.prefix))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A routing table with the network 192.168.7.0/24 on eth0, a default route, and Docker's own network.
    fn table() -> Vec<Route> {
        let hex =
            |text: &str| format!("{:08X}", u32::from_ne_bytes(text.parse::<Ipv4Addr>().unwrap().octets()));
        let line = |interface: &str, destination, gateway, mask| {
            format!(
                "{interface}\t{}\t{}\t0003\t0\t0\t0\t{}\t0\t0\t0",
                hex(destination),
                hex(gateway),
                hex(mask)
            )
        };
        let lines = [
            "Iface\tDestination\tGateway".to_owned(),
            line("eth0", "0.0.0.0", "192.168.7.1", "0.0.0.0"),
            line("docker0", "172.17.0.0", "0.0.0.0", "255.255.0.0"),
            line("eth0", "192.168.7.0", "0.0.0.0", "255.255.255.0"),
            "damaged".to_owned(),
        ];
        routes(&lines.join("\n"))
    }

    #[test]
    fn the_network_is_the_one_around_the_address() {
        assert_eq!(table().len(), 3);
        let found = |address: &str| network(address.parse().unwrap(), &table()).map(|tree| tree.to_string());
        assert_eq!(found("192.168.7.42").unwrap(), "192.168.7.0/24");
        assert_eq!(found("172.17.0.1").unwrap(), "172.17.0.0/16");
        assert_eq!(found("192.168.8.1"), None);
        assert_eq!(found("203.0.113.5"), None);
    }

    #[test]
    fn an_address_of_this_machine_is_no_loopback_one() {
        assert!(address_in(&[]).is_none_or(|address| !address.is_loopback() && is_ours(&address.into())));
        assert_eq!(towards(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert!(matches!(said(&["regcert-has-no-such-program"]), Said::Missing));
        assert!(matches!(said(&["false"]), Said::Failed));
        assert!(matches!(said(&["echo", "1.29.2"]), Said::Text(text) if text == "1.29.2"));
    }
}
