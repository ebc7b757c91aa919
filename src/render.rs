//! The built-in templates and the facts that fill them. Values that a user typed have a limited alphabet or are
//! escaped by a filter. Templates only test whether a value is present.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use crate::error::Fault;
use crate::names::{Upstream, Webhook, shell};
use crate::settings::{BlobsBy, ClientAuth, Data, Delete, Proxy, Settings};

/// Each template's path below `templates/` and its text.
const TEMPLATES: &[(&str, &str)] = &[
    (".env", include_str!("../templates/env")),
    ("docker-compose.yml", include_str!("../templates/docker-compose.yml")),
    ("files/README.txt", include_str!("../templates/files/README.txt")),
    ("files/public/README.txt", include_str!("../templates/files/public/README.txt")),
    ("nginx/http/blobs.conf", include_str!("../templates/nginx/http/blobs.conf")),
    ("nginx/http/headers.conf", include_str!("../templates/nginx/http/headers.conf")),
    ("nginx/http/health.conf", include_str!("../templates/nginx/http/health.conf")),
    ("nginx/http/log.conf", include_str!("../templates/nginx/http/log.conf")),
    ("nginx/http/metrics.conf", include_str!("../templates/nginx/http/metrics.conf")),
    ("nginx/http/other-names.conf", include_str!("../templates/nginx/http/other-names.conf")),
    ("nginx/http/password-limits.conf", include_str!("../templates/nginx/http/password-limits.conf")),
    ("nginx/http/passwords.conf", include_str!("../templates/nginx/http/passwords.conf")),
    ("nginx/http/port-80.conf", include_str!("../templates/nginx/http/port-80.conf")),
    ("nginx/http/registry.conf", include_str!("../templates/nginx/http/registry.conf")),
    ("nginx/http/roles.conf", include_str!("../templates/nginx/http/roles.conf")),
    ("nginx/http/tls.conf", include_str!("../templates/nginx/http/tls.conf")),
    ("nginx/http/types.conf", include_str!("../templates/nginx/http/types.conf")),
    ("nginx/http/upstream.conf", include_str!("../templates/nginx/http/upstream.conf")),
    ("nginx/local.conf", include_str!("../templates/nginx/local.conf")),
    ("nginx/local.server.conf", include_str!("../templates/nginx/local.server.conf")),
    ("nginx/nginx.conf", include_str!("../templates/nginx/nginx.conf")),
    ("nginx/server/authorize.conf", include_str!("../templates/nginx/server/authorize.conf")),
    ("nginx/server/blobs.conf", include_str!("../templates/nginx/server/blobs.conf")),
    ("nginx/server/errors.conf", include_str!("../templates/nginx/server/errors.conf")),
    ("nginx/server/files.conf", include_str!("../templates/nginx/server/files.conf")),
    ("nginx/server/login.conf", include_str!("../templates/nginx/server/login.conf")),
    ("nginx/server/page.conf", include_str!("../templates/nginx/server/page.conf")),
    ("nginx/server/proxy.conf", include_str!("../templates/nginx/server/proxy.conf")),
    ("nginx/www/catalog.js", include_str!("../templates/nginx/www/catalog.js")),
    ("nginx/www/index.html", include_str!("../templates/nginx/www/index.html")),
    ("nginx/www/page.css", include_str!("../templates/nginx/www/page.css")),
    ("nginx/www/page.js", include_str!("../templates/nginx/www/page.js")),
    ("nginx/www/plain.html", include_str!("../templates/nginx/www/plain.html")),
    ("registry/config.yml", include_str!("../templates/registry/config.yml")),
    ("registry/health.sh", include_str!("../templates/registry/health.sh")),
    ("renewal/cron", include_str!("../templates/renewal/cron")),
    ("renewal/service", include_str!("../templates/renewal/service")),
    ("renewal/timer", include_str!("../templates/renewal/timer")),
    ("root-cert/README.txt", include_str!("../templates/root-cert/README.txt")),
    ("trust/ansible/handlers.yaml", include_str!("../templates/trust/ansible/handlers.yaml")),
    ("trust/ansible/playbook.yaml", include_str!("../templates/trust/ansible/playbook.yaml")),
    ("trust/ansible/tasks.yaml", include_str!("../templates/trust/ansible/tasks.yaml")),
    ("trust/buildkit/buildkitd.toml", include_str!("../templates/trust/buildkit/buildkitd.toml")),
    ("trust/buildx/buildkitd.toml", include_str!("../templates/trust/buildx/buildkitd.toml")),
    ("trust/ca.crt", include_str!("../templates/trust/ca.crt")),
    ("trust/cloud-init.yaml", include_str!("../templates/trust/cloud-init.yaml")),
    ("trust/containerd/hosts.toml", include_str!("../templates/trust/containerd/hosts.toml")),
    ("trust/docker/README.txt", include_str!("../templates/trust/docker/README.txt")),
    ("trust/ignition/fedora-coreos.ign", include_str!("../templates/trust/ignition/fedora-coreos.ign")),
    ("trust/ignition/flatcar.ign", include_str!("../templates/trust/ignition/flatcar.ign")),
    ("trust/install.ps1", include_str!("../templates/trust/install.ps1")),
    ("trust/install.sh", include_str!("../templates/trust/install.sh")),
    ("trust/k3d/registries.yaml", include_str!("../templates/trust/k3d/registries.yaml")),
    ("trust/k3s/registries.yaml", include_str!("../templates/trust/k3s/registries.yaml")),
    ("trust/kind/kind.yaml", include_str!("../templates/trust/kind/kind.yaml")),
    ("trust/kubernetes/trust.yaml", include_str!("../templates/trust/kubernetes/trust.yaml")),
    ("trust/minikube/README.txt", include_str!("../templates/trust/minikube/README.txt")),
    ("trust/openshift/trust.yaml", include_str!("../templates/trust/openshift/trust.yaml")),
    ("trust/podman/README.txt", include_str!("../templates/trust/podman/README.txt")),
    ("trust/rke2/registries.yaml", include_str!("../templates/trust/rke2/registries.yaml")),
    ("trust/talos/registry-tls.yaml", include_str!("../templates/trust/talos/registry-tls.yaml")),
    ("trust/talos/trusted-roots.yaml", include_str!("../templates/trust/talos/trusted-roots.yaml")),
    ("trust/trust.mobileconfig", include_str!("../templates/trust/trust.mobileconfig")),
];

/// Facts about this machine: the paths and the user for the renewal timer, and the names in `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The absolute path of the registry's directory.
    pub directory: String,
    /// The absolute path of the regcert program.
    pub program: String,
    /// The user that the renewal timer runs regcert as; `None` means root.
    pub user: Option<String>,
    /// The names in this machine's `/etc/hosts`, which containers do not read.
    pub hosts: Vec<(String, IpAddr)>,
}

/// The hosts that the registry connects to and that this machine finds in `/etc/hosts`. Leaves out loopback
/// addresses, which would mean the container itself.
fn extra_hosts(spec: &Settings, site: &Site) -> Vec<String> {
    let outward = spec.mirror_of.iter().map(Upstream::host).chain(spec.notify.iter().map(Webhook::host));
    let names: BTreeSet<_> = outward.map(|host| host.to_string().to_ascii_lowercase()).collect();
    let known = site.hosts.iter().filter(|(name, ip)| names.contains(name) && !ip.is_loopback());
    known.map(|(name, ip)| format!("{name}:{ip}")).collect()
}

/// The page that nginx serves: `index.html` over HTTPS, and `plain.html`, without a password field, over HTTP.
pub const PAGE: [&str; 5] = [
    "nginx/www/catalog.js",
    "nginx/www/index.html",
    "nginx/www/page.css",
    "nginx/www/page.js",
    "nginx/www/plain.html",
];

/// The values for the templates. Lists are already joined, and choices are already made.
#[derive(Serialize)]
pub struct Facts {
    /// The host, and the port unless it is 443, as in an image reference.
    registry: String,
    /// The file name of the server certificate, without its extension.
    certificate: String,
    /// The value of nginx's `server_name`: every name and address, with IPv6 addresses in brackets.
    server_names: String,
    /// The first server names, as many as fit into a message of nginx.
    shown_names: String,
    /// The port in URLs, such as `:5443`; empty for 443.
    public_port: String,
    /// The max-age of HSTS in seconds; 0 unless the port is 443. Browsers apply HSTS to every port of the name, and
    /// would connect to port 443 instead.
    hsts: u32,
    http_port: u16,
    https_port: u16,
    /// Whether nginx is in front of the registry.
    proxied: bool,
    /// The user and group of the containers, as `uid:gid`.
    run_as: String,
    uid: u32,
    gid: u32,
    registry_image: String,
    nginx_image: String,
    /// The mount of the images, in Compose's short form, `source:target:options`.
    data_mount: String,
    /// The mount of the images for nginx, read-only.
    data_mount_read_only: String,
    /// Whether nginx itself serves the layers of images.
    blobs_by_nginx: bool,
    /// Whether admins may delete images.
    delete: bool,
    /// The port that needs no password; 0 if there is none.
    anonymous_port: u16,
    /// The repositories that are open on `anonymous_port`, in the form of `Repositories::words`.
    anonymous_words: String,
    /// Whether Compose creates a Docker volume for the images.
    volume: bool,
    /// The name of the existing volume that contains the images; empty if there is none.
    existing_volume: String,
    /// The value of nginx's `ssl_verify_client`: `on`, `optional`, or empty if nginx does not ask for certificates.
    client_auth: &'static str,
    /// The absolute path of the registry's directory.
    directory: String,
    /// The absolute path of the regcert program.
    program: String,
    /// The user that the renewal timer runs regcert as; `None` means root.
    user: Option<String>,
    /// The registry's `http.secret`, 64 hexadecimal digits.
    http_secret: String,
    /// The organization that runs the registry; empty if not set.
    company: String,
    /// The URL of the upstream registry; empty if this registry is not a mirror.
    mirror_of: String,
    /// The user for a mirror's upstream; empty if there is none.
    upstream_user: String,
    upstream_password: String,
    /// Whether the registry trusts root certificates besides those in its image.
    upstream_roots: bool,
    /// Hosts that the registry connects to and that are in this machine's `/etc/hosts`, as `name:address`.
    extra_hosts: Vec<String>,
    /// Webhooks that receive each push and pull.
    webhooks: Vec<Hook>,
    /// The port of the metrics for Prometheus; 0 if there is none.
    metrics_port: u16,
    /// Whether the registry connects to other machines: the upstream of a mirror, or webhooks.
    networked: bool,
    /// The value of every setting, by the setting's field name.
    settings: BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Hook {
    name: String,
    url: String,
    /// Each header's name and value; the values may be secret.
    headers: Vec<(String, String)>,
}

impl Facts {
    /// Collects the facts about a registry with the settings `spec`.
    // Long because each fact has a line.
    pub fn of(spec: &Settings, http_secret: &str, site: &Site) -> Self {
        let bracketed = |name: String| if name.contains(':') { format!("[{name}]") } else { name };
        let names: Vec<_> = spec.names().iter().map(|name| bracketed(name.to_string())).collect();
        // Compose takes the source literally, except for `$`, which begins a variable.
        let (data_mount, volume) = match &spec.data {
            Data::Directory(path) => (format!("{}:/var/lib/registry:z", path.replace('$', "$$")), false),
            // Without `nocopy`, docker-compose 1.29 makes root the owner of the new volume again after `data-owner`
            // has run.
            Data::Volume => ("data:/var/lib/registry:z,nocopy".to_owned(), true),
            Data::Existing(_) => ("data:/var/lib/registry:z,nocopy".to_owned(), false),
        };
        Self {
            registry: spec.registry(),
            certificate: spec.host_stem(),
            shown_names: shown_names(&names),
            server_names: names.join(" "),
            public_port: if spec.https_port == 443 { String::new() } else { format!(":{}", spec.https_port) },
            hsts: if spec.https_port == 443 { 86_400 } else { 0 },
            http_port: spec.http_port.unwrap_or(0),
            https_port: spec.https_port,
            proxied: spec.proxy == Proxy::Nginx,
            run_as: spec.run_as.to_string(),
            uid: spec.run_as.uid,
            gid: spec.run_as.gid,
            registry_image: spec.registry_image.to_string(),
            nginx_image: spec.nginx_image.to_string(),
            data_mount_read_only: format!("{data_mount},ro"),
            data_mount,
            // A mirror's layers expire, so the registry must serve them itself.
            blobs_by_nginx: spec.proxy == Proxy::Nginx
                && spec.blobs_by == BlobsBy::Nginx
                && spec.mirror_of.is_none(),
            delete: spec.proxy == Proxy::Nginx && spec.delete == Delete::On && spec.mirror_of.is_none(),
            anonymous_port: spec.anonymous_port.unwrap_or(0),
            anonymous_words: spec.anonymous_repos.words(),
            volume,
            existing_volume: match &spec.data {
                Data::Existing(name) => name.to_string(),
                Data::Directory(_) | Data::Volume => String::new(),
            },
            client_auth: match spec.client_auth {
                ClientAuth::Off => "",
                ClientAuth::Optional => "optional",
                ClientAuth::Required => "on",
            },
            directory: site.directory.clone(),
            program: site.program.clone(),
            user: site.user.clone(),
            http_secret: http_secret.to_owned(),
            // `NA`, "not applicable", is the default of gen_config.py.
            company: spec.company.clone().filter(|company| company != "NA").unwrap_or_default(),
            mirror_of: spec.mirror_of.as_ref().map(ToString::to_string).unwrap_or_default(),
            upstream_user: String::new(),
            upstream_password: String::new(),
            upstream_roots: false,
            extra_hosts: extra_hosts(spec, site),
            webhooks: spec
                .notify
                .iter()
                .map(|hook| Hook { name: hook.name().to_owned(), url: hook.url(), headers: Vec::new() })
                .collect(),
            metrics_port: spec.metrics_port.unwrap_or(0),
            networked: spec.mirror_of.is_some() || !spec.notify.is_empty(),
            settings: spec.plain(),
        }
    }

    /// Turns deletion off, for an nginx.conf that would let every user delete images.
    pub fn without_delete(mut self) -> Self {
        self.delete = false;
        self
    }

    /// Adds the headers of each webhook. `headers` has the order of the webhooks.
    pub fn with_headers<'h>(mut self, headers: impl Iterator<Item = Vec<(&'h str, &'h str)>>) -> Self {
        for (hook, headers) in self.webhooks.iter_mut().zip(headers) {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            hook.headers = headers.into_iter().map(owned).collect();
        }
        self
    }

    /// Sets whether there are additional root certificates for a mirror's upstream and for webhooks.
    pub fn with_upstream_roots(mut self, are_there: bool) -> Self {
        self.upstream_roots = are_there;
        self
    }

    /// Adds the user and the password for a mirror's upstream, if there are any.
    pub fn with_upstream_login(mut self, login: Option<(&str, &str)>) -> Self {
        if let Some((user, password)) = login {
            (self.upstream_user, self.upstream_password) = (user.to_owned(), password.to_owned());
        }
        self
    }
}

/// The maximum length of the shown names, in bytes. nginx reads words of at most 4096 bytes (`NGX_CONF_BUFFER`), and
/// the text around the names contains a name of up to 253 characters twice.
const SHOWN_MAX: usize = 2000;

/// Joins the names with spaces. If they do not all fit, ends with the number of the remaining names.
fn shown_names(names: &[String]) -> String {
    let mut shown = String::new();
    for (n, name) in names.iter().enumerate() {
        if shown.len() + name.len() > SHOWN_MAX {
            return format!("{shown} and {} more", names.len() - n);
        }
        if n > 0 {
            shown.push(' ');
        }
        shown += name;
    }
    shown
}

/// Fills the template `name` with `facts`.
pub fn render(name: &str, facts: &impl Serialize) -> Result<String, Fault> {
    let failed = |e: tera::Error| {
        let mut why = e.to_string();
        let mut source = std::error::Error::source(&e);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        Fault::new(format!("the template `{name}` cannot be filled: {why}"))
    };
    let mut tera = Tera::new();
    // Tera escapes HTML automatically. In other files, filters escape the values.
    tera.autoescape_on([".html"]);
    tera.register_filter("yaml", yaml);
    tera.register_filter("systemd", systemd);
    tera.register_filter("cron", cron);
    tera.register_filter("shell", shell_word);
    tera.register_filter("base64", base64);
    tera.register_filter("xml", xml);
    // Adds only the templates in the same directory, which the template may extend: parsing all of them would take
    // longer than rendering one.
    let directory = name.rsplit_once('/').map(|(directory, _)| directory);
    let templates =
        TEMPLATES.iter().filter(|(known, _)| known.rsplit_once('/').map(|(above, _)| above) == directory);
    tera.add_raw_templates(templates.copied()).map_err(failed)?;
    let context = Context::from_serialize(facts).map_err(failed)?;
    tera.render(name, &context).map_err(failed)
}

/// Quotes a text for YAML. Every JSON string is a double-quoted YAML string (YAML 1.2.2 §1.2).
fn yaml(text: &str, _: Kwargs, _: &State) -> String {
    serde_json::Value::from(text).to_string()
}

/// Quotes a word of a systemd command line, and escapes specifiers and variables (systemd.service(5)).
fn systemd(text: &str, _: Kwargs, _: &State) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

/// Quotes a word of a crontab's command for the shell, and escapes `%` (crontab(5)).
fn cron(text: &str, _: Kwargs, _: &State) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('%', r"\%"))
}

/// Quotes a word of a shell command that a user types.
fn shell_word(text: &str, _: Kwargs, _: &State) -> String {
    shell(text)
}

/// Encodes a text for a `data:` URL, after `;base64,` (RFC 2397).
fn base64(text: &str, _: Kwargs, _: &State) -> String {
    BASE64_STANDARD.encode(text)
}

/// Escapes the text of an XML element.
fn xml(text: &str, _: Kwargs, _: &State) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use snapbox::{Assert, Data as Snapshot};

    use super::*;
    use crate::error::Gather;
    use crate::front;
    use crate::settings::{RawSettings, RunAs, Side};

    fn spec(server: &str, change: impl FnOnce(&mut RawSettings)) -> Settings {
        let mut settings = RawSettings { server: Some(server.to_owned()), ..RawSettings::default() };
        change(&mut settings);
        Settings::check(&settings, Side::Options, RunAs { uid: 65532, gid: 65532 }, &mut Gather::default())
            .unwrap()
    }

    fn site() -> Site {
        Site {
            directory: "/srv/registry".to_owned(),
            program: "/usr/local/bin/regcert".to_owned(),
            user: None,
            hosts: vec![
                ("hub.lan".to_owned(), [10, 0, 0, 7].into()),
                ("me.lan".to_owned(), [127, 0, 1, 1].into()),
            ],
        }
    }

    #[test]
    fn the_registry_finds_what_is_in_etc_hosts() {
        let mirror = |upstream: &str| {
            let spec = spec("r.lan", |settings| settings.mirror_of = Some(upstream.to_owned()));
            rendered("docker-compose.yml", &spec)
        };
        assert!(
            mirror("https://hub.lan").contains("extra_hosts:\n      - \"hub.lan:10.0.0.7\""),
            "{}",
            mirror("https://hub.lan")
        );
        for other in ["https://me.lan", "https://other.lan", "https://10.0.0.7"] {
            assert!(!mirror(other).contains("extra_hosts"), "{other}");
        }
    }

    fn rendered(name: &str, spec: &Settings) -> String {
        render(name, &facts(spec, 1)).unwrap()
    }

    /// The facts, including the data about root certificates that the page shows.
    fn facts(spec: &Settings, roots: usize) -> serde_json::Value {
        let login = spec.mirror_of.is_some().then_some(("me", "a \"b\": # c"));
        let mut facts =
            serde_json::to_value(Facts::of(spec, &"ab".repeat(32), &site()).with_upstream_login(login))
                .expect("plain fields are JSON");
        let root = |pair: &&str| serde_json::json!({ "fingerprint": ([*pair; 32].join(":")) });
        facts["anchors"] = serde_json::json!({
            "plain_url": format!("http://{}", spec.host()),
            "package": format!("root-cert-{}", crate::names::file_stem(&spec.label())),
            "version": "2026.11.20",
            "places": (spec.ways().iter().map(|(host, port)| serde_json::json!({ "registry": (crate::settings::reference(host, *port)) })).collect::<Vec<_>>()),
            "roots": (["AB", "CD"].iter().take(roots).map(root).collect::<Vec<_>>()),
        });
        facts
    }

    fn assert_same(text: String, file: &str) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Assert::new().action_env("SNAPSHOTS").eq(text, Snapshot::read_from(&file, None).raw());
    }

    /// Settings with a port that needs no password, and with deletion turned off.
    fn anonymous() -> Settings {
        spec("registry1.myhouse.local", |settings| {
            settings.anonymous_port = Some("5443".to_owned());
            settings.anonymous_repos = Some(vec!["public/*".to_owned()]);
            settings.delete = Some("off".to_owned());
        })
    }

    /// Settings with every feature that connects to other machines.
    fn mirror(proxy: &str) -> Settings {
        spec("registry1.myhouse.local", |settings| {
            settings.proxy = Some(proxy.to_owned());
            settings.mirror_of = Some("https://registry-1.docker.io".to_owned());
            settings.notify = Some(vec!["ci=https://ci.myhouse.local/hook?x=1".to_owned()]);
            settings.metrics_port = Some("9100".to_owned());
        })
    }

    /// All files of nginx's configuration as one text.
    fn configuration(spec: &Settings) -> String {
        let read = |path: &str| front::FILES.contains(&path).then(|| rendered(path, spec));
        front::whole(&read).unwrap()
    }

    /// `SNAPSHOTS=overwrite cargo test golden` rewrites the golden files. The other shapes have golden files only for
    /// output that differs from the shape `dns`.
    #[test]
    fn every_shape_is_as_in_its_golden_files() {
        for proxy in ["nginx", "none"] {
            let with = |server, port: Option<&str>, data: Option<&str>| {
                spec(server, |settings| {
                    settings.proxy = Some(proxy.to_owned());
                    settings.https_port = port.map(str::to_owned);
                    settings.data = data.map(str::to_owned);
                })
            };
            let base = with("registry1.myhouse.local", None, None);
            let mut shapes = vec![
                ("dns", base.clone()),
                ("address-5443", with("fd00::12", Some("5443"), Some("/srv/images"))),
                ("volume", with("registry1.myhouse.local", None, Some("volume"))),
                ("mirror", mirror(proxy)),
            ];
            if proxy == "nginx" {
                shapes.push(("anonymous", anonymous()));
                let client_auth =
                    |settings: &mut RawSettings| settings.client_auth = Some("required".to_owned());
                shapes.push(("client-certificates", spec("registry1.myhouse.local", client_auth)));
            }
            for (shape, spec) in shapes {
                // Leaves out templates that give the same file in every shape, such as the page's styles and scripts.
                let with_facts = |name: &str| {
                    name != ".env"
                        && !name.starts_with("trust/")
                        && !name.ends_with("README.txt")
                        && !name.ends_with(".css")
                        && !name.ends_with(".js")
                };
                for (name, _) in TEMPLATES.iter().filter(|(name, _)| with_facts(name)) {
                    if proxy == "none" && name.starts_with("nginx/") {
                        continue;
                    }
                    let (text, golden) =
                        (rendered(name, &spec), format!("tests/golden/{proxy}-{shape}/{name}"));
                    if shape == "dns" || text != rendered(name, &base) {
                        assert_same(text, &golden);
                    } else {
                        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&golden);
                        assert!(!path.exists(), "{golden} is as in the shape `dns`: remove it");
                    }
                }
            }
        }
    }

    #[test]
    fn a_data_path_survives_yaml_and_compose() {
        for path in ["/srv/my images", "/a\"b'c", "/x$HOME/$$", "/back\\slash", "/ä #{{ y }}", "/a, b] - c"]
        {
            let spec = spec("registry", |settings| settings.data = Some(path.to_owned()));
            let compose = rendered("docker-compose.yml", &spec);
            let mount = compose.lines().find_map(|line| {
                let text: String = serde_json::from_str(line.trim().strip_prefix("- ")?).ok()?;
                text.strip_suffix(":/var/lib/registry:z").map(str::to_owned)
            });
            assert_eq!(mount, Some(path.replace('$', "$$")), "{compose}");
        }
    }

    #[test]
    fn text_does_not_break_out_of_the_page() {
        let company = r#"A & B <script src="//x">'{{ registry }}"#;
        let spec = spec("registry", |settings| settings.company = Some(company.to_owned()));
        for page in ["nginx/www/index.html", "nginx/www/plain.html"] {
            let text = rendered(page, &spec);
            assert!(text.contains("run by A &amp; B &lt;script src=&quot;"), "{text}");
            assert!(!text.contains("//x\">"), "{text}");
            assert_eq!(text.matches("<script").count(), if page.ends_with("index.html") { 2 } else { 1 });
        }
    }

    #[test]
    fn the_page_tells_of_client_certificates_where_they_are_asked_for() {
        let with = |kind: &str| spec("registry", |settings| settings.client_auth = Some(kind.to_owned()));
        for page in ["nginx/www/index.html", "nginx/www/plain.html"] {
            assert!(rendered(page, &with("required")).contains("asks each client for a certificate"));
            assert!(!rendered(page, &with("optional")).contains("asks each client for a certificate"));
        }
    }

    #[test]
    fn nothing_over_plain_http_takes_a_password() {
        let text = rendered("nginx/www/plain.html", &spec("registry", |_| {}));
        for word in ["<form", "<input", "assword", "catalog"] {
            assert!(!text.contains(word), "{word}");
        }
        assert!(rendered("nginx/www/index.html", &spec("registry", |_| {})).contains("type=\"password\""));
    }

    #[test]
    fn the_page_has_every_root_the_one_to_stay_first() {
        let spec = spec("registry", |_| {});
        for page in ["nginx/www/index.html", "nginx/www/plain.html"] {
            let text = render(page, &facts(&spec, 2)).unwrap();
            let [new, old] =
                ["AB", "CD"].map(|pair| text.find(&format!("<code>{}</code>", [pair; 32].join(":"))));
            assert!(new.is_some() && new < old, "{page}");
        }
    }

    #[test]
    fn nginx_sees_no_layers_unless_it_hands_them_out() {
        let files = |blobs_by: &str| {
            let spec = spec("registry", |settings| settings.blobs_by = Some(blobs_by.to_owned()));
            [rendered("docker-compose.yml", &spec), configuration(&spec)]
        };
        let mounts = |compose: &str| compose.matches(":/var/lib/registry:").count();
        let [compose, nginx] = files("nginx");
        assert_eq!((mounts(&compose), nginx.contains("/var/lib/registry/")), (2, true));
        let [compose, nginx] = files("registry");
        assert_eq!((mounts(&compose), nginx.contains("/var/lib/registry/")), (1, false));
    }

    /// A browser applies HSTS to every port of a name, and connects to port 443 if the URL contains no port.
    #[test]
    fn hsts_is_for_port_443_and_short() {
        for (port, seconds) in [(443, 86_400), (5443, 0)] {
            let spec = spec("registry", |settings| settings.https_port = Some(port.to_string()));
            let text = configuration(&spec);
            let sent = text.matches("Strict-Transport-Security").count();
            assert!(sent > 5, "{sent}");
            assert_eq!(
                text.matches(&format!("Strict-Transport-Security \"max-age={seconds}\"")).count(),
                sent
            );
        }
    }

    #[test]
    fn a_path_with_blanks_is_quoted_in_what_is_to_be_typed() {
        let site = Site { directory: "/srv/my registry".to_owned(), ..site() };
        let facts = Facts::of(&spec("registry", |_| {}), &"ab".repeat(32), &site);
        for template in ["renewal/cron", "renewal/service"] {
            let text = render(template, &facts).unwrap();
            assert!(text.contains("sudo cp '/srv/my registry'/renewal/"), "{text}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_filled_says_why() {
        let spec = spec("registry", |_| {});
        let fault = render("none", &facts(&spec, 1)).unwrap_err();
        assert!(fault.message.starts_with("the template `none` cannot be filled: "), "{fault}");
    }
}
