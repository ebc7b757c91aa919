//! The built-in templates and the facts they are filled with. Values that a person typed come from closed alphabets
//! or go through the `yaml` filter; templates decide nothing beyond "is it there".

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use crate::error::Fault;
use crate::spec::{ClientAuth, Data, Proxy, Spec};

/// Name below `templates/`, and text.
const TEMPLATES: &[(&str, &str)] = &[
    ("docker-compose.yml", include_str!("../templates/docker-compose.yml")),
    ("nginx/nginx.conf", include_str!("../templates/nginx/nginx.conf")),
    ("registry/config.yml", include_str!("../templates/registry/config.yml")),
    ("renewal/cron", include_str!("../templates/renewal/cron")),
    ("renewal/service", include_str!("../templates/renewal/service")),
    ("renewal/timer", include_str!("../templates/renewal/timer")),
    ("trust/ca.crt", include_str!("../templates/trust/ca.crt")),
    ("trust/k3s/registries.yaml", include_str!("../templates/trust/k3s/registries.yaml")),
];

/// Where the registry lies and what program made it: what a timer needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The directory, absolute.
    pub directory: String,
    /// regcert itself, absolute.
    pub program: String,
}

/// What a template may say. Lists are joined and choices made here.
#[derive(Serialize)]
pub struct Facts {
    /// Host and, where it is not 443, port: as in an image reference.
    registry: String,
    /// Stem of the server certificate's files.
    certificate: String,
    /// nginx `server_name`: every name and address, IPv6 in brackets.
    server_names: String,
    /// `:5443`, or nothing for 443.
    public_port: String,
    http_port: u16,
    https_port: u16,
    /// Whether nginx stands in front.
    proxied: bool,
    /// `uid:gid` of the containers.
    run_as: String,
    uid: u32,
    gid: u32,
    registry_image: String,
    nginx_image: String,
    /// Compose's short form, `source:target:options`.
    data_mount: String,
    /// Whether Docker manages the data.
    volume: bool,
    /// nginx `ssl_verify_client`: `on`, `optional`, or nothing.
    client_auth: &'static str,
    /// The output directory, absolute.
    directory: String,
    /// regcert itself, absolute.
    program: String,
    /// 64 hexadecimal digits.
    http_secret: String,
    /// The registry that this one is a mirror of, or nothing.
    mirror_of: String,
    /// For the mirror's upstream: user and password, or nothing.
    upstream_user: String,
    upstream_password: String,
    /// Who is told of pushes and pulls.
    webhooks: Vec<Hook>,
    /// For Prometheus; 0 for none.
    metrics_port: u16,
    /// Whether the registry speaks to anybody but nginx.
    networked: bool,
}

#[derive(Serialize)]
struct Hook {
    name: String,
    url: String,
}

impl Facts {
    /// The facts of a registry.
    pub fn of(spec: &Spec, http_secret: &str, site: &Site) -> Self {
        let bracketed = |name: String| if name.contains(':') { format!("[{name}]") } else { name };
        let names: Vec<_> = spec.names().iter().map(|name| bracketed(name.to_string())).collect();
        // The source is taken literally but for `$`, which Compose would replace.
        let (data_mount, volume) = match &spec.data {
            Data::Directory(path) => (format!("{}:/var/lib/registry:z", path.replace('$', "$$")), false),
            // Without `nocopy` docker-compose 1.29 hands the new volume back to root after `data-owner` has run.
            Data::Volume => ("data:/var/lib/registry:z,nocopy".to_owned(), true),
        };
        Self {
            registry: spec.registry(),
            certificate: spec.host().to_string(),
            server_names: names.join(" "),
            public_port: if spec.https_port == 443 { String::new() } else { format!(":{}", spec.https_port) },
            http_port: spec.http_port,
            https_port: spec.https_port,
            proxied: spec.proxy == Proxy::Nginx,
            run_as: spec.run_as.to_string(),
            uid: spec.run_as.uid,
            gid: spec.run_as.gid,
            registry_image: spec.registry_image.to_string(),
            nginx_image: spec.nginx_image.to_string(),
            data_mount,
            volume,
            client_auth: match spec.client_auth {
                ClientAuth::Off => "",
                ClientAuth::Optional => "optional",
                ClientAuth::Required => "on",
            },
            directory: site.directory.clone(),
            program: site.program.clone(),
            http_secret: http_secret.to_owned(),
            mirror_of: spec.mirror_of.as_ref().map(ToString::to_string).unwrap_or_default(),
            upstream_user: String::new(),
            upstream_password: String::new(),
            webhooks: spec
                .notify
                .iter()
                .map(|hook| Hook { name: hook.name().to_owned(), url: hook.url() })
                .collect(),
            metrics_port: spec.metrics_port.unwrap_or(0),
            networked: spec.mirror_of.is_some() || !spec.notify.is_empty() || spec.metrics_port.is_some(),
        }
    }

    /// The same with the user and the password for a mirror's upstream.
    pub fn with_upstream_login(mut self, login: Option<(&str, &str)>) -> Self {
        if let Some((user, password)) = login {
            (self.upstream_user, self.upstream_password) = (user.to_owned(), password.to_owned());
        }
        self
    }
}

/// Fills the template `name`.
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
    // Escaping is by filter: none of these files is HTML.
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("yaml", yaml);
    tera.register_filter("systemd", systemd);
    tera.register_filter("cron", cron);
    // Only the one: none extends another, and reading all of them would take longer than filling one.
    let template = TEMPLATES.iter().find(|(known, _)| *known == name);
    tera.add_raw_templates(template.copied()).map_err(failed)?;
    let context = Context::from_serialize(facts).map_err(failed)?;
    tera.render(name, &context).map_err(failed)
}

/// A YAML double-quoted string. JSON's is one (YAML 1.2.2 §1.2).
fn yaml(text: &str, _: Kwargs, _: &State) -> String {
    serde_json::Value::from(text).to_string()
}

/// A word of a systemd command line (systemd.service(5)): quoted, with its specifiers and variables as text.
fn systemd(text: &str, _: Kwargs, _: &State) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

/// A word of a crontab's command: for the shell, and with `%` as text (crontab(5)).
fn cron(text: &str, _: Kwargs, _: &State) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('%', r"\%"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use snapbox::{Assert, Data as Snapshot};

    use super::*;
    use crate::error::Gather;
    use crate::spec::{RunAs, Settings, Side};

    fn spec(server: &str, change: impl FnOnce(&mut Settings)) -> Spec {
        let mut settings = Settings { server: Some(server.to_owned()), ..Settings::default() };
        change(&mut settings);
        Spec::check(&settings, Side::Options, RunAs { uid: 65532, gid: 65532 }, &mut Gather::default())
            .unwrap()
    }

    fn site() -> Site {
        Site { directory: "/srv/registry".to_owned(), program: "/usr/local/bin/regcert".to_owned() }
    }

    fn rendered(name: &str, spec: &Spec) -> String {
        let login = spec.mirror_of.is_some().then_some(("me", "a \"b\": # c"));
        render(name, &Facts::of(spec, &"ab".repeat(32), &site()).with_upstream_login(login)).unwrap()
    }

    fn assert_same(text: String, file: &str) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Assert::new().action_env("SNAPSHOTS").eq(text, Snapshot::read_from(&file, None).raw());
    }

    /// With everything that speaks to others.
    fn mirror(proxy: &str) -> Spec {
        spec("registry1.myhouse.local", |settings| {
            settings.proxy = Some(proxy.to_owned());
            settings.mirror_of = Some("https://registry-1.docker.io".to_owned());
            settings.notify = Some(vec!["ci=https://ci.myhouse.local/hook?x=1".to_owned()]);
            settings.metrics_port = Some("9100".to_owned());
        })
    }

    /// `SNAPSHOTS=overwrite cargo test golden` writes them anew.
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
            for (shape, spec) in [
                ("dns", with("registry1.myhouse.local", None, None)),
                ("address-5443", with("fd00::12", Some("5443"), Some("/srv/images"))),
                ("volume", with("registry1.myhouse.local", None, Some("volume"))),
                ("mirror", mirror(proxy)),
            ] {
                for (name, _) in TEMPLATES.iter().filter(|(name, _)| !name.starts_with("trust/")) {
                    if proxy == "nginx" || *name != "nginx/nginx.conf" {
                        assert_same(rendered(name, &spec), &format!("tests/golden/{proxy}-{shape}/{name}"));
                    }
                }
            }
        }
    }

    #[test]
    fn the_compose_file_of_this_repository_is_what_init_writes() {
        let spec = spec("registry1", |settings| settings.domain = Some("myhouse.local".to_owned()));
        assert_same(rendered("docker-compose.yml", &spec), "docker-compose.yml");
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
    fn a_template_that_cannot_be_filled_says_why() {
        let spec = spec("registry", |_| {});
        let fault = render("none", &Facts::of(&spec, "", &site())).unwrap_err();
        assert!(fault.message.starts_with("the template `none` cannot be filled: "), "{fault}");
    }
}
