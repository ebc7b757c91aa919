//! Writes a change and applies it to the running registry. Reverts a change that nginx refuses.

use anyhow::{Result, bail};
use time::OffsetDateTime;

use super::{World, rotate};
use crate::deployment::{Deployment, IGNORED, Mends, REGISTRY_CONFIG};
use crate::error::Fault;
use crate::files::{Action, Change, Edits};
use crate::front;
use crate::guide::{News, Words};
use crate::settings::Proxy;
use crate::store::{self, Store};
use crate::{guide, probe, ui};

/// How a change is written: shared by the commands that renew.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Writing {
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Overwrite files that were edited by hand
    #[arg(long)]
    pub force: bool,
    /// Apply the change to the running registry, and check that it serves it
    #[arg(long, conflicts_with = "dry_run")]
    pub reload: bool,
}

impl Writing {
    pub(super) fn edits(self) -> Edits {
        if self.force { Edits::Overwrite } else { Edits::Keep }
    }

    /// Shows and writes a change, and reloads the registry if `--reload` is set; `None` after a dry run. Calls
    /// `written` before the reload, so that the output of `written` is not lost if the reload fails.
    pub(super) fn apply(
        self,
        world: &World,
        store: &mut Store,
        deployment: &Deployment,
        news: &News,
        password: Option<&str>,
        written: impl FnOnce(&Change) -> Result<()>,
    ) -> Result<Option<Change>> {
        rotate::warn_if_cut(deployment);
        World::warn_of_edit(deployment);
        let change = world.compare(store, deployment, self.edits())?;
        let rewrites = "run this command again with `--force`, which rewrites it";
        world.reaches(store, deployment, &change, rewrites)?;
        world.guard(&change)?;
        if self.force {
            world.show_edits(store, deployment)?;
        }
        if self.dry_run {
            dry_run(news, &change);
            return Ok(None);
        }
        let steps = guide::steps(deployment, &change);
        let before = self.reload.then(|| world.load(store, Mends::Nothing).ok().flatten()).flatten();
        let before = before.and_then(|before| before.in_force().ok());
        let changed = store::changed(&world.dir.join(REGISTRY_CONFIG));
        store.commit(&change, deployment.spec.run_as, &deployment.spec.data)?;
        // If the user or the image of nginx changes, the running nginx cannot test the files for the new container.
        let like_it = |before: &Deployment| {
            before.spec.run_as == deployment.spec.run_as
                && before.spec.nginx_image == deployment.spec.nginx_image
        };
        if let Some(before) = before.filter(|before| deployment.spec.proxy == Proxy::Nginx && like_it(before))
        {
            take_back(world, store, &before, changed)?;
        }
        world.lead_compose()?;
        ui::say("changed:");
        ui::news(news);
        ui::changes(&change);
        if ui::is_quiet() && !self.reload && !steps.is_empty() {
            ui::tell(guide::take(deployment, &world.words, &world.project(), &steps));
        }
        let left: &[probe::Step] = if self.reload { &[] } else { &steps };
        ui::say(guide::renewed(deployment, &world.words, &world.project(), password, left));
        ui::made(password)?;
        // Does not warn of an edited .gitignore, which may be the user's own.
        for path in change.with(Action::EditedByHand).filter(|path| path.as_str() != IGNORED) {
            ui::warn(format!(
                "`{path}` was edited by hand and stays as it is: `regcert init --force` rewrites it"
            ));
        }
        written(&change)?;
        self.reload(world, deployment, &steps)?;
        Ok(Some(change))
    }

    /// Makes the running registry read its files if `--reload` is set.
    pub(super) fn reload(self, world: &World, deployment: &Deployment, steps: &[probe::Step]) -> Result<()> {
        let (true, Some(server), Some(root)) = (self.reload, &deployment.server, deployment.root()) else {
            return Ok(());
        };
        ui::busy("the registry takes the new files");
        world.project().reload(steps, &deployment.spec, root, server.leaf())?;
        ui::say("reloaded: the registry serves the new certificate");
        Ok(())
    }
}

/// Fails and restores the files of `before` if the running nginx refuses the new files: nginx would keep running, but
/// could not start again. `changed` is the earlier modification time of the registry's configuration.
fn take_back(
    world: &World,
    store: &mut Store,
    before: &Deployment,
    changed: Option<OffsetDateTime>,
) -> Result<()> {
    let project = world.project();
    let Some(why) = project.nginx_refuses() else {
        return Ok(());
    };
    let back = world.compare(store, before, Edits::Keep)?;
    store.commit(&back, before.spec.run_as, &before.spec.data)?;
    if let Some(changed) = changed {
        // `check` compares this time with the start of the registry, which has read the restored file.
        store::set_changed(&world.dir.join(REGISTRY_CONFIG), changed);
    }
    bail!(match project.nginx_refuses() {
        None => Fault::new(format!("nginx refuses the change, which was taken back: {why}"))
            .hint("the registry goes on as it was; change what the message names, then run the command again"),
        Some(why) => Fault::new(format!(
            "nginx refuses its files, also without this change, which was taken back: {why}"
        ))
        .hint(match front::local_named(&why) {
            Some(own) => format!(
                "nginx goes on with what it read before, and cannot start again: correct `{own}`, which regcert never rewrites"
            ),
            None => format!(
                "nginx goes on with what it read before, and cannot start again: correct what the message names, or `regcert -C {} init --force --reload` overwrites every edit by hand",
                project.shown()
            ),
        }),
    })
}

/// Makes the running registry apply a change if `reload` is set; otherwise prints the steps to apply the change.
pub(super) fn take(
    world: &World,
    deployment: &Deployment,
    change: &Change,
    reload: bool,
    left: impl FnOnce(&Words, &[probe::Step]) -> String,
) -> Result<()> {
    let mut steps = guide::steps(deployment, change);
    if reload && steps.is_empty() && deployment.spec.proxy == Proxy::Nginx {
        // The user may not have run the step that an earlier run printed.
        steps.push(probe::Step::ReloadNginx);
    }
    match (&deployment.server, deployment.root(), steps.is_empty()) {
        (_, _, true) => {}
        (Some(server), Some(root), false) if reload => {
            ui::busy("the registry takes the new files");
            world.project().reload(&steps, &deployment.spec, root, server.leaf())?;
            ui::say("reloaded: nginx has read the change");
        }
        (_, _, false) => ui::tell(left(&world.words, &steps)),
    }
    Ok(())
}

/// Shows the changes that a run would make.
pub(super) fn dry_run(news: &News, change: &Change) {
    ui::say("this would change:");
    ui::news(news);
    ui::changes(change);
    ui::say("nothing was written");
}
