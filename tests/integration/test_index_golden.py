"""An index as the Go program leaves it opens as it is: the golden one is listed to the letter, and
values that its records name are served with what the records say."""

import shutil
from pathlib import Path

import pytest

import leveldb
from cluster import KINDS, Cluster, md5_hex
from index_records import format_record
from test_placement import VECTORS, rows


@pytest.fixture(scope="module")
def golden():
    found = []
    for key, state, md5, places in rows("index.tsv"):
        found.append((bytes.fromhex(key), state, "" if md5 == "-" else md5, places.split(",")))
    return found


def test_golden_lists(golden, tmp_path):
    db = tmp_path / "index"
    shutil.copytree(VECTORS / "index", db)
    with Cluster(["volumed"], replicas=1, db=db) as cluster:
        live = sorted(key for key, state, _md5, _places in golden if state == "live")
        unlinked = sorted(key for key, state, _md5, _places in golden if state == "unlinked")
        assert live and unlinked
        assert cluster.keys("/") == live
        assert cluster.keys("/", unlinked=True) == unlinked
        assert cluster.keys("/", limit=97) == live
        assert cluster.keys("/", unlinked=True, limit=10) == unlinked
        for prefix in {b"/" + key[1:].split(b"/")[0] for key in live}:
            assert cluster.keys(prefix) == [key for key in live if key.startswith(prefix)]
        assert cluster.master.stop() == 0
        # Reading changed nothing.
        records, _others = cluster.index()
        assert records == {key: (state, md5, places) for key, state, md5, places in golden}


@pytest.mark.parametrize("made_by", ["with a hash", "without"])
def test_records_of_the_go_program(golden, made_by, tmp_path):
    """Golden keys, their places on volumes of ours, values put onto the disk by hand."""
    db = tmp_path / "index"
    cluster = Cluster(KINDS["mixed"], db=db, start=False)
    for volume in cluster.volumes:
        volume.start()
    names = cluster.names()
    stored = {}
    with leveldb.Database(str(db), create=True) as index:
        for key, state, _md5, places in golden[::20]:
            # localhost:3001 … 3005 become ours; the golden records name three at a time.
            mapped = []
            for place in places:
                name, _slash, sub = place.partition("/")
                mine = names[int(name[-1]) % 3] + "/" + sub
                if mine.split("/")[0] not in [m.split("/")[0] for m in mapped]:
                    mapped.append(mine)
            value = b"value of " + key
            md5 = md5_hex(value) if made_by == "with a hash" else ""
            index.put(key, format_record(state, md5, mapped))
            for place in mapped:
                path: Path = cluster.file(place, key)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(value)
            stored[key] = (state, md5, mapped, value)
    with cluster:
        cluster.master.flags = ["-volumes", ",".join(names)]
        cluster.master.start()
        for key, (state, md5, places, value) in stored.items():
            answer = cluster.get(key)
            if state == "unlinked":
                assert answer.status == 404
                assert cluster.relink(key).status == 204
                answer = cluster.get(key)
            assert answer.status == 302
            assert answer["Key-Volumes"].split(",") == places
            assert answer.get("Content-Md5") == (md5 or None)
            balanced = set(places) == set(cluster.homes(key))
            assert answer["Key-Balance"] == ("balanced" if balanced else "unbalanced")
            assert cluster.read(key) == value
        for key in stored:
            assert cluster.delete(key).status == 204
        assert cluster.files() == set()
