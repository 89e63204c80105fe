"""A store that goes back and forth between mkv and minikeyvalue: each reads what the other wrote,
and nothing that mkv remembers beside the records harms what the other did in between."""

import time

import pytest

import leveldb
from cluster import KINDS, Cluster, md5_hex
from go_master import GoMaster
from server_process import wait_until


@pytest.fixture
def store(kind):
    """A cluster whose master is down."""
    with Cluster(KINDS[kind], start=False) as cluster:
        cluster.start()
        assert cluster.master.stop() == 0
        yield cluster


def test_taken_over_and_given_back(store):
    values = {b"/of the other/%d" % n: b"value %d" % n * 50 for n in range(30)}
    with GoMaster(store) as other:
        for key, value in values.items():
            assert other.put(key, value) == 201
        for key in list(values)[::5]:
            assert other.unlink(key) == 204

    store.master.start()
    for number, (key, value) in enumerate(values.items()):
        if number % 5 == 0:
            assert store.get(key).status == 404
            assert store.relink(key).status == 204
        answer = store.get(key)
        assert answer["Content-Md5"] == md5_hex(value) and answer["Key-Balance"] == "balanced"
        assert store.read(key) == value
        assert store.put(key, b"other").status == 403
    ours = {b"/of ours/%d" % n: b"our value %d" % n for n in range(30)}
    for key, value in ours.items():
        store.live(key, value)
    gone, hidden = list(values)[1], list(ours)[1]
    assert store.delete(gone).status == 204
    assert store.unlink(hidden).status == 204
    assert store.master.stop() == 0

    with GoMaster(store) as other:
        for key, value in {**values, **ours}.items():
            expected = None if key in (gone, hidden) else value
            assert other.get(key) == expected
        assert other.put(hidden, b"anew") == 201
        for key in list(ours)[2:]:
            assert other.delete(key) == 204

    store.master.start()
    assert store.read(hidden) == b"anew"
    for key in store.keys("/"):
        assert store.delete(key).status == 204
    assert store.files() == set()


def test_size_of_a_value_that_the_other_replaced(store):
    """What mkv knows of a value counts only as long as the record is of that value."""
    key = b"/replaced"
    store.master.start()
    store.live(key, b"seven b")
    assert store.master.stop() == 0
    with GoMaster(store) as other:
        assert other.delete(key) == 204
        assert other.put(key, b"of quite another length") == 201
    store.master.start()
    assert store.read(key) == b"of quite another length"
    assert store.unlink(key).status == 204
    assert store.relink(key).status == 204
    assert store.read(key) == b"of quite another length"


def test_replaced_without_a_hash(store):
    key = b"/replaced"
    store.master.start()
    store.live(key, b"seven b")
    assert store.master.stop() == 0
    with GoMaster(store, md5sum=False) as other:
        assert other.delete(key) == 204
        assert other.put(key, b"of quite another length") == 201
    store.master.start()
    assert store.get(key).get("Content-Md5") is None
    assert store.read(key) == b"of quite another length"


def others_of(store) -> dict[bytes, bytes]:
    _records, others = store.index()
    return {k: v for k, v in others.items() if k.startswith(b"places/")}


def test_removals_do_not_touch_what_the_other_put_there(store):
    """A volume was down at the DELETE: its place is to be cleared. Then the other master puts a
    value of the same key there."""
    key = b"/removed"
    store.master.start()
    store.live(key)
    lost = store.at(store.homes(key)[0])[0]
    lost.kill()
    assert store.delete(key).status == 204
    assert store.master.stop() == 0
    assert b"removal" in others_of(store)[b"places" + key]
    lost.start()
    with GoMaster(store) as other:
        assert other.put(key, b"the other's") == 201
    store.master.start()
    time.sleep(2.5)  # two passes of the sweeper
    store.check_value(key, b"the other's")
    wait_until(lambda: not others_of(store), 20, "the removal is dropped")
    assert store.read(key) == b"the other's"
    assert store.delete(key).status == 204
    assert store.files() == set()


@pytest.mark.parametrize("unlinked", [False, True])
def test_marks_do_not_touch_what_the_other_put_there(store, unlinked):
    """A mark that a crash left, as docs/index.md says it stands, and then the other's value."""
    key = b"/marked"
    homes = store.homes(key)
    with leveldb.Database(str(store.master.db)) as index:
        index.put(b"places" + key, "".join(f"mark {place}\n" for place in homes).encode())
    with GoMaster(store) as other:
        assert other.put(key, b"the other's") == 201
        if unlinked:
            assert other.unlink(key) == 204
    store.master.start()
    time.sleep(2.5)
    store.check_value(key, b"the other's")
    if unlinked:
        assert store.relink(key).status == 204
    assert store.read(key) == b"the other's"
    assert not others_of(store)


def test_what_the_other_left_undone(store):
    """It died in the middle of a PUT (a record that says unlinked, files on some volumes), and of a
    DELETE (unlinked, the file gone from one)."""
    with GoMaster(store) as other:
        assert other.put(b"/half deleted", b"value") == 201
        assert other.unlink(b"/half deleted") == 204
        homes = store.homes(b"/half put")
        other.index.put(b"/half put", b"DELETED" + ",".join(homes).encode())
        assert other._at_volume("PUT", homes[0], b"/half put", b"part") == 201
    store.file(store.homes(b"/half deleted")[0], b"/half deleted").unlink()
    store.master.start()
    assert store.get(b"/half put").status == 404
    store.live(b"/half put", b"whole")
    assert store.read(b"/half put") == b"whole"
    assert store.delete(b"/half deleted").status == 204
    assert store.delete(b"/half put").status == 204
    store.no_files(b"/half put")
    assert store.files() == set()


def test_its_rebalance_and_rebuild_pass_over_what_is_ours(store):
    """minikeyvalue takes every entry for a record and asks its "volumes" for the key: none of ours
    may read as a record with a host that can be asked, or name a key."""
    store.master.start()
    for number in range(5):
        store.live(b"/key/%d" % number)
    lost = store.at(store.homes(b"/key/0")[0])[0]
    lost.kill()
    assert store.delete(b"/key/0").status == 204
    assert store.master.stop() == 0
    lost.start()
    _records, others = store.index()
    assert any(k.startswith(b"places/") for k in others) and any(
        k.startswith(b"meta/") for k in others
    )
    with GoMaster(store) as other:
        for name in others:
            assert not name.startswith(b"/")
            _state, md5, places = other.record(name)
            assert md5 == ""
            # A blank or a line end in the host makes Go's URL parser refuse it.
            assert all(set(place.split("/")[0]) & set(" \n") for place in places), places
