"""The servers that are measured: clusters, and the bare nginx beside them."""

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
from cluster import Cluster, Volume
from loads import PREFIX, VALUE, key_of, load
from measure import Failed, Row, Side, output
from server_process import REPO, Server, free_address

FILL = REPO / "build" / "release" / "bench" / "fill"
VOLUMES = 3
MANY_KEYS = 10_000_000


def link_index(index: Path, copy: Path) -> None:
    """Tables are never written again, so they can be shared."""
    copy.mkdir()
    for file in index.iterdir():
        if file.suffix == ".ldb":
            os.link(file, copy / file.name)
        elif file.name != "LOCK":
            shutil.copy(file, copy / file.name)


def memory(server: Server) -> str:
    """What it has now: of its own, and of files that it has mapped (which the kernel takes back
    when it likes)."""
    found = {}
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name in ("RssAnon", "RssFile", "RssShmem"):
            found[name] = int(value.split()[0]) >> 10
    mapped = found["RssFile"] + found["RssShmem"]
    return f"{found['RssAnon']} MiB of its own, {mapped} MiB mapped"


def put_values(servers: list[Server], keys: int) -> None:
    side = load(servers, "PUT", keys, 0, size=len(VALUE), expect=201)
    if side.errors:
        raise Failed("; ".join(side.errors))


class FilledCluster(Cluster):
    """Its index held keys before its master started."""


class Bench:
    """Where the data goes, and what runs."""

    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder = options, folder
        self.number = 0  # of folders so far
        self._yardstick: Volume | None = None
        self._yardstick_readable = False
        # Of a filled index.
        self.many_keys = options.keys or MANY_KEYS
        # Those below may be there beforehand.
        self.next_key = max(self.many_keys, options.read)
        # Of the volumes that a filled index names.
        self.addresses = [free_address() for _ in range(VOLUMES)]

    def close(self) -> None:
        if self._yardstick is not None:
            self._yardstick.close()

    @property
    def yardstick(self) -> Volume:
        """nginx by itself, set up as scripts/volume does it for a volume; /.nginx there is
        `return 404`."""
        if self._yardstick is None:
            logs = self.folder / "logs"
            logs.mkdir(exist_ok=True)
            self._yardstick = Volume(logs, 0, "nginx", self.folder / "yardstick")
            self._yardstick.start()
        return self._yardstick

    @contextlib.contextmanager
    def subfolder(self) -> Iterator[Path]:
        """A new folder, which goes at the end."""
        self.number += 1
        folder = self.folder / f"servers{self.number}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def cluster(self, sync: bool, keys: int | None = None) -> Iterator[Cluster]:
        """Three volumes and a master, nothing in them but so many keys in the index: --keys."""
        self.number += 1
        filled = self.options.keys if keys is None else keys
        flag = f"-sync={'true' if sync else 'false'}"
        cluster = (FilledCluster if filled else Cluster)(
            [self.options.volumes] * VOLUMES,
            flags=[flag],
            volume_flags=[flag],
            folder=self.folder / f"cluster{self.number}",
            start=False,
        )
        if filled:
            for volume, address in zip(cluster.volumes, self.addresses, strict=True):
                volume.address = address
            link_index(self.filled, cluster.folder / "index")
        try:
            cluster.start()
            if filled and [volume.address for volume in cluster.volumes] != self.addresses:
                raise Failed("somebody took a volume's port: once more, please")
            yield cluster
            if self.options.keys:
                print(f"  the master's memory: {memory(cluster.master)}", file=sys.stderr)
        finally:
            for line in cluster.close():
                print(f"bench: {line}", file=sys.stderr)
            shutil.rmtree(cluster.folder, ignore_errors=True)

    @property
    def filled(self) -> Path:
        """An index of many keys, the same for every cluster."""
        index = self.folder / "filled"
        if not index.exists():
            volumes = ["%s:%d" % address for address in self.addresses]
            argv = [str(FILL), str(index), str(self.many_keys), PREFIX, str(len(VALUE))]
            began = time.monotonic()
            output([*argv, *volumes])
            size = sum(file.stat().st_size for file in index.iterdir())
            print(
                f"  an index of {self.many_keys:,} keys in {time.monotonic() - began:.0f} s: "
                f"{size / self.many_keys:.1f} bytes a key",
                file=sys.stderr,
            )
        return index

    def make_yardstick_readable(self) -> None:
        if not self._yardstick_readable:
            put_values([self.yardstick], self.options.read)
            self._yardstick_readable = True

    def make_readable(self, cluster: Cluster) -> None:
        """The first --read keys have their values: files alone where the index holds the keys."""
        if not isinstance(cluster, FilledCluster):
            put_values(cluster.servers(), self.options.read)
            return
        for n in range(self.options.read):
            key = key_of(n).encode()
            for place in cluster.homes(key):
                file = cluster.file(place, key)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(VALUE)

    def turns(self, row: Row, ours: Callable[[], Side], yardstick: Callable[[], Side]) -> Row:
        """As many rounds as were asked for."""

        def settled(turn: Callable[[], Side]) -> Callable[[], Side]:
            def run() -> Side:
                self.settle()
                return turn()

            return run

        return measure.take_turns(self.options.rounds, row, settled(ours), settled(yardstick))

    def settle(self) -> None:
        """Before a turn: what the one before left unwritten is no load of this one."""
        if self.options.disk:
            os.sync()
