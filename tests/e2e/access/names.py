"""Names that differ little, that are words of nginx's language, or that were written into the file by hand."""

from contract import share, verdict
from matrix import FEW, content, destroys, paths

METHODS = ["GET", "PUT", "POST", "DELETE", "FOO"]


def requests(shelf):
    yield "base", "GET", "/v2/", None
    yield "catalog", "GET", "/v2/_catalog", None
    for name in [*FEW, "team-b/app"]:
        for method in METHODS:
            for place, target in paths(shelf.repositories[name]):
                yield place, method, target, shelf.repositories[name]


def prove(proof, people):
    """Each is who they are, and no one else."""
    shelf = proof.shelf
    before = shelf.tree()
    for refused in (True, False):
        for turn, person in enumerate(people):
            for place, method, target, repository in share(requests(shelf), turn):
                expected = verdict(person, method, target)
                if (expected != "passed") == refused and not (destroys(place, method) and not refused):
                    if expected == "passed" and (place, method) == ("session", "DELETE"):
                        continue
                    proof.ask(person, method, target, {expected, "bad"} if expected == "passed" else {expected}, *content(repository, method, target))
        if refused:
            proof.unchanged(before)
