//! `regcert add-user`: a new user, or a new password for one.

use anyhow::{Context, Result};

use super::World;
use super::password::{Known, Prompt, Source};
use crate::auth::Set;
use crate::error::{Blame, Gather};
use crate::names::Username;
use crate::ui;

/// Add a user, or give one another password
///
/// On a terminal the password is asked for, twice. Elsewhere one is made and printed, alone on a line. The registry
/// takes the change at the next request: nothing is restarted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert add-user bob
  regcert add-user bob --password-file bob.txt
  PASSWORD=$(regcert add-user ci </dev/null)")]
pub struct Args {
    /// The name to log in with: letters, digits and `.`, `_`, `-`, `@`, `+`
    pub name: String,
    #[command(flatten)]
    pub password: Source,
}

/// Runs the command.
pub fn run(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let name: Option<Username> = gather.take("NAME", args.name.parse());
    gather.finish(Blame::CommandLine)?;
    let name = name.expect("a name that is none was refused");
    // Not under the lock: others need not wait for a person.
    world.open()?;
    let (password, known) = args.password.read(name.as_str(), Prompt::IfPossible)?;
    let hash = password.hash();
    let (mut store, mut deployment) = world.open()?;
    World::settled(&deployment)?;
    let set = deployment.users.set(&name, &hash);
    world.commit(&mut store, &deployment)?;
    ui::say(match set {
        Set::Added => format!("added {name}; the registry knows at the next request"),
        Set::Changed => format!("{name} has another password; the old one ends at the next request"),
    });
    if known == Known::ToNobody {
        ui::say("password, shown only now:");
        let again = || {
            format!(
                "{name} is there, with a password that nobody has seen: run `regcert add-user {name}` again"
            )
        };
        ui::data(password.expose()).with_context(again)?;
    }
    Ok(())
}
