"""Nothing outside the folder is reached through volumed, however the path is written and whatever
links lie in the folder: with openat2, and with the walk that stands in for it."""

import ctypes
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

import forbid
from cluster import Volume
from http_raw import Wire
from volume_client import opened

SECRET = b"what nobody may see"
AT_FDCWD, RENAME_EXCHANGE = -100, 2

# How volumed is run: calls it may not make, and what they say then.
KERNELS = {
    "openat2": {},
    "missing": {"openat2": "ENOSYS"},
    "forbidden": {"openat2": "EPERM"},
    "old": {"openat2": "ENOSYS", "cachestat": "ENOSYS", "preadv2": "EOPNOTSUPP"},
}


class Restricted(Volume):
    def __init__(self, folder: Path, root: Path, calls: dict[str, str]):
        super().__init__(folder, 0, "volumed", root)
        self.calls = calls

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        return (forbid.command(self.calls, argv) if self.calls else argv), env

    def ask(self, method: str, target: bytes, body: bytes = b"") -> tuple[int, bytes]:
        """The target leaves as it is."""
        with Wire(self.address) as wire:
            length = b"Content-Length: %d\r\n" % len(body) if method == "PUT" else b""
            head = b"%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (method.encode(), target, length)
            wire.send(head + body)
            answer = wire.answer(method)
            return answer.status, answer.body


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """All there is: a file's bytes, a link's text, None for a folder."""
    found: dict[str, bytes | str | None] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def furnish(base: Path) -> Path:
    """A folder to be served, and beside it what must not be reached."""
    outside, root, drive = base / "outside", base / "served", base / "drive"
    (outside / "folder").mkdir(parents=True)
    (outside / "secret").write_bytes(SECRET)
    (outside / "folder/secret").write_bytes(SECRET)
    (root / "sv00/aa/bb").mkdir(parents=True)
    (root / "sv00/aa/bb/value").write_bytes(b"value")
    (root / "file").write_bytes(b"file")
    # A drive elsewhere: the one link at the top that may lead outside.
    (drive / "aa").mkdir(parents=True)
    (drive / "aa/value").write_bytes(b"elsewhere")
    (root / "sv01").symlink_to(drive)
    for folder, up in ((root, ".."), (root / "sv00/aa", "../../.."), (drive, "..")):
        (folder / "out").symlink_to(outside)
        (folder / "out_file").symlink_to(outside / "secret")
        (folder / "up").symlink_to(f"{up}/outside")
        (folder / "up_file").symlink_to(f"{up}/outside/secret")
        (folder / "chain").symlink_to("up")
        (folder / "dots").symlink_to(up)
    (root / "sv00/aa/inside").symlink_to("bb/value")
    (root / "sv00/aa/round").symlink_to("../../sv00/aa/bb")
    (root / "within").symlink_to("sv00/aa/bb")
    # Out of the folder and back in: it is left on the way.
    (root / "away").symlink_to("../served/file")
    (drive / "to_top").symlink_to(root)
    return root


@pytest.fixture(scope="module", params=KERNELS)
def volume(request, tmp_path_factory):
    base = tmp_path_factory.mktemp("safe")
    made = Restricted(base, furnish(base), KERNELS[request.param])
    made.start()
    yield made
    assert made.close() == []
    # Otherwise the walk was not what these tests saw.
    assert ("paths are walked" in made.log.read_text()) == ("openat2" in made.calls)


WRITTEN = [
    (b"/../outside/secret", 400),
    (b"/sv00/../../outside/secret", 400),
    (b"/sv00/aa/bb/../../../../outside/secret", 400),
    (b"/sv01/../../outside/secret", 400),
    (b"/./../outside/secret", 400),
    (b"//../outside/secret", 400),
    (b"/%2e%2e/outside/secret", 400),
    (b"/%2E./outside/secret", 400),
    (b"/..%2foutside%2fsecret", 400),
    (b"/..%2Foutside/secret", 400),
    (b"/sv00%2f..%2f..%2foutside%2fsecret", 400),
    (b"/%2e%2e%2f%2e%2e%2foutside%2fsecret", 400),
    (b"/sv00/%2e%2e%2f%2e%2e%2foutside%2fsecret", 400),
    (b"/sv00/aa/..%2f../../outside/secret", 400),
    (b"/..", 400),
    (b"/sv00/../..", 400),
    (b"/%00", 400),
    (b"/file%00", 400),
    (b"/sv00/aa/bb/value%00.jpg", 400),
    (b"/%00/../../outside/secret", 400),
    (b"/file\x00", 400),
    (b"/..\\outside\\secret", 404),
    (b"/..%5coutside%5csecret", 404),
    (b"/%252e%252e/outside/secret", 404),
    (b"/%252e%252e%252foutside%252fsecret", 404),
    (b"/%c0%ae%c0%ae/outside/secret", 404),
    (b"/..%c0%afoutside", 404),
    (b"/...//outside/secret", 404),
    (b"/..;/outside/secret", 404),
    (b"/.../outside", 404),
    (b"/sv01/.%2e/sv00/aa/nothing", 404),
]


@pytest.mark.parametrize("target,status", WRITTEN, ids=[repr(t)[2:-1] for t, _ in WRITTEN])
def test_ways_of_writing_it(volume, target, status):
    before = tree(volume.root.parent / "outside")
    for method in ("GET", "HEAD"):
        got, body = volume.ask(method, target)
        assert got == status and SECRET not in body
    assert volume.ask("DELETE", target)[0] == status
    if status == 400:
        assert volume.ask("PUT", target, b"overwritten")[0] == 400
    assert tree(volume.root.parent / "outside") == before


@pytest.mark.parametrize("top", ["", "sv00/aa/", "sv01/"])
def test_links_that_lead_outside(volume, top):
    before = tree(volume.root.parent / "outside")
    here = b"/" + top.encode()
    for name in (b"out", b"up", b"chain"):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            for rest in (b"/secret", b"/folder/secret", b"/new", b"/new/folder/file"):
                status, body = volume.ask(method, here + name + rest, b"overwritten")
                assert status == 403 and SECRET not in body, (method, name, rest)
        for rest in (b"", b"/", b"/folder/"):
            assert volume.ask("GET", here + name + rest)[0] == 403
    for name in (b"out_file", b"up_file"):
        assert volume.ask("GET", here + name)[0] == 403
        assert volume.ask("GET", here + name + b"/")[0] in (403, 404)
    # Out through the folder's own "..": the link, not the request, says so. (Below sv00 it ends
    # at the top of the drive and is refused all the same.)
    assert volume.ask("GET", here + b"dots/outside/secret")[0] == 403
    assert tree(volume.root.parent / "outside") == before


def test_links_that_stay_inside(volume):
    assert volume.ask("GET", b"/sv00/aa/inside") == (200, b"value")
    assert volume.ask("GET", b"/sv01/aa/value") == (200, b"elsewhere")
    assert volume.ask("GET", b"/sv00%2faa%2fbb%2fvalue") == (200, b"value")
    assert volume.ask("GET", b"/sv00/aa/x/../bb/./value") == (200, b"value")
    # Each drive is a folder of its own: what leaves it does not come back.
    assert volume.ask("GET", b"/within/value") == (200, b"value")
    assert volume.ask("GET", b"/sv00/aa/round/value")[0] == 403
    assert volume.ask("GET", b"/away")[0] == 403
    assert volume.ask("GET", b"/sv01/to_top/file")[0] == 403


def test_a_link_itself_is_replaced_or_removed(volume):
    """What is asked of a link that is the last piece of a path is done to the link."""
    outside = volume.root.parent / "outside"
    before = tree(outside)
    for name in ("sv00/aa/here", "sv01/here"):
        link = volume.root / name
        link.symlink_to(outside / "secret")
        assert volume.ask("PUT", b"/" + name.encode(), b"value")[0] in (201, 204)
        assert not link.is_symlink() and link.read_bytes() == b"value"
        link.unlink()
        link.symlink_to(outside / "secret")
        assert volume.ask("DELETE", b"/" + name.encode())[0] == 204
        assert not link.is_symlink()
    assert tree(outside) == before


def test_writes_where_they_may(volume):
    for top in (b"/sv00", b"/sv01", b"/sv05", b""):
        target = top + b"/cc/dd/deep/value"
        assert volume.ask("PUT", target, b"first")[0] == 201
        assert volume.ask("PUT", target, b"second")[0] == 204
        assert volume.ask("GET", target) == (200, b"second")
        assert volume.ask("DELETE", target)[0] == 204
        assert volume.ask("GET", target)[0] == 404


def test_its_own_folder_is_out_of_reach(volume):
    for top in (b"/", b"/sv00/", b"/sv01/"):
        for name in (b".volumed", b".volumed/", b".volumed/file", b"%2evolumed/file"):
            assert volume.ask("GET", top + name)[0] == 404
            assert volume.ask("DELETE", top + name)[0] == 404
            assert volume.ask("PUT", top + name, b"x")[0] == 403
    assert not list(volume.root.glob("**/.volumed"))


def test_listens_on_the_address_given_alone(volume):
    """-bind, which every volume of these tests has."""
    sockets, listening = opened(volume), []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{volume.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1])
    host, port = volume.address
    address = socket.inet_aton(host)[::-1] if sys.byteorder == "little" else socket.inet_aton(host)
    assert listening == ["%s:%04X" % (address.hex().upper(), port)]


def test_folders_exchanged_for_links_under_way(volume):
    """A folder that turns into a link and back while requests walk through it."""
    libc = ctypes.CDLL(None, use_errno=True)
    root, outside = volume.root, volume.root.parent / "outside"
    before = tree(outside)
    (root / "sv00/turn/folder").mkdir(parents=True)
    (root / "sv00/turn/folder/secret").write_bytes(b"public")
    (root / "sv00/link").symlink_to(outside)
    names = [os.fsencode(root / "sv00" / name) for name in ("turn", "link")]
    end = threading.Event()

    def exchange():
        while not end.is_set():
            if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE):
                return
            time.sleep(0)

    turning = threading.Thread(target=exchange)
    turning.start()
    seen = set()
    try:
        for number in range(150):
            status, body = volume.ask("GET", b"/sv00/turn/folder/secret")
            assert SECRET not in body
            seen.add(status)
            volume.ask("PUT", b"/sv00/turn/folder/new%d" % number, b"x")
            volume.ask("DELETE", b"/sv00/turn/folder/secret%d" % number)
            assert turning.is_alive()
    finally:
        end.set()
        turning.join()
    assert tree(outside) == before
    assert {200, 403} <= seen
