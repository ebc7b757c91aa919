//! Variants of a registry's settings with one setting changed. Comparing the rendered files shows which lines depend
//! on the setting.

use super::row::row;
use super::{BlobsBy, ClientAuth, Data, Delete, Proxy, RunAs, Settings, Signer};
use crate::error::Fault;
use crate::names::{Host, ImageRef, SubjectAltName, Upstream, Webhook};
use crate::pki::KeyType;

/// A domain that is never registered (RFC 6761 §6.4).
const OTHER: &str = "other.invalid";

/// A type of value for which regcert knows values other than the current one.
pub trait Others: Sized {
    /// One or more values, at least one of which differs from `now`.
    fn others(now: Option<&Self>) -> Vec<Self>;
}

impl Settings {
    /// Variants of these settings: one for each other value of each setting that the service's files depend on. Each
    /// comes with the changed setting's key in regcert.toml.
    pub fn alternatives(&self) -> Vec<(&'static str, Self)> {
        let mut all = self.others();
        for (_, other) in all.iter_mut().filter(|(key, _)| *key == "server") {
            // The domain must change too, or the other name would be placed below the current domain.
            if let Host::Dns(name) = &other.server {
                other.domain = name.as_str().split_once('.').map(|(_, domain)| parsed(domain));
            }
        }
        all.retain(|(key, other)| row(key).group.configures() && other != self);
        all
    }
}

impl Others for Host {
    fn others(now: Option<&Self>) -> Vec<Self> {
        vec![match now {
            Some(Self::Dns(_)) | None => parsed(OTHER),
            // An address from TEST-NET-1 (RFC 5737).
            Some(Self::Ip(_)) => parsed("192.0.2.254"),
        }]
    }
}

impl Others for SubjectAltName {
    fn others(_: Option<&Self>) -> Vec<Self> {
        vec![parsed(OTHER)]
    }
}

impl Others for Data {
    fn others(_: Option<&Self>) -> Vec<Self> {
        vec![Self::Directory("/other".to_owned())]
    }
}

impl Others for RunAs {
    fn others(_: Option<&Self>) -> Vec<Self> {
        vec![Self::ROOT, Self { uid: 65_534, gid: 65_534 }]
    }
}

impl Others for ImageRef {
    fn others(_: Option<&Self>) -> Vec<Self> {
        vec![parsed("other.invalid/other")]
    }
}

impl Others for Upstream {
    fn others(_: Option<&Self>) -> Vec<Self> {
        vec![parsed("https://other.invalid")]
    }
}

impl Others for KeyType {
    fn others(_: Option<&Self>) -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

/// Implements `Others` for enums, by returning all their values.
macro_rules! others {
    ($($choice:ident),*) => {
        $(impl Others for $choice {
            fn others(_: Option<&Self>) -> Vec<Self> {
                Self::ALL.to_vec()
            }
        })*
    };
}

others!(Proxy, ClientAuth, BlobsBy, Delete, Signer);

/// A port that the registry does not use.
pub(super) fn spare(settings: &Settings) -> u16 {
    let taken =
        [Some(settings.https_port), settings.http_port, settings.anonymous_port, settings.metrics_port];
    (1..=5).find(|port| !taken.contains(&Some(*port))).expect("four ports leave one of five")
}

pub(super) fn webhook() -> Webhook {
    parsed("x=https://other.invalid/")
}

fn parsed<T: std::str::FromStr<Err = Fault>>(text: &str) -> T {
    text.parse().expect("a literal of this file has the form of its type")
}
