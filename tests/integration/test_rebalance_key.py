"""REBALANCE of one key: 204 when every home holds the value and nothing else does, 400 when that
cannot be done now, and then nothing is lost."""

import os
import re
import time

import pytest

from cluster import Cluster, md5_hex
from elastic import FIVE, Elastic, corrupt
from http_raw import target
from server_process import limit, wait_until


@pytest.fixture(scope="module")
def cluster():
    with Elastic(FIVE["mixed"]) as made:
        yield made


def rebalance(cluster: Cluster, key: bytes):
    return cluster.request("REBALANCE", key)


def other_place(cluster: Elastic, key: bytes) -> str:
    """On a volume that is no home of the key."""
    homes = [place.split("/")[0] for place in cluster.homes(key)]
    return next(v.authority for v in cluster.volumes if v.authority not in homes) + "/sv00"


def displace(cluster: Elastic, key: bytes, value: bytes, at: int = 0) -> str:
    """One copy lies elsewhere than at home; with the master down. Returns the place."""
    (state, md5, places), place = cluster.index()[0][key], other_place(cluster, key)
    cluster.file(places[at], key).unlink()
    path = cluster.file(place, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)
    for parent in path.parents[:4]:
        os.chmod(parent, 0o777)
    places[at] = place
    cluster.write_record(key, state, md5, places)
    return place


def restarted(cluster: Elastic, change) -> None:
    assert cluster.master.stop() == 0
    change()
    cluster.start()


def check_home(cluster: Elastic, key: bytes, value: bytes) -> None:
    answer = cluster.get(key)
    assert (answer.status, answer["Key-Balance"]) == (302, "balanced")
    assert answer["Content-Md5"] == md5_hex(value)
    assert sorted(answer["Key-Volumes"].split(",")) == sorted(cluster.homes(key))
    for place in cluster.homes(key):
        assert cluster.file(place, key).read_bytes() == value, place


def test_statuses(cluster, key):
    assert rebalance(cluster, key).status == 404
    cluster.live(key)
    answer = rebalance(cluster, key)
    assert (answer.status, answer.body) == (204, b"")
    assert cluster.unlink(key).status == 204
    assert rebalance(cluster, key).status == 404
    assert cluster.relink(key).status == 204
    assert rebalance(cluster, key).status == 204
    assert cluster.delete(key).status == 204
    assert rebalance(cluster, key).status == 404


def test_busy(cluster, key):
    wire = cluster.begin_put(key, b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n%s" % (
        target(key).encode(), b"x" * 80000), probe="UNLINK")
    assert rebalance(cluster, key).status == 409
    wire.close()


def test_missing_and_short_files_are_mended(cluster, key):
    value = cluster.live(key, os.urandom(100_000))
    paths = [cluster.file(place, key) for place in cluster.homes(key)]
    paths[1].unlink()
    paths[2].write_bytes(value[:5000])
    assert rebalance(cluster, key).status == 204
    check_home(cluster, key, value)


def test_all_lost(cluster, key):
    cluster.live(key)
    for place in cluster.homes(key):
        cluster.file(place, key).unlink()
    answer = rebalance(cluster, key)
    assert answer.status == 400 and b"no volume has a copy" in answer.body
    assert cluster.get(key)["Key-Volumes"].split(",") == cluster.homes(key)


def test_comes_home(cluster, key):
    """From a place that is not home; who reads meanwhile is not sent into the void."""
    value = cluster.live(key, os.urandom(1_500_000))
    place = []
    restarted(cluster, lambda: place.append(displace(cluster, key, value)))
    left = cluster.file(place[0], key)
    assert cluster.get(key)["Key-Balance"] == "unbalanced"
    assert rebalance(cluster, key).status == 204
    check_home(cluster, key, value)
    assert left.exists()  # for readers who were sent there a moment ago
    wait_until(lambda: not left.exists(), 20, "the old place cleared")


@pytest.mark.parametrize("size", [50_000, 5_000_001])
def test_rotten_copy_does_not_come_home(cluster, key, size):
    """The only copies that are left do not match the MD5."""
    value = cluster.live(key, os.urandom(size))
    places = cluster.homes(key)
    cluster.file(places[0], key).unlink()
    for place in places[1:]:
        corrupt(cluster.file(place, key))
    answer = rebalance(cluster, key)
    assert answer.status == 400 and b"no volume has a copy" in answer.body
    assert not cluster.file(places[0], key).exists()
    # One good copy is enough.
    cluster.file(places[2], key).write_bytes(value)
    assert rebalance(cluster, key).status == 204
    assert cluster.file(places[0], key).read_bytes() == value


def test_home_waits_for_a_late_request(cluster, key):
    """A home that is still listed, for a request of the past may arrive there, is not written to;
    when that time is over the key comes home."""
    value = cluster.live(key)
    home, place = cluster.homes(key)[0], []

    def late(until: int) -> None:
        if not place:
            place.append(displace(cluster, key, value))
        # Due after the start: it is not taken for one of an earlier life.
        text = f"removal {int(time.time()) + 600} {until} {home}\n"
        cluster.set_places(key, text.encode())

    restarted(cluster, lambda: late(int(time.time()) + 3600))
    answer = rebalance(cluster, key)
    assert answer.status == 400 and b"may still have a file of the past" in answer.body
    assert cluster.read(key) == value
    assert not cluster.file(home, key).exists()
    restarted(cluster, lambda: late(0))
    # It is cleared on the way.
    cluster.file(home, key).write_bytes(b"of the past")
    assert rebalance(cluster, key).status == 204
    check_home(cluster, key, value)


def test_home_is_down(cluster, key):
    value = cluster.live(key, os.urandom(3000))
    place = []
    restarted(cluster, lambda: place.append(displace(cluster, key, value)))
    down = cluster.at(cluster.homes(key)[0])[0]
    down.kill()
    assert rebalance(cluster, key).status == 400
    assert cluster.read(key) == value
    down.start()

    def home() -> bool:
        # What did not take the copy may be listed for a moment.
        return rebalance(cluster, key).status == 204

    wait_until(home, 20, "the key at home")
    check_home(cluster, key, value)


def test_hanging_home(cluster, key):
    """It takes the copy but does not answer: that may have been carried out, so the place is to
    be cleared, and the value stays where it is."""
    value = cluster.live(key, os.urandom(3000))
    place = []
    cluster.flags = ["-answertimeout", limit(500), "-stalltimeout", limit(500), "-voltimeout", limit(500)]
    restarted(cluster, lambda: place.append(displace(cluster, key, value)))
    hung = cluster.at(cluster.homes(key)[0])[0]
    hung.pause()
    assert rebalance(cluster, key).status == 400
    answer = cluster.get(key)
    assert answer["Content-Md5"] == md5_hex(value)
    assert place[0] in answer["Key-Volumes"]
    hung.resume()
    home = cluster.file(cluster.homes(key)[0], key)
    wait_until(lambda: not home.exists(), 40, "what was carried out late is cleared")
    listed = cluster.index()[1].get(b"places" + key, b"")
    assert re.search(rb"removal \d+ [1-9]\d+ " + cluster.homes(key)[0].encode(), listed)
    cluster.flags = []
    restarted(cluster, lambda: None)
