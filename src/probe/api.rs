//! The part of the registry's API that manages images: listing, reading and deleting manifests.

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

/// The maximum size of a manifest, in bytes, as in distribution. The configuration of an image is smaller.
const MANIFEST_MAX: u64 = 4 << 20;

/// The maximum size of a page of a list, in bytes: 200,000 of the longest tags. Registry 2 lists all tags in one page.
const PAGE_MAX: u64 = 32 << 20;

/// The maximum number of pages of a list. Protects against a server that always names another page.
const PAGES_MAX: usize = 10_000;

/// The maximum number of bytes that one run reads from a registry: the manifests of about 200,000 images. Protects
/// against a server that answers without end.
const ALL_MAX: u64 = 512 << 20;

/// The maximum number of requests if nginx delays logins (429), and the wait between them (`Retry-After: 2`).
const TRIES: u32 = 4;
const PUT_OFF: Duration = Duration::from_secs(2);

/// A registry, and the user who logs in.
pub struct Session<'a> {
    pub target: &'a Target,
    /// The only root certificates to trust.
    pub roots: &'a [&'a Certificate],
    /// The client certificate to present, with chain and key.
    pub shows: Option<&'a ServerIdentity>,
    pub login: Login<'a>,
    /// The settings of the registry, if it is the registry of the directory: it probably runs on this machine, so
    /// regcert also tries this machine if the name does not resolve.
    pub deployed: Option<&'a Settings>,
}

/// The API of one registry for one user. In nested results, an outer error ends the run, and an inner error concerns
/// only one name.
pub struct Api<'a> {
    http: http::Client<'a>,
    target: &'a Target,
    user: &'a Username,
    deployed: Option<&'a Settings>,
    /// The number of bytes that may still be read.
    left: Allowance,
}

/// A manifest as the registry stores it.
#[derive(Debug)]
pub struct Stored {
    pub digest: Digest,
    /// The media type that the registry reports.
    pub media_type: String,
    /// The bytes of the manifest; empty if only the digest was requested.
    pub bytes: Vec<u8>,
}

impl<'a> Api<'a> {
    /// Finds the server, and creates a client for it.
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

    /// The tags of a repository, as the registry writes them; `None` if the registry does not know the repository, or
    /// the repository never had a tag.
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

    /// The digest and media type of a manifest; `None` if the manifest is missing.
    pub fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Result<Option<Stored>, Fault>> {
        self.stored(Method::HEAD, repository, reference)
    }

    /// Fetches a manifest; `None` if it is missing.
    pub fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Result<Option<Stored>, Fault>> {
        self.stored(Method::GET, repository, reference)
    }

    /// Fetches the platform from an image's configuration; `None` if the configuration cannot be read.
    pub fn platform(&self, repository: &Repository, config: &Digest) -> Result<Option<String>> {
        let path = format!("/v2/{repository}/blobs/{config}");
        let answer = self.ask(Method::GET, &path, "*/*", MANIFEST_MAX)?.ok();
        Ok(answer.filter(|answer| answer.status == 200).and_then(|answer| platform(&answer.body)))
    }

    /// Whether the registry can delete a tag and keep the manifest, as distribution can since 3.0. Requests the
    /// deletion of a missing tag: 3.x answers that the tag is missing, 2.x that a digest is required (400).
    pub fn deletes_tags(&self, repository: &Repository, tags: &[String]) -> Result<bool> {
        let mut missing = "regcert-no-such-tag".to_owned();
        while tags.contains(&missing) {
            missing.push('-');
        }
        let path = format!("/v2/{repository}/manifests/{missing}");
        Ok(is_unknown(&self.ask(Method::DELETE, &path, "application/json", PAGE_MAX)??))
    }

    /// Deletes a manifest with all its tags, or only one tag if the registry supports that.
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
            // HEAD has no body. The body for GET shows whether the registry or a proxy reports the error.
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
        // A manifest of schema 1 includes a signature, which its digest does not cover.
        let is_signed = media_type.ends_with("prettyjws");
        if is_whole && !is_signed && !fits(&digest, &answer.body) {
            return Ok(Err(Fault::new(format!("{name} is damaged: its bytes do not have its digest"))));
        }
        Ok(Ok(Some(Stored { digest, media_type, bytes: answer.body })))
    }

    /// Fetches all pages of a list. The inner error is an answer with a status other than 200.
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

    /// Sends a request; fails if the login is refused. The inner error means that the body is too long.
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
                // The server may close an idle connection just when a request is sent. A deletion is not repeated,
                // because the server may have carried it out.
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

    /// Counts bytes that were read; fails if the total is too large.
    fn account(&self, read: u64) -> Result<()> {
        if self.left.take(read) {
            return Ok(());
        }
        bail!(
            Fault::new(format!("`{}` answers with more than {} MiB in all", self.target, ALL_MAX >> 20))
                .hint("name one repository: `regcert images team-a/app`")
        )
    }

    /// The error for a request that the registry refused; `what` names the requested object.
    fn refused(&self, answer: &Answer, what: &str) -> Fault {
        if answer.status == 403
            && let Some((_, message)) = registry_said(answer)
        {
            return Fault::new(format!("{} may not do that: {}", self.user, printable(&message)))
                .hint("`regcert list-users` shows what each may do and where; `regcert add-user NAME --role ROLE` changes it");
        }
        let why = explained(answer, what);
        if answer.status == 500 && registry_said(answer).is_some() {
            // The cause is only in the registry's log.
            return Fault::new(format!(
                "{why}; if the disk was full, `regcert gc` mends the links it cut off"
            ));
        }
        Fault::new(why).hint("`regcert check` looks for what is broken")
    }

    /// The error for a refused deletion.
    fn cannot_delete(&self, answer: &Answer) -> Fault {
        let said = registry_said(answer).map(|(_, message)| message).filter(|message| !message.is_empty());
        let said = said.map(|message| format!(": {}", printable(&message))).unwrap_or_default();
        Fault::new(format!("the deletion is refused{said}")).hint(deletes_when(self.deployed))
    }
}

/// The number of bytes that all threads together may still read.
struct Allowance(AtomicU64);

impl Allowance {
    fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// Subtracts `bytes`. Returns false if fewer are left, and sets the rest to zero for later calls.
    fn take(&self, bytes: u64) -> bool {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if left.is_err() {
            self.0.store(0, Ordering::Relaxed);
        }
        left.is_ok()
    }
}

/// The hint for a refused deletion, according to the registry's settings if they are known.
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

/// Whether the registry itself, not a proxy, answers that the name is missing.
fn is_unknown(answer: &Answer) -> bool {
    answer.status == 404 && registry_said(answer).is_some()
}

/// Whether the bytes match the digest. Only SHA-256 is checked, because no registry uses another digest by default.
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
        // Four threads read at the same time: together they get exactly the allowance.
        let allowance = Allowance::new(1000);
        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| allowance.take(1)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, 1000);
        assert!(!allowance.take(1), "nothing is left");
        // An answer that is cut off at its maximum size counts with this size.
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
            // For a mirror, and without nginx, turning deletion on would not help.
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
