//! A whole registry as one value: what it is wanted to be, who signs, who serves, who may log in. Loads from a set of
//! files and turns back into one. Touches no disk, asks no clock.

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::auth::{Htpasswd, Password, Set};
use crate::error::{Blame, Fault, Faults, Gather};
use crate::files::{FileSet, Mode, Origin, RelPath};
use crate::names::{Host, SubjectAltName, Subtree, Username};
use crate::pki::{
    Authority, Certificate, Constraints, PrivateKey, RootProfile, ServerIdentity, ServerProfile, hex, random,
};
use crate::render::{Facts, render};
use crate::spec::{Proxy, RunAs, Settings, Side, Spec};
use crate::trust;

const SPEC: &str = "regcert.toml";
const COMPOSE: &str = "docker-compose.yml";
const NGINX_CONF: &str = "nginx/nginx.conf";
const REGISTRY_CONFIG: &str = "registry/config.yml";
const HTTP_SECRET: &str = ".regcert/http-secret";

/// The registry.
#[derive(Debug, PartialEq)]
pub struct Deployment {
    /// What it is wanted to be.
    pub spec: Spec,
    /// `regcert.toml` as it was read, for its comments.
    spec_text: Option<String>,
    /// Who signs.
    pub authority: Authority,
    /// Who serves.
    pub server: ServerIdentity,
    /// Who may log in.
    pub users: Htpasswd,
    http_secret: Zeroizing<String>,
}

/// What makes a new registry.
pub struct New {
    /// What it is to be.
    pub spec: Spec,
    /// What its root may speak for beyond the names of `spec`; `None` lifts every limit.
    pub permit: Option<Vec<Subtree>>,
    /// The first user.
    pub user: Username,
    /// The first user's password.
    pub password: Password,
}

impl Deployment {
    /// A new registry: authority, server certificate and first user.
    pub fn create(new: New, now: OffsetDateTime) -> Result<Self, Fault> {
        let New { spec, permit, user, password } = new;
        // Two RSA keys and a hash, each the work of one core for a while.
        let (root_key, server_key, hash) = std::thread::scope(|scope| {
            let root = scope.spawn(|| PrivateKey::generate(spec.key_type));
            let hash = scope.spawn(|| password.hash());
            let server = PrivateKey::generate(spec.key_type);
            (root.join().expect("no panic"), server, hash.join().expect("no panic"))
        });
        let constraints = permit.map(|permit| Constraints::to([subtrees(&spec), permit].concat()));
        let profile = RootProfile { label: &spec.label(), subject: &spec.subject, constraints };
        let authority = Authority::create(profile, root_key, now)?;
        let server = issue(&authority, &spec, server_key, now)?;
        let mut users = Htpasswd::default();
        users.set(&user, &hash);
        let http_secret = Zeroizing::new(hex(&random::<32>()));
        Ok(Self { spec, spec_text: None, authority, server, users, http_secret })
    }

    /// The registry that lies in `files`; `None` where there is none. A part of one is an error that names what is
    /// missing: it is never made anew in silence.
    pub fn load(files: &FileSet, invoker: RunAs) -> Result<Option<Self>, Faults> {
        let found = Found::look(files);
        let Some(spec_text) = files.text(SPEC) else {
            let Some(trace) = found.trace() else {
                return Ok(None);
            };
            let fault = Fault::new(format!("`{SPEC}` is missing, though `{trace}` is there"))
                .hint("bring it back from a backup, or choose another directory with -C; an authority is never written over");
            return Err(Faults { faults: vec![fault], blame: Blame::Elsewhere });
        };
        let mut gather = Gather::default();
        let settings = gather.take(
            SPEC,
            Settings::from_toml(spec_text).map_err(|fault| Fault {
                message: fault.message.replace("regcert.toml cannot be read: ", ""),
                ..fault
            }),
        );
        let spec = settings.and_then(|settings| Spec::check(&settings, Side::File, invoker, &mut gather));
        let authority = found.authority(files, &mut gather);
        let server = found.server(files, &mut gather);
        let users = found.users(files, &mut gather);
        let http_secret = text(files, HTTP_SECRET, &mut gather);
        gather.finish(Blame::Elsewhere)?;
        let parts = (spec, authority, server, users, http_secret);
        let (Some(spec), Some(authority), Some(server), Some(users), Some(http_secret)) = parts else {
            unreachable!("a part that is not there left a fault");
        };
        let http_secret = Zeroizing::new(http_secret.trim().to_owned());
        Ok(Some(Self { spec, spec_text: Some(spec_text.to_owned()), authority, server, users, http_secret }))
    }

    /// Takes other settings and a new server certificate, with a new key; authority and users stay.
    pub fn reconfigure(&mut self, spec: Spec, now: OffsetDateTime) -> Result<(), Fault> {
        let key = PrivateKey::generate(spec.key_type);
        self.server = issue(&self.authority, &spec, key, now)?;
        self.spec = spec;
        Ok(())
    }

    /// The settings as they stand in `regcert.toml`, unchecked.
    pub fn settings(&self) -> Result<Settings, Fault> {
        self.spec_text.as_deref().map_or_else(|| Ok(Settings::default()), Settings::from_toml)
    }

    /// Adds the user, or gives it another password.
    pub fn set_user(&mut self, name: &Username, password: &Password) -> Set {
        self.users.set(name, &password.hash())
    }

    /// Every file of the registry.
    pub fn files(&self) -> Result<FileSet, Fault> {
        let mut files = FileSet::default();
        let facts = Facts::of(&self.spec, &self.http_secret);
        let certificate = self.authority.certificate();
        let root = format!("root-cert/root-cert-{}", file_stem(&self.spec.label()));
        let front = front(self.spec.proxy);
        let server = format!("{front}/ssl/{}", self.spec.host());

        files.put(SPEC, self.spec.to_toml(self.spec_text.as_deref())?, Mode::Public, Origin::Kept);
        files.put(format!("{root}.crt"), certificate.pem(), Mode::Public, Origin::Kept);
        files.put(format!("{root}.key"), self.authority.key().pem(), Mode::Secret, Origin::Kept);
        files.put(format!("{server}.pem"), self.server.pem().as_bytes(), Mode::Server, Origin::Kept);
        files.put(format!("{server}.crt"), self.server.chain_pem(), Mode::Public, Origin::Rendered);
        files.put(format!("{front}/auth/registry.passwd"), self.users.as_bytes(), Mode::Server, Origin::Kept);
        files.put(HTTP_SECRET, format!("{}\n", *self.http_secret), Mode::Secret, Origin::Kept);

        files.put(COMPOSE, render(COMPOSE, &facts)?, Mode::Public, Origin::Rendered);
        files.put(REGISTRY_CONFIG, render(REGISTRY_CONFIG, &facts)?, Mode::Server, Origin::Rendered);
        if self.spec.proxy == Proxy::Nginx {
            files.put(NGINX_CONF, render(NGINX_CONF, &facts)?, Mode::Public, Origin::Rendered);
        }
        let (name, package) = trust::debian_package(&self.spec.label(), certificate);
        files.put(format!("trust/{name}"), package, Mode::Public, Origin::Rendered);
        Ok(files)
    }

    /// Where the server certificate lies: `<server>.<domain>.crt`.
    pub fn certificate_path(&self) -> String {
        format!("{}/ssl/{}.crt", front(self.spec.proxy), self.spec.host())
    }

    /// Where the root certificate lies.
    pub fn root_path(&self) -> String {
        format!("root-cert/root-cert-{}.crt", file_stem(&self.spec.label()))
    }

    /// Where the Debian package lies.
    pub fn debian_package_path(&self) -> String {
        let (name, _) = trust::debian_package(&self.spec.label(), self.authority.certificate());
        format!("trust/{name}")
    }

    /// Where the password file lies.
    pub fn users_path(&self) -> String {
        format!("{}/auth/registry.passwd", front(self.spec.proxy))
    }
}

/// A domain or address as a part of a file name: an IPv6 address loses its colons.
pub fn file_stem(label: &str) -> String {
    label.replace(':', "-")
}

/// The directory that the container which ends TLS has mounted.
fn front(proxy: Proxy) -> &'static str {
    match proxy {
        Proxy::Nginx => "nginx",
        Proxy::None => "registry",
    }
}

/// What the root of a new registry must speak for.
fn subtrees(spec: &Spec) -> Vec<Subtree> {
    let own = spec.domain.clone().map(Subtree::Domain);
    let subtree = |name: SubjectAltName| match name {
        SubjectAltName::Host(Host::Dns(name)) | SubjectAltName::Wildcard(name) => Subtree::Domain(name),
        SubjectAltName::Host(Host::Ip(ip)) => Subtree::address(ip),
    };
    let within = |tree: &Subtree| matches!((tree, &own), (Subtree::Domain(name), Some(Subtree::Domain(domain))) if name.is_within(domain.as_str()));
    let named: Vec<_> = spec.names().into_iter().map(subtree).filter(|tree| !within(tree)).collect();
    own.iter().cloned().chain(named).collect()
}

fn issue(
    authority: &Authority,
    spec: &Spec,
    key: PrivateKey,
    now: OffsetDateTime,
) -> Result<ServerIdentity, Fault> {
    let names = spec.names();
    let refused: Vec<_> = authority.refuses(&names).iter().map(|name| format!("`{name}`")).collect();
    if !refused.is_empty() {
        let admitted =
            authority.certificate().constraints.as_ref().map(ToString::to_string).unwrap_or_default();
        return Err(Fault::new(format!(
            "the root certificate does not admit {}: every client would refuse the whole certificate (it admits {admitted})",
            refused.join(", ")
        ))
        .hint("what a root admits is fixed for its life: leave the name out, or make a registry with a root of its own in another directory (-C) with these names or `--permit`"));
    }
    authority.issue(ServerProfile { names: &names, subject: &spec.subject, days: spec.days }, key, now)
}

fn text(files: &FileSet, path: &str, gather: &mut Gather) -> Option<String> {
    match files.get(path) {
        Some(_) => gather
            .take(path, files.text(path).map(str::to_owned).ok_or_else(|| Fault::new("it is not UTF-8"))),
        None => {
            gather.push(missing(path));
            None
        }
    }
}

fn missing(path: &str) -> Fault {
    Fault::new(format!("`{path}` is missing"))
        .hint("bring it back from a backup; regcert does not make another in silence, because clients and users depend on this one")
}

/// Where the parts lie: by what is there, not by what regcert.toml says, because that may have been edited since.
struct Found {
    root_key: Option<String>,
    server: Option<String>,
    users: Option<String>,
}

impl Found {
    fn look(files: &FileSet) -> Self {
        let first = |directory: &str, extension: &str| {
            files.matching(directory, extension).next().map(RelPath::to_string)
        };
        let either = |below: &str, extension: &str| {
            first(&format!("nginx/{below}"), extension)
                .or_else(|| first(&format!("registry/{below}"), extension))
        };
        Self {
            root_key: first("root-cert", "key"),
            server: either("ssl", "pem"),
            users: either("auth", "passwd"),
        }
    }

    /// Any part of a registry.
    fn trace(&self) -> Option<&String> {
        self.root_key.as_ref().or(self.server.as_ref()).or(self.users.as_ref())
    }

    fn authority(&self, files: &FileSet, gather: &mut Gather) -> Option<Authority> {
        let Some(key_path) = &self.root_key else {
            gather.push(missing("root-cert/root-cert-….key"));
            return None;
        };
        let certificate_path = format!("{}.crt", key_path.trim_end_matches(".key"));
        let key = text(files, key_path, gather).map(Zeroizing::new);
        let key = gather.take(key_path, PrivateKey::from_pem(&key?));
        let certificate = text(files, &certificate_path, gather)?;
        let certificate = gather.take(&certificate_path, Certificate::from_pem(&certificate));
        let authority =
            Authority::of(certificate?, key?).map_err(|f| f.hint("bring back the pair from a backup"));
        gather.take(&certificate_path, authority)
    }

    fn server(&self, files: &FileSet, gather: &mut Gather) -> Option<ServerIdentity> {
        let Some(path) = &self.server else {
            gather.push(missing("nginx/ssl/….pem"));
            return None;
        };
        let pem = Zeroizing::new(text(files, path, gather)?);
        gather.take(path, ServerIdentity::from_pem(&pem))
    }

    fn users(&self, files: &FileSet, gather: &mut Gather) -> Option<Htpasswd> {
        let Some(path) = &self.users else {
            gather.push(missing("nginx/auth/registry.passwd"));
            return None;
        };
        files.get(path).map(|file| Htpasswd::parse(&file.bytes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::LazyLock;

    use time::macros::datetime;

    use super::*;

    const INVOKER: RunAs = RunAs { uid: 65532, gid: 65532 };
    const ROOT_KEY: &str = "root-cert/root-cert-myhouse.local.key";

    /// A registry's files; making one takes a hash.
    static FILES: LazyLock<FileSet> = LazyLock::new(|| create(|_| {}).files().unwrap());

    fn create(change: impl FnOnce(&mut Settings)) -> Deployment {
        let mut settings = Settings { server: Some("r.myhouse.local".to_owned()), ..Settings::default() };
        change(&mut settings);
        let spec = Spec::check(&settings, Side::Options, INVOKER, &mut Gather::default()).unwrap();
        let (user, password) = ("docker".parse().unwrap(), Password::generate());
        Deployment::create(
            New { spec, permit: Some(vec![]), user, password },
            datetime!(2026-11-20 12:00 UTC),
        )
        .unwrap()
    }

    fn load(files: &FileSet) -> Result<Option<Deployment>, Vec<String>> {
        let messages = |faults: Faults| faults.faults.into_iter().map(|fault| fault.message).collect();
        Deployment::load(files, INVOKER).map_err(messages)
    }

    /// The files without `gone`, and with `damaged` in the place of one.
    fn with(gone: &str, damaged: Option<(&str, &str)>) -> FileSet {
        let mut files = FileSet::default();
        for (path, file) in FILES.iter().filter(|(path, _)| path.as_str() != gone) {
            let nonsense =
                damaged.filter(|(damaged, _)| *damaged == path.as_str()).map(|(_, text)| text.into());
            files.put(path.as_str(), nonsense.unwrap_or_else(|| file.bytes.clone()), file.mode, file.origin);
        }
        files
    }

    #[test]
    fn what_is_loaded_is_what_was_written() {
        for proxy in ["nginx", "none"] {
            let made = create(|settings| settings.proxy = Some(proxy.to_owned()));
            let files = made.files().unwrap();
            let loaded = load(&files).unwrap().unwrap();
            // Only the text of regcert.toml is new to it.
            assert_eq!(loaded.files().unwrap(), files);
            assert_eq!(Deployment { spec_text: loaded.spec_text.clone(), ..made }, loaded);
            assert_eq!(load(&loaded.files().unwrap()).unwrap().unwrap(), loaded);
        }
    }

    #[test]
    fn nothing_is_no_registry() {
        assert_eq!(load(&FileSet::default()), Ok(None));
    }

    #[test]
    fn a_missing_part_is_named_and_not_made_anew() {
        for (gone, message) in [
            (SPEC, format!("`regcert.toml` is missing, though `{ROOT_KEY}` is there")),
            (
                "root-cert/root-cert-myhouse.local.crt",
                "`root-cert/root-cert-myhouse.local.crt` is missing".into(),
            ),
            (ROOT_KEY, "`root-cert/root-cert-….key` is missing".into()),
            ("nginx/ssl/r.myhouse.local.pem", "`nginx/ssl/….pem` is missing".into()),
            ("nginx/auth/registry.passwd", "`nginx/auth/registry.passwd` is missing".into()),
            (HTTP_SECRET, "`.regcert/http-secret` is missing".into()),
        ] {
            assert_eq!(load(&with(gone, None)), Err(vec![message]));
        }
    }

    #[test]
    fn a_rendered_file_may_be_missing() {
        for (path, file) in FILES.iter().filter(|(_, file)| file.origin == Origin::Rendered) {
            let loaded = load(&with(path.as_str(), None)).unwrap().unwrap();
            assert_eq!(loaded.files().unwrap().get(path.as_str()), Some(file), "{path}");
        }
    }

    #[test]
    fn a_damaged_part_is_named() {
        for (path, message) in [
            ("root-cert/root-cert-myhouse.local.crt", "it does not hold exactly one certificate in PEM"),
            (ROOT_KEY, "it does not hold exactly one private key in PEM"),
            ("nginx/ssl/r.myhouse.local.pem", "it does not hold exactly one private key in PEM"),
        ] {
            assert_eq!(load(&with("", Some((path, "nonsense")))), Err(vec![format!("{path}: {message}")]));
        }
        let fault = load(&with("", Some((SPEC, "nonsense")))).unwrap_err();
        assert!(fault.len() == 1 && fault[0].starts_with("regcert.toml: TOML parse error"), "{fault:?}");
    }

    #[test]
    fn every_missing_part_is_told_at_once() {
        let mut files = FileSet::default();
        files.put(SPEC, "", Mode::Public, Origin::Kept);
        assert_eq!(load(&files).unwrap_err().len(), 4);
    }

    #[test]
    fn the_files_of_gen_config_are_not_taken_over() {
        let mut files = FileSet::default();
        for path in ["root-cert/root-cert-myhouse.local.crt", ROOT_KEY, "nginx/ssl/r.myhouse.local.key"] {
            files.put(path, "theirs", Mode::Public, Origin::Kept);
        }
        let message = format!("`regcert.toml` is missing, though `{ROOT_KEY}` is there");
        assert_eq!(load(&files), Err(vec![message]));
    }

    #[test]
    fn no_secret_lies_in_a_public_file() {
        let http_secret = FILES.text(HTTP_SECRET).unwrap().trim();
        let mut secret = Vec::new();
        for (path, file) in FILES.iter() {
            let text = String::from_utf8_lossy(&file.bytes);
            if ["PRIVATE KEY", "$2y$", http_secret].iter().any(|mark| text.contains(mark)) {
                assert_ne!(file.mode, Mode::Public, "{path}");
                secret.push(path.as_str());
            }
        }
        let expected = [
            HTTP_SECRET,
            "nginx/auth/registry.passwd",
            "nginx/ssl/r.myhouse.local.pem",
            REGISTRY_CONFIG,
            ROOT_KEY,
        ];
        assert_eq!(secret, expected);
    }

    #[test]
    fn a_renewal_changes_key_and_serial_and_nothing_of_the_root() {
        let mut deployment = load(&FILES).unwrap().unwrap();
        let old = load(&FILES).unwrap().unwrap();
        deployment.reconfigure(old.spec.clone(), datetime!(2027-06-01 12:00 UTC)).unwrap();
        assert_ne!(deployment.server.leaf().serial, old.server.leaf().serial);
        assert_ne!(deployment.server.leaf().public_key, old.server.leaf().public_key);
        assert_eq!((&deployment.authority, &deployment.users), (&old.authority, &old.users));
        assert_eq!(deployment.spec_text, old.spec_text);
    }
}
