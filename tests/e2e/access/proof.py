"""Compares every answer with what the oracle says of it, and counts."""

import re
from collections import Counter

DENIED = re.compile(rb'\{"errors":\[\{"code":"DENIED","message":"[^"\\]*"\}\]\}\n?')
UNSUPPORTED = re.compile(rb'\{"errors":\[\{"code":"UNSUPPORTED","message":"[^"\\]*"\}\]\}\n?')
# nginx's own, for what is no request at all, too long, or for no server or place of its.
BAD = {400, 404, 405, 408, 411, 413, 414, 421, 494, 501, 505}
SHOWN = 30


def kind(answer, method="GET"):
    """What an answer is: `passed` is whatever only the registry, or nginx in its place, can have said."""
    nginx = method == "HEAD" or answer.error() in ("DENIED", "UNSUPPORTED")
    if answer.status == 0:
        return "passed" if b"{" in answer.body else "closed"
    if answer.status == 401:
        return "unauthorized"
    if answer.status == 403 and nginx and form_is_right(answer, method, DENIED):
        return "denied"
    if answer.status == 405 and nginx and form_is_right(answer, method, UNSUPPORTED):
        return "unsupported"
    # nginx's own as well, for a name that is not the registry's.
    if answer.status == 421 and (method == "HEAD" or UNSUPPORTED.fullmatch(answer.body)):
        return "bad"
    if answer.status in BAD and not answer.error() and b"canary" not in answer.body:
        return "bad"
    return "later" if answer.status == 429 else "passed"


def form_is_right(answer, method, pattern):
    """A client takes it for what it is: Docker asks for a password where there is a challenge."""
    return ((method == "HEAD" or pattern.fullmatch(answer.body))
            and answer.header("Content-Type") == ["application/json"]
            and answer.header("Docker-Distribution-Api-Version") == ["registry/2.0"]
            and not answer.header("WWW-Authenticate"))


class Proof:
    """The tally of one part."""

    def __init__(self, shelf, part):
        self.shelf, self.part = shelf, part
        self.rows, self.wrong, self.denials = {}, [], Counter()

    def claim(self, person, what, sent, answer, expected, method="GET", fault=""):
        """One answer: of a kind that was expected, without a fault of its own, and with nothing of anybody else's."""
        found = kind(answer, method)
        row = self.rows.setdefault(person.title(), Counter())
        row["requests"] += 1
        row[found] += 1
        if found not in expected:
            fault = f"expected {' or '.join(sorted(expected))}, got {found}"
        seen = self.shelf.seen(person, sent, answer)
        if seen:
            fault = f"{fault}; shows what is in {' '.join(seen)}".lstrip("; ")
        if found == "denied":
            text = re.sub(r"(?im)^connection:[^\r\n]*\r\n", "", answer.without_date())
            self.denials[(method == "HEAD", text)] += 1
        if fault:
            row["wrong"] += 1
            self.note(f"{person.title()}: {what}: {fault} ({answer.status} {answer.body[:120]!r})")

    def ask(self, person, method, target, expected, headers=(), body=b"", fault=lambda answer: ""):
        """A request over the person's own connection."""
        answer = self.shelf.ask(person, method, target, headers, body)
        sent = target.encode("latin-1") + "".join(headers).encode("latin-1") + body
        reason = fault(answer) if kind(answer, method) in ("passed", "bad") else ""
        what = " ".join([method, target[:200], *headers, body[:80].decode("latin-1")]).rstrip()
        self.claim(person, what, sent, answer, expected, method, reason)
        return answer

    def note(self, text):
        self.wrong.append(text)

    def unchanged(self, before):
        """Nothing that was refused has left a trace on the disk."""
        after = self.shelf.tree()
        for path in sorted(set(before) | set(after)):
            if before.get(path) != after.get(path):
                self.note(f"the disk has changed: {path}: {before.get(path)} -> {after.get(path)}")

    def end(self):
        """The table, then what was wrong; whether nothing was."""
        # A text for the role and one for the repository, with a body and without: one that told more would be another.
        if len(self.denials) > 6:
            self.note(f"{len(self.denials)} different refusals: {[text for _, text in self.denials][:8]}")
        columns = ["requests", "passed", "unauthorized", "denied", "unsupported", "bad", "closed", "later", "wrong"]
        width = max(len(title) for title in self.rows)
        print(f"{self.part:<{width}}  " + "  ".join(columns))
        for title, row in self.rows.items():
            print(f"{title:<{width}}  " + "  ".join(f"{row[c] or '.':>{len(c)}}" for c in columns))
        total = sum(row["requests"] for row in self.rows.values())
        print(f"{total} requests, {len(self.denials)} different texts of refusal, {len(self.wrong)} wrong")
        for text in self.wrong[:SHOWN]:
            print(f"  wrong: {text}")
        return not self.wrong
