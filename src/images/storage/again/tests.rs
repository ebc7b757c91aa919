//! Tests that a plan after the second scan removes nothing that a full scan would keep, whatever clients do during the
//! first scan.
#![allow(clippy::unwrap_used)]

mod disk;

use proptest::prelude::*;

use super::super::tests::{image, sum};
use super::*;
use crate::images::Garbage;
use disk::{Disk, START, Style, first_look, layer, manifests, revision, steps, tag};

proptest! {
    #[test]
    fn what_a_whole_look_keeps_stays(
        is_new in any::<bool>(),
        removes_untagged in any::<bool>(),
        before in steps(60),
        rest in prop_oneof![Just(0), Just(10), Just(5_000)],
        beside in steps(6),
        moments in proptest::collection::vec(0..6_usize, 14),
        after in steps(12),
    ) {
        let garbage = if removes_untagged { Garbage::Untagged } else { Garbage::Unreferenced };
        let mut disk = Disk::new(if is_new { Style::Renames } else { Style::InPlace });
        before.iter().for_each(|step| disk.go(step));
        // Often, all files are older than the scan.
        disk.now += rest;
        let mut contents = Contents::default();
        let storage = first_look(&mut disk, &beside, &moments, &mut contents);
        after.iter().for_each(|step| disk.go(step));
        let (plan, _) = disk.look_again(storage, &mut contents, garbage);

        let wanted = disk.look(&mut contents).plan(&contents, garbage);
        for path in &plan.remove {
            prop_assert!(wanted.remove.contains(path) || disk.names(path).is_empty(), "{path} was to stay");
        }
        for (link, digest) in &plan.mend {
            let holds = disk.text(link);
            prop_assert!(wanted.mend.contains(&(link.clone(), *digest)) || holds == Some(&*digest.to_string()), "{link}");
        }
    }

    #[test]
    fn where_it_stopped_at_any_step_the_next_one_does_the_rest(
        is_new in any::<bool>(), removes_untagged in any::<bool>(), before in steps(60), at in 0..100_usize,
    ) {
        let garbage = if removes_untagged { Garbage::Untagged } else { Garbage::Unreferenced };
        let mut disk = Disk::new(if is_new { Style::Renames } else { Style::InPlace });
        before.iter().for_each(|step| disk.go(step));
        let mut at_once = disk.clone();
        at_once.collect(garbage, usize::MAX);
        disk.collect(garbage, at);
        disk.collect(garbage, usize::MAX);
        prop_assert_eq!(disk.files(), at_once.files());
    }

    #[test]
    fn where_nothing_changed_nothing_is_listed_again(
        is_new in any::<bool>(), removes_untagged in any::<bool>(), before in steps(60),
    ) {
        let garbage = if removes_untagged { Garbage::Untagged } else { Garbage::Unreferenced };
        let mut disk = Disk::new(if is_new { Style::Renames } else { Style::InPlace });
        before.iter().for_each(|step| disk.go(step));
        disk.now += 5_000;
        let mut contents = Contents::default();
        let storage = first_look(&mut disk, &[], &[0; 14], &mut contents);
        let wanted = storage.plan(&contents, garbage);
        prop_assert_eq!(disk.look_again(storage, &mut contents, garbage), (wanted, 0));
    }
}

#[test]
fn a_clock_that_was_set_back_tells_nothing() {
    let storage = Storage::new(Some(START));
    let minute = Duration::from_secs(60);
    assert!(storage.keeps_time(Some(START + 60), minute));
    assert!(storage.keeps_time(Some(START + 59), minute), "seconds are cut off");
    assert!(!storage.keeps_time(Some(START + 40), minute));
    assert!(!storage.keeps_time(None, minute));
    assert!(!Storage::new(None).keeps_time(Some(START), minute));
}

#[test]
fn steps_go_from_manifests_to_blobs_and_keep_equal_names_apart() {
    let paths = [
        "repositories/a/_manifests/tags/1/index/sha256/m",
        "repositories/a/_manifests/tags/2/index/sha256/m",
        "repositories/a/_manifests/revisions/sha256/m",
        "repositories/a/_manifests/tags/3",
        "repositories/a/_layers/sha256/l",
        "repositories/b/_layers/sha256/l",
        "repositories/b/_layers/sha256/k",
        "blobs/sha256/mm/m",
        "repositories/a/_uploads/1",
    ];
    let plan = Plan { remove: paths.map(str::to_owned).to_vec(), ..Plan::default() };
    assert_eq!(plan.steps(), [2, 0, 3, 1, 4, 6, 5, 7, 8].map(|at| paths[at]));
}

/// Scans a repository with a tag, long after the push of the tag.
fn looked_at(disk: &mut Disk, contents: &mut Contents) -> Storage {
    let pushed = &manifests()[0];
    pushed.1.iter().for_each(|part| {
        disk.blob(part);
        disk.link(&layer("a", part), part);
    });
    disk.push("a", pushed, Some(0));
    disk.now += 5_000;
    first_look(disk, &[], &[0; 14], contents)
}

#[test]
fn a_manifest_that_was_deleted_before_and_comes_again_stays() {
    for style in [Style::InPlace, Style::Renames] {
        let (mut disk, mut contents) = (Disk::new(style), Contents::default());
        looked_at(&mut disk, &mut contents);
        disk.delete("a", &manifests()[0].0, true);
        disk.now += 5_000;
        let storage = first_look(&mut disk, &[], &[0; 14], &mut contents);
        assert!(storage.plan(&contents, Garbage::Unreferenced).has_work());
        disk.now += 60;
        disk.push("a", &manifests()[0], None);
        let (plan, _) = disk.look_again(storage, &mut contents, Garbage::Unreferenced);
        assert_eq!(plan, Plan::default());
    }
}

#[test]
fn a_tag_that_could_not_be_read_makes_its_repository_listed_again() {
    let (mut disk, mut contents) = (Disk::new(Style::InPlace), Contents::default());
    looked_at(&mut disk, &mut contents);
    // The text is as long as a link, but it is not a digest.
    let nonsense = "x".repeat(71);
    disk.write(&format!("{}/current/link", tag("a", 0)), &nonsense);
    let other = format!("{}/index/sha256/{}", tag("a", 0), sum("another").hex());
    disk.link(&other, "another");
    disk.now += 5_000;
    let storage = first_look(&mut disk, &[], &[0; 14], &mut contents);
    let (plan, listed) = disk.look_again(storage, &mut contents, Garbage::Untagged);
    assert_eq!((plan.remove, plan.unreadable, listed), (Vec::new(), vec!["a:0".to_owned()], 1));
}

#[test]
fn a_manifest_that_was_not_whole_is_read_again() {
    let text = image(&["layer"]);
    for half in ["", &text[..text.len() / 2]] {
        let mut disk = Disk::new(Style::InPlace);
        disk.blob("layer");
        disk.link(&layer("a", "layer"), "layer");
        disk.link(&revision("a", &text), &text);
        disk.write(&sum(&text).file(), half);
        disk.now += 5_000;
        let mut contents = Contents::default();
        let storage = first_look(&mut disk, &[], &[0; 14], &mut contents);
        assert!(!storage.plan(&contents, Garbage::Unreferenced).remove.is_empty(), "{half}");
        disk.write(&sum(&text).file(), &text);
        let (plan, _) = disk.look_again(storage, &mut contents, Garbage::Unreferenced);
        assert_eq!(plan.remove, Vec::<String>::new(), "{half}");
    }
}
