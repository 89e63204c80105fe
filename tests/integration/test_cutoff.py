"""A PUT that does not come whole leaves the key what it was, free at once, and no volume keeps
anything of it: cut half way, shorter than its Content-Length, broken in its chunks, or with a
Content-MD5 that is another's."""

import hashlib
import socket
import struct
import time

import pytest

from cluster import Cluster
from http_raw import Wire
from server_process import wait_until

OLD = b"the unlinked value"
SIZES = (10, 3000, 300_000, 6_000_000)


def head(key: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([b"PUT %s HTTP/1.1" % key, b"Host: h", *lines, b"", b""])


def reset(wire: Wire) -> None:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def whole(key: bytes, value: bytes, *lines: bytes) -> bytes:
    return head(key, b"Content-Length: %d" % len(value), *lines) + value


def chunked(key: bytes, value: bytes, end: bytes, *lines: bytes) -> bytes:
    half = len(value) // 2
    pieces = (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (value[:half], value[half:]))
    return head(key, b"Transfer-Encoding: chunked", *lines) + b"".join(pieces) + end


def wrong_md5(value: bytes) -> bytes:
    return b"Content-MD5: " + hashlib.md5(value + b"!").hexdigest().encode()


def half_close(wire: Wire) -> None:
    """The client has sent all it will, and would read an answer."""
    wire.socket.shutdown(socket.SHUT_WR)
    while wire.socket.recv(65536):
        pass
    wire.close()


# What is sent, and how the client then ends it.
CUTS = {
    "closed half way": (lambda k, v: whole(k, v)[: -(len(v) // 2)], Wire.close),
    "reset half way": (lambda k, v: whole(k, v)[: -(len(v) // 2)], reset),
    "one byte short": (lambda k, v: whole(k, v)[:-1], Wire.close),
    "length that lies": (lambda k, v: whole(k, v * 2)[: -len(v)], half_close),
    "only the head": (lambda k, v: whole(k, v)[: -len(v)], Wire.close),
    "chunks without an end": (lambda k, v: chunked(k, v, b""), Wire.close),
    "chunk cut": (lambda k, v: chunked(k, v, b"")[:-3], Wire.close),
}
# Whole requests that are answered 400.
REFUSED = {
    "chunk malformed": lambda k, v: chunked(k, v, b"nonsense\r\n"),
    "wrong md5": lambda k, v: whole(k, v, wrong_md5(v)),
    "wrong md5, chunked": lambda k, v: chunked(k, v, b"0\r\n\r\n", wrong_md5(v)),
}


@pytest.fixture(scope="module", autouse=True)
def last_look(cluster, request):
    """When all of the module's tests are through: nothing but what they left on purpose."""
    kept: dict[bytes, bytes] = {}
    failed = request.session.testsfailed
    yield kept
    if request.session.testsfailed != failed:
        return  # a test that failed has not said what it left
    time.sleep(0.5)  # for what would come late, there is nothing to wait for
    found = cluster.files()
    for key in list(kept):
        for path in cluster.key_files(key):
            assert path.read_bytes() == kept[key]
    assert len(found) == 3 * len(kept)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", [*CUTS, *REFUSED])
@pytest.mark.parametrize("state", ["absent", "unlinked"])
def test_cut(cluster: Cluster, key, last_look, state, way, size):
    key = key.replace(b" ", b"-")
    value = (b"%08d" % size * (size // 8 + 1))[:size]
    if state == "unlinked":
        cluster.unlinked(key, OLD)
    before = cluster.files()
    # Changes nothing of such a key.
    probe = "DELETE" if state == "absent" else "UNLINK"
    if way in CUTS:
        sent, end = CUTS[way]
        end(cluster.begin_put(key, sent(key, value), probe))
    else:
        with Wire(cluster.master.address) as wire:
            wire.send(REFUSED[way](key, value))
            assert wire.answer().status == 400
    if way in CUTS:
        # The server has yet to see that the client is gone; then the key is free at once.
        wait_until(lambda: cluster.request(probe, key).status == 404, 3, "the key is free")
    assert cluster.files() == before
    assert cluster.get(key).status == 404
    if state == "unlinked":
        assert cluster.relink(key).status == 204
        assert cluster.read(key) == OLD
        cluster.check_value(key, OLD)
        assert cluster.unlink(key).status == 204
    else:
        assert cluster.keys(key) == cluster.keys(key, unlinked=True) == []
        assert cluster.relink(key).status == 404
    # Free to use at once.
    assert cluster.put(key, b"after").status == 201
    assert cluster.read(key) == b"after"
    if state == "absent":
        cluster.check_value(key, b"after")
    wait_until(lambda: len(cluster.key_files(key)) == 3, 10, "one value, three replicas")
    last_look[key] = b"after"


def test_cut_many_at_once(cluster: Cluster, key):
    """A crowd of bodies cut at the same moment, and nothing of any of them."""
    before = cluster.files()
    wires = []
    for number in range(60):
        this = key + b"/%d" % number
        sent = head(this, b"Content-Length: 1000000") + b"x" * 400_000
        wires.append(cluster.begin_put(this, sent))
    for wire in wires:
        reset(wire)
    for number in range(60):
        this = key + b"/%d" % number
        wait_until(lambda this=this: cluster.delete(this).status == 404, 5, "the key is free")
        assert cluster.key_files(this) == []
    assert cluster.files() == before


def test_client_that_leaves_after_the_last_byte(cluster: Cluster, key, last_look):
    """Once the whole body is there, the client's leaving changes nothing: the value is there
    whole or not at all, and the key is free again."""
    for number in range(40):
        this = key + b"/%d" % number
        value = b"%d" % number * 30_000
        wire = Wire(cluster.master.address)
        wire.send(head(this, b"Content-Length: %d" % len(value)) + value)
        if number % 2:
            reset(wire)
        else:
            wire.close()
    looks: list[tuple] = []

    def at_rest() -> bool:
        """Nothing has changed since half a second ago, and nothing is under way."""
        states = [cluster.relink(key + b"/%d" % number).status for number in range(40)]
        now = time.monotonic()
        looks.append((now, states, cluster.keys(key)))
        return all(look[1:] == looks[-1][1:] for look in looks if look[0] > now - 0.5) and (
            looks[0][0] < now - 0.5 and states == [404] * 40
        )

    wait_until(at_rest, 10, "the PUTs are over")
    for number in range(40):
        this = key + b"/%d" % number
        value = b"%d" % number * 30_000
        if cluster.get(this).status == 302:
            assert cluster.read(this) == value
            cluster.check_value(this, value)
            last_look[this] = value
        else:
            cluster.no_files(this)
