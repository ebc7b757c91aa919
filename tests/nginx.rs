//! The files of nginx in a directory: how one of regcert 0.1.0, with a single nginx.conf, takes the files of today, and what
//! becomes of an edit of either form.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Sandbox;

/// A registry whose nginx.conf is a single file, as regcert 0.1.0 wrote it; `edit` is what the user did to it.
fn old(edit: &str) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.ok("regcert init --permit alias --docker-username ann");
    let dir = sandbox.path().join("registry");
    let whole = output(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/nginx-whole"), &dir.join("nginx"));
    sandbox.ok("rm -r registry/nginx/http registry/nginx/server registry/nginx/local*");
    fs::write(dir.join("nginx/nginx.conf"), whole).unwrap();
    let digest = output("sha256sum", &dir.join("nginx/nginx.conf"));
    let digest = digest.split(' ').next().unwrap().to_owned();
    let path = dir.join(".regcert/digests.json");
    let mut digests: BTreeMap<String, String> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    digests.retain(|path, _| !path.starts_with("nginx/http/") && !path.starts_with("nginx/server/"));
    digests.insert("nginx/nginx.conf".to_owned(), digest);
    fs::write(&path, serde_json::to_vec(&digests).unwrap()).unwrap();
    sandbox.ok(edit);
    (sandbox, dir)
}

/// What a program of this machine prints.
fn output(program: &str, argument: &Path) -> String {
    let output = Command::new(program).arg(argument).output().unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8(output.stdout).unwrap()
}

fn read(dir: &Path, path: &str) -> String {
    fs::read_to_string(dir.join(path)).unwrap()
}

#[test]
fn a_single_nginx_conf_takes_the_new_form_with_the_next_change() {
    for command in ["init", "rotate", "add-user bob --role pull </dev/null"] {
        let (sandbox, dir) = old("true");
        let told = sandbox.fails(3, "regcert status >&2");
        assert!(told.contains("due: nginx/nginx.conf: not as it should be"), "{told}");
        assert!(!told.contains("nginx/http/"), "{told}");
        sandbox.ok(&format!("regcert {command}"));
        let main = read(&dir, "nginx/nginx.conf");
        assert!(main.lines().count() < 100 && main.contains("include /etc/nginx/http/tls.conf;"), "{main}");
        assert!(read(&dir, "nginx/http/tls.conf").contains("ssl_certificate "));
        assert!(read(&dir, "nginx/local.conf").lines().all(|line| line.starts_with('#')));
        assert!(read(&dir, "nginx/auth/registry.passwd").contains("ann:"));
        sandbox.ok("regcert status");
    }
}

#[test]
fn a_dry_run_shows_it() {
    let (sandbox, dir) = old("true");
    let told = sandbox.ok("regcert rotate --dry-run 2>&1");
    for line in ["changed         nginx/nginx.conf", "added           nginx/http/tls.conf"] {
        assert!(told.contains(line), "{told}");
    }
    assert!(!dir.join("nginx/http").exists());
}

/// Its server, its passwords and its roles stay where it looks for them.
#[test]
fn a_single_nginx_conf_that_was_edited_stays() {
    let (sandbox, dir) = old("echo '# mine' >>registry/nginx/nginx.conf");
    let edited = read(&dir, "nginx/nginx.conf");
    let told = sandbox.ok("regcert status");
    assert!(told.contains("note: nginx/nginx.conf: edited by hand, and kept"), "{told}");
    sandbox.ok("regcert add-user bob --role pull </dev/null && regcert rotate");
    assert_eq!(read(&dir, "nginx/nginx.conf"), edited);
    assert!(read(&dir, "nginx/auth/registry.roles").contains("=bob"));
    for path in edited.split_whitespace().filter_map(|word| word.strip_prefix("/etc/nginx/ssl/")) {
        assert!(dir.join("nginx/ssl").join(path.trim_end_matches(';')).exists(), "{path}");
    }
    // A change that it lacks is refused, and one that does not concern it is made.
    let told = sandbox.fails(1, "regcert init --client-auth required");
    assert!(told.contains("`nginx/nginx.conf` was edited by hand, and this change is not in it"), "{told}");
    assert!(told.contains("lacks http > ssl_verify_client on;"), "{told}");
    sandbox.ok("regcert init --http-port 8080");
    let told = sandbox.ok("regcert init --client-auth required --force 2>&1");
    // The user's line, and not the lines that are in other files now.
    assert!(told.contains("your edit of nginx/nginx.conf, which is overwritten:\n  - # mine\n"), "{told}");
    assert!(!told.contains("  - server_tokens") && !told.contains("- ssl_protocols"), "{told}");
    assert!(read(&dir, "nginx/nginx.conf").contains("include /etc/nginx/http/tls.conf;"));
    sandbox.ok("regcert status");
}

/// An edit of one file keeps that one as it is, and no other.
#[test]
fn an_edit_of_an_included_file_freezes_that_file_alone() {
    let sandbox = Sandbox::new();
    sandbox.ok("regcert init --permit alias && echo '# mine' >>registry/nginx/http/log.conf");
    let told = sandbox.ok("regcert status");
    assert_eq!(told.matches("edited by hand").count(), 1, "{told}");
    assert!(told.contains("note: nginx/http/log.conf: edited by hand, and kept"), "{told}");
    for options in
        ["--client-auth required", "--registry-server-name alias", "--metrics-port 9100", "--delete off"]
    {
        sandbox.ok(&format!("regcert init {options}"));
    }
    let dir = sandbox.path().join("registry");
    assert!(read(&dir, "nginx/http/log.conf").ends_with("# mine\n"));
    assert!(read(&dir, "nginx/http/metrics.conf").contains("listen 8082;"));
    assert!(read(&dir, "nginx/http/registry.conf").contains("server_name alias."));
    // Comments alone concern no setting; what carries one does.
    sandbox.ok("echo '# mine' >>registry/nginx/http/registry.conf");
    let told = sandbox.fails(1, "regcert init --registry-server-name registry");
    assert!(told.contains("`nginx/http/registry.conf` was edited by hand"), "{told}");
    assert!(told.contains("`nginx/local.conf` (for `http`)"), "{told}");
}

/// nginx would not start: that is an error, and the cure cures.
#[test]
fn a_missing_included_file_is_told_and_made_again() {
    let sandbox = Sandbox::new();
    sandbox.ok(
        "regcert init && echo '# mine' >>registry/nginx/nginx.conf && rm registry/nginx/server/login.conf",
    );
    let told = sandbox.fails(3, "regcert status >&2");
    assert!(told.contains("broken: nginx/server/login.conf: missing"), "{told}");
    sandbox.ok("regcert init && regcert status && ls registry/nginx/server/login.conf");
}
