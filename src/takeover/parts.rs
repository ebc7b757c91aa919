//! Finds the parts of an old registry: its docker-compose.yml, nginx configuration and registry configuration.

use std::path::{Path, PathBuf};

use super::compose::{self, Service, Source};
use super::nginx::Front;
use super::{Entry, Look, Maker, read, read_text};
use crate::auth::Htpasswd;
use crate::error::Fault;
use crate::names::{DnsName, Host, SubjectAltName, printable};
use crate::pki::Certificate;
use crate::settings::{Data, RawSettings};

/// The parts of an old registry. An [`Old`] is built from them.
pub(super) struct Parts<'a> {
    dir: &'a Path,
    look: Look<'a>,
    pub(super) compose: Option<&'static str>,
    pub(super) registry: Service,
    /// The service that runs nginx, if there is one.
    front: Option<Service>,
    volumes: std::collections::BTreeMap<String, String>,
    served: Front,
    config: Option<saphyr::YamlOwned>,
}

impl<'a> Parts<'a> {
    pub(super) fn find(dir: &'a Path, look: Look<'a>) -> Result<Option<Self>, Fault> {
        let found = compose::find(dir, look)?;
        let (compose, mut file) =
            found.map_or((None, compose::Compose::default()), |(name, file)| (Some(name), file));
        let is_registry = |service: &Service| {
            service.runs("registry")
                || service.runs("distribution")
                || service.environment.keys().any(|key| key.starts_with("REGISTRY_"))
        };
        let mut registries: Vec<_> = file.services.extract_if(.., |service| is_registry(service)).collect();
        if registries.len() > 1 {
            let names: Vec<_> =
                registries.iter().map(|service| format!("`{}`", printable(&service.name))).collect();
            return Err(Fault::new(format!("`{}` runs several registries: {}", dir.join(compose.unwrap_or_default()).display(), names.join(", ")))
                .hint("take one over at a time: copy the directory, leave one of them in the copy's docker-compose.yml, and name the copy"));
        }
        let front = file.services.into_iter().find(|service| service.runs("nginx"));
        let (registry, front) = match (registries.pop(), compose) {
            (Some(registry), _) => (registry, front),
            (None, Some(_)) => return Ok(None),
            (None, None) => match usual(dir, look) {
                Some(usual) => usual,
                None => return Ok(None),
            },
        };
        let config = ["/etc/docker/registry/config.yml", "/etc/distribution/config.yml"];
        let config = config.into_iter().find_map(|path| registry.on_host(Path::new(path)));
        let config = config.map(|path| read_text(&path, look)).transpose()?;
        let config = config.map(|text| compose::document(&text)).transpose()?;
        let mut parts = Self {
            dir,
            look,
            compose,
            registry,
            front,
            volumes: file.volumes,
            served: Front::default(),
            config,
        };
        parts.served = parts.served()?;
        Ok(Some(parts))
    }

    pub(super) fn maker(&self) -> Maker {
        let exists = |name: &str| !matches!((self.look)(&self.dir.join(name)), Entry::Nothing);
        if exists("gen_config.py") || (exists("root-cert") && exists("nginx/conf.d")) {
            Maker::Script
        } else {
            Maker::Person
        }
    }

    /// The values from every nginx configuration that is mounted in the nginx container.
    fn served(&self) -> Result<Front, Fault> {
        let mut served = Front::default();
        let Some(front) = &self.front else {
            return Ok(served);
        };
        for mount in &front.mounts {
            let (Source::Host(source), true) = (&mount.source, mount.target.starts_with("/etc/nginx")) else {
                continue;
            };
            for file in configurations(source, self.look) {
                served.add(&read_text(&file, self.look)?);
            }
        }
        if served.certificates.len() > 1 {
            return Err(Fault::new(format!("nginx serves several certificates: {}", served.certificates.join(", ")))
                .hint("regcert takes over a registry of one name: leave the `server` of the registry in a copy of the directory, and name the copy"));
        }
        Ok(served)
    }

    /// A setting of the registry, from its environment variables or its configuration file.
    pub(super) fn setting(&self, keys: &[&str]) -> Option<String> {
        let variable = format!("REGISTRY_{}", keys.join("_").to_uppercase());
        if let Some(value) = self.registry.environment.get(&variable) {
            return Some(value.clone());
        }
        let mut node = self.config.as_ref()?;
        for key in keys {
            node = node.as_mapping_get(key)?;
        }
        compose::scalar(node)
    }

    pub(super) fn users(&self) -> Result<Option<(PathBuf, Htpasswd)>, Fault> {
        if self.served.users.len() > 1 {
            return Err(Fault::new(format!(
                "nginx reads several password files: {}",
                self.served.users.join(", ")
            ))
            .hint("join them into one first: `cat FILE… >ALL`, and name that one in nginx's configuration"));
        }
        let front = self.front.as_ref().zip(self.served.users.first());
        let by_nginx = front.and_then(|(front, path)| front.on_host(&Path::new("/etc/nginx").join(path)));
        let by_registry = || self.registry.on_host(Path::new(&self.setting(&["auth", "htpasswd", "path"])?));
        let Some(path) = by_nginx.or_else(by_registry) else {
            return Ok(None);
        };
        let users = Htpasswd::parse(&read(&path, self.look)?);
        match users.damage() {
            Some(damage) => Err(Fault::new(format!("`{}` is damaged: {damage}", path.display()))
                .hint("mend that line, or take it out; in a copy of the directory if you like")),
            None => Ok(Some((path, users))),
        }
    }

    pub(super) fn certificate(&self) -> Result<Option<Certificate>, Fault> {
        let front = self.front.as_ref().zip(self.served.certificates.first());
        let by_nginx = front.and_then(|(front, path)| front.on_host(&Path::new("/etc/nginx").join(path)));
        let by_registry =
            || self.registry.on_host(Path::new(&self.setting(&["http", "tls", "certificate"])?));
        let Some(path) = by_nginx.or_else(by_registry) else {
            return Ok(None);
        };
        let named =
            |fault: Fault| Fault { message: format!("`{}`: {}", path.display(), fault.message), ..fault };
        let chain = Certificate::read(&read(&path, self.look)?).map_err(named)?;
        Ok(chain.into_iter().next())
    }

    /// Sets the names that clients use. Returns the names that a certificate from regcert cannot contain.
    pub(super) fn names(&self, certificate: Option<&Certificate>, settings: &mut RawSettings) -> Vec<String> {
        let common = certificate.and_then(|certificate| certificate.subject_fields().1);
        let alternative = certificate.into_iter().flat_map(|certificate| certificate.names.iter().cloned());
        let served =
            self.served.names.iter().filter(|name| !matches!(name.as_str(), "_" | "localhost" | "")).cloned();
        let mut names: Vec<String> = Vec::new();
        let mut dropped = Vec::new();
        for name in served.chain(common).chain(alternative) {
            let name = name.to_ascii_lowercase();
            match name.parse::<SubjectAltName>() {
                Ok(_) if names.contains(&name) => {}
                Ok(_) => names.push(name),
                Err(_) => dropped.push(name),
            }
        }
        // A full name comes first, because clients use it in the names of images. An address comes next, then a bare
        // label.
        let rank = |name: &&String| match name.parse::<Host>() {
            Ok(Host::Dns(dns)) if dns.as_str().contains('.') => 0,
            Ok(Host::Ip(_)) => 1,
            Ok(Host::Dns(_)) => 2,
            Err(_) => 3,
        };
        let Some(server) = names.iter().min_by_key(rank).filter(|name| rank(name) < 3).cloned() else {
            settings.sans = Some(names).filter(|names| !names.is_empty());
            return dropped;
        };
        let domain = self.domains().into_iter().find(|domain| {
            server.parse::<DnsName>().is_ok_and(|name| name.is_within(domain) && name.as_str() != domain)
        });
        let bare = domain
            .as_ref()
            .and_then(|domain| server.strip_suffix(domain)?.strip_suffix('.'))
            .map(str::to_owned);
        names.retain(|name| *name != server && Some(name) != bare.as_ref());
        settings.sans = Some(names).filter(|names| !names.is_empty());
        settings.server = Some(bare.unwrap_or(server));
        settings.domain = domain;
        dropped
    }

    /// The domains in the file names of root certificates: `root-cert/root-cert-<domain>.crt`.
    fn domains(&self) -> Vec<String> {
        let Entry::Directory(names) = (self.look)(&self.dir.join("root-cert")) else {
            return Vec::new();
        };
        let domain = |name: &String| Some(name.strip_prefix("root-cert-")?.strip_suffix(".crt")?.to_owned());
        names.iter().filter_map(domain).collect()
    }

    pub(super) fn ports(&self, settings: &mut RawSettings) {
        if self.compose.is_none() {
            return;
        }
        let inside = self.served.ports.first().copied().unwrap_or(443);
        let by_nginx = self.front.as_ref().and_then(|front| front.published(inside));
        let own =
            self.setting(&["http", "addr"]).and_then(|address| address.rsplit(':').next()?.parse().ok());
        let by_registry = || self.registry.published(own.unwrap_or(5000));
        settings.https_port = by_nginx.or_else(by_registry).map(|port| port.to_string());
        // The HTTP port is off unless it was published before, because another program may use the port.
        let plain = self.front.as_ref().and_then(|front| front.published(80));
        settings.http_port = Some(plain.map_or("off".to_owned(), |port| port.to_string()));
    }

    pub(super) fn data(&self) -> Result<Data, Fault> {
        let drivers = ["s3", "azure", "gcs", "swift", "oss", "inmemory"];
        let named = self.registry.environment.get("REGISTRY_STORAGE").cloned();
        let uses = |driver: &&str| {
            let prefix = format!("REGISTRY_STORAGE_{}_", driver.to_uppercase());
            let storage = self.config.as_ref().and_then(|config| config.as_mapping_get("storage"));
            named.as_deref() == Some(*driver)
                || self.registry.environment.keys().any(|key| key.starts_with(&prefix))
                || storage.is_some_and(|storage| storage.as_mapping_get(driver).is_some())
        };
        if let Some(driver) = drivers.iter().find(|driver| uses(driver)) {
            return Err(Fault::new(format!("the images are in `{driver}`, and regcert keeps images in a directory or a volume"))
                .hint("make a registry with `regcert init`, and copy the images: `skopeo sync --src docker --dest docker OLD/REPOSITORY NEW`"));
        }
        let root = self
            .setting(&["storage", "filesystem", "rootdirectory"])
            .unwrap_or("/var/lib/registry".to_owned());
        match self.registry.mounted(Path::new(&root)) {
            Some((Source::Host(source), rest)) => source.join(rest).components().collect::<PathBuf>().display().to_string().parse(),
            Some((Source::Volume(key), rest)) if rest.as_os_str().is_empty() => {
                self.volumes.get(key).unwrap_or(key).parse().map(Data::Existing)
            }
            Some((Source::Volume(key), rest)) => Err(Fault::new(format!("the images are in `{}`, below the top of the volume `{}`", rest.display(), printable(key)))
                .hint("move them to the top of a volume of their own, and name it: `--data volume:NAME`")),
            None => Err(Fault::new("the images are in no directory and in no named volume that regcert can see")
                .hint("`docker inspect CONTAINER` shows under `Mounts` where the old registry keeps them: name it with `--data DIR` or `--data volume:NAME`")),
        }
    }
}

/// Finds a registry without docker-compose.yml, by the paths in recipes for `docker run`.
fn usual(dir: &Path, look: Look<'_>) -> Option<(Service, Option<Service>)> {
    let is_there = |name: &str| !matches!(look(&dir.join(name)), Entry::Nothing);
    let mount = |source: &str, target: &str| compose::Mount {
        source: Source::Host(dir.join(source)),
        target: target.into(),
    };
    let pairs = [("auth", "/auth"), ("certs", "/certs"), ("data", "/var/lib/registry")];
    let mounts: Vec<_> =
        pairs.into_iter().filter(|(source, _)| is_there(source)).map(|(s, t)| mount(s, t)).collect();
    let mut registry = Service { mounts, ..Service::default() };
    if is_there("auth/htpasswd") {
        registry.environment.insert("REGISTRY_AUTH_HTPASSWD_PATH".into(), "/auth/htpasswd".into());
    }
    if let Entry::Directory(names) = look(&dir.join("certs")) {
        let with_key = |name: &&String| {
            name.strip_suffix(".crt").is_some_and(|stem| names.contains(&format!("{stem}.key")))
        };
        // File names from recipes come first, because the certificate of the user's own authority may be in the same
        // directory.
        let mut certificates: Vec<_> = names.iter().filter(with_key).collect();
        certificates.sort_by_key(|name| {
            (!matches!(name.as_str(), "domain.crt" | "registry.crt" | "server.crt"), name.starts_with("ca"))
        });
        if let Some(name) = certificates.first() {
            registry.environment.insert("REGISTRY_HTTP_TLS_CERTIFICATE".into(), format!("/certs/{name}"));
        }
    }
    let has_front = is_there("nginx/conf.d") && is_there("nginx/auth");
    let front =
        has_front.then(|| Service { mounts: vec![mount("nginx", "/etc/nginx")], ..Service::default() });
    (front.is_some() || !registry.environment.is_empty()).then_some((registry, front))
}

/// The configuration files of nginx: `path` itself, or the files in the directory `path` and in its usual
/// subdirectories.
fn configurations(path: &Path, look: Look<'_>) -> Vec<PathBuf> {
    let Entry::Directory(names) = look(path) else {
        return if path.extension().is_some_and(|extension| extension == "conf") {
            vec![path.to_owned()]
        } else {
            Vec::new()
        };
    };
    let below = names.iter().filter(|name| matches!(name.as_str(), "conf.d" | "sites-enabled" | "http"));
    let own = names.iter().filter(|name| name.ends_with(".conf")).map(|name| path.join(name));
    own.chain(below.flat_map(|name| configurations(&path.join(name), look))).collect()
}
