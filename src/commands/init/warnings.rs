//! The warnings of `init`, and its check for secrets in the URL of a webhook.

use super::super::World;
use super::super::import_cert::warn_of_days;
use super::Args;
use crate::deployment::Deployment;
use crate::error::{Fault, Gather};
use crate::names::{Repositories, Webhook, printable, shell};
use crate::probe::{Compose, Engine};
use crate::settings::{Data, Proxy, RawSettings, Settings};
use crate::store::Store;
use crate::{health, ui};

/// Adds a fault for each webhook in the options whose URL contains a secret. A stored webhook only gets a warning.
pub(super) fn refuse_secrets(settings: &RawSettings, gather: &mut Gather) {
    for webhook in settings.notify.iter().flatten().filter_map(|text| text.parse::<Webhook>().ok()) {
        if let Some(parameter) = webhook.secret_parameter() {
            let fault = Fault::new(format!(
                "--notify: `{parameter}` in the URL of the webhook `{}` is a secret, and the URL is in logs and in regcert.toml",
                webhook.name()
            ));
            gather.push(fault.hint(format!(
                "leave it out of the URL, and send it as a header: `--notify-headers {}=FILE`",
                webhook.name()
            )));
        }
    }
}

/// Warns of risks and omissions in the settings.
pub(super) fn warn_about(args: &Args, deployment: &Deployment, store: &Store, world: &World) {
    let spec = &deployment.spec;
    warn_of_days(spec.days.into());
    warn_about_services(spec);
    for finding in health::locked_out(deployment) {
        ui::warn(format!("{}: {}", finding.message, finding.cure));
    }
    match (spec.anonymous_port, &spec.anonymous_repos, &spec.mirror_of) {
        (Some(port), Repositories::Every, Some(upstream)) => ui::warn(format!(
            "port {port} serves, without a password, every image that this mirror may fetch from {upstream}"
        )),
        (Some(port), Repositories::Every, None) => ui::warn(format!(
            "port {port} serves every image without a password: `--anonymous-repo` limits it to some"
        )),
        (None, Repositories::Of(_), _) if args.names_anonymous_repositories() => {
            ui::warn("--anonymous-repo without --anonymous-port opens nothing");
        }
        (Some(_) | None, Repositories::Of(_), _) | (None, Repositories::Every, _) => {}
    }
    if world.compose == Compose::Podman && !matches!(spec.data, Data::Directory(_)) {
        // podman-compose 1.6 supports only the volume options `ro`, `rw`, `z` and `Z`.
        ui::warn(
            "podman-compose refuses the option `nocopy` of the volume with the images: keep them in a directory, by `--data ./data`, or install docker-compose, which works with Podman's socket",
        );
    }
    warn_about_owner(deployment, store, world);
}

/// Warns if the containers cannot read the registry's files, or cannot write to the image directory.
fn warn_about_owner(deployment: &Deployment, store: &Store, world: &World) {
    if let Some((_, fault)) = foreign_files(deployment, store, world) {
        ui::warn(format!("{}: {}", fault.message, fault.hint));
    }
}

/// Finds files that the containers cannot read, or an image directory that they cannot write to, and explains why.
pub(in crate::commands) fn foreign_files(
    deployment: &Deployment,
    store: &Store,
    world: &World,
) -> Option<(String, Fault)> {
    let (spec, server) = (&deployment.spec, world.server(deployment));
    if world.engine == Engine::Own && spec.run_as.uid != 0 {
        let fault = Fault::new(format!(
            "{} in a container of your own Docker or Podman is not you, and cannot read the registry's files",
            spec.run_as
        ));
        let hint = "run `regcert init --run-as 0:0`, root in such a container is you";
        return Some(("run-as".to_owned(), fault.hint(hint)));
    }
    if let (Data::Directory(path), Some(owner)) = (&spec.data, store.data_owner(&spec.data))
        && owner != server.uid
    {
        let shown = shell(&std::path::Path::new(&world.site.directory).join(path).display().to_string());
        let fault = Fault::new(format!("`{path}` belongs to user {owner} and the registry runs as {server}"));
        return Some(("data".to_owned(), fault.hint(format!("run `sudo chown -R {server} {shown}`"))));
    }
    None
}

/// Adds a fault if a container engine could not mount the directory.
pub(super) fn refuse_directory(world: &World, gather: &mut Gather) {
    let directory = &world.site.directory;
    if directory.contains(':') {
        gather.push(
            Fault::new(format!(
                "a directory with a colon in its path cannot be mounted: `{}`",
                printable(directory)
            ))
            .hint("choose another one with -C, or rename it"),
        );
    }
}

/// Adds a fault if containers that run as the user of `--run-as` could not read regcert's files.
pub(super) fn refuse_user(spec: &Settings, world: &World, gather: &mut Gather) {
    let run_as = spec.run_as;
    match (world.engine, run_as.uid) {
        (Engine::Own, uid) if uid != 0 => gather.push(
            Fault::new(format!(
                "--run-as: {run_as} in a container of your own Docker or Podman is not you, and cannot read the registry's files"
            ))
            .hint("leave it out, or say `--run-as 0:0`: root in such a container is you"),
        ),
        (Engine::Roots, 0) if world.me.uid != 0 => gather.push(
            Fault::new("--run-as: the containers would be root without its powers, which cannot read your files")
                .hint("leave it out, and they run as you; or run this command with sudo; where you use rootless Docker or Podman, set DOCKER_HOST to its socket"),
        ),
        (Engine::Roots | Engine::Own | Engine::Unknown, _) => {}
    }
}

fn warn_about_services(spec: &Settings) {
    for webhook in &spec.notify {
        if webhook.secret_parameter().is_some() || webhook.has_random_part() {
            ui::warn(format!(
                "the URL of the webhook `{name}` seems to hold a secret: others can read it in regcert.toml and in the registry's log; send the secret with `--notify-headers {name}=FILE`",
                name = webhook.name()
            ));
        }
    }
    if spec.proxy == Proxy::None && spec.registry_image.deletes_tags_for_all() {
        ui::warn(format!(
            "without nginx, every user can delete tags in {}: choose a newer image with `--registry-image registry:3`",
            spec.registry_image
        ));
    }
    if spec.proxy == Proxy::None
        && let Some(port) = spec.metrics_port
    {
        ui::warn(format!(
            "without nginx, port {port} also gives every user of this machine the registry's profiler and variables"
        ));
    }
}
