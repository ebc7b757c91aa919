//! Finds the programs that listen on the ports of this machine, if this user has the right to see the programs.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::program::{engine, program};
use crate::health::Listener;

/// The tables of TCP sockets, for IPv4 and IPv6 (proc_pid_net(5)).
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The state TCP_LISTEN, from the Linux kernel's list of socket states, in hexadecimal.
const LISTENS: &str = "0A";

/// The process name of Docker's program that listens on a published port. The kernel cuts process names at 15
/// characters (proc_pid_comm(5)).
const DOCKER_PROXY: &str = "docker-proxy";

/// A listening TCP socket. The inode identifies the socket among the open files of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    uid: u32,
    inode: String,
}

/// The kernel's tables of TCP sockets at one moment. Reading a table takes a few milliseconds, because the kernel
/// scans every slot for a connection, including the many empty ones.
pub struct Ports(Vec<String>);

impl Ports {
    /// Reads the tables.
    pub fn now() -> Self {
        Self(TABLES.iter().filter_map(|table| fs::read_to_string(table).ok()).collect())
    }

    /// The program that listens on `port`; `None` if no program does. Runs `docker` only if the program is Docker's
    /// or is not visible to this user.
    pub fn listener(&self, port: u16) -> Option<Listener> {
        listener(self.socket(port)?, port)
    }

    /// Whether no socket listens on `port`.
    pub fn is_free(&self, port: u16) -> bool {
        self.socket(port).is_none()
    }

    fn socket(&self, port: u16) -> Option<Socket> {
        self.0.iter().find_map(|table| sockets(table, port).into_iter().next())
    }
}

fn listener(socket: Socket, port: u16) -> Option<Listener> {
    let process = process_of(&socket.inode);
    let is_docker = process.as_ref().is_none_or(|(_, name)| name == DOCKER_PROXY);
    let container = if is_docker { container_at(port) } else { None };
    let (id, program) = process.map_or((None, None), |(id, name)| (Some(id), Some(name)));
    Some(Listener { uid: socket.uid, process: id, program, container })
}

/// The sockets in `table` that listen on `port`.
fn sockets(table: &str, port: u16) -> Vec<Socket> {
    let suffix = format!(":{port:04X}");
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTENS;
        let uid = fields.get(7)?.parse().ok()?;
        listens.then(|| Socket { uid, inode: (*fields.get(9).unwrap_or(&"")).to_owned() })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// The id and the name of the process that has the socket open. Root sees every process, other users see only their
/// own.
fn process_of(inode: &str) -> Option<(u32, String)> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |id: &u32| {
        let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        open.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == Path::new(&socket)))
    };
    let id = ids.find(has)?;
    let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
    Some((id, name.trim().to_owned()))
}

/// The name of the container that publishes `port`.
fn container_at(port: u16) -> Option<String> {
    let filter = format!("publish={port}");
    let words = ["ps", "--filter", filter.as_str(), "--format", "{{.Names}}"];
    let output = program(engine()).args(words).stdin(Stdio::null()).output().ok()?;
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names.lines().next().filter(|_| output.status.success()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 41 1 0 100 0 0 10 0
   1: 0100007F:01BB 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 42 1 0 100 0 0 10 0
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 43 1 0 100 0 0 10 0
";
        assert_eq!(sockets(table, 443), [Socket { uid: 65532, inode: "41".to_owned() }]);
        assert_eq!(sockets(table, 8080), [Socket { uid: 1000, inode: "43".to_owned() }]);
        assert_eq!(sockets(table, 49153), []);
        assert_eq!(sockets("", 443), []);
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_program() {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback takes any free port");
        let port = socket.local_addr().expect("it is bound").port();
        let found = Ports::now().listener(port).expect("it listens");
        assert_eq!(found.process, Some(std::process::id()));
        drop(socket);
    }
}
