//! Reads an existing docker-compose.yml: images, ports, mounts and environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};

use super::{Entry, Look, read_text};
use crate::error::Fault;
use crate::names::{PROJECT_NAME, environment_file, printable};

/// The file names that Compose looks for, in this order.
pub const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// The contents of a docker-compose.yml.
#[derive(Debug, Default)]
pub struct Compose {
    /// The services, in the order of the file.
    pub services: Vec<Service>,
    /// The name that Docker uses for each named volume, by the volume's key in the file.
    pub volumes: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub struct Service {
    pub name: String,
    pub image: String,
    /// The published ports: for each, the port on the host and the port in the container.
    pub ports: Vec<(u16, u16)>,
    pub mounts: Vec<Mount>,
    pub environment: BTreeMap<String, String>,
    /// The user that the service's processes run as, if given.
    pub user: Option<String>,
}

/// A mount in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub source: Source,
    /// The path in the container.
    pub target: PathBuf,
}

/// The source of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or directory on the host.
    Host(PathBuf),
    /// A named volume, by the volume's key in the file.
    Volume(String),
}

impl Service {
    /// The source of the innermost mount that contains `path`, and the rest of the path below the mount.
    pub fn mounted(&self, path: &Path) -> Option<(&Source, PathBuf)> {
        let below = |mount: &Mount| path.strip_prefix(&mount.target).map(Path::to_owned).ok();
        let mounts = self.mounts.iter().filter_map(|mount| Some((mount, below(mount)?)));
        let nearest = mounts.max_by_key(|(mount, _)| mount.target.components().count())?;
        Some((&nearest.0.source, nearest.1))
    }

    /// The path on the host for a path in the container; `None` if the path is not in a directory of the host.
    pub fn on_host(&self, path: &Path) -> Option<PathBuf> {
        match self.mounted(path)? {
            (Source::Host(source), rest) if rest.as_os_str().is_empty() => Some(source.clone()),
            (Source::Host(source), rest) => Some(source.join(rest)),
            (Source::Volume(_), _) => None,
        }
    }

    /// The port on the host at which Docker publishes `port` of the container.
    pub fn published(&self, port: u16) -> Option<u16> {
        self.ports.iter().find(|(_, inside)| *inside == port).map(|(outside, _)| *outside)
    }

    /// Whether the last part of the image's name, without the tag, is `name`.
    pub fn runs(&self, name: &str) -> bool {
        let image = self.image.split('@').next().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        last.split(':').next() == Some(name)
    }
}

/// Reads the Compose file in `dir`. Returns the file's name and contents, or `None` if there is no such file.
pub fn find(dir: &Path, look: Look<'_>) -> Result<Option<(&'static str, Compose)>, Fault> {
    for name in NAMES {
        let path = dir.join(name);
        if matches!(look(&path), Entry::Nothing) {
            continue;
        }
        let text = read_text(&path, look)?;
        let settings = match look(&dir.join(".env")) {
            Entry::File(bytes) => environment_file(&String::from_utf8_lossy(&bytes)),
            Entry::Nothing | Entry::Directory(_) | Entry::Link(_) | Entry::Unreadable(_) => BTreeMap::new(),
        };
        let named =
            |fault: Fault| Fault { message: format!("`{}`: {}", path.display(), fault.message), ..fault };
        return Ok(Some((name, parse(&text, dir, &settings).map_err(named)?)));
    }
    Ok(None)
}

/// Parses the text of a docker-compose.yml in `dir`. `settings` contains the variables from `.env`.
pub fn parse(text: &str, dir: &Path, settings: &BTreeMap<String, String>) -> Result<Compose, Fault> {
    let document = document(text)?;
    let text = |node: &YamlOwned| scalar(node).map(|text| interpolated(&text, settings));
    let project = document
        .as_mapping_get("name")
        .and_then(text)
        .or_else(|| settings.get(PROJECT_NAME).cloned())
        .unwrap_or_else(|| dir.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let project = project_name(&project);
    let services = entries(document.as_mapping_get("services"));
    let volumes = entries(document.as_mapping_get("volumes"));
    Ok(Compose {
        services: services.into_iter().map(|(name, node)| service(name, node, dir, &text)).collect(),
        volumes: volumes
            .into_iter()
            .map(|(key, node)| {
                let name = volume_name(&key, node, &project, &text);
                (key, name)
            })
            .collect(),
    })
}

/// Parses the first document of a YAML file.
pub fn document(text: &str) -> Result<YamlOwned, Fault> {
    let documents = YamlOwned::load_from_str(text);
    let fault =
        |why: String| Fault::new(format!("it is not YAML: {}", printable(&why))).hint("mend it first");
    documents
        .map_err(|e| fault(e.to_string()))?
        .into_iter()
        .next()
        .ok_or_else(|| fault("it is empty".to_owned()))
}

/// The text of a scalar; `None` for null and for any other node.
pub fn scalar(node: &YamlOwned) -> Option<String> {
    match node {
        YamlOwned::Value(ScalarOwned::String(text)) => Some(text.clone()),
        YamlOwned::Value(ScalarOwned::Integer(number)) => Some(number.to_string()),
        YamlOwned::Value(ScalarOwned::Boolean(is)) => Some(is.to_string()),
        YamlOwned::Value(ScalarOwned::FloatingPoint(number)) => Some(number.to_string()),
        YamlOwned::Tagged(_, node) => scalar(node),
        YamlOwned::Value(ScalarOwned::Null)
        | YamlOwned::Representation(..)
        | YamlOwned::Sequence(_)
        | YamlOwned::Mapping(_)
        | YamlOwned::Alias(_)
        | YamlOwned::BadValue => None,
    }
}

fn entries(node: Option<&YamlOwned>) -> Vec<(String, &YamlOwned)> {
    let mapping = node.and_then(YamlOwned::as_mapping).into_iter().flatten();
    mapping.filter_map(|(key, value)| Some((scalar(key)?, value))).collect()
}

fn items(node: Option<&YamlOwned>) -> impl Iterator<Item = &YamlOwned> {
    node.and_then(YamlOwned::as_sequence).into_iter().flatten()
}

type Text<'a> = &'a dyn Fn(&YamlOwned) -> Option<String>;

fn service(name: String, node: &YamlOwned, dir: &Path, text: Text<'_>) -> Service {
    let get = |key: &str| node.as_mapping_get(key).and_then(text);
    let environment = node.as_mapping_get("environment");
    let listed = items(environment).filter_map(text);
    let listed = listed.filter_map(|line| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())));
    let mapped = entries(environment).into_iter().filter_map(|(key, value)| Some((key, text(value)?)));
    Service {
        image: get("image").unwrap_or_default(),
        ports: items(node.as_mapping_get("ports")).filter_map(|port| published(port, text)).collect(),
        mounts: items(node.as_mapping_get("volumes")).filter_map(|one| mount(one, dir, text)).collect(),
        environment: listed.chain(mapped).collect(),
        user: get("user"),
        name,
    }
}

/// Parses a published port: `[ADDRESS:]HOST:CONTAINER[/tcp]`, or the long form with keys.
fn published(node: &YamlOwned, text: Text<'_>) -> Option<(u16, u16)> {
    let get = |key: &str| node.as_mapping_get(key).and_then(text).and_then(|port| port.parse().ok());
    let Some(short) = text(node) else {
        return Some((get("published")?, get("target")?));
    };
    let mut parts = short.split('/').next()?.rsplit(':');
    let inside = parts.next()?.parse().ok()?;
    Some((parts.next()?.parse().ok()?, inside))
}

/// Parses a mount: `SOURCE:TARGET[:OPTIONS]`, or the long form with keys. `None` for an anonymous volume.
fn mount(node: &YamlOwned, dir: &Path, text: Text<'_>) -> Option<Mount> {
    let get = |key: &str| node.as_mapping_get(key).and_then(text);
    let (source, target) = match text(node) {
        None => (get("source").or_else(|| get("src"))?, get("target").or_else(|| get("dst"))?),
        Some(short) => {
            let mut parts = short.split(':').map(str::to_owned);
            (parts.next()?, parts.next()?)
        }
    };
    let source = if source.starts_with(['.', '/']) {
        Source::Host(normal(&dir.join(source)))
    } else {
        Source::Volume(source)
    };
    Some(Mount { source, target: normal(Path::new(&target)) })
}

/// Removes `.` from the path and resolves `..`, without access to the disk.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => _ = out.pop(),
            std::path::Component::Prefix(_)
            | std::path::Component::RootDir
            | std::path::Component::Normal(_) => out.push(part),
        }
    }
    out
}

/// The name that Docker uses for the volume with this key.
fn volume_name(key: &str, node: &YamlOwned, project: &str, text: Text<'_>) -> String {
    let external = node.as_mapping_get("external");
    let inner = external.and_then(|external| external.as_mapping_get("name")).and_then(text);
    let is_external = external.is_some_and(|external| scalar(external).is_none_or(|is| is == "true"));
    let name = node.as_mapping_get("name").and_then(text).or(inner);
    name.unwrap_or_else(|| if is_external { key.to_owned() } else { format!("{project}_{key}") })
}

/// Converts a directory's name to a project name, as both versions of Compose do.
fn project_name(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let name: String = text.to_lowercase().chars().filter(plain).collect();
    name.trim_start_matches(['-', '_']).to_owned()
}

/// Replaces `$NAME`, `${NAME}` and `${NAME:-default}` by their values, and `$$` by a dollar sign.
fn interpolated(text: &str, settings: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out += before;
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, default, after) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some((inside, after)) => {
                let end = inside.find([':', '-']).unwrap_or(inside.len());
                (&inside[..end], inside[end..].trim_start_matches(':').trim_start_matches('-'), after)
            }
            None => {
                let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
                let end = after.find(word).unwrap_or(after.len());
                (&after[..end], "", &after[end..])
            }
        };
        out += settings.get(name).map_or(default, String::as_str);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn compose(text: &str) -> Compose {
        let settings = [("PORT".to_owned(), "5000".to_owned())].into();
        parse(text, Path::new("/srv/My Registry"), &settings).unwrap()
    }

    #[test]
    fn short_and_long_forms_say_the_same() {
        let short = "services: {r: {image: 'registry:2', ports: ['127.0.0.1:${PORT}:5000/tcp'], volumes: ['./a/../data:/var/lib/registry:ro'], environment: ['A=b=c']}}";
        let long = "services: {r: {image: registry:2, ports: [{target: 5000, published: 5000}], volumes: [{type: bind, source: ./data, target: /var/lib/registry/}], environment: {A: b=c}}}";
        for text in [short, long] {
            let service = compose(text).services.pop().unwrap();
            assert!(service.runs("registry"));
            assert_eq!(service.ports, [(5000, 5000)]);
            assert_eq!(
                service.on_host(Path::new("/var/lib/registry/docker")),
                Some("/srv/My Registry/data/docker".into())
            );
            assert_eq!(service.environment["A"], "b=c");
        }
    }

    #[test]
    fn a_volume_has_the_name_that_docker_knows() {
        let volumes =
            compose("volumes:\n  a:\n  b: {external: true}\n  c: {external: {name: x}}\n  d: {name: y}\n")
                .volumes;
        assert_eq!(volumes["a"], "myregistry_a");
        assert_eq!([&volumes["b"], &volumes["c"], &volumes["d"]], ["b", "x", "y"]);
    }

    #[test]
    fn variables_come_from_the_env_file() {
        let settings = environment_file("# x\nA=1\nB = 'two words'\n");
        assert_eq!(interpolated("$A-${B}-${C:-z}-${C-y}-$$A-$C.", &settings), "1-two words-z-y-$A-.");
    }

    #[test]
    fn what_is_no_yaml_is_refused() {
        assert!(parse("a: [", Path::new("/x"), &BTreeMap::new()).is_err());
        assert!(parse("", Path::new("/x"), &BTreeMap::new()).is_err());
    }
}
