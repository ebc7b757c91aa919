//! The texts shown after a run: the results, and the exact commands to run next, in order. `ui` prints them.

mod news;
mod taken_over;
mod words;

pub use news::News;
pub use taken_over::{Takeover, taken_over};
pub use words::{AsRoot, OVERRIDE, Words};

use crate::deployment::Deployment;
use crate::files::{Action, Change, Effect};
use crate::names::{DnsName, Host, ImageRef, Username};
use crate::pki::date;
use crate::probe::{Here, Leads, Project, Step, Version};
use crate::settings::Proxy;
use crate::trust::INSTALL;

/// The file in which a machine looks up a name before it asks DNS.
const HOSTS: &str = "/etc/hosts";

/// Describes the first run: the results, the commands up to the first push, and notes.
pub fn created(
    deployment: &Deployment,
    words: &Words,
    here: &Here,
    user: &Username,
    password: Option<&str>,
) -> String {
    let password = password
        .map_or(String::new(), |password| format!("\n  password            {password}   (shown only now)"));
    let (Some(root), Some(server)) = (deployment.root(), &deployment.server) else {
        return waiting(deployment, words, user, &password);
    };
    let leaf = server.leaf();
    let made = format!(
        "\
{registry} is ready in {dir}

  server certificate  {certificate}, until {leaf_until}
    covers            {names}
  root certificate    {root_path}, until {root_until}
    allows            {admits}
    SHA-256           {fingerprint}
  first user          {user}{password}",
        registry = deployment.spec.registry(),
        dir = words.path(""),
        certificate = words.path(&deployment.certificate_path()),
        names = leaf.names.join(", "),
        leaf_until = date(leaf.validity.not_after),
        root_path = words.path(&deployment.root_path()),
        root_until = date(root.validity.not_after),
        admits = root.constraints.as_ref().map_or("every name".to_owned(), ToString::to_string),
        fingerprint = root.fingerprint(),
    );
    let first =
        room(deployment, here).map(|(why, options)| format!("{why}: `regcert init --start-over {options}`"));
    let parts =
        [Some(made), first, Some(begin(deployment, words, here, user)), Some(notes(deployment, words, here))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

/// Lists the commands up to the first push, and the commands for other machines.
pub fn begin(deployment: &Deployment, words: &Words, here: &Here, user: &Username) -> String {
    format!(
        "On this machine, run in this order:\n{}\n\n{}",
        indented(&first_push(deployment, words, here, user)),
        other_clients(deployment, words, here)
    )
}

/// Lists the commands up to the first push. The pushed image is already on this machine, because the registry uses it.
fn first_push(deployment: &Deployment, words: &Words, here: &Here, user: &Username) -> Vec<String> {
    let registry = deployment.spec.registry();
    let mut commands = vec![words.compose("up -d")];
    let is_unknown = here.leads == Leads::Nowhere;
    match words.as_root {
        AsRoot::Already | AsRoot::Sudo => {
            let also = if is_unknown { format!("adds the name to {HOSTS}, ") } else { String::new() };
            commands.push(format!(
                "{}      # {also}shows the SHA-256 above and asks you to confirm it",
                words.regcert_as_root("trust install")
            ));
        }
        // Under `su -c`, root has no terminal to confirm on, and regcert cannot tell which user typed the command, so
        // regcert refuses that user's directory. The script has the same effect.
        AsRoot::Su => {
            let also = if is_unknown { format!(" --address {}", here.own_address()) } else { String::new() };
            let script = words.path(&format!("trust/{INSTALL}"));
            commands.push(words.by_root(&format!("sh {script} --yes{also}")));
        }
    }
    commands.push(words.docker(&format!("login -u {user} {registry}")));
    match &deployment.spec.mirror_of {
        Some(upstream) => {
            commands.push(words.docker(&format!("pull {registry}/IMAGE      # an IMAGE of {upstream}")));
        }
        None => {
            let image: &ImageRef = match deployment.spec.proxy {
                Proxy::Nginx => &deployment.spec.nginx_image,
                Proxy::None => &deployment.spec.registry_image,
            };
            let name = image.name();
            commands.push(words.docker(&format!("tag {image} {registry}/{name}")));
            commands.push(words.docker(&format!("push {registry}/{name}")));
        }
    }
    if let Some(anonymous) = deployment.spec.anonymous_registry() {
        commands.push(words.docker(&format!("pull {anonymous}/IMAGE      # no login")));
    }
    commands
}

/// Lists the commands that make another machine trust the registry.
fn other_clients(deployment: &Deployment, words: &Words, here: &Here) -> String {
    let (found, address) = match (deployment.spec.host(), here.address) {
        (Host::Dns(name), Some(address)) => (
            format!(" (its DNS or {HOSTS} needs `{address} {name}`)"),
            if here.leads == Leads::Nowhere { format!(" --address {address}") } else { String::new() },
        ),
        (Host::Dns(name), None) => {
            (format!(" (its DNS or {HOSTS} needs {name} with this machine's address)"), String::new())
        }
        (Host::Ip(_), _) => (String::new(), String::new()),
    };
    let also = if address.is_empty() { "" } else { "; adds the name to /etc/hosts" };
    let script = words.path(&format!("trust/{INSTALL}"));
    let mut lines = vec![format!("sudo sh {INSTALL}{address}      # a copy of {script}{also}")];
    let package = deployment.anchors().deb();
    lines.push(format!(
        "sudo apt install ./{package}      # Debian, Ubuntu: a copy from {}",
        words.path("trust/")
    ));
    lines.push(match deployment.spec.proxy {
        Proxy::Nginx => format!(
            "{} in a browser: other packages, Windows, macOS; clusters: `regcert trust`",
            deployment.anchors().plain_url()
        ),
        Proxy::None => "other packages, Windows, macOS, clusters: `regcert trust`".to_owned(),
    });
    format!("On another client{found}, use one of:\n{}", indented(&lines))
}

/// Lists notes: useful commands, and problems with Docker or the registry's name.
fn notes(deployment: &Deployment, words: &Words, here: &Here) -> String {
    // `ui` completes the commands in back-ticks for this user.
    let mut notes = vec![
        "`regcert add-user bob` adds a user; `regcert check` tests the running registry as a client."
            .to_owned(),
    ];
    if words.docker != AsRoot::Already {
        notes.push(format!(
            "For `docker` without root: `{}`, then log in to this machine again.",
            words.join_docker()
        ));
    }
    if here.compose == Version::Missing {
        notes.push(
            "Docker Compose is not installed on this machine: install Docker and Compose 1.29 or newer first."
                .to_owned(),
        );
    }
    if let Leads::Elsewhere(ip) = here.leads {
        notes.push(match deployment.spec.host() {
            Host::Dns(name) => format!("{name} resolves to {ip}, which is not an address of this machine."),
            Host::Ip(ip) => format!("{ip} is not an address of this machine."),
        });
    }
    notes.join("\n")
}

/// Returns a reason to replace the root, and the options for it. Replacing is easy only while no client trusts it.
fn room(deployment: &Deployment, here: &Here) -> Option<(String, String)> {
    let root = deployment.root()?;
    if deployment.authority().is_err() {
        return None;
    }
    if deployment.spec.has_default_name() {
        let (name, address) =
            (here.name.as_ref().map(DnsName::as_str), here.address.map(|ip| ip.to_string()));
        let options = match (name, &address) {
            (Some(name), Some(address)) => format!("--registry-server-name {name} --san {address}"),
            (Some(only), None) => format!("--registry-server-name {only}"),
            (None, Some(only)) => format!("--registry-server-name {only}"),
            (None, None) => return None,
        };
        return Some((
            format!(
                "{} is the default name. To use this machine's own name instead, before any client trusts the root",
                deployment.spec.host()
            ),
            options,
        ));
    }
    let network = here.network.as_ref()?;
    let admits = root.constraints.as_ref()?.permitted.contains(network);
    (!admits).then(|| {
        (
            "The root allows no addresses of this network. To allow them, run this first, before any client trusts the root"
                .to_owned(),
            format!("--permit {network}"),
        )
    })
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Describes a first run after which an external authority still has to sign.
fn waiting(deployment: &Deployment, words: &Words, user: &Username, password: &str) -> String {
    format!(
        "\
{registry} waits in {dir} for another authority to sign

  request             {request}
    asks for          {names}
  first user          {user}{password}

Have the request signed, then:
  {regcert} import-cert SIGNED --ca-cert THEIR-ROOT
",
        registry = deployment.spec.registry(),
        dir = words.path(""),
        request = words.path(&deployment.request_path()),
        names = deployment.spec.names().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        regcert = words.regcert(),
    )
}

/// Describes a later run. `steps` are the steps that the user must still run.
pub fn renewed(
    deployment: &Deployment,
    words: &Words,
    project: &Project,
    password: Option<&str>,
    steps: &[Step],
) -> String {
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
        lines.extend([String::new(), take(deployment, words, project, steps)]);
    }
    lines.join("\n")
}

/// Lists the commands that make the running registry use the new files.
pub fn take(deployment: &Deployment, words: &Words, project: &Project, steps: &[Step]) -> String {
    let mut commands = typed(words, steps);
    // An older regcert put the socket into a volume owned by one user. The new docker-compose.yml uses another volume.
    if deployment.state.project.is_none()
        && steps.contains(&Step::Up)
        && deployment.spec.proxy == Proxy::Nginx
    {
        commands += &format!(" && {}", words.docker(&format!("volume rm -f {}", project.old_socket())));
    }
    format!("Apply this to the running registry (`--reload` does it for you):\n  {commands}")
}

/// Warns, after a password change, that nginx may not have reloaded since the user got a role.
pub fn may_wait(words: &Words, name: &str) -> String {
    format!(
        "If nginx was not reloaded since {name} got this role, {name} cannot log in yet (`--reload` does that):\n  {}",
        typed(words, &[Step::ReloadNginx])
    )
}

/// Shows the reload needed after removing a user with a role. The old password stops working without a reload.
pub fn forget_role(words: &Words, name: &str, steps: &[Step]) -> String {
    format!(
        "nginx must reload before a new user with the name {name} can log in (`--reload` does that):\n  {}",
        typed(words, steps)
    )
}

fn typed(words: &Words, steps: &[Step]) -> String {
    let commands = steps.iter().flat_map(|step| step.commands(words.compose));
    commands.map(|command| words.compose(&command.join(" "))).collect::<Vec<_>>().join(" && ")
}

/// Describes a step of a root rotation: the last one if `finished`, otherwise the first.
pub fn rotated(deployment: &Deployment, words: &Words, finished: bool) -> String {
    let (regcert, script) = (words.regcert(), words.path(&format!("trust/{INSTALL}")));
    match &deployment.retiring {
        Some(_) => format!(
            "
Clients with the old root go on working, and so do clients with only the new one. Next:
  on every client, run {script} again, or take its package or file again: all have both
  then: {regcert} rotate --ca --finish --reload",
        ),
        // The old root had expired, so regcert did not keep it.
        None if !finished => format!(
            "
The old root had ended, and clients that have only it refuse the registry. Next:
  on every client, run {script} again, or take its package or file again",
        ),
        None => format!(
            "
{script}, the packages and the files beside it take the old root out of clients that use them again."
        ),
    }
}

/// Returns the steps that make a running registry apply the change, in order.
pub fn steps(deployment: &Deployment, change: &Change) -> Vec<Step> {
    let moved =
        [Action::Added, Action::Changed, Action::Removed].into_iter().flat_map(|action| change.with(action));
    let steps: Vec<_> = moved.filter_map(|path| step(path.part().effect(), deployment.spec.proxy)).collect();
    // nginx reloads before the registry restarts: nginx must already deny what the registry newly allows.
    [Step::Up, Step::ReloadNginx, Step::RestartRegistry]
        .into_iter()
        .filter(|step| steps.contains(step))
        .collect()
}

fn step(effect: Effect, proxy: Proxy) -> Option<Step> {
    match (effect, proxy) {
        (Effect::Apply, _) => Some(Step::Up),
        (Effect::Reload, Proxy::Nginx) => Some(Step::ReloadNginx),
        // Without nginx, the registry terminates TLS, and reads its files only when it starts.
        (Effect::Reload, Proxy::None) | (Effect::Restart, _) => Some(Step::RestartRegistry),
        (Effect::Nothing | Effect::NextRequest | Effect::ClientsMustAct, _) => None,
    }
}

#[cfg(test)]
mod tests;
