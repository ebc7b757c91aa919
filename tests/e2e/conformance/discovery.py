"""Content discovery: end-8 and end-12, the cases of 03_discovery."""
from client import with_query
from content import (ABSENT, ARTIFACTS, EMPTY, INDEX, NAME, REMOVED, TAG, absent_subject, at, blobs, configs, digest,
                     layer, manifests, of_absent, referrers, referring_index, subject)
from suite import Category, push_blob, push_manifest

discovery = Category("content discovery")
TAGS = f"/v2/{NAME}/tags/list"
LIST = "an image index in JSON with 200, its type in the header, whether the digest is there or not"
SHOWN = {digest(content) for content in (*referrers.values(), referring_index)}


def tags(side, **parameters):
    answer = side.ask("GET", with_query(TAGS, **parameters) if parameters else TAGS, 200)
    return list_of(answer, "tags")


def list_of(answer, key):
    try:
        return answer.json().get(key) or []
    except ValueError:
        return []


def refers(side, content, media_type=None, to=subject):
    answer = push_manifest(side, content, media_type=media_type or "application/vnd.oci.image.manifest.v1+json")
    told = answer.header("OCI-Subject")
    side.expect(told == digest(to), f"OCI-Subject: {told or 'none'}")


def referring(side, to, **parameters):
    path = f"/v2/{NAME}/referrers/{to}"
    answer = side.ask("GET", with_query(path, **parameters) if parameters else path, 200)
    if answer.status == 200:
        side.expect(answer.header("Content-Type") == INDEX, f"Content-Type {answer.header('Content-Type')}")
    return answer, list_of(answer, "manifests")


@discovery.case("end-4a, 6", "set up: a configuration", "a blob that was pushed whole is stored")
def _(side):
    push_blob(side, configs[2])


@discovery.case("end-4a, 6", "set up: a layer", "a blob that was pushed whole is stored")
def _(side):
    push_blob(side, layer)


@discovery.case("end-7", "set up: four tags", "a manifest is stored under a tag")
def _(side):
    for number in range(4):
        push_manifest(side, manifests[2], f"test{number}")
    tags(side)


@discovery.case("end-7", "set up: what refers to a manifest", "OCI-Subject names the subject, there or not")
def _(side):
    push_blob(side, EMPTY)
    push_blob(side, ARTIFACTS["a"][1])
    refers(side, referrers["a", "config"])
    refers(side, referrers["a", "layer"])
    refers(side, referring_index, INDEX)
    push_blob(side, configs[4])
    push_blob(side, layer)
    push_manifest(side, subject, TAG)
    push_blob(side, ARTIFACTS["b"][1])
    refers(side, referrers["b", "config"])
    refers(side, referrers["b", "layer"])
    refers(side, of_absent, to=absent_subject)


@discovery.case("end-8a", "the tags", "the tags of a repository are answered with 200")
def _(side):
    side.tags = len(tags(side))


@discovery.case("end-8b", "so many tags as `n`", "no more than `n`; as many where there are")
def _(side):
    found = tags(side, n=str(side.tags // 2))
    side.expect(len(found) == side.tags // 2 > 0, f"{len(found)} of {side.tags} tags")


@discovery.case("end-8b", "the tags after `last`", "no more than `n`, and none up to `last`")
def _(side):
    count = side.tags // 2
    last = (tags(side, n=str(count)) or ["none"])[-1]
    found = tags(side, n=str(count), last=last)
    side.expect(len(found) <= count and all(tag > last for tag in found), f"{found} after {last}")


@discovery.case("end-12a", "what refers to a digest that does not exist", LIST)
def _(side):
    _, found = referring(side, ABSENT)
    side.expect(not found, f"{len(found)} descriptors")


@discovery.case("end-12a", "what refers to a manifest", LIST)
def _(side):
    _, found = referring(side, digest(subject))
    side.expect({one["digest"] for one in found} == SHOWN, f"{len(found)} of {len(SHOWN)} descriptors")
    side.expect(all(len(one.get("annotations", {})) == 1 for one in found), "other annotations")


@discovery.case("end-12b", "of that, one type of artifact", "OCI-Filters-Applied tells that a filter was applied")
def _(side):
    answer, found = referring(side, digest(subject), artifactType=ARTIFACTS["a"][0])
    told = answer.header("OCI-Filters-Applied")
    side.expect(told in ("", "artifactType"), f"OCI-Filters-Applied: {told}")
    side.expect(len(found) == (2 if told else len(SHOWN)), f"{len(found)} descriptors")


@discovery.case("end-12a", "what refers to a manifest that is not there", LIST)
def _(side):
    _, found = referring(side, digest(absent_subject))
    side.expect([one["digest"] for one in found] == [digest(of_absent)], f"{len(found)} descriptors")


@discovery.case("end-9", "clean up: the manifests", "202, 404, or 405 where deletion is off")
def _(side):
    for content in (referring_index, manifests[2], subject, *referrers.values(), of_absent):
        side.ask("DELETE", at(digest(content)), REMOVED)


@discovery.case("end-10", "clean up: the configuration", "202, 404, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", blobs(digest(configs[2])), REMOVED)


@discovery.case("end-10", "clean up: the layer", "202, 404, or 405 where deletion is off")
def _(side):
    side.ask("DELETE", blobs(digest(layer)), REMOVED)


@discovery.case("end-9, 10", "clean up: what referred, once more", "202, 404, or 405 where deletion is off")
def _(side):
    for content in (referring_index, *referrers.values(), subject):
        side.ask("DELETE", at(digest(content)), REMOVED)
    for content in (configs[4], ARTIFACTS["a"][1], ARTIFACTS["b"][1], EMPTY):
        side.ask("DELETE", blobs(digest(content)), REMOVED)
