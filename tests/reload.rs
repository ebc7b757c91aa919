//! `init --reload` against a TLS server of this process and a `docker` that is a script: the right commands in the right
//! order, and success only where the new certificate is really served.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use common::Sandbox;
use rustls::{ServerConfig, ServerConnection, Stream};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Writes to a file what it was called with, but for questions. Both containers run from this directory; nginx has
/// another worker after a reload. What lies in files beside it replaces parts of that.
const DOCKER: &str = r#"#!/bin/sh
project=registry
[ ! -e project ] || read -r project < project
[ -e .env ] && [ ! -e project ] && while IFS='=' read -r key value; do
    case $key in COMPOSE_PROJECT_NAME) project=$value ;; esac
done < .env
container() { # SERVICE MOUNT DESTINATION
    state='"Status":"running","ExitCode":0'
    [ ! -e "state-$1" ] || read -r state < "state-$1"
    home=$PWD
    [ ! -e home ] || read -r home < home
    printf '{"Id":"id-%s","Name":"/%s-%s-1","RestartCount":4,"State":{%s},"Config":{"Image":"%s","Labels":{"com.docker.compose.project":"%s","com.docker.compose.project.working_dir":"%s"}},"Mounts":[{"Destination":"%s","Source":"%s/%s"},{"Destination":"/var/lib/registry","Source":"%s/data"},{"Destination":"/run/regcert","Source":"/var/lib/docker/volumes/old/_data"}]}' \
        "$1" "$project" "$1" "$state" "$1" "$project" "$home" "$3" "$home" "$2" "$home"
}
case "$*" in
    ps\ *) echo id-registry; echo id-nginx; exit ;;
    inspect\ *) printf '['; container registry registry /etc/regcert; printf ','; container nginx trust /srv/trust; echo ']'; exit ;;
    logs\ *) cat log >&2; exit ;;
    volume\ inspect\ *) echo tmpfs ;;
    *' sh -c '*' http://'*) [ -e silent ] || echo '{}'; exit ;;
    *' sh -c '*) [ ! -e read-only ]; exit ;;
esac
echo "$@" >> called
worker=11
while read -r line; do
    case $line in *' -s reload') worker=12 ;; esac
done < called
case "$*" in
    top\ *) printf '%s\n' "UID PID CMD" "65532 10 nginx: master process" "65532 $worker nginx: worker process" ;;
esac
"#;

/// Shows each client whatever certificate lies at `pem` at that moment; ends with the process. Gives its port.
fn serve(pem: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let pem = fs::read(&pem).unwrap();
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config =
                ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
            let config = config.with_no_client_auth().with_single_cert(chain.unwrap(), key).unwrap();
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            // A client that hangs up is the client's business.
            _ = Stream::new(&mut tls, &mut socket).flush();
            while tls.is_handshaking() && tls.complete_io(&mut socket).is_ok() {}
        }
    });
    port
}

/// A registry that is served; its sandbox with a `docker`, and where its certificate lies.
fn registry(options: &str) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.program("docker", DOCKER);
    let pem = sandbox.path().join("served.pem");
    let port = serve(pem.clone());
    sandbox.ok(&format!("regcert init --https-port {port} {options}"));
    (sandbox, pem)
}

fn called(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path().join("registry/called")).unwrap_or_default()
}

#[test]
fn a_renewal_reloads_nginx_and_is_seen() {
    let (sandbox, pem) = registry("");
    std::os::unix::fs::symlink("registry/nginx/ssl/registry.local.priv.pem", pem).unwrap();
    let stderr = String::from_utf8(sandbox.sh("regcert init --reload").stderr).unwrap();
    assert!(stderr.ends_with("\nreloaded: the registry serves the new certificate\n"), "{stderr}");
    assert!(!stderr.contains("docker compose"), "{stderr}");
    assert_eq!(
        called(&sandbox),
        "exec id-nginx nginx -q -t\nexec id-nginx nginx -q -t\ntop id-nginx\nexec id-nginx nginx -s reload\ntop id-nginx\n"
    );
}

#[test]
fn without_nginx_the_registry_is_restarted() {
    let (sandbox, pem) = registry("--proxy none");
    std::os::unix::fs::symlink("registry/registry/ssl/registry.local.priv.pem", pem).unwrap();
    sandbox.ok("regcert init --reload");
    assert_eq!(called(&sandbox), "compose restart registry\n");
}

#[test]
fn other_settings_make_the_containers_anew() {
    let (sandbox, pem) = registry("");
    std::os::unix::fs::symlink("registry/nginx/ssl/registry.local.priv.pem", pem).unwrap();
    sandbox.ok("regcert init --reload --http-port 8080");
    let expected = "exec id-nginx nginx -q -t\ncompose up -d --remove-orphans\n";
    assert!(called(&sandbox).starts_with(expected), "{}", called(&sandbox));
}

#[test]
fn an_older_compose_is_named() {
    let (sandbox, _) = registry("");
    fs::remove_file(sandbox.path().join("../bin/docker")).unwrap();
    sandbox.program("docker-compose", DOCKER);
    let stderr = String::from_utf8(sandbox.sh("regcert init").stderr).unwrap();
    assert!(
        stderr.ends_with("\n  docker-compose -f registry/docker-compose.yml exec -T nginx nginx -s reload\n"),
        "{stderr}"
    );
}

#[test]
fn a_command_that_fails_is_told_with_its_last_line() {
    let (sandbox, _) = registry("");
    sandbox.program("docker", "#!/bin/sh\necho 'a warning' >&2; echo 'it hurts' >&2; exit 1\n");
    let stderr = sandbox.fails(1, "regcert init --reload");
    assert!(stderr.contains("error: `docker ps -aq --no-trunc --filter"), "{stderr}");
    assert!(stderr.ends_with("failed: it hurts\nhint: `docker ps` must work\n"), "{stderr}");
}

#[test]
fn docker_that_cannot_be_used_is_told_with_its_cure() {
    let (sandbox, _) = registry("");
    for (said, expected) in [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "error: the Docker daemon does not run\nhint: run `systemctl start docker`\n",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "error: this user may not use Docker\n\
             hint: run `usermod -aG docker $USER` and log in again, or run this command with sudo\n",
        ),
    ] {
        sandbox.program("docker", &format!("#!/bin/sh\necho '{said}' >&2; exit 1\n"));
        for command in ["regcert init --reload", "regcert gc"] {
            let stderr = of_root(&sandbox.fails(1, command));
            assert!(stderr.ends_with(expected), "{command}: {stderr}");
        }
    }
}

/// What root would be told: root needs no sudo.
fn of_root(stderr: &str) -> String {
    stderr.replace("`sudo ", "`")
}

/// stderr of a reload of a registry beside which `files` lie, with their text; and what docker was told to do.
fn reload_beside(files: &[(&str, &str)], command: &str) -> (String, String) {
    let (sandbox, pem) = registry("");
    std::os::unix::fs::symlink("registry/nginx/ssl/registry.local.priv.pem", pem).unwrap();
    for (name, text) in files {
        fs::write(sandbox.path().join("registry").join(name), format!("{text}\n")).unwrap();
    }
    let stderr = sandbox.fails(1, command);
    (stderr, called(&sandbox))
}

#[test]
fn what_runs_under_another_name_is_left_alone() {
    let (stderr, called) = reload_beside(&[("project", "other")], "regcert init --reload --http-port 8080");
    assert_eq!(called, "");
    assert!(stderr.contains("error: this registry runs as the Compose project `other` (`other-registry-1`), not as `registry-local-priv-"), "{stderr}");
    assert!(
        stderr.contains("\nhint: run `export COMPOSE_PROJECT_NAME=other`, then this command again; or, "),
        "{stderr}"
    );
    assert!(
        stderr.ends_with("`docker compose -f registry/docker-compose.yml -p other down && docker compose -f registry/docker-compose.yml up -d`\n"),
        "{stderr}"
    );
    let (stderr, called) = reload_beside(&[], "COMPOSE_PROJECT_NAME=theirs regcert init --reload");
    assert_eq!(called, "");
    assert!(stderr.ends_with(", not as `theirs`, and was left alone\nhint: run `unset COMPOSE_PROJECT_NAME`, then this command again\n"), "{stderr}");
}

#[test]
fn the_containers_of_another_directory_are_left_alone() {
    for (command, hint) in [
        (
            "regcert init --reload --http-port 8080",
            "where this directory is a copy, `regcert -C registry init` gives it another name",
        ),
        ("regcert gc", "where this directory is a copy, `regcert -C registry init` gives it another name"),
        (
            "COMPOSE_PROJECT_NAME=theirs regcert init --reload",
            "run `unset COMPOSE_PROJECT_NAME`, then this command again",
        ),
    ] {
        // A directory that is there.
        let mut files = vec![("home", "/usr")];
        files.extend(command.contains('=').then_some(("project", "theirs")));
        let (stderr, called) = reload_beside(&files, command);
        assert_eq!(called, "");
        assert!(stderr.contains("error: the Compose project `"), "{stderr}");
        assert!(stderr.contains("` belongs to another directory, `/usr` ("), "{stderr}");
        assert!(stderr.ends_with(&format!("), and was left alone\nhint: {hint}\n")), "{stderr}");
    }
}

#[test]
fn a_registry_that_does_not_answer_is_no_success() {
    let looped = ("state-registry", r#""Status":"restarting","ExitCode":1"#);
    let log = "starting\nlevel=fatal msg=\"listen unix: no space\"\nUsage: registry";
    let socket = "bind: /run/regcert/registry.sock: Permission denied";
    let (mend, down) = (
        "mend what it says, then run `docker compose -f registry/docker-compose.yml ",
        "the volume with its socket belongs to another user: run `docker compose -f registry/docker-compose.yml down && docker volume rm -f old && docker compose -f registry/docker-compose.yml up -d`",
    );
    let cases = [
        (
            vec![looped, ("log", log)],
            "error: `registry` is not running: container `registry-local-priv-",
            mend,
        ),
        (
            vec![looped, ("log", log)],
            "(exit code 1, 4 restarts): level=fatal msg=\"listen unix: no space\"\n",
            mend,
        ),
        (vec![looped, ("log", socket)], socket, down),
        (
            vec![("silent", ""), ("log", "an error")],
            "error: nginx gets no answer from the registry in container `registry-local-priv-",
            "run `docker compose -f registry/docker-compose.yml logs registry nginx`\n",
        ),
        (
            vec![("read-only", "")],
            " may not write where it keeps images: every push fails\n",
            "run `chown -R ",
        ),
    ];
    // All at once: each waits 15 seconds for an answer.
    std::thread::scope(|scope| {
        for (files, error, hint) in cases {
            scope.spawn(move || {
                let (stderr, _) = reload_beside(&files, "regcert init --reload");
                assert!(stderr.contains(error), "{stderr}");
                assert!(of_root(&stderr).contains(&format!("\nhint: {hint}")), "{stderr}");
            });
        }
    });
}

/// stderr of a reload after which the certificate of the registry in `served` is shown.
fn reload_while_showing(served: &str) -> String {
    let (sandbox, pem) = registry("");
    sandbox.ok("regcert -C other init");
    fs::copy(sandbox.path().join(served).join("nginx/ssl/registry.local.priv.pem"), pem).unwrap();
    sandbox.fails(1, "regcert init --reload")
}

/// stderr of a reload of a registry whose container ended.
fn reload_while_nothing_listens() -> String {
    let sandbox = Sandbox::new();
    sandbox.program("docker", DOCKER);
    // Below the ports that the system hands out: no other test listens there.
    sandbox.ok("regcert init --https-port 1");
    sandbox.fails(1, "regcert init --reload")
}

#[test]
fn anything_but_the_new_certificate_is_no_success() {
    // All at once: each waits 15 seconds for the right one.
    let silent = std::thread::spawn(reload_while_nothing_listens);
    let other = std::thread::spawn(|| reload_while_showing("other"));
    let stale = reload_while_showing("registry");
    assert!(
        stale.ends_with(
            "error: the registry was reloaded and still serves another certificate\n\
             hint: `docker compose -f registry/docker-compose.yml logs` says why; \
             `docker compose -f registry/docker-compose.yml up -d --force-recreate` starts it again\n"
        ),
        "{stale}"
    );
    let other = other.join().unwrap();
    let last = other.lines().last().unwrap();
    assert!(
        last.starts_with("error: the registry was reloaded and does not answer: invalid peer certificate: "),
        "{last}"
    );
    let silent = silent.join().unwrap();
    let last = silent.lines().last().unwrap();
    assert!(last.starts_with("error: the registry was reloaded and does not answer: 127.0.0.1:"), "{last}");
    assert!(last.contains(" does not take a connection: "), "{last}");
}
