"""Bytes to a server, and what came back in a form that can be compared.

The bytes of a case are followed at once by one more request, the *probe*, which asks for the
end of the connection. So it needs no waiting to see whether the connection was kept: the probe
is answered, or it is not. And where the two servers take a head or a body to end at different
bytes, the probe shows it. Only when both directions are silent (the probe became part of a
body, say) does our side end, and then the server's outcome is that of a request cut short.
"""

import re
import select
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone

PROBE = b"HEAD /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LIMIT = 60.0  # of one exchange: far above anything a working server needs

# An answer's head, wherever it stands; what is sent in bodies must not look like one.
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) ?([^\r\n]*)\r\n((?:[^\r\n]+\r\n)*)\r\n")
_DATE = re.compile(r"(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
_PAGE = re.compile(rb"<html>.*NAME</center>\r\n</body>\r\n</html>\r\n", re.DOTALL)
_NAME = re.compile(rb"<hr><center>(nginx|volumed)</center>")


def talk(address: tuple[str, int], pieces: list[bytes], silence: float) -> bytes:
    """Sends the pieces, each by itself, and returns all that comes until the server ends the
    connection. After `silence` seconds in which nothing moves, our side ends first."""
    received, waiting, deadline = [], list(pieces), time.monotonic() + LIMIT
    open_out = True
    with socket.create_connection(address, LIMIT) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setblocking(False)
        poll = select.poll()
        out = b""
        while True:
            if not out and waiting:
                out = waiting.pop(0)
            poll.register(s, select.POLLIN | (select.POLLOUT if out else 0))
            quiet = silence if open_out else deadline - time.monotonic()
            events = poll.poll(max(quiet, 0) * 1000)
            if not events:
                assert open_out, "the server neither answers nor ends the connection"
                s.shutdown(socket.SHUT_WR)
                open_out = False
                continue
            try:
                if events[0][1] & ~select.POLLOUT:
                    data = s.recv(1 << 20)
                    if not data:
                        break
                    received.append(data)
                if events[0][1] & select.POLLOUT and out:
                    out = out[s.send(out):]
                    if not out and waiting:
                        time.sleep(0.0005)  # so that pieces arrive as pieces
            except (ConnectionResetError, BrokenPipeError):
                break
    return b"".join(received)


def _recent(text: str) -> int | None:
    """The time a date names, if it is one of the last hour."""
    when = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
    return int(when.timestamp()) if abs(when.timestamp() - time.time()) < 3600 else None


def _undated(body: bytes) -> bytes:
    """A listing, its new entries as good as any other new ones; and a drive, where volumed may
    have made a folder for itself."""
    body = re.sub(rb'(?<="name":"sv0[01]", "type":"directory", "mtime":)"[^"]*"', b'"DRIVE"', body)
    return re.sub(rb'"mtime":"([^"]*)"',
                  lambda m: b'"mtime":"NOW"' if m[1] != b"DRIVE" and _recent(m[1].decode()) else m[0], body)


def unchunk(data: bytes) -> bytes:
    """The body in the chunks, and what follows them, which is compared as well."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return body + data.removeprefix(b"\r\n")
        body, data = body + data[:n], data[n + 2:]
    return body + b" CUT"


@dataclass
class Answer:
    status: int  # 0: bytes without a head (HTTP/0.9)
    reason: str
    fields: dict[str, str]  # names in lower case
    body: bytes

    def __repr__(self):
        body = self.body
        if self.fields.get("content-length") == "PAGE":
            body = b"<page>" if _PAGE.fullmatch(body) else body
        if len(body) > 400:
            body = body[:200] + b" ... " + body[-200:]
        return f"{self.status} {self.reason} {self.fields} {body!r}"


def _normal(match: re.Match, body: bytes, address: tuple[str, int]) -> Answer:
    fields = {}
    for line in match[3].decode("latin-1").split("\r\n")[:-1]:
        name, colon, value = line.partition(": ")
        assert colon and name.lower() not in fields, f"field twice or without colon: {line}"
        fields[name.lower()] = value
    status = int(match[1])
    assert fields.pop("server") in ("nginx", "volumed")
    assert _DATE.fullmatch(fields.pop("date"))
    if status == 412:
        fields.pop("connection", None)  # docs/volumed.md: "the Connection field of a 412"
    if "location" in fields:
        fields["location"] = (fields["location"].replace(f":{address[1]}", ":PORT")
                              .replace(address[0], "ADDRESS"))
    modified = fields.get("last-modified")
    if modified and (when := _recent(modified)):
        fields["last-modified"] = "NOW"
        fields["etag"] = fields["etag"].replace(f'"{when:x}-', '"NOW-')
    if fields.get("transfer-encoding") == "chunked" and body:
        body = unchunk(body)
    body = _undated(body)
    boundary = re.search(r"boundary=(\d{20})$", fields.get("content-type", ""))
    if boundary:
        body = body.replace(boundary[1].encode(), b"B" * 20)
        fields["content-type"] = "multipart/byteranges; boundary=" + "B" * 20
    # An error's page ends with the server's name; so does its length.
    body = _NAME.sub(b"<hr><center>NAME</center>", body)
    if status >= 300 and fields.get("content-type") == "text/html":
        fields["content-length"] = "PAGE"
    return Answer(status, match[2].decode(), fields, body)


def answers(raw: bytes, address: tuple[str, int]) -> list[Answer]:
    """What is in a stream of answers, its last being the probe's where that was answered."""
    raw = raw.replace(CONTINUE, b"")  # docs/volumed.md: "100 Continue"
    heads = list(_HEAD.finditer(raw))
    found = []
    first = heads[0].start() if heads else len(raw)
    if first:
        found.append(Answer(0, "", {}, _NAME.sub(b"<hr><center>NAME</center>", _undated(raw[:first]))))
    for number, head in enumerate(heads):
        end = heads[number + 1].start() if number + 1 < len(heads) else len(raw)
        found.append(_normal(head, raw[head.end():end], address))
    return found
