"""HTTP over TLS, byte for byte: no library tidies a request target or a header on its way."""

import base64
import json
import re
import socket
import ssl
from dataclasses import dataclass

LIMIT = 20


@dataclass
class Answer:
    """What came back; `status` is 0 where nothing did."""

    status: int
    head: bytes
    body: bytes

    def header(self, name):
        return [line.split(b":", 1)[1].strip().decode("latin-1") for line in self.head.split(b"\r\n")[1:]
                if line.lower().startswith(name.lower().encode() + b":")]

    def raw(self):
        return self.head + b"\r\n\r\n" + self.body

    def error(self):
        """The code of nginx's or the registry's JSON; '' where there is none."""
        try:
            return json.loads(self.body)["errors"][0]["code"]
        except (ValueError, KeyError, IndexError, TypeError):
            return ""

    def without_date(self):
        """All that a client sees, as one text."""
        head = re.sub(rb"(?im)^date:[^\r\n]*\r\n", b"", self.head + b"\r\n")
        return (head + self.body).decode("latin-1")


NOTHING = Answer(0, b"", b"")


class Wire:
    """One connection, kept for as long as the server keeps it."""

    def __init__(self, host, port, root, protocols=("http/1.1",)):
        self.host, self.port = host, port
        self.context = ssl.create_default_context(cafile=root)
        self.context.set_alpn_protocols(list(protocols))
        self.socket, self.buffer = None, b""

    def open(self):
        self.close()
        plain = socket.create_connection((self.host, self.port), timeout=LIMIT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.context.wrap_socket(plain, server_hostname=self.host)

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket, self.buffer = None, b""

    def ask(self, data, method="GET"):
        """The answer to one request. A connection that the server had closed meanwhile is opened again."""
        kept = self.socket is not None
        if not kept:
            self.open()
        answer = self.exchange(data, method)
        if answer.status == 0 and kept:
            self.open()
            answer = self.exchange(data, method)
        return answer

    def exchange(self, data, method):
        try:
            self.socket.sendall(data)
            answer = self.read(method)
        except (ssl.SSLError, ConnectionError):
            answer = NOTHING
        if answer.status == 0 or "close" in "".join(answer.header("Connection")).lower():
            self.close()
        return answer

    def ask_all(self, data, wanted=1):
        """Every answer to these bytes, until the server closes, or falls silent after as many as are wanted."""
        self.open()
        answers = []
        try:
            self.socket.sendall(data)
            while True:
                self.socket.settimeout(LIMIT if len(answers) < wanted else 0.5)
                answer = self.read("GET")
                if answer.status == 0:
                    break
                answers.append(answer)
        except (ssl.SSLError, OSError):
            # A rest that is no answer at all is still one to look at.
            if self.buffer:
                answers.append(Answer(0, b"", self.buffer))
        self.close()
        return answers

    def more(self):
        chunk = self.socket.recv(65536)
        self.buffer += chunk
        return bool(chunk)

    def take(self, count):
        while len(self.buffer) < count and self.more():
            pass
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                rest, self.buffer = self.buffer, b""
                return rest
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken

    def read(self, method):
        head = self.until(b"\r\n\r\n")
        match = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        if not match:
            return Answer(0, b"", head)
        answer = Answer(int(match[1]), head, b"")
        if answer.status == 100:
            return self.read(method)
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if "chunked" in "".join(answer.header("Transfer-Encoding")).lower():
            while size := int(self.until(b"\r\n") or b"0", 16):
                answer.body += self.take(size)
                self.take(2)
            self.until(b"\r\n")
        elif answer.header("Content-Length"):
            answer.body = self.take(int(answer.header("Content-Length")[0]))
        else:
            while self.more():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer


def basic(name, secret):
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def request(method, target, host, person=None, headers=(), body=b"", version="HTTP/1.1"):
    """The bytes of a request. Headers go as they are; a length is added where there is a body or might be one."""
    lines = [f"{method} {target} {version}", f"Host: {host}"]
    if person is not None and person.secret is not None:
        lines.append(f"Authorization: {basic(person.name, person.secret)}")
    lines += list(headers)
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
