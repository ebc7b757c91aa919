"""A mount copies a layer from one repository into another without a download: the user who names the source must be allowed to see it."""

from contract import MAY, share
from shelf import digest

INTO = "team-a/x/y"
FORM = "application/x-www-form-urlencoded"


def plain(blob, source):
    """Ways to write a mount that nginx must know for one: passed on where the source is one's own."""
    yield f"?mount={blob}&from={source}"
    yield f"?from={source}&mount={blob}"
    yield f"?mount={blob}&from={source.replace('/', '%2F')}"
    yield f"?mount={blob.replace(':', '%3A')}&from={source}"


def odd(blob, source, own):
    """Ways that only some readers take for a mount; an ordinary upload begins, or one's own is mounted."""
    encoded = source.replace("/", "%2F")
    name, rest = source[0], source[1:]
    yield from (
        f"?mount={blob}&from={source.replace('/', '%2f')}", f"?mount={blob}&%66rom={source}", f"?mount={blob}&fro%6D={source}", f"?%6dount={blob}&from={source}", f"?mount={blob}&from=%{ord(name):02x}{rest}",
        f"?mount={blob}&from={source}&from={own}", f"?mount={blob}&from={own}&from={source}", f"?from={source}&mount={blob}&from={own}",
        f"?from={own}&mount={blob}&from={source}", f"?mount={blob}&from={own}&%66rom={source}", f"?%66rom={source}&mount={blob}&from={own}",
        f"?mount={blob};from={source}", f"?from={source};mount={blob}", f"?mount={blob}&from={own};&from={source}", f"?mount={blob}&x=1;from={source}",
        f"?mount={blob}&from={own}%26from={source}", f"?mount={blob}&from={own}%00{source}", f"?mount={blob}&from={own}#&from={source}",
        f"?mount={blob}&from={own}/../../{source}", f"?mount={blob}&from=team-a%2F..%2F{encoded}", f"?mount={blob}&from=team-a/../{source}",
        f"?mount={blob}&from=/{source}", f"?mount={blob}&from={source}/", f"?mount={blob}&from=%20{source}", f"?mount={blob}&from=+{source}",
        f"?mount={blob}&FROM={source}", f"?mount={blob}&From={source}&from={own}", f"?mount={blob}&from[]={source}", f"?mount={blob}&from=",
        f"??mount={blob}&from={source}", f"?&mount={blob}&&from={source}", f"?x=y&mount={blob}&from={source}&z", f"?mount={blob}&from={source}&mount={blob}",
        f"?mount={blob}&mount={blob}&from={source}", f"?mount={blob}", f"?from={source}", f"?mount={blob}&%66%72%6f%6d={encoded}",
        f"?mount={blob}&from={source}?from={own}", f"?mount={blob}&from={own}?&from={source}", f"?mount={blob}&from={source}%0a{own}",
        f"?mount={blob}&from={source.upper()}", f"?mount={blob}&from=team-a*", f"?mount={blob}&from={own}|{source}", f"?from={own}&from={source}&mount={blob}",
        f"?mount={blob}&digest={blob}&from={source}", f"?digest={blob}&%64igest=x&mount={blob}&from%3D{source}", f"?mount={blob}&\tfrom={source}",
        f"?#&mount={blob}&from={source}", f"?digest=x#&mount={blob}&from={source}", f"?digest={blob}#&from={source}&mount={blob}", f"?a={'a' * 7600}&mount={blob}&from={source}",
        f"?mount={blob}&from%00={source}", f"?mount={blob}&from={own}&\x80&from={source}", f"?{'a=b&' * 500}mount={blob}&from={source}",
    )


def bodies(blob, source, own):
    """`from` in a form: Go reads it where the Content-Type says form, and before what the query says."""
    form = f"mount={blob}&from={source}".encode()
    part = f"from={source}".encode()
    multipart = b"".join(b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v.encode())
                         for k, v in (("mount", blob), ("from", source))) + b"--x--\r\n"
    for types in ([FORM], [FORM.upper()], ["Application/X-WWW-Form-URLencoded"], [f"{FORM}; charset=utf-8"], [f" \t{FORM}"], [f"{FORM};"], [f"{FORM}, text/plain"],
                  ["text/plain", FORM], [FORM, "application/octet-stream"], ["application/octet-stream", FORM], []):
        for query in ("", f"?mount={blob}", f"?mount={blob}&from={own}", f"?from={own}"):
            for body in (form, part):
                yield query, [f"Content-Type: {each}" for each in types], body
    for query in ("", f"?mount={blob}", f"?mount={blob}&from={own}"):
        for value in ("multipart/form-data; boundary=x", "Multipart/Form-Data; Boundary=x", 'multipart/form-data; boundary="x"', "multipart/mixed; boundary=x"):
            yield query, [f"Content-Type: {value}"], multipart
        for name in ("Content-type", "CONTENT-TYPE", "content_type", "Content-Type "):
            yield query, [f"{name}: {FORM}"], form


def prove(proof, people):
    shelf = proof.shelf
    writers = [p for p in people if p.may_see(INTO) and p.limited() and p.role == "push"]
    others = [p for p in people if not (p.may_see(INTO) and "write" in MAY[p.role])]
    sources = ["team-a", "team-ab/x", "team-b/app", "team-c/team-a/app"]

    before = shelf.tree()
    for person in others:
        for query in plain(shelf.repositories["team-c/app"].blob, "team-c/app"):
            proof.ask(person, "POST", f"/v2/{INTO}/blobs/uploads/{query}", {"denied"})
    proof.unchanged(before)

    for turn, person in enumerate(writers):
        for number, source in enumerate(sources):
            if not person.may_see(source):
                foreign(proof, person, source, turn + number)
        own(proof, person)
    unlimited = next(p for p in people if not p.limited() and "write" in MAY[p.role])
    there = shelf.repositories["team-c/app"]
    proof.ask(unlimited, "POST", f"/v2/team-b/other/blobs/uploads/?mount={there.blob}&from=team-c/app", {"passed"}, fault=status(201))


def foreign(proof, person, source, turn):
    """Whatever is written, an upload begins and nothing of the source comes into one's own repository."""
    shelf = proof.shelf
    blob, mine = shelf.repositories[source].blob, "team-a/app"
    start, session = f"/v2/{INTO}/blobs/uploads/", shelf.start(INTO)
    for query in share([*plain(blob, source), *odd(blob, source, mine)], turn):
        proof.ask(person, "POST", start + query, {"passed", "denied", "bad"}, fault=status(202, 400))
        absent(proof, person, source, query)
    # At the target of an upload that has begun, its state in the query, the registry begins another one as well.
    for query in [*plain(blob, source), *odd(blob, source, mine)][:12]:
        for asked in (f"{session}&{query[1:]}", session.replace("?", f"{query}&")):
            proof.ask(person, "POST", asked, {"passed"}, fault=status(202, 404))
            absent(proof, person, source, asked)
    if source in ("team-ab/x", "team-b/app"):
        for query, lines, body in share(bodies(blob, source, mine), turn):
            proof.ask(person, "POST", start + query, {"passed", "bad"}, lines, body, fault=status(202, 400))
            absent(proof, person, source, f"{query} {lines} {body[:60]!r}")
            if query == "":
                proof.ask(person, "POST", session, {"passed", "bad"}, lines, body, fault=status(202, 400, 404))
                absent(proof, person, source, f"{session} {lines} {body[:60]!r}")


def absent(proof, person, source, asked):
    """The disk says so; what is there all the same goes again, so that the next one is judged by itself."""
    shelf = proof.shelf
    blob = shelf.repositories[source].blob
    if shelf.has(INTO, blob):
        proof.note(f"{person.title()}: {source}'s layer is mounted into {INTO} by {asked}")
        shelf.own(202, "DELETE", f"/v2/{INTO}/blobs/{blob}")


def own(proof, person):
    """What one may see is mounted, however it is written."""
    shelf = proof.shelf
    source = next(name for name in shelf.repositories if name != INTO and person.may_see(name))
    for number, query in enumerate(plain("BLOB", source)):
        # Each with a layer of its own, so that each is a mount and not what another one left.
        content = f"{person.name} {number} {source}".encode()
        blob = digest(content)
        shelf.own(201, "PUT", f"{shelf.start(source)}&digest={blob}", ["Content-Type: application/octet-stream"], content)
        query = query.replace("BLOB", blob.replace(":", "%3A") if number == 3 else blob)
        proof.ask(person, "POST", f"/v2/{INTO}/blobs/uploads/{query}", {"passed"}, fault=status(201))
        if not shelf.has(INTO, blob):
            proof.note(f"{person.title()}: {query} has mounted nothing")


def status(*expected):
    return lambda answer: "" if answer.status in expected else f"not {' or '.join(map(str, expected))}"
