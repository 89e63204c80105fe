"""The rows of volumed alone beside nginx alone, and of what the machine allows (floor.c)."""

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import http_raw
from cluster import Volume
from loads import wrk
from measure import Failed, Meter, Row, Side
from rows import MIB, Target, writes
from server_process import REPO, Server
from servers import Bench

FLOOR = REPO / "build" / "release" / "bench" / "floor"
LARGE = 256 * MIB
ENTRIES = 20_000
IDLE = 10_000


class Floor(Server):
    """floor.c on a folder, with as many loops as volumed has; without a folder it gives a fixed
    answer."""

    name = "floor"

    def __init__(self, logs: Path, root: Path | None = None):
        super().__init__(logs)
        self.root = root

    def command(self) -> tuple[list[str], dict[str, str]]:
        host, port = self.address
        mode = "-answer" if self.root is None else "-files"
        folder = [] if self.root is None else [str(self.root)]
        loops = len(os.sched_getaffinity(0))
        return [str(FLOOR), mode, host, str(port), str(loops), *folder], {}

    def close(self) -> list[str]:
        if self.process is not None:
            self.kill()
        return []


@contextlib.contextmanager
def running(bench: Bench, make: Callable[[Path], Server]) -> Iterator[Server]:
    """Logs and files of the one server go when it is ended."""
    with bench.subfolder() as folder:
        server = make(folder)
        server.start()
        try:
            yield server
        finally:
            for line in server.close():
                print(f"bench: {line}")


def volumed(bench: Bench, sync: bool = False, flags: Iterable[str] = ()):
    flags = [f"-sync={'true' if sync else 'false'}", *flags]
    return running(bench, lambda folder: Volume(folder, 0, "volumed", folder / "files", flags))


def floor(bench: Bench):
    def make(folder: Path) -> Server:
        (folder / "files").mkdir()
        return Floor(folder, folder / "files")

    return running(bench, make)


def both(bench: Bench, server: Server, name: str, size: int) -> None:
    """The same file on the server and on nginx, a link to it, so that neither has the better
    pages of memory; both must give it back."""
    value = os.urandom(size)
    ours, theirs = (root / name for root in (server.root, bench.yardstick.root))
    for path in (ours, theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    ours.write_bytes(value)
    theirs.hardlink_to(ours)
    for address in (server.address, bench.yardstick.address):
        if http_raw.once(address, "GET", f"/{name}").body != value:
            raise Failed(f"GET /{name} gives something else")


def beside_nginx(bench: Bench, row: Row, server: Server, load: Callable[[Server], Side]) -> None:
    """The same load on the server and on nginx."""
    bench.turns(row, lambda: load(server), lambda: load(bench.yardstick))


def small_gets(bench: Bench, row: Row, server: Server) -> None:
    name, seconds = "sv00/aa/bb/hundred", bench.options.seconds
    both(bench, server, name, 100)
    beside_nginx(bench, row, server, lambda each: wrk(seconds, [each], f"/{name}", "good"))


def vget100(bench: Bench) -> list[Row]:
    row = Row("vget100", "GET 100 B, 100 connections", "requests/s", None)
    limit = Row("vget100limit", "the limit: open, fstat, read, close, one send", "requests/s", None)
    with volumed(bench) as server:
        small_gets(bench, row, server)
    with floor(bench) as server:
        small_gets(bench, limit, server)
    return [row, limit]


@contextlib.contextmanager
def idle(server: Server, path: str) -> Iterator[None]:
    """Clients that were served once, and say nothing more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            client = stack.enter_context(socket.create_connection(server.address, 60))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            if not client.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise Failed(f"GET {path} goes wrong with idle connections")
        yield


def vidle(bench: Bench) -> list[Row]:
    what = f"GET 100 B beside {IDLE:,} idle connections / volumed without them"
    row = Row("vidle", what, "requests/s", None)
    path, seconds = "/hundred", bench.options.seconds
    with volumed(bench, flags=["-idle-timeout", "1h"]) as busy, volumed(bench) as alone:
        for server in (busy, alone):
            (server.root / path[1:]).write_bytes(os.urandom(100))
        with idle(busy, path):
            bench.turns(
                row,
                lambda: wrk(seconds, [busy], path, "good"),
                lambda: wrk(seconds, [alone], path, "good"),
            )
    return [row]


def vanswer(bench: Bench) -> list[Row]:
    """No file at all: what HTTP over a socket costs at the least."""
    row = Row("vanswer", "the limit: 100 fixed bytes / nginx `return 404`", "requests/s", None)
    seconds = bench.options.seconds
    with running(bench, Floor) as server:
        bench.turns(
            row,
            lambda: wrk(seconds, [server], "/", "good"),
            lambda: wrk(seconds, [bench.yardstick], "/.nginx/x", "bad"),
        )
    return [row]


def vget1m(bench: Bench) -> list[Row]:
    row = Row("vget1m", "GET 1 MiB, 16 connections", "MiB/s", None)
    name, seconds = "sv00/aa/bb/mebi", bench.options.seconds
    with volumed(bench) as server:
        both(bench, server, name, MIB)
        beside_nginx(
            bench,
            row,
            server,
            lambda each: wrk(seconds, [each], f"/{name}", "good", connections=16),
        )
    return [row]


def read_on(seconds: int, server: Server, path: str, length: int) -> Side:
    """GETs over one connection, received into a buffer of 1 MiB."""
    buffer = memoryview(bytearray(MIB))
    meter = Meter([server])
    began = time.monotonic()
    requests = 0
    errors = []
    with socket.create_connection(server.address, 60) as connection:
        while not errors and time.monotonic() < began + seconds:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            got = connection.recv_into(buffer)
            head, end, body = bytes(buffer[:got]).partition(b"\r\n\r\n")
            left = length - len(body)
            while got and left > 0:
                got = connection.recv_into(buffer)
                left -= got
            requests += 1
            if not head.startswith(b"HTTP/1.1 200 ") or not end or left:
                errors.append(f"GET {path} gives {head[:20]!r} and {length - left} bytes")
    took = time.monotonic() - began
    return Side(requests * length / MIB / took, meter.each(requests), errors)


def vget256m(bench: Bench) -> list[Row]:
    row = Row("vget256m", "GET 256 MiB, one connection", "MiB/s", None)
    name, seconds = "sv00/aa/bb/large", bench.options.seconds
    with volumed(bench) as server:
        both(bench, server, name, LARGE)
        beside_nginx(
            bench, row, server, lambda each: read_on(seconds, each, f"/{name}", LARGE)
        )
        for root in (server.root, bench.yardstick.root):
            (root / name).unlink()
    return [row]


def one_writes(bench: Bench, put: Row, delete: Row | None, size: int, sync: bool) -> list[Row]:
    connections = 16 if size < MIB else 8
    nginx = Target([bench.yardstick], places=True)
    with volumed(bench, sync) as server:
        writes(bench, Target([server], places=True), nginx, put, delete, size, connections)
        left = server.files()
    if left:
        put.errors.append(f"{len(left)} files are left after all DELETEs")
    return [put, delete] if delete else [put]


def vput20(bench: Bench) -> list[Row]:
    put = Row("vput20", "PUT 20 B, 16 connections", "requests/s", None)
    delete = Row("vdelete", "DELETE, 16 connections", "requests/s", None)
    return one_writes(bench, put, delete, 20, sync=False)


def vput20sync(bench: Bench) -> list[Row]:
    put = Row("vput20sync", "the same PUT with -sync=true", "requests/s", None)
    delete = Row("vdeletesync", "the same DELETE with -sync=true", "requests/s", None)
    return one_writes(bench, put, delete, 20, sync=True)


def vput20limit(bench: Bench) -> list[Row]:
    put = Row("vput20limit", "the limit: make folders, open, write, close", "requests/s", None)
    delete = Row("vdeletelimit", "the limit: one unlink", "requests/s", None)
    nginx = Target([bench.yardstick], places=True)
    with floor(bench) as server:
        writes(bench, Target([server], places=True), nginx, put, delete, 20, 16)
    return [put, delete]


def vput1m(bench: Bench) -> list[Row]:
    put = Row("vput1m", "PUT 1 MiB, 8 connections", "MiB/s", None)
    return one_writes(bench, put, None, MIB, sync=False)


def vput1msync(bench: Bench) -> list[Row]:
    put = Row("vput1msync", "the same with -sync=true", "MiB/s", None)
    return one_writes(bench, put, None, MIB, sync=True)


def vlist(bench: Bench) -> list[Row]:
    row = Row("vlist", f"the listing of {ENTRIES:,} files, 2 connections", "requests/s", None)
    seconds = bench.options.seconds
    with volumed(bench) as server:
        for root in (server.root, bench.yardstick.root):
            folder = root / "many"
            folder.mkdir(exist_ok=True)
            for n in range(ENTRIES):
                (folder / f"L2tleS{n:06d}").write_bytes(b"")
        beside_nginx(
            bench, row, server, lambda each: wrk(seconds, [each], "/many/", "good", connections=2)
        )
    return [row]


ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "vanswer": vanswer,
    "vget100": vget100,
    "vidle": vidle,
    "vget1m": vget1m,
    "vget256m": vget256m,
    "vput20": vput20,
    "vput20sync": vput20sync,
    "vput20limit": vput20limit,
    "vput1m": vput1m,
    "vput1msync": vput1msync,
    "vlist": vlist,
}
# From the same turns.
SAME = {
    "vget100limit": "vget100",
    "vdelete": "vput20",
    "vdeletesync": "vput20sync",
    "vdeletelimit": "vput20limit",
}
