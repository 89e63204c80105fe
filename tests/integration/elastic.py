"""A cluster of which the master knows the first so many volumes: more are added, others taken
away, and rebalance moves what is there."""

import json
import os
import re
import subprocess
from pathlib import Path

import http_raw
import leveldb
from cluster import Cluster, Volume
from index_records import format_record
from server_process import BIN, SLOW, wait_until

FIVE = {
    "volumed": ["volumed"] * 5,
    "nginx": ["nginx"] * 5,
    "mixed": ["volumed", "nginx", "volumed", "nginx", "volumed"],
}


class Elastic(Cluster):
    used = 3

    def names(self) -> list[str]:
        return [volume.authority for volume in self.volumes[: self.used]]

    def at(self, place: str) -> tuple[Volume, str]:
        name, _slash, sub = place.partition("/")
        (volume,) = [volume for volume in self.volumes if volume.authority == name]
        return volume, sub

    def start(self) -> None:
        """The first time, and again with other volumes, replicas or subvolumes."""
        if self.volumes[0].process is None and not self.volumes[0].log.exists():
            for volume in self.volumes:
                volume.start()
        self.master.flags = self.placing() + self.flags
        self.master.start()

    def placing(self) -> list[str]:
        return [
            *("-volumes", ",".join(self.names())),
            *("-replicas", str(self.replicas), "-subvolumes", str(self.subvolumes)),
        ]

    def command(self, *flags: str, what: str = "rebalance") -> list[str]:
        return [str(BIN / "mkv"), "-db", str(self.master.db), *self.placing(), *flags, what]

    def rebalance(self, *flags: str, status: int = 0) -> str:
        """Without a master; what it wrote."""
        done = subprocess.run(
            self.command(*flags), capture_output=True, text=True, timeout=60 * SLOW, check=False
        )
        assert done.returncode == status, (done.returncode, done.stderr[-4000:])
        return done.stderr

    def rebalance_online(self, status: int = 0) -> str:
        argv = [str(BIN / "mkv"), "-master", self.master.authority, "rebalance"]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=120 * SLOW, check=False
        )
        assert done.returncode == status, (done.returncode, done.stderr[-4000:])
        return done.stderr

    def jobs(self) -> list[dict]:
        answer = self.request("GET", "/", query="jobs")
        assert answer.status == 200 and "json" in answer["Content-Type"]
        return json.loads(answer.body)["jobs"]

    def check_home(self, values: dict[bytes, bytes]) -> None:
        """Every value lies at its key's homes, and nothing else lies anywhere."""
        self.check_running()
        assert self.files() == self.expected(values)
        for key, value in values.items():
            for place in self.homes(key):
                assert self.file(place, key).read_bytes() == value, (key, place)

    def no_strays(self, keys, seconds: float = 20) -> None:
        """Online, what was left is kept for readers for a moment."""
        wait_until(lambda: self.files() == self.expected(keys), seconds, "only files at home")

    def check_records(self, before: tuple[dict, dict], waiting: bool = False) -> None:
        """The index is as it was, but for the places, which are the homes. `waiting`: removals
        may wait for a request of the past that may still arrive."""
        records, others = self.index()
        assert set(records) == set(before[0])
        for key, (state, md5, _places) in before[0].items():
            assert records[key] == (state, md5, self.homes(key)), key
        assert metas(others) == metas(before[1])
        for key, value in others.items():
            if key.startswith(b"places"):
                assert waiting and re.fullmatch(rb"(removal \d+ [1-9]\d* [^\n]+\n)+", value), value

    def write_record(self, key: bytes, state: str, md5: str, places: list[str]) -> None:
        """As the Go program would; no master may run."""
        with leveldb.Database(str(self.master.db)) as db:
            db.put(key, format_record(state, md5, places))

    def set_places(self, key: bytes, text: bytes | None) -> None:
        with leveldb.Database(str(self.master.db)) as db:
            if text is None:
                db.delete(b"places" + key)
            else:
                db.put(b"places" + key, text)


def metas(others: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: value for key, value in others.items() if key.startswith(b"meta")}


def odd_keys(n: int) -> list[bytes]:
    """Keys of all sorts: short and long, with bytes that are no text, with slashes in base64."""
    keys = [b"/k/%d" % i for i in range(n - 4)]
    return keys + [b"/\xff\xfe?&% \xc3\xa9", b"/" + b"x" * 1023, b"/" + b"\xff" * 900, b"/a//b/"]


def fill(cluster: Cluster, keys: list[bytes]) -> dict[bytes, bytes]:
    """Values of several sizes; every fifth key is unlinked."""
    values = {}
    connection = http_raw.Connection(cluster.master.address)
    for i, key in enumerate(keys):
        value = os.urandom((1, 20, 5000, 300_000)[i % 4])
        values[key] = value
        target = http_raw.target(key)
        assert connection.request("PUT", target, value).status == 201
        if i % 5 == 0:
            assert connection.request("UNLINK", target).status == 204
    connection.close()
    return values


def corrupt(path: Path) -> None:
    """One byte is another; nginx's and volumed's files keep their size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
