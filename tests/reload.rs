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

/// Says on a file what it was called with, and has another worker after a reload.
const DOCKER: &str = r#"#!/bin/sh
echo "$@" >> called
worker=11
while read -r line; do
    case $line in *' -s reload') worker=12 ;; esac
done < called
case "$*" in
    *'top nginx') printf '%s\n' "UID PID CMD" "65532 10 nginx: master process" "65532 $worker nginx: worker process" ;;
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
        "compose exec -T nginx nginx -q -t\ncompose top nginx\ncompose exec -T nginx nginx -s reload\ncompose top nginx\n"
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
    assert!(called(&sandbox).starts_with("compose up -d --remove-orphans\n"), "{}", called(&sandbox));
}

#[test]
fn an_older_compose_is_found() {
    let (sandbox, pem) = registry("");
    std::os::unix::fs::symlink("registry/nginx/ssl/registry.local.priv.pem", pem).unwrap();
    fs::remove_file(sandbox.path().join("../bin/docker")).unwrap();
    sandbox.program("docker-compose", DOCKER);
    let stderr = String::from_utf8(sandbox.sh("regcert init").stderr).unwrap();
    assert!(
        stderr.ends_with("\n  cd registry && docker-compose exec -T nginx nginx -s reload\n"),
        "{stderr}"
    );
    sandbox.ok("regcert init --reload");
    assert_eq!(
        called(&sandbox),
        "exec -T nginx nginx -q -t\ntop nginx\nexec -T nginx nginx -s reload\ntop nginx\n"
    );
}

#[test]
fn a_command_that_fails_is_told_with_its_words() {
    let (sandbox, _) = registry("");
    sandbox.program(
        "docker",
        "#!/bin/sh\n[ \"$2\" = version ] || { echo 'no such service: nginx' >&2; exit 1; }\n",
    );
    let stderr = sandbox.fails(1, "regcert init --reload");
    assert!(
        stderr.ends_with(
            "error: `docker compose exec -T nginx nginx -q -t` failed: no such service: nginx\n\
             hint: is it running (`docker compose up -d`)? If so, it goes on with the old files\n"
        ),
        "{stderr}"
    );
}

/// stderr of a reload after which the certificate of the registry in `served` is shown.
fn reload_while_showing(served: &str) -> String {
    let (sandbox, pem) = registry("");
    sandbox.ok("regcert -C other init");
    fs::copy(sandbox.path().join(served).join("nginx/ssl/registry.local.priv.pem"), pem).unwrap();
    sandbox.fails(1, "regcert init --reload")
}

/// stderr of a reload of a registry whose container ended.
fn reload_while_nobody_listens() -> String {
    let sandbox = Sandbox::new();
    sandbox.program("docker", DOCKER);
    // Below the ports that the system gives to whoever asks: no other test listens there.
    sandbox.ok("regcert init --https-port 1");
    sandbox.fails(1, "regcert init --reload")
}

#[test]
fn anything_but_the_new_certificate_is_no_success() {
    // All at once: each waits 15 seconds for the right one.
    let nobody = std::thread::spawn(reload_while_nobody_listens);
    let other = std::thread::spawn(|| reload_while_showing("other"));
    let stale = reload_while_showing("registry");
    assert!(
        stale.ends_with(
            "error: the registry was reloaded and still serves another certificate\n\
             hint: `docker compose logs` says why; `docker compose up -d --force-recreate` starts it again\n"
        ),
        "{stale}"
    );
    let other = other.join().unwrap();
    let last = other.lines().last().unwrap();
    assert!(
        last.starts_with("error: the registry was reloaded and does not answer: invalid peer certificate: "),
        "{last}"
    );
    let nobody = nobody.join().unwrap();
    let last = nobody.lines().last().unwrap();
    assert!(last.starts_with("error: the registry was reloaded and does not answer: 127.0.0.1:"), "{last}");
    assert!(last.contains(" does not take a connection: "), "{last}");
}
