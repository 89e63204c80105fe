"""HTTP as the tests need it: targets, headers and bodies leave exactly as they are given.

`requests` would tidy the target ('//', '..', escapes) and hide what happened to a connection.
"""

import http.client
import re
import select
import socket
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

TIMEOUT = 60.0


@dataclass
class Answer:
    status: int
    fields: dict[str, str]  # names in lower case
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.fields[name.lower()]

    def get(self, name: str, default: str | None = None) -> str | None:
        return self.fields.get(name.lower(), default)


def target(key: bytes | str, query: str = "") -> str:
    """The request target of a key: percent-encoded wherever it may be."""
    raw = key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")
    return quote(raw, safe="/") + ("?" + query if query else "")


class Connection:
    """A keep-alive connection for whole requests; opened when first used, and anew after a
    failure. Not for several threads."""

    def __init__(self, address: tuple[str, int], timeout: float = TIMEOUT):
        self._http = http.client.HTTPConnection(*address, timeout=timeout, blocksize=262144)

    def request(self, method: str, path: str, body=None, fields=None) -> Answer:
        try:
            self._http.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (fields or {}).items():
                self._http.putheader(name, value)
            if isinstance(body, bytes) and not (fields and "Content-Length" in fields):
                self._http.putheader("Content-Length", str(len(body)))
            self._http.endheaders(body)
            answer = self._http.getresponse()
            data = answer.read()
        except BaseException:
            self._http.close()
            raise
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)

    def close(self) -> None:
        self._http.close()


def once(address: tuple[str, int], method: str, path: str, body=None, fields=None) -> Answer:
    connection = Connection(address)
    try:
        return connection.request(method, path, body, fields)
    finally:
        connection.close()


def fetch(url: str, timeout: float = TIMEOUT, method: str = "GET") -> Answer:
    """GET of an absolute URL, as a client does that follows a redirect."""
    parts = urlsplit(url)
    connection = Connection((parts.hostname, parts.port), timeout)
    try:
        return connection.request(method, parts.path)
    finally:
        connection.close()


class Wire:
    """A bare socket: bytes out, answers in, one after the other."""

    def __init__(self, address: tuple[str, int], timeout: float = TIMEOUT):
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_unused) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, to: str = "GET") -> Answer:
        """The next answer, 1xx included."""
        line = self._file.readline()
        if not line:
            raise ConnectionError("closed where an answer was due")
        found = re.fullmatch(rb"HTTP/1\.[01] (\d{3})( .*)?\r\n", line)
        assert found, f"not a status line: {line!r}"
        status, fields = int(found[1]), {}
        while (line := self._file.readline()) != b"\r\n":
            assert line.endswith(b"\r\n") and b":" in line, f"not a header line: {line!r}"
            name, value = line.decode("latin-1").split(":", 1)
            assert name.lower() not in fields, f"twice in one head: {name}"
            fields[name.lower()] = value.strip()
        body = b""
        if to == "HEAD" or status < 200 or status in (204, 304):
            pass
        elif fields.get("transfer-encoding") == "chunked":
            while (size := int(self._file.readline().split(b";")[0], 16)) != 0:
                body += self._file.read(size)
                assert self._file.read(2) == b"\r\n"
            assert self._file.readline() == b"\r\n"
        elif "content-length" in fields:
            body = self._file.read(int(fields["content-length"]))
            assert len(body) == int(fields["content-length"]), "the body was cut"
        else:
            body = self._file.read()
        return Answer(status, fields, body)

    def readable(self) -> bool:
        """Something has come, or the end."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def at_end(self) -> bool:
        """Nothing more comes: the server closes the connection."""
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()
