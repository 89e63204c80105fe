"""Volumes that refuse, hang, lie or babble, at each step of each operation. Every request gets a
clear answer within the limits, no key stays locked, nothing is left on the good volumes, and the
master neither grows nor loses descriptors."""

import os
import time

import pytest

from cluster import Cluster, location_parts
from hostile_volume import MOODS, HostileVolume
from server_process import SANITIZER, SLOW, limit, wait_until

SMALL, LARGE, HUGE = 20, 1_500_000, 24_000_000
# Only of a body larger than the sockets' buffers a part stays behind.
STALL = ("never reads", "hangs in the body")
# A 201 to what has been sent is a 201. One that comes before the end of the body is none, but of
# a body that the sockets' buffers hold the end is sent at once.
LIARS = ("speaks before it is asked", "says 201 before the body")
LIMITS = ("-voltimeout", limit(400), "-answertimeout", limit(800), "-stalltimeout", limit(800))
# Not how fast, but that it does not hang: some attempts, each of the limits' length.
PATIENCE = 15 * SLOW
MIB = 1 << 20


class Hostile:
    """Three good volumes and a bad one, or the bad one alone."""

    def __init__(self, cluster: Cluster, volume: HostileVolume):
        self.cluster, self.volume = cluster, volume

    def turn(self, mood: str) -> None:
        self.volume.mood = mood
        if mood == "refuses":
            self.volume.refuse()
        else:
            self.volume.hang_up()  # what is in the master's pool

    def ask(self, method: str, key: bytes, body: bytes | None = None):
        began = time.monotonic()
        answer = self.cluster.request(method, key, body)
        assert time.monotonic() - began < PATIENCE
        return answer

    def keys(self, n: int, name: bytes) -> list[bytes]:
        """Keys that have a home on the bad volume."""
        found, number = [], 0
        while len(found) < n:
            key = b"/%s/%d" % (name, number)
            if any(home.startswith(self.volume.authority) for home in self.cluster.homes(key)):
                found.append(key)
            number += 1
        return found


class WithHostile(Cluster):
    def __init__(self, good: int, volume: HostileVolume, **options):
        self.hostile = volume
        super().__init__(["volumed"] * good, flags=LIMITS, **options)

    def names(self) -> list[str]:
        return [*super().names(), self.hostile.authority]


@pytest.fixture
def beside():
    volume = HostileVolume()
    with WithHostile(3, volume) as cluster:
        yield Hostile(cluster, volume)
        volume.close()


@pytest.fixture
def alone():
    volume = HostileVolume()
    with WithHostile(0, volume, replicas=1) as cluster:
        yield Hostile(cluster, volume)
        volume.close()


def sizes(mood: str) -> list[int]:
    return [HUGE] if mood in LIARS else [SMALL, HUGE if mood in STALL else LARGE]


def descriptors(cluster: Cluster) -> int:
    return len(os.listdir(f"/proc/{cluster.master.pid}/fd"))


@pytest.mark.parametrize("mood", MOODS)
def test_beside_good_ones(beside, mood):
    """The write succeeds without it, the read passes over it, the delete does not wait for it."""
    cluster = beside.cluster
    put_keys, named = beside.keys(len(sizes(mood)), b"put"), beside.keys(2, b"named")
    for key in named:
        cluster.live(key)
    before = descriptors(cluster)
    beside.turn(mood)

    for key, size in zip(put_keys, sizes(mood), strict=True):
        value = os.urandom(size)
        assert beside.ask("PUT", key, value).status == 201
        answer = beside.ask("GET", key)
        assert answer.status == 302
        places = answer["Key-Volumes"].split(",")
        assert not any(place.startswith(beside.volume.authority) for place in places)
        cluster.check_value(key, value, places)
        assert cluster.read(key) == value
    for key in named:
        for _ in range(3):
            answer = beside.ask("GET", key)
            assert location_parts(answer)[0] != beside.volume.authority
    for key in named + put_keys:
        assert beside.ask("DELETE", key).status == 204
        wait_until(lambda key=key: cluster.key_files(key) == [], 20, "its files gone")
        if mood not in LIARS:
            assert beside.ask("PUT", key, b"again").status == 201, "free at once"
            assert beside.ask("DELETE", key).status == 204
    # A good one may be slow as well, where little is left of the processors.
    wait_until(lambda: cluster.files() == set(), 20, "nothing left on the good ones")
    if not SANITIZER:
        assert cluster.master.peak_rss() < 64 * MIB
    # Connections that still wait out a limit, and the pool's to the good ones.
    wait_until(lambda: descriptors(cluster) <= before + 16, 20, "no descriptor lost")


@pytest.mark.parametrize("mood", MOODS)
def test_alone(alone, mood):
    """With no other volume: an error, and the key is what it was."""
    cluster = alone.cluster
    for key in (b"/live", b"/unlinked"):
        cluster.live(key)
    assert cluster.unlink(b"/unlinked").status == 204
    alone.turn(mood)

    for size in sizes(mood):
        for key in (b"/new", b"/new", b"/unlinked"):  # a second one finds the key free
            assert alone.ask("PUT", key, b"v" * size).status == 500
    # What says nothing of the value is no 404.
    assert alone.ask("GET", b"/live").status == 503
    assert alone.ask("GET", b"/new").status == 404
    assert cluster.keys("/") == [b"/live"]
    assert cluster.keys("/", unlinked=True) == [b"/unlinked"]
    assert alone.ask("RELINK", b"/unlinked").status == 204
    assert alone.ask("DELETE", b"/live").status == 204
    assert alone.ask("GET", b"/live").status == 404
    assert cluster.keys("/") == [b"/unlinked"]
