//! `regcert trust pull-secret`: writes a Kubernetes Secret with a user's password.

use anyhow::{Result, bail};

use crate::auth::Login;
use crate::commands::World;
use crate::commands::password::{Prompt, Source};
use crate::error::{Blame, Fault, Gather};
use crate::files::{Edits, Mode, Origin};
use crate::names::{Username, printable};
use crate::trust::{Namespace, ObjectName, pull_secret};
use crate::ui;

/// Write the Secret by which Kubernetes pulls images as a user
///
/// Its password is in it: it lies in clients/, for you alone, and is not among what is served. Hand it over and remove
/// it. The password is compared with the registry's first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert trust pull-secret bob --password-file bob.txt
  regcert trust pull-secret bob --password-file bob.txt --namespace apps --name regcred")]
pub struct Args {
    /// The user
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    password: Source,
    /// The namespace of the Secret [default: the one that kubectl is told]
    #[arg(long, value_name = "NS")]
    namespace: Option<String>,
    /// The name of the Secret [default: the registry's host]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let user: Option<Username> = gather.take("USER", args.user.parse());
    let namespace: Option<Option<Namespace>> =
        gather.take("--namespace", args.namespace.as_deref().map(str::parse).transpose());
    let name: Option<Option<ObjectName>> =
        gather.take("--name", args.name.as_deref().map(str::parse).transpose());
    if !args.password.is_given() {
        gather.push(
            Fault::new("the user's password is needed: what is stored of it cannot be turned back")
                .hint("give it with `--password-stdin` or `--password-file`"),
        );
    }
    gather.finish(Blame::CommandLine)?;
    let user = user.expect("a name that is none was refused");
    let (password, _) = args.password.read(user.as_str(), Prompt::Never)?;

    let (mut store, deployment) = world.open()?;
    match deployment.users.login(&user, &password) {
        Login::Good => {}
        Login::NoSuchUser => bail!(
            Fault::new(format!("there is no user `{}`", printable(user.as_str())))
                .hint("`regcert list-users` shows them, and `regcert add-user` adds one")
        ),
        Login::WrongPassword => bail!(
            Fault::new(format!("this is not {user}'s password"))
                .hint(format!("`regcert add-user {user}` gives another one, which this then takes"))
        ),
        Login::OtherHash => bail!(
            Fault::new(format!("{user}'s password is stored in a way that only nginx can compare"))
                .hint(format!("`regcert add-user {user}` with the same password stores it again"))
        ),
    }
    let name = name.flatten().unwrap_or_else(|| ObjectName::of(&deployment.spec.host().to_string()));
    let registry = deployment.spec.registry();
    let secret = pull_secret(&registry, &user, &password, &name, namespace.flatten().as_ref());

    let path = format!("clients/pull-secret-{user}.yaml");
    let mut files = deployment.files(&world.site)?;
    files.put(&path, secret.as_bytes(), Mode::Secret, Origin::HandedOver);
    let change = store.compare(files, deployment.spec.run_as, Edits::Keep, None)?.only(|known| known == path);
    store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
    ui::say(format!("{path} has {user}'s password in it: `kubectl apply -f` it, then remove it"));
    ui::say(format!("  in the pods  imagePullSecrets: [{{name: \"{name}\"}}]"));
    Ok(())
}
