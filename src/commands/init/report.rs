//! The JSON output of `init`: the result of the run, or of a dry run.

use anyhow::Result;
use serde_json::json;

use super::super::{World, dry_run};
use super::Args;
use crate::deployment::Deployment;
use crate::files::{Action, Change, RelPath};
use crate::guide::News;
use crate::names::Username;
use crate::pki::{Certificate, date};
use crate::ui;

pub(super) fn summary(
    deployment: &Deployment,
    world: &World,
    change: &Change,
    user: Option<(&Username, Option<&str>)>,
) -> serde_json::Value {
    let leaf = deployment.server.as_ref().map(|server| server.leaf());
    json!({
        "directory": world.dir,
        "registry": deployment.spec.registry(),
        "fingerprint": deployment.root().map(Certificate::fingerprint),
        "root": deployment.root().map(|root| json!({
            "certificate": deployment.root_path(),
            "until": date(root.validity.not_after),
            "admits": root.constraints.as_ref().map(|constraints| {
                constraints.permitted.iter().map(ToString::to_string).collect::<Vec<_>>()
            }),
        })),
        "server": leaf.map(|leaf| json!({
            "certificate": deployment.certificate_path(),
            "names": leaf.names,
            "serial": leaf.serial,
            "until": date(leaf.validity.not_after),
        })),
        "request": deployment.pending.as_ref().map(|_| deployment.request_path()),
        "user": user.map(|(name, password)| json!({ "name": name.as_str(), "password": password })),
        "files": files(change),
    })
}

fn files(change: &Change) -> Vec<serde_json::Value> {
    let file = |(path, action): &(RelPath, Action)| json!({ "path": path.as_str(), "action": action });
    change.actions.iter().map(file).collect()
}

impl Args {
    /// Shows the changes that this run would make. Leaves out parts that do not exist yet, such as a certificate.
    pub(super) fn would_change(
        &self,
        world: &World,
        deployment: &Deployment,
        news: &News,
        change: &Change,
    ) -> Result<()> {
        dry_run(news, change);
        if !self.json {
            return Ok(());
        }
        let registry = deployment.spec.registry();
        let told = json!({
            "dry_run": true,
            "directory": world.dir,
            "registry": registry,
            "files": files(change),
        });
        ui::data(told.to_string())
    }
}
