"""Clients that are slow, silent or very many, and a server out of descriptors: each is cut at its
limit and holds no more than its buffers, and the others are answered."""

import os
import resource
import select
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import Cluster, Volume
from drives import MIB
from http_raw import Connection, Wire, once
from server_process import SANITIZER, Server, wait_until
from volume_client import Client, everything, running

LIMITS = ("-head-timeout", "-body-timeout", "-send-timeout", "-idle-timeout")
BIG = 32 * MIB
ASK_BIG = b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n"


def limited_to(limit: str, folder: Path) -> Volume:
    flags = [word for name in LIMITS for word in (name, limit)]
    return Volume(folder, 0, "volumed", folder / "volume", flags)


@pytest.fixture
def volume(tmp_path):
    return limited_to("1s", tmp_path)


@pytest.fixture
def patient(tmp_path):
    """Where a test has something to do before the limit, on a machine that may be busy."""
    return limited_to("4s", tmp_path)


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def rss(server: Server) -> int:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@contextmanager
def serving_big(volume: Volume) -> Iterator[None]:
    """It runs, and has what ASK_BIG asks for: more than sockets take at once."""
    with running(volume):
        (volume.root / "big").write_bytes(b"b" * BIG)
        yield


@contextmanager
def cutting(volume: Volume, room: int) -> Iterator[int]:
    """What is connected in here costs the server less memory than `room` and the others nothing,
    and is cut. Gives its descriptors before."""
    Client(volume).works("sv00")
    before, memory = descriptors(volume), rss(volume)
    yield before
    grown = rss(volume) - memory
    Client(volume).works("sv00")
    wait_until(lambda: descriptors(volume) <= before, 20, "they are cut")
    print(f"grown by {grown // 1024} KiB")
    assert SANITIZER or grown < room


def wait_for_end(wire: Wire) -> None:
    """Until the server has ended the connection; what it sent before is dropped."""
    wire.socket.settimeout(30)
    try:
        while wire.socket.recv(65536):
            pass
    except ConnectionError:
        pass


def crumbs(wire: Wire, data: bytes) -> bool:
    """Byte by byte, each well within the limit. Did the server end it before the last?"""
    for number in range(len(data)):
        try:
            wire.send(data[number : number + 1])
        except OSError:
            return True
        if select.select([wire.socket], [], [], 0.2)[0]:
            return True
    return False


PUT = b"PUT /sv00/aa/half HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET /big HTTP/1.1\r\nHost: h",
        PUT,
        PUT + b"v" * 999_999,
        b"PUT /sv00/aa/half HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n",
        b"DELETE /none HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n123",
    ],
    ids=["nothing", "letter", "head", "no body", "body", "chunk", "idle", "unread body"],
)
def test_silent(volume, sent):
    with running(volume):
        Client(volume).works("sv00")
        before, tree = descriptors(volume), everything(volume.root)
        with Wire(volume.address) as wire:
            wire.send(sent)
            begun = time.monotonic()
            wait_for_end(wire)
            print(f"cut after {time.monotonic() - begun:.1f} s")
        wait_until(lambda: descriptors(volume) <= before, 10, "descriptors given back")
        assert everything(volume.root) == tree
        Client(volume).works("sv00")


def test_a_head_in_crumbs(volume):
    """Each byte comes in time, the head does not."""
    with running(volume), Wire(volume.address) as wire:
        assert crumbs(wire, b"GET /none HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 100)


def test_readers_that_take_nothing(patient):
    """They are cut, and the file is not in our memory meanwhile."""
    with serving_big(patient), cutting(patient, 8 * MIB) as before:
        wires = [Wire(patient.address) for _ in range(100)]
        for wire in wires:
            wire.send(ASK_BIG)
        wait_until(lambda: all(wire.readable() for wire in wires), 20, "the beginnings")
        assert descriptors(patient) >= before + 100
    for wire in wires:
        wire.close()


def test_a_reader_in_crumbs(volume):
    """A byte now and then is nothing that the server sees taken."""
    with serving_big(volume), Wire(volume.address) as wire:
        wire.send(ASK_BIG)
        wait_until(wire.readable, 10, "the beginning")
        before = descriptors(volume)
        deadline = time.monotonic() + 30
        while descriptors(volume) >= before:
            assert len(wire.socket.recv(1)) == 1
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_steady_reader_is_not_cut(patient):
    """For longer than the limit, but always something."""
    with serving_big(patient), Wire(patient.address) as wire:
        wire.send(ASK_BIG)
        left, begun = BIG, time.monotonic()
        while left > 0:
            got = len(wire.socket.recv(MIB))
            assert got, "cut"
            left -= got
            if time.monotonic() < begun + 5:
                time.sleep(0.1)


def test_bodies_that_stop(patient):
    """What has come of them is not all in memory."""
    with running(patient):
        with cutting(patient, 64 * MIB):
            wires = [Wire(patient.address) for _ in range(300)]
            for number, wire in enumerate(wires):
                size = 200_000 if number % 2 else 2_000_000
                head = f"PUT /sv00/aa/{number} HTTP/1.1\r\nHost: h\r\nContent-Length: {size}"
                wire.send(head.encode() + b"\r\n\r\n" + b"v" * 199_999)
        for wire in wires:
            wire.close()
        assert everything(patient.root / "sv00") == ["aa", "aa/bb"]


# --- very many ---------------------------------------------------------------------------------
def allow_descriptors(wanted: int) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        pytest.skip(f"the limit of descriptors is {hard}, not {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def median(address: tuple[str, int], method: str, path: str, body: bytes | None) -> float:
    """Microseconds."""
    connection = Connection(address)
    took = []
    for number in range(50):
        begun = time.monotonic()
        assert connection.request(method, f"{path}{number}", body).status in (201, 404)
        took.append(time.monotonic() - begun)
    connection.close()
    return statistics.median(took) * 1e6


@pytest.mark.parametrize("program", ["volumed", "mkv"])
def test_idle_connections(program):
    many = 10_000 if not SANITIZER else 1_000
    allow_descriptors(many + 1500)
    with Cluster(["volumed"], replicas=1, subvolumes=1, flags=["-sync=false"]) as cluster:
        server = cluster.master if program == "mkv" else cluster.volumes[0]
        ask = b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n"
        before = [median(server.address, "GET", "/none", None)]
        before.append(median(server.address, "PUT", "/before", b"value"))
        memory = rss(server)
        idle = []
        for _ in range(many):
            made = socket.create_connection(server.address)
            made.sendall(ask)
            idle.append(made)
        for made in idle:
            assert made.recv(4096).startswith(b"HTTP/1.1 404")
        grown = rss(server) - memory
        assert descriptors(server) > many
        after = [median(server.address, "GET", "/none", None)]
        after.append(median(server.address, "PUT", "/after", b"value"))
        for what, one, two in zip(("GET", "PUT"), before, after):
            print(f"{program} {what}: {one:.0f} us alone, {two:.0f} us with {many} idle")
        print(f"{program}: {grown / many:.0f} bytes a connection, {grown // 1024} KiB in all")
        assert SANITIZER or grown < 64 * MIB
        # They are still there.
        for made in idle[:: many // 50]:
            made.sendall(ask)
            assert made.recv(4096).startswith(b"HTTP/1.1 404")
        for made in idle:
            made.close()
        wait_until(lambda: descriptors(server) < many // 10, 20, "descriptors given back")


# --- out of descriptors --------------------------------------------------------------------------
class Limited(Volume):
    """100 descriptors, and few threads that could want them."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        return ["prlimit", "--nofile=100:100", "--", argv[0], "-threads", "3", *argv[1:]], env


def test_more_connections_than_descriptors(tmp_path):
    """Those that are let in are served, files and all; the others wait for their turn."""
    with running(Limited(tmp_path, 0, "volumed", tmp_path / "volume")) as volume:
        wires = [Wire(volume.address) for _ in range(300)]
        for number, wire in enumerate(wires):
            head = f"PUT /sv00/{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nvalue"
            wire.send(head.encode())
        answered, turns = 0, 0
        while wires:
            wait_until(lambda: any(wire.readable() for wire in wires), 10, "someone's turn")
            ready = [wire for wire in wires if wire.readable()]
            for wire in ready:
                assert wire.answer().status == 201
                wire.send(b"GET /sv00/0 HTTP/1.1\r\nHost: h\r\n\r\n")
                assert wire.answer().status in (200, 404)
            assert descriptors(volume) <= 100
            answered, turns = answered + len(ready), turns + 1
            for wire in ready:
                wire.close()
            wires = [wire for wire in wires if wire not in ready]
        assert answered == 300 and turns > 1
        assert len(list((volume.root / "sv00").iterdir())) == 300
        log = [line for line in volume.log.read_text().splitlines() if "accepting paused" in line]
        assert 1 <= len(log) <= 60
        Client(volume).works("sv00")


def test_no_descriptor_for_a_file(tmp_path):
    """503, said once a second; the connection goes on, and all is well afterwards."""
    with running(Volume(tmp_path, 0, "volumed", tmp_path / "volume")) as volume:
        Client(volume).works("sv00")
        client = Client(volume)
        assert client.ask("PUT", "/sv00/value", b"value") == 201
        limit = ["prlimit", "--pid", str(volume.pid)]
        subprocess.run([*limit, "--nofile=4:"], check=True)
        begun = time.monotonic()
        for _ in range(50):
            for method in ("GET", "PUT", "DELETE"):
                body = b"value" if method == "PUT" else None
                assert client.ask(method, "/sv00/value", body) == 503
                assert client.ask(method, "/sv00/aa/value", body) == 503
            assert client.ask("GET", "/sv00/") == 503
        seconds = time.monotonic() - begun
        subprocess.run([*limit, "--nofile=1000:"], check=True)
        log = [l for l in volume.log.read_text().splitlines() if "Too many open files" in l]
        assert 1 <= len([l for l in log if "cannot" in l]) <= seconds + 1, log
        assert client.ask("GET", "/sv00/value") == 200
        client.works("sv00")
        assert once(volume.address, "GET", "/sv00/value").body == b"value"
        assert everything(volume.root / "sv00") == ["aa", "aa/bb", "value"]
