"""What a case is: a claim of the OCI distribution specification (1.1) and the requests that try it."""
from client import with_query
from content import BINARY, MANIFEST, NAME, CREATED, at, digest, uploads


class Category:
    def __init__(self, name):
        self.name, self.cases = name, []

    def case(self, section, name, must):
        """`must` is what the specification asks for at that endpoint, in few words."""
        def add(run):
            self.cases.append(Case(section, name, must, run))
            return run
        return add


class Case:
    def __init__(self, section, name, must, run):
        self.section, self.name, self.must, self.run = section, name, must, run


def push_blob(side, content, name=NAME):
    start = side.ask("POST", uploads(name), 202)
    return side.ask("PUT", with_query(side.place(start), digest=digest(content)), CREATED, BINARY, content)


def push_manifest(side, content, reference=None, media_type=MANIFEST, accepted=CREATED, name=NAME):
    return side.ask("PUT", at(reference or digest(content), name), accepted, {"Content-Type": media_type}, content)


def same_digest(side, answer, content):
    told = answer.header("Docker-Content-Digest")
    side.expect(told in ("", digest(content)), f"Docker-Content-Digest {told}")
