//! Tests a registry once, from the lookup of its name to the transfer of an image. Stops as soon as a client would
//! fail.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::http::{self, Login};
use super::{route, tls};
use crate::health::{Answer, Extent, Refusal, Seen, Target, Trial, location_fault};
use crate::pki::{Certificate, ServerIdentity, verify};

/// The maximum number of addresses to test besides the one that accepted a connection: each may take seconds.
const OTHERS_MAX: usize = 4;

/// The client that tests the registry.
pub struct Client<'a> {
    /// The only root certificates to trust.
    pub roots: &'a [&'a Certificate],
    /// The user who logs in, if any.
    pub login: Option<Login<'a>>,
    /// The client certificate to present, with chain and key.
    pub shows: Option<&'a ServerIdentity>,
    /// The repository for trial images, and the extent of the trial.
    pub trial: &'a Trial,
    /// Whether the registry probably runs on this machine.
    pub at_home: bool,
    /// The certificate that the server should present, if it is known.
    pub wanted: Option<&'a Certificate>,
}

/// The maximum time after a reload until only the new processes accept connections.
const RELOAD: Duration = Duration::from_secs(4);

/// Reads the chain that the server presents. If the chain is an older one from the same authority, tries again for a
/// while, because a reload may just have begun.
fn served(peer: SocketAddr, target: &Target, client: &Client<'_>) -> Result<Vec<Certificate>, Refusal> {
    let until = Instant::now() + RELOAD;
    loop {
        let chain = tls::chain(peer, &target.host);
        let is_older = |chain: &Vec<Certificate>| {
            let is_ours = |last: &Certificate| client.roots.iter().any(|root| last.is_signed_by(root));
            client.wanted.is_some() && chain.first() != client.wanted && chain.last().is_some_and(is_ours)
        };
        if !chain.as_ref().is_ok_and(is_older) || Instant::now() >= until {
            return chain;
        }
        sleep(Duration::from_millis(200));
    }
}

/// Tests the registry as `client`, at `now`.
pub fn look(target: &Target, client: &Client<'_>, now: OffsetDateTime) -> Seen {
    let start = Instant::now();
    let mut seen = Seen::default();
    let addresses = route::resolve(&target.host);
    if let Ok(addresses) = &addresses {
        seen.ours = addresses.iter().copied().filter(route::is_ours).collect();
        seen.peer = Some(route::connect(addresses, target.port));
    }
    seen.addresses = Some(addresses.clone());
    // If the name resolves to another machine, reads the certificate that this machine presents on the same port.
    if client.at_home && seen.ours.is_empty() {
        let here = SocketAddr::new(IpAddr::from(Ipv4Addr::LOCALHOST), target.port);
        let chain = tls::chain(here, &target.host).ok();
        seen.nearby = chain.and_then(|chain| chain.into_iter().next());
    }
    let Some(Ok(peer)) = seen.peer else {
        return seen;
    };
    let chain = served(peer, target, client);
    if let Ok(addresses) = &addresses {
        seen.astray = astray(addresses, peer, target, chain.as_ref().ok());
    }
    if chain.is_ok() {
        seen.old = Some(tls::old_versions(peer, &target.host));
    }
    seen.bare = route::beside(target, peer, client.at_home && seen.ours.contains(&peer.ip()));
    let trusted = chain.as_ref().ok().and_then(|chain| {
        let names = [target.host.to_string()];
        client.roots.iter().find(|root| verify(chain, root, &names, now).is_ok())
    });
    if let Some(root) = trusted {
        let mut http = http::Client::new(target, peer, &[root], client.shows, client.login.as_ref());
        seen.api = Some(http.api());
        seen.api_after = start.elapsed();
        http.begin();
        converse(&http, client, target, &mut seen);
        http.done();
    }
    seen.chain = Some(chain);
    seen
}

/// The addresses besides `peer` that accept no connection, or present another certificate. An address in a network
/// that this machine does not have is left out, because the failure has nothing to do with the server.
fn astray(
    addresses: &[IpAddr],
    peer: SocketAddr,
    target: &Target,
    chain: Option<&Vec<Certificate>>,
) -> Vec<(SocketAddr, String)> {
    let others = addresses.iter().filter(|ip| **ip != peer.ip()).take(OTHERS_MAX);
    let judge = |ip: &IpAddr| {
        let address = SocketAddr::new(*ip, target.port);
        match route::takes(address) {
            Err(e) if matches!(e.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable) => None,
            Err(e) => Some((address, route::plain(&e))),
            Ok(()) => match (tls::chain(address, &target.host).ok(), chain) {
                (Some(other), Some(chain)) if other.first() != chain.first() => {
                    Some((address, "another certificate".to_owned()))
                }
                (None, Some(_)) => Some((address, "no TLS".to_owned())),
                (_, _) => None,
            },
        }
    };
    others.filter_map(judge).collect()
}

/// Sends the requests of a user, until one fails or the extent of the trial is reached.
fn converse(http: &http::Client<'_>, client: &Client<'_>, target: &Target, seen: &mut Seen) {
    let healthy = |answer: &Option<Result<Answer, String>>, status: u16| matches!(answer, Some(Ok(answer)) if answer.status == status);
    let asks = matches!(&seen.api, Some(Ok(answer)) if answer.asks_for_password());
    if client.login.is_none() || !(asks || healthy(&seen.api, 200)) {
        return;
    }
    seen.login = Some(http.login());
    if !healthy(&seen.login, 200) {
        return;
    }
    let Trial { repository, extent } = client.trial;
    if *extent == Extent::Nothing {
        return;
    }
    let start = http.start(repository);
    let begun = start.as_ref().ok().filter(|answer| answer.status == 202);
    let location = begun.and_then(|answer| answer.header("location")).map(str::to_owned);
    seen.start = Some(start);
    let Some(location) = location else {
        return;
    };
    if *extent == Extent::Start || location_fault(target, &location).is_some() {
        http.cancel(&location);
        return;
    }
    seen.chunk = Some(http.chunk(&location));
    if healthy(&seen.chunk, 202) && *extent == Extent::Images {
        seen.trip = Some(http.trip(repository));
    }
}
