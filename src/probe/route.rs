//! Connects to a server: resolves its name, tries its addresses, and checks whether port 5000 has a registry without
//! a proxy. Every function has a time limit.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::health::{Bare, NoConnection, Target};
use crate::names::Host;

/// The time limit for resolving a name. The resolver gives up on a name server after five seconds (resolv.conf(5)).
const RESOLVE: Duration = Duration::from_secs(5);

/// The time limit for a connection, long enough to resend two lost packets (RFC 6298: after one and three seconds).
const CONNECT: Duration = Duration::from_secs(4);

/// The time limit for a request to a port on which nothing should listen.
const GLANCE: Duration = Duration::from_secs(1);

/// The port of a registry without configuration (the default of distribution).
const BARE_PORT: u16 = 5000;

/// A TCP connection that ends at a fixed time, however slowly the server sends.
pub(super) struct Timed {
    socket: TcpStream,
    end: Instant,
}

impl Timed {
    /// Opens a connection that lasts at most `limit`, including the time to connect.
    pub(super) fn open(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        let end = Instant::now() + limit;
        Ok(Self { socket: TcpStream::connect_timeout(&address, limit)?, end })
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The addresses of `host`, without duplicates.
pub(super) fn resolve(host: &Host) -> Result<Vec<IpAddr>, String> {
    resolve_within(host, RESOLVE)
}

/// The addresses of `host`, without duplicates; an error if the resolver does not answer within `limit`.
pub(super) fn resolve_within(host: &Host, limit: Duration) -> Result<Vec<IpAddr>, String> {
    let name = match host {
        Host::Ip(ip) => return Ok(vec![*ip]),
        Host::Dns(name) => name.to_string(),
    };
    let (send, receive) = mpsc::channel();
    // The system's resolver has no time limit. If it takes too long, regcert abandons the thread.
    std::thread::spawn(move || send.send((name.as_str(), 0).to_socket_addrs().map(Vec::from_iter)));
    let found = receive.recv_timeout(limit).map_err(|_| "the resolver does not answer".to_owned())?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map_err(|e| plain(&e))? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

/// The first of `addresses` that accepts a connection on `port`. All attempts share the time limit.
pub(super) fn connect(addresses: &[IpAddr], port: u16) -> Result<SocketAddr, NoConnection> {
    let end = Instant::now() + CONNECT;
    let (mut faults, mut is_refused) = (Vec::new(), false);
    for (n, ip) in addresses.iter().enumerate() {
        let address = SocketAddr::new(*ip, port);
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - n).unwrap_or(1);
        match TcpStream::connect_timeout(&address, share.max(Duration::from_millis(1))) {
            Ok(_) => return Ok(address),
            Err(e) => {
                is_refused |= e.kind() == io::ErrorKind::ConnectionRefused;
                faults.push(format!("{address}: {}", plain(&e)));
            }
        }
    }
    Err(NoConnection { why: faults.join("; "), is_refused })
}

/// Fails if `address` does not accept a connection within two seconds.
pub(super) fn takes(address: SocketAddr) -> io::Result<()> {
    TcpStream::connect_timeout(&address, GLANCE * 2).map(drop)
}

/// Whether `ip` is an address of this machine: a socket can only be bound to such an address.
pub(super) fn is_ours(ip: &IpAddr) -> bool {
    UdpSocket::bind((*ip, 0)).is_ok()
}

/// Checks for a registry without a proxy, on port 5000 of the server's address and, if `here`, of the loopback
/// address.
pub(super) fn beside(target: &Target, peer: SocketAddr, here: bool) -> Vec<(SocketAddr, Bare)> {
    if target.port == BARE_PORT {
        return Vec::new();
    }
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let mut addresses = vec![peer.ip()];
    if here && peer.ip() != loopback {
        addresses.push(loopback);
    }
    let look = |ip| {
        let address = SocketAddr::new(ip, BARE_PORT);
        (address, bare(address))
    };
    addresses.into_iter().map(look).collect()
}

fn bare(address: SocketAddr) -> Bare {
    match say_http(address, GLANCE) {
        None => Bare::Closed,
        Some(said) if said.to_ascii_lowercase().contains("docker-distribution-api-version:") => {
            Bare::Registry
        }
        Some(_) => Bare::Other,
    }
}

/// The answer to an HTTP request without TLS; `None` if `address` does not accept a connection.
pub(super) fn say_http(address: SocketAddr, limit: Duration) -> Option<String> {
    let mut socket = Timed::open(address, limit).ok()?;
    let mut said = Vec::new();
    let request = format!("GET /v2/ HTTP/1.0\r\nHost: {address}\r\n\r\n");
    if socket.write_all(request.as_bytes()).is_ok() {
        _ = socket.take(4096).read_to_end(&mut said);
    }
    Some(String::from_utf8_lossy(&said).into_owned())
}

/// The text of the error, with a lower-case first letter and without the system's error number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
