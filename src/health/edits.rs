//! Checks whether an edited file contains what a setting needs. Compares statements, so comments and the user's own
//! lines do not count. Pure: the caller passes in the files as text.

use std::collections::BTreeMap;

use saphyr::YamlOwned;

use crate::deployment::{Deployment, REGISTRY_CONFIG};
use crate::error::Fault;
use crate::files::{FileSet, Part, utf8};
use crate::front::{self, NGINX_CONF, directives};
use crate::render::Site;
use crate::takeover::{document, scalar};

/// The maximum number of statements that a message lists for each file.
const SHOWN_MAX: usize = 6;

/// The keys of config.yml whose values may be shown.
const PUBLIC: [&str; 6] = ["enabled", "addr", "net", "remoteurl", "level", "disabled"];

/// Substrings of the statements that implement a setting, by part. A setting also changes other statements, but the
/// setting still works if those were edited.
const CARRIERS: [(Part, &[&str]); 4] = [
    (Part::Front, &front::CARRIERS),
    (
        Part::Engine,
        &[
            ".image: ",
            ".ports: ",
            ".user: ",
            ":/var/lib/registry",
            ".network_mode: ",
            ".SSL_CERT_DIR: ",
            "volumes.data",
        ],
    ),
    (
        Part::RegistryConfig,
        &[
            "storage.delete.",
            "proxy.",
            "notifications.",
            "http.debug.",
            "http.addr: ",
            "http.net: ",
            "http.tls.certificate: ",
        ],
    ),
    (Part::RegistryHealth, &["/run/regcert/metrics"]),
];

/// Hints by part: the files for the user's own lines. regcert never rewrites these files.
const OWN_PLACES: [(Part, &str); 3] = [
    (Part::Front, front::OWN_PLACE),
    (
        Part::Engine,
        "move your own lines to `docker-compose.override.yml`, which Compose reads as well and regcert never writes",
    ),
    (
        Part::RegistryConfig,
        "move your own settings to `docker-compose.override.yml`, as `REGISTRY_…` variables of the service `registry`; regcert never writes that file",
    ),
];

/// An edited file that lacks a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    pub path: String,
    /// Statements that the file needs but does not contain.
    pub missing: Vec<String>,
    /// Statements that the file contains but must not contain.
    pub stale: Vec<String>,
}

/// Returns the statements that the edited file `on_disk` lacks or must lose for the change from `before` to `after`;
/// `None` if there are none, or if only comments change. nginx.conf is compared together with its included files,
/// because a user or an earlier regcert may have written everything into one file.
pub fn unreached(path: &str, on_disk: &[u8], before: &FileSet, after: &FileSet) -> Option<Unreached> {
    let wanted = after.get(path)?;
    if path != NGINX_CONF {
        let before = before.get(path).map_or(&[][..], |file| &file.bytes);
        return compared(path, on_disk, before, &wanted.bytes);
    }
    let on_disk = utf8(on_disk).map(String::from_utf8_lossy).unwrap_or_default();
    let read = |path: &str| match path {
        NGINX_CONF => Some(on_disk.to_string()),
        _ => after.text(path).map(str::to_owned),
    };
    let [has, before, after] =
        [front::whole(&read), front::of(before), front::of(after)].map(Option::unwrap_or_default);
    compared(path, has.as_bytes(), before.as_bytes(), after.as_bytes())
}

fn compared(path: &str, on_disk: &[u8], before: &[u8], after: &[u8]) -> Option<Unreached> {
    if before == after || on_disk == after {
        return None;
    }
    let text = |bytes| utf8(bytes).ok().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let found = Unreached { path: path.to_owned(), missing: Vec::new(), stale: Vec::new() };
    let (Some(on_disk), Some(before), Some(after)) = (text(on_disk), text(before), text(after)) else {
        return Some(found);
    };
    if after.starts_with("-----BEGIN") {
        return Some(found);
    }
    let [has, old, new] = statements(path, [on_disk, before, after]);
    let count = |all: &Statements, one: &str| {
        all.iter().filter(|(known, _)| holds(known, one)).map(|(_, n)| n).sum::<usize>()
    };
    let needs = |(one, n): &(&String, &usize)| {
        **n > old.get(*one).copied().unwrap_or_default() && count(&has, one) < **n
    };
    // If a container port must no longer be published, no host port may publish it.
    let gone: Vec<_> = old
        .keys()
        .filter_map(|one| inside(one))
        .filter(|port| !new.keys().any(|one| inside(one) == Some(*port)))
        .collect();
    let forbids = |(one, _): &(&String, &usize)| {
        !new.contains_key(*one)
            && (old.contains_key(*one) || inside(one).is_some_and(|port| gone.contains(&port)))
    };
    let text = |(one, _): (&String, &usize)| one.clone();
    let stale: Vec<_> = has.iter().filter(forbids).map(text).collect();
    // A text for users may lack new statements, because the user may reword it. It must not contain outdated ones.
    let missing: Vec<_> =
        if Part::of(path).only_informs() { Vec::new() } else { new.iter().filter(needs).map(text).collect() };
    (!missing.is_empty() || !stale.is_empty()).then_some(Unreached { missing, stale, ..found })
}

/// Each statement with its number of occurrences.
type Statements = BTreeMap<String, usize>;

/// Splits each text into the statements of the file's format; into lines, unless all three texts are valid.
fn statements(path: &str, texts: [&str; 3]) -> [Statements; 3] {
    let parse = |text: &str| match path.rsplit_once('.') {
        Some((_, "yml")) => flat(text),
        Some((_, "conf")) => Some(nested(text)),
        Some(_) | None => None,
    };
    let parsed = texts.map(parse);
    let all = match parsed {
        [Some(a), Some(b), Some(c)] => [a, b, c],
        [..] => texts.map(lines),
    };
    all.map(|statements| {
        statements.into_iter().fold(Statements::new(), |mut counted, one| {
            *counted.entry(one).or_default() += 1;
            counted
        })
    })
}

/// Returns the trimmed lines, without comments and empty lines.
fn lines(text: &str) -> Vec<String> {
    let spoken = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//");
    text.lines().map(str::trim).filter(spoken).map(str::to_owned).collect()
}

/// Returns the directives of nginx's configuration, each prefixed with the names of its blocks.
fn nested(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for words in directives(text) {
        match words.last().map(String::as_str) {
            Some("{") => blocks.push(words[..words.len() - 1].join(" ")),
            Some("}") => _ = blocks.pop(),
            Some(_) | None => all.push(format!("{}{};", within(&blocks, " > "), words.join(" "))),
        }
    }
    all
}

fn within(blocks: &[String], arrow: &str) -> String {
    blocks.iter().map(|block| format!("{block}{arrow}")).collect()
}

/// Returns the scalars of a YAML file, each prefixed with its keys; `None` if the text is not valid YAML.
fn flat(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    descend(&document(text).ok()?, "", &mut all);
    Some(all)
}

fn descend(node: &YamlOwned, keys: &str, all: &mut Vec<String>) {
    if let Some(mapping) = node.as_mapping() {
        for (key, value) in mapping {
            let key = scalar(key).unwrap_or_default();
            let keys = if keys.is_empty() { key } else { format!("{keys}.{key}") };
            descend(value, &keys, all);
        }
    } else if let Some(sequence) = node.as_sequence() {
        sequence.iter().for_each(|value| descend(value, keys, all));
    } else {
        all.push(format!("{keys}: {}", scalar(node).unwrap_or_default()));
    }
}

/// Returns the keys and the container port of a published port.
fn inside(statement: &str) -> Option<(&str, &str)> {
    let (keys, port) = statement.split_once(".ports: ")?;
    Some((keys, port.rsplit_once(':')?.1))
}

/// Whether `known` satisfies `wanted`. A port that is published on only one address counts as published.
fn holds(known: &str, wanted: &str) -> bool {
    let ports =
        |text: &str| text.split_once(".ports: ").map(|(keys, port)| (keys.to_owned(), port.to_owned()));
    match (ports(known), ports(wanted)) {
        (Some((keys, known)), Some((wanted_keys, wanted))) => {
            keys == wanted_keys && (known == wanted || known.ends_with(&format!(":{wanted}")))
        }
        (Some(_), None) | (None, _) => known == wanted,
    }
}

impl Unreached {
    /// Returns one line for each statement, up to the maximum, and the number of the rest. Masks possible secrets.
    fn shown(&self) -> String {
        let line = |mark: &str, one: &String| format!("\n  {mark} {}", short(&masked(&self.path, one, ": ")));
        let missing = self.missing.iter().map(|one| line("lacks", one));
        let stale = self.stale.iter().map(|one| line("still has", one));
        let all: Vec<_> = missing.chain(stale).collect();
        let more = all.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        all.into_iter().take(SHOWN_MAX).collect::<String>() + &more
    }

    /// Returns the error for a command whose change is missing from the edited file.
    pub fn fault(&self, rewrites: &str) -> Fault {
        let Self { path, .. } = self;
        Fault::new(format!(
            "`{path}` was edited by hand, and this change is not in it; nothing was changed{}",
            self.shown()
        ))
        .hint(format!(
            "{}; then {rewrites}. Or write the change into `{path}` yourself, and run the command again",
            own_place(path)
        ))
    }

    /// Returns the message and the cure that `status` shows for the settings that the file lacks.
    pub fn told(&self, settings: &[String]) -> (String, String) {
        let settings: Vec<_> = settings.iter().map(|setting| format!("`{setting}`")).collect();
        (
            format!(
                "edited by hand, and not as regcert.toml says of {}{}",
                settings.join(", "),
                self.shown()
            ),
            format!(
                "{}; then run `regcert init --force --reload`. Or write it into the file yourself, and reload",
                own_place(&self.path)
            ),
        )
    }
}

/// Masks possible secrets: in config.yml, every value except those of the `PUBLIC` keys.
fn masked(path: &str, line: &str, end_of_key: &str) -> String {
    match line.split_once(end_of_key) {
        Some((key, _))
            if path == REGISTRY_CONFIG && !PUBLIC.iter().any(|public| key.trim_start().ends_with(public)) =>
        {
            format!("{key}{end_of_key} …").replace("  …", " …")
        }
        Some(_) => line.to_owned(),
        None if path == REGISTRY_CONFIG && !line.trim_start().starts_with('#') => "…".to_owned(),
        None => line.to_owned(),
    }
}

/// Shortens a text to about two lines.
fn short(text: &str) -> String {
    const MAX: usize = 160;
    if text.chars().count() <= MAX {
        text.to_owned()
    } else {
        text.chars().take(MAX).collect::<String>() + "…"
    }
}

/// Returns the hint that names a file for the user's own lines. regcert does not rewrite that file.
fn own_place(path: &str) -> &'static str {
    let place = OWN_PLACES.iter().find(|(part, _)| *part == Part::of(path));
    place.map_or("keep a copy of your edit", |(_, place)| place)
}

/// Returns the edit of a file as lines: first the lines that a rewrite removes, then those that it restores. `written`
/// are the files without the edit. An nginx.conf in one piece is compared with the new nginx.conf and its included
/// files; comments come last, because an earlier regcert wrote most of them.
pub fn edit(path: &str, on_disk: &[u8], written: &FileSet) -> Vec<String> {
    let on_disk = String::from_utf8_lossy(on_disk).into_owned();
    let is_whole = path == NGINX_CONF && front::is_in_one_piece(&on_disk);
    let as_written = written.get(path).map(|file| String::from_utf8_lossy(&file.bytes).into_owned());
    let Some(written) = (if is_whole { front::of(written) } else { as_written }) else {
        return Vec::new();
    };
    let only = |lines: &str, others: &str, mark: &str| {
        let mut others: Vec<_> = others.lines().collect();
        let alone = |line: &&str| match others.iter().position(|other| other == line) {
            Some(at) => {
                others.swap_remove(at);
                false
            }
            None => !line.trim().is_empty(),
        };
        let lines: Vec<_> = lines.lines().filter(alone).map(|line| masked(path, line, ":")).collect();
        lines.into_iter().map(|line| format!("{mark} {}", short(&line))).collect::<Vec<_>>()
    };
    let mut lines = [only(&on_disk, &written, "-"), only(&written, &on_disk, "+")].concat();
    if is_whole {
        lines.sort_by_key(|line| line.get(2..).is_some_and(|said| said.trim_start().starts_with('#')));
    }
    lines
}

/// Returns the edited files that lack settings, each with the keys of these settings. `on_disk` are all edited files.
/// A file has a setting if it contains what the value needs, and nothing that only other values need.
pub fn swallowed(
    deployment: &Deployment,
    site: &Site,
    on_disk: &[(String, Vec<u8>)],
) -> Result<Vec<(Unreached, Vec<String>)>, Fault> {
    let mut all: Vec<(Unreached, Vec<String>)> = Vec::new();
    if on_disk.is_empty() {
        return Ok(all);
    }
    let now = deployment.configuration(&deployment.spec, site)?;
    for (key, spec) in deployment.spec.alternatives() {
        let other = deployment.configuration(&spec, site)?;
        for (path, bytes) in on_disk.iter().filter(|(path, _)| !Part::of(path).only_informs()) {
            if other.get(path).is_none() {
                continue;
            }
            let Some(mut found) = unreached(path, bytes, &other, &now) else {
                continue;
            };
            for list in [&mut found.missing, &mut found.stale] {
                list.retain(|one| carries(path, one));
            }
            if found.missing.is_empty() && found.stale.is_empty() {
                continue;
            }
            match all.iter_mut().find(|(known, _)| known.path == found.path) {
                Some((known, keys)) => {
                    if known.add(found) && !keys.contains(&key.to_owned()) {
                        keys.push(key.to_owned());
                    }
                }
                None => all.push((found, vec![key.to_owned()])),
            }
        }
    }
    Ok(all)
}

impl Unreached {
    /// Merges the result of another comparison. Returns true if this adds a statement.
    fn add(&mut self, other: Self) -> bool {
        let before = self.missing.len() + self.stale.len();
        for (own, more) in [(&mut self.missing, other.missing), (&mut self.stale, other.stale)] {
            own.extend(more);
            own.sort();
            own.dedup();
        }
        self.missing.len() + self.stale.len() > before
    }
}

fn carries(path: &str, statement: &str) -> bool {
    let carriers = CARRIERS.iter().find(|(part, _)| *part == Part::of(path));
    carriers.is_some_and(|(_, parts)| parts.iter().any(|part| statement.contains(part)))
}
