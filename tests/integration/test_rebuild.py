"""`mkv rebuild`: what comes back from the volumes, and what comes along from the old index."""

import shutil
import subprocess
import time

import pytest

import leveldb
import placement
from cluster import KINDS, Cluster, Volume, md5_hex
from rebuilding import (
    CLEAN,
    FAILED,
    TOLD,
    by_hand,
    command,
    index,
    kept,
    line_with,
    rebuild,
    start_master,
    store,
    write_file,
    write_index,
)
from server_process import wait_until
from test_placement import rows

# Keys whose files are more than a name in a folder: '/' in the base64, a run of them (which a
# disk merges), one at the end, pieces that are cut, and bytes that are no text.
SPECIAL = [
    b"/o?o?o?",
    b"/\xff\xff\xffab",
    b"/a\xff\xff\xff\xff\xff\xff/b",
    b"/L2A?",
    b"/a?",
    b"/" + b"x" * 900,
    b"/" + b"?" * 1023,
    b"/" + bytes(range(256)),
    b"/a b%20\xc3\xa4",
    b"/\x00",
    b"/",
]

# The disk's path of the first may be that of another key, and the second's reads as one: only
# the old index knows which they are.
DOUBTFUL = [
    bytes.fromhex("2fffff5a8562ff02f1dc5effaaffe493c6c27cfeb9ff4db8ffffffddbcffb92b457aed4b7ead"),
    bytes.fromhex(
        "2fffed07bc50ffc4acffffe33012ff8c831dc943fffffe57f4ffffff090ff2f71e43efffffc49598fcffc3fff1"
    ),
]


def test_all_of_it_comes_back(kind):
    """Defects: MD5 lost on rebuild, unlinked keys live again, keys whose base64 has '/' vanish."""
    with Cluster(KINDS[kind]) as cluster:
        for i in range(10):
            cluster.live(b"/some/key %d" % i, b"value %d" % i)
        for key in SPECIAL + DOUBTFUL:
            cluster.live(key, b"value of " + key)
        for i in range(3):
            cluster.unlinked(b"/hidden/%d" % i)
        assert cluster.master.stop() == 0
        before, files = index(cluster), cluster.files()
        lines = rebuild(cluster, CLEAN)
        assert index(cluster) == before
        assert cluster.files() == files
        (old,) = kept(cluster)
        line_with(lines, str(old))
        assert index(cluster, old) == before
        line_with(lines, f"{len(before[0])} keys (3 unlinked)", "files")
        # And again, over its own work.
        rebuild(cluster, CLEAN)
        assert index(cluster) == before
        assert len(kept(cluster)) == 2
        cluster.master.start()
        assert cluster.read(SPECIAL[0]) == b"value of " + SPECIAL[0]
        assert cluster.get(b"/some/key 1")["Content-Md5"] == md5_hex(b"value 1")
        assert cluster.get(b"/hidden/1").status == 404


def test_without_an_index(kind):
    """Places in the order of their ranks; all keys live; no MD5s. Nothing is kept beside it."""
    with Cluster(KINDS[kind]) as cluster:
        stored = [b"/key %d" % i for i in range(5)] + SPECIAL
        for key in stored:
            cluster.live(key)
        cluster.unlinked(b"/hidden")
        assert cluster.master.stop() == 0
        shutil.rmtree(cluster.master.db)
        rebuild(cluster, CLEAN)
        records, others = index(cluster)
        assert records == {k: ("live", "", cluster.homes(k)) for k in [*stored, b"/hidden"]}
        assert others == {}
        assert not kept(cluster)
        cluster.master.start()
        assert cluster.keys("/") == sorted([*stored, b"/hidden"])
        for key in SPECIAL:
            assert cluster.read(key) == b"a value"


@pytest.mark.parametrize("server", ["volumed", "nginx"])
def test_every_path_of_the_golden_vectors(server):
    """Their files as the Go program's file system would have them, and back."""
    with by_hand([server], replicas=1, subvolumes=1) as cluster:
        want = {}
        keys = [bytes.fromhex(key) for key, _path in rows("key2path.tsv")]
        # All whose files lie in further folders would be 265.
        chosen = [key for key in keys if "/" in placement.key_path(key)[7:]][::2] + keys[::20]
        for key in chosen:
            want[key] = store(cluster, key)
        rebuild(cluster, CLEAN, "-jobs", "64")
        records, _others = index(cluster)
        assert records == want


@pytest.mark.parametrize("server", ["volumed", "nginx"])
@pytest.mark.parametrize("subvolumes", [1, 10, 300])
def test_subvolumes(server, subvolumes):
    """Defect: over 256 subvolumes rebuild ignores the rest (sv100 and up)."""
    with by_hand([server] * 2, replicas=2, subvolumes=subvolumes) as cluster:
        want = {key: store(cluster, key) for key in [b"/key %d" % i for i in range(60)]}
        long_names = {p for r in want.values() for p in r[2] if len(p.partition("/")[2]) == 5}
        assert bool(long_names) == (subvolumes == 300)
        rebuild(cluster, CLEAN)
        assert index(cluster)[0] == want


def test_two_copies_in_one_volume():
    """Folders of one subvolume are read at the same time (defect: then a replica was dropped);
    files of a key on the same volume twice, and beside subvolumes, count as well."""
    with by_hand(["volumed"] * 2, replicas=2, subvolumes=4) as cluster:
        want = {}
        for i in range(40):
            key = b"/key %d" % i
            _state, _md5, places = store(cluster, key)
            name = cluster.names()[i % 2]
            others = [name] + [f"{name}/sv0{n}" for n in range(4)]
            other = next(p for p in others if p not in places)
            write_file(cluster, other, key)
            rank = [place.partition("/")[0] for place in places].index(name)
            places.insert(rank + 1, other)
            want[key] = ("live", "", places)
        for jobs in ("1", "64"):
            rebuild(cluster, CLEAN, "-jobs", jobs)
            assert index(cluster)[0] == want
            shutil.rmtree(cluster.master.db)


def test_removals_behind_the_longest_key():
    """There is no longer key that could come next."""
    with by_hand(["volumed"], replicas=1) as cluster:
        removals = {
            b"places" + key: f"removal 12 0 {cluster.homes(key)[0]}\n".encode()
            for key in (b"/" + b"k" * 1023, b"/l", b"/" + b"\xff" * 1023, b"/\xff" * 512)
        }
        write_index(cluster, {}, removals)
        rebuild(cluster, CLEAN)
        assert index(cluster) == ({}, removals)


def test_marks_and_removals_come_along():
    with by_hand(KINDS["mixed"]) as cluster:
        key, other, gone = b"/a key", b"/marked", b"/gone"
        record = store(cluster, key)
        homes, spare = cluster.homes(key), cluster.names()[0] + "/sv77"
        # A copy at a place to be cleared is not adopted, with a record or without.
        write_file(cluster, spare, key)
        for place in cluster.homes(gone):
            write_file(cluster, place, gone)
        for place in cluster.homes(other):
            write_file(cluster, place, other)
        late = int(time.time()) + 3000
        removals = "".join(f"removal 0 {late} {place}\n" for place in cluster.homes(gone))
        marks = "".join(f"mark {place}\n" for place in cluster.homes(other))
        write_index(
            cluster,
            {key: ("live", md5_hex(b"a value"), homes)},
            {
                b"places" + key: f"removal 12 0 {spare}\n".encode(),
                b"places" + gone: removals.encode(),
                b"places" + other: marks.encode(),
            },
        )
        rebuild(cluster, CLEAN)
        records, others = index(cluster)
        assert records == {key: ("live", md5_hex(b"a value"), record[2])}
        assert others.pop(b"places" + key) == f"removal 12 0 {spare}\n".encode()
        assert sorted(others.pop(b"places" + gone).decode().splitlines()) == sorted(
            removals.splitlines()
        )
        # A PUT that a crash cut off: as at any start, its places are to be cleared.
        left = others.pop(b"places" + other).decode().splitlines()
        assert sorted(line.split()[3] for line in left) == sorted(cluster.homes(other))
        assert all(line.startswith("removal 0 ") for line in left)
        assert others == {}
        # The master then does what they say.
        start_master(cluster)
        cluster.no_files(gone)
        cluster.check_value(key, b"a value", homes)


def test_a_volume_that_only_the_old_index_names(tmp_path):
    """It is read as well, and one that cannot be fails all."""
    with by_hand(["volumed", "nginx", "volumed"], replicas=2) as cluster:
        extra = Volume(cluster.logs, 9, "nginx", cluster.folder / "extra")
        extra.start()
        try:
            key, names = b"/a key", cluster.names()
            place = f"{extra.authority}/sv03"
            path = extra.root / "sv03" / placement.disk_path(key)[1:]
            path.parent.mkdir(parents=True)
            path.write_bytes(b"a value")
            write_file(cluster, f"{names[0]}/sv01", key)
            record = ("unlinked", md5_hex(b"a value"), [place, f"{names[0]}/sv01"])
            write_index(cluster, {key: record})
            before = index(cluster)
            rebuild(cluster, CLEAN)
            assert index(cluster) == before
            for old in kept(cluster):
                shutil.rmtree(old)
        finally:
            assert extra.stop() == 0
        lines = rebuild(cluster, FAILED)
        line_with(lines, "mkv: ", extra.authority)
        assert index(cluster) == before


def test_what_the_old_index_says_of_copies(tmp_path):
    """Each oddity is a line, and the exit status says that there were some."""
    with by_hand(KINDS["mixed"]) as cluster:
        md5, want, records, others = md5_hex(b"a value"), {}, {}, {}

        def known(name: bytes, size=7, state="live"):
            homes = store(cluster, name)[2]
            records[name] = (state, md5, list(homes))
            others[b"meta" + name] = f"{md5} {size} 1700000000".encode()
            return homes

        homes = known(b"/missing")
        cluster.file(homes[1], b"/missing").unlink()
        want[b"/missing"] = ("live", md5, [homes[0], homes[2]])

        homes = known(b"/lost")
        for place in homes:
            cluster.file(place, b"/lost").unlink()

        homes = known(b"/short", state="unlinked")
        cluster.file(homes[0], b"/short").write_bytes(b"a val")
        want[b"/short"] = ("unlinked", md5, homes[1:])

        homes = known(b"/empty")
        cluster.file(homes[2], b"/empty").write_bytes(b"")
        want[b"/empty"] = ("live", md5, homes[:2])

        homes = known(b"/unnamed")
        elsewhere = homes[0].partition("/")[0] + "/sv77"
        write_file(cluster, elsewhere, b"/unnamed")
        want[b"/unnamed"] = ("live", md5, homes)

        # Its drives were mounted elsewhere: all copies moved, and are the value still.
        homes = known(b"/moved", state="unlinked")
        moved = [place.partition("/")[0] + "/sv78" for place in homes]
        for place, to in zip(homes, moved):
            write_file(cluster, to, b"/moved")
            cluster.file(place, b"/moved").unlink()
        want[b"/moved"] = ("unlinked", md5, moved)

        # Newer than the index: another value, of which no MD5 is known.
        homes = known(b"/changed", size=3)
        want[b"/changed"] = ("live", "", homes)

        want[b"/new"] = store(cluster, b"/new")

        write_index(cluster, records, others)
        lines = rebuild(cluster, TOLD)
        got, left = index(cluster)
        assert got == want
        same = [k for k in want if k not in (b"/changed", b"/new")]
        assert left == {b"meta" + k: others[b"meta" + k] for k in same}
        for key, word in (
            ("/missing", "no file there"),
            ("/short", "another size"),
            ("/empty", "empty"),
            ("/unnamed", "does not name"),
            ("/changed", "MD5"),
        ):
            line_with(lines, f" {key}", word)
        line_with(lines, " /lost: ", "lost")
        line_with(lines, "1 keys of the old index have no file left")
        line_with(lines, "3 keys have fewer than 3 copies")


def test_copies_that_differ_and_no_index():
    """The newest whole set wins, and the others are reported."""
    with by_hand(["volumed", "volumed", "nginx", "nginx", "volumed"]) as cluster:
        want = {}
        names = cluster.names()

        def ranked(key):
            order = [names[i] for _score, i in placement.rank(key, names)]
            return [f"{name}/sv00" for name in order]

        key = b"/whole beats newer"
        places = ranked(key)
        for place in places[:3]:
            write_file(cluster, place, key, b"older", age=1000)
        for place in places[3:]:
            write_file(cluster, place, key, b"newer, not whole", age=10)
        want[key] = ("live", "", places[:3])

        key = b"/most copies where none is whole"
        places = ranked(key)
        for place in places[1:3]:
            write_file(cluster, place, key, b"two", age=1000)
        write_file(cluster, places[0], key, b"one", age=10)
        want[key] = ("live", "", places[1:3])
        write_file(cluster, places[0], key, b"only one", age=10)

        key = b"/newest where both are as whole"
        places = ranked(key)
        write_file(cluster, places[0], key, b"long ago", age=1000)
        write_file(cluster, places[1], key, b"now", age=10)
        want[key] = ("live", "", places[1:2])

        key = b"/more than need be"
        places = ranked(key)
        for place in places:
            write_file(cluster, place, key)
        want[key] = ("live", "", places)

        lines = rebuild(cluster, TOLD)
        assert index(cluster)[0] == want
        for name, n in (("/whole", 2), ("/most", 1), ("/newest", 1), ("/more", 0)):
            assert sum(name in line and "another size" in line for line in lines) == n, lines


def test_killed_in_the_middle():
    """The old index is what it was, and the next run clears up and does its work."""
    with by_hand(KINDS["mixed"], subvolumes=1) as cluster:
        want = {key: store(cluster, key) for key in [b"/key %d" % i for i in range(100)]}
        write_index(cluster, want)
        for pause in (0.0, 0.02, 0.05, 0.1, 0.2):
            process = subprocess.Popen(
                command(cluster, "-jobs", "2"), stderr=subprocess.PIPE, start_new_session=True
            )
            work = cluster.master.db.with_name("index.rebuild")
            wait_until(lambda: work.exists() or process.poll() is not None, 20, "the work")
            time.sleep(pause)
            process.kill()
            process.communicate()
            assert index(cluster)[0] == want
        cut_off = work.exists()
        for old in kept(cluster):
            shutil.rmtree(old)
        lines = rebuild(cluster, CLEAN)
        assert any("cut off" in line for line in lines) == cut_off
        assert index(cluster)[0] == want


def test_index_behind_a_link(tmp_path):
    """It is the index that is exchanged, not the link."""
    with by_hand(["volumed"], replicas=1, subvolumes=1) as cluster:
        record = store(cluster, b"/key")
        real = cluster.folder / "drive" / "index"
        real.parent.mkdir()
        cluster.master.db.symlink_to(real)
        real.mkdir()
        with leveldb.Database(str(real), create=True) as db:
            db.put(b"/key", b"HASH" + b"0" * 32 + record[2][0].encode())
        rebuild(cluster, CLEAN)
        assert cluster.master.db.is_symlink()
        assert index(cluster)[0] == {b"/key": ("live", "0" * 32, record[2])}
        assert len(list(real.parent.iterdir())) == 2
