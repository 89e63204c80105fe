"""What a volume is sent and not seen to answer may be carried out by and by, whatever has been
decided since: it must find nothing there that lives. And what a volume was sent in part must
never be carried out."""

import socket
import threading
import time
from pathlib import Path

import pytest

from cluster import KINDS, Cluster, Volume
from http_raw import Wire
from server_process import wait_until
from test_cutoff import CUTS, SIZES


class Relay:
    """Stands between master and volume, like a forwarder of ports. A request that it is told to
    hold it takes whole, hangs up on the master, and hands it to the volume only when told so."""

    def __init__(self, volume: tuple[str, int]):
        self.volume = volume
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.method: bytes | None = None  # of the request to be held
        self.held: list[tuple[socket.socket, bytes]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                master, _address = self.listener.accept()
            except OSError:
                return
            volume = socket.create_connection(self.volume)
            threading.Thread(target=self._requests, args=(master, volume), daemon=True).start()
            threading.Thread(target=self._pump, args=(volume, master), daemon=True).start()

    def _requests(self, master: socket.socket, volume: socket.socket) -> None:
        """The values here are so small that each request comes in one piece."""
        for number in range(1_000_000):
            request = master.recv(65536)
            if not request:
                volume.close()
                return
            if number > 0 and self.method and request.startswith(self.method):
                self.method = None
                self.held.append((volume, request))
                master.shutdown(socket.SHUT_RDWR)
                return
            volume.sendall(request)

    @staticmethod
    def _pump(volume: socket.socket, master: socket.socket) -> None:
        try:
            while data := volume.recv(65536):
                master.sendall(data)
        except OSError:
            pass
        master.close()

    def release(self) -> None:
        for volume, request in self.held:
            volume.sendall(request)
        self.held.clear()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class RelayedVolume(Volume):
    relay: Relay

    @property
    def authority(self) -> str:
        return "%s:%d" % self.relay.address


@pytest.fixture
def relayed():
    """Three volumes, two replicas; the first volume's requests pass a relay."""
    cluster = Cluster(
        KINDS["volumed"], replicas=2, flags=("-loops", "1", "-answertimeout", "5s"), start=False
    )
    first = RelayedVolume(cluster.logs, 0, "volumed", cluster.volumes[0].root)
    first.relay = Relay(first.address)
    cluster.volumes[0] = first
    with cluster:
        cluster.start()
        yield cluster, first.relay
        first.relay.close()


def key_at(cluster: Cluster, volume: Volume, prefix: bytes) -> bytes:
    for n in range(100):
        key = prefix + b"/%d" % n
        if any(cluster.at(home)[0] is volume for home in cluster.homes(key)):
            return key
    raise AssertionError("no key has its home there")


def places(cluster: Cluster, key: bytes) -> list[Path]:
    records, _rest = cluster.index()
    return [cluster.file(place, key) for place in records[key][2]]


@pytest.mark.parametrize("method", ["DELETE", "PUT"])
def test_taken_but_not_answered(relayed, key, method):
    """The volume's connection ends under a request that it has taken whole. It must not be asked
    again on another one as if the first could come no more."""
    cluster, relay = relayed
    mine = key_at(cluster, cluster.volumes[0], key)
    # So that there are connections that have been used before.
    cluster.live(key_at(cluster, cluster.volumes[0], key + b"/other"))
    if method == "PUT":
        relay.method = b"PUT"
    cluster.live(mine, b"the first")
    if method == "DELETE":
        relay.method = b"DELETE"
    assert cluster.delete(mine).status == 204
    assert relay.method is None, "no request was held"
    cluster.live(mine, b"the second")

    before = {path: path.stat().st_ino for path in places(cluster, mine)}
    assert len(before) == 2
    relay.release()
    wait_until(lambda: late_is_done(cluster, method, mine, before), 5, "the late request")
    for path in before:
        assert path.read_bytes() == b"the second", path
    assert cluster.read(mine) == b"the second"


def late_is_done(cluster: Cluster, method: str, key: bytes, living: dict) -> bool:
    """The late request has left its trace: on another place than those that count, or on one of
    them, which is what must not be."""
    if any(not p.exists() or p.stat().st_ino != inode for p, inode in living.items()):
        return True
    others = [path for path in cluster.key_files(key) if path not in living]
    return bool(others) == (method == "PUT")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", CUTS)
def test_volume_keeps_no_part(cluster: Cluster, key, way, size):
    """A volume, of either kind, makes no file of a body that was cut: all of the above rests on
    it. Asked directly, and with chunks as well as with a length."""
    made, end = CUTS[way]
    path = b"/sv00/aa/bb/" + key[1:].replace(b"/", b"-").replace(b" ", b"-")
    for volume in cluster.volumes:
        wire = Wire(volume.address)
        wire.send(made(path, b"x" * size))
        end(wire)
    for volume in cluster.volumes:
        assert volume.request("GET", path.decode()).status == 404
    time.sleep(0.1)
    for volume in cluster.volumes:
        assert not [name for name in volume.files() if name.endswith(path.decode()[12:])]
