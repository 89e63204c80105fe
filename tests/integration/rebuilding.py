"""What the tests of `mkv rebuild` share: clusters whose files and index are made by hand, running
the command, and looking at what it made."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import leveldb
from cluster import Cluster
from index_records import format_record
from server_process import BIN, COMPLAINTS, SLOW

Record = tuple[str, str, list[str]]

CLEAN, FAILED, TOLD = 0, 1, 3


def command(cluster: Cluster, *more: str, volumes: Iterable[str] | None = None) -> list[str]:
    return [
        *(str(BIN / "mkv"), "-db", str(cluster.master.db), "-replicas", str(cluster.replicas)),
        *("-subvolumes", str(cluster.subvolumes)),
        *("-volumes", ",".join(volumes or cluster.names())),
        *more,
        "rebuild",
    ]


def rebuild(
    cluster: Cluster, status: int, *more: str, volumes: Iterable[str] | None = None
) -> list[str]:
    """Runs it, and returns the lines that it wrote."""
    done = subprocess.run(
        command(cluster, *more, volumes=volumes),
        capture_output=True,
        timeout=120 * SLOW,
        check=False,
    )
    lines = done.stderr.decode(errors="replace").splitlines()
    assert done.returncode == status, (done.returncode, lines)
    assert not [line for line in lines if COMPLAINTS.search(line)], lines
    assert done.stdout == b""
    folder = cluster.master.db
    assert not Path(f"{folder}.rebuild").exists()
    if status == FAILED:
        assert len([line for line in lines if line.startswith("mkv: ")]) == 1, lines
        assert not kept(cluster)
    return lines


def line_with(lines: list[str], *words: str) -> str:
    found = [line for line in lines if all(word in line for word in words)]
    assert len(found) == 1, (words, lines)
    return found[0]


def kept(cluster: Cluster) -> list[Path]:
    """Old indexes, the oldest first."""
    db = cluster.master.db
    return sorted(db.parent.glob(db.name + ".old-*"))


def index(cluster: Cluster, at: Path | None = None) -> tuple[dict[bytes, Record], dict]:
    """Records and all else but the number of the last batch, of an index that nobody has open."""
    db, cluster.master.db = cluster.master.db, at or cluster.master.db
    try:
        records, others = cluster.index()
    finally:
        cluster.master.db = db
    others.pop(b"batch", None)
    return records, others


def write_index(cluster: Cluster, records: dict[bytes, Record], others=None) -> None:
    with leveldb.Database(str(cluster.master.db), create=True) as db:
        for key, record in records.items():
            db.put(key, format_record(*record))
        for key, value in (others or {}).items():
            db.put(key, value)


def write_file(cluster: Cluster, place: str, key: bytes, value=b"a value", age=0) -> Path:
    """As if it had been stored there, so many seconds ago."""
    path = cluster.file(place, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)
    time = path.stat().st_mtime - age
    os.utime(path, (time, time))
    return path


def store(cluster: Cluster, key: bytes, value: bytes = b"a value") -> Record:
    """Files at the key's homes; the record that they should get without an index."""
    for place in cluster.homes(key):
        write_file(cluster, place, key, value)
    return "live", "", cluster.homes(key)


def by_hand(kinds: Iterable[str], **arguments) -> Cluster:
    """Volumes that run, without a master."""
    cluster = Cluster(kinds, start=False, **arguments)
    try:
        for volume in cluster.volumes:
            volume.start()
    except BaseException:
        cluster.close()
        raise
    return cluster


def start_master(cluster: Cluster) -> None:
    cluster.master.flags = [*command(cluster)[3:-1], *cluster.flags]
    cluster.master.start()
