//! `regcert init`: creates a registry, or applies changed settings and issues a new server certificate.

mod args;
mod compose;
mod loss;
mod place;
mod report;
mod start_over;
mod takeover;
mod warnings;

use anyhow::{Result, bail};
use zeroize::Zeroizing;

pub use args::Args;
pub(super) use warnings::foreign_files;

use compose::{name_project, rename_copy, warn_about_compose};
use place::{beside_the_source, outside_of_others};
use report::summary;
use start_over::{or_start_over, unused, use_of};
use warnings::warn_about;

use super::password::{Known, Prompt, warn_if_weak};
use super::rotate::warn_if_cut;
use super::{MAKE_ONE, World, busy_with_keys};
use crate::auth::{Password, Set};
use crate::deployment::{Credentials, Deployment, First, Headers, IGNORED, New, ServerKey};
use crate::error::{Blame, Fault, Gather};
use crate::files::{Action, Change};
use crate::guide::News;
use crate::names::{Subtree, Upstream, Username};
use crate::settings::{Proxy, RawSettings, Settings, Side};
use crate::store::Store;
use crate::{guide, probe, ui};

pub fn run(args: &Args, world: &World) -> Result<()> {
    if args.user.docker_password.is_some() {
        ui::warn(
            "every user of this machine can read a password on the command line: use --password-stdin or --password-file",
        );
    }
    beside_the_source(world)?;
    if let Some(from) = &args.from {
        return takeover::run(args, from, world);
    }
    let store = world.store()?;
    match loss::load(args, world, &store)? {
        None => {
            outside_of_others(world)?;
            create(args, args.settings(), world, store)
        }
        Some(old) if args.start_over => {
            let old = old.wanted();
            unused(&old, &store)?;
            create(args, with_stored(args.settings(), old.settings()?), world, store)
        }
        Some(_) => {
            drop(store);
            renew(args, world)
        }
    }
}

/// Completes the given settings with the stored settings. Like the first run, ignores the stored domain if the given
/// server is a full name, which contains its domain, or an address, which has none.
fn with_stored(settings: RawSettings, mut stored: RawSettings) -> RawSettings {
    if settings.domain.is_none() && settings.server.as_ref().is_some_and(|server| server.contains(['.', ':']))
    {
        stored.domain = None;
    }
    settings.or(stored)
}

/// Creates a registry, in the first run or with `--start-over`.
fn create(args: &Args, settings: RawSettings, world: &World, mut store: Store) -> Result<()> {
    let mut gather = Gather::default();
    let spec = Settings::check(&settings, Side::Options, world.invoker, &mut gather);
    let permit: Vec<_> = args
        .names
        .permit
        .iter()
        .filter_map(|tree| gather.take::<Subtree>("--permit", tree.parse()))
        .collect();
    warnings::refuse_directory(world, &mut gather);
    let (spec, user, password) = checked(args, world, spec, gather)?;
    let (password, known) = match password {
        Some(password) => {
            warn_if_weak(user.as_str(), &password);
            (password, Known::ToThePerson)
        }
        None => args.user.password.read_new(user.as_str(), Prompt::Never)?,
    };
    let shown = (known == Known::ToNobody).then(|| Zeroizing::new(password.expose().to_owned()));
    let origin = args.origin(world, permit)?;
    let passphrase = args.encrypts().then(|| world.new_passphrase()).transpose()?;
    let credentials = args.credentials()?;
    let (headers, roots) = (args.headers()?, args.upstream_roots()?);
    busy_with_keys(spec.key_type);
    let users = First::Admin(user.clone(), password);
    let mut deployment = Deployment::create(New { spec, origin, passphrase, users }, world.now)?;
    log_in_upstream(&mut deployment, credentials);
    send_headers(&mut deployment, headers)?;
    deployment.state.trust_upstream(roots);
    name_project(&mut deployment, world);

    let change = world.compare(&store, &deployment, args.writing.edits())?;
    nothing_foreign(args, world, &change)?;
    if args.writing.dry_run {
        return args.would_change(world, &deployment, &News::default(), &change);
    }
    warn_about(args, &deployment, &store, world);
    warn_if_cut(&deployment);
    warn_of_taken_ports(&deployment.spec, None);
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
    world.lead_compose()?;
    let password = shown.as_ref().map(|password| password.as_str());
    if args.json {
        ui::data(summary(&deployment, world, &change, Some((&user, password))).to_string())?;
    }
    // Shows the password only once: with --json, only in the JSON, because a program may log stderr.
    let for_people = password.filter(|_| !args.json);
    if !ui::is_quiet() {
        let here = probe::here(&deployment.spec.host(), world.compose);
        warn_about_compose(&here);
        ui::say(guide::created(&deployment, &world.words, &here, &user, for_people));
    }
    ui::made(for_people)?;
    args.writing.reload(world, &deployment, &guide::steps(&deployment, &change))
}

/// Lists the existing files that regcert did not write and would overwrite. Keeps the .gitignore of a work tree, with
/// a warning.
fn foreign(change: &Change) -> Vec<String> {
    let (kept, foreign): (Vec<_>, Vec<_>) =
        change.with(Action::EditedByHand).partition(|path| path.as_str() == IGNORED);
    if !kept.is_empty() && foreign.is_empty() {
        ui::warn(
            "`.gitignore` stays as it is: have it leave out `*.key`, `*.pem`, `*.passwd`, `registry/config.yml` and `.regcert/`",
        );
    }
    foreign.into_iter().map(|path| format!("`{path}`")).collect()
}

/// Fails if the run would overwrite files that regcert did not write.
fn nothing_foreign(args: &Args, world: &World, change: &Change) -> Result<()> {
    let foreign = foreign(change);
    if !foreign.is_empty() {
        let (dir, foreign) = (world.dir.display(), foreign.join(", "));
        bail!(if args.start_over {
            Fault::new(format!("`{dir}` holds files that were edited by hand: {foreign}"))
                .hint("`--force` writes over them; keep a copy of your edit")
        } else {
            Fault::new(format!("`{dir}` holds files that regcert did not write: {foreign}"))
                .hint("choose another directory with -C, or write over them with `--force`")
        });
    }
    Ok(())
}

/// Appends the list values of this run to the stored list values.
fn added(mut settings: RawSettings, deployment: &Deployment) -> RawSettings {
    // Keeps every name that clients may use, even if this run does not repeat the name.
    let kept: Vec<_> = deployment.spec.sans.iter().map(ToString::to_string).collect();
    settings.sans = settings.sans.map(|mut added| {
        added.retain(|name| !kept.contains(name));
        [kept, added].concat()
    });
    settings.notify = settings.notify.map(|added| {
        let name = |webhook: &String| webhook.split('=').next().map(str::to_owned);
        let mut kept: Vec<_> = deployment.spec.notify.iter().map(ToString::to_string).collect();
        kept.retain(|kept| !added.iter().any(|added| name(added) == name(kept)));
        [kept, added].concat()
    });
    settings
}

/// Loads the registry with the settings of regcert.toml.
fn wanted(args: &Args, world: &World) -> Result<(Store, Deployment)> {
    let (store, loaded) = world.find(MAKE_ONE, args.mends(world))?;
    Ok((store, loaded.wanted()))
}

/// Applies the settings and renews the server certificate, in every run after the first.
fn renew(args: &Args, world: &World) -> Result<()> {
    let (mut store, mut deployment) = world.able_to_sign(|| wanted(args, world))?;
    let mut gather = Gather::default();
    let settings = with_stored(added(args.settings(), &deployment), deployment.settings()?);
    let spec = Settings::check(&settings, Side::Options, world.invoker, &mut gather);
    let can_start_over = use_of(&deployment, &store).is_none();
    if args.fixes_authority() {
        let hint = "leave these options out; `regcert rotate --ca --permit …` replaces the root, `regcert csr` asks another authority";
        gather.push(
            Fault::new("the first run decided who signs and which names the root allows")
                .hint(or_start_over(hint, can_start_over)),
        );
    }
    let (spec, user, password) = checked(args, world, spec, gather)?;
    let (mut shown, mut news) = (None, News::default());
    if let Some((password, known)) = later_password(args, &deployment, &user, password)? {
        match deployment.set_user(&user, &password.hash())? {
            Set::Added => {
                news.added(format!("user {user} ({})", deployment.state.access.of(user.as_str()).role))
            }
            Set::Changed => news.changed(format!("password of {user}")),
        }
        shown = (known == Known::ToNobody).then(|| Zeroizing::new(password.expose().to_owned()));
    }
    // Compares with the settings last applied, so that the report includes an edit of regcert.toml.
    let in_force = world.spec_in_force(&store).unwrap_or_else(|| deployment.spec.clone());
    let before = (in_force, deployment.covers());
    let credentials = args.credentials()?;
    let (headers, roots) = (args.headers()?, args.upstream_roots()?);
    busy_with_keys(spec.key_type);
    warn_of_taken_ports(&spec, Some(&before.0));
    deployment.reconfigure(spec, ServerKey::New, world.now).map_err(|fault| {
        let hint = or_start_over(&fault.hint, can_start_over);
        fault.hint(hint)
    })?;
    news.of_settings(&before.0, &deployment.spec);
    news.of_names(&before.1, &deployment.covers());
    rename_copy(&mut deployment, world);
    log_in_upstream(&mut deployment, credentials);
    send_headers(&mut deployment, headers)?;
    deployment.state.trust_upstream(roots);
    if args.encrypts() {
        deployment.encrypt(&world.new_passphrase()?)?;
    }
    warn_about(args, &deployment, &store, world);
    let password = shown.as_ref().map(|password| password.as_str());
    let for_people = password.filter(|_| !args.json);
    let told = |change: &Change| {
        let user = password.map(|password| (&user, Some(password)));
        if args.json { ui::data(summary(&deployment, world, change, user).to_string()) } else { Ok(()) }
    };
    if args.writing.dry_run && args.json {
        let change = world.compare(&store, &deployment, args.writing.edits())?;
        return args.would_change(world, &deployment, &news, &change);
    }
    args.writing.apply(world, &mut store, &deployment, &news, for_people, told)?;
    Ok(())
}

/// Stores a mirror's credentials for its upstream, and removes credentials for an earlier upstream.
fn log_in_upstream(deployment: &mut Deployment, credentials: Option<Credentials>) {
    let forgotten = deployment.forget_upstream();
    if let Some(credentials) = credentials {
        deployment.log_in_upstream(credentials);
        if deployment.spec.mirror_of.as_ref().is_some_and(Upstream::is_in_clear) {
            ui::warn("the password for the upstream goes over the network in clear: use an https:// URL");
        }
    } else if let (Some(old), Some(new)) = (forgotten, &deployment.spec.mirror_of) {
        ui::warn(format!(
            "the credentials for {old} are forgotten: name those for {new} with --mirror-credentials"
        ));
    }
}

/// Stores the headers of webhooks, and removes the headers of a webhook whose URL changed.
fn send_headers(deployment: &mut Deployment, given: Vec<(String, Headers)>) -> Result<()> {
    let forgotten = deployment.forget_webhook_headers();
    for name in forgotten.iter().filter(|name| !given.iter().any(|(given, _)| given == *name)) {
        ui::warn(format!(
            "the headers for the webhook `{name}` are forgotten, because its URL changed: give them again with --notify-headers"
        ));
    }
    for (name, headers) in given {
        deployment.set_webhook_headers(&name, headers)?;
    }
    Ok(())
}

/// Checks the command line of a first or later run, and reports all faults at once.
fn checked(
    args: &Args,
    world: &World,
    spec: Option<Settings>,
    mut gather: Gather,
) -> Result<(Settings, Username, Option<Password>)> {
    let apart = spec.as_ref().map_or(Ok(()), |spec| spec.data.apart_from(&world.site.directory));
    gather.take("--data", apart);
    if let Some(spec) = spec.as_ref().filter(|_| args.gives_files_away()) {
        warnings::refuse_user(spec, world, &mut gather);
    }
    if let Some(spec) = &spec
        && args.has_credentials()
        && spec.mirror_of.is_none()
    {
        let fault = Fault::new("--mirror-credentials: this registry is no mirror");
        gather.push(fault.hint("say what it is a mirror of with `--mirror-of`"));
    }
    warnings::refuse_secrets(&args.settings(), &mut gather);
    let user = username(args, &mut gather);
    let password = given_password(args, &mut gather);
    gather.finish(Blame::CommandLine)?;
    Ok((spec.expect("faults were told"), user.expect("faults were told"), password))
}

fn username(args: &Args, gather: &mut Gather) -> Option<Username> {
    let name = args.user.docker_username.as_deref().unwrap_or("docker");
    gather.take("--docker-username", name.parse())
}

/// Warns of each port that another program of this machine uses, because Docker could not publish that port. Skips the
/// ports that the registry had before, because the registry itself listens there.
fn warn_of_taken_ports(spec: &Settings, before: Option<&Settings>) {
    let ports = |spec: &Settings| {
        let redirect = spec.http_port.filter(|_| spec.proxy == Proxy::Nginx);
        [
            ("--https-port", Some(spec.https_port)),
            ("--http-port", redirect),
            ("--anonymous-port", spec.anonymous_port),
            ("--metrics-port", spec.metrics_port),
        ]
    };
    let own: Vec<_> = before.map(ports).into_iter().flatten().filter_map(|(_, port)| port).collect();
    let wanted = ports(spec).into_iter().filter_map(|(option, port)| Some((option, port?)));
    let wanted: Vec<_> = wanted.filter(|(_, port)| !own.contains(port)).collect();
    if wanted.is_empty() {
        return;
    }
    let now = probe::Ports::now();
    for (option, port) in wanted {
        if let Some(listener) = now.listener(port) {
            ui::warn(format!(
                "port {port} is taken by {listener}, and the registry cannot start: end that program, or choose another port with `{option}`"
            ));
        }
    }
}

fn given_password(args: &Args, gather: &mut Gather) -> Option<Password> {
    let text = args.user.docker_password.clone().map(Zeroizing::new)?;
    gather.take("--docker-password", Password::new(text))
}

/// Determines the password that a later run sets: from the options, or generated for a new user.
fn later_password(
    args: &Args,
    deployment: &Deployment,
    user: &Username,
    given: Option<Password>,
) -> Result<Option<(Password, Known)>> {
    if let Some(password) = given {
        warn_if_weak(user.as_str(), &password);
        return Ok(Some((password, Known::ToThePerson)));
    }
    let is_new = || !deployment.users.has(user.as_str());
    if args.user.password.is_given() || (args.user.docker_username.is_some() && is_new()) {
        return args.user.password.read_new(user.as_str(), Prompt::Never).map(Some);
    }
    Ok(None)
}
