"""Volumes that are down, values that are missing or cut on some of them: what a GET answers, and
where a PUT goes instead."""

import os

import pytest

from cluster import Cluster, location_parts
from server_process import wait_until

VALUE = b"the value"
FIVE = {
    "volumed": ["volumed"] * 5,
    "nginx": ["nginx"] * 5,
    "mixed": ["volumed", "nginx", "volumed", "nginx", "volumed"],
}


@pytest.fixture(scope="module")
def five(kind):
    with Cluster(FIVE[kind]) as made:
        yield made


@pytest.fixture(autouse=True)
def all_up(five):
    yield
    # A subvolume that failed a write is passed over for a while, so that in what follows a value
    # need not be at home: tests ask the master where it is.
    for volume in five.volumes:
        if volume.process is None:
            volume.start()
        volume.resume()


def places_of(five, key) -> list[str]:
    return five.get(key)["Key-Volumes"].split(",")


def test_missing_on_some(five, key):
    five.live(key, VALUE)
    homes = places_of(five, key)
    for gone, left in ((0, 2), (1, 1)):
        five.file(homes[gone], key).unlink()
        seen = {location_parts(five.get(key))[0] for _ in range(25)}
        assert seen == {home.split("/")[0] for home in homes[gone + 1 :]} and len(seen) == left
    five.file(homes[2], key).unlink()
    assert five.get(key).status == 404  # all of them say that they have no such file
    assert five.delete(key).status == 204


def test_cut_on_some(five, key):
    five.live(key, VALUE)
    homes = places_of(five, key)
    for home in homes[:2]:
        os.truncate(five.file(home, key), 3)
        assert all(five.read(key) == VALUE for _ in range(20))
    assert five.delete(key).status == 204
    assert five.key_files(key) == []


def test_down_on_some(five, key):
    five.live(key, VALUE)
    homes = places_of(five, key)
    for home in homes[:2]:
        five.at(home)[0].kill()
        for _ in range(10):
            assert five.read(key) == VALUE
    last = five.at(homes[2])[0]
    last.kill()
    answer = five.get(key)
    assert answer.status == 503
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    # One that could not be asked might have it: 503 and not 404.
    five.file(homes[0], key).unlink()
    five.at(homes[0])[0].start()
    assert five.get(key).status == 503
    last.start()
    assert five.read(key) == VALUE
    five.at(homes[1])[0].start()
    assert five.delete(key).status == 204
    five.no_files(key)


def test_hanging_on_some(five, key):
    """One that takes connections and says nothing costs a GET the time limit at most."""
    five.live(key, VALUE)
    homes = places_of(five, key)
    for home in homes[:2]:
        five.at(home)[0].pause()
    for _ in range(5):
        assert location_parts(five.get(key))[0] == homes[2].split("/")[0]
    five.at(homes[2])[0].pause()
    assert five.get(key).status == 503


@pytest.mark.parametrize("down", [1, 2])
def test_put_goes_to_the_next_in_rank(five, key, down):
    homes = five.homes(key)
    for home in homes[:down]:
        five.at(home)[0].kill()
    five.live(key, VALUE)
    answer = five.get(key)
    places = answer["Key-Volumes"].split(",")
    names = {place.split("/")[0] for place in places}
    assert len(names) == 3
    assert not names & {home.split("/")[0] for home in homes[:down]}
    assert answer["Key-Balance"] == "unbalanced"
    five.check_value(key, VALUE, places)
    for home in homes[:down]:
        five.at(home)[0].start()
    assert five.read(key) == VALUE
    assert five.delete(key).status == 204
    five.no_files(key)


def test_put_without_enough_volumes(five, key):
    for volume in five.volumes[:3]:
        volume.kill()
    assert five.put(key, VALUE).status == 500
    assert five.get(key).status == 404
    assert five.keys(key) == five.keys(key, unlinked=True) == []
    five.no_files(key)
    for volume in five.volumes[:3]:
        volume.start()
    five.live(key, VALUE)
    assert five.read(key) == VALUE
    assert five.delete(key).status == 204
    five.no_files(key)


def test_put_without_enough_volumes_over_an_unlinked_value(five, key):
    five.live(key, b"old")
    places = places_of(five, key)
    assert five.unlink(key).status == 204
    for volume in five.volumes[:3]:
        volume.kill()
    assert five.put(key, VALUE).status == 500
    for volume in five.volumes[:3]:
        volume.start()
    assert five.relink(key).status == 204
    assert five.read(key) == b"old"
    wait_until(lambda: len(five.key_files(key)) == 3, 20, "nothing left of the failed one")
    five.check_value(key, b"old", places)
    assert five.delete(key).status == 204


@pytest.mark.parametrize("size", [2_000, 200_000, 5_000_000])
def test_volume_dies_in_the_middle_of_a_body(five, key, size):
    """The next in rank gets all of the value: from the buffer, or copied from a replica."""
    value = b"%07d\n" % size * (size // 8)
    homes = five.homes(key)
    half = len(value) // 2
    head = b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (key, len(value))
    with five.begin_put(key, head + value[:half]) as wire:
        five.at(homes[1])[0].kill()
        wire.send(value[half:])
        assert wire.answer().status == 201
    places = five.get(key)["Key-Volumes"].split(",")
    assert len(places) == 3 and homes[1] not in places
    five.at(homes[1])[0].start()
    five.check_value(key, value, places)
    assert five.read(key) == value
    assert five.delete(key).status == 204
    five.no_files(key)


def test_delete_with_a_volume_down(five, key):
    """204 all the same; what could not be cleared is cleared when the volume is back, across a
    restart of the master; and the key can be used meanwhile."""
    five.live(key, VALUE)
    homes = places_of(five, key)
    down = five.at(homes[1])[0]
    down.kill()
    assert five.delete(key).status == 204
    assert five.get(key).status == 404
    assert five.key_files(key) == [five.file(homes[1], key)]
    five.live(key, b"new")
    places = five.get(key)["Key-Volumes"].split(",")
    assert five.master.stop() == 0
    five.master.start()
    assert five.read(key) == b"new"
    down.start()
    wait_until(lambda: len(five.key_files(key)) == 3, 60, "the old file gone")
    five.check_value(key, b"new", places)
    assert five.delete(key).status == 204
    five.no_files(key)


def test_volume_restarts_between_requests(kind):
    """Pooled connections that turn out closed are no failed volume: not one request fails, and
    every value is at home."""
    with Cluster(FIVE[kind]) as cluster:
        for turn in range(4):
            for number in range(5):
                key = b"/%d/%d" % (turn, number)
                cluster.live(key, VALUE)
                cluster.check_value(key, VALUE)
                assert cluster.read(key) == VALUE
            for volume in cluster.volumes:
                assert volume.stop() == 0
                volume.start()
