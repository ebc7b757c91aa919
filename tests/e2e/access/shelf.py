"""What is in the registry while it is asked: repositories, each with things in it that no other user may ever see."""

import hashlib
import json
import os
import re
import time

from wire import Wire, request

V2 = "application/vnd.docker.distribution.manifest.v2+json"
ABSENT = "sha256:" + "0" * 64

# Siblings, prefixes and children of what people are limited to; and names made of the words that paths are made of.
REPOSITORIES = [
    "team-a/app", "team-a/x/y", "team-a", "team-ab/x", "team-a-b/x",
    "team-b/app", "team-b/app/sub", "team-b/appendix", "team-b/other",
    "team-c/app", "team-c/team-a/app", "public/app",
    "team-a/manifests/app", "team-a/blobs/uploads", "team-a/tags/list", "team-a/uploads/referrers",
    "team-b/app/manifests", "team-b/app/blobs/uploads", "team-b/app/tags/list", "team-c/manifests/team-a/app",
    "manifests/blobs/uploads", "v2/team-a/app",
]


class Repository:
    """A repository with one image, whose tag and blob hold a word that is in no other."""

    def __init__(self, name):
        self.name = name
        self.tag = "canary-" + hashlib.sha256(name.encode()).hexdigest()[:20]
        self.content = json.dumps({"architecture": "amd64", "os": "linux", "canary": self.tag}).encode()
        self.blob = digest(self.content)
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": V2, "layers": [],
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(self.content), "digest": self.blob},
        }).encode()
        self.manifest_digest = digest(self.manifest)
        self.session = ""

    def secrets(self):
        """What shows that a client has seen into it."""
        return [text.encode() for text in (self.tag, self.blob, self.manifest_digest)]


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Shelf:
    """The registry, as its owner fills it and as the disk has it."""

    def __init__(self, host, port, root, data, owner):
        self.host, self.port, self.root, self.owner = host, port, root, owner
        self.data = os.path.join(data, "docker/registry/v2")
        self.wires = {}
        self.repositories = {name: Repository(name) for name in REPOSITORIES}

    def wire(self, person):
        """Each person has a connection of their own."""
        if person not in self.wires:
            self.wires[person] = Wire(self.host, person.port or self.port, self.root)
        return self.wires[person]

    def authority(self, person):
        """What stands in the Host header."""
        port = person.port or self.port
        return self.host if port == 443 else f"{self.host}:{port}"

    def ask(self, person, method, target, headers=(), body=b""):
        """A right password that must wait for its turn is sent again."""
        data = request(method, target, self.authority(person), person, headers, body)
        for _ in range(30):
            answer = self.wire(person).ask(data, method)
            if answer.status != 429 or not person.known():
                break
            time.sleep(1)
        return answer

    def own(self, expected, method, target, headers=(), body=b""):
        answer = self.ask(self.owner, method, target, headers, body)
        if answer.status != expected:
            raise SystemExit(f"cannot fill the registry: {method} {target}: {answer.without_date()}")
        return answer

    def start(self, name):
        """An upload session: the target that the registry's Location names."""
        location = self.own(202, "POST", f"/v2/{name}/blobs/uploads/").header("Location")[0]
        return re.sub(r"^https://[^/]*", "", location)

    def fill(self):
        for repository in self.repositories.values():
            place = self.start(repository.name)
            octets = ["Content-Type: application/octet-stream"]
            self.own(201, "PUT", f"{place}&digest={repository.blob}", octets, repository.content)
            self.own(201, "PUT", f"/v2/{repository.name}/manifests/{repository.tag}", [f"Content-Type: {V2}"], repository.manifest)
            repository.session = self.start(repository.name)

    def tree(self):
        """Everything that is stored: each file and directory, with the time of its last change."""
        found = {}
        for directory, _, files in os.walk(self.data):
            found[directory] = "directory"
            for file in files:
                path = os.path.join(directory, file)
                state = os.stat(path)
                found[path] = (state.st_size, state.st_mtime_ns)
        return found

    def has(self, name, blob):
        """Whether the repository has a link to the blob."""
        return os.path.exists(os.path.join(self.data, "repositories", name, "_layers/sha256", blob[7:], "link"))

    def seen(self, person, sent, answer):
        """The repositories whose secrets are in an answer to a client that may not read them and did not name them."""
        raw = answer.raw()
        if b"canary-" not in raw and b"sha256:" not in raw:
            return []
        return [r.name for r in self.repositories.values() if not person.may_see(r.name)
                and any(secret in raw and secret not in sent for secret in r.secrets())]
