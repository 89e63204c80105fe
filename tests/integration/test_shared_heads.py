"""GETs of many clients that come up in one turn of the master, whose HEADs share connections to
the volumes: each gets the answer that is its own, whatever the volume does to a connection.

The master stands still while the GETs are sent, so that it finds all of them at once."""

import contextlib
import socket
import socketserver
import threading

import pytest

import placement
from cluster import Cluster, Volume, location_parts
from http_raw import Wire, target
from server_process import wait_until

CLIENTS = 64
# nginx closes a connection after so many requests, with those behind unanswered.
KEEPALIVE_REQUESTS = 1000


@contextlib.contextmanager
def clients(cluster: Cluster, number: int = CLIENTS):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Wire(cluster.master.address)) for _ in range(number)]


def send_at_once(cluster: Cluster, wires: list[Wire], keys: list[bytes]) -> None:
    cluster.master.pause()
    for wire, key in zip(wires, keys, strict=True):
        wire.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target(key).encode())
    cluster.master.resume()


def check_redirect(cluster: Cluster, wire: Wire, key: bytes) -> None:
    answer = wire.answer()
    assert answer.status == 302, (key, answer)
    authority, path = location_parts(answer)
    volume, _sub = cluster.at(authority)
    assert (volume.root / path.decode()[1:]).is_file()
    assert path.endswith(placement.disk_path(key).encode())


def live_keys(cluster: Cluster, key: bytes, number: int = CLIENTS) -> list[bytes]:
    keys = [key + b"/%d" % n for n in range(number)]
    for one in keys:
        cluster.live(one, one)
    return keys


def test_each_gets_its_own(cluster, key):
    keys = live_keys(cluster, key)
    absent = [key + b"/absent/%d" % n for n in range(8)]
    lost = keys[:3]  # the record stands, the files do not
    for one in lost:
        for file in cluster.key_files(one):
            file.unlink()
    with clients(cluster, CLIENTS + len(absent)) as wires:
        for _round in range(5):
            send_at_once(cluster, wires, keys + absent)
            for wire, one in zip(wires, keys + absent, strict=True):
                if one in absent or one in lost:
                    assert wire.answer().status == 404, one
                else:
                    check_redirect(cluster, wire, one)
    for one in lost:
        assert cluster.delete(one).status == 204


def test_a_connection_that_may_not_serve_more():
    """nginx's limit ends connections amid what they share."""
    with Cluster(["nginx"], replicas=1) as cluster:
        keys = live_keys(cluster, b"/limit")
        rounds = KEEPALIVE_REQUESTS * 3 // CLIENTS  # over two loops and more
        with clients(cluster) as wires:
            for _round in range(rounds):
                send_at_once(cluster, wires, keys)
                for wire, one in zip(wires, keys, strict=True):
                    check_redirect(cluster, wire, one)


def test_a_volume_that_stands_still(cluster, key):
    """The others have the values, and nobody waits for longer than one limit."""
    keys = live_keys(cluster, key)
    with clients(cluster) as wires:
        send_at_once(cluster, wires, keys)
        for wire, one in zip(wires, keys, strict=True):
            check_redirect(cluster, wire, one)
        cluster.volumes[0].pause()
        try:
            send_at_once(cluster, wires, keys)
            for wire, one in zip(wires, keys, strict=True):
                check_redirect(cluster, wire, one)
        finally:
            cluster.volumes[0].resume()


class HungDrive(socketserver.ThreadingTCPServer):
    """In the place of a volume: answers HEADs in their order, but for one path not before it is
    told to, as a server does whose file lies on a drive that hangs."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 2 * CLIENTS

    def __init__(self, volume: Volume, path: bytes):
        super().__init__(volume.address, HungDrive.Handler)
        self.files = {b"/" + name.encode(): size for name, size in volume.files().items()}
        self.path = path
        self.asked, self.free = threading.Event(), threading.Event()
        self.together = 0  # the most requests that one read found
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionError):
                self.serve(self.request)

        def serve(self, connection: socket.socket) -> None:
            hung = self.server
            data = b""
            while more := connection.recv(65536):
                data += more
                hung.together = max(hung.together, data.count(b"\r\n\r\n"))
                while b"\r\n\r\n" in data:
                    head, data = data.split(b"\r\n\r\n", 1)
                    path = head.split(b" ")[1]
                    if path == hung.path:
                        hung.asked.set()
                        hung.free.wait(60)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % hung.files.get(path, 0)
                    )


@pytest.mark.parametrize("which", [0, CLIENTS // 2])
def test_a_drive_that_hangs(which):
    """A HEAD that gets no answer holds up none of those that came up with it."""
    with Cluster(["volumed"], replicas=1, flags=["-voltimeout", "40s"]) as cluster:
        keys = live_keys(cluster, b"/hang")
        volume = cluster.volumes[0]
        file = cluster.key_files(keys[which])[0]
        volume.stop()
        hung = HungDrive(volume, b"/" + file.relative_to(volume.root).as_posix().encode())
        try:
            with clients(cluster) as wires:
                others = [n for n in range(CLIENTS) if n != which]
                for _round in range(2):  # the first fills the pool
                    few = [wires[n] for n in others], [keys[n] for n in others]
                    send_at_once(cluster, *few)
                    for wire, one in zip(*few, strict=True):
                        check_redirect(cluster, wire, one)
                assert hung.together > 1
                send_at_once(cluster, wires, keys)
                for n in others:
                    check_redirect(cluster, wires[n], keys[n])
                wait_until(hung.asked.is_set, 10, "the HEAD that hangs")
                assert not wires[which].readable()
                hung.free.set()
                check_redirect(cluster, wires[which], keys[which])
        finally:
            hung.free.set()
            hung.shutdown()
            hung.server_close()
