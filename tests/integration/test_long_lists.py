"""Lists of more than a million keys: bounded memory, and nobody else waits for them."""

import json
import os
import threading

import pytest

import http_raw
import leveldb
from cluster import Cluster
from server_process import SANITIZER

KEYS = 1_000_500
MIB = 1 << 20


@pytest.fixture(scope="module")
def many():
    with Cluster(("volumed",), replicas=1, subvolumes=1, start=False) as cluster:
        with leveldb.Database(str(cluster.master.db), create=True) as db:
            record = b"127.0.0.1:1"
            db.put_many((b"/many/%07d" % number, record) for number in range(KEYS))
        cluster.start()
        yield cluster


def test_without_a_limit_is_refused(many):
    assert many.request("GET", "/", query="list").status == 413
    # Nothing of it is unlinked: looked through to its end, within bounded turns.
    assert many.keys("/", unlinked=True) == []


def test_whole_in_one_page(many):
    """Other requests are answered while the list is on its way, and it sits in no memory."""
    before = many.master.peak_rss()
    done = threading.Event()
    between = 0

    def ask_meanwhile() -> None:
        nonlocal between
        while not done.is_set():
            assert many.get("/not/there").status == 404
            between += 1

    asking = threading.Thread(target=ask_meanwhile)
    asking.start()
    try:
        answer = many.request("GET", "/many/", query=f"list&limit={KEYS}")
    finally:
        done.set()
        asking.join()
    page = json.loads(answer.body)
    assert page["next"] == ""
    assert len(page["keys"]) == KEYS
    assert page["keys"][0] == "/many/0000000" and page["keys"][-1] == f"/many/{KEYS - 1:07d}"
    assert page["keys"] == sorted(set(page["keys"]))
    assert between > 10
    if not SANITIZER:
        # LevelDB's cache of blocks is in it.
        assert many.master.peak_rss() - before < 32 * MIB


def test_a_slow_reader_holds_the_scan_not_memory(many):
    before = many.master.peak_rss()
    wires = [http_raw.Wire(many.master.address) for _ in range(20)]
    try:
        for wire in wires:
            wire.send(b"GET /many/?list&limit=1000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        for wire in wires:
            assert wire.socket.recv(64).startswith(b"HTTP/1.1 200")
        for _ in range(100):
            assert many.get("/not/there").status == 404
        if not SANITIZER:
            assert many.master.peak_rss() - before < 32 * MIB
    finally:
        for wire in wires:
            wire.close()
    assert os.path.exists(f"/proc/{many.master.pid}")
