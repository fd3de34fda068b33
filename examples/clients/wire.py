"""HTTP and RESP for the walk: standard library only, as a client in any language would do it."""

import json
import socket
import urllib.error
import urllib.parse
import urllib.request


class Http:
    """Requests under `/api/v1`; every answer is (status, body, headers)."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def raw(self, method, path, data=None, headers=None):
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def __call__(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        status, text, headers = self.raw(method, "/api/v1" + path, data, headers)
        return status, json.loads(text) if text else None, headers


class RedisFault(Exception):
    """An error reply."""


class Push(list):
    """A push frame of RESP3."""


class Resp:
    """One connection, spoken by hand."""

    def __init__(self, url):
        parts = urllib.parse.urlparse(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 6379), timeout=20)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, *commands):
        out = []
        for command in commands:
            out.append(b"*%d\r\n" % len(command))
            for word in command:
                word = word if isinstance(word, bytes) else str(word).encode()
                out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(out))

    def read(self):
        """One reply; an error reply is a value, so that a pipeline can be read to its end."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisFault(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        if kind == b"_":
            return None
        if kind in (b"$", b"="):
            size = int(rest)
            if size < 0:
                return None
            body = self.file.read(size + 2)[:-2].decode()
            return body[4:] if kind == b"=" else body
        if kind in (b"*", b"~", b">"):
            size = int(rest)
            if size < 0:
                return None
            items = [self.read() for _ in range(size)]
            return Push(items) if kind == b">" else items
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        raise ValueError("no reply starts with %r" % line)

    def pipeline(self, *commands):
        self.send(*commands)
        return [self.read() for _ in commands]

    def __call__(self, *command):
        (reply,) = self.pipeline(command)
        if isinstance(reply, RedisFault):
            raise reply
        return reply


def flat(fields):
    """A stream entry's words: a string as it is, any other value as JSON."""
    words = []
    for name, value in fields.items():
        words += [name, value if isinstance(value, str) else json.dumps(value)]
    return words


def pairs(words):
    """The fields of an entry that was read: under RESP3 they may be a map."""
    return words if isinstance(words, dict) else dict(zip(words[::2], words[1::2]))
