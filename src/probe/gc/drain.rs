//! Waits for the pushes that began before the registry became read-only. Does not wait for pulls: an open file can
//! be read after its removal.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::{Collector, READ_ONLY, SOCKET};
use crate::error::Fault;
use crate::probe::engine::run;
use crate::probe::program::engine;

/// The time that nginx and the registry need to hand over a new request on a busy machine.
const HANDED_OVER: Duration = Duration::from_secs(3);

/// The inode that the kernel's table shows for a connection that is not accepted yet.
const UNACCEPTED: &str = "0";

/// The URL, inside the registry's container, at which the registry lists its running goroutines.
const STACKS: &str = "http://127.0.0.1:8081/debug/pprof/goroutine?debug=2";

/// The script that counts the running requests that store or delete a manifest (`registry/handlers/manifests.go`).
/// Prints nothing if the number is unknown. Uploads of layers do not matter, because a collection keeps recent layers.
const STORING: &str = r#"
stacks=$(http_proxy='' wget -q -O - "$1" 2>/dev/null || curl -qfs --noproxy '*' "$1")
[ -n "$stacks" ] || exit 0
echo "$stacks" | grep -cE 'manifestHandler\)\.(Put|Delete)Manifest\('
exit 0
"#;

impl Collector {
    /// Waits at most `patience` for the pushes that began before the mark existed. Calls `say` to report each step.
    pub(super) fn drain(&self, patience: Duration, say: impl Fn(&str)) -> Result<()> {
        let nginx = self.nginx.as_deref().expect("it was looked for");
        let seen = self.exec(nginx, &["test", "-f", READ_ONLY]);
        seen.map_err(|_| {
            Fault::new("nginx does not see that the registry is to be read-only: nothing was collected")
                .hint(self.project.runs("up -d --force-recreate"))
        })?;
        say("pushes are refused, pulls go on");
        let before = self.requests_before(nginx)?;
        self.exec(nginx, &["nginx", "-q", "-t"])?;
        // The reload makes the old workers close idle connections.
        self.exec(nginx, &["nginx", "-s", "reload"])?;
        let start = Instant::now();
        let mut told = false;
        while self.is_under_way(nginx, &before, start)? {
            ensure!(
                start.elapsed() < patience,
                Fault::new(format!(
                    "a push that began before is still under way after {} seconds: nothing was collected",
                    patience.as_secs()
                ))
                .hint("run `regcert gc` again when no client pushes, or give it longer with `--wait`")
            );
            if !told && start.elapsed() > Duration::from_secs(1) {
                say("waiting for the pushes that began before");
                told = true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn is_under_way(&self, nginx: &str, before: &Requests, start: Instant) -> Result<bool> {
        let is_left = match (before, self.requests(nginx)?) {
            (Requests::Connections(before), Requests::Connections(now)) => !before.is_disjoint(&now),
            (Requests::Workers(before), Requests::Workers(now)) => !before.is_disjoint(&now),
            (Requests::Connections(_), Requests::Workers(_))
            | (Requests::Workers(_), Requests::Connections(_)) => true,
        };
        let are_known = matches!(before, Requests::Connections(_));
        Ok(is_left && !(are_known && start.elapsed() > HANDED_OVER && self.stores_no_manifest()))
    }

    /// The connections or workers that serve the requests that nginx accepted before the registry became read-only.
    /// Waits until the registry has accepted these connections, because an unaccepted connection has no inode.
    fn requests_before(&self, nginx: &str) -> Result<Requests> {
        let start = Instant::now();
        loop {
            // nginx needs far less time than this between its check for the mark and the connection.
            std::thread::sleep(Duration::from_millis(200));
            let mut requests = self.requests(nginx)?;
            let Requests::Connections(connections) = &mut requests else {
                return Ok(requests);
            };
            if !connections.remove(UNACCEPTED) || start.elapsed() > HANDED_OVER {
                return Ok(requests);
            }
        }
    }

    /// The connections or workers that serve requests at this moment.
    fn requests(&self, nginx: &str) -> Result<Requests> {
        if self.asks_late {
            // Depending on the kernel's version, the table of nginx's or of the registry's container lists a
            // connection.
            let tables =
                [nginx, &self.registry].map(|container| self.exec(container, &["cat", "/proc/net/unix"]));
            let tables: Vec<_> = tables.into_iter().flatten().collect();
            if tables.iter().any(|table| table.contains(SOCKET)) {
                return Ok(Requests::Connections(
                    tables.iter().flat_map(|table| connections(table)).collect(),
                ));
            }
        }
        let table = run(&[engine(), "top"], &self.project.dir, &[nginx], &self.project.logs())?;
        Ok(Requests::Workers(workers(&table, Workers::All)?.into_iter().collect()))
    }

    /// Whether the registry reports that none of its running requests changes a manifest.
    fn stores_no_manifest(&self) -> bool {
        self.exec(&self.registry, &["sh", "-c", STORING, "sh", STACKS]).is_ok_and(|count| count.trim() == "0")
    }
}

/// The connections or workers that serve the requests that may change the storage.
#[derive(Debug)]
enum Requests {
    /// nginx's connections to the registry, by inode. nginx checks for the mark just before it opens a connection.
    Connections(BTreeSet<String>),
    /// nginx's workers, by process id, if the connections are unknown. A worker that a reload replaces ends with its
    /// last request, which may be a pull.
    Workers(BTreeSet<String>),
}

/// The inodes of the connections to the registry's socket, from the text of `/proc/net/unix`. A listening socket has
/// the flag 10000, and a state below 02 means no connection (`net/unix/af_unix.c`, `unix_seq_show`).
fn connections(table: &str) -> Vec<String> {
    let connection = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [_, _, _, flags, _, state, inode, SOCKET] = columns[..] else {
            return None;
        };
        (flags == "00000000" && matches!(state, "02" | "03")).then(|| inode.to_owned())
    };
    table.lines().filter_map(connection).collect()
}

/// The workers of nginx to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::probe) enum Workers {
    /// The workers that accept connections.
    Serving,
    /// All workers, also those that are shutting down.
    All,
}

/// The process ids of nginx's workers, from the output of `docker top`.
pub(in crate::probe) fn workers(table: &str, which: Workers) -> Result<Vec<String>> {
    let column = table.lines().find_map(|head| head.split_whitespace().position(|name| name == "PID"));
    let column = column.ok_or_else(|| anyhow!("the table of nginx's processes names no PID"))?;
    let worker = |line: &str| Some(line.split_whitespace().nth(column)?.to_owned());
    let asked_for = |line: &&str| {
        line.contains("nginx: worker process")
            && (which == Workers::All || !line.contains("is shutting down"))
    };
    Ok(table.lines().filter(asked_for).filter_map(worker).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_those_of_the_registrys_socket() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/regcert/registry.sock
0000000000000000: 00000003 00000000 00000000 0001 03 4712 /run/regcert/registry.sock
0000000000000000: 00000002 00000000 00000000 0001 02     0 /run/regcert/registry.sock
0000000000000000: 00000003 00000000 00000000 0001 03 4713
0000000000000000: 00000003 00000000 00000000 0001 03 4714 /tmp/passwords.sock
";
        assert_eq!(connections(table), ["4712", "0"]);
        assert!(connections("").is_empty());
    }
}
