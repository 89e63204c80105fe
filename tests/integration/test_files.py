"""Real files, PUT under their paths and read back through the redirect, byte for byte the same,
on every kind of cluster. all_files.py does it with all that a system has."""

import random
from pathlib import Path

from cluster import Cluster
from real_files import Store, find_files

MIB = 1024 * 1024


def test_real_files(cluster: Cluster):
    found = find_files(["/usr/share/doc", "/usr/lib"])
    sizes = sorted(found, key=lambda path: path.stat().st_size)
    chosen = set(random.Random(3).sample(sizes, min(300, len(sizes))))
    chosen |= set(sizes[:20])
    chosen = {path for path in chosen if path.stat().st_size <= 20 * MIB}
    large = [path for path in sizes if 20 * MIB < path.stat().st_size <= 60 * MIB][-2:]
    made = [cluster.folder / "60 MB", cluster.folder / "200 MB", cluster.folder / "one byte"]
    for path, size in zip(made, (60_000_000, 200_000_000, 1), strict=True):
        write_random(path, size)
    files = sorted(chosen) + large + made
    assert len(files) >= 200
    store = Store(cluster.master.address)
    store.put_and_read(files, workers=4)
    assert store.failures == []
    assert store.stored == len(files)
    keys = {str(path).encode(): path for path in files}
    assert cluster.files() == cluster.expected(keys)
    for key, path in keys.items():
        for home in cluster.homes(key):
            assert same(cluster.file(home, key), path), (home, path)
    assert set(cluster.keys("/")) == set(keys)
    store.delete(files, workers=4)
    assert store.failures == []
    assert cluster.files() == set()


def write_random(path: Path, size: int) -> None:
    block = random.Random(str(path)).randbytes(MIB)
    with open(path, "wb") as file:
        for number in range(0, size, MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece[: min(MIB, size - number)])


def same(one: Path, other: Path) -> bool:
    with open(one, "rb") as left, open(other, "rb") as right:
        while True:
            a, b = left.read(MIB), right.read(MIB)
            if a != b:
                return False
            if not a:
                return True
