//! `regcert add-user`: adds a user, or changes a user's password or role.

use anyhow::{Context, Result, bail};

use super::password::{Known, Prompt, Source};
use super::{World, take, warn_without_admin};
use crate::auth::{Access, Password, Role, Set};
use crate::deployment::Deployment;
use crate::error::{Blame, Fault, Gather};
use crate::files::Edits;
use crate::front::{NGINX_CONF, ROLES};
use crate::names::{Repositories, Username};
use crate::settings::Proxy;
use crate::{guide, ui};

/// Add a user, or change a user's password or role
///
/// On a terminal regcert asks for the password, twice. Elsewhere it generates one and prints it, alone on a line. The
/// password works at once, without a restart. With --role or --repo for an existing user the password stays. A role
/// needs a reload of nginx, which interrupts no request.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert add-user bob
  regcert add-user bob --password-file bob.txt
  regcert add-user ci --role push --repo 'team-a/*' --reload
  PASSWORD=$(regcert add-user ci </dev/null)")]
pub struct Args {
    /// The name to log in with: letters, digits and `.`, `_`, `-`, `@`, `+`
    pub name: String,
    #[command(flatten)]
    pub password: Source,
    /// pull, push (includes pull) or admin (includes delete) [default: push, or the user's present role]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Allow only these repositories: `team-a/*` for all below team-a, `team-b/app` for one, `*` for every one; may be
    /// repeated; replaces the earlier list [default: *, or the user's present list]
    ///
    /// Only users with `*` can list all repositories.
    #[arg(long, value_name = "PATTERN")]
    pub repo: Vec<String>,
    /// Reload the running nginx, so that the role holds
    #[arg(long)]
    pub reload: bool,
}

/// The validated arguments of the command.
struct Asked {
    name: Username,
    role: Option<Role>,
    repositories: Option<Repositories>,
}

impl Asked {
    /// Computes the user's access after this command; `now` is the access before the command.
    fn access(&self, now: Access) -> Access {
        Access {
            role: self.role.unwrap_or(now.role),
            repositories: self.repositories.clone().unwrap_or(now.repositories),
        }
    }

    fn says_access(&self) -> bool {
        self.role.is_some() || self.repositories.is_some()
    }

    /// Applies the arguments. `hash` is the hash of the new password, if there is one.
    fn apply(&self, deployment: &mut Deployment, hash: Option<&str>) -> Result<Option<Set>> {
        let name = &self.name;
        deployment.tell_apart(name)?;
        let set = hash.map(|hash| deployment.set_user(name, hash)).transpose()?;
        if self.says_access() {
            deployment.set_access(name.clone(), self.access(deployment.state.access.of(name.as_str())))?;
        }
        Ok(set)
    }
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let asked = asked(args)?;
    let Asked { name, .. } = &asked;
    // Releases the lock, so that other commands can run while regcert asks for the password.
    let mut deployment = world.open()?.1;
    let is_there = deployment.users.has(name.as_str());
    let keeps_password = is_there && asked.says_access() && !args.password.is_given();
    // Tries the change before asking for a password, so that an invalid change fails at once.
    asked.apply(&mut deployment, None)?;
    let password =
        (!keeps_password).then(|| args.password.read_new(name.as_str(), Prompt::IfPossible)).transpose()?;
    let hash = password.as_ref().map(|(password, _)| password.hash());
    let (mut store, mut deployment) = world.open()?;
    if hash.is_none() && !deployment.users.has(name.as_str()) {
        bail!(Fault::new(format!("`{name}` was removed meanwhile")).hint("run the command again"));
    }
    let had_admin = deployment.has_admin();
    let file = deployment.state.access.password_file(name.as_str());
    let set = asked.apply(&mut deployment, hash.as_deref())?;
    if asked.says_access() && world.keeps_an_nginx_without_roles(&store, &deployment, Edits::Keep)? {
        bail!(
            Fault::new(format!(
                "`{NGINX_CONF}` was edited by hand, and does not read the roles in `{ROLES}`"
            ))
            .hint("`regcert init --force --reload` rewrites it; keep a copy of your edit")
        );
    }
    let change = world.commit(&mut store, &deployment)?;
    drop(store);
    let is_moved = deployment.state.access.password_file(name.as_str()) != file;
    let waits = is_moved && !args.reload;
    tell(&asked, set, &deployment, args.reload, waits);
    warn_without_admin(&deployment, had_admin);
    if let Some((password, Known::ToNobody)) = &password {
        show(name, password)?;
    }
    take(world, &deployment, &change, args.reload, |words, steps| {
        guide::take(&deployment, words, &world.project(), steps)
    })?;
    if !args.reload
        && deployment.spec.proxy == Proxy::Nginx
        && guide::steps(&deployment, &change).is_empty()
        && deployment.state.access.must_be_read(name.as_str())
    {
        ui::tell(guide::may_wait(&world.words, name.as_str()));
    }
    if matches!(set, Some(Set::Added)) && deployment.server.is_some() {
        ui::say(format!("{name} logs in with `docker login -u {name} {}`", deployment.spec.registry()));
    }
    Ok(())
}

/// Reports the change. If `waits`, nginx must reload to read the other password file that now contains the user.
fn tell(asked: &Asked, set: Option<Set>, deployment: &Deployment, reload: bool, waits: bool) {
    let Asked { name, .. } = asked;
    let accesses = &deployment.state.access;
    match set {
        Some(Set::Added) if reload => ui::say(format!("added {name}")),
        Some(Set::Added) if accesses.must_be_read(name.as_str()) => {
            ui::say(format!("added {name}; reload nginx before {name} can log in"));
        }
        Some(Set::Added) => ui::say(format!("added {name}, who can log in now")),
        Some(Set::Changed) => {
            ui::say(format!(
                "changed the password of {name}; the registry refuses the old one from the next request on"
            ));
        }
        None => {}
    }
    if asked.says_access() {
        let until = if waits && set != Some(Set::Added) {
            format!("; reload nginx before {name} can log in")
        } else {
            String::new()
        };
        ui::say(format!("{name} may {}{until}", accesses.of(name.as_str())));
    }
}

fn asked(args: &Args) -> Result<Asked> {
    let mut gather = Gather::default();
    let name: Option<Username> = gather.take("NAME", args.name.parse());
    let role = args.role.as_deref().map(|role| gather.take("--role", role.parse()));
    let repositories = (!args.repo.is_empty()).then(|| Repositories::parse(&args.repo));
    let repositories = repositories.and_then(|parsed| {
        let faults = parsed.map_err(|faults| {
            for fault in faults {
                gather.take::<()>("--repo", Err(fault));
            }
        });
        faults.ok()
    });
    gather.finish(Blame::CommandLine)?;
    Ok(Asked { name: name.expect("a name that is none was refused"), role: role.flatten(), repositories })
}

/// Prints a generated password to stdout.
fn show(name: &Username, password: &Password) -> Result<()> {
    ui::say("password (shown only now):");
    let again = || {
        format!("{name} was added, but the password could not be shown: run `regcert add-user {name}` again")
    };
    ui::data(password.expose()).with_context(again)
}
