"""volumed and nginx over one folder, turn about: the same paths, modes, bytes and listings, and
values written by one are served by the other, with the master none the wiser."""

import json
import os
import random
from pathlib import Path

import pytest

import placement
from cluster import Cluster, Volume
from http_raw import Wire, target

SIZES = (1, 2, 100, 4095, 4096, 65536, 200_000, 3_000_000)


def values(seed: str, count: int) -> dict[bytes, bytes]:
    made = random.Random(seed)
    found = {}
    for number in range(count):
        key = f"/{seed}/{number}/".encode() + made.randbytes(made.randint(0, 30))
        found[key] = made.randbytes(SIZES[number % len(SIZES)])
    found[f"/{seed}/long/".encode() + b"k" * 900] = b"long"
    found[f"/{seed}/??".encode() + b"?" * (-(len(seed) + 4) % 3)] = b"ends in a slash"
    return found


def tree(root: Path) -> dict[str, tuple[int, bytes | None]]:
    """Names, modes and bytes of all that is the volume's."""
    found = {}
    for folder, folders, names in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            found[os.path.relpath(os.path.join(folder, name), root)] = (
                os.stat(os.path.join(folder, name)).st_mode,
                None,
            )
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = (path.stat().st_mode, path.read_bytes())
    return found


def listings(volume: Volume) -> dict[str, list]:
    """Every folder's listing, found by following the listings alone."""
    found, waiting = {}, ["/"]
    while waiting:
        path = waiting.pop()
        answer = volume.request("GET", path)
        assert (answer.status, answer["Content-Type"]) == (200, "application/json"), path
        found[path] = json.loads(answer.body)
        for entry in found[path]:
            if entry["type"] == "directory":
                waiting.append(path + target(entry["name"]) + "/")
    return found


@pytest.mark.parametrize("first,second", [("volumed", "nginx"), ("nginx", "volumed")])
def test_cluster_swaps_its_volumes(first, second):
    with Cluster([first] * 3) as cluster:
        stored: dict[bytes, bytes] = {}

        def swap(kind: str) -> None:
            for volume in cluster.volumes:
                assert volume.stop() == 0
                volume.kind = kind
                volume.start()

        def store(seed: str) -> None:
            for key, value in values(seed, 40).items():
                cluster.live(key, value)
                stored[key] = value

        def check() -> None:
            for key, value in stored.items():
                assert cluster.read(key) == value
                cluster.check_value(key, value)
            assert cluster.files() == cluster.expected(stored)

        store("first")
        check()
        before = [tree(volume.root) for volume in cluster.volumes]
        lists = [listings(volume) for volume in cluster.volumes]
        swap(second)
        assert [tree(volume.root) for volume in cluster.volumes] == before
        assert [listings(volume) for volume in cluster.volumes] == lists
        check()
        store("second")
        check()
        lists = [listings(volume) for volume in cluster.volumes]
        # What one of them wrote, the other removes.
        for key in [key for key in stored if key.startswith(b"/first/")][::2]:
            assert cluster.delete(key).status == 204
            del stored[key]
        check()
        lists = [listings(volume) for volume in cluster.volumes]
        swap(first)
        assert [listings(volume) for volume in cluster.volumes] == lists
        check()
        for key in list(stored):
            assert cluster.delete(key).status == 204
            del stored[key]
        assert cluster.files() == set()


def test_both_make_the_same_tree(tmp_path):
    """The same requests to both, without a master: the same answers, names, modes, bytes."""
    volumes = [
        Volume(tmp_path, number, kind, tmp_path / kind)
        for number, kind in enumerate(("volumed", "nginx"))
    ]
    for volume in volumes:
        volume.start()
    try:
        stored = values("tree", 40)
        for key, value in stored.items():
            path = "/sv07" + placement.key_path(key)
            answers = [volume.request("PUT", path, value) for volume in volumes]
            assert [answer.status for answer in answers] == [201, 201], path
            assert [answer.body for answer in answers] == [b"", b""]
        trees = [tree(volume.root) for volume in volumes]
        assert trees[0] == trees[1]
        for key, value in stored.items():
            path = "/sv07" + placement.key_path(key)
            for method in ("GET", "HEAD"):
                answers = [volume.request(method, path) for volume in volumes]
                for answer in answers:
                    assert answer.status == 200
                    assert answer["Content-Length"] == str(len(value))
                    assert answer["Content-Type"] == "application/octet-stream"
                    assert answer.body == (value if method == "GET" else b"")
            # Again: 204, and the new value.
            answers = [volume.request("PUT", path, value + b"+") for volume in volumes]
            assert [answer.status for answer in answers] == [204, 204]
            answers = [volume.request("GET", path) for volume in volumes]
            assert [answer.body for answer in answers] == [value + b"+"] * 2
            answers = [volume.request("DELETE", path) for volume in volumes]
            assert [answer.status for answer in answers] == [204, 204]
            for method in ("DELETE", "GET"):
                answers = [volume.request(method, path) for volume in volumes]
                assert [answer.status for answer in answers] == [404, 404]
        assert [volume.files() for volume in volumes] == [{}, {}]
    finally:
        assert [line for volume in volumes for line in volume.close()] == []


def test_nothing_of_a_crash_stays(tmp_path):
    """A volume killed in the middle of bodies: no listing shows them, none is there after the
    next start, of whichever kind that is."""
    for killed, then in (("volumed", "nginx"), ("nginx", "volumed"), ("nginx", "nginx")):
        (tmp_path / killed / then).mkdir(parents=True)
        volume = Volume(tmp_path / killed / then, 0, killed, tmp_path / killed / then / "root")
        volume.start()
        wires = []
        for number in range(5):
            wire = Wire(volume.address)
            head = b"PUT /sv00/aa/bb/%d HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n"
            wire.send(head % number + b"x" * 4_000_000)
            wires.append(wire)
        assert volume.files() == {}
        volume.kill()
        for wire in wires:
            wire.close()
        volume.kind = then
        volume.start()
        assert volume.files() == {}
        assert volume.request("GET", "/sv00/aa/bb/0").status == 404
        assert volume.stop() == 0
        files = [path for path in volume.root.rglob("*") if path.is_file()]
        kept = [path for path in files if path.stat().st_size > 100_000]
        # nginx's own folder is nginx's to empty.
        assert [path for path in kept if then == killed or ".nginx" not in path.parts] == []
