//! Tests of reading directories as `gen_config.py` and common recipes leave them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::*;
use crate::names::SubjectAltName;
use crate::pki::{Authority, KeyType, PrivateKey, RootProfile, ServerProfile, Subject};

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-20 12:00 UTC);
const BCRYPT: &str = "$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

/// A directory tree in memory. `None` means a symbolic link.
#[derive(Default)]
struct Tree(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Tree {
    fn with(mut self, path: &str, text: &str) -> Self {
        self.0.insert(Path::new("/srv/old").join(path), Some(text.into()));
        self
    }

    fn link(mut self, path: &str) -> Self {
        self.0.insert(Path::new("/srv/old").join(path), None);
        self
    }

    fn look(&self, path: &Path) -> Entry {
        match self.0.get(path) {
            Some(Some(bytes)) => return Entry::File(Zeroizing::new(bytes.clone())),
            Some(None) => return Entry::Link(path.to_owned()),
            None => {}
        }
        let below = self.0.keys().filter_map(|known| known.strip_prefix(path).ok()?.iter().next()?.to_str());
        let names: std::collections::BTreeSet<_> = below.map(str::to_owned).collect();
        if names.is_empty() { Entry::Nothing } else { Entry::Directory(names.into_iter().collect()) }
    }

    fn find(&self) -> Result<Old, Vec<Fault>> {
        Old::find(Path::new("/srv/old"), &|path| self.look(path)).map_err(|faults| faults.faults)
    }

    fn fault(&self) -> String {
        let fault = self.find().map(|_| ()).unwrap_err().remove(0);
        format!("{} / {}", fault.message, fault.hint)
    }
}

/// A root certificate and a server certificate for `names`, as PEM, with the root's key.
fn certificates(names: &[&str]) -> (String, String, String) {
    let subject =
        Subject { country: Some("DE".into()), company: Some("A/B Ltd".into()), ..Subject::default() };
    let profile =
        RootProfile { label: "myhouse.local", edition: "1", subject: &subject, constraints: None, levels: 1 };
    let root = Authority::create(&profile, PrivateKey::generate(KeyType::P256), NOW).unwrap();
    let names: Vec<SubjectAltName> = names.iter().map(|name| name.parse().unwrap()).collect();
    let server = ServerProfile { names: &names, subject: &subject, days: 100 };
    let leaf = root.issue(&server, PrivateKey::generate(KeyType::P256), NOW).unwrap();
    let key = root.key().stored().to_owned();
    (root.root().pem().to_owned(), leaf.leaf().pem().to_owned(), key)
}

/// A directory as `gen_config.py` leaves it.
fn script() -> Tree {
    let (root, leaf, key) = certificates(&["registry1.myhouse.local", "10.0.0.7"]);
    Tree::default()
        .with("gen_config.py", "")
        .with("docker-compose.yml", "version: '3'\nservices:\n  nginx:\n    image: \"nginx:1.19.0-alpine\"\n    ports: [443:443]\n    volumes:\n      - ./nginx/conf.d/:/etc/nginx/conf.d/:ro\n      - ./nginx/ssl/:/etc/nginx/ssl/\n      - ./nginx/auth/:/etc/nginx/auth/\n  registry:\n    image: registry:2\n    ports: ['127.0.0.1:5000:5000']\n    environment: {REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: /data}\n    volumes: ['regdata:/data']\nvolumes:\n  regdata:\n")
        .with("nginx/conf.d/registry.conf", "server { listen 443 ssl; server_name registry1.myhouse.local; ssl_certificate /etc/nginx/ssl/r.crt; location /v2/ { auth_basic_user_file /etc/nginx/auth/registry.passwd; } }")
        .with("nginx/ssl/r.crt", &leaf)
        .with("nginx/auth/registry.passwd", &format!("bob:{BCRYPT}\n"))
        .with("root-cert/root-cert-myhouse.local.crt", &root)
        .with("root-cert/root-cert-myhouse.local.key", &key)
}

/// A directory as in the documentation of the image `registry`: with `docker run` and without docker-compose.yml.
fn recipe() -> Tree {
    let (_, leaf, _) = certificates(&["hub.example.org"]);
    Tree::default()
        .with("certs/domain.crt", &leaf)
        .with("certs/domain.key", "")
        .with("auth/htpasswd", &format!("bob:{BCRYPT}\n"))
        .with("data/docker/registry/v2/x", "")
}

#[test]
fn what_the_script_made_is_found() {
    let old = script().find().unwrap();
    let tree = script();
    assert_eq!(is_old(Path::new("/srv/old"), &|path| tree.look(path)), Some(Maker::Script));
    let expected = RawSettings {
        server: Some("registry1".into()),
        domain: Some("myhouse.local".into()),
        sans: Some(vec!["10.0.0.7".into()]),
        country: Some("DE".into()),
        state: Some(String::new()),
        locality: Some(String::new()),
        company: Some("A/B Ltd".into()),
        unit: Some(String::new()),
        https_port: Some("443".into()),
        http_port: Some("off".into()),
        registry_image: Some("registry:2".into()),
        ..RawSettings::default()
    };
    assert_eq!(old.settings, expected);
    assert_eq!(old.data.unwrap().to_string(), "volume:old_regdata");
    assert_eq!(old.users.unwrap().1.names(), ["bob"]);
}

#[test]
fn what_a_recipe_made_is_found() {
    let old = recipe().find().unwrap();
    assert_eq!(old.compose, None);
    let tree = recipe();
    assert_eq!(is_old(Path::new("/srv/old"), &|path| tree.look(path)), Some(Maker::Person));
    assert_eq!(old.settings.server.as_deref(), Some("hub.example.org"));
    assert_eq!(old.data.unwrap().to_string(), "/srv/old/data");
    assert_eq!(old.users.unwrap().1.names(), ["bob"]);
    let compose = "services:\n  registry:\n    image: registry:2\n    user: '1000'\n    ports: ['5000:5000']\n    environment:\n      - REGISTRY_AUTH=htpasswd\n      - REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd\n      - REGISTRY_HTTP_TLS_CERTIFICATE=/certs/domain.crt\n    volumes: ['/mnt/images:/var/lib/registry', './auth:/auth', './certs:/certs']\n";
    let old = recipe().with("docker-compose.yml", compose).find().unwrap();
    assert_eq!(old.settings.https_port.as_deref(), Some("5000"));
    assert_eq!(old.run_as, Some(RunAs { uid: 1000, gid: 1000 }));
    assert_eq!(old.data.unwrap().to_string(), "/mnt/images");
}

#[test]
fn a_configuration_of_the_registry_counts_as_its_environment_does() {
    let compose = "services: {r: {image: 'registry:2.8', volumes: ['./config.yml:/etc/docker/registry/config.yml', './auth:/auth', './certs:/certs', './images:/images']}}";
    let config = "storage: {filesystem: {rootdirectory: /images/here}}\nhttp: {addr: ':443', tls: {certificate: /certs/domain.crt}}\nauth: {htpasswd: {path: /auth/htpasswd}}\nproxy: {remoteurl: 'https://registry-1.docker.io'}\n";
    let old = recipe().with("docker-compose.yml", compose).with("config.yml", config).find().unwrap();
    assert_eq!(old.data.unwrap().to_string(), "/srv/old/images/here");
    assert_eq!(old.settings.mirror_of.as_deref(), Some("https://registry-1.docker.io"));
    assert!(old.users.is_some() && old.certificate.is_some());
}

#[test]
fn what_cannot_be_taken_over_is_named_with_its_cure() {
    for (tree, message, hint) in [
        (Tree::default().with("README.md", ""), "does not hold a registry", "docker-compose.yml"),
        (Tree::default(), "is not a directory", "name the directory"),
        (script().with("regcert.toml", ""), "is a registry of regcert already", "regcert -C /srv/old init"),
        (
            script().with("nginx/auth/registry.passwd", "bob\n"),
            "is damaged: line 1 has no colon",
            "mend that line",
        ),
        (
            script().with("nginx/auth/registry.passwd", "\u{feff}bob:x\n"),
            "is damaged: it begins with a byte order mark",
            "mend",
        ),
        (script().link("nginx/auth/registry.passwd"), "is a symbolic link", "cp --remove-destination"),
        (script().link("nginx/ssl/r.crt"), "is a symbolic link", "cp --remove-destination"),
        (
            script().with("nginx/ssl/r.crt", "x"),
            "`/srv/old/nginx/ssl/r.crt`: it holds no certificate",
            "BEGIN CERTIFICATE",
        ),
        (script().with("docker-compose.yml", "a: ["), "it is not YAML", "mend it"),
        (
            script().with("docker-compose.yml", "a\0:\0\n\0"),
            "docker-compose.yml`: it is UTF-16 text",
            "UTF-8",
        ),
        (
            script()
                .with("docker-compose.yml", "services: {a: {image: registry}, b: {image: 'x/registry:2'}}"),
            "runs several registries: `a`, `b`",
            "copy",
        ),
        (
            script().with("nginx/conf.d/b.conf", "server { listen 443 ssl; ssl_certificate b.crt; }"),
            "nginx serves several certificates",
            "copy",
        ),
    ] {
        let fault = tree.fault();
        let (told, cure) = fault.split_once(" / ").unwrap();
        assert!(told.contains(message) && cure.contains(hint), "{fault}");
    }
}

#[test]
fn images_that_regcert_cannot_keep_where_they_are_say_so() {
    let with = |registry: &str| {
        let compose = format!("services: {{r: {{image: 'registry:2', {registry}}}}}");
        recipe().with("docker-compose.yml", &compose).find().unwrap().data.unwrap_err().message
    };
    assert!(with("environment: {REGISTRY_STORAGE: s3}").starts_with("the images are in `s3`"));
    assert!(with("environment: {REGISTRY_STORAGE_S3_BUCKET: x}").starts_with("the images are in `s3`"));
    assert!(with("ports: ['5000:5000']").starts_with("the images are in no directory"));
    assert!(with("volumes: ['x:/var/lib']").contains("below the top of the volume `x`"));
}

#[test]
fn a_root_is_kept_where_it_is_fit() {
    let dir = Path::new("/srv/old");
    let kept = |tree: &Tree, days: u16, now: OffsetDateTime| {
        OldAuthority::find(dir, &tree.find().unwrap(), &|path| tree.look(path), days, now)
            .map(|kept| kept.key_path)
            .map_err(|fault| fault.message)
    };
    let tree = script();
    assert_eq!(kept(&tree, 365, NOW), Ok("/srv/old/root-cert/root-cert-myhouse.local.key".into()));
    let years = |count: i64| NOW + time::Duration::days(365 * count);
    assert!(kept(&tree, 365, years(11)).unwrap_err().contains("ended on"));
    assert!(kept(&tree, 825, years(9)).unwrap_err().contains("before a server certificate of 825 days"));
    let linked = script().link("root-cert/root-cert-myhouse.local.key");
    assert!(kept(&linked, 365, NOW).unwrap_err().contains("is a symbolic link"));
    let (other, _, _) = certificates(&["a.lan"]);
    let mixed = script().with("root-cert/root-cert-myhouse.local.crt", &other);
    assert!(kept(&mixed, 365, NOW).unwrap_err().contains("no certificate in"));
    assert!(kept(&recipe(), 365, NOW).unwrap_err().contains("no certificate in"));
}
