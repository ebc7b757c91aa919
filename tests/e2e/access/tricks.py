"""Ways round a check: targets that mean one thing to nginx and another to the registry, headers, versions of HTTP.

Who asks is limited to `team-a/*` and wants what is in `team-c/app`, or is not allowed to delete and wants to.
"""

import base64
from urllib.parse import unquote

from contract import MAY, NO_USER, share, verdict
from mounts import status
from shelf import ABSENT, V2
from wire import NOTHING, Wire, basic, request

OWN, FOREIGN = "team-a/app", "team-c/app"
REFUSED = {"denied", "bad", "closed", "unsupported"}


def targets(tail):
    """Request targets that end at FOREIGN, for a program that reads them otherwise than a strict reader does."""
    there, here = f"{FOREIGN}/{tail}", f"{OWN}/tags/list"
    dots = ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..%00", "..;", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "..%20", "%uff0e%uff0e"]
    slashes = ["/", "//", "%2f", "%2F", "%252F", "\\", "%5c", "%c0%af", "/./", "/%2e/", ";/", "%00/", "%09/"]
    for dot in dots:
        for slash in slashes:
            yield f"/v2/team-a{slash}{dot}{slash}{there}"
            yield f"/v2/{OWN}{slash}{dot}{slash}{dot}{slash}{there}"
    for slash in slashes:
        yield f"/v2{slash}{there}"
        yield f"/v2/{there.replace('/', slash)}"
        yield f"/v2/team-a/app{slash}..{slash}..{slash}{there}"
        yield f"/v2/{OWN}/blobs/uploads{slash}..{slash}..{slash}..{slash}..{slash}{there}"
        yield f"/v2/{OWN}/manifests/..{slash}..{slash}..{slash}..{slash}{there}"
    yield from (
        f"//v2/{there}", f"///v2//{there}", f"/./v2/{there}", f"/x/../v2/{there}", f"/trust/../v2/{there}",
        f"/%76%32/{there}", f"/v%32/{there}", f"/v2%2f{there}", f"/v2%2F{there}", f"/v2;/{there}", f"/v2;x=y/{there}",
        f"/v2/{there}/", f"/v2/{there}//", f"/v2/{there}/.", f"/v2/{there}/x/..", f"/v2/{there}%00", f"/v2/{there}%20",
        f"/v2/{there};", f"/v2/{there};/{here}", f"/v2/{there}%3F/v2/{here}", f"/v2/{there}?/v2/{here}", f"/v2/{there}#/v2/{here}",
        f"/v2/{there}?", f"/v2/{there}??", f"/v2/{there}?team-a/", f"/v2/{there}?#/v2/{here}", f"/v2/{there}&/v2/{here}",
        f"/v2/{here}#/../../../../{there}", f"/v2/{here}/../../../../{there}", f"/v2/{here}%23/../../../../{there}",
        f"/v2/{here}%3f/../../../../{there}", f"/v2/{here};/../../../../../{there}", f"/v2/%74eam-c/app/{tail}",
        f"/v2/team-c%2fapp/{tail}", f"/v2/team-c%2Fapp/{tail}", f"/v2/team-a/%2e%2e/team-c/app/{tail}",
        f"/v2/team-a%0a/../{there}", f"/v2/team-a%0d%0a/../{there}", f"/v2/team-a/\t/../../{there}", f"/v2/team-a/ /../../{there}",
        f"/v2/{there} /v2/{here}", f"/V2/{there}", f"/v2/TEAM-C/app/{tail}", f"/v2/team-C/app/{tail}", f"/v2/team-a/../../v2/{there}",
        f"/v2/team-a/{'x/' * 3000}{'../' * 3000}../{there}", f"/v2/team-a/{'x' * 9000}/../../{there}", f"/v2/{'./' * 2000}{there}",
        f"/v2/{'/' * 3000}{there}", f"/v2/team-a/\x80\xff/../../{there}", f"/v2/team-a*/../{there}", f"v2/{there}", f"*/v2/{there}",
        f"?/v2/{there}", f"/v2?/{there}", f"/v2/?/{there}/../..", f"/-/users/../../v2/{there}",
    )


# What a limited user may not ask for in their own repositories either: the target is not of one of the forms.
def own_targets(tail):
    here = f"{OWN}/{tail}"
    yield from (
        f"/v2//{here}", f"//v2/{here}", f"/v2/./{here}", f"/v2/team-c/../{here}", f"/v2/team-c/%2e%2e/{here}", f"/v2/{here}/",
        f"/v2/team-a%2Fapp/{tail}", f"/v2/%74eam-a/app/{tail}", f"/v2/{here}#", f"/v2/{here};", f"/v2/{here}%00", f"/v2/Team-a/app/{tail}",
        f"/v2/team-a//app/{tail}", f"/v2/team-a/-app/{tail}", f"/v2/team-a/app./{tail}", f"/v2/team-a/a..b/{tail}", f"/v2/team-a/{tail}",
    )


def exactly(target):
    """A plain one below `/v2/` is refused as everything else is; nginx itself takes others for no request, or not for one of ours."""
    decoded = unquote(target)
    odd = ".." in decoded or any(not " " < c < "\x7f" for c in decoded) or " " in target or len(target) > 4000 or "%u" in target
    if target.startswith("/v2/") and not odd:
        return {"denied"}
    return REFUSED


def prove(proof, people):
    shelf = proof.shelf
    # One of each role is enough, and who is asked for no password.
    limited = list({p.port or p.role: p for p in people if p.may_see(OWN) and not p.may_see(FOREIGN)}.values())
    there = shelf.repositories[FOREIGN]
    before = shelf.tree()
    paths(proof, limited, there)
    deletions(proof, people, there)
    claims(proof, people, there)
    headers(proof, limited, there)
    states(proof, limited, there)
    forms(proof, limited, there)
    identities(proof, people, limited, there)
    versions(proof, limited, there)
    pipelines(proof, people, limited, there)
    smuggled(proof, limited, there)
    proof.unchanged(before)
    # nginx and the registry agree still on where a request ends: everybody gets their own answer.
    for _ in range(50):
        proof.ask(people[0], "GET", "/v2/team-b/app/tags/list", {"passed"}, fault=is_own(shelf.repositories["team-b/app"]))


def paths(proof, limited, there):
    for turn, tail in enumerate(("tags/list", f"manifests/{there.tag}", f"blobs/{there.blob}")):
        for target in share(targets(tail), turn):
            for person in limited:
                for method in ("GET", "DELETE") if person.role == "admin" and tail != "tags/list" else ("GET",):
                    proof.ask(person, method, target, exactly(target) | ({"passed"} if is_base(target) else set()))
        for target in share(targets(tail), turn):
            proof.ask(NO_USER, "GET", target, REFUSED | {"unauthorized"})
    own = proof.shelf.repositories[OWN]
    for tail in ("tags/list", f"manifests/{own.tag}", f"blobs/{own.blob}"):
        for person in limited:
            for target in own_targets(tail):
                proof.ask(person, "GET", target, exactly(target))
            for query in ("?", "?/../../../team-c/app/tags/list", "?n=1&last=a", "?from=team-c/app", "?%2e%2e/", "?x=" + "y" * 2000):
                proof.ask(person, "GET", f"/v2/{OWN}/{tail}{query}", {"passed"})


def is_base(target):
    return target.startswith("/v2/?")


def deletions(proof, people, there):
    """To end an upload is to write; no other deletion may look like one."""
    session = "blobs/uploads/00000000-0000-0000-0000-000000000000"
    for person in people:
        if "delete" in MAY[person.role]:
            continue
        for thing in (f"{FOREIGN}/manifests/{there.manifest_digest}", f"{FOREIGN}/blobs/{there.blob}"):
            for target in (
                f"/v2/{thing}?/{session}", f"/v2/{thing}?/v2/{FOREIGN}/{session}", f"/v2/{thing}#/{session}", f"/v2/{thing};/{session}",
                f"/v2/{thing}%3F/{session}", f"/v2/{thing}%23/{session}", f"/v2/{thing}/../../{session}", f"/v2/{thing}/{session}",
                f"/v2/{FOREIGN}/blobs/uploads/../../../../{thing}", f"/v2/{FOREIGN}/blobs/uploads/..%2f..%2f..%2f..%2f{thing}",
                f"/v2/{FOREIGN}/blobs/uploads%2f..%2f..%2f..%2f..%2f{thing}", f"/v2/{FOREIGN}/{session}/../../../../../{thing}",
                f"/v2/{FOREIGN}/blobs/uploads/{there.blob}/../../{there.blob}", f"/v2/{FOREIGN}/blobs//uploads/../{there.blob}",
                f"//v2/{thing}", f"/v2/%2e/{thing}", f"/v2/{thing}/", f"/v2/{thing}%0a/{session}", f"/v2/{thing}%00/{session}",
            ):
                proof.ask(person, "DELETE", target, {"denied", "bad"})


def claims(proof, people, there):
    """On the port without passwords, the owner's right one opens nothing more, and a wrong one closes nothing."""
    owner = people[0]
    for person in people:
        if not person.port:
            continue
        for secret in (owner.secret, "wrong"):
            line = [f"Authorization: {basic(owner.name, secret)}"]
            proof.ask(person, "GET", f"/v2/{OWN}/tags/list", {"passed"}, line, fault=is_own(proof.shelf.repositories[OWN]))
            for method, target in (("GET", "/v2/_catalog"), ("GET", f"/v2/{FOREIGN}/blobs/{there.blob}"), ("POST", f"/v2/{OWN}/blobs/uploads/"),
                                   ("DELETE", f"/v2/{OWN}/manifests/{ABSENT}"), ("PUT", f"/v2/{OWN}/manifests/x"), ("PATCH", f"/v2/{OWN}/blobs/uploads/x")):
                proof.ask(person, method, target, {"denied"}, line)


def headers(proof, limited, there):
    """Headers that some server or other takes for the method, the path or the address."""
    target = f"/v2/{FOREIGN}/tags/list"
    shown = is_own(proof.shelf.repositories[OWN])
    for person in limited:
        for name in ("X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix",
                     "X-Accel-Redirect", "X-HTTP-Path-Override", "Destination", "Referer"):
            proof.ask(person, "GET", f"/v2/{OWN}/tags/list", {"passed"}, [f"{name}: {target}"], fault=shown)
            proof.ask(person, "GET", target, {"denied"}, [f"{name}: /v2/{OWN}/tags/list"])
        for name in ("X-Remote-User", "Remote-User", "X-Forwarded-User", "X-Authenticated-User", "X-WEBAUTH-USER", "X-User", "X-Role", "X-Users-File"):
            proof.ask(person, "GET", target, {"denied"}, [f"{name}: {proof.shelf.owner.name}"])
        for name in ("X-Forwarded-For", "X-Real-IP", "X-Client", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Remembered"):
            proof.ask(person, "GET", target, {"denied"}, [f"{name}: 127.0.0.1"])
        for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"):
            method = "DELETE"
            proof.ask(person, "GET", f"/v2/{OWN}/tags/list", {"passed"}, [f"{name}: {method}"], fault=shown)
            proof.ask(person, "GET", f"/v2/{OWN}/tags/list?_method={method}", {"passed"}, fault=shown)
            proof.ask(person, "DELETE", target, {"denied"}, [f"{name}: GET"])
        for name in ("Connection: Authorization", "Connection: X-Client, Host", "Expect: 100-continue", "Upgrade: h2c", "Range: bytes=0-10"):
            proof.ask(person, "GET", target, {"denied", "bad"}, [name])


def states(proof, limited, there):
    """An upload of others goes on nowhere: neither its address nor its state, which the registry has signed, is of use."""
    uploads = {name: proof.shelf.repositories[name].session.rpartition("/")[2].split("?", 1) for name in (OWN, FOREIGN)}
    (mine, my_state), (theirs, their_state) = uploads[OWN], uploads[FOREIGN]
    octets = ["Content-Type: application/octet-stream"]
    for person in limited:
        if "write" not in MAY[person.role]:
            continue
        for upload, state, methods in (
            (theirs, their_state, ("GET", "PATCH", "PUT", "DELETE")), (theirs, my_state, ("GET", "PATCH", "PUT", "DELETE")),
            (mine, their_state, ("PATCH", "PUT", "DELETE")), (theirs, "", ("GET", "PATCH", "PUT", "DELETE")),
            (theirs, f"{my_state}&{their_state}", ("GET", "PATCH", "PUT")), (f"{mine}/../{theirs}", their_state, ("GET", "PATCH", "PUT")),
            (mine, "_state=" + "A" * 200, ("PATCH", "PUT")),
        ):
            for method in methods:
                end = f"&digest={there.blob}" if method == "PUT" else ""
                body = there.content if method in ("PATCH", "PUT") else b""
                here = f"blobs/uploads/{upload}?{state}{end}"
                proof.ask(person, method, f"/v2/{FOREIGN}/{here}", {"denied"}, octets, body)
                proof.ask(person, method, f"/v2/{OWN}/{here}", {"passed", "bad", "denied"}, octets, body, fault=status(400, 403, 404))


def forms(proof, limited, there):
    """Forms of the request line, and of the Host."""
    tail = f"manifests/{there.tag}"
    for person in limited:
        host = proof.shelf.authority(person)
        for line in (f"GET https://{host}/v2/{FOREIGN}/{tail} HTTP/1.1", f"GET http://{host}/v2/{FOREIGN}/{tail} HTTP/1.1",
                     f"GET https://stranger.example/v2/{FOREIGN}/{tail} HTTP/1.1", f"GET https://{host}:1/v2/{FOREIGN}/{tail} HTTP/1.1",
                     f"GET https://{host}/v2/{OWN}/../../{FOREIGN}/{tail} HTTP/1.1", f"GET https://{host}/v2/{FOREIGN}/{tail}?/v2/{OWN}/tags/list HTTP/1.1",
                     f"GET https://x/v2/{OWN}/@{host}/v2/{FOREIGN}/{tail} HTTP/1.1", f"GET //{host}/v2/{FOREIGN}/{tail} HTTP/1.1",
                     f"GET https:///v2/{FOREIGN}/{tail} HTTP/1.1", f"get /v2/{FOREIGN}/{tail} HTTP/1.1", f"Get /v2/{FOREIGN}/{tail} HTTP/1.1",
                     f"GET  /v2/{FOREIGN}/{tail}  HTTP/1.1", f"GET\t/v2/{FOREIGN}/{tail}\tHTTP/1.1", f"GET /v2/{FOREIGN}/{tail} HTTP/1.1 HTTP/1.1",
                     f"GET /v2/{OWN}/tags/list /v2/{FOREIGN}/{tail} HTTP/1.1", f"GET /v2/{FOREIGN}/{tail} HTTP/2.0", f"GET /v2/{FOREIGN}/{tail} HTTP/1.9",
                     f"\r\nGET /v2/{FOREIGN}/{tail} HTTP/1.1", f"GET/v2/{FOREIGN}/{tail} HTTP/1.1", f"CONNECT {host}:443 HTTP/1.1",
                     "OPTIONS * HTTP/1.1", f"GET /v2/{FOREIGN}/{tail}\x00 HTTP/1.1", f"get /v2/{OWN}/tags/list HTTP/1.1"):
            raw(proof, person, line, [f"Host: {host}"], REFUSED)
        for hosts in (["Host: stranger.example"], [f"Host: {host}:1"], [f"Host: {host.upper()}"], [f"Host: {host}."], [], ["Host:"],
                      [f"Host: {host}", f"Host: {host}"], [f"Host: {host}", "Host: stranger.example"], [f"Host: {host}/v2/{OWN}/tags/list?"],
                      [f"Host: {host}@stranger.example"], ["Host: 127.0.0.1"], ["Host: [::1]"], ["Host: unix:/run/regcert/registry.sock"],
                      ["Host: _"], ["Host: *"], [f"Host : {host}"], [f" Host: {host}"]):
            raw(proof, person, f"GET /v2/{FOREIGN}/{tail} HTTP/1.1", hosts, REFUSED)


def identities(proof, people, limited, there):
    """Who it is that asks: a right password of one, and the name of another."""
    host, target = proof.shelf.authority(people[0]), f"/v2/{FOREIGN}/manifests/{there.tag}"
    owner, person = people[0], limited[0]
    mine, theirs = basic(person.name, person.secret), basic(owner.name, "wrong")
    for pair in ((mine, theirs), (theirs, mine), (mine, mine)):
        raw(proof, person, f"GET {target} HTTP/1.1", [f"Host: {host}"] + [f"Authorization: {each}" for each in pair], REFUSED | {"unauthorized", "later"}, alone=True)
    joined = {
        "two in one line": f"{mine}, {theirs}",
        "a name before the name": "Basic " + encoded(f"{owner.name}:{person.name}:{person.secret}"),
        "a NUL in the name": "Basic " + encoded(f"{person.name}\0{owner.name}:{person.secret}"),
        "a line end in the name": "Basic " + encoded(f"{person.name}\n{owner.name}:{person.secret}"),
        "a NUL in the password": "Basic " + encoded(f"{person.name}:{person.secret}\0{owner.name}"),
        "no name": "Basic " + encoded(f":{person.secret}"),
        "no password": "Basic " + encoded(f"{owner.name}:"),
        "no colon": "Basic " + encoded(owner.name),
        "another scheme": mine.replace("Basic", "Bearer"),
        "no scheme": mine.replace("Basic ", ""),
        "upper case": mine.replace("Basic", "BASIC"),
        "spaces": mine.replace(" ", "     "),
        "a tab": mine.replace(" ", "\t"),
        "what follows": f"{mine} {encoded(owner.name)}",
        "no base64": "Basic !!!!",
        "empty": "",
    }
    for text in joined.values():
        # Each is another password to check, and only so many are checked in a second.
        raw(proof, person, f"GET {target} HTTP/1.1", [f"Host: {host}", f"Authorization: {text}"], REFUSED | {"unauthorized", "later"}, alone=True)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def versions(proof, limited, there):
    shelf, person = proof.shelf, limited[0]
    host, target = shelf.authority(person), f"/v2/{FOREIGN}/manifests/{there.tag}"
    raw(proof, person, f"GET {target} HTTP/1.0", [], REFUSED)
    raw(proof, person, f"GET {target} HTTP/1.0", [f"Host: {host}"], REFUSED)
    raw(proof, NO_USER, f"GET {target} HTTP/1.0", [f"Host: {host}"], {"unauthorized"})
    for data in (f"GET {target}\r\n", "GET /v2/\r\n", f"GET {target}\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"):
        each(proof, NO_USER, data.encode("latin-1"), REFUSED | {"unauthorized"})
    try:
        wire = Wire(shelf.host, shelf.port, shelf.root, ["h2"])
        wire.open()
        if wire.socket.selected_alpn_protocol() == "h2":
            proof.note("nginx speaks HTTP/2, and none of this was tried over it")
        wire.close()
    except OSError:
        pass


def pipelines(proof, people, limited, there):
    """Requests one after the other without waiting, of several people over one connection: each is judged by itself."""
    shelf = proof.shelf
    own, owner = shelf.repositories[OWN], people[0]
    foreign, mine = f"/v2/{FOREIGN}/tags/list", f"/v2/{OWN}/tags/list"
    for person in limited:
        # On the port without passwords all are the same.
        if person.port:
            continue
        asked = [(person, mine), (person, foreign), (owner, foreign), (person, foreign), (NO_USER, foreign), (person, mine), (owner, mine), (NO_USER, mine)]
        answers = shelf.wire(NO_USER).ask_all(b"".join(request("GET", target, shelf.authority(who), who) for who, target in asked), len(asked))
        if len(answers) != len(asked):
            proof.note(f"pipelined: {len(asked)} requests, {len(answers)} answers")
        for (who, target), answer in zip(asked, answers):
            wanted = shelf.repositories[FOREIGN] if target == foreign else own
            expected = verdict(who, "GET", target)
            proof.claim(who, f"pipelined GET {target}", target.encode(), answer, {expected}, fault=is_own(wanted)(answer) if expected == "passed" else "")


def smuggled(proof, limited, there):
    """A request in the body of another, for who reads the length otherwise than nginx does."""
    shelf, host = proof.shelf, proof.shelf.authority(limited[0])
    end = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    for person in limited[:2]:
        inner = request("PUT", f"/v2/{FOREIGN}/manifests/smuggled", host, None, [f"Content-Type: {V2}"], there.manifest) + request("GET", f"/v2/{FOREIGN}/tags/list", host)
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
        for outer in (f"/v2/{FOREIGN}/blobs/uploads/", f"/v2/{OWN}/manifests/{ABSENT}", f"/v2/{OWN}/tags/list"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                for lines, body in (
                    (["Content-Length: 0", "Transfer-Encoding: chunked"], chunked),
                    ([f"Content-Length: {len(inner) + 5}", "Transfer-Encoding: chunked"], b"0\r\n\r\n" + inner),
                    (["Content-Length: 0", f"Content-Length: {len(inner)}"], inner),
                    ([f"Content-Length: {len(inner)}", "Content-Length: 0"], inner),
                    ([f"Content-Length: 0, {len(inner)}"], inner),
                    ([f"Content-Length: +{len(inner)}"], inner),
                    ([f"Content-Length : {len(inner)}"], inner),
                    (["Content-Length: 0", "Transfer-Encoding : chunked"], chunked),
                    (["Transfer-Encoding: xchunked"], chunked),
                    (["Transfer-Encoding: chunked, identity"], chunked),
                    (["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], chunked),
                    (["Transfer-Encoding:\tchunked"], b"0\r\n\r\n" + inner),
                    (["Transfer-Encoding: chunked"], b"0;x=\n\r\n\r\n" + inner),
                    (["Transfer-Encoding: chunked"], b"ffffffffffffffff0\r\n" + inner),
                    (["Content-Length: 0", "X: y\nTransfer-Encoding: chunked"], chunked),
                    (["X: y\r\n Content-Length: 0"], inner),
                ):
                    data = "\r\n".join([f"{method} {outer} HTTP/1.1", f"Host: {host}", f"Authorization: {basic(person.name, person.secret)}", *lines])
                    for answer in shelf.wire(NO_USER).ask_all(data.encode("latin-1") + b"\r\n\r\n" + body + end):
                        # Some are requests of their own to nginx as well: without a password, like all that follow here.
                        proof.claim(person, f"smuggled in {method} {outer} with {lines}", outer.encode(), answer, REFUSED | {"unauthorized", "passed"})


def raw(proof, person, line, lines, expected, alone=False):
    """A request line and headers as they are; with the person's password, if no other is in them."""
    if not alone and person.secret is not None:
        lines = [*lines, f"Authorization: {basic(person.name, person.secret)}"]
    each(proof, person, "\r\n".join([line, *lines, "Connection: close"]).encode("latin-1") + b"\r\n\r\n", expected)


def each(proof, person, data, expected):
    answers = proof.shelf.wire(person).ask_all(data)
    for answer in answers:
        proof.claim(person, repr(data[:160]), data, answer, expected)
    if not answers:
        proof.claim(person, repr(data[:160]), data, NOTHING, expected)


def is_own(repository):
    return lambda answer: "" if answer.status == 200 and repository.tag.encode() in answer.body else "not the answer to this request"
