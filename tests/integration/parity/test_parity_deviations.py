"""Every deliberate difference, under the name it has in the docs' tables: no case is excused that
is not in them, and no row stands there that nothing shows."""

import os
import re
import select
import socket
from pathlib import Path

import pytest

import wire
from cases import Case, Pair, judge, parametrize, request
from drives import made_or_skipped
from server_process import REPO, wait_until
from trees import BIG

DEEP = "/" + ("y" * 200 + "/") * 20  # 4,021 bytes
MSIE = "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"
KEPT = "Connection: keep-alive"


def differs(excuse: str, name: str, *steps: bytes, nginx: tuple[int, ...], volumed: tuple[int, ...],
    changes: bool = False) -> Case:
    return Case(f"{excuse} {name}", steps, excuse, nginx, volumed, changes)


CASES = [
    *[differs("DELETE of a folder, or of a link `sv##` to one", target, request("DELETE", target), nginx=(status,),
        volumed=(409,))
      for target, status in (("/d/", 204), ("/empty/", 204), ("/sv00/aa/", 500), ("/dlink/", 404), ("/sv01", 204),
          ("/d/sub/..", 204))],
    differs("DELETE of a folder, or of a link `sv##` to one", "Depth: infinity",
        request("DELETE", "/d/", "Depth: infinity"), nginx=(204,), volumed=(409,)),
    *[differs("PUT with neither length nor chunks", target, request("PUT", target), nginx=(500,),
        volumed=(411,)) for target in ("/new", "/t", "/n/x")],
    differs("PUT with neither length nor chunks", "1.0", request("PUT", "/new", version="1.0"), nginx=(500,),
        volumed=(411,)),
    *[differs("requests into `.volumed`", f"{method} {target}",
        request(method, target, body=b"x" if method == "PUT" else None), nginx=(status,),
        volumed=(403 if method == "PUT" else 404,))
      for method, target, status in (("PUT", "/.volumed/x", 201), ("PUT", "/sv00/.volumed/x", 201),
          ("GET", "/.volumed/x", 200), ("DELETE", "/.volumed/x", 204))],
    *[differs("a link that leads outside the folder", f"{method} {target}",
        request(method, target, body=b"x" if method == "PUT" else None), nginx=(status,), volumed=(403,))
      for method, target, status in (("GET", "/out/bait", 200), ("HEAD", "/sv00/out/bait", 200),
          ("GET", "/out/", 200), ("GET", "/out", 301), ("PUT", "/out/new", 201), ("PUT", "/sv00/out/n/x", 201),
          ("DELETE", "/out/bait", 204))],
    differs("folders made for a PUT that fails", "too long a name", request("PUT", "/y/" + "x" * 256, body=b"x"),
        nginx=(500,), volumed=(500,)),
    differs("a path of some 4,000 bytes", "4,090", request("PUT", DEEP + "z" * 69, body=b"x"),
        request("GET", DEEP + "z" * 69), nginx=(500, 404), volumed=(201, 200), changes=True),
    differs("a body that nobody wants", "of 2 MiB", request("DELETE", "/nope", body=BIG * 8) + request("GET", "/d/a"),
        nginx=(415, 200), volumed=(415,)),
    differs("a body that nobody wants", "of no end", request("GET", "/t", "Content-Length: 9223372036854775807",
        body=b"abc"), nginx=(200,), volumed=(200,)),
    differs("a body that nobody wants", "after Expect", request("DELETE", "/nope", "Expect: 100-continue",
        body=b"x" * 100) + request("GET", "/d/a"), nginx=(415, 200), volumed=(415,)),
    differs("a `Location` of over 8 KiB", "of a folder", request("GET", "/d?" + "x" * 8150), nginx=(301,),
        volumed=(301,)),
    differs("a `Location` of over 8 KiB", "of a PUT", request("PUT", "/" + "%01" * 200 + "/" + "%02%03" * 100,
        "Host: " + "h" * 7500, body=b"x"), nginx=(201,), volumed=(201,), changes=True),
    differs("empty lines in front of a head, chunk extensions, trailers", "empty lines",
        b"\r\n" * 20000 + request("GET", "/t"), nginx=(200,), volumed=(400,)),
    differs("empty lines in front of a head, chunk extensions, trailers", "an extension",
        request("PUT", "/new", "Transfer-Encoding: chunked", body=b"3;" + b"x" * 9000 + b"\r\nabc\r\n0\r\n\r\n"),
        nginx=(201,), volumed=(400,)),
    differs("empty lines in front of a head, chunk extensions, trailers", "trailers",
        request("PUT", "/new", "Transfer-Encoding: chunked",
            body=b"3\r\nabc\r\n0\r\n" + b"T: x\r\n" * 7000 + b"\r\n"), nginx=(201,), volumed=(400,)),
    differs("a target that nginx cannot decode, and another fault", "TRACE", request("TRACE", "/a%zz"), nginx=(400,),
        volumed=(405,)),
    differs("a target that nginx cannot decode, and another fault", "too large",
        request("GET", "/a%zz", "X: " + "x" * 9000), nginx=(400,), volumed=(400,)),
    differs("a POST of Internet Explorer 6", "", request("POST", "/t", MSIE, body=b"x") + request("GET", "/d/a"),
        nginx=(405,), volumed=(405, 200)),
]
SHOWN_ELSEWHERE = {
    "out of descriptors or memory": "test_volumed_clients.py::test_no_descriptor_for_a_file",
    "a 201": "test_volumed_durable_powercut.py::test_acknowledged_is_on_disk",
    "the 204 and 404 of a DELETE": "test_volumed_durable_trace.py::test_put_and_delete",
}


@pytest.fixture
def outside(pair):
    """A link at the top, and one below a drive, to the folder beside the one that is served."""
    for server in pair.servers:
        (server.root / "out").symlink_to("../outside")
        (server.root / "sv00/out").symlink_to("../../outside")
    pair.pristine = pair.trees()[0]
    yield
    pair.restore()


@parametrize(CASES)
def test_deviations(pair, outside, case):
    judge(pair, case)


def put_onto(where: Path, options: str, remounted: str = "") -> list[int]:
    """What both answer to a PUT onto a drive of its own at /sv0F."""
    with made_or_skipped(where) as drives:  # before the servers start: they are to see it
        pair = Pair(where)
        try:
            for server in pair.servers:
                drive = drives.tmpfs(options, at=server.root / "sv0F")
                if remounted:
                    drive.remount(remounted)
            return [step[0].status for step in pair.ask([request("PUT", "/sv0F/new", body=BIG)])]
        finally:
            pair.close()


# a full drive (also a quota)
def test_full_drive(tmp_path):
    assert put_onto(tmp_path, "size=64k") == [500, 507]


# a read-only drive, no permission to write
def test_read_only_drive(tmp_path):
    assert put_onto(tmp_path, "size=4m", "ro") == [500, 403]


# the folder served is gone, or `sv##` is a link that leads nowhere
def test_drive_that_is_gone(pair):
    for server in pair.servers:
        (server.root / "sv0D").symlink_to("nowhere")
    for method in ("GET", "HEAD", "DELETE"):
        nginx, volumed = pair.ask([request(method, "/sv0D/x")])
        assert (nginx[0].status, volumed[0].status) == (404, 500), method
    pair.restore()


# a body under way
def test_body_under_way(pair):
    wires = [socket.create_connection(server.address) for server in pair.servers]
    try:
        for connection in wires:
            connection.sendall(request("PUT", "/new", body=BIG * 8)[:-1])
        nginx, volumed = (server.root for server in pair.servers)
        wait_until(lambda: [f for _, _, files in os.walk(nginx / ".nginx/body_temp") for f in files], 20,
            "nginx's temporary file")
        wait_until(lambda: any("(deleted)" in file for file in open_files(pair.servers[1].pid)), 20,
            "volumed's file without a name")
        assert [f for _, _, files in os.walk(volumed / ".volumed") for f in files] == []
        assert not (volumed / "new").exists()
    finally:
        for connection in wires:
            connection.close()
    pair.restore()


def open_files(pid: int) -> list[str]:
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            continue  # closed since
    return found


# a second Host, too many fields, too large a head
def test_refused_at_the_end_of_the_head(pair):
    for server, at_once in zip(pair.servers, (True, False)):
        with socket.create_connection(server.address) as connection:
            connection.sendall(b"GET /t HTTP/1.1\r\nHost: h\r\nHost: h\r\n")
            if not at_once:
                assert not select.select([connection], [], [], 0.2)[0]
                connection.sendall(b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


# a link through a file, listed
def test_link_through_a_file(pair):
    for server in pair.servers:
        (server.root / "empty/through").symlink_to("../t/x")
    nginx, volumed = pair.ask([request("GET", "/empty/")])
    assert nginx == []
    assert [answer.status for answer in volumed] == [200, 404] and b'"through", "type":"other"' in volumed[0].body
    pair.restore()


def raw_answers(pair, raw: bytes) -> list[bytes]:
    return [wire.talk(server.address, [raw + wire.PROBE], 0.5) for server in pair.servers]


# `Connection` of a 412
def test_connection_of_a_412(pair):
    nginx, volumed = raw_answers(pair, request("GET", "/t", 'If-Match: "x"'))
    assert b"\r\nConnection: keep-alive\r\n" in nginx and b"\r\nConnection: close\r\n" in volumed
    assert nginx.count(b"HTTP/1.1 ") == volumed.count(b"HTTP/1.1 ") == 1  # the probe has no answer


# the page of an error
def test_page_of_an_error(pair):
    pages = []
    for raw in raw_answers(pair, request("GET", "/nope")):
        head, _, rest = raw.partition(b"\r\n\r\n")
        pages.append(rest.partition(b"HTTP/")[0])
        assert b"\r\nContent-Length: %d\r\n" % len(pages[-1]) in head
    nginx, volumed = pages
    assert nginx != volumed and nginx.replace(b">nginx<", b">volumed<") == volumed


# `100 Continue`
def test_continue(pair):
    whole = raw_answers(pair, request("PUT", "/new", "Expect: 100-continue", body=b"abc"))
    assert [raw.startswith(wire.CONTINUE) for raw in whole] == [True, False]
    for server in pair.servers:
        with socket.create_connection(server.address) as connection:
            connection.sendall(request("PUT", "/new", "Expect: 100-continue", "Content-Length: 3"))
            assert connection.recv(100) == wire.CONTINUE
            connection.sendall(b"abc")
            assert connection.recv(100).startswith(b"HTTP/1.1 204 ")
    pair.restore()


def rows(name: str, heading: str) -> list[str]:
    """The first column of the first table below a heading."""
    text = (REPO / "docs" / name).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:]


def test_docs_and_cases_name_the_same():
    documented = rows("volumed.md", "Deliberate differences") + rows("http.md", "Where it differs from nginx")
    named = {c.excuse for c in CASES} | set(SHOWN_ELSEWHERE)
    # Tests of their own stand below a comment with the row's name.
    named |= set(re.findall(r"^# (.+)\ndef test_", Path(__file__).read_text(), re.MULTILINE))
    assert len(documented) > 15 and sorted(documented) == sorted(named)
    for where in SHOWN_ELSEWHERE.values():
        file, _, test = where.partition("::")
        assert f"def {test}(" in (REPO / "tests/integration" / file).read_text()
