//! What a person reads after a run: what was made, and the exact commands that come next, in the order a person needs
//! them. Text only; `ui` prints it.

use std::path::Path;

use crate::deployment::Deployment;
use crate::files::{Action, Change};
use crate::names::{Host, Username};
use crate::pki::date;
use crate::probe::Step;
use crate::spec::Proxy;

/// After the first run.
pub fn created(deployment: &Deployment, dir: &Path, user: &Username, password: Option<&str>) -> String {
    let registry = deployment.spec.registry();
    let (root, leaf) = (deployment.authority.certificate(), deployment.server.leaf());
    let admits = root.constraints.as_ref().map_or("every name".to_owned(), ToString::to_string);
    let package = deployment.debian_package_path();
    let package_name = package.rsplit('/').next().unwrap_or(&package);
    let root_path = deployment.root_path();
    let root_name = root_path.rsplit('/').next().unwrap_or(&root_path);
    let password = password
        .map_or(String::new(), |password| format!("\n  password            {password}   (shown only now)"));
    format!(
        "\
{registry} is ready in {dir}

  server certificate  {certificate}
    covers            {names}
    until             {leaf_until}
  root certificate    {root_path}
    admits            {admits}
    until             {root_until}
    SHA-256           {fingerprint}
  users               {users}
  first user          {user}{password}

Start it:
  cd {dir} && docker compose up -d

On each client{resolves}, make Docker trust it, in one of two ways:
  Debian, Ubuntu: copy {package} there, and
    sudo apt install ./{package_name} && sudo systemctl restart docker
  elsewhere: copy {root_path} there, and
    sudo install -D -m 644 {root_name} /etc/docker/certs.d/{registry}/ca.crt

Then use it:
  docker login -u {user} {registry}
  docker tag alpine {registry}/alpine
  docker push {registry}/alpine
",
        dir = shell(&dir.display().to_string()),
        certificate = deployment.certificate_path(),
        names = leaf.names.join(", "),
        leaf_until = date(leaf.validity.not_after),
        root_until = date(root.validity.not_after),
        fingerprint = root.fingerprint(),
        users = deployment.users_path(),
        resolves = match deployment.spec.host() {
            Host::Dns(name) =>
                format!(", where {name} must lead to this machine (DNS, or a line in /etc/hosts)"),
            Host::Ip(_) => String::new(),
        },
    )
}

/// After a later run; `steps` are left to the person.
pub fn renewed(deployment: &Deployment, dir: &Path, password: Option<&str>, steps: &[Step]) -> String {
    let leaf = deployment.server.leaf();
    let mut text = format!(
        "server certificate  {}, until {}\nroot certificate    the same, SHA-256 {}",
        leaf.names.join(", "),
        date(leaf.validity.not_after),
        deployment.authority.certificate().fingerprint()
    );
    if let Some(password) = password {
        text += &format!("\npassword            {password}   (shown only now)");
    }
    if !steps.is_empty() {
        let commands: Vec<_> =
            steps.iter().map(|step| format!("docker compose {}", step.words().join(" "))).collect();
        let dir = shell(&dir.display().to_string());
        text += &format!(
            "\n\nMake the running registry take it (`regcert init --reload` does both):\n  cd {dir} && {}",
            commands.join(" && ")
        );
    }
    text
}

/// What a running registry needs in order to take the change.
pub fn steps(deployment: &Deployment, change: &Change) -> Vec<Step> {
    let proxied = deployment.spec.proxy == Proxy::Nginx;
    let moves = |path: &str| path.starts_with("nginx/") || path.starts_with("registry/");
    let changed = |test: &dyn Fn(&str) -> bool| {
        let moved = change
            .actions
            .iter()
            .filter(|(_, action)| !matches!(action, Action::Unchanged | Action::EditedByHand));
        moved.into_iter().any(|(path, _)| test(path.as_str()))
    };
    let registry = if proxied {
        changed(&|path| path == "registry/config.yml")
    } else {
        changed(&|path| moves(path) && !path.contains("/auth/"))
    };
    [
        (changed(&|path| path == "docker-compose.yml"), Step::Up),
        (registry, Step::RestartRegistry),
        (
            proxied && changed(&|path| path.starts_with("nginx/") && !path.contains("/auth/")),
            Step::ReloadNginx,
        ),
    ]
    .into_iter()
    .filter_map(|(needed, step)| needed.then_some(step))
    .collect()
}

/// `text` as one word of a shell.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
