"""Very many small keys, made without a master: their files directly on the file system, and what an
index holds of them. And faults among them."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Process
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import placement  # noqa: E402
from cluster import Cluster  # noqa: E402

VALUE = b"a value of 20 bytes."
MAKERS = 2
PLANTED = 100  # faults of each kind
OLD = 30 * 24 * 3600  # seconds: an orphan's age


def name_of(i: int) -> bytes:
    return b"/bench/%08d" % i


def _make(roots: dict[str, Path], keys: int, replicas: int, subvolumes: int, first: int) -> None:
    names, made = list(roots), set()
    os.umask(0)  # nginx runs as another user
    for i in range(first, keys, MAKERS):
        key = name_of(i)
        path = placement.disk_path(key)
        for place in placement.homes(key, names, replicas, subvolumes):
            name, _slash, sub = place.partition("/")
            file = f"{roots[name]}/{sub}{path}" if sub else f"{roots[name]}{path}"
            folder = os.path.dirname(file)
            if folder not in made:
                os.makedirs(folder, exist_ok=True)
                made.add(folder)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(descriptor, VALUE)
            os.close(descriptor)


def make_files(roots: dict[str, Path], keys: int, replicas: int, subvolumes: int) -> None:
    """`roots`: the volumes, by name, in the order of -volumes."""
    makers = [
        Process(target=_make, args=(roots, keys, replicas, subvolumes, first))
        for first in range(MAKERS)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
        assert maker.exitcode == 0


def is_unlinked(i: int) -> bool:
    return i % 10 == 0


def has_md5(i: int) -> bool:
    """Every seventh has none, as from a Go program run without -md5sum."""
    return i % 7 != 0


def entries_of(keys: int, homes: Callable[[bytes], list[str]]) -> Iterator[tuple[bytes, bytes]]:
    """As a master has them that stored the keys."""
    md5 = hashlib.md5(VALUE).hexdigest().encode()
    for i in range(keys):
        key = name_of(i)
        head = b"DELETED" if is_unlinked(i) else b""
        if has_md5(i):
            head += b"HASH" + md5
            yield b"meta" + key, b"%s %d %d" % (md5, len(VALUE), 1_700_000_000 + i)
        yield key, head + ",".join(homes(key)).encode()


def plant(cluster: Cluster) -> None:
    """Copies that are missing, others that are rotten, and files that nothing names."""
    marred = [i for i in range(4 * PLANTED) if has_md5(i)]
    for number, i in enumerate(marred[: 2 * PLANTED]):
        key = name_of(i)
        homes = cluster.homes(key)
        file = cluster.file(homes[number // 2 % len(homes)], key)
        if number % 2 == 0:
            file.unlink()
        else:
            file.write_bytes(VALUE[:-1] + b"?")
    for i in range(PLANTED):
        key = b"/nobody's/%d" % i
        file = cluster.file(cluster.homes(key)[0], key)
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in file.parent, file.parent.parent:
            folder.chmod(0o777)
        file.write_bytes(VALUE)
        age = time.time() - OLD
        os.utime(file, (age, age))
