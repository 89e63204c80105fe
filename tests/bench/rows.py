"""The rows, one function for what is measured together. What each is: docs/benchmarks.md."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import http_raw
from loads import VALUE, key_of, load, wrk
from measure import Failed, Meter, Row, Side, children_cpu, output
from server_process import Server
from servers import Bench

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
# A turn of large PUTs stands on tmpfs three times over until it is deleted.
LARGE_PER_TURN = 512 * MIB


def missing(bench: Bench) -> list[Row]:
    row = Row("missing", "GET of a missing key / nginx `return 404`", "requests/s", 0.62)
    with bench.cluster(sync=False) as cluster:
        for address, path in ((cluster.master.address, "/none"), (bench.yardstick.address, "/.nginx/x")):
            status = http_raw.once(address, "GET", path).status
            if status != 404:
                raise Failed(f"GET {path} gives {status}, not 404")
        bench.turns(
            row,
            lambda: wrk(bench.options.seconds, cluster.servers(), "/none", "bad"),
            lambda: wrk(bench.options.seconds, [bench.yardstick], "/.nginx/x", "bad"),
        )
    return [row]


def redirect(bench: Bench) -> list[Row]:
    row = Row("redirect", "GET, the redirect / nginx GET of 100 bytes", "requests/s", 0.35)
    bench.make_yardstick_readable()
    with bench.cluster(sync=False) as cluster:
        bench.make_readable(cluster)
        for n in range(0, bench.options.read, 10):
            if cluster.read(key_of(n)) != VALUE:
                raise Failed(f"{key_of(n)} reads back wrong")
        bench.turns(row, asking(bench, cluster.servers()), asking(bench, [bench.yardstick]))
    return [row]


def asking(
    bench: Bench, servers: list[Server], first: int = 0, wanted: str = "good"
) -> Callable[[], Side]:
    """GETs of --read keys in turn: those that can be read, or others."""
    paths = bench.folder / f"paths{first}"
    paths.write_text("".join(f"{key_of(first + n)}\n" for n in range(bench.options.read)))
    script = [str(HERE / "redirect.lua"), str(paths)]
    return lambda: wrk(bench.options.seconds, servers, "/", wanted, *script)


@dataclass
class Target:
    """Who is written to: the first of the servers, the others being those behind it. A volume is
    given the paths that a master would choose (`places`)."""

    servers: list[Server]
    places: bool = False

    def turn(self, bench: Bench, size: int, connections: int, keys: int, first: int):
        """PUTs of so many keys, and the DELETEs of them."""
        flags: dict[str, object] = {"places": True} if self.places else {}
        bench.settle()
        put = {**flags, "c": connections, "size": size, "expect": 201}
        written = load(self.servers, "PUT", keys, first, **put)
        bench.settle()
        gone = {**flags, "c": 16, "expect": 204}
        return written, load(self.servers, "DELETE", keys, first, **gone)


def writes(
    bench: Bench, ours: Target, theirs: Target, put: Row, delete: Row | None, size: int,
    connections: int,
) -> None:
    """PUTs of keys never used before, and the DELETEs of them. A turn is the same number of keys
    for both sides, so that both make the same folders; how many comes from a first turn of ours
    that does not count."""
    scale = size / MIB if put.unit == "MiB/s" else 1
    most = max(connections, LARGE_PER_TURN // size)
    first = bench.next_key
    keys = min(most, 500)
    rate = ours.turn(bench, size, connections, keys, first)[0].figure
    theirs.turn(bench, size, connections, keys, first)
    first += keys
    keys = max(connections * 4, min(int(rate * bench.options.seconds), most))
    for number in range(bench.options.rounds):
        order = [ours, theirs] if number % 2 == 0 else [theirs, ours]
        sides = [target.turn(bench, size, connections, keys, first) for target in order]
        if number % 2:
            sides.reverse()
        first += keys
        for row, a, b in zip((put, delete), *sides, strict=True):
            if row is not None:
                factor = scale if row is put else 1
                a.figure *= factor
                b.figure *= factor
                row.add(a, b)
                row.progress()
    bench.next_key = first


def cluster_writes(
    bench: Bench, put: Row, delete: Row | None, size: int, connections: int, sync: bool
) -> list[Row]:
    with bench.cluster(sync) as cluster:
        nginx = Target([bench.yardstick], places=True)
        writes(bench, Target(cluster.servers()), nginx, put, delete, size, connections)
        left = cluster.files()
    if left:
        put.errors.append(f"{len(left)} files are left on the volumes after all DELETEs")
    return [put, delete] if delete else [put]


def put20(bench: Bench) -> list[Row]:
    put = Row("put20", "PUT 20 B ×3, 16 connections / nginx, one PUT", "requests/s", 0.56)
    delete = Row("delete", "DELETE ×3, 16 connections / nginx, one DELETE", "requests/s", 0.74)
    return cluster_writes(bench, put, delete, 20, 16, sync=False)


def put20sync(bench: Bench) -> list[Row]:
    put = Row("put20sync", "the same PUT, mkv with -sync=true", "requests/s", None)
    delete = Row("deletesync", "the same DELETE, mkv with -sync=true", "requests/s", None)
    return cluster_writes(bench, put, delete, 20, 16, sync=True)


def put1m(bench: Bench) -> list[Row]:
    put = Row("put1m", "PUT 1 MiB ×3, 8 connections / nginx, one PUT", "MiB/s", 0.31)
    return cluster_writes(bench, put, None, MIB, 8, sync=False)


def put1g(bench: Bench) -> list[Row]:
    row = Row("put1g", "PUT 1 GiB ×3 / three `cp` at once", "s", 4.4, lower_is_better=True)
    source = bench.folder / "source"
    block = os.urandom(MIB)
    with open(source, "wb") as out:
        for _ in range(1024):
            out.write(block)

    with bench.cluster(sync=False) as cluster:

        def ours() -> Side:
            key = f"/large/{bench.next_key}"
            bench.next_key += 1
            url = "http://%s:%d%s" % (*cluster.master.address, key)
            meter = Meter(cluster.servers())
            began = time.monotonic()
            status = output(
                ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "-T", str(source), url]
            )
            took, cpu = time.monotonic() - began, meter.each(1)
            errors = [] if status == "201" else [f"PUT of 1 GiB: {status}"]
            kept = sum(f.stat().st_size for f in cluster.key_files(key.encode()))
            if kept != 3 << 30:
                errors.append(f"{kept} bytes on the volumes")
            if cluster.delete(key).status != 204:
                errors.append("its DELETE failed")
            return Side(took, cpu, errors)

        def three_copies() -> Side:
            copies = [bench.folder / f"copy{n}" for n in range(3)]
            spent = children_cpu()
            began = time.monotonic()
            running = [subprocess.Popen(["cp", str(source), str(copy)]) for copy in copies]
            failed = [process.wait() for process in running]
            took = time.monotonic() - began
            for copy in copies:
                copy.unlink(missing_ok=True)
            spent = children_cpu() - spent
            return Side(took, spent, ["cp failed"] if any(failed) else [])

        with open(source, "rb", buffering=0) as warm:
            while warm.read(MIB):
                pass
        bench.turns(row, ours, three_copies)
        print(f"  the master's peak RSS: {cluster.master.peak_rss() / MIB:.0f} MiB", file=sys.stderr)
    source.unlink()
    return [row]


ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "missing": missing,
    "redirect": redirect,
    "put20": put20,
    "put20sync": put20sync,
    "put1m": put1m,
    "put1g": put1g,
}
# put20 and delete come from the same turns.
SAME = {"delete": "put20", "deletesync": "put20sync"}
