"""What a store must be once all is up and at rest, whatever happened to it before: every key is one
of the things it may be (key_model.py), on every replica; and when all are deleted, nothing is left.
"""

import re
import time

import http_raw
import leveldb
from cluster import Cluster, md5_hex
from key_model import KeyModel
from server_process import wait_until


def settled(cluster: Cluster, method: str, key: bytes) -> http_raw.Answer:
    """The answer once nothing is under way any more and every volume can be asked."""
    found: list[http_raw.Answer] = []

    def ask() -> bool:
        cluster.check_running()
        found[:] = [cluster.request(method, key)]
        return found[0].status not in (409, 503)

    wait_until(ask, 60, f"a definite answer to {method} {key!r}")
    return found[0]


def inspect(cluster: Cluster, models: list[KeyModel], least: int = 3) -> None:
    """All is up and at rest: every key is one of the things it may be, on every replica, on so
    many volumes at least."""
    live, unlinked = set(cluster.keys("/")), set(cluster.keys("/", unlinked=True))
    assert not live & unlinked
    for model in models:
        key = model.key
        answer = settled(cluster, "GET", key)
        model.pending = False
        assert (answer.status == 302) == (key in live), model.violated(f"GET: {answer.status}")
        if key in unlinked:
            if not model.may_be("unlinked"):
                raise model.violated("?unlinked names it")
            # What was unlinked is still whole.
            assert settled(cluster, "RELINK", key).status == 204
            model.answered("RELINK", 204)
            answer = settled(cluster, "GET", key)
        elif answer.status == 404:
            if not model.may_be("absent"):
                raise model.violated("it is gone")
        if answer.status == 302:
            places = answer["Key-Volumes"].split(",")
            # A REBALANCE that got on with it only in part leaves more.
            assert len(set(places)) == len(places)
            assert len({place.split("/")[0] for place in places}) >= least, answer
            for place in places:
                path = cluster.file(place, key)
                if not path.is_file():
                    raise model.violated(f"no file at {place}")
                value = path.read_bytes()
                model.read(value)
                assert md5_hex(value) == answer["Content-Md5"]
            model.read(cluster.read(key))
        else:
            assert answer.status == 404, model.violated(f"GET: {answer.status}")
    known = {model.key for model in models}
    assert live | unlinked <= known


def pass_an_hour(cluster: Cluster) -> int:
    """Removals that stay listed for an hour, in case a request still arrives, are made due: as if
    that hour were over. Returns how many there were.

    Due shortly after the master's start, that is: what was due before it counts as from an earlier
    life, and stays for an hour anew."""
    count, soon = 0, int(time.time()) + 3
    with leveldb.Database(str(cluster.master.db)) as db:
        for name, value in list(db.items()):
            if not name.startswith(b"/"):
                changed, some = re.subn(rb"(?m)^removal \d+ \d+ ", b"removal %d 1 " % soon, value)
                count += some
                if some:
                    db.put(name, changed)
    return count


def clear(cluster: Cluster, models: list[KeyModel]) -> None:
    """Once every key is deleted, no file is left on any volume, nor a word of one in the index."""
    for model in models:
        assert settled(cluster, "DELETE", model.key).status in (204, 404)
    assert cluster.keys("/") == cluster.keys("/", unlinked=True) == []

    def empty() -> bool:
        cluster.check_running()
        return not cluster.files()

    # What a stopped nginx did late, after its master had given it up, goes an hour later.
    try:
        wait_until(empty, 8, "no file on any volume")
    except AssertionError:
        left = cluster.files()
        assert cluster.master.stop() == 0
        _records, others = cluster.index()
        listed = b"\n".join(others.values())
        for number, path in left:
            place = cluster.volumes[number].authority + "/" + path.split("/")[0]
            assert b" " + place.encode() + b"\n" in listed, f"nobody knows of {place} {path}"
        cluster.master.start()
    assert cluster.master.stop() == 0
    print(f"removals kept for an hour: {pass_an_hour(cluster)}")
    cluster.master.start()
    wait_until(empty, 30, "no file on any volume, an hour later")

    def forgotten() -> bool:
        records, others = cluster.index()
        assert records == {}
        return not [v for v in others.values() if re.search(rb"(?m)^(removal|mark) ", v)]

    wait_until(forgotten, 40, "no removal listed")
