"""The tests' own arithmetic and their LevelDB reader, held against the golden vectors first:
everything else here leans on them."""

import shutil
from pathlib import Path

import leveldb
import placement
from index_records import parse_record

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def rows(name: str):
    for line in (VECTORS / name).read_text().splitlines():
        if not line.startswith("#"):
            yield line.split("\t")


def test_paths():
    for key, path in rows("key2path.tsv"):
        if path.endswith("/"):  # the vectors give the Go program's path, which no file can have
            path += "-"
        assert placement.key_path(bytes.fromhex(key)) == path


def test_homes():
    for key, volumes, replicas, subvolumes, chosen in rows("key2volume.tsv"):
        found = placement.homes(
            bytes.fromhex(key), volumes.split(","), int(replicas), int(subvolumes)
        )
        assert ",".join(found) == chosen


def test_paths_of_the_two_special_forms():
    assert placement.key_path(b"/a?").endswith("/L2E/-")
    long = placement.key_path(b"/" + b"a" * 1023)
    pieces = long.split("/")[3:]
    assert [len(p) for p in pieces] == [255] * 5 + [98]
    assert all(p.endswith("-") for p in pieces[:-1])


def test_golden_index(tmp_path):
    shutil.copytree(VECTORS / "index", tmp_path / "index")
    with leveldb.Database(str(tmp_path / "index")) as db:
        found = {key: parse_record(value) for key, value in db.items()}
    wanted = {}
    for key, state, md5, places in rows("index.tsv"):
        wanted[bytes.fromhex(key)] = (state, "" if md5 == "-" else md5, places.split(","))
    assert found == wanted
