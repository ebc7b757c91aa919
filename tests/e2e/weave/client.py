"""A client of the registry that retries nothing."""

import base64
import http.client
import json
import select
import ssl
import time
from dataclasses import dataclass

from content import IMAGE, INDEX

LIMIT = 60
ACCEPT = {"Accept": f"{IMAGE}, {INDEX}"}


@dataclass
class Answer:
    """`status` is 0 where no answer came."""

    status: int
    headers: object = None
    body: bytes = b""

    def code(self):
        """The error code of nginx or of the registry, '' without one."""
        try:
            return json.loads(self.body)["errors"][0]["code"]
        except (ValueError, KeyError, IndexError, TypeError):
            return ""

    def __str__(self):
        return f"{self.status} {self.code()}".strip()


class Client:
    """One connection. `writes` is a list, shared by clients: when each request that writes began and ended, and its answer."""

    def __init__(self, registry, writes):
        self.registry, self.writes = registry, writes
        self.connection = None

    def ask(self, method, target, body=None, headers=()):
        start = time.monotonic()
        answer = self.exchange(method, target, body, dict(headers))
        if method not in ("GET", "HEAD"):
            self.writes.append((start, time.monotonic(), answer.status))
        return answer

    def exchange(self, method, target, body, headers):
        try:
            connection = self.connected()
            connection.request(method, target, body, {**headers, "Authorization": self.registry.login})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(0)

    def connected(self):
        """A kept connection is used as long as the server has not closed it, as other clients do."""
        if self.connection and self.connection.sock and select.select([self.connection.sock], [], [], 0)[0]:
            self.close()
        if not self.connection:
            self.connection = http.client.HTTPSConnection(self.registry.host, timeout=LIMIT, context=self.registry.tls)
        return self.connection

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    # ---- parts of a push and of a pull -----------------------------------------

    def manifest(self, repository, reference):
        return self.ask("GET", f"/v2/{repository}/manifests/{reference}", headers=ACCEPT)

    def put_manifest(self, repository, reference, manifest):
        return self.ask("PUT", f"/v2/{repository}/manifests/{reference}", manifest.data, {"Content-Type": manifest.type})

    def has_manifest(self, repository, digest):
        return self.ask("HEAD", f"/v2/{repository}/manifests/{digest}", headers=ACCEPT).status == 200

    def has_blob(self, repository, digest):
        return self.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200

    def blob(self, repository, digest):
        return self.ask("GET", f"/v2/{repository}/blobs/{digest}")

    def delete(self, repository, reference):
        return self.ask("DELETE", f"/v2/{repository}/manifests/{reference}")

    def begin_upload(self, repository, digest=None, source=None):
        """With a source, the registry may mount its blob and answer 201."""
        query = f"?mount={digest}&from={source}" if source else ""
        return self.ask("POST", f"/v2/{repository}/blobs/uploads/{query}", b"")

    def end_upload(self, begun, digest, data, in_parts):
        target = path(begun)
        if in_parts:
            begun = self.ask("PATCH", target, data, {"Content-Type": "application/octet-stream"})
            if begun.status != 202:
                return begun
            target, data = path(begun), b""
        return self.ask("PUT", f"{target}{'&' if '?' in target else '?'}digest={digest}", data, {"Content-Type": "application/octet-stream"})


def path(answer):
    location = answer.headers["Location"]
    return location if location.startswith("/") else "/" + location.split("/", 3)[3]


class Registry:
    """Where it is, and who logs in."""

    def __init__(self, host, root, user, password):
        self.host = host
        self.tls = ssl.create_default_context(cafile=root)
        self.login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
