//! Every file that may be edited by hand × every setting: a change either is in each file that it concerns, or the command
//! fails, names those files, and changes nothing. What a file says alone decides: a comment never makes a command fail.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::Sandbox;

/// Key of regcert.toml, and the options that change it.
const SETTINGS: [(&str, &str); 26] = [
    ("server", "--registry-server-name registry2"),
    ("domain", "--cert-domain sub.local.priv"),
    ("sans", "--san more.local.priv"),
    ("key-type", "--key-type p384"),
    ("days", "--days 30"),
    ("country", "--cert-country-code DE"),
    ("state", "--cert-state-prov BW"),
    ("locality", "--cert-locality Ulm"),
    ("company", "--cert-company Example"),
    ("unit", "--cert-unit IT"),
    ("email", "--cert-email a@example.org"),
    ("client-auth", "--client-auth required"),
    ("client-auth", "--client-auth optional"),
    ("blobs-by", "--blobs-by registry"),
    ("delete", "--delete off"),
    ("anonymous-port", "--anonymous-port 5444"),
    ("anonymous-repos", "--anonymous-port 5444 --anonymous-repo 'public/*'"),
    ("http-port", "--http-port 8080"),
    ("http-port", "--http-port off"),
    ("https-port", "--https-port 6443"),
    ("data", "--data /srv/images"),
    ("registry-image", "--registry-image registry:2"),
    ("nginx-image", "--nginx-image nginx:1.28-alpine"),
    ("mirror-of", "--mirror-of https://mirror.example.org"),
    ("notify", "--notify ci=https://ci.example.org/hook"),
    ("metrics-port", "--metrics-port 9100"),
];

/// Keys that stand elsewhere: `run-as` needs root; `proxy` is refused by a rule of its own; `authority` is not changed by
/// `init`.
const ELSEWHERE: [&str; 3] = ["run-as", "proxy", "authority"];

/// What is secret or a copy, and no setting's.
fn may_be_edited(path: &str) -> bool {
    path != ".gitignore" && !(path.starts_with("nginx/ssl/") && path.ends_with(".crt"))
}

/// The files that regcert renders and keeps where they are edited.
fn rendered(dir: &Path) -> Vec<String> {
    let digests = fs::read(dir.join(".regcert/digests.json")).unwrap();
    let digests: BTreeMap<String, String> = serde_json::from_slice(&digests).unwrap();
    let ours = digests.into_iter().filter(|(path, digest)| digest != "kept" && may_be_edited(path));
    ours.map(|(path, _)| path).collect()
}

/// Adds a comment to a file.
fn comment(dir: &Path, path: &str) {
    let mine = match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "<!-- mine -->\n",
        Some("js" | "css") => "/* mine */\n",
        _ => "# mine\n",
    };
    let mut bytes = fs::read(dir.join(path)).unwrap();
    bytes.extend(mine.as_bytes());
    fs::write(dir.join(path), bytes).unwrap();
}

/// What a file says without its comments.
fn said(dir: &Path, path: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(dir.join(path)).ok()?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Some(bytes);
    };
    let is_said = |line: &&str| !line.trim_start().starts_with('#');
    Some(text.lines().filter(is_said).collect::<Vec<_>>().join("\n").into_bytes())
}

fn everything(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            all.extend(
                everything(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)),
            );
        } else {
            all.insert(name, fs::read(&path).unwrap());
        }
    }
    all
}

/// A registry in `registry`, and a copy of it that is put in its place again.
fn begin(sandbox: &Sandbox) {
    sandbox.ok("regcert init --permit registry2 && regcert trust >trust.txt && cp -a registry base");
}

fn again(sandbox: &Sandbox) {
    sandbox.ok("rm -rf registry && cp -a base registry");
}

#[test]
fn every_key_is_tried() {
    let sandbox = Sandbox::new();
    begin(&sandbox);
    let toml = fs::read_to_string(sandbox.path().join("registry/regcert.toml")).unwrap();
    let keys: BTreeSet<_> = toml.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    let tried: BTreeSet<_> = SETTINGS.iter().map(|(key, _)| *key).chain(ELSEWHERE).collect();
    assert_eq!(keys, tried);
}

#[test]
fn a_change_is_in_every_file_or_none_is_made() {
    let sandbox = Sandbox::new();
    begin(&sandbox);
    let dir = sandbox.path().join("registry");
    let files = rendered(&dir);
    assert!(files.len() > 30, "{files:?}");
    let mut wrong = Vec::new();
    for (_, options) in SETTINGS {
        again(&sandbox);
        let before: BTreeMap<_, _> = files.iter().map(|path| (path, said(&dir, path))).collect();
        sandbox.ok(&format!("regcert init {options}"));
        // A file that goes takes the edit with it or stays, and is read by no program any more.
        let stays = |path: &&String| dir.join(path).exists();
        let concerns: BTreeSet<_> =
            files.iter().filter(stays).filter(|path| said(&dir, path) != before[path]).collect();
        again(&sandbox);
        files.iter().for_each(|path| comment(&dir, path));
        let edited = everything(&dir);
        let output = sandbox.sh(&format!("regcert init {options}"));
        let told = String::from_utf8(output.stderr).unwrap();
        let named: BTreeSet<_> = files
            .iter()
            .filter(|path| {
                told.contains(&format!("error: `{path}` was edited by hand, and this change is not in it"))
            })
            .collect();
        let code = output.status.code().unwrap();
        let removes = told.contains("may name `nginx/ssl/");
        if !removes && (named != concerns || code != i32::from(!concerns.is_empty())) {
            wrong
                .push(format!("{options}: exit code {code}, concerns {concerns:?}, names {named:?}: {told}"));
        }
        if code != 0 && everything(&dir) != edited {
            wrong.push(format!("{options}: fails, and changed files"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// regcert.toml is the other way to change a setting.
#[test]
fn an_edit_of_regcert_toml_is_held_to_the_same() {
    let sandbox = Sandbox::new();
    begin(&sandbox);
    sandbox.ok("sed -i 's/^https-port.*/https-port = 6443/' registry/regcert.toml");
    comment(&sandbox.path().join("registry"), "docker-compose.yml");
    let told = sandbox.fails(1, "regcert init");
    assert!(told.contains("`docker-compose.yml` was edited by hand, and this change is not in it"), "{told}");
    assert!(told.contains("lacks services.nginx.ports: 6443:8443"), "{told}");
    // An older regcert did not note what it applied: then all settings are compared with the file.
    sandbox.ok("sed -i '/applied_settings/d' registry/.regcert/state.json");
    assert!(sandbox.fails(1, "regcert init").contains("lacks services.nginx.ports: 6443:8443"));
    sandbox.ok("sed -i 's/\"443:8443\"/\"6443:8443\"/' registry/docker-compose.yml && regcert init && regcert status");
}

/// Directories in which an older regcert left an edited file behind, and edits that undo a setting.
#[test]
fn status_names_each_setting_that_an_edited_file_lacks() {
    let sandbox = Sandbox::new();
    begin(&sandbox);
    let dir = sandbox.path().join("registry");
    let is_read =
        |path: &String| path.starts_with("nginx/") && path.ends_with(".conf") && !path.contains("local");
    let of_nginx = rendered(&dir).into_iter().filter(is_read);
    let carried: Vec<_> =
        of_nginx.chain(["docker-compose.yml", "registry/config.yml"].map(str::to_owned)).collect();
    carried.iter().for_each(|path| comment(&dir, path));
    sandbox.ok("regcert status");
    let mut wrong = Vec::new();
    let mut found = BTreeSet::new();
    for (key, options) in SETTINGS {
        again(&sandbox);
        let old: Vec<_> = carried.iter().map(|path| fs::read(dir.join(path)).unwrap()).collect();
        sandbox.ok(&format!("regcert init {options}"));
        let differs: Vec<_> = carried
            .iter()
            .zip(&old)
            .filter(|(path, old)| fs::read(dir.join(path)).unwrap() != **old)
            .collect();
        for (path, old) in differs {
            let new = fs::read(dir.join(path)).unwrap();
            fs::write(dir.join(path), old).unwrap();
            comment(&dir, path);
            let output = sandbox.sh("regcert status");
            let told = String::from_utf8(output.stdout).unwrap();
            if told.contains(&format!("broken: {path}: edited by hand, and not as regcert.toml says of ")) {
                assert_eq!(output.status.code(), Some(3));
                found.insert((key, path.clone()));
            } else {
                wrong.push(format!("{options}: {path}: {told}"));
            }
            fs::write(dir.join(path), new).unwrap();
        }
    }
    // Where a file only names the registry in a comment or in a message, nothing in it is out of force.
    wrong.retain(|line| !HARMLESS.iter().any(|harmless| line.starts_with(harmless)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found.len() > 20, "{found:?}");
}

/// What differs there is the name of the registry in the comment at the top, another comment, the words of an answer, or for
/// how long a browser remembers https.
const HARMLESS: [&str; 19] = [
    "--registry-server-name registry2: nginx/http/other-names.conf",
    "--cert-domain sub.local.priv: nginx/http/other-names.conf",
    "--san more.local.priv: nginx/http/other-names.conf",
    "--delete off: nginx/server/errors.conf",
    "--anonymous-port 5444: nginx/server/authorize.conf",
    "--anonymous-port 5444 --anonymous-repo 'public/*': nginx/server/authorize.conf",
    "--https-port 6443: nginx/http/other-names.conf",
    "--https-port 6443: nginx/http/registry.conf",
    "--https-port 6443: nginx/server/blobs.conf",
    "--https-port 6443: nginx/server/errors.conf",
    "--https-port 6443: nginx/server/files.conf",
    "--https-port 6443: nginx/server/page.conf",
    "--mirror-of https://mirror.example.org: nginx/server/errors.conf",
    "--registry-server-name registry2: docker-compose.yml",
    "--registry-server-name registry2: registry/config.yml",
    "--cert-domain sub.local.priv: docker-compose.yml",
    "--cert-domain sub.local.priv: registry/config.yml",
    "--https-port 6443: registry/config.yml",
    "--metrics-port 9100: registry/config.yml: never",
];

#[test]
fn own_files_of_the_user_stay_and_are_included() {
    let sandbox = Sandbox::new();
    begin(&sandbox);
    sandbox.ok("echo 'gzip off;' >>registry/nginx/local.conf && echo 'services: {}' >registry/docker-compose.override.yml");
    let before = everything(&sandbox.path());
    let told = sandbox.ok("regcert init --client-auth required --force 2>&1");
    assert!(
        told.contains("-f registry/docker-compose.yml -f registry/docker-compose.override.yml up -d")
            || !told.contains(" up -d"),
        "{told}"
    );
    for path in ["registry/nginx/local.conf", "registry/docker-compose.override.yml"] {
        assert_eq!(everything(&sandbox.path())[path], before[path]);
    }
    let conf =
        sandbox.ok("cat registry/nginx/nginx.conf registry/nginx/http/*.conf registry/nginx/server/*.conf");
    for own in ["local.con[f];", "local.server.con[f];"] {
        assert_eq!(conf.matches(&format!("include /etc/nginx/{own}")).count(), 1);
    }
    // What is in them is the user's to correct, and what is missing is no fault.
    sandbox.ok("rm registry/nginx/local.server.conf && regcert status");
    sandbox.ok("echo 'geo {' >>registry/nginx/local.conf");
    assert_eq!(
        sandbox.sh("regcert status | grep -A1 '^broken: nginx/local.conf: damaged'").status.code(),
        Some(0)
    );
    sandbox.ok("regcert init --force && grep -q 'geo {' registry/nginx/local.conf && ls registry/nginx/local.server.conf");
}

/// A timer must not end in an outage over a file for clients.
#[test]
fn a_new_root_does_not_fail_over_a_file_for_clients() {
    let sandbox = Sandbox::new();
    begin(&sandbox);
    let dir = sandbox.path().join("registry");
    comment(&dir, "trust/install.sh");
    let told = sandbox.sh("regcert rotate --ca");
    assert!(told.status.success());
    assert!(
        String::from_utf8(told.stderr).unwrap().contains("`trust/install.sh` was edited by hand and stays")
    );
    sandbox.fails(3, "regcert status");
    assert!(
        sandbox.fails(1, "regcert init --https-port 6443").contains("`trust/install.sh` was edited by hand")
    );
}

/// An edited file of secrets is shown without them.
#[test]
fn no_secret_is_shown() {
    let sandbox = Sandbox::new();
    begin(&sandbox);
    sandbox.ok("echo '  password: hidden-one' >>registry/registry/config.yml; echo me:hidden-two >hub.txt; chmod 600 hub.txt");
    sandbox.ok("echo 'Authorization: Bearer hidden-three' >headers.txt; chmod 600 headers.txt");
    let options = "--mirror-of https://mirror.example.org --mirror-credentials hub.txt --notify ci=https://ci.example.org/hook --notify-headers ci=headers.txt";
    let told = sandbox.fails(1, &format!("regcert init {options}"));
    assert!(told.contains("`registry/config.yml` was edited by hand"), "{told}");
    let shown = sandbox.sh(&format!("regcert init {options} --force"));
    let shown = String::from_utf8(shown.stderr).unwrap();
    assert!(shown.contains("your edit of registry/config.yml, which is overwritten:"), "{shown}");
    for text in [told, shown] {
        assert!(!text.contains("hidden-"), "{text}");
        assert!(
            !text.contains(sandbox.ok("sed -n 's/^  secret: //p' registry/registry/config.yml").trim()),
            "{text}"
        );
    }
}
