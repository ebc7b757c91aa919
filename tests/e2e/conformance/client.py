"""One registry as a client meets it, and what may differ between two of them.

Each request goes over a connection of its own, follows no redirect and adds nothing to what a case asks for.
"""
import base64
import http.client
import json
import re
import ssl
from urllib.parse import quote, urlsplit

# How a message travels on one connection, when it was answered, and who carried it: not what the registry says.
# The last is nginx's word to browsers.
CARRIAGE = {"connection", "transfer-encoding", "date", "server", "strict-transport-security"}

# nginx does not repeat with a part that there are parts; RFC 9110 (14.3) does not ask for it.
REDUNDANT = {"accept-ranges"}

# The codes that the specification knows (its table of error codes).
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "MANIFEST_UNVERIFIED", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID",
    "TAG_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
}

UPLOAD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STATE = re.compile(r"_state=[^&\"<>\s]+")
# Go and nginx each draw one for an answer of several parts.
BOUNDARY = re.compile(r"boundary=(\S+)")


class Answer:
    def __init__(self, method, path, status, headers, body):
        self.request, self.path = f"{method} {path}", path
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())


class Side:
    """A registry at an address; `answers` and `complaints` are those of the case that runs."""

    def __init__(self, name, base, certificate=None, user=None, password=None):
        self.name, self.base = name, base.rstrip("/")
        self.context = ssl.create_default_context(cafile=certificate) if certificate else None
        self.headers = {}
        if user is not None:
            secret = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {secret}"
        self.answers, self.complaints = [], []
        # What a later case needs of an earlier one.
        self.last = self.previous = None
        self.tags = 0

    def ask(self, method, path, accepted, headers=None, body=None):
        """Sends a request and complains where its status is none of `accepted`; a body of pieces goes in chunks."""
        address = urlsplit(self.base)
        connect = http.client.HTTPSConnection if self.context else http.client.HTTPConnection
        options = {"context": self.context} if self.context else {}
        connection = connect(address.hostname, address.port, timeout=30, **options)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            answer = Answer(method, path, response.status, response.getheaders(), whole(response))
        except (OSError, http.client.HTTPException) as error:
            answer = Answer(method, path, 0, [], repr(error).encode())
        finally:
            connection.close()
        self.answers.append(answer)
        accepted = accepted if isinstance(accepted, tuple) else (accepted,)
        self.expect(answer.status in accepted, f"{method}: {answer.status} and not {' or '.join(map(str, accepted))}")
        return answer

    def expect(self, holds, claim):
        if not holds:
            self.complaints.append(claim)

    def place(self, answer):
        """The path of the Location header, which may be absolute or relative; without one, where the answer is from."""
        location = answer.header("Location")
        self.expect(location, "no Location")
        return location.removeprefix(self.base) or answer.path

    def error(self, answer, *codes):
        """The body is the specification's JSON, with one of these codes or, without any, with one it knows."""
        try:
            code = answer.json()["errors"][0]["code"]
        except (ValueError, KeyError, IndexError, TypeError):
            return self.expect(False, f"no JSON error in the body of {answer.status}")
        return self.expect(code in (codes or CODES), f"error code {code}")

    def plain(self, text):
        """A text of this side as any registry would have it."""
        text = text.replace(self.base, "{registry}").replace(urlsplit(self.base).netloc, "{host}")
        return STATE.sub("_state={state}", UPLOAD.sub("{upload}", text))

    def said(self, answer):
        """The answer in lines: status, headers without the carriage, body."""
        aside = CARRIAGE | (REDUNDANT if answer.status == 206 else set())
        headers = sorted(f"{key.lower()}: {value}" for key, value in answer.headers if key.lower() not in aside)
        text = "\n".join([str(answer.status), *headers, "", in_order(answer).decode("utf-8", "backslashreplace")])
        boundary = BOUNDARY.search(answer.header("Content-Type"))
        if boundary:
            text = text.replace(boundary[1], "{boundary}").replace("\r\n", "\n")
        return self.plain(text).split("\n")


def whole(response):
    """Registry 2 announces a body after 412 and sends none: then what came is what there is."""
    try:
        return response.read()
    except http.client.IncompleteRead as error:
        return error.partial


def in_order(answer):
    """The body; the tags, which registry 2 lists as its file system does, in an order."""
    try:
        content = answer.json()
        return json.dumps({**content, "tags": sorted(content["tags"])}).encode()
    except (ValueError, TypeError, KeyError):
        return answer.body


def with_query(path, **parameters):
    query = "&".join(f"{key}={quote(value, safe=':')}" for key, value in parameters.items())
    return f"{path}{'&' if '?' in path else '?'}{query}"
