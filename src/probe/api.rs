//! The part of the registry's API that manages images: lists, manifests, and a manifest deleted.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::de::DeserializeOwned;
use ureq::http::Method;

use super::http::{self, Login, NoAnswer};
use super::route;
use crate::error::Fault;
use crate::health::{Answer, Target, explained, registry_said};
use crate::images::{CatalogPage, MANIFEST_TYPES, TagsPage, next_page, platform};
use crate::names::{Digest, Reference, Repository, Username, printable};
use crate::pki::{Certificate, ServerIdentity, hex, sha256};
use crate::settings::{Delete, Proxy, Settings};

/// What distribution takes for a manifest; the configuration of an image is smaller.
const MANIFEST_MAX: u64 = 4 << 20;

/// One page: registry 2 lists all tags in one, and 200,000 of the longest fit.
const PAGE_MAX: u64 = 32 << 20;

/// More than any registry has: a server that leads on for ever is left.
const PAGES_MAX: usize = 10_000;

/// What one run reads from a registry in all: the manifests of some 200,000 images. A server that answers without end is left.
const ALL_MAX: u64 = 512 << 20;

/// How often a password is tried that nginx put off, and what it says to wait.
const TRIES: u32 = 4;
const PUT_OFF: Duration = Duration::from_secs(2);

/// Whose registry it is, and who asks.
pub struct Session<'a> {
    /// The registry.
    pub target: &'a Target,
    /// The roots that are trusted; no other one counts.
    pub roots: &'a [&'a Certificate],
    /// The certificate that is shown, and the key.
    pub shows: Option<&'a ServerIdentity>,
    /// Who logs in.
    pub login: Login<'a>,
    /// What it is meant to be, where it is the one in the directory: then it is on this machine as far as is known, and
    /// is found where the name leads nowhere yet.
    pub deployed: Option<&'a Settings>,
}

/// The API of one registry for one user. An error ends the conversation; what concerns one name only is an inner one.
pub struct Api<'a> {
    http: http::Client<'a>,
    target: &'a Target,
    user: &'a Username,
    deployed: Option<&'a Settings>,
    /// What may still be read.
    left: Allowance,
}

/// A manifest as it is stored.
#[derive(Debug)]
pub struct Stored {
    /// Its name.
    pub digest: Digest,
    /// What the registry says it is.
    pub media_type: String,
    /// The manifest; nothing where only its name was asked for.
    pub bytes: Vec<u8>,
}

impl<'a> Api<'a> {
    /// Finds the server.
    pub fn connect(session: &Session<'a>) -> Result<Self> {
        let Session { target, roots, shows, login, deployed } = session;
        let found = route::resolve(&target.host)
            .and_then(|addresses| route::connect(&addresses, target.port).map_err(|none| none.why));
        let here = || route::connect(&[IpAddr::from(Ipv4Addr::LOCALHOST)], target.port).ok();
        let peer = found.or_else(|why| if deployed.is_some() { here().ok_or(why) } else { Err(why) });
        let peer = peer.map_err(|why| unreachable(target, &why))?;
        let http = http::Client::new(target, peer, roots, *shows, Some(login));
        Ok(Self { http, target, user: login.user, deployed: *deployed, left: Allowance::new(ALL_MAX) })
    }

    /// The names of all repositories, as the registry writes them.
    pub fn repositories(&self) -> Result<Vec<String>> {
        let pages: Vec<CatalogPage> = match self.pages("/v2/_catalog")? {
            Ok(pages) => pages,
            Err(answer) if answer.status == 403 => {
                let may_not = Fault::new(format!("{} may not list every repository", self.user));
                bail!(may_not.hint("name one: `regcert images team-a/app`"))
            }
            Err(answer) => bail!(self.refused(&answer, "the list of repositories")),
        };
        Ok(pages.into_iter().filter_map(|page| page.repositories).flatten().collect())
    }

    /// The tags of a repository, as the registry writes them; `None` where it knows no such repository, or one that
    /// never had a tag.
    pub fn tags(&self, repository: &Repository) -> Result<Result<Option<Vec<String>>, Fault>> {
        let pages: Vec<TagsPage> = match self.pages(&format!("/v2/{repository}/tags/list"))? {
            Ok(pages) => pages,
            Err(answer) if is_unknown(&answer) => return Ok(Ok(None)),
            Err(answer) => {
                return Ok(Err(self.refused(&answer, &format!("the list of tags of `{repository}`"))));
            }
        };
        Ok(Ok(Some(pages.into_iter().filter_map(|page| page.tags).flatten().collect())))
    }

    /// What a manifest is called; `None` where there is none.
    pub fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Result<Option<Stored>, Fault>> {
        self.stored(Method::HEAD, repository, reference)
    }

    /// A manifest; `None` where there is none.
    pub fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Result<Option<Stored>, Fault>> {
        self.stored(Method::GET, repository, reference)
    }

    /// The platform in an image's configuration, where it can be read.
    pub fn platform(&self, repository: &Repository, config: &Digest) -> Result<Option<String>> {
        let path = format!("/v2/{repository}/blobs/{config}");
        let answer = self.ask(Method::GET, &path, "*/*", MANIFEST_MAX)?.ok();
        Ok(answer.filter(|answer| answer.status == 200).and_then(|answer| platform(&answer.body)))
    }

    /// Whether the registry deletes a tag and keeps the manifest: distribution does since 3.0. Asks for the deletion of a
    /// tag that is not in `tags`: 3.x misses it, 2.x wants a digest (400).
    pub fn deletes_tags(&self, repository: &Repository, tags: &[String]) -> Result<bool> {
        let mut missing = "regcert-no-such-tag".to_owned();
        while tags.contains(&missing) {
            missing.push('-');
        }
        let path = format!("/v2/{repository}/manifests/{missing}");
        Ok(is_unknown(&self.ask(Method::DELETE, &path, "application/json", PAGE_MAX)??))
    }

    /// Deletes a manifest, and with it every tag that names it; or a tag alone, where the registry can.
    pub fn delete(&self, repository: &Repository, reference: &Reference) -> Result<()> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let answer = self.ask(Method::DELETE, &path, "application/json", PAGE_MAX)??;
        match answer.status {
            202 => Ok(()),
            404 => bail!(Fault::new(format!("`{reference}` is not in `{repository}` any more"))),
            405 => bail!(self.cannot_delete(&answer)),
            _ => bail!(self.refused(&answer, "the deletion")),
        }
    }

    fn stored(
        &self,
        method: Method,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Result<Option<Stored>, Fault>> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let name = match reference {
            Reference::Tag(tag) => format!("`{repository}:{tag}`"),
            Reference::Digest(digest) => format!("`{repository}@{digest}`"),
        };
        let is_whole = method == Method::GET;
        let answer = match self.ask(method, &path, MANIFEST_TYPES, MANIFEST_MAX)? {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) if answer.status == 404 => return Ok(Ok(None)),
            // An answer to HEAD has no body, which tells the registry's own error from a proxy's.
            Ok(answer) if answer.status == 500 && !is_whole => {
                return self.stored(Method::GET, repository, reference);
            }
            Ok(answer) => return Ok(Err(self.refused(&answer, &name))),
            Err(fault) => return Ok(Err(fault)),
        };
        let media_type = printable(answer.header("content-type").unwrap_or_default());
        let digest = answer.header("docker-content-digest").unwrap_or_default();
        let Ok(digest) = digest.parse::<Digest>() else {
            return Ok(Err(Fault::new(format!("{name} is answered without its digest"))));
        };
        // A signature is part of what schema 1 stores, and not of what its digest is of.
        let is_signed = media_type.ends_with("prettyjws");
        if is_whole && !is_signed && !fits(&digest, &answer.body) {
            return Ok(Err(Fault::new(format!("{name} is damaged: its bytes do not have its digest"))));
        }
        Ok(Ok(Some(Stored { digest, media_type, bytes: answer.body })))
    }

    /// Every page of a list; the answer of a page that is none.
    fn pages<P: DeserializeOwned>(&self, first: &str) -> Result<Result<Vec<P>, Answer>> {
        let mut pages = Vec::new();
        let mut seen = HashSet::from([first.to_owned()]);
        let mut next = Some(first.to_owned());
        while let Some(path) = next {
            let answer = self.ask(Method::GET, &path, "application/json", PAGE_MAX)??;
            if answer.status != 200 {
                return Ok(Err(answer));
            }
            let fault =
                |why: String| Fault::new(format!("the registry answers `{}`: {why}", printable(&path)));
            pages
                .push(serde_json::from_slice(&answer.body).map_err(|_| fault("that is no list".to_owned()))?);
            next = next_page(self.target, &path, &answer.all("link")).map_err(fault)?;
            if next.as_ref().is_some_and(|page| !seen.insert(page.clone())) || seen.len() > PAGES_MAX {
                bail!(fault("its pages lead in a circle".to_owned()));
            }
        }
        Ok(Ok(pages))
    }

    /// The answer to an accepted login; the inner fault is about its body.
    fn ask(&self, method: Method, path: &str, accept: &str, most: u64) -> Result<Result<Answer, Fault>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = match self.http.ask(method.clone(), path, accept, most) {
                Ok(Some(answer)) => {
                    self.account(answer.body.len() as u64)?;
                    answer
                }
                Ok(None) => {
                    self.account(most)?;
                    let what =
                        format!("the answer to `{}` is longer than {} MiB", printable(path), most >> 20);
                    return Ok(Err(Fault::new(what)));
                }
                // A connection that was kept may be closed at that very moment. What was deleted stays deleted.
                Err(NoAnswer { is_closed: true, .. }) if tries == 1 && method != Method::DELETE => continue,
                Err(NoAnswer { why, .. }) => bail!(unreachable(self.target, &why)),
            };
            match answer.status {
                429 if tries < TRIES => std::thread::sleep(PUT_OFF),
                401 => bail!(
                    Fault::new(format!("the password of {} is refused, or there is no such user", self.user))
                        .hint(format!(
                            "where the registry runs, `regcert add-user {} --reload` gives another one; or nginx has not read this user's limits yet, and `regcert init --reload` makes it",
                            self.user
                        ))
                ),
                400 if String::from_utf8_lossy(&answer.body).contains("SSL certificate") => {
                    bail!(Fault::new("the registry wants a client certificate").hint(
                        "show one with `--client-cert FILE --client-key FILE`; `regcert add-client` issues it"
                    ))
                }
                _ => return Ok(Ok(answer)),
            }
        }
    }

    /// Counts what was read.
    fn account(&self, read: u64) -> Result<()> {
        if self.left.take(read) {
            return Ok(());
        }
        bail!(
            Fault::new(format!("`{}` answers with more than {} MiB in all", self.target, ALL_MAX >> 20))
                .hint("name one repository: `regcert images team-a/app`")
        )
    }

    /// Why `what` was not given.
    fn refused(&self, answer: &Answer, what: &str) -> Fault {
        if answer.status == 403
            && let Some((_, message)) = registry_said(answer)
        {
            return Fault::new(format!("{} may not do that: {}", self.user, printable(&message)))
                .hint("`regcert list-users` shows what each may do and where; `regcert add-user NAME --role ROLE` changes it");
        }
        let why = explained(answer, what);
        if answer.status == 500 && registry_said(answer).is_some() {
            // What is the matter is in the registry's log alone.
            return Fault::new(format!(
                "{why}; if the disk was full, `regcert gc` mends the links it cut off"
            ));
        }
        Fault::new(why).hint("`regcert check` looks for what is broken")
    }

    /// Why nothing can be deleted.
    fn cannot_delete(&self, answer: &Answer) -> Fault {
        let said = registry_said(answer).map(|(_, message)| message).filter(|message| !message.is_empty());
        let said = said.map(|message| format!(": {}", printable(&message))).unwrap_or_default();
        Fault::new(format!("the deletion is refused{said}")).hint(deletes_when(self.deployed))
    }
}

/// How many bytes may still be read, by all threads together.
struct Allowance(AtomicU64);

impl Allowance {
    fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// Whether there were as many left; then they are taken. Once there are too few, nothing is left.
    fn take(&self, bytes: u64) -> bool {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if left.is_err() {
            self.0.store(0, Ordering::Relaxed);
        }
        left.is_ok()
    }
}

/// When a registry deletes, as far as is known what it is meant to be.
fn deletes_when(deployed: Option<&Settings>) -> &'static str {
    match deployed {
        None => {
            "where `regcert gc` is at work, try again when the collection is done; otherwise `regcert init --delete on --reload`, where the registry runs, lets admins delete: not from a mirror, and not without nginx"
        }
        Some(Settings { mirror_of: Some(_), .. }) => {
            "a mirror removes layers by itself, seven days after it fetched them"
        }
        Some(Settings { proxy: Proxy::None, .. }) => {
            "without nginx no user can delete: `regcert init --proxy nginx --reload` puts it in front"
        }
        Some(Settings { delete: Delete::Off, .. }) => {
            "`regcert init --delete on --reload` lets admins delete"
        }
        Some(Settings { delete: Delete::On, .. }) => {
            "where `regcert gc` is at work, try again when the collection is done; otherwise nginx has not read its settings yet: `regcert init --reload`"
        }
    }
}

/// Whether the registry itself, not a proxy, says that there is nothing of that name.
fn is_unknown(answer: &Answer) -> bool {
    answer.status == 404 && registry_said(answer).is_some()
}

/// Whether the bytes have the digest. Only SHA-256 is compared: no registry stores another one unasked.
fn fits(digest: &Digest, bytes: &[u8]) -> bool {
    let expected = format!("sha256:{}", hex(&sha256(bytes)));
    !digest.as_str().starts_with("sha256:") || digest.as_str() == expected
}

fn unreachable(target: &Target, why: &str) -> Fault {
    Fault::new(format!("`{target}` cannot be asked: {why}")).hint("`regcert check` looks for what is broken")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Gather;
    use crate::settings::{RawSettings, RunAs, Side};

    #[test]
    fn answers_without_end_use_up_what_may_be_read() {
        // Threads that read at the same time: one byte more than allowed is noticed, whichever reads it.
        let allowance = Allowance::new(1000);
        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| allowance.take(1)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, 1000);
        assert!(!allowance.take(1), "nothing is left");
        // An answer that is cut at its own limit counts whole.
        let allowance = Allowance::new(ALL_MAX);
        let pages = (0..).take_while(|_| allowance.take(PAGE_MAX)).count();
        assert_eq!(pages, 16);
        assert!(!allowance.take(1), "an answer that is too large leaves nothing for a smaller one");
    }

    #[test]
    fn a_refused_deletion_is_explained_by_what_the_registry_is_meant_to_be() {
        let spec = |change: &dyn Fn(&mut RawSettings)| {
            let mut settings = RawSettings::default();
            change(&mut settings);
            let invoker = RunAs { uid: 65532, gid: 65532 };
            Settings::check(&settings, Side::Options, invoker, &mut Gather::default()).unwrap()
        };
        let off = |settings: &mut RawSettings| settings.delete = Some("off".to_owned());
        let mirror =
            |settings: &mut RawSettings| settings.mirror_of = Some("https://registry-1.docker.io".to_owned());
        let bare = |settings: &mut RawSettings| settings.proxy = Some("none".to_owned());
        for (spec, expected) in [
            (spec(&|_| ()), "when the collection is done; otherwise nginx has not read its settings"),
            (spec(&off), "--delete on"),
            (spec(&mirror), "seven days"),
            (spec(&bare), "without nginx"),
            // Turning it on would help neither of them.
            (spec(&|settings| (off(settings), mirror(settings)).0), "seven days"),
            (spec(&|settings| (off(settings), bare(settings)).0), "without nginx"),
        ] {
            assert!(deletes_when(Some(&spec)).contains(expected), "{expected}");
        }
        for expected in ["`regcert gc`", "--delete on", "mirror", "without nginx"] {
            assert!(deletes_when(None).contains(expected), "{expected}");
        }
    }
}
