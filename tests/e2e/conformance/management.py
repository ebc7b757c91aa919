"""Content management: end-9 and end-10, the cases of 04_management."""
from content import TAG, at, blobs, configs, digest, layer, manifests
from discovery import tags
from suite import Category, push_blob, push_manifest

management = Category("content management")


@management.case("end-4a, 6", "set up: a configuration", "a blob that was pushed whole is stored")
def _(side):
    push_blob(side, configs[3])


@management.case("end-4a, 6", "set up: a layer", "a blob that was pushed whole is stored")
def _(side):
    push_blob(side, layer)


@management.case("end-7", "set up: a tag", "a manifest is stored under a tag")
def _(side):
    push_manifest(side, manifests[3], TAG)


@management.case("end-8a", "set up: the tags before", "the tags of a repository are answered with 200")
def _(side):
    side.tags = len(tags(side))


@management.case("end-9", "DELETE of a tag", "202, or 400 or 405 where tags are not deleted")
def _(side):
    answer = side.ask("DELETE", at(TAG), (202, 400, 405))
    if answer.status == 400:
        side.error(answer, "UNSUPPORTED")


@management.case("end-9", "DELETE of the manifest, by digest", "202, or 404 where it went with the tag")
def _(side):
    side.ask("DELETE", at(digest(manifests[3])), (202, 404))


@management.case("end-3", "GET of the deleted manifest", "404, or 200 where nothing is deleted")
def _(side):
    side.ask("GET", at(digest(manifests[3])), (404, 200))


@management.case("end-8a", "the tags after", "a deleted tag is not listed")
def _(side):
    after = len(tags(side))
    side.expect(after < side.tags, f"{after} tags of {side.tags}")


@management.case("end-10", "DELETE of the blobs", "202, 404, or 405 where blobs are not deleted")
def _(side):
    side.ask("DELETE", blobs(digest(configs[3])), (202, 404, 405))
    side.last = side.ask("DELETE", blobs(digest(layer)), (202, 404, 405))


@management.case("end-2", "GET of a deleted blob", "what is not in the repository is answered with 404")
def _(side):
    if side.last.status != 405:
        side.ask("GET", blobs(digest(configs[3])), 404)
