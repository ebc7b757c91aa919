//! The directories in which a new registry may be created: not the clone of regcert, and not within another registry.

use anyhow::{Result, bail};

use super::World;
use crate::error::Fault;
use crate::names::shell;
use crate::store;

/// Fails if the directory is the clone of regcert, because the registry would replace files of the clone.
pub(super) fn beside_the_source(world: &World) -> Result<()> {
    if store::is_clone(&world.dir) {
        let below = shell(&world.dir.join("registry").display().to_string());
        bail!(
            Fault::new(format!("`{}` is the clone of regcert itself", world.dir.display()))
                .hint(format!("`regcert -C {below} init` makes a registry below it, which git ignores"))
        );
    }
    Ok(())
}

/// Fails if the directory is inside another registry.
pub(super) fn outside_of_others(world: &World) -> Result<()> {
    match store::registry_above(&world.site.directory) {
        None => Ok(()),
        Some(above) => bail!(
            Fault::new(format!("`{}` lies within the registry in `{}`", world.dir.display(), above.display()))
                .hint(format!(
                    "for that registry, run `regcert -C {} init`; for another one, choose a directory outside with -C",
                    shell(&above.display().to_string())
                ))
        ),
    }
}

/// Makes a typed path absolute, so that the path is valid from every directory. Keeps `volume` and `volume:NAME`
/// unchanged.
pub(super) fn from_here(data: &str) -> String {
    let absolute =
        || std::path::absolute(data).ok().and_then(|path| path.into_os_string().into_string().ok());
    if matches!(data, "volume" | "") || data.starts_with("volume:") {
        data.to_owned()
    } else {
        absolute().unwrap_or_else(|| data.to_owned())
    }
}
