//! A registry in the clone of regcert: Compose finds it from there, and it replaces none of the clone's own files.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::fs;

use common::Sandbox;

/// A clone of regcert, as far as regcert knows it.
fn clone() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml"),
        sandbox.path().join("docker-compose.yml"),
    )
    .unwrap();
    sandbox
}

/// Whether Compose, started in the clone, starts the registry in `registry` under that registry's project name.
fn leads_to(sandbox: &Sandbox, registry: &str) -> bool {
    let clone = fs::read_to_string(sandbox.path().join(".env")).unwrap();
    let own = fs::read_to_string(sandbox.path().join(registry).join(".env")).unwrap();
    let project = own.lines().find(|line| line.starts_with("COMPOSE_PROJECT_NAME=")).unwrap();
    clone.contains(&format!("COMPOSE_FILE={registry}/docker-compose.yml\n"))
        && clone.lines().filter(|line| line.starts_with("COMPOSE_PROJECT_NAME=")).eq([project])
}

#[test]
fn compose_in_the_clone_starts_the_present_registry() {
    let sandbox = clone();
    sandbox.ok("regcert init --cert-domain myhouse.local --registry-server-name registry1");
    assert!(leads_to(&sandbox, "registry"), "the first run");
    sandbox.ok("regcert init --start-over --registry-server-name other");
    assert!(leads_to(&sandbox, "registry"), "another name");
    sandbox.ok("rm -r registry && regcert init --registry-server-name third");
    assert!(leads_to(&sandbox, "registry"), "another registry in the same place");
    sandbox.ok("regcert -C second init");
    assert!(leads_to(&sandbox, "registry"), "a second registry beside it");
    sandbox.ok("mv registry moved && regcert -C second init");
    assert!(leads_to(&sandbox, "second"), "the second registry alone");
    assert!(!sandbox.path().join(".env.regcert").exists());
}

#[test]
fn a_copy_of_the_clone_leaves_the_first_registry_alone() {
    let sandbox = clone();
    sandbox.ok("regcert init --registry-server-name 127.0.0.1");
    sandbox.ok("mkdir copy && cp -r .env docker-compose.yml registry copy/ && cd copy && regcert init");
    let [first, copy] =
        [".env", "copy/.env"].map(|path| fs::read_to_string(sandbox.path().join(path)).unwrap());
    assert_ne!(first, copy);
}

#[test]
fn a_user_s_own_env_in_the_clone_stays() {
    let sandbox = clone();
    sandbox.ok("echo TOKEN=secret >.env");
    let told = String::from_utf8(sandbox.sh("regcert init").stderr).unwrap();
    assert_eq!(sandbox.ok("cat .env"), "TOKEN=secret\n");
    let lines = told.split_once("add to it\n").unwrap().1.lines();
    let lines: Vec<_> = lines.map_while(|line| line.strip_prefix("  ")).collect();
    assert_eq!(lines.len(), 2, "{told}");
    sandbox.ok(&format!("printf '%s\\n' {} >>.env", lines.join(" ")));
    let told = String::from_utf8(sandbox.sh("regcert init").stderr).unwrap();
    assert!(!told.contains("warning"), "{told}");
    assert!(sandbox.ok("cat .env").starts_with("TOKEN=secret\nCOMPOSE_FILE=registry/docker-compose.yml\n"));
}

#[test]
fn the_clone_itself_is_not_made_a_registry() {
    let sandbox = clone();
    let state = || sandbox.ok("ls -A && cat docker-compose.yml");
    let before = state();
    for line in ["regcert init -C .", "regcert init -C . --force", "regcert init -C . --dry-run"] {
        let told = sandbox.fails(1, line);
        assert_eq!(
            told,
            "error: `.` is the clone of regcert itself\n\
             hint: `regcert -C ./registry init` makes a registry below it, which git ignores\n"
        );
        assert_eq!(state(), before);
    }
    sandbox.ok("regcert -C ./registry init");
}
