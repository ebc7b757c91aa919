//! `regcert delete`: deletes one tag or one manifest from the running registry.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::World;
use super::connection::Connection;
use super::images::elsewhere;
use crate::error::{Fault, Gather};
use crate::images::{Manifest, Tagged};
use crate::names::{Digest, Image, Reference, Repository, Typed};
use crate::probe::{self, Api};
use crate::ui;

/// Delete an image from the running registry
///
/// IMAGE:TAG deletes this tag alone, if other tags name the same image and the registry is registry:3. registry:2 deletes
/// the image, with every tag of the repository that names it, and so does IMAGE@DIGEST on both. What goes is shown first,
/// and nothing is deleted before you say yes. What an image for several platforms needs is not deleted without --break-index.
/// `regcert gc` frees the disk space.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regcert delete team-a/app:1.2
  regcert delete registry1.myhouse.local:5443/team-a/app:1.2
  regcert delete team-a/app:1.2 --yes --user bob --password-file bob.txt")]
pub struct Args {
    /// The image: REPO:TAG or REPO@DIGEST; the registry may stand before it, as `docker push` prints it
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
    /// Delete an image that an image for several platforms needs; the latter can then no longer be pulled
    #[arg(long)]
    break_index: bool,
    #[command(flatten)]
    connection: Connection,
}

pub fn run(args: &Args, world: &World) -> Result<()> {
    let mut gather = Gather::default();
    let typed: Option<Typed<Image>> = gather.take("IMAGE", args.image.parse());
    let (connected, image) = args.connection.read(world, gather, typed)?;
    let image = image.expect("one that is none was refused");
    connected.with(|api| {
        ui::busy(format!("asking {}", connected.target));
        let found = find(api, &image)?;
        spare_indexes(&image, &found, args.break_index)?;
        let shown = shown(&image, &found);
        if args.yes {
            ui::say(shown)
        } else {
            ui::tell(shown)
        }
        if !args.yes && !agreed()? {
            ui::say("nothing was deleted");
            return Ok(());
        }
        let whole = Reference::Digest(found.digest.clone());
        api.delete(&image.repository, if found.only_the_tag { &image.reference } else { &whole })?;
        ui::say(done(&image, &found));
        Ok(())
    })
}

/// The tag or the manifest to delete.
#[derive(Debug)]
struct Found {
    digest: Digest,
    is_index: bool,
    /// Every tag of the manifest, including the tag that the user typed.
    tags: Vec<String>,
    /// Whether only the tag is deleted, because other tags need the manifest.
    only_the_tag: bool,
    /// The tags of the multi-platform images in the repository that contain the manifest.
    needed_by: Vec<String>,
}

/// Fails if a multi-platform image would lose a part, unless `breaks` allows that.
fn spare_indexes(image: &Image, found: &Found, breaks: bool) -> Result<()> {
    if breaks || found.needed_by.is_empty() {
        return Ok(());
    }
    let indexes: Vec<_> = found.needed_by.iter().map(|tag| format!("`{}:{tag}`", image.repository)).collect();
    bail!(
        Fault::new(format!(
            "{image} is a part of {}, which could then no longer be pulled",
            indexes.join(", ")
        ))
        .hint("delete that first, or say `--break-index`")
    );
}

fn find(api: &Api<'_>, image: &Image) -> Result<Found> {
    let Image { repository, reference } = image;
    let tagged = probe::tagged(api, repository)?;
    let all: Vec<_> = tagged.iter().map(|tagged| tagged.tag.to_string()).collect();
    let (digest, media_type) = match reference {
        Reference::Tag(tag) => match tagged.iter().find(|tagged| tagged.tag == *tag) {
            Some(Tagged { digest, media_type, .. }) => (digest.clone(), media_type.clone()),
            None if api.tags(repository)??.is_some_and(|tags| tags.contains(&tag.to_string())) => {
                bail!(Fault::new(format!("there is no manifest behind `{repository}:{tag}`")).hint(
                    "`regcert gc` removes such a tag, or serves it again where its image is still stored"
                ))
            }
            None => bail!(
                Fault::new(format!("there is no tag `{tag}` in `{repository}`{}", elsewhere(repository)))
                    .hint(format!("`regcert images {repository}` lists the tags"))
            ),
        },
        Reference::Digest(digest) => match api.resolve(repository, reference)?? {
            Some(stored) => (digest.clone(), stored.media_type),
            None => bail!(
                Fault::new(format!("there is no `{digest}` in `{repository}`{}", elsewhere(repository)))
                    .hint(format!("`regcert images {repository} --json` lists the digests"))
            ),
        },
    };
    let named = tagged.iter().filter(|tagged| tagged.digest == digest);
    let tags: Vec<_> = named.map(|tagged| tagged.tag.to_string()).collect();
    let is_shared = matches!(reference, Reference::Tag(_)) && tags.len() > 1;
    let only_the_tag = is_shared && api.deletes_tags(repository, &all)?;
    // If the manifest stays, no index loses a part.
    let needed_by = if only_the_tag { Vec::new() } else { indexes(api, repository, &tagged, &digest)? };
    Ok(Found { is_index: is_index(&media_type), digest, tags, only_the_tag, needed_by })
}

fn is_index(media_type: &str) -> bool {
    ["image.index", "manifest.list"].iter().any(|kind| media_type.contains(kind))
}

/// Finds the tags whose index names the manifest, directly or through another index.
fn indexes(
    api: &Api<'_>,
    repository: &Repository,
    tagged: &[Tagged],
    digest: &Digest,
) -> Result<Vec<String>> {
    let mut needed_by = Vec::new();
    for index in tagged.iter().filter(|tagged| is_index(&tagged.media_type) && tagged.digest != *digest) {
        let (mut wanted, mut seen) = (vec![index.digest.clone()], BTreeSet::new());
        while let Some(next) = wanted.pop() {
            // Only an index names other manifests. A damaged or missing index names none.
            if seen.insert(next.clone())
                && let Some(stored) = api.manifest(repository, &Reference::Digest(next))??
                && let Manifest::Index(entries) = Manifest::read(&stored.bytes)
            {
                if entries.iter().any(|entry| entry.digest == *digest) {
                    needed_by.push(index.tag.to_string());
                    break;
                }
                wanted.extend(entries.into_iter().map(|entry| entry.digest));
            }
        }
    }
    Ok(needed_by)
}

fn agreed() -> Result<bool> {
    if ui::can_ask() {
        return ui::confirm("Delete it?");
    }
    bail!(
        Fault::new("there is no terminal to ask on: nothing was deleted")
            .hint("`--yes` deletes without asking")
    )
}

/// Describes everything that will be deleted.
fn shown(image: &Image, found: &Found) -> String {
    let Found { digest, tags, .. } = found;
    match &image.reference {
        Reference::Tag(tag) => {
            let typed = tag.to_string();
            let others: Vec<_> = tags.iter().filter(|tag| **tag != typed).map(String::as_str).collect();
            match others.as_slice() {
                [] => format!("{image} is {digest}, and no other tag is"),
                others if found.only_the_tag => {
                    format!("{image} is {digest}, also tagged {}: only this tag goes", others.join(", "))
                }
                others => format!(
                    "{image} is {digest}, also tagged {}: all of them go, because this registry cannot delete one tag alone",
                    others.join(", ")
                ),
            }
        }
        Reference::Digest(_) => match tags.as_slice() {
            [] => format!("{image} has no tag"),
            [tag] => format!("{image} is tagged {tag}, which goes as well"),
            tags => format!("{image} is tagged {}: all of them go", tags.join(", ")),
        },
    }
}

fn done(image: &Image, found: &Found) -> String {
    if found.only_the_tag {
        return format!("deleted {image}\n{}@{} stays, for its other tags", image.repository, found.digest);
    }
    let deleted = format!("deleted {}@{}", image.repository, found.digest);
    let room = "the room comes back with `regcert gc`, on the registry's machine";
    if found.is_index {
        return format!(
            "{deleted}\n{room}; that of the images for each platform, which have no tag of their own, with `regcert gc --delete-untagged`"
        );
    }
    format!("{deleted}\n{room}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_that_goes_is_named_and_no_index_loses_a_part() {
        let digest: Digest = format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
        let found = |tags: &[&str]| Found {
            digest: digest.clone(),
            is_index: false,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            only_the_tag: false,
            needed_by: Vec::new(),
        };
        for (typed, tags, expected) in [
            (
                "app:1.2",
                &["1", "1.2", "latest"][..],
                format!(
                    "app:1.2 is {digest}, also tagged 1, latest: all of them go, because this registry cannot delete one tag alone"
                ),
            ),
            ("app:1.2", &["1.2"], format!("app:1.2 is {digest}, and no other tag is")),
            (&format!("app@{digest}"), &[], format!("app@{digest} has no tag")),
            (&format!("app@{digest}"), &["1"], format!("app@{digest} is tagged 1, which goes as well")),
            (&format!("app@{digest}"), &["1", "2"], format!("app@{digest} is tagged 1, 2: all of them go")),
        ] {
            assert_eq!(shown(&typed.parse().unwrap(), &found(tags)), expected);
        }
        let part = Found { needed_by: vec!["multi".to_owned(), "list".to_owned()], ..found(&["amd"]) };
        let image = "app:amd".parse().unwrap();
        let refusal = spare_indexes(&image, &part, false).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "app:amd is a part of `app:multi`, `app:list`, which could then no longer be pulled"
        );
        assert!(
            spare_indexes(&image, &part, true).is_ok() && spare_indexes(&image, &found(&[]), false).is_ok()
        );
        let alone = Found { only_the_tag: true, ..found(&["1", "1.2"]) };
        let image = "app:1.2".parse().unwrap();
        assert_eq!(shown(&image, &alone), format!("app:1.2 is {digest}, also tagged 1: only this tag goes"));
        assert_eq!(done(&image, &alone), format!("deleted app:1.2\napp@{digest} stays, for its other tags"));
    }
}
