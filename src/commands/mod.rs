//! One file per verb: its arguments and what it does, in terms of the values below. What they share stands here.

pub mod add_client;
pub mod add_user;
pub mod check;
pub mod connection;
pub mod csr;
pub mod delete;
mod edits;
pub mod gc;
pub mod images;
pub mod import_cert;
pub mod init;
mod kept;
pub mod list_clients;
pub mod list_users;
pub mod password;
pub mod remove_user;
pub mod revoke;
pub mod rotate;
pub mod sign;
pub mod status;
pub mod trust;
mod writing;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::deployment::{Deployment, Loaded, Mends};
use crate::error::Fault;
use crate::files::{Action, Change, Edits, MARK, utf8};
use crate::guide::Words;
use crate::health::Finding;
use crate::names::shell;
use crate::pki::{KeyType, Passphrase};
use crate::probe::{Compose, Engine, Project};
use crate::render::Site;
use crate::settings::{RunAs, Settings};
use crate::store::{self, Store};
use crate::takeover::{self, Maker};
use crate::ui;

pub use writing::Writing;
use writing::{dry_run, take};

/// What to do where there is no registry.
const MAKE_ONE: &str = "make one with `regcert init`, or name its directory with -C";

/// What `main` asked the machine for.
#[derive(Debug)]
pub struct World {
    /// The one clock reading of this run.
    pub now: OffsetDateTime,
    /// Whom the containers run as where no setting names a user.
    pub invoker: RunAs,
    /// Who runs regcert.
    pub me: RunAs,
    /// Whose container engine `docker` talks to.
    pub engine: Engine,
    /// The registry's directory.
    pub dir: PathBuf,
    /// The same, and the program, for files that name them.
    pub site: Site,
    /// Where the passphrase of the authority's key is.
    pub passphrase_file: Option<PassphraseFile>,
    /// The command that runs Docker Compose here.
    pub compose: Compose,
    /// The name of the Compose project that the environment asks for.
    pub project_variable: Option<String>,
    /// How this person types commands.
    pub words: Words,
}

/// Where the passphrase of the authority's key is.
pub enum PassphraseFile {
    /// In this file.
    Named(PathBuf),
    /// It was in this file, which was read while regcert was still root.
    Read(PathBuf, Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for PassphraseFile {
    /// Never the passphrase.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Named(path) | Self::Read(path, _)) = self;
        write!(f, "PassphraseFile({})", path.display())
    }
}

impl World {
    /// With cures as this person types them.
    fn typed(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let typed = |finding: Finding| Finding { cure: self.words.complete(&finding.cure), ..finding };
        findings.into_iter().map(typed).collect()
    }

    /// What runs from the directory, as Compose sees it.
    fn project(&self) -> Project {
        Project::of(self.compose, &self.dir, self.project_variable.as_deref())
    }

    /// The user of this machine whom the registry's containers act as.
    fn server(&self, deployment: &Deployment) -> RunAs {
        self.engine.on_host(deployment.spec.run_as, self.me)
    }

    /// The directory, under its lock.
    fn store(&self) -> Result<Store> {
        let waits = || ui::busy(format!("waiting for another regcert at work in `{}`", self.dir.display()));
        Store::open(&self.dir, waits)
    }

    /// The settings in force, where they are known.
    fn spec_in_force(&self, store: &Store) -> Option<Settings> {
        let loaded = self.load(store, Mends::Derived { force: true }).ok()??;
        Some(loaded.in_force().ok()?.spec)
    }

    /// The registry in the directory, which must be there, with the settings in force.
    fn open(&self) -> Result<(Store, Deployment)> {
        let (store, loaded) = self.find(MAKE_ONE, Mends::Nothing)?;
        Ok((store, loaded.in_force()?))
    }

    /// The registry in the directory for a command that writes nothing that depends on settings.
    fn look(&self) -> Result<(Store, Deployment)> {
        let (store, loaded) = self.find(MAKE_ONE, Mends::Nothing)?;
        Ok((store, loaded.known()))
    }

    /// The registry in the directory that `store` holds; `None` where there is none. A registry that regcert did not make
    /// is named as what it is.
    fn load(&self, store: &Store, mends: Mends<'_>) -> Result<Option<Loaded>> {
        let loaded = store.read().and_then(|files| Ok(Deployment::load(&files, self.invoker, mends)?));
        let own = ["regcert.toml", ".regcert"].iter().any(|name| self.dir.join(name).exists());
        if own || matches!(loaded, Ok(Some(_))) {
            return loaded;
        }
        let look = |path: &Path| store::entry(&self.dir, path);
        let Some(maker) = takeover::is_old(&self.dir, &look) else {
            return loaded;
        };
        let dir = shell(&self.dir.display().to_string());
        let what = match maker {
            Maker::Script => "a registry of gen_config.py",
            Maker::Person => "a registry that was made by hand",
        };
        bail!(Fault::new(format!("`{}` holds {what}, not one of regcert", self.dir.display())).hint(format!(
            "`regcert init --from {dir} --dry-run` shows what regcert can take over: names, users and images; without --dry-run it makes ./registry from them"
        )))
    }

    /// The registry in the directory, or a fault with `hint`.
    fn find(&self, hint: &str, mends: Mends<'_>) -> Result<(Store, Loaded)> {
        let store = self.store()?;
        let loaded = self.load(&store, mends)?.ok_or_else(|| {
            let above = store::registry_above(&self.site.directory).map(|above| {
                format!("one is in `{}`: name it with -C, or change to it; or else ", above.display())
            });
            Fault::new(format!("there is no registry in `{}`", self.dir.display()))
                .hint(above.unwrap_or_default() + hint)
        })?;
        Ok((store, loaded))
    }

    /// Warns where an edit of regcert.toml stays one: this command does not apply it.
    fn warn_of_edit(deployment: &Deployment) {
        let keys: Vec<_> = deployment.unapplied().into_iter().map(|(key, ..)| format!("`{key}`")).collect();
        if !keys.is_empty() {
            ui::warn(format!(
                "regcert.toml has edits that are not applied, and this command leaves them out: {}; `regcert init` applies them",
                keys.join(", ")
            ));
        }
    }

    /// The registry as `open` finds it, able to sign. A person is asked for the passphrase while the lock is free.
    fn able_to_sign(&self, open: impl Fn() -> Result<(Store, Deployment)>) -> Result<(Store, Deployment)> {
        let (store, deployment) = open()?;
        if !deployment.is_locked() {
            return Ok((store, deployment));
        }
        drop(store);
        let passphrase = self.passphrase()?;
        let (store, mut deployment) = open()?;
        // As many rounds as were chosen when it was encrypted.
        ui::busy("opening the authority's key");
        match (deployment.unlock(&passphrase), self.passphrase_with_mark()?) {
            (Ok(()), _) => {}
            // An older regcert took the mark that Windows programs put before text for a part of the passphrase.
            (Err(_), Some(marked)) => deployment.unlock(&marked)?,
            (Err(fault), None) => return Err(fault.into()),
        }
        Ok((store, deployment))
    }

    /// The passphrase of a key that is encrypted.
    fn passphrase(&self) -> Result<Passphrase> {
        match &self.passphrase_file {
            Some(file) => read_passphrase(file),
            None if ui::can_ask() => ui::ask_passphrase(),
            None => bail!(
                Fault::new(
                    "the authority's key is encrypted, and there is no terminal to ask on for its passphrase"
                )
                .hint("name a file with `--ca-passphrase-file`")
            ),
        }
    }

    /// The passphrase with the mark before it, where the file begins with one.
    fn passphrase_with_mark(&self) -> Result<Option<Passphrase>> {
        let bytes = match &self.passphrase_file {
            Some(PassphraseFile::Named(path)) => Zeroizing::new(store::read_raw(path)?),
            Some(PassphraseFile::Read(_, bytes)) => bytes.clone(),
            None => return Ok(None),
        };
        Ok(if bytes.starts_with(MARK) { Some(Passphrase::first_line(&bytes)?) } else { None })
    }

    /// A passphrase for a key that is to be encrypted.
    fn new_passphrase(&self) -> Result<Passphrase> {
        match &self.passphrase_file {
            Some(file) => read_passphrase(file),
            None if ui::can_ask() => ui::ask_new_passphrase(),
            None => bail!(
                Fault::new("there is no terminal to ask on for a passphrase")
                    .hint("name a file with `--ca-passphrase-file`")
            ),
        }
    }

    /// What differs between the disk and the registry.
    fn compare(&self, store: &Store, deployment: &Deployment, edits: Edits) -> Result<Change> {
        let run_as = deployment.spec.run_as;
        let change = store.compare(self.files(store, deployment, edits)?, run_as, edits, None)?;
        if change.with(Action::EditedByHand).next().is_none() {
            return Ok(change);
        }
        // Where the digests are lost, a file that is as the registry was before this change is not an edit.
        let before = self.before(store)?.map(|(_, files)| files);
        store.compare(change.files, run_as, edits, before.as_ref())
    }

    /// Writes what differs between the disk and the registry.
    fn commit(&self, store: &mut Store, deployment: &Deployment) -> Result<Change> {
        Self::warn_of_edit(deployment);
        let change = self.compare(store, deployment, Edits::Keep)?;
        self.reaches(
            store,
            deployment,
            &change,
            "run `regcert init --force`, which rewrites it, and this command again",
        )?;
        self.guard(&change)?;
        store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
        Ok(change)
    }
}

/// Tells the person about a wait: making RSA keys takes seconds.
fn busy_with_keys(key_type: KeyType) {
    if key_type.is_slow() {
        ui::busy(format!("making {key_type} keys, which takes seconds"));
    }
}

/// Says so where a change of users took the last admin away.
fn warn_without_admin(deployment: &Deployment, had_admin: bool) {
    if had_admin && deployment.lets_admins_delete() && !deployment.has_admin() {
        ui::warn(
            "no user may delete images now: `regcert add-user NAME --role admin` gives a user that right",
        );
    }
}

/// The first line of the file that the user named.
fn read_passphrase(file: &PassphraseFile) -> Result<Passphrase> {
    let (path, passphrase) = match file {
        PassphraseFile::Named(path) => {
            (path, Passphrase::first_line(&Zeroizing::new(store::read_given(path)?)))
        }
        PassphraseFile::Read(path, bytes) => (path, utf8(bytes).and_then(Passphrase::first_line)),
    };
    passphrase.with_context(|| format!("`{}`", path.display()))
}
