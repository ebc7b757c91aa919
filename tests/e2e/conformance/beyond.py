"""What the official cases leave out and clients use all the same: deletions twice, HTTP's parts and conditions, what
is refused, and the fallback for registries without a list of referrers."""
from client import with_query
from content import (ABSENT, ACCEPT, BINARY, INDEX, MANIFEST, NAME, OTHER, TAG, at, blobs, configs, descriptor, digest,
                     layer, manifests, noise, unknown_layers, uploads)
from discovery import tags
from suite import Category, push_blob, push_manifest
import json

beyond = Category("beyond the suite")
BLOB = blobs(digest(layer))
STORED = "a blob in the repository is answered with 200"
FORM = "a 4xx body in JSON has the form of the specification"
SHOULD = "a blob SHOULD be had in parts (RFC 9110)"
MAY = "a condition of HTTP is optional (RFC 9110)"
GONE = "what is not there any more is answered with 404"


@beyond.case("end-1", "GET of the base", "200 for who may come in")
def _(side):
    side.ask("GET", "/v2/", 200)


@beyond.case("end-4a, 6, 7", "set up: an image", "what was pushed is stored")
def _(side):
    for content in (configs[5], layer, b""):
        push_blob(side, content)
    push_manifest(side, manifests[5], TAG, accepted=201)


PARTS = {"bytes=0-9": 206, "bytes=290-": 206, "bytes=-5": 206, "bytes=0-": 206, "bytes=10-5": (200, 416),
         "bytes=300-": 416, "bytes=299-999": 206, "lines=0-9": (200, 416), "bytes=0-1,5-6": (200, 206)}
ETAG = f'"{digest(layer)}"'
CONDITIONS = {
    "If-None-Match: its own": ({"If-None-Match": ETAG}, (200, 304)),
    "If-None-Match: without quotes": ({"If-None-Match": digest(layer)}, (200, 304)),
    "If-None-Match: another": ({"If-None-Match": '"another"'}, 200),
    "If-None-Match: *": ({"If-None-Match": "*"}, (200, 304)),
    "If-Match: its own": ({"If-Match": ETAG}, 200),
    "If-Match: another": ({"If-Match": '"another"'}, (200, 412)),
    "If-Modified-Since: now": ({"If-Modified-Since": "Thu, 01 Jan 2037 00:00:00 GMT"}, (200, 304)),
    "If-Unmodified-Since: long ago": ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, (200, 412)),
    "If-Range: its own": ({"If-Range": ETAG, "Range": "bytes=0-9"}, (200, 206)),
    "If-Range: another": ({"If-Range": '"another"', "Range": "bytes=0-9"}, 200),
    "If-Range: a date": ({"If-Range": "Thu, 01 Jan 2037 00:00:00 GMT", "Range": "bytes=0-9"}, (200, 206)),
}


def asked(section, name, must, method, path, accepted, headers=None, code=None):
    """A case of one request."""
    @beyond.case(section, name, must)
    def _(side):
        answer = side.ask(method, path, accepted, headers)
        if code and answer.status >= 400:
            side.error(answer, code)


for value, status in PARTS.items():
    asked("end-2", f"GET with Range: {value}", SHOULD, "GET", BLOB, status, {"Range": value})
asked("end-2", "HEAD with Range: bytes=0-9", SHOULD, "HEAD", BLOB, (200, 206), {"Range": "bytes=0-9"})
for title, (headers, status) in CONDITIONS.items():
    asked("end-2", f"GET with {title}", MAY, "GET", BLOB, status, headers)
asked("end-2", "HEAD with If-None-Match: its own", MAY, "HEAD", BLOB, (200, 304), {"If-None-Match": ETAG})
asked("end-2", "GET with Accept-Encoding: gzip", MAY, "GET", BLOB, 200, {"Accept-Encoding": "gzip"})
asked("end-2", "GET of the empty blob", STORED, "GET", blobs(digest(b"")), 200)
asked("end-2", "HEAD of the empty blob", STORED, "HEAD", blobs(digest(b"")), 200)
asked("end-2", "GET of a part of the empty blob", SHOULD, "GET", blobs(digest(b"")), (200, 416), {"Range": "bytes=0-9"})
asked("end-2", "GET with a query that means nothing here", MAY, "GET", BLOB + "?ns=example.org", 200)
asked("end-2", "GET with the colon written as %3A", "a digest may be percent-encoded (RFC 3986)", "GET",
      BLOB.replace(":", "%3A"), 200)
asked("end-2", "GET of another repository's blob", "what is not in the repository is answered with 404", "GET",
      blobs(digest(layer), "conformance/elsewhere"), 404, code="BLOB_UNKNOWN")
asked("end-2", "GET of a blob that is not there: its body", FORM, "GET",
      blobs(ABSENT), 404, code="BLOB_UNKNOWN")
asked("end-2", "GET of a digest that is none", "a digest has an algorithm and hexadecimal digits", "GET",
      blobs("sha256:short"), (400, 404))
asked("end-2", "GET of another algorithm's digest", "a digest has an algorithm and hexadecimal digits", "GET",
      blobs("sha512:" + "0" * 128), (400, 404))
asked("end-3", "GET with If-None-Match: its own", MAY, "GET", at(TAG), (200, 304),
      {**ACCEPT, "If-None-Match": f'"{digest(manifests[5])}"'})
asked("end-3", "GET without Accept", "the type of the manifest is in the header", "GET", at(TAG), (200, 404))
asked("end-3", "GET of a tag that is not there: its body", FORM, "GET",
      at("absent"), 404, ACCEPT, "MANIFEST_UNKNOWN")
asked("end-8a", "tags of a repository that is not there", "404, and NAME_UNKNOWN where there is a body", "GET",
      "/v2/conformance/elsewhere/tags/list", 404, code="NAME_UNKNOWN")
asked("end-8a", "tags of a name that is none", "a name has a closed alphabet", "GET", "/v2/Conformance/APP/tags/list",
      (400, 404))
asked("end-8b", "tags with an `n` that is no number", "a 4xx, or all of them", "GET",
      f"/v2/{NAME}/tags/list?n=many", (200, 400))
asked("catalog", "the repositories, one at a time", "kept for clients of old", "GET", "/v2/_catalog?n=1",
      (200, 404, 405))
asked("end-13", "GET of an upload that is not there", "an unknown upload is answered with 404", "GET",
      uploads() + "00000000-0000-4000-8000-000000000000", 404)
asked("methods", "a method that does not exist", "UNSUPPORTED, where there is a body", "PROPFIND", BLOB,
      (400, 404, 405, 501))
asked("methods", "OPTIONS", "optional", "OPTIONS", BLOB, (200, 204, 400, 404, 405))
asked("methods", "POST where only GET is", "405", "POST", f"/v2/{NAME}/tags/list", (404, 405))
asked("paths", "an endpoint that does not exist", "404", "GET", f"/v2/{NAME}/nothing/here", (404, 405))
asked("paths", "two slashes in a blob's address", "not in the specification", "GET", BLOB.replace("/blobs", "//blobs"),
      (200, 301, 307, 308, 400, 404))
asked("paths", "a dot segment in a blob's address", "not in the specification", "GET",
      BLOB.replace("/blobs", "/x/../blobs"), (200, 301, 307, 308, 400, 404))


@beyond.case("end-5, 6", "a layer of 3 MB in one stream of unknown length", "202, then 201")
def _(side):
    content = noise("long", 3_000_000)
    start = side.ask("POST", uploads(), 202)
    pieces = [content[place:place + 65536] for place in range(0, len(content), 65536)]
    sent = side.ask("PATCH", side.place(start), 202, BINARY, pieces)
    side.ask("PUT", with_query(side.place(sent), digest=digest(content)), 201, BINARY, b"")
    side.expect(side.ask("GET", blobs(digest(content)), 200).body == content, "other bytes")
    side.ask("DELETE", blobs(digest(content)), (202, 405))


@beyond.case("end-5, 6, 13", "chunks in order, and their upload between them", "202 and 204 with the Range, then 201")
def _(side):
    content = noise("in order", 42)
    answer = side.ask("POST", uploads(), 202)
    for place in range(0, 42, 14):
        headers = {**BINARY, "Content-Range": f"{place}-{place + 13}"}
        answer = side.ask("PATCH", side.place(answer), 202, headers, content[place:place + 14])
        side.expect(answer.header("Range") == f"0-{place + 13}", f"Range {answer.header('Range')}")
        answer = side.ask("GET", side.place(answer), 204)
        side.expect(answer.header("Range") == f"0-{place + 13}", f"Range {answer.header('Range')}")
    side.ask("PUT", with_query(side.place(answer), digest=digest(content)), 201, BINARY, b"")
    side.expect(side.ask("GET", blobs(digest(content)), 200).body == content, "other bytes")


@beyond.case("end-6", "PUT with a digest that does not fit", "what was sent is held against the digest: 400")
def _(side):
    start = side.ask("POST", uploads(), 202)
    answer = side.ask("PUT", with_query(side.place(start), digest=ABSENT), 400, BINARY, layer)
    side.error(answer, "DIGEST_INVALID")


@beyond.case("end-6", "PUT without a digest", "an upload is closed with its digest: 400")
def _(side):
    start = side.ask("POST", uploads(), 202)
    side.error(side.ask("PUT", side.place(start), 400, BINARY, layer), "DIGEST_INVALID")


@beyond.case("end-14", "an upload is cancelled, twice", "204, then 404")
def _(side):
    start = side.ask("POST", uploads(), 202)
    side.ask("DELETE", side.place(start), 204)
    side.error(side.ask("DELETE", side.place(start), 404), "BLOB_UPLOAD_UNKNOWN")
    side.ask("GET", side.place(start), 404)


@beyond.case("end-11", "mount with `from` written as %2F", "201, or 202 and an upload")
def _(side):
    path = f"{uploads(OTHER)}?mount={digest(layer)}&from={NAME.replace('/', '%2F')}"
    side.ask("POST", path, (201, 202))


@beyond.case("end-11", "mount of what `from` does not have", "202 and an upload")
def _(side):
    side.ask("POST", with_query(uploads(OTHER), mount=ABSENT, **{"from": NAME}), 202)


@beyond.case("end-7", "a manifest whose layers were not pushed", "400 or 404 with MANIFEST_BLOB_UNKNOWN, or 201")
def _(side):
    answer = push_manifest(side, unknown_layers, "unknown", accepted=(201, 400, 404))
    if answer.status != 201:
        side.error(answer, "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")


@beyond.case("end-7", "a manifest under another's digest", "what was sent is held against the digest: 400")
def _(side):
    side.error(push_manifest(side, manifests[5], ABSENT, accepted=400), "DIGEST_INVALID")


@beyond.case("end-7", "a manifest that is no JSON", "400 with MANIFEST_INVALID")
def _(side):
    side.error(push_manifest(side, b"blablabla", "broken", accepted=400), "MANIFEST_INVALID")


@beyond.case("end-7", "a manifest of 5 MB", "413, where it is too big for the registry")
def _(side):
    big = json.dumps({**json.loads(manifests[5]), "annotations": {"org.example.long": "x" * 5_000_000}}).encode()
    push_manifest(side, big, "big", accepted=(201, 400, 413))


@beyond.case("referrers tag", "the fallback without a list of referrers", "an index under the tag `sha256-…` is stored")
def _(side):
    tag = digest(manifests[5]).replace(":", "-")
    refers = descriptor(MANIFEST, manifests[5], artifactType="application/vnd.example.first")
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [refers]}).encode()
    side.ask("GET", at(tag), 404, {"Accept": INDEX})
    push_manifest(side, index, tag, INDEX, accepted=201)
    side.expect(side.ask("GET", at(tag), 200, {"Accept": INDEX}).body == index, "other bytes")
    side.ask("DELETE", at(digest(index)), (202, 405))


@beyond.case("end-9", "DELETE of a tag that is not there", "404, or 400 or 405 where tags are not deleted")
def _(side):
    side.ask("DELETE", at("absent"), (404, 400, 405))


@beyond.case("end-9", "DELETE of a tag, twice", "202, then 404; or 400 or 405 where tags are not deleted")
def _(side):
    first = side.ask("DELETE", at(TAG), (202, 400, 405))
    side.ask("DELETE", at(TAG), 404 if first.status == 202 else (400, 405))
    tags(side)


@beyond.case("end-9", "DELETE of a manifest, twice", GONE)
def _(side):
    push_manifest(side, manifests[5], TAG, accepted=201)
    first = side.ask("DELETE", at(digest(manifests[5])), (202, 405))
    side.ask("DELETE", at(digest(manifests[5])), 404 if first.status == 202 else 405)
    side.ask("HEAD", at(TAG), 404 if first.status == 202 else 200, ACCEPT)


@beyond.case("end-10", "DELETE of a blob, twice", GONE)
def _(side):
    first = side.ask("DELETE", BLOB, (202, 405))
    side.ask("DELETE", BLOB, 404 if first.status == 202 else 405)
    side.ask("HEAD", BLOB, 404 if first.status == 202 else 200)


@beyond.case("end-10", "DELETE of a blob that does not exist", "404, or 405 where blobs are not deleted")
def _(side):
    side.ask("DELETE", blobs(ABSENT), (404, 405))


@beyond.case("end-2", "GET with Range of a blob that is gone", GONE)
def _(side):
    side.ask("GET", BLOB, (404, 206), {"Range": "bytes=0-9"})
