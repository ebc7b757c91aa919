//! What a person reads after a run: what was made, and the exact commands that come next, in the order a person needs
//! them. Text only; `ui` prints it.

mod taken_over;

pub use taken_over::{Takeover, taken_over};

use std::path::Path;

use crate::deployment::{Deployment, ROLES};
use crate::files::{Action, Change};
use crate::names::{Host, Username, shell};
use crate::pki::date;
use crate::probe::{Compose, Project, Step};
use crate::spec::Proxy;
use crate::trust::INSTALL;

/// After the first run.
pub fn created(
    deployment: &Deployment,
    compose: Compose,
    dir: &Path,
    user: &Username,
    password: Option<&str>,
) -> String {
    let registry = deployment.spec.registry();
    let password = password
        .map_or(String::new(), |password| format!("\n  password            {password}   (shown only now)"));
    let (Some(root), Some(server)) = (deployment.root(), &deployment.server) else {
        return waiting(deployment, dir, user, &password);
    };
    let leaf = server.leaf();
    let admits = root.constraints.as_ref().map_or("every name".to_owned(), ToString::to_string);
    let root_path = deployment.root_path();
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
  cd {dir} && {compose} up -d

On each client{resolves}:
  copy trust/{INSTALL} there, and
    sudo sh {INSTALL}        # shows the SHA-256 above and asks
  {others}

Then use it:
  docker login -u {user} {registry}
{uses}

`regcert check` looks at it as a client does.
",
        dir = shell(&dir.display().to_string()),
        certificate = deployment.certificate_path(),
        names = leaf.names.join(", "),
        leaf_until = date(leaf.validity.not_after),
        root_until = date(root.validity.not_after),
        fingerprint = root.fingerprint(),
        users = deployment.users_path(),
        others = other_clients(deployment),
        uses = uses(deployment),
        resolves = match deployment.spec.host() {
            Host::Dns(name) => format!(" ({name} must lead to this machine, by DNS or /etc/hosts)"),
            Host::Ip(_) => String::new(),
        },
    )
}

/// How images are named, after the login and where none is needed.
fn uses(deployment: &Deployment) -> String {
    let registry = deployment.spec.registry();
    let mut lines = match &deployment.spec.mirror_of {
        Some(upstream) => format!("  docker pull {registry}/IMAGE      # an IMAGE of {upstream}"),
        None => format!("  docker tag alpine {registry}/alpine\n  docker push {registry}/alpine"),
    };
    if let Some(anonymous) = deployment.spec.anonymous_registry() {
        lines += &format!("\n  docker pull {anonymous}/IMAGE      # no login");
    }
    lines
}

/// Where clients find what is not the script.
fn other_clients(deployment: &Deployment) -> String {
    match deployment.spec.proxy {
        Proxy::Nginx => format!(
            "packages, Windows, macOS: {} in a browser; clusters: `regcert trust`",
            deployment.anchors().plain_url()
        ),
        Proxy::None => "packages, Windows, macOS, clusters: `regcert trust`".to_owned(),
    }
}

/// After the first run where somebody else's authority is to sign.
fn waiting(deployment: &Deployment, dir: &Path, user: &Username, password: &str) -> String {
    format!(
        "\
{registry} waits in {dir} for somebody else's authority

  request             {request}
    asks for          {names}
  users               {users}
  first user          {user}{password}

Have the request signed, then:
  regcert -C {dir} import-cert SIGNED --ca-cert THEIR-ROOT
",
        registry = deployment.spec.registry(),
        dir = shell(&dir.display().to_string()),
        request = deployment.request_path(),
        names = deployment.spec.names().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        users = deployment.users_path(),
    )
}

/// After a later run; `steps` are left to the person.
pub fn renewed(deployment: &Deployment, project: &Project, password: Option<&str>, steps: &[Step]) -> String {
    let mut lines = Vec::new();
    if let Some(server) = &deployment.server {
        let leaf = server.leaf();
        lines.push(format!(
            "server certificate  {}, until {}",
            leaf.names.join(", "),
            date(leaf.validity.not_after)
        ));
    }
    if let Some(root) = deployment.root() {
        lines.push(format!(
            "root certificate    until {}, SHA-256 {}",
            date(root.validity.not_after),
            root.fingerprint()
        ));
    }
    if let Some(password) = password {
        lines.push(format!("password            {password}   (shown only now)"));
    }
    if !steps.is_empty() {
        lines.extend([String::new(), take(deployment, project, steps)]);
    }
    lines.join("\n")
}

/// How a person makes the running registry take new files.
pub fn take(deployment: &Deployment, project: &Project, steps: &[Step]) -> String {
    let mut commands: Vec<_> = steps.iter().map(|step| project.command(*step)).collect();
    // An older regcert had the socket in a volume that belonged to one user; the new docker-compose.yml has another.
    if deployment.state.project.is_none()
        && steps.contains(&Step::Up)
        && deployment.spec.proxy == Proxy::Nginx
    {
        commands.push(format!("docker volume rm -f {}", project.old_socket()));
    }
    format!(
        "Make the running registry take it (`--reload` does that):\n  cd {} && {}",
        project.shown(),
        commands.join(" && ")
    )
}

/// After a step of a rotation of the root.
pub fn rotated(deployment: &Deployment) -> String {
    match &deployment.retiring {
        Some(_) => format!(
            "
Clients with the old root go on working, and so do clients with only the new one. Next:
  on every client, run trust/{INSTALL} again, or take its package or file anew: all have both
  then: regcert rotate --ca --finish --reload",
        ),
        None => format!(
            "
trust/{INSTALL}, the packages and the files below trust/ take the old root out of clients that use them again."
        ),
    }
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
        (
            proxied && changed(&|path| path.starts_with("nginx/") && !read_at_each_request(path)),
            Step::ReloadNginx,
        ),
        // After nginx: what the registry takes from now on is for nginx to refuse.
        (registry, Step::RestartRegistry),
    ]
    .into_iter()
    .filter_map(|(needed, step)| needed.then_some(step))
    .collect()
}

/// Passwords, and the page; not the roles.
fn read_at_each_request(path: &str) -> bool {
    path != ROLES && ["nginx/auth/", "nginx/www/"].iter().any(|directory| path.starts_with(directory))
}
