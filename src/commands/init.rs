//! `regcert init`: a new registry, or changed settings and a new server certificate for one.

use anyhow::{Result, bail};
use serde_json::json;
use zeroize::Zeroizing;

use super::World;
use super::password::{Known, Prompt, Source};
use crate::auth::Password;
use crate::deployment::{Deployment, New};
use crate::error::{Blame, Fault, Gather};
use crate::files::{Action, Change, Edits};
use crate::names::{Subtree, Username};
use crate::pki::date;
use crate::spec::{DAYS_ADVISED, Data, Settings, Side, Spec};
use crate::store::Store;
use crate::{guide, probe, ui};

/// Create a registry, or apply changed settings and renew the server certificate
///
/// The first run makes the root certificate, which lasts ten years, the server certificate, the first user and every
/// file that Docker Compose and the clients need. A later run keeps root, users, settings and files edited by hand,
/// applies the options it is given, and issues a new server certificate.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  regcert init --cert-domain myhouse.local --registry-server-name registry1
  regcert init --registry-server-name 192.168.0.12
  regcert init --registry-server-name registry.example.org --san 192.168.0.12 --https-port 5443
  regcert init --dry-run
  regcert init --reload")]
pub struct Args {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    certificate: CertificateArgs,
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    user: User,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write over files that were edited by hand
    #[arg(long)]
    force: bool,
    /// Make the running registry take the new files, and check that it does
    #[arg(long, conflicts_with = "dry_run")]
    reload: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// What clients call the registry.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Names")]
struct Names {
    /// The registry's name within its domain, or its IP address [default: registry]
    #[arg(long, value_name = "NAME|IP")]
    registry_server_name: Option<String>,
    /// The domain it is in [default: local.priv; none for an IP address]
    #[arg(long, value_name = "DOMAIN")]
    cert_domain: Option<String>,
    /// Another name or address it is reached by; may be repeated. A later run adds to those that are there
    #[arg(long, value_name = "NAME|IP")]
    san: Vec<String>,
    /// Something more that the root may speak for, for names to come; may be repeated; first run only
    ///
    /// The root is good for the domain, the server's name, every --san, and this: a certificate for anything else
    /// is refused by every client, even when the root's key is stolen.
    #[arg(long, value_name = "DOMAIN|NETWORK")]
    permit: Vec<String>,
    /// Let the root speak for every name there is; first run only
    #[arg(long, conflicts_with = "permit")]
    no_name_constraints: bool,
}

/// What stands in the certificates.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
struct CertificateArgs {
    /// p256, p384, rsa-2048, rsa-3072 or rsa-4096 [default: p256]
    #[arg(long, value_name = "TYPE")]
    key_type: Option<String>,
    /// How long a server certificate lasts, at most 825 [default: 365]
    #[arg(long, value_name = "DAYS")]
    days: Option<String>,
    /// Two letters [default: CA]
    #[arg(long, value_name = "CODE")]
    cert_country_code: Option<String>,
    /// State or province [default: ON]
    #[arg(long, value_name = "TEXT")]
    cert_state_prov: Option<String>,
    /// City
    #[arg(long, value_name = "TEXT")]
    cert_locality: Option<String>,
    /// Organization [default: NA]
    #[arg(long, value_name = "TEXT")]
    cert_company: Option<String>,
    /// Organizational unit
    #[arg(long, value_name = "TEXT")]
    cert_unit: Option<String>,
    /// Contact address, in the root certificate
    #[arg(long, value_name = "ADDRESS")]
    cert_email: Option<String>,
}

/// What runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Service")]
struct Service {
    /// nginx, or none: the registry then does TLS and passwords itself [default: nginx]
    #[arg(long, value_name = "nginx|none")]
    proxy: Option<String>,
    /// The port of the redirect to https [default: 80]
    #[arg(long, value_name = "PORT")]
    http_port: Option<String>,
    /// The port of the registry [default: 443]
    #[arg(long, value_name = "PORT")]
    https_port: Option<String>,
    /// Where images are kept: a directory, or `volume` for one that Docker manages [default: data, beside
    /// docker-compose.yml]
    #[arg(long, value_name = "DIR|volume")]
    data: Option<String>,
    /// The user and group the containers run as [default: yours; 65532:65532 for root]
    #[arg(long, value_name = "UID:GID")]
    run_as: Option<String>,
    /// The registry's image, 2.x or 3.x [default: registry:3]
    #[arg(long, value_name = "IMAGE")]
    registry_image: Option<String>,
    /// nginx's image [default: nginx:stable-alpine]
    #[arg(long, value_name = "IMAGE")]
    nginx_image: Option<String>,
}

/// Who may log in first.
#[derive(clap::Args)]
#[command(next_help_heading = "First user")]
struct User {
    /// The first user's name [default: docker]
    #[arg(long, value_name = "NAME")]
    docker_username: Option<String>,
    /// The first user's password, visible to everybody on this machine while regcert runs: rather use
    /// --password-stdin, --password-file, or none and let regcert make one
    #[arg(long, value_name = "PASSWORD", hide_env_values = true, conflicts_with = "Source")]
    docker_password: Option<String>,
    #[command(flatten)]
    password: Source,
}

impl Args {
    fn settings(&self) -> Settings {
        let (names, certificate, service) = (&self.names, &self.certificate, &self.service);
        Settings {
            server: names.registry_server_name.clone(),
            domain: names.cert_domain.clone(),
            sans: (!names.san.is_empty()).then(|| names.san.clone()),
            key_type: certificate.key_type.clone(),
            days: certificate.days.clone(),
            country: certificate.cert_country_code.clone(),
            state: certificate.cert_state_prov.clone(),
            locality: certificate.cert_locality.clone(),
            company: certificate.cert_company.clone(),
            unit: certificate.cert_unit.clone(),
            email: certificate.cert_email.clone(),
            proxy: service.proxy.clone(),
            http_port: service.http_port.clone(),
            https_port: service.https_port.clone(),
            data: service.data.clone(),
            run_as: service.run_as.clone(),
            registry_image: service.registry_image.clone(),
            nginx_image: service.nginx_image.clone(),
        }
    }

    fn edits(&self) -> Edits {
        if self.force { Edits::Overwrite } else { Edits::Keep }
    }
}

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<()> {
    if args.user.docker_password.is_some() {
        ui::warn(
            "everybody on this machine can read a password in the arguments: use --password-stdin or --password-file",
        );
    }
    let store = Store::open(&world.dir)?;
    match Deployment::load(&store.read()?, world.invoker)? {
        None => create(args, world, store),
        Some(deployment) => renew(args, world, store, deployment),
    }
}

/// The first run.
fn create(args: &Args, world: &World, mut store: Store) -> Result<()> {
    let mut gather = Gather::default();
    let spec = Spec::check(&args.settings(), Side::Options, world.invoker, &mut gather);
    let permit: Vec<_> =
        args.names.permit.iter().map(|tree| gather.take::<Subtree>("--permit", tree.parse())).collect();
    let user = username(args, &mut gather);
    let password = given_password(args, &mut gather);
    gather.finish(Blame::CommandLine)?;
    let (spec, user) = (spec.expect("faults were told"), user.expect("faults were told"));
    let (password, known) = match password {
        Some(password) => (password, Known::ToThePerson),
        None => args.user.password.read(user.as_str(), Prompt::Never)?,
    };
    let shown = (known == Known::ToNobody).then(|| Zeroizing::new(password.expose().to_owned()));
    let permit = (!args.names.no_name_constraints).then(|| permit.into_iter().flatten().collect());
    let deployment = Deployment::create(New { spec, permit, user: user.clone(), password }, world.now)?;

    let change = store.compare(deployment.files()?, deployment.spec.run_as, args.edits())?;
    let foreign: Vec<_> = change.with(Action::EditedByHand).map(|path| format!("`{path}`")).collect();
    if !foreign.is_empty() {
        bail!(
            Fault::new(format!(
                "`{}` holds files that regcert did not write: {}",
                world.dir.display(),
                foreign.join(", ")
            ))
            .hint("choose another directory with -C, or write over them with `--force`")
        );
    }
    if args.dry_run {
        return dry_run(&change);
    }
    warn_about(&deployment, &store);
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
    let password = shown.as_ref().map(|password| password.as_str());
    if args.json {
        ui::data(summary(&deployment, world, &change, Some((&user, password))).to_string());
    }
    ui::say(guide::created(&deployment, &world.dir, &user, password));
    reload(args, world, &deployment, &guide::steps(&deployment, &change))
}

/// A later run.
fn renew(args: &Args, world: &World, mut store: Store, mut deployment: Deployment) -> Result<()> {
    let mut gather = Gather::default();
    let mut settings = args.settings();
    // A name that clients use is never dropped by leaving an option out.
    let kept = deployment.spec.sans.iter().map(ToString::to_string);
    settings.sans = settings.sans.map(|added| kept.chain(added).collect());
    let spec = Spec::check(&settings.or(deployment.settings()?), Side::Options, world.invoker, &mut gather);
    if !args.names.permit.is_empty() || args.names.no_name_constraints {
        gather.push(
            Fault::new("what the root may speak for was fixed when it was made")
                .hint("leave --permit and --no-name-constraints out, or make another registry in another directory (-C)"),
        );
    }
    let user = username(args, &mut gather);
    let password = given_password(args, &mut gather);
    gather.finish(Blame::CommandLine)?;
    let (spec, user) = (spec.expect("faults were told"), user.expect("faults were told"));
    let mut shown = None;
    if let Some((password, known)) = later_password(args, &deployment, &user, password)? {
        deployment.set_user(&user, &password);
        shown = (known == Known::ToNobody).then(|| Zeroizing::new(password.expose().to_owned()));
    }
    let moved = (spec.host(), spec.proxy) != (deployment.spec.host(), deployment.spec.proxy);
    deployment.reconfigure(spec, world.now)?;

    let change = store.compare(deployment.files()?, deployment.spec.run_as, args.edits())?;
    if let Some(edited) = change.with(Action::EditedByHand).find(|path| !path.as_str().starts_with("trust/"))
        && moved
    {
        bail!(
            Fault::new(format!("`{edited}` was edited by hand and names files that this change takes away"))
                .hint("`--force` writes it anew; keep a copy of your edit")
        );
    }
    if args.dry_run {
        return dry_run(&change);
    }
    warn_about(&deployment, &store);
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
    let password = shown.as_ref().map(|password| password.as_str());
    if args.json {
        let user = password.map(|password| (&user, Some(password)));
        ui::data(summary(&deployment, world, &change, user).to_string());
    }
    ui::say("changed:");
    ui::changes(&change);
    let steps = guide::steps(&deployment, &change);
    ui::say(guide::renewed(&deployment, &world.dir, password, if args.reload { &[] } else { &steps }));
    for path in change.with(Action::EditedByHand) {
        ui::warn(format!(
            "`{path}` was edited by hand and stays as it is: `regcert init --force` writes it anew"
        ));
    }
    reload(args, world, &deployment, &steps)
}

fn username(args: &Args, gather: &mut Gather) -> Option<Username> {
    let name = args.user.docker_username.as_deref().unwrap_or("docker");
    gather.take("--docker-username", name.parse())
}

fn given_password(args: &Args, gather: &mut Gather) -> Option<Password> {
    let text = args.user.docker_password.clone().map(Zeroizing::new)?;
    gather.take("--docker-password", Password::new(text))
}

/// A later run changes a password only when asked to, and adds a user who is not there yet.
fn later_password(
    args: &Args,
    deployment: &Deployment,
    user: &Username,
    given: Option<Password>,
) -> Result<Option<(Password, Known)>> {
    if let Some(password) = given {
        return Ok(Some((password, Known::ToThePerson)));
    }
    let is_new = || !deployment.users.names().iter().any(|name| name == user.as_str());
    if args.user.password.is_given() || (args.user.docker_username.is_some() && is_new()) {
        return args.user.password.read(user.as_str(), Prompt::Never).map(Some);
    }
    Ok(None)
}

fn dry_run(change: &Change) -> Result<()> {
    ui::say("this would change:");
    ui::changes(change);
    ui::say("nothing was written");
    Ok(())
}

fn warn_about(deployment: &Deployment, store: &Store) {
    let spec = &deployment.spec;
    if spec.days > DAYS_ADVISED {
        ui::warn(format!(
            "some clients refuse a server certificate that lasts longer than {DAYS_ADVISED} days"
        ));
    }
    if let (Data::Directory(path), Some(owner)) = (&spec.data, store.data_owner(&spec.data))
        && owner != spec.run_as.uid
    {
        ui::warn(format!(
            "`{path}` belongs to user {owner} and the registry runs as {run_as}: run `sudo chown -R {run_as} {path}`",
            run_as = spec.run_as
        ));
    }
}

fn reload(args: &Args, world: &World, deployment: &Deployment, steps: &[probe::Step]) -> Result<()> {
    if !args.reload {
        return Ok(());
    }
    probe::reload(&world.dir, steps, &deployment.spec, &deployment.authority, deployment.server.leaf())?;
    ui::say("reloaded: the registry serves the new certificate");
    Ok(())
}

fn summary(
    deployment: &Deployment,
    world: &World,
    change: &Change,
    user: Option<(&Username, Option<&str>)>,
) -> serde_json::Value {
    let (root, leaf) = (deployment.authority.certificate(), deployment.server.leaf());
    json!({
        "directory": world.dir,
        "registry": deployment.spec.registry(),
        "fingerprint": root.fingerprint(),
        "root": {
            "certificate": deployment.root_path(),
            "until": date(root.validity.not_after),
            "admits": root.constraints.as_ref().map(|constraints| {
                constraints.permitted.iter().map(ToString::to_string).collect::<Vec<_>>()
            }),
        },
        "server": {
            "certificate": deployment.certificate_path(),
            "names": leaf.names,
            "serial": leaf.serial,
            "until": date(leaf.validity.not_after),
        },
        "user": user.map(|(name, password)| json!({ "name": name.as_str(), "password": password })),
        "files": change.actions.iter().map(|(path, action)| json!({ "path": path.as_str(), "action": action })).collect::<Vec<_>>(),
    })
}
