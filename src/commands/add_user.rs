//! `regcert add-user`: a new user, or a new password or role for one.

use anyhow::{Context, Result, bail};

use super::password::{Known, Prompt, Source};
use super::{World, take};
use crate::auth::{Access, Password, Role, Set};
use crate::deployment::ROLES;
use crate::error::{Blame, Fault, Gather};
use crate::files::{Action, Change};
use crate::names::{Repositories, Username};
use crate::ui;

/// Add a user, or give one another password or role
///
/// On a terminal the password is asked for, twice. Elsewhere one is made and printed, alone on a line. The registry
/// takes it at the next request: nothing is restarted. With a role or repositories for a user who is there, the password
/// stays; nginx takes them with a reload, which no request notices.
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
    /// pull, push (pull as well) or admin (delete as well) [default: push, or what the user has]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Open only these repositories: `team-a/*` is all below team-a, `team-b/app` that one, `*` every one; may be
    /// repeated, and replaces what was said before [default: *, or what the user has]
    ///
    /// Only who may use every repository can list them all.
    #[arg(long, value_name = "PATTERN")]
    pub repo: Vec<String>,
    /// Make the running nginx take the role
    #[arg(long)]
    pub reload: bool,
}

/// What is asked for, checked.
struct Asked {
    name: Username,
    role: Option<Role>,
    repositories: Option<Repositories>,
}

impl Asked {
    /// What the user is to be allowed, who may be allowed something already.
    fn access(&self, now: Access) -> Access {
        Access {
            role: self.role.unwrap_or(now.role),
            repositories: self.repositories.clone().unwrap_or(now.repositories),
        }
    }

    fn says_access(&self) -> bool {
        self.role.is_some() || self.repositories.is_some()
    }
}

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<()> {
    let asked = asked(args)?;
    let Asked { name, .. } = &asked;
    // Not under the lock: others need not wait for a person.
    let is_there = world.open()?.1.users.names().iter().any(|known| known == name.as_str());
    let keeps_password = is_there && asked.says_access() && !args.password.is_given();
    let password =
        (!keeps_password).then(|| args.password.read(name.as_str(), Prompt::IfPossible)).transpose()?;
    let hash = password.as_ref().map(|(password, _)| password.hash());
    let (mut store, mut deployment) = world.open()?;
    World::settled(&deployment)?;
    let set = hash.map(|hash| deployment.set_user(name, &hash)).transpose()?;
    if asked.says_access() {
        deployment.set_access(name.clone(), asked.access(deployment.state.access.of(name.as_str())))?;
    }
    let access = deployment.state.access.of(name.as_str());
    let change = world.compare(&store, &deployment, crate::files::Edits::Keep)?;
    if access.is_limited() {
        reads_roles(&store.read()?, &change)?;
    }
    let change = world.commit(&mut store, &deployment)?;
    drop(store);
    match set {
        Some(Set::Added) if access.is_limited() => {
            ui::say(format!("added {name}, whom nginx lets in once it has been reloaded"));
        }
        Some(Set::Added) => ui::say(format!("added {name}; the registry knows at the next request")),
        Some(Set::Changed) => {
            ui::say(format!("{name} has another password; the old one ends at the next request"));
        }
        None => {}
    }
    if asked.says_access() {
        ui::say(format!("{name} may {access}"));
    }
    if let Some((password, Known::ToNobody)) = &password {
        show(name, password)?;
    }
    take(world, &deployment, &change, args.reload)
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

/// Refuses a limit that an nginx.conf which was edited by hand does not know of.
fn reads_roles(files: &crate::files::FileSet, change: &Change) -> Result<()> {
    let conf = "nginx/nginx.conf";
    let edited = change.with(Action::EditedByHand).any(|path| path.as_str() == conf);
    let file = ROLES.trim_start_matches("nginx/");
    if edited && !files.text(conf).is_some_and(|text| text.contains(file)) {
        bail!(
            Fault::new(format!("`{conf}` was edited by hand, and does not read the roles in `{ROLES}`"))
                .hint("`regcert init --force --reload` writes it anew; keep a copy of your edit")
        );
    }
    Ok(())
}

/// A password that nobody has seen yet, to stdout.
fn show(name: &Username, password: &Password) -> Result<()> {
    ui::say("password, shown only now:");
    let again = || {
        format!("{name} is there, with a password that nobody has seen: run `regcert add-user {name}` again")
    };
    ui::data(password.expose()).with_context(again)
}
