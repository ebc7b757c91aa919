"""Who may do what, as the documentation promises it: the oracle. It owes nothing to nginx.conf, and must not.

`verdict` says what becomes of a request: `unauthorized`, `denied`, `unsupported`, or `passed` on to the registry.
"""

import os
import re
from dataclasses import dataclass

METHODS = {"GET": "read", "HEAD": "read", "POST": "write", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
MAY = {"pull": {"read"}, "push": {"read", "write"}, "admin": {"read", "write", "delete"}}

# The grammar of the distribution specification. A digest may have its colon encoded; nothing else is.
COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
NAME = rf"(?P<name>{COMPONENT}(?:/{COMPONENT})*)"
DIGEST = r"[a-z0-9]+(?:[+._-][a-z0-9]+)*(?::|%3[Aa])[0-9A-Za-z=_-]{32,}"
TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
SESSION = r"[A-Za-z0-9_=-]+"
FORMS = [
    rf"/v2/{NAME}/tags/list",
    rf"/v2/{NAME}/manifests/(?:{TAG}|{DIGEST})",
    rf"/v2/{NAME}/blobs/{DIGEST}",
    rf"/v2/{NAME}/blobs/uploads/",
    rf"/v2/{NAME}/blobs/uploads/{SESSION}",
    rf"/v2/{NAME}/referrers/{DIGEST}",
]


@dataclass(frozen=True)
class Person:
    """A client with its credentials. `secret` is None for who sends no password; a `wrong` one is not theirs."""

    name: str
    secret: str | None = None
    role: str = "push"
    patterns: tuple = ("*",)
    wrong: bool = False
    # On the port without passwords, the port is what makes them who they are.
    port: int = 0

    def limited(self):
        return "*" not in self.patterns

    def may_see(self, repository):
        """Whether the name is inside one of the patterns, and there is a password behind it."""
        if not self.known():
            return False
        return any(inside(repository, pattern) for pattern in self.patterns)

    def known(self):
        return self.port != 0 or (self.secret is not None and not self.wrong)

    def title(self):
        """For the table: one row for each kind of person."""
        patterns = " ".join(self.patterns)
        shown = patterns if len(patterns) < 40 else f"{len(self.patterns)} patterns"
        return f"{self.name}: {self.role} {shown}" if self.known() else self.name


def inside(repository, pattern):
    if pattern == "*":
        return True
    if pattern.endswith("/*"):
        return repository.startswith(pattern[:-1])
    return repository == pattern


def repository(target):
    """The repository that a request target names, byte for byte; None where it has none of the forms."""
    path = target.split("?", 1)[0]
    for form in FORMS:
        match = re.fullmatch(form, path, re.ASCII)
        if match:
            return match["name"]
    return None


def act(method, target):
    """`read`, `write` or `delete`; None for a method that no user may use."""
    path = target.split("?", 1)[0]
    if method == "DELETE" and re.fullmatch(FORMS[4], path, re.ASCII):
        return "write"
    return METHODS.get(method)


def verdict(person, method, target):
    if not person.known():
        return "unauthorized"
    if act(method, target) is None:
        return "unsupported"
    if act(method, target) not in MAY[person.role]:
        return "denied"
    if not person.limited() or target.split("?", 1)[0] == "/v2/":
        return "passed"
    name = repository(target)
    return "passed" if name is not None and person.may_see(name) else "denied"


def people(file):
    """A line each: NAME PASSWORD ROLE PATTERN..., between tabs, for a name may hold a space.

    A name with a colon is no user's: `anyone:5443` is who comes to the port that asks for no password.
    """
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            name, secret, role, *patterns = line.rstrip("\n").split("\t")
            port = name.partition(":")[2]
            yield Person(name, None if port else secret, role, tuple(patterns) or ("*",), port=int(port or 0))


# Without --all each turn makes one request in three, and the turns together make all of them.
PARTS = 1 if os.environ.get("E2E_TIER", "all") == "all" else 3


def share(requests, turn):
    return [one for number, one in enumerate(requests) if (number + turn) % PARTS == 0]


NO_USER = Person("no password")
STRANGER = Person("wrong password", "not-the-password", wrong=True)
