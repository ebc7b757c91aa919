"""Everybody, every method, every path of the API, in every repository."""

from contract import NO_USER, STRANGER, act, share, verdict
from shelf import ABSENT, V2

METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]
OTHERS = ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "MKCOL", "FOO", "QUERY"]
# The others are tried in one repository of each side: what they may do does not depend on its name.
FEW = ["team-a/app", "team-c/app"]

# What distribution answers to a request that reaches it; to a method that is not here, what stands under `other`.
REGISTRY = {
    "base": {"other": 200},
    "catalog": {"GET": 200, "other": 405},
    "tags": {"GET": 200, "other": 405},
    "manifest": {"GET": 200, "HEAD": 200, "PUT": 201, "other": 405},
    "no manifest": {"GET": 404, "HEAD": 404, "PUT": 400, "DELETE": 404, "other": 405},
    "blob": {"GET": 200, "HEAD": 200, "other": 405},
    "no blob": {"GET": 404, "HEAD": 404, "DELETE": 404, "other": 405},
    "uploads": {"POST": 202, "other": 404},
    "session": {"GET": 204, "HEAD": 204, "PATCH": 202, "PUT": 400, "DELETE": 204, "other": 405},
}


def paths(repository):
    """Each path of the API below a repository, with what lies there."""
    base = f"/v2/{repository.name}"
    manifest = repository.manifest_digest
    yield "tags", f"{base}/tags/list"
    yield "tags", f"{base}/tags/list?n=100&last=0"
    yield "manifest", f"{base}/manifests/{repository.tag}"
    yield "manifest", f"{base}/manifests/{manifest}"
    yield "manifest", f"{base}/manifests/{manifest.replace(':', '%3A')}"
    yield "no manifest", f"{base}/manifests/{ABSENT}"
    yield "blob", f"{base}/blobs/{repository.blob}"
    yield "blob", f"{base}/blobs/{repository.blob.replace(':', '%3A')}"
    yield "no blob", f"{base}/blobs/{ABSENT}"
    yield "uploads", f"{base}/blobs/uploads/"
    yield "session", repository.session
    yield "referrers", f"{base}/referrers/{manifest}"


def requests(shelf):
    """PLACE, METHOD, TARGET and the repository, if it is in one."""
    for method in METHODS + OTHERS:
        yield "base", method, "/v2/", None
        for target in ("/v2/_catalog", "/v2/_catalog?n=1", "/v2/_catalog?n=100&last=team-b/app"):
            yield "catalog", method, target, None
        for repository in shelf.repositories.values():
            if method in METHODS or repository.name in FEW:
                for place, target in paths(repository):
                    # Other spellings of a path are for who reads.
                    if method in ("GET", "DELETE") or not ("%3A" in target or "?n=" in target):
                        yield place, method, target, repository


def prove(proof, people):
    shelf = proof.shelf
    # The owner fills the registry; another admin is asked in their place.
    everybody = [NO_USER, *people[1:]]
    asked = [(person, *each, verdict(person, each[1], each[2]))
             for turn, person in enumerate(everybody) for each in share(requests(shelf), turn)]

    before = shelf.tree()
    for person, _, method, target, repository, expected in asked:
        if expected != "passed":
            # nginx may say that there is no such method before it asks who it is that asks.
            also = {"unsupported"} if act(method, target) is None else set()
            if method in ("TRACE", "CONNECT"):
                # No server of nginx takes these: it says 405 in words of its own before it looks who asks for what.
                also |= {"bad"}
            proof.ask(person, method, target, {expected} | also, *content(repository, method, target))
    for target in ("/v2/", "/v2/_catalog", f"/v2/team-c/app/blobs/{shelf.repositories['team-c/app'].blob}"):
        for method in ("GET", "PUT", "DELETE"):
            proof.ask(STRANGER, method, target, {"unauthorized", "later"})
    proof.unchanged(before)

    for person, place, method, target, repository, expected in asked:
        if expected == "passed" and not destroys(place, method):
            if (place, method) == ("session", "DELETE"):
                target = shelf.start(repository.name)
            fault = right(place, method, repository)
            proof.ask(person, method, target, {"passed", "bad"}, *content(repository, method, target), fault=fault)


def content(repository, method, target):
    """Headers and body: where a manifest is put, the one that the repository has under that name."""
    if repository is not None and method == "PUT" and "/manifests/" in target and ABSENT not in target:
        return [f"Content-Type: {V2}"], repository.manifest
    # Without this the registry would translate a manifest into a form of long ago.
    return [f"Accept: {V2}"], b""


def destroys(place, method):
    """What is allowed and would take away what the next one asks for; `absent` ones are deleted instead."""
    return method == "DELETE" and place in ("manifest", "blob")


def right(place, method, repository):
    """Says what is wrong with an answer of the registry."""

    def fault(answer):
        if place == "referrers":
            # Not in every version of the registry.
            return "" if answer.status in (200, 404, 405) else "not what the registry answers"
        if (place, method) == ("session", "POST"):
            # It begins another upload, if the query with the session's state is passed on; nginx leaves it out where it might be a mount.
            return "" if answer.status in (202, 404) else "not what the registry answers"
        expected = REGISTRY[place].get(method, REGISTRY[place]["other"])
        if answer.status != expected:
            return f"expected {expected} of the registry"
        wanted = {"tags": "tag", "manifest": "manifest", "blob": "content"}.get(place)
        if method == "GET" and wanted:
            value = getattr(repository, wanted)
            value = value.encode() if isinstance(value, str) else value
            return "" if value in answer.body else "without what was asked for"
        return ""

    return fault
