//! The same registry with one setting changed: what a file says of a setting shows in what another value would change.

use super::row::row;
use super::{BlobsBy, ClientAuth, Data, Delete, Proxy, RunAs, Settings, Signer};
use crate::error::Fault;
use crate::names::{Host, ImageRef, SubjectAltName, Upstream, Webhook};
use crate::pki::KeyType;

/// A domain that is never given away (RFC 6761 §6.4).
const OTHER: &str = "other.invalid";

/// A type with more than one value.
pub trait Others: Sized {
    /// Some that are not `now`, or are no less different from each other.
    fn others(now: Option<&Self>) -> Vec<Self>;
}

impl Settings {
    /// Each setting that the files of the service depend on, by its key in regcert.toml, with another value than now. More
    /// than one where a setting has more.
    pub fn alternatives(&self) -> Vec<(&'static str, Self)> {
        let mut all = self.others();
        for (_, other) in all.iter_mut().filter(|(key, _)| *key == "server") {
            // The name of another domain would be below this one.
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
            // TEST-NET-1 (RFC 5737).
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

/// The values of closed choices.
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

/// A port that the registry does not have.
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
