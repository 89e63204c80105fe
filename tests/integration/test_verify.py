"""`mkv verify`: every copy is read back and held against the recorded MD5. What is missing, corrupt
or nobody's is reported, and mended or deleted only where that is asked for."""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

import http_raw
import placement
from cluster import Cluster
from elastic import FIVE, Elastic, corrupt, fill, odd_keys
from hostile_volume import HostileVolume
from server_process import BIN, SLOW, limit, wait_until

OLD = time.time() - 8 * 24 * 3600


class Verified(Elastic):
    def verify(self, *flags: str, status: int = 0) -> str:
        """In a process of its own; what it wrote."""
        return self._run(self.command(*flags, what="verify"), status)

    def verify_online(self, *flags: str, status: int = 0) -> str:
        argv = [str(BIN / "mkv"), "-master", self.master.authority, *flags, "verify"]
        return self._run(argv, status)

    def _run(self, argv: list[str], status: int) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=90 * SLOW, check=False)
        assert done.returncode == status, (done.returncode, done.stderr[-4000:])
        return done.stderr

    def stopped(self) -> None:
        assert self.master.stop() == 0


def counts(text: str) -> tuple[int, int, int]:
    """Keys, mended, failed: as the last line says."""
    found = re.search(r"verify: ([\d,]+) keys in .*: ([\d,]+) mended, ([\d,]+) failed", text)
    assert found, text
    return tuple(int(n.replace(",", "")) for n in found.groups())


def reports(text: str, what: str) -> int:
    """Lines of single findings that say so."""
    return sum(what in line and " warn verify: " in line for line in text.splitlines())


@pytest.fixture
def cluster(kind):
    with Verified(FIVE[kind]) as made:
        yield made


def whole(cluster: Cluster, values: dict[bytes, bytes]) -> None:
    for key, value in values.items():
        for place in cluster.homes(key):
            assert cluster.file(place, key).read_bytes() == value, (key, place)


def test_found_and_mended(cluster):
    values = fill(cluster, odd_keys(30))
    cluster.stopped()
    index = cluster.index()
    assert counts(cluster.verify("-jobs", "5")) == (len(values), 0, 0)

    keys = list(values)
    for number, key in enumerate(keys[:24]):  # unlinked ones among them
        path = cluster.file(cluster.homes(key)[number % 3], key)
        if number % 3 == 0:
            path.unlink()
        elif number % 3 == 1:
            corrupt(path)
        else:
            path.write_bytes(values[key] + b"!")
    before = {path: path.read_bytes() for key in keys for path in cluster.key_files(key)}
    text = cluster.verify(status=1)
    assert counts(text) == (len(values), 0, 24)
    assert reports(text, " is missing") == 8 and reports(text, " is corrupt") == 16
    after = {path: path.read_bytes() for key in keys for path in cluster.key_files(key)}
    assert after == before, "without -repair it only looks"

    assert counts(cluster.verify("-repair")) == (len(values), 24, 0)
    whole(cluster, values)
    assert cluster.files() == cluster.expected(values)
    assert counts(cluster.verify("-repair")) == (len(values), 0, 0)
    assert cluster.index()[0] == index[0]
    cluster.start()


def test_sums_of_every_size(cluster):
    """Values on either side of what is summed where it is read, and large ones; the first, a
    middle or the last byte is another."""
    sizes = [1, 65_535, 65_536, 65_537, 262_144, 1_000_003, 9_000_000]
    values = {b"/sum/%d" % size: os.urandom(size) for size in sizes}
    for key, value in values.items():
        cluster.live(key, value)
    cluster.stopped()
    assert counts(cluster.verify()) == (len(sizes), 0, 0)
    for number, (key, value) in enumerate(values.items()):
        rotten, gone, _ = (cluster.file(place, key) for place in cluster.homes(key))
        data = bytearray(value)
        data[(0, len(data) // 3, -1)[number % 3]] ^= 1
        rotten.write_bytes(data)
        gone.unlink()
    text = cluster.verify(status=1)
    assert reports(text, "is corrupt") == len(sizes) == reports(text, "is missing")
    assert counts(cluster.verify("-repair")) == (len(sizes), len(sizes), 0)
    whole(cluster, values)
    cluster.start()


def test_nothing_to_mend_from(cluster):
    """None of the copies is right; and copies that differ where no MD5 is recorded."""
    values = fill(cluster, [b"/rotten", b"/differ", b"/agree", b"/fine"])
    cluster.stopped()
    for place in cluster.homes(b"/rotten"):
        corrupt(cluster.file(place, b"/rotten"))
    for key in (b"/differ", b"/agree"):
        cluster.write_record(key, "live", "", cluster.homes(key))
    corrupt(cluster.file(cluster.homes(b"/differ")[0], b"/differ"))
    cluster.file(cluster.homes(b"/agree")[0], b"/agree").unlink()
    before = {path: path.read_bytes() for key in values for path in cluster.key_files(key)}
    text = cluster.verify("-repair", status=1)
    assert counts(text) == (4, 1, 2)
    assert reports(text, "no MD5 is recorded") == 1 and reports(text, "is corrupt") == 1
    mended = cluster.file(cluster.homes(b"/agree")[0], b"/agree")
    assert mended.read_bytes() == values[b"/agree"]
    for path, data in before.items():
        assert path.read_bytes() == data
    cluster.start()


def test_orphans(cluster):
    values = fill(cluster, odd_keys(10))
    lost = cluster.at(cluster.homes(b"/waits")[0])[0]
    cluster.live(b"/waits")
    lost.kill()
    assert cluster.delete(b"/waits").status == 204  # a removal stays listed: no orphan
    cluster.stopped()
    lost.start()

    def stray(key: bytes, place: str, age: bool) -> Path:
        path = cluster.file(place, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"nobody's")
        if age:
            os.utime(path, (OLD, OLD))
        return path

    first = cluster.volumes[0].authority
    key = b"/k/1"
    others = [n for n in range(10) if f"{first}/sv{n:02X}" not in cluster.homes(key)]
    old = [
        stray(b"/never/heard of", f"{first}/sv05", True),
        stray(key, f"{first}/sv{others[0]:02X}", True),
        stray(b"/at the top", first, True),
    ]
    young = stray(b"/young", f"{first}/sv01", False)
    foreign = old[0].parent / "no key has this name"
    foreign.write_bytes(b"foreign")
    os.utime(foreign, (OLD, OLD))

    text = cluster.verify(status=1)
    assert reports(text, "is named by nothing") == 4
    assert reports(text, "is no file of ours") == 1
    assert all(path.exists() for path in [*old, young, foreign])

    text = cluster.verify("-delete-orphans", status=1)
    assert reports(text, "too young") == 1 and reports(text, "is no file of ours") == 1
    assert young.exists() and foreign.exists()
    assert not any(path.exists() for path in old)
    foreign.unlink()
    cluster.verify("-delete-orphans", "-orphan-age", "0s")
    assert not young.exists()
    whole(cluster, values)
    cluster.start()
    cluster.no_files(b"/waits")
    assert cluster.files() == cluster.expected(values)


def test_subvolume_that_is_no_folder(cluster):
    """A link to a disk that is not mounted, say: what is there cannot be read."""
    values = fill(cluster, odd_keys(5))
    cluster.stopped()
    named = {place for key in values for place in cluster.homes(key)}
    first = cluster.volumes[0]
    free = next(n for n in range(10) if f"{first.authority}/sv{n:02X}" not in named)
    gone = first.root / f"sv{free:02X}"
    gone.symlink_to(first.root / "not mounted")
    text = cluster.verify(status=1)
    assert counts(text) == (len(values), 0, 1)
    assert reports(text, f'"sv{free:02X}" is no folder; is its disk there?') == 1
    gone.unlink()
    assert counts(cluster.verify()) == (len(values), 0, 0)
    cluster.start()


def test_volume_down(cluster):
    """What cannot be read is no success; the rest is looked at, and mended."""
    values = fill(cluster, odd_keys(20))
    cluster.stopped()
    down, other = cluster.volumes[0], cluster.volumes[1]
    keys = [k for k in values if len({down.authority, other.authority} & names_of(cluster, k)) == 2]
    for key in keys:
        corrupt(cluster.file(place_on(cluster, key, other), key))
    assert keys
    down.kill()
    text = cluster.verify("-repair", status=1)
    assert reports(text, "could not be read") > 0
    down.start()
    whole(cluster, values)
    assert counts(cluster.verify())[2] == 0
    cluster.start()


def names_of(cluster: Cluster, key: bytes) -> set[str]:
    return {home.partition("/")[0] for home in cluster.homes(key)}


def place_on(cluster: Cluster, key: bytes, volume) -> str:
    (place,) = [home for home in cluster.homes(key) if home.startswith(volume.authority)]
    return place


def test_online_under_load(cluster):
    """What comes and goes meanwhile is neither wrong nor nobody's."""
    values = fill(cluster, odd_keys(20))
    victim = list(values)[3]
    cluster.file(cluster.homes(victim)[1], victim).unlink()
    stop, wrong = threading.Event(), []

    def churn(number: int) -> None:
        connection = http_raw.Connection(cluster.master.address)
        turn = 0
        while not stop.is_set():
            turn += 1
            target = f"/churn/{number}/{turn % 7}"
            size = (20, 70_000, 400_000)[turn % 3]
            for method, body in (("PUT", os.urandom(size)), ("UNLINK", None), ("DELETE", None)):
                status = connection.request(method, target, body).status
                # The verifier has the key only while it mends, which it does not do here.
                if status not in (201, 204):
                    wrong.append((method, target, status))
        connection.close()

    threads = [threading.Thread(target=churn, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        text = cluster.verify_online(status=1)
        assert "1 failed" in text and "is missing" in text, text
        text = cluster.verify_online("-repair")
        assert "0 failed" in text, text
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:5]
    whole(cluster, values)
    cluster.no_strays(values)
    (job,) = [job for job in cluster.jobs() if job["kind"] == "verify"]
    assert job["state"] == "ended" and job["failed"] == 0 and job["changed"] == 1


def test_findings_too_long_for_their_room():
    """They are cut between two characters: whoever watches can read the rest."""
    with Verified(FIVE["volumed"]) as cluster:
        values = cluster.volumes[0].root / "sv00" / "00" / "00"
        for shift in range(2):
            path = values.joinpath("A" * 200, "A" * 200, "A" * shift + "é" * 120)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"foreign")
        text = cluster.verify_online(status=1)
        assert len([line for line in text.splitlines() if line.endswith("é")]) == 2, text
        assert "verify: done: 0 keys, 0 mended, 2 failed" in text


def test_requests(cluster):
    assert cluster.request("POST", "/", query="verify&burn").status == 400
    assert cluster.request("POST", "/key", query="verify").status == 403
    assert cluster.request("POST", "/", query="verify&repair&delete-orphans").status == 202
    wait_until(lambda: cluster.jobs()[0]["state"] == "ended", 20, "the end of the job")


class BreaksOff(HostileVolume):
    """Gives three bytes of a value."""

    def _answer(self, connection, method, target, length):
        if method == "GET" and target in self.lengths:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.lengths[target]
            connection.sendall(head + b"a v")
            raise OSError
        super()._answer(connection, method, target, length)


def test_bytes_are_those_that_were_read():
    """All of a good copy, what came of one that broke off, none of one of another size."""
    bad = BreaksOff()

    class WithBad(Verified):
        def names(self) -> list[str]:
            return [*super().names()[:2], bad.authority]

    with WithBad(["volumed"] * 2) as cluster:
        key, value = b"/k", b"a value"
        cluster.live(key, value)
        (place, *_others) = [p for p in cluster.homes(key) if not p.startswith(bad.authority)]
        cluster.file(place, key).write_bytes(b"x" * 1000)
        cluster.verify_online(status=1)
        (job,) = cluster.jobs()
        assert job["bytes"] == len(value) + len(b"a v")
    bad.close()


class GivesOnce(HostileVolume):
    """Gives its value to the first GET alone."""

    gets = 0

    def _answer(self, connection, method, target, length):
        if method == "GET" and target in self.lengths:
            self.gets += 1
            status, body = (b"200 OK", b"a value") if self.gets == 1 else (b"500 Gone bad", b"")
        elif method == "GET" and target.endswith("/"):
            status, body = b"200 OK", b"[]"
        else:
            super()._answer(connection, method, target, length)
            return
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)


class CannotTell(HostileVolume):
    """Lists one file, and does not say whether it is there."""

    path = ""  # of the file
    deletes = 0

    def _answer(self, connection, method, target, length):
        status, body = b"500 Gone bad", b""
        self.deletes += method == "DELETE"
        if method == "GET" and self.path.startswith(target) and target.endswith("/"):
            name, slash, _rest = self.path[len(target) :].partition("/")
            status = b"200 OK"
            body = b'[{"name":"%s","type":"%s","mtime":"Sat, 01 Mar 2025 00:00:00 GMT"%s}]' % (
                name.encode(),
                b"directory" if slash else b"file",
                b"" if slash else b',"size":5',
            )
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)


@pytest.mark.parametrize("mood", ["well", "hangs before the answer"])
def test_what_cannot_be_asked_for_is_no_orphan(mood):
    """Neither called one nor deleted: an answer of 500, or none, says nothing."""
    bad = CannotTell()
    bad.mood, bad.only = mood, "HEAD"
    bad.path = placement.disk_path(b"/stray")

    class WithBad(Verified):
        def names(self) -> list[str]:
            return [*super().names()[:2], bad.authority]

    with WithBad(["volumed"] * 2) as cluster:
        cluster.stopped()
        text = cluster.verify("-delete-orphans", "-orphan-age", "0s", status=1)
        assert counts(text) == (0, 0, 1), text
        assert reports(text, "could not be asked for") == 1, text
        assert reports(text, "is named by nothing") == 0, text
        assert bad.deletes == 0
        cluster.start()
    bad.close()


def test_mended_from_the_next_copy():
    """The copy that was right when it was looked at cannot be read once more."""
    once = GivesOnce()

    class WithOnce(Verified):
        def names(self) -> list[str]:
            return [*super().names()[:2], once.authority]

    with WithOnce(["volumed"] * 2) as cluster:
        key = next(
            key
            for key in (b"/mended/%d" % n for n in range(100))
            if cluster.homes(key)[0].startswith(once.authority)
        )
        value = cluster.live(key)
        lost = cluster.file(cluster.homes(key)[1], key)
        lost.unlink()
        assert "1 keys, 1 mended, 0 failed" in cluster.verify_online("-repair")
        assert once.gets == 2
        assert lost.read_bytes() == value
        assert cluster.delete(key).status == 204
    once.close()


@pytest.mark.parametrize("by", ["verify", "REBALANCE"])
def test_a_copy_that_may_still_arrive(by):
    """A volume takes the mending copy whole and does not answer. It may carry it out when the key
    has gone and the place is another value's: the place leaves the record, and is cleared later."""
    bad = HostileVolume()

    class WithBad(Verified):
        def names(self) -> list[str]:
            return [*super().names()[:2], bad.authority]

    limits = ["-answertimeout", limit(500), "-stalltimeout", limit(500)]
    with WithBad(["volumed"] * 2, flags=limits) as cluster:
        key = b"/mended"
        cluster.live(key)
        (place,) = [home for home in cluster.homes(key) if home.startswith(bad.authority)]
        bad.lengths.clear()  # it says 404 to a GET in any case
        bad.mood, bad.only = "hangs before the answer", "PUT"
        if by == "verify":
            text = cluster.verify_online("-repair", status=1)
            assert "fell silent" in text, text
        else:
            assert cluster.request("REBALANCE", key).status == 400
        bad.mood = "well"
        answer = cluster.get(key)
        assert answer["Key-Volumes"].split(",") == [h for h in cluster.homes(key) if h != place]
        assert cluster.read(key) == b"a value"
        assert cluster.delete(key).status == 204
        cluster.stopped()
        _records, others = cluster.index()
        assert re.search(rb"removal \d+ [1-9]\d* " + place.encode(), others[b"places" + key])
        bad.close()


def test_many_orphans(cluster):
    """More than are deleted at a time, or looked up in a turn; and one whose age nobody knows."""
    first = cluster.volumes[0].authority
    old = []
    for number in range(700):
        key = b"/nobody's/%d" % number
        path = cluster.file(f"{first}/sv0{number % 3}", key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (OLD, OLD))
        old.append(path)
    ageless = old.pop()
    os.utime(ageless, (0, 0))
    cluster.stopped()
    text = cluster.verify("-delete-orphans", status=1)
    assert reports(text, "too young") == 1
    assert not any(path.exists() for path in old) and ageless.exists()
    ageless.unlink()
    assert counts(cluster.verify()) == (0, 0, 0)
    cluster.start()


def test_readers_without_end():
    """A volume whose answers have no length, another one than the value's, or drip."""
    bad = HostileVolume()

    class WithBad(Verified):
        def names(self) -> list[str]:
            return [*super().names()[:2], bad.authority]

    with WithBad(["volumed"] * 2, flags=["-answertimeout", limit(500), "-listtimeout", limit(500)]) as cluster:
        cluster.live(b"/key")
        bad.only = "GET"
        for mood in ("answers without a length", "answers without end", "drips"):
            bad.mood = mood
            text = cluster.verify_online(status=1)
            assert "could not be read" in text or "is corrupt" in text, text
        bad.close()
