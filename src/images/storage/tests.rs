//! Tests of the files that a collection removes and keeps, on storages in the form of a listing.
#![allow(clippy::unwrap_used)]

use super::*;

const NOW: u64 = 1_000_000;
const OLD: u64 = NOW - 100_000;

/// A storage that a test builds step by step.
#[derive(Default)]
struct Bed {
    lines: Vec<String>,
    tags: String,
    texts: Vec<String>,
}

pub(super) fn sum(text: &str) -> Sum {
    Sum::of(text.as_bytes())
}

pub(super) fn image(layers: &[&str]) -> String {
    let layers: Vec<_> =
        layers.iter().map(|layer| format!(r#"{{"digest":"{}","size":1}}"#, sum(layer))).collect();
    format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layers.join(","))
}

pub(super) fn index(children: &[&str]) -> String {
    image(children).replace("layers", "manifests")
}

impl Bed {
    fn line(&mut self, size: usize, time: u64, path: &str) {
        self.lines.push(format!("{size} {time} {time} {path}"));
    }

    fn blob(&mut self, text: &str) {
        self.line(text.len(), OLD, &format!("{}/data", sum(text).blob()));
        self.texts.push(text.to_owned());
    }

    fn layer(&mut self, repository: &str, text: &str, time: u64) {
        self.blob(text);
        self.line(71, time, &format!("repositories/{repository}/_layers/sha256/{}/link", sum(text).hex()));
    }

    fn manifest(&mut self, repository: &str, text: &str, time: u64) {
        self.blob(text);
        let top = format!("repositories/{repository}/_manifests/revisions/sha256");
        self.line(4096, time, &top);
        self.line(71, time, &format!("{top}/{}/link", sum(text).hex()));
    }

    fn tag(&mut self, repository: &str, tag: &str, text: &str) {
        let top = format!("repositories/{repository}/_manifests/tags/{tag}");
        self.line(71, OLD, &format!("{top}/current/link"));
        self.line(71, OLD, &format!("{top}/index/sha256/{}/link", sum(text).hex()));
        self.tags += &format!("{top}/current/link:{}\n", sum(text));
    }

    /// Adds an image with its own layer and a tag.
    fn tagged(&mut self, repository: &str, tag: &str, layer: &str) -> String {
        let text = image(&[layer]);
        self.layer(repository, layer, OLD);
        self.manifest(repository, &text, OLD);
        self.tag(repository, tag, &text);
        text
    }

    fn storage(&self) -> Storage {
        let mut storage = Storage::default();
        storage.take(&format!("now={NOW}")).unwrap();
        self.lines.iter().for_each(|line| storage.take(line).unwrap());
        self.tags.lines().for_each(|line| storage.take_tag(line));
        storage.end_tags(true);
        storage
    }

    fn plan(&self, garbage: Garbage) -> Plan {
        let storage = self.storage();
        let mut contents = Contents::default();
        let read = |files: Vec<(Sum, u64)>, contents: &mut Contents| {
            for (wanted, _) in files {
                let text = self.texts.iter().find(|text| sum(text) == wanted).unwrap();
                contents.take(wanted, text.as_bytes());
            }
        };
        read(storage.manifests(&contents), &mut contents);
        read(storage.deleted_manifests(&contents), &mut contents);
        storage.plan(&contents, garbage)
    }

    /// Returns the blobs that the plan removes.
    fn gone(&self, garbage: Garbage) -> Vec<&str> {
        let plan = self.plan(garbage);
        let texts: BTreeSet<_> = self.texts.iter().map(String::as_str).collect();
        texts.into_iter().filter(|text| plan.gone.iter().any(|(gone, _)| *gone == sum(text))).collect()
    }
}

#[test]
fn what_no_manifest_names_goes_and_the_rest_stays() {
    let mut bed = Bed::default();
    let image = bed.tagged("app", "1", "layer");
    bed.layer("app", "litter", OLD);
    assert_eq!(bed.gone(Garbage::Unreferenced), ["litter"]);
    let plan = bed.plan(Garbage::Untagged);
    let litter = sum("litter");
    let link = format!("repositories/app/_layers/sha256/{}", litter.hex());
    assert_eq!(plan.remove, [link, litter.blob()], "links before what they lead to");
    assert_eq!(plan.garbage, Amount { blobs: 1, bytes: 6 });
    assert!(plan.mend.is_empty());
    assert!(image.contains("layers"));
}

#[test]
fn an_image_that_lost_its_tag_goes_where_that_is_asked_for() {
    let mut bed = Bed::default();
    let first = bed.tagged("app", "latest", "one");
    bed.tags.clear();
    let second = bed.tagged("app", "latest", "two");
    assert!(bed.gone(Garbage::Unreferenced).is_empty());
    let mut expected = vec![first.as_str(), "one"];
    expected.sort_unstable();
    assert_eq!(bed.gone(Garbage::Untagged), expected);
    let plan = bed.plan(Garbage::Untagged);
    let hex = sum(&first).hex();
    let manifests = "repositories/app/_manifests";
    assert!(plan.remove.contains(&format!("{manifests}/tags/latest/index/sha256/{hex}")));
    assert!(plan.remove.contains(&format!("{manifests}/revisions/sha256/{hex}")));
    assert!(!plan.remove.iter().any(|path| path.contains(&sum(&second).hex())));
}

#[test]
fn a_tagged_index_keeps_its_images_in_each_repository() {
    // The first repository has lost the image, but the second one needs it. In this case, the registry's own garbage
    // collector in distribution 3 loses the layers.
    let mut bed = Bed::default();
    let child = image(&["layer"]);
    let list = index(&[&child]);
    let outer = index(&[&list]);
    for repository in ["a", "b"] {
        bed.layer(repository, "layer", OLD);
        bed.manifest(repository, &list, OLD);
        bed.manifest(repository, &outer, OLD);
        bed.tag(repository, "multi", &outer);
    }
    bed.manifest("b", &child, OLD);
    assert!(bed.gone(Garbage::Untagged).is_empty());
    let mut without_tag = Bed::default();
    without_tag.layer("a", "layer", OLD);
    without_tag.manifest("a", &list, OLD);
    without_tag.manifest("a", &child, OLD);
    assert_eq!(without_tag.gone(Garbage::Untagged).len(), 3, "where no tag is, nothing stays");
    assert!(without_tag.gone(Garbage::Unreferenced).is_empty());
}

#[test]
fn layers_of_a_push_that_is_under_way_stay_for_an_hour() {
    let mut bed = Bed::default();
    bed.tagged("app", "1", "layer");
    bed.layer("app", "young", NOW - 3599);
    bed.layer("app", "older", NOW - 3600);
    assert_eq!(bed.gone(Garbage::Untagged), ["older"]);
    assert_eq!(bed.plan(Garbage::Untagged).under_way, Amount { blobs: 1, bytes: 5 });
}

#[test]
fn images_that_wait_for_their_index_stay_for_an_hour() {
    for (time, gone) in [(NOW - 3_599, [].as_slice()), (NOW - 3_600, &["layer"])] {
        let mut bed = Bed::default();
        bed.layer("app", "layer", time);
        let waiting = image(&["layer"]);
        bed.manifest("app", &waiting, time);
        // An image that once had a tag, and an image whose index has arrived, are removed at once.
        bed.layer("app", "had a tag", OLD);
        let had_tag = image(&["had a tag"]);
        bed.manifest("app", &had_tag, time);
        let now = bed.tagged("app", "1", "now");
        bed.line(
            71,
            OLD,
            &format!("repositories/app/_manifests/tags/1/index/sha256/{}/link", sum(&had_tag).hex()),
        );
        bed.layer("app", "part", OLD);
        let part = image(&["part"]);
        bed.manifest("app", &part, time);
        let whole = index(&[&part]);
        bed.manifest("app", &whole, OLD);
        let expected: BTreeSet<_> = [&*had_tag, "had a tag", &part, "part", &whole]
            .into_iter()
            .chain(gone.iter().copied())
            .chain((!gone.is_empty()).then_some(&*waiting))
            .collect();
        assert_eq!(bed.gone(Garbage::Untagged).into_iter().collect::<BTreeSet<_>>(), expected);
        assert!(!bed.gone(Garbage::Untagged).contains(&now.as_str()));
        assert_eq!(bed.plan(Garbage::Untagged).under_way.blobs, u64::from(gone.is_empty()));
    }
}

#[test]
fn a_tag_that_goes_while_it_is_looked_at_is_no_torn_one() {
    let mut storage = Storage::default();
    let tags = "repositories/app/_manifests/tags";
    for line in [&format!("71 1 1 {tags}/gone/current/link"), &format!("0 1 1 {tags}/torn/current/link")] {
        storage.take(line).unwrap();
    }
    storage.end_tags(false);
    let plan = storage.plan(&Contents::default(), Garbage::Untagged);
    assert_eq!(plan.unreadable, ["app:torn"]);
}

#[test]
fn layers_of_an_image_that_was_deleted_go_at_once() {
    let mut bed = Bed::default();
    bed.layer("app", "young", NOW - 60);
    let deleted = image(&["young"]);
    // Only the manifest's blob is left, and the directory from which the manifest's link was removed.
    bed.blob(&deleted);
    bed.line(4096, NOW - 10, "repositories/app/_manifests/revisions/sha256");
    assert_eq!(bed.gone(Garbage::Unreferenced).len(), 2);
    // The layer was pushed again after the deletion.
    let mut bed = Bed::default();
    bed.layer("app", "young", NOW - 60);
    bed.blob(&deleted);
    bed.line(4096, NOW - 70, "repositories/app/_manifests/revisions/sha256");
    assert_eq!(bed.gone(Garbage::Unreferenced), [deleted.as_str()]);
}

#[test]
fn what_cannot_be_read_keeps_its_repository() {
    let mut bed = Bed::default();
    let image = bed.tagged("app", "1", "layer");
    let other = super::tests::image(&["other"]);
    bed.layer("app", "other", OLD);
    bed.manifest("app", &other, OLD);
    let untagged = bed.gone(Garbage::Untagged).len();
    assert_eq!(untagged, 2);
    // The link of a tag that named two images is empty.
    let top = "repositories/app/_manifests/tags/2";
    bed.line(0, NOW, &format!("{top}/current/link"));
    for text in [&image, &other] {
        bed.line(71, OLD, &format!("{top}/index/sha256/{}/link", sum(text).hex()));
    }
    assert!(bed.gone(Garbage::Untagged).is_empty());
    assert_eq!(bed.plan(Garbage::Untagged).unreadable, ["app:2"]);
    // The bytes of a manifest do not match its digest.
    let mut contents = Contents::default();
    contents.take(sum("another"), image.as_bytes());
    assert!(matches!(contents.0[&sum("another")].children, Children::Unknown));
    assert_eq!(contents.0[&sum("another")].mentioned[..], [sum("layer")]);
}

#[test]
fn links_that_a_full_disk_cut_off_are_mended_by_their_path() {
    let mut bed = Bed::default();
    let image = bed.tagged("app", "1", "layer");
    for line in &mut bed.lines {
        if line.ends_with("link") {
            *line = line.replacen("71 ", "0 ", 1);
        }
    }
    bed.tags.clear();
    let plan = bed.plan(Garbage::Untagged);
    let (manifest, layer) = (sum(&image), sum("layer"));
    let top = "repositories/app/_manifests";
    let mut expected = vec![
        (format!("{top}/tags/1/current/link"), manifest),
        (format!("{top}/tags/1/index/sha256/{}/link", manifest.hex()), manifest),
        (format!("{top}/revisions/sha256/{}/link", manifest.hex()), manifest),
        (format!("repositories/app/_layers/sha256/{}/link", layer.hex()), layer),
    ];
    let mut mended = plan.mend;
    expected.sort();
    mended.sort();
    assert_eq!(mended, expected);
    assert!(plan.remove.is_empty(), "{:?}", plan.remove);
}

#[test]
fn an_empty_manifest_makes_room_for_the_whole_one() {
    let mut bed = Bed::default();
    let image = bed.tagged("app", "1", "layer");
    let path = sum(&image).blob();
    bed.lines
        .iter_mut()
        .filter(|line| line.contains(&path))
        .for_each(|line| *line = format!("0 {OLD} {OLD} {path}/data"));
    let plan = bed.plan(Garbage::Unreferenced);
    assert!(plan.remove.contains(&path));
    assert!(!plan.remove.iter().any(|path| path.contains("_manifests")));
}

#[test]
fn a_tag_beside_a_deletion_is_served_again_or_goes() {
    let mut bed = Bed::default();
    let image = image(&["layer"]);
    bed.layer("app", "layer", OLD);
    bed.blob(&image);
    bed.tag("app", "1", &image);
    let plan = bed.plan(Garbage::Untagged);
    let link = format!("repositories/app/_manifests/revisions/sha256/{}/link", sum(&image).hex());
    assert_eq!(plan.mend, [(link, sum(&image))]);
    assert!(plan.remove.is_empty());
    // The bytes of the manifest are lost: first without a link, then with one.
    let mut bed = Bed::default();
    bed.tag("app", "1", &image);
    assert_eq!(bed.plan(Garbage::Unreferenced).remove, ["repositories/app/_manifests/tags/1"]);
    bed.manifest("app", &image, OLD);
    bed.lines.retain(|line| !line.contains("/data"));
    assert_eq!(bed.plan(Garbage::Unreferenced).remove, ["repositories/app/_manifests/tags/1"]);
}

#[test]
fn a_storage_without_any_blob_is_told_from_an_empty_one() {
    let mut bed = Bed::default();
    assert!(!bed.storage().lacks_blobs());
    bed.tagged("app", "1", "layer");
    assert!(!bed.storage().lacks_blobs());
    bed.lines.retain(|line| !line.contains("/data"));
    assert!(bed.storage().lacks_blobs());
}

#[test]
fn uploads_without_a_write_for_a_day_go() {
    let mut bed = Bed::default();
    let day = 24 * 3600;
    for (id, time) in [("given-up", NOW - day - 1), ("resumed", NOW - day - 1), ("new", NOW - 5)] {
        bed.line(20, NOW - 2 * day, &format!("repositories/app/_uploads/{id}/startedat"));
        bed.line(100, time, &format!("repositories/app/_uploads/{id}/data"));
    }
    bed.line(5, NOW - day, "repositories/app/_uploads/resumed/hashstates/sha256/100");
    let plan = bed.plan(Garbage::Unreferenced);
    assert_eq!(plan.remove, ["repositories/app/_uploads/given-up"]);
    assert_eq!((plan.uploads.bytes, plan.unfinished), (120, Amount { blobs: 2, bytes: 245 }));
}

#[test]
fn names_that_mean_something_in_the_storage_are_names() {
    let mut bed = Bed::default();
    for repository in ["index", "revisions/tags", "current/link", "blobs/sha256", "data"] {
        for tag in ["index", "current", "link"] {
            bed.tagged(repository, tag, &format!("{repository}:{tag}"));
        }
    }
    let plan = bed.plan(Garbage::Untagged);
    assert_eq!((plan.remove, plan.mend, plan.unreadable), (Vec::new(), Vec::new(), Vec::new()));
}

#[test]
fn what_is_not_known_is_refused() {
    let hex = "ab".repeat(32);
    for line in [
        "",
        "now=then",
        "1 2",
        "1 2 3",
        "1 2 3 elsewhere/link",
        "x 2 3 blobs/sha256/ab/data",
        &format!("1 2 3 blobs/sha512/ab/{hex}/data"),
        &format!("1 2 3 blobs/sha256/cd/{hex}/data"),
        &format!("1 2 3 repositories/App/_layers/sha256/{hex}/link"),
        &format!("1 2 3 repositories/app/_layers/sha512/{hex}/link"),
        &format!("1 2 3 repositories/app/_layers/sha256/{hex}0/link"),
        &format!("1 2 3 repositories/app/_manifests/revisions/sha512/{hex}/link"),
        "1 2 3 repositories/app/_manifests/tags/1/link",
        "1 2 3 repositories/app/link",
    ] {
        assert!(Storage::default().take(line).is_err(), "{line}");
    }
}
