//! The commands, one file each, with their arguments and steps. This file contains the code that the commands share.

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

/// The hint if there is no registry.
const MAKE_ONE: &str = "make one with `regcert init`, or name its directory with -C";

/// Facts about the machine and the run, which `main` collects for the commands.
#[derive(Debug)]
pub struct World {
    /// The time of this run: the clock is read only once.
    pub now: OffsetDateTime,
    /// The user that the containers run as if no setting names another user.
    pub invoker: RunAs,
    /// The user who runs regcert.
    pub me: RunAs,
    /// The owner of the container engine that `docker` connects to: root or this user.
    pub engine: Engine,
    /// The registry's directory.
    pub dir: PathBuf,
    /// Facts about this machine that the generated files contain, such as the path of the program.
    pub site: Site,
    pub passphrase_file: Option<PassphraseFile>,
    /// The command that runs Docker Compose on this machine.
    pub compose: Compose,
    /// The Compose project that the environment variable `COMPOSE_PROJECT_NAME` names.
    pub project_variable: Option<String>,
    /// The form in which messages show commands, ready for this user to type.
    pub words: Words,
}

/// The file with the passphrase of the authority's key.
pub enum PassphraseFile {
    /// The path of a file that regcert has not read yet.
    Named(PathBuf),
    /// The path and contents of a file that was read while regcert was still root.
    Read(PathBuf, Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for PassphraseFile {
    /// Shows the path, never the passphrase.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Named(path) | Self::Read(path, _)) = self;
        write!(f, "PassphraseFile({})", path.display())
    }
}

impl World {
    /// Completes the commands in the findings' cures to the form that this user can type.
    fn typed(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let typed = |finding: Finding| Finding { cure: self.words.complete(&finding.cure), ..finding };
        findings.into_iter().map(typed).collect()
    }

    /// Determines the Compose project of the directory.
    fn project(&self) -> Project {
        Project::of(self.compose, &self.dir, self.project_variable.as_deref())
    }

    /// Determines the host user that the registry's containers run as.
    fn server(&self, deployment: &Deployment) -> RunAs {
        self.engine.on_host(deployment.spec.run_as, self.me)
    }

    /// Locks the directory. Waits if another regcert holds the lock.
    fn store(&self) -> Result<Store> {
        let waits = || ui::busy(format!("waiting for another regcert at work in `{}`", self.dir.display()));
        Store::open(&self.dir, waits)
    }

    /// Loads the settings in use; `None` if they are unknown.
    fn spec_in_force(&self, store: &Store) -> Option<Settings> {
        let loaded = self.load(store, Mends::Derived { force: true }).ok()??;
        Some(loaded.in_force().ok()?.spec)
    }

    /// Opens the registry in the directory, with the settings in use. Fails if there is no registry in the directory.
    fn open(&self) -> Result<(Store, Deployment)> {
        let (store, loaded) = self.find(MAKE_ONE, Mends::Nothing)?;
        Ok((store, loaded.in_force()?))
    }

    /// Loads the registry for a command that writes no file that depends on the settings.
    fn look(&self) -> Result<(Store, Deployment)> {
        let (store, loaded) = self.find(MAKE_ONE, Mends::Nothing)?;
        Ok((store, loaded.known()))
    }

    /// Loads the registry in the directory of `store`; `None` if there is none. Fails if the directory contains a
    /// registry that regcert did not make.
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

    /// Loads the registry in the directory; fails with `hint` if there is none.
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

    /// Warns that this command does not apply an edit of regcert.toml.
    fn warn_of_edit(deployment: &Deployment) {
        let keys: Vec<_> = deployment.unapplied().into_iter().map(|(key, ..)| format!("`{key}`")).collect();
        if !keys.is_empty() {
            ui::warn(format!(
                "regcert.toml has edits that are not applied, and this command leaves them out: {}; `regcert init` applies them",
                keys.join(", ")
            ));
        }
    }

    /// Opens the registry and unlocks the authority's key. Releases the lock while regcert asks for the passphrase.
    fn able_to_sign(&self, open: impl Fn() -> Result<(Store, Deployment)>) -> Result<(Store, Deployment)> {
        let (store, deployment) = open()?;
        if !deployment.is_locked() {
            return Ok((store, deployment));
        }
        drop(store);
        let passphrase = self.passphrase()?;
        let (store, mut deployment) = open()?;
        // Unlocking can be slow: the number of rounds was chosen when the key was encrypted.
        ui::busy("opening the authority's key");
        match (deployment.unlock(&passphrase), self.passphrase_with_mark()?) {
            (Ok(()), _) => {}
            // An older regcert read a byte order mark as a part of the passphrase.
            (Err(_), Some(marked)) => deployment.unlock(&marked)?,
            (Err(fault), None) => return Err(fault.into()),
        }
        Ok((store, deployment))
    }

    /// Reads the passphrase of an encrypted key, from the file or the terminal.
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

    /// Reads the passphrase together with the byte order mark before it; `None` if the file has no such mark.
    fn passphrase_with_mark(&self) -> Result<Option<Passphrase>> {
        let bytes = match &self.passphrase_file {
            Some(PassphraseFile::Named(path)) => Zeroizing::new(store::read_raw(path)?),
            Some(PassphraseFile::Read(_, bytes)) => bytes.clone(),
            None => return Ok(None),
        };
        Ok(if bytes.starts_with(MARK) { Some(Passphrase::first_line(&bytes)?) } else { None })
    }

    /// Reads the passphrase to encrypt a key with, from the file or the terminal.
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

    /// Compares the files on the disk with the files that regcert would write.
    fn compare(&self, store: &Store, deployment: &Deployment, edits: Edits) -> Result<Change> {
        let run_as = deployment.spec.run_as;
        let change = store.compare(self.files(store, deployment, edits)?, run_as, edits, None)?;
        if change.with(Action::EditedByHand).next().is_none() {
            return Ok(change);
        }
        // If the digests are lost, a file that matches the settings before this change counts as unedited.
        let before = self.before(store)?.map(|(_, files)| files);
        store.compare(change.files, run_as, edits, before.as_ref())
    }

    /// Writes the files that differ from the files on the disk. Fails before that if an edited file lacks the change.
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

/// Tells the user that regcert generates keys, if that takes seconds, as for RSA.
fn busy_with_keys(key_type: KeyType) {
    if key_type.is_slow() {
        ui::busy(format!("making {key_type} keys, which takes seconds"));
    }
}

/// Warns if a change of users removed the last admin.
fn warn_without_admin(deployment: &Deployment, had_admin: bool) {
    if had_admin && deployment.lets_admins_delete() && !deployment.has_admin() {
        ui::warn(
            "no user may delete images now: `regcert add-user NAME --role admin` gives a user that right",
        );
    }
}

/// Reads a passphrase from the first line of the file.
fn read_passphrase(file: &PassphraseFile) -> Result<Passphrase> {
    let (path, passphrase) = match file {
        PassphraseFile::Named(path) => {
            (path, Passphrase::first_line(&Zeroizing::new(store::read_given(path)?)))
        }
        PassphraseFile::Read(path, bytes) => (path, utf8(bytes).and_then(Passphrase::first_line)),
    };
    passphrase.with_context(|| format!("`{}`", path.display()))
}
