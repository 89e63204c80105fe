"""HTTP as clients speak it to the master: keep-alive, pipelining, chunks, 100-continue, 1.0,
early answers, and curl as the complete client it is meant to be."""

import os
import random
import subprocess

import pytest

import http_raw
from http_raw import Wire, target
from server_process import wait_until

VALUE = b"0123456789"


def curl(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["curl", "-s", "-S", "--max-time", "120", *args], capture_output=True, check=False
    )


def url(cluster, key: bytes) -> str:
    return f"http://{cluster.master.authority}{target(key)}"


def test_curl(cluster, key, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(3_000_000))
    where = url(cluster, key)
    done = curl("-L", "-T", str(source), "-w", "%{http_code}", where)
    assert (done.returncode, done.stdout) == (0, b"201")
    done = curl("-L", "-f", where)
    assert done.returncode == 0 and done.stdout == source.read_bytes()
    done = curl("-L", "-f", "-r", "1000-1999", where)
    assert done.stdout == source.read_bytes()[1000:2000]
    done = curl("-L", "-I", "-f", where)
    assert done.returncode == 0 and b"Content-Length: 3000000" in done.stdout
    done = curl("-L", "-X", "DELETE", "-w", "%{http_code}", where)
    assert done.stdout == b"204"
    done = curl("-L", "-w", "%{http_code}", where)
    assert done.stdout == b"404"
    # -d sends a small body with another Content-Type; -T - sends chunks.
    done = curl("-L", "-X", "PUT", "-d", "bigswag", "-w", "%{http_code}", where)
    assert done.stdout == b"201"
    assert cluster.read(key) == b"bigswag"
    done = subprocess.run(
        ["curl", "-s", "-T", "-", "-w", "%{http_code}", where + "/stdin"],
        input=source.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"201"
    cluster.check_value(key + b"/stdin", source.read_bytes())


@pytest.mark.parametrize("expect", [True, False])
def test_refusal_of_a_large_body_reaches_curl(cluster, key, tmp_path, expect):
    """403 to `curl -T` onto a live key is an answer, not a reset."""
    source = tmp_path / "source"
    with open(source, "wb") as file:
        file.truncate(60 * 1024 * 1024)
    cluster.live(key, VALUE)
    for _ in range(3):
        done = curl(
            "-T", str(source), "-w", "%{http_code}", "-o", str(tmp_path / "answer"),
            *([] if expect else ["-H", "Expect:"]), url(cluster, key),
        )
        assert (done.returncode, done.stdout) == (0, b"403"), done.stderr
        assert (tmp_path / "answer").read_bytes().strip()
    cluster.check_value(key, VALUE)


def test_refusal_reaches_a_client_that_sends_all_first(cluster, key):
    """A client that reads nothing before its whole body is out gets the answer as well."""
    cluster.live(key, VALUE)
    answer = cluster.put(key, b"x" * (20 * 1024 * 1024))
    assert answer.status == 403


def test_expect_continue(cluster, key):
    head = b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    with Wire(cluster.master.address) as wire:
        wire.send(head % key)
        assert wire.answer().status == 100
        wire.send(VALUE)
        assert wire.answer().status == 201
        # The same connection, and now the key is live: no 100, no body asked for.
        wire.send(head % key)
        assert wire.answer().status == 403
    cluster.check_value(key, VALUE)


def test_chunked(cluster, key):
    value = random.Random(2).randbytes(700_000)
    with Wire(cluster.master.address) as wire:
        wire.send(b"PUT %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % key)
        at, size = 0, 1
        while at < len(value):
            piece = value[at : at + size]
            extension = b";name=value" if size % 2 else b""
            wire.send(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
            at, size = at + size, size * 3 + 1
        wire.send(b"0\r\nTrailer: ignored\r\n\r\n")
        assert wire.answer().status == 201
        wire.send(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % key)
        assert wire.answer().status == 302
    cluster.check_value(key, value)


def test_http_1_0(cluster, key):
    with Wire(cluster.master.address) as wire:
        wire.send(b"PUT %s HTTP/1.0\r\nContent-Length: 10\r\n\r\n%s" % (key, VALUE))
        assert wire.answer().status == 201
        assert wire.at_end()
    with Wire(cluster.master.address) as wire:
        wire.send(b"GET %s HTTP/1.0\r\n\r\n" % key)
        answer = wire.answer()
        assert answer.status == 302 and answer["Connection"].lower() == "close"
        assert wire.at_end()
    with Wire(cluster.master.address) as wire:
        for _ in range(2):
            wire.send(b"HEAD %s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % key)
            answer = wire.answer("HEAD")
            assert answer.status == 302 and answer["Connection"].lower() == "keep-alive"
    cluster.check_value(key, VALUE)


def test_pipelining(cluster, key):
    keys = [key + b"/%d" % number for number in range(5)]
    asked = []
    for this in keys:
        asked.append(("PUT", 201))
    for this in keys:
        asked += [("GET", 302), ("HEAD", 302), ("PUT", 403), ("DELETE", 204), ("GET", 404)]
    sent = b""
    for number, this in enumerate(keys):
        value = b"%d" % number * 5000
        sent += b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n%s" % (this, value)
    for this in keys:
        sent += b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % this
        sent += b"HEAD %s HTTP/1.1\r\nHost: h\r\n\r\n" % this
        sent += b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz" % this
        sent += b"DELETE %s HTTP/1.1\r\nHost: h\r\n\r\n" % this
        sent += b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % this
    with Wire(cluster.master.address) as wire:
        wire.send(sent)
        assert [(method, wire.answer(method).status) for method, _status in asked] == asked
    for this in keys:
        assert cluster.key_files(this) == []


def test_byte_by_byte(cluster, key):
    with Wire(cluster.master.address) as wire:
        sent = b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n%s" % (key, VALUE)
        sent += b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % key
        for byte in sent:
            wire.send(bytes([byte]))
        assert wire.answer().status == 201
        assert wire.answer().status == 302
    cluster.check_value(key, VALUE)


def test_head_keeps_the_connection(cluster, key):
    cluster.live(key, VALUE)
    with Wire(cluster.master.address) as wire:
        for this, status in ((key, 302), (key + b"/absent", 404), (key, 302)):
            wire.send(b"HEAD %s HTTP/1.1\r\nHost: h\r\n\r\n" % this)
            assert wire.answer("HEAD").status == status


@pytest.mark.parametrize(
    "request_bytes,status",
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", None),
        (b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (
            b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /x HTTP/9.1\r\nHost: h\r\n\r\n", 505),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /x HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 40000 + b"\r\n\r\n", 400),
        (b"BREW /x HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    ],
    ids=lambda v: v[:40].decode() if isinstance(v, bytes) else None,
)
def test_bad_requests(cluster, request_bytes, status):
    before = cluster.files()
    with Wire(cluster.master.address) as wire:
        wire.send(request_bytes)
        answer = wire.answer()
        assert answer.status >= 400
        if status is not None:
            assert answer.status == status
        if answer.body:
            assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert cluster.files() == before


def test_slow_reader_and_idle_connections_hold_nobody_up(cluster, key):
    cluster.live(key, VALUE)
    idle = [Wire(cluster.master.address) for _ in range(200)]
    half = [Wire(cluster.master.address) for _ in range(50)]
    for wire in half:
        wire.send(b"GET %s HTTP/1.1\r\nHo" % key)
    for number in range(50):
        assert cluster.read(key) == VALUE
        assert cluster.put(key + b"/%d" % number, VALUE).status == 201
    for wire in half:
        wire.send(b"st: h\r\n\r\n")
        assert wire.answer().status == 302
    for wire in idle + half:
        wire.close()


def test_descriptors_are_given_back(cluster, key):
    cluster.live(key, VALUE)

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{cluster.master.pid}/fd"))

    for number in range(20):
        cluster.read(key)
    before = descriptors()
    for number in range(300):
        with Wire(cluster.master.address) as wire:
            head = b"PUT %s/%d HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n" % (key, number)
            wire.send(head + b"123")
    for number in range(300):
        http_raw.once(cluster.master.address, "GET", target(key))
    wait_until(lambda: descriptors() <= before + 60, 20, "descriptors given back")
    wait_until(lambda: not cluster.keys(key + b"/"), 5, "nothing of the cut bodies")
    for number in range(300):
        assert cluster.key_files(key + b"/%d" % number) == []
