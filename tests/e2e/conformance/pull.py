"""Pull: end-2 and end-3, the cases of 01_pull."""
from content import (ABSENT, ACCEPT, DELETED, MANIFEST, NO_MANIFEST, REMOVED, TAG, at, blobs, configs, digest, layer,
                     manifests)
from suite import Category, push_blob, push_manifest, same_digest

pull = Category("pull")
UPLOADED = "a blob that was pushed whole is stored"
STORED = "a manifest in the registry is answered with 200"
MISSING = "what is not in the repository is answered with 404"


@pull.case("end-4a, 6", "set up: the first configuration", UPLOADED)
def _(side):
    push_blob(side, configs[0])


@pull.case("end-4a, 6", "set up: the second configuration", UPLOADED)
def _(side):
    push_blob(side, configs[1])


@pull.case("end-4a, 6", "set up: a layer", UPLOADED)
def _(side):
    push_blob(side, layer)


@pull.case("end-7", "set up: a manifest, by tag", "a manifest is stored under a tag")
def _(side):
    push_manifest(side, manifests[0], TAG)


@pull.case("end-7", "set up: a manifest, by digest", "a manifest is stored under its digest")
def _(side):
    push_manifest(side, manifests[1])


@pull.case("end-2", "HEAD of a blob that is not there", MISSING)
def _(side):
    side.ask("HEAD", blobs(ABSENT), 404)


@pull.case("end-2", "HEAD of a blob", "a blob in the repository is answered with 200")
def _(side):
    same_digest(side, side.ask("HEAD", blobs(digest(configs[0])), 200), configs[0])


@pull.case("end-2", "GET of a blob that is not there", MISSING)
def _(side):
    side.ask("GET", blobs(ABSENT), 404)


@pull.case("end-2", "GET of a blob", "a blob in the repository is answered with 200")
def _(side):
    answer = side.ask("GET", blobs(digest(configs[0])), 200)
    side.expect(answer.body == configs[0], "other bytes")


@pull.case("end-3", "HEAD of a manifest that is not there", MISSING)
def _(side):
    side.ask("HEAD", at(NO_MANIFEST), 404)


@pull.case("end-3", "HEAD of the first manifest, by digest", STORED)
def _(side):
    same_digest(side, side.ask("HEAD", at(digest(manifests[0])), 200, ACCEPT), manifests[0])


@pull.case("end-3", "HEAD of the second manifest, by digest", STORED)
def _(side):
    same_digest(side, side.ask("HEAD", at(digest(manifests[1])), 200, ACCEPT), manifests[1])


@pull.case("end-3", "HEAD of a manifest, by tag", STORED)
def _(side):
    same_digest(side, side.ask("HEAD", at(TAG), 200, ACCEPT), manifests[0])


@pull.case("end-3", "GET of a manifest that is not there", MISSING)
def _(side):
    side.ask("GET", at(NO_MANIFEST), 404)


@pull.case("end-3", "GET of the first manifest, by digest", STORED)
def _(side):
    side.expect(side.ask("GET", at(digest(manifests[0])), 200, ACCEPT).body == manifests[0], "other bytes")


@pull.case("end-3", "GET of the second manifest, by digest", STORED)
def _(side):
    side.expect(side.ask("GET", at(digest(manifests[1])), 200, ACCEPT).body == manifests[1], "other bytes")


@pull.case("end-3", "GET of a manifest, by tag", STORED)
def _(side):
    side.expect(side.ask("GET", at(TAG), 200, ACCEPT).body == manifests[0], "other bytes")


@pull.case("error codes", "400 for a digest that is none has a JSON body", "the body has the form of the specification")
def _(side):
    answer = side.ask("GET", at("sha256:totallywrong"), (400, 404), {"Content-Type": MANIFEST}, b"blablabla")
    if answer.status == 400:
        side.error(answer)


@pull.case("end-9", "clean up: the first manifest", "202, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", at(digest(manifests[0])), DELETED)


@pull.case("end-9", "clean up: the second manifest", "202, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", at(digest(manifests[1])), DELETED)


@pull.case("end-10", "clean up: the first configuration", "202, 404, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", blobs(digest(configs[0])), REMOVED)


@pull.case("end-10", "clean up: the second configuration", "202, 404, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", blobs(digest(configs[1])), REMOVED)


@pull.case("end-10", "clean up: the layer", "202, 404, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", blobs(digest(layer)), REMOVED)
