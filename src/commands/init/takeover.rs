//! `regcert init --from DIR`: creates a registry with the names, users and images of one that regcert did not create.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::super::password::{Known, Prompt};
use super::super::{World, busy_with_keys};
use super::{Args, checked, foreign, later_password, name_project, summary, warn_about};
use crate::auth::Password;
use crate::deployment::{Deployment, First, Mends, New, Origin};
use crate::error::{Blame, Fault, Faults, Gather};
use crate::files::{Action, Change, Edits, FileSet, Mode, Origin as FileOrigin, RelPath};
use crate::guide::{self, News, Takeover};
use crate::names::{Subtree, Username, shell};
use crate::pki::{Authority, KeyAtRest, PrivateKey};
use crate::probe::{self, Engine, Volume};
use crate::settings::{Data, RawSettings, RunAs, Settings, Side};
use crate::store::{self, Store};
use crate::takeover::{COMPOSE_NAMES, Old, OldAuthority};
use crate::ui;

/// The directory to which replaced files of the old registry are moved.
const ASIDE: &str = "before-regcert";

pub fn run(args: &Args, from: &Path, world: &World) -> Result<()> {
    let dir = store::real(from).with_context(|| format!("`{}` cannot be opened", from.display()))?;
    let look = |path: &Path| store::entry(&dir, path);
    let old = Old::find(&dir, &look)?;
    let in_place = store::real(&world.dir).is_ok_and(|target| target == dir);
    let mut store = world.store()?;
    if !in_place && Deployment::load(&store.read()?, world.invoker, Mends::Nothing)?.is_some() {
        bail!(
            Fault::new(format!("there is a registry in `{}` already", world.dir.display()))
                .hint("--from makes a new one: name a new directory with -C")
        );
    }
    let (spec, permit, user, given) = wanted(args, &old, world, &dir, in_place)?;
    let running = probe::running(world.compose, &dir, old.volume());
    if !args.writing.dry_run {
        stopped(running.as_ref())?;
    }
    let origin = match args.keep_root {
        true => Origin::Import(kept_root(&dir, &old, &spec, world)?),
        false => args.origin(world, permit)?,
    };
    let (mut deployment, made) = make(args, world, &old, (spec, origin), (&user, given))?;
    name_project(&mut deployment, world);
    let change = change(world, &store, &deployment, args, in_place)?;
    let password = made.as_ref().map(|password| password.as_str());
    let for_people = password.filter(|_| !args.json);
    let (aside, kept_root) = (in_place.then_some(ASIDE), args.keep_root);
    let told = Takeover {
        old: &old,
        from: &dir,
        deployment: &deployment,
        words: &world.words,
        kept_root,
        password: for_people,
        aside,
    };
    ui::say(guide::taken_over(&told));
    if args.writing.dry_run {
        if let Some((_, command)) = running {
            ui::warn(format!(
                "the old registry is running: stop it with `{command}` before you run this without --dry-run"
            ));
        }
        return args.would_change(world, &deployment, &News::default(), &change);
    }
    warn_about(args, &deployment, &store, world);
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
    world.lead_compose()?;
    if args.json {
        let user = password.map(|password| (&user, Some(password)));
        ui::data(summary(&deployment, world, &change, user).to_string())?;
    }
    ui::made(for_people)
}

/// Fails if the old registry is running.
fn stopped(running: Option<&(Vec<String>, String)>) -> Result<()> {
    let Some((names, command)) = running else {
        return Ok(());
    };
    bail!(
        Fault::new(format!(
            "the old registry is running ({}): it has the ports and the images",
            names.join(", ")
        ))
        .hint(format!(
            "stop it with `{command}`, which leaves its images alone; then run this command again"
        ))
    )
}

/// Checks the options: returns the settings, the subtrees of `--permit`, the first user and the given password.
fn wanted(
    args: &Args,
    old: &Old,
    world: &World,
    dir: &Path,
    in_place: bool,
) -> Result<(Settings, Vec<Subtree>, Username, Option<Password>)> {
    let mut gather = Gather::default();
    let settings = settings(args, old, world, dir, in_place)?;
    let spec = Settings::check(&settings, Side::Options, world.invoker, &mut gather);
    let permit = args.names.permit.iter();
    let permit = permit.filter_map(|tree| gather.take("--permit", tree.parse())).collect();
    let (spec, user, given) = checked(args, world, spec, gather)?;
    writable(&spec, world)?;
    Ok((spec, permit, user, given))
}

/// Creates the registry with the old users or, if there are none, a first user. Also returns a generated password.
fn make(
    args: &Args,
    world: &World,
    old: &Old,
    (spec, origin): (Settings, Origin),
    (user, given): (&Username, Option<Password>),
) -> Result<(Deployment, Option<Zeroizing<String>>)> {
    let passphrase = args.encrypts().then(|| world.new_passphrase()).transpose()?;
    busy_with_keys(spec.key_type);
    let unknown_to_all = |password: &Password, known: Known| {
        (known == Known::ToNobody).then(|| Zeroizing::new(password.expose().to_owned()))
    };
    let Some((_, users)) = &old.users else {
        let (password, known) = match given {
            Some(password) => (password, Known::ToThePerson),
            None => args.user.password.read(user.as_str(), Prompt::Never)?,
        };
        let made = unknown_to_all(&password, known);
        let users = First::Admin(user.clone(), password);
        return Ok((Deployment::create(New { spec, origin, passphrase, users }, world.now)?, made));
    };
    let users = First::Existing(users.clone());
    let mut deployment = Deployment::create(New { spec, origin, passphrase, users }, world.now)?;
    let Some((password, known)) = later_password(args, &deployment, user, given)? else {
        return Ok((deployment, None));
    };
    deployment.set_user(user, &password.hash())?;
    Ok((deployment, unknown_to_all(&password, known)))
}

/// Merges the settings: the options override the settings of the old registry.
fn settings(args: &Args, old: &Old, world: &World, dir: &Path, in_place: bool) -> Result<RawSettings> {
    let (mut given, mut kept) = (args.settings(), old.settings.clone());
    if given.server.is_some() {
        // Clients may still use the old name.
        let name = match (&kept.server, &kept.domain) {
            (Some(server), Some(domain)) => Some(format!("{server}.{domain}")),
            (Some(server), None) => Some(server.clone()),
            (None, _) => None,
        };
        kept.sans = Some(name.into_iter().chain(kept.sans.into_iter().flatten()).collect());
        (kept.server, kept.domain) = (None, None);
    } else if kept.server.is_none() {
        bail!(
            Fault::new(
                "neither a certificate nor nginx's configuration says what the old registry is called"
            )
            .hint("say it with `--registry-server-name NAME`")
        );
    }
    given.sans = given.sans.map(|added| {
        kept.sans
            .iter()
            .flatten()
            .filter(|name| !added.contains(name))
            .cloned()
            .chain(added.clone())
            .collect()
    });
    if given.data.is_none() {
        given.data = Some(data(old, dir, in_place)?.to_string());
    }
    if given.run_as.is_none() {
        let owner = owner(old, given.data.as_deref(), &world.dir);
        // In a container of a rootless engine, root has the rights of the user who runs the engine.
        let is_mine = |owner: &RunAs| world.engine == Engine::Own && owner.uid == world.me.uid;
        given.run_as = owner.map(|owner| if is_mine(&owner) { RunAs::ROOT } else { owner }.to_string());
    }
    Ok(given.or(kept))
}

/// Finds the directory or volume of the images. Fails if the volume is missing, or if regcert uses the directory.
fn data(old: &Old, dir: &Path, in_place: bool) -> Result<Data> {
    match old.data.clone()? {
        Data::Directory(path) => {
            let below = Path::new(&path).strip_prefix(dir).ok().filter(|_| in_place);
            let reserved = ["registry", "nginx", "root-cert", "trust", "clients", "request", "renewal"];
            if let Some(first) = below.and_then(|below| below.iter().next())
                && reserved.iter().any(|name| first == *name)
            {
                bail!(
                    Fault::new(format!("the images are in `{path}`, where regcert keeps other things"))
                        .hint("make the new registry in a directory of its own: name it with -C")
                );
            }
            Ok(Data::Directory(below.map_or(path.clone(), |below| format!("./{}", below.display()))))
        }
        Data::Existing(name) => {
            if let Volume::Missing(alike) = probe::volume(&name) {
                let hint = match &alike[..] {
                    [] => "`docker volume ls` lists those that exist: name the one with the images, `--data volume:NAME`".to_owned(),
                    alike => format!("is it `--data volume:{}`?", alike.join("` or `--data volume:")),
                };
                bail!(
                    Fault::new(format!(
                        "Docker has no volume `{name}`, which the old docker-compose.yml names"
                    ))
                    .hint(hint)
                );
            }
            Ok(Data::Existing(name))
        }
        Data::Volume => Ok(Data::Volume),
    }
}

/// Finds the owner of the images. The registry must run as that user, because regcert does not change owners unasked.
fn owner(old: &Old, data: Option<&str>, target: &Path) -> Option<RunAs> {
    match data?.parse().ok()? {
        Data::Directory(path) => old.run_as.or_else(|| store::owner(&target.join(path))),
        Data::Existing(name) => {
            let found = match probe::volume(&name) {
                Volume::At(path) => store::owner(&path),
                Volume::Missing(_) | Volume::Unknown => None,
            };
            // By default, the registry image runs as root.
            old.run_as.or(found).or(Some(RunAs { uid: 0, gid: 0 }))
        }
        Data::Volume => None,
    }
}

/// Fails if the containers must run as root but this user cannot give files to root: root without capabilities can
/// read only its own files.
fn writable(spec: &Settings, world: &World) -> Result<()> {
    if spec.run_as.uid != 0 || store::is_root() || world.engine == Engine::Own {
        return Ok(());
    }
    bail!(
        Fault::new("the images belong to root, so the containers must run as root, and only root can make the files that they read")
            .hint(format!(
                "run this command with sudo; or give the images to yourself first, `sudo chown -R {} DIRECTORY`",
                world.me
            ))
    )
}

/// Reads the old root and its key; fails if regcert cannot sign with them.
fn kept_root(dir: &Path, old: &Old, spec: &Settings, world: &World) -> Result<Authority> {
    let look = |path: &Path| store::entry(dir, path);
    let OldAuthority { certificate, path, key, key_path } =
        OldAuthority::find(dir, old, &look, spec.days, world.now)?;
    let passphrase = PrivateKey::is_encrypted(&key).then(|| world.passphrase()).transpose()?;
    let named = |path: &Path| format!("`{}`", path.display());
    let unfit = |fault: Fault| {
        let leave = "leave --keep-root out: regcert then makes a new root, and each client installs it once";
        let hint =
            if fault.hint.is_empty() { leave.to_owned() } else { format!("{}; or {leave}", fault.hint) };
        fault.hint(hint)
    };
    let key = KeyAtRest::read(&key, passphrase.as_ref()).map_err(unfit).with_context(|| named(&key_path))?;
    Authority::import(vec![certificate], key, world.now).map_err(unfit).with_context(|| named(&path))
}

/// Lists the files to write and, for a takeover in place, the old files to move aside.
fn change(
    world: &World,
    store: &Store,
    deployment: &Deployment,
    args: &Args,
    in_place: bool,
) -> Result<Change> {
    if !in_place {
        let change = world.compare(store, deployment, args.writing.edits())?;
        let foreign = foreign(&change);
        if !foreign.is_empty() {
            let (dir, foreign) = (world.dir.display(), foreign.join(", "));
            bail!(
                Fault::new(format!("`{dir}` holds files that regcert did not write: {foreign}"))
                    .hint("name a new directory with -C")
            );
        }
        return Ok(change);
    }
    let mut wanted = deployment.files(&world.site)?;
    let own = aside(world, store, &wanted)?;
    for (path, bytes) in &own {
        wanted.put(format!("{ASIDE}/{path}"), bytes.as_slice(), Mode::Secret, FileOrigin::HandedOver);
    }
    let mut change = store.compare(wanted, deployment.spec.run_as, Edits::Overwrite, None)?;
    let gone = own.into_iter().map(|(path, _)| path).filter(|path| change.files.get(path.as_str()).is_none());
    let gone: Vec<_> = gone.map(|path| (path, Action::Removed)).collect();
    change.actions.extend(gone);
    change.actions.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(change)
}

/// Reads the old files that regcert would replace, or would mistake for its own.
fn aside(world: &World, store: &Store, wanted: &FileSet) -> Result<Vec<(RelPath, Zeroizing<Vec<u8>>)>> {
    let dir: PathBuf = store::real(&world.dir)?;
    if !matches!(store::entry(&dir, &dir.join(ASIDE)), crate::takeover::Entry::Nothing) {
        bail!(
            Fault::new(format!("`{}` exists already", dir.join(ASIDE).display())).hint(format!(
                "move it away: `mv {} ELSEWHERE`",
                shell(&dir.join(ASIDE).display().to_string())
            ))
        );
    }
    let files: FileSet = store.read().map_err(|error| Faults {
        faults: vec![
            Fault::new(format!("{error:#}"))
                .hint("make the new registry in a directory of its own: name it with -C"),
        ],
        blame: Blame::Elsewhere,
    })?;
    let mut own: Vec<_> =
        files.iter().map(|(path, file)| (path.clone(), Zeroizing::new(file.bytes.clone()))).collect();
    let names = COMPOSE_NAMES.into_iter().chain(wanted.iter().map(|(path, _)| path.as_str()));
    for name in names.filter(|name| files.get(name).is_none()) {
        if let crate::takeover::Entry::File(bytes) = store::entry(&dir, &dir.join(name)) {
            own.push((RelPath::new(name).expect("it is a path of regcert's"), bytes));
        }
    }
    Ok(own)
}
