//! The built-in templates and the facts they are filled with. Values that a person typed come from closed alphabets
//! or go through the `yaml` filter; templates decide nothing beyond "is it there".

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use crate::error::Fault;
use crate::spec::{Data, Proxy, Spec};

/// Name below `templates/`, which is its place in the output, and text.
const TEMPLATES: [(&str, &str); 3] = [
    ("docker-compose.yml", include_str!("../templates/docker-compose.yml")),
    ("nginx/nginx.conf", include_str!("../templates/nginx/nginx.conf")),
    ("registry/config.yml", include_str!("../templates/registry/config.yml")),
];

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
    /// 64 hexadecimal digits.
    http_secret: String,
}

impl Facts {
    /// The facts of a registry.
    pub fn of(spec: &Spec, http_secret: &str) -> Self {
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
            http_secret: http_secret.to_owned(),
        }
    }
}

/// Fills the template `name`.
pub fn render(name: &str, facts: &Facts) -> Result<String, Fault> {
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
    tera.add_raw_templates(TEMPLATES).map_err(failed)?;
    let context = Context::from_serialize(facts).map_err(failed)?;
    tera.render(name, &context).map_err(failed)
}

/// A YAML double-quoted string. JSON's is one (YAML 1.2.2 §1.2).
fn yaml(text: &str, _: Kwargs, _: &State) -> String {
    serde_json::Value::from(text).to_string()
}
