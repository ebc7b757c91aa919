"""Push: end-4 to end-7, end-11 and end-13, the cases of 02_push."""
from client import with_query
from content import (ABSENT, ACCEPT, BINARY, DELETED, FIRST, FIRST_RANGE, NAME, NO_MANIFEST, OTHER, REMOVED,
                     SECOND, SECOND_RANGE, at, blob, blobs, chunked, configs, digest, layer, manifests, uploads,
                     without_layers)
from suite import Category, push_blob, push_manifest

push = Category("push")
DONE = "a closed upload is answered with 201 and a Location"
ORDER = "a chunk out of order is answered with 416"


def chunk(side, answer, content, content_range, accepted):
    headers = {**BINARY, "Content-Range": content_range}
    return side.ask("PATCH", side.place(answer), accepted, headers, content)


def close(side, answer, content, body=b""):
    done = side.ask("PUT", with_query(side.place(answer), digest=digest(content)), 201, BINARY, body)
    side.place(done)


@push.case("end-5", "streamed: PATCH with the whole blob", "a blob is accepted with 202")
def _(side):
    start = side.ask("POST", uploads(), 202)
    side.last = side.ask("PATCH", side.place(start), 202, BINARY, blob)


@push.case("end-6", "streamed: PUT closes the upload", DONE)
def _(side):
    close(side, side.last, blob)


@push.case("end-2", "monolithic: GET of a blob that is not there", "what is not in the repository is answered with 404")
def _(side):
    side.ask("GET", blobs(ABSENT), 404)


@push.case("end-4b", "monolithic: one POST with digest and blob", "201, or 202 where the registry wants a PUT")
def _(side):
    side.last = side.ask("POST", with_query(uploads(), digest=digest(configs[1])), (201, 202), BINARY, configs[1])
    side.place(side.last)


@push.case("end-2", "monolithic: GET of that blob", "200 after 201, 404 after 202")
def _(side):
    side.ask("GET", blobs(digest(configs[1])), 404 if side.last.status == 202 else 200)


@push.case("end-4a", "monolithic: POST opens an upload", "an upload is opened with 202 and a Location")
def _(side):
    side.last = side.ask("POST", uploads(), 202)
    side.place(side.last)


@push.case("end-6", "monolithic: PUT with the whole blob", DONE)
def _(side):
    close(side, side.last, configs[1], configs[1])


@push.case("end-2", "monolithic: GET of the blob", "a blob in the repository is answered with 200")
def _(side):
    side.ask("GET", blobs(digest(configs[1])), 200)


@push.case("end-4a, 6", "monolithic: POST and PUT of a layer", DONE)
def _(side):
    done = push_blob(side, layer)
    side.expect(done.status == 201, f"{done.status} and not 201")
    side.place(done)


@push.case("end-2", "monolithic: GET of the layer", "a blob in the repository is answered with 200")
def _(side):
    side.ask("GET", blobs(digest(layer)), 200)


@push.case("end-5", "chunked: the second chunk first", ORDER)
def _(side):
    start = side.ask("POST", uploads(), 202, {"Content-Length": "0"})
    chunk(side, start, SECOND, SECOND_RANGE, 416)


@push.case("end-5", "chunked: the first chunk", "a chunk is accepted with 202 and the Range that is there")
def _(side):
    side.previous = side.ask("POST", uploads(), 202, {"Content-Length": "0"})
    side.last = chunk(side, side.previous, FIRST, FIRST_RANGE, 202)
    side.expect(side.last.header("Range") == FIRST_RANGE, f"Range {side.last.header('Range')}")


@push.case("end-5", "chunked: the first chunk again", ORDER)
def _(side):
    chunk(side, side.previous, FIRST, FIRST_RANGE, 416)


@push.case("end-13", "chunked: GET of the upload", "204 with a Location and the Range that is there")
def _(side):
    side.last = side.ask("GET", side.place(side.previous), 204)
    side.expect(side.last.header("Location"), "no Location")
    side.expect(side.last.header("Range") == FIRST_RANGE, f"Range {side.last.header('Range')}")


@push.case("end-5", "chunked: the second chunk", "a chunk is accepted with 202 and a Location")
def _(side):
    side.last = chunk(side, side.last, SECOND, SECOND_RANGE, 202)
    side.place(side.last)


@push.case("end-6", "chunked: PUT closes the upload", DONE)
def _(side):
    close(side, side.last, chunked)


@push.case("end-11", "mount of a blob that does not exist, without `from`", "what is not mounted becomes an upload: 202")
def _(side):
    side.place(side.ask("POST", with_query(uploads(OTHER), mount=ABSENT), 202))


@push.case("end-11", "mount of another repository's blob", "201, or 202 and an upload where nothing is mounted")
def _(side):
    side.last = side.ask("POST", with_query(uploads(OTHER), mount=digest(blob), **{"from": NAME}), (201, 202))


@push.case("end-2", "GET of the mounted blob", "the Location of a mounted blob is its address")
def _(side):
    if side.last.status == 201:
        place = side.place(side.last)
        side.expect(place == blobs(digest(blob), OTHER), f"Location {place}")
        side.ask("GET", place, 200)


@push.case("end-11", "what was not mounted is an upload", "the Location of an upload is below the repository's uploads")
def _(side):
    if side.last.status == 202:
        side.expect(side.place(side.last).startswith(uploads(OTHER)), "Location elsewhere")


@push.case("end-11", "mount of a blob that is there, without `from`", "201 where the registry looks for it, else 202")
def _(side):
    side.ask("POST", with_query(uploads(OTHER), mount=digest(blob)), (201, 202))


@push.case("end-3", "GET of a manifest that is not there", "what is not in the repository is answered with 404")
def _(side):
    side.ask("GET", at(NO_MANIFEST), 404)


@push.case("end-7", "PUT of a manifest with four tags", "a manifest is stored with 201 and a Location")
def _(side):
    for number in range(4):
        side.place(push_manifest(side, manifests[1], f"test{number}", accepted=201))


@push.case("end-7", "PUT of a manifest without layers", "SHOULD be stored: 201 and a Location, or a 4xx")
def _(side):
    side.previous = push_manifest(side, without_layers, "emptylayer", accepted=(201, 400, 404))
    if side.previous.status == 201:
        side.place(side.previous)


@push.case("end-3", "GET of the manifest, by digest", "a manifest in the registry is answered with 200")
def _(side):
    side.ask("GET", at(digest(manifests[1])), 200, ACCEPT)


@push.case("end-9", "clean up: the manifests", "202, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", at(digest(manifests[1])), DELETED)
    if side.previous.status == 201:
        side.ask("DELETE", at(digest(without_layers)), DELETED)


@push.case("end-10", "clean up: the configuration", "202, 404, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", blobs(digest(configs[1])), REMOVED)


@push.case("end-10", "clean up: the layer", "202, 404, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", blobs(digest(layer)), REMOVED)
