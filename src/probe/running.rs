//! Tests the settings of a running registry as a client: client certificates, the port without passwords, HTTP,
//! metrics, and a push to a mirror. Stores nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::http::{self, Login};
use super::tls;
use crate::health::{NOT_OPEN, Running, Seen, Target};
use crate::pki::{Certificate, ServerIdentity};
use crate::settings::{Proxy, Settings};

/// Tests the settings in `spec` at the address where `seen` found the registry. `shows` is the client certificate to
/// present.
pub fn try_settings(
    spec: &Settings,
    seen: &Seen,
    roots: &[&Certificate],
    shows: Option<&ServerIdentity>,
    login: Option<&Login<'_>>,
) -> Running {
    let mut running = Running::default();
    let (Some(Ok(peer)), Some(Ok(_))) = (&seen.peer, &seen.api) else {
        return running;
    };
    let at = |port: u16| Target { host: spec.host(), port };
    let own = at(spec.https_port);
    if spec.proxy == Proxy::Nginx {
        running.asks_for_certificate = tls::asks_for_certificate(*peer, &own.host);
        running.without_certificate = Some(http::Client::new(&own, *peer, roots, None, None).api());
        if let Some(port) = spec.anonymous_port {
            let target = at(port);
            let client = http::Client::new(&target, SocketAddr::new(peer.ip(), port), roots, shows, None);
            running.anonymous = Some(client.api());
            if !spec.anonymous_repos.contains(NOT_OPEN) {
                running.anonymous_closed = Some(client.tags(NOT_OPEN));
            }
        }
        running.http = spec.http_port.map(|port| http::get_plain(peer.ip(), &at(port), "/v2/"));
    }
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    running.metrics = spec.metrics_port.map(|port| http::get_plain(here, &at(port), "/metrics"));
    if spec.mirror_of.is_some() && login.is_some() {
        running.mirror_push =
            Some(http::Client::new(&own, *peer, roots, shows, login).refused_start(NOT_OPEN));
    }
    running
}
