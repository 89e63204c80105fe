"""?list and ?unlinked: prefix, pages, start, what bytes look like in JSON."""

import json

import pytest

from http_raw import Connection, Wire, target


@pytest.fixture(scope="module")
def listed(cluster):
    """25 live keys below /lists/a/, 5 of them unlinked afterwards, and neighbours."""
    keys = [b"/lists/a/%02d" % number for number in range(25)]
    for key in keys + [b"/lists/a", b"/lists/b/1", b"/lists/", b"/listsx"]:
        cluster.live(key, key)
    for key in keys[::5]:
        assert cluster.unlink(key).status == 204
    live = [key for number, key in enumerate(keys) if number % 5]
    return cluster, live, keys[::5]


def page(cluster, prefix, query):
    answer = cluster.request("GET", prefix, query=query)
    assert answer.status == 200
    return json.loads(answer.body)


def test_whole(listed):
    cluster, live, unlinked = listed
    assert cluster.keys(b"/lists/a/") == live
    assert cluster.keys(b"/lists/a/", unlinked=True) == unlinked
    assert cluster.keys(b"/lists/a") == [b"/lists/a", *live]
    assert cluster.keys(b"/lists/") == [b"/lists/", b"/lists/a", *live, b"/lists/b/1"]
    assert cluster.keys(b"/nothing/here") == []
    assert cluster.keys(b"/nothing/here", unlinked=True) == []
    everything = cluster.keys(b"/")
    assert everything == sorted(everything) and b"/listsx" in everything


def test_shape(listed):
    cluster, live, _unlinked = listed
    answer = cluster.request("GET", b"/lists/a/1", query="list")
    assert json.loads(answer.body) == {
        "next": "",
        "keys": [key.decode() for key in live if key.startswith(b"/lists/a/1")],
    }
    assert "json" in answer["Content-Type"]


@pytest.mark.parametrize("limit", [1, 2, 7, 19, 20, 21, 1000])
def test_pages(listed, limit):
    cluster, live, unlinked = listed
    assert cluster.keys(b"/lists/a/", limit=limit) == live
    assert cluster.keys(b"/lists/a/", unlinked=True, limit=limit) == unlinked


def test_next(listed):
    cluster, live, _unlinked = listed
    first = page(cluster, b"/lists/a/", "list&limit=4")
    assert [key.encode() for key in first["keys"]] == live[:4]
    assert first["next"]
    second = page(cluster, b"/lists/a/", "list&limit=4&start=" + first["next"])
    assert [key.encode() for key in second["keys"]] == live[4:8]


def test_start(listed):
    cluster, live, _unlinked = listed
    for start, wanted in (
        ("/lists/a/07", [key for key in live if key >= b"/lists/a/07"]),
        ("/lists/a/05", [key for key in live if key >= b"/lists/a/05"]),  # an unlinked one
        ("/", live),  # before the prefix: from its beginning
        ("/lists/b", []),  # behind it: nothing of the neighbours
        ("/zzz", []),
    ):
        found = page(cluster, b"/lists/a/", f"list&start={start}")
        assert [key.encode() for key in found["keys"]] == wanted, start
        assert found["next"] == ""


def test_bad_limits(listed):
    cluster, _live, _unlinked = listed
    for limit in ("x", "1x", "-1", "1.5", "99999999999999999999"):
        answer = cluster.request("GET", b"/lists/", query=f"list&limit={limit}")
        assert answer.status == 400, limit
        assert answer.body.strip()


def test_methods(listed):
    cluster, live, _unlinked = listed
    answer = cluster.request("LIST", b"/lists/a/", query="list")
    assert [key.encode() for key in json.loads(answer.body)["keys"]] == live


def test_http_1_0(listed):
    """No chunks for a client that does not know them."""
    cluster, live, _unlinked = listed
    with Wire(cluster.master.address) as wire:
        wire.send(b"GET /lists/a/?list HTTP/1.0\r\n\r\n")
        answer = wire.answer()
        assert "transfer-encoding" not in answer.fields
        assert [key.encode() for key in json.loads(answer.body)["keys"]] == live


def test_bytes(cluster):
    keys = sorted(
        b"/bytes/" + rest
        for rest in (
            "ünï/日本/😀".encode(),
            b'quote"backslash\\slash/',
            b"control\x00\x01\x1f\x7f\n",
            b"lone \xff",
            b"lone \xfe",
            b"overlong \xc0\xaf",
            b"surrogate \xed\xa0\x80",
            b"escape's own spelling \xed\xb3\xbf",
            b"cut \xe6\x97",
            b"<html> & 'more' \xe2\x80\xa8",
        )
    )
    for key in keys:
        cluster.live(key, key)
    raw = cluster.request("GET", b"/bytes/", query="list").body
    text = raw.decode("utf-8")  # strictly
    found = json.loads(text)["keys"]
    assert [key.encode("utf-8", "surrogateescape") for key in found] == keys
    assert "ünï/日本/😀" in text
    for limit in (1, 3):
        assert cluster.keys(b"/bytes/", limit=limit) == keys
    for key in keys:
        assert cluster.keys(key) == [key]


def test_large(cluster):
    """More than fits into one buffer, answered in pieces on a connection that goes on."""
    keys = [b"/large/%04d/" % number + b"x" * 700 for number in range(500)]
    connection = Connection(cluster.master.address)
    for key in keys:
        assert connection.request("PUT", target(key), b"v").status == 201
    answer = connection.request("GET", target(b"/large/", "list"))
    assert [key.encode() for key in json.loads(answer.body)["keys"]] == keys
    assert connection.request("GET", target(keys[0])).status == 302
    connection.close()
