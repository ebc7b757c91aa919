//! The same registry with one setting changed: what a file says of a setting shows in what another value would change.

use super::{BlobsBy, ClientAuth, Data, Delete, Proxy, RunAs, Settings};
use crate::names::{Host, ImageRef, Repositories};

/// A domain that is never given away (RFC 6761 §6.4).
const OTHER: &str = "other.invalid";

impl Settings {
    /// Each setting that the files of the service depend on, by its key in regcert.toml, with another value than now. More
    /// than one where a setting has more.
    pub fn alternatives(&self) -> Vec<(&'static str, Self)> {
        let mut all = Vec::new();
        let mut with = |key: &'static str, change: &dyn Fn(&mut Self)| {
            let mut other = self.clone();
            change(&mut other);
            if other != *self {
                all.push((key, other));
            }
        };
        with("sans", &|spec| spec.sans.push(parsed(OTHER)));
        with("server", &|spec| {
            (spec.server, spec.domain) = match spec.server {
                Host::Dns(_) => (parsed(OTHER), Some(parsed("invalid"))),
                // TEST-NET-1 (RFC 5737).
                Host::Ip(_) => (parsed("192.0.2.254"), None),
            };
        });
        for other in [ClientAuth::Off, ClientAuth::Optional, ClientAuth::Required] {
            with("client-auth", &|spec| spec.client_auth = other);
        }
        for other in [Delete::On, Delete::Off] {
            with("delete", &|spec| spec.delete = other);
        }
        with("anonymous-port", &|spec| {
            spec.anonymous_port = if spec.anonymous_port.is_some() { None } else { Some(spare(spec)) }
        });
        with("anonymous-repos", &|spec| spec.anonymous_repos = Repositories::Every);
        with("https-port", &|spec| spec.https_port = spare(spec));
        with("http-port", &|spec| {
            spec.http_port = if spec.http_port.is_some() { None } else { Some(spare(spec)) }
        });
        with("metrics-port", &|spec| {
            spec.metrics_port = if spec.metrics_port.is_some() { None } else { Some(spare(spec)) }
        });
        with("data", &|spec| spec.data = Data::Directory("/other".to_owned()));
        with("run-as", &|spec| spec.run_as = RunAs { uid: 0, gid: 0 });
        with("run-as", &|spec| spec.run_as = RunAs { uid: 65_534, gid: 65_534 });
        with("registry-image", &|spec| spec.registry_image = image());
        with("nginx-image", &|spec| spec.nginx_image = image());
        for other in [BlobsBy::Nginx, BlobsBy::Registry] {
            with("blobs-by", &|spec| spec.blobs_by = other);
        }
        with("mirror-of", &|spec| {
            spec.mirror_of =
                if spec.mirror_of.is_some() { None } else { Some(parsed("https://other.invalid")) };
        });
        with("notify", &|spec| {
            spec.notify =
                if spec.notify.is_empty() { vec![parsed("x=https://other.invalid/")] } else { Vec::new() };
        });
        for other in [Proxy::Nginx, Proxy::None] {
            with("proxy", &|spec| spec.proxy = other);
        }
        all
    }
}

/// A port that the registry does not have.
fn spare(spec: &Settings) -> u16 {
    let taken = [Some(spec.https_port), spec.http_port, spec.anonymous_port, spec.metrics_port];
    (1..=5).find(|port| !taken.contains(&Some(*port))).expect("four ports leave one of five")
}

fn image() -> ImageRef {
    parsed("other.invalid/other")
}

fn parsed<T: std::str::FromStr<Err = crate::error::Fault>>(text: &str) -> T {
    text.parse().expect("a literal of this file has the form of its type")
}
