"""Drives that are full, read-only, forbidden or gone: each answers for itself alone, with the
right status and one line in the log; the connection goes on and nothing is left behind."""

import os
import shutil
import stat
import threading
import time

import pytest

from cluster import Volume
from drives import MIB, Drive, MountError
from http_raw import Connection
from server_process import wait_until
from volume_client import NOBODY, Client, Unprivileged, everything, for_nobody, opened, running

SMALL, LARGE = b"v" * 1000, b"v" * 3 * MIB


@pytest.fixture
def volume(tmp_path):
    return Volume(tmp_path, 0, "volumed", tmp_path / "volume")


def make_full(drives, volume: Volume, limit: str) -> Drive:
    """A drive sv02 with a value on it, and no room for another."""
    at = volume.root / "sv02"
    if limit == "tmpfs":
        drive = drives.tmpfs("size=2m", at=at)
    elif limit == "tmpfs inodes":
        drive = drives.tmpfs("size=16m,nr_inodes=40", at=at)
    elif limit == "ext4":
        drive = drives.loop_ext4(8 * MIB, mkfs=("-m", "0"), at=at)
    else:
        drive = drives.loop_ext4(16 * MIB, mkfs=("-N", "32"), at=at)
    (at / "aa/bb").mkdir(parents=True)
    (at / "aa/bb/old").write_bytes(SMALL)
    (at / "aa/bb/other").write_bytes(SMALL)
    if "inodes" not in limit:
        drive.fill()
        return drive
    try:
        for number in range(1000):
            (at / f"{number}").touch()
    except OSError:
        pass
    return drive


@pytest.mark.parametrize("limit", ["tmpfs", "tmpfs inodes", "ext4", "ext4 inodes"])
def test_full(drives, volume, limit):
    (volume.root / "sv00").mkdir(parents=True)
    with running(volume):
        drive = make_full(drives, volume, limit)
        before, room = everything(drive.path), drive.free()
        client = Client(volume)
        for _ in range(3):
            for path, body in (
                ("/sv02/aa/bb/new", SMALL),
                ("/sv02/aa/bb/new", LARGE),
                ("/sv02/aa/cc/dd/new", SMALL),
                ("/sv02/xx/yy/new", LARGE),
                ("/sv02/aa/bb/old", SMALL),
                ("/sv02/aa/bb/old", LARGE),
            ):
                if "inodes" in limit and body == LARGE:
                    continue
                client.fails(507, "PUT", path, body)
                assert everything(drive.path) == before
            client.works("sv00")
        assert drive.free() == room
        assert (drive.path / "aa/bb/old").read_bytes() == SMALL
        assert client.ask("GET", "/sv02/aa/bb/old") == 200
        # What is removed makes room.
        assert client.ask("DELETE", "/sv02/aa/bb/old") == 204
        for path in drive.path.glob("filler"):
            path.unlink()
        for path in drive.path.glob("[0-9]*"):
            path.unlink()
        client.works("sv02")


def test_large_bodies_end_together_on_a_full_drive(drives, volume):
    """Many at once, of which some fit: what failed has left nothing."""
    with running(volume):
        at = volume.root / "sv02"
        drive = drives.loop_ext4(16 * MIB, at=at)
        room = drive.free()
        connections = [Connection(volume.address) for _ in range(8)]
        statuses = {}

        def put(number):
            answer = connections[number].request("PUT", f"/sv02/{number}", LARGE)
            statuses[number] = answer.status

        threads = [threading.Thread(target=put, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses.values()) == {201, 507}, statuses
        whole = {str(n) for n, status in statuses.items() if status == 201}
        assert {p.name for p in at.iterdir() if p.is_file()} == whole
        client = Client(volume)
        for name in whole:
            assert client.ask("DELETE", f"/sv02/{name}") == 204
        assert everything(at) == ["lost+found"]
        wait_until(lambda: drive.free() == room, 10, "all the room back")


def test_read_only(drives, volume):
    at = volume.root / "sv03"
    with running(volume):
        drive = drives.loop_ext4(8 * MIB, at=at)
        client = Client(volume)
        client.works("sv03")
        assert client.ask("PUT", "/sv03/aa/bb/old", SMALL) == 201
        wait_until(lambda: try_remount(drive), 30, "nothing is open for writing")
        before = everything(at)
        for path in ("/sv03/aa/bb/new", "/sv03/aa/bb/old", "/sv03/xx/yy/new"):
            for body in (SMALL, LARGE):
                client.fails(403, "PUT", path, body)
        client.fails(403, "DELETE", "/sv03/aa/bb/old")
        assert client.ask("GET", "/sv03/aa/bb/old") == 200
        assert client.ask("DELETE", "/sv03/aa/bb/none") == 404
        assert everything(at) == before
        client.works("sv00")
        drive.remount("rw")
        client.works("sv03")


def try_remount(drive: Drive) -> bool:
    try:
        drive.remount("ro")
    except MountError:
        return False
    return True


def test_a_link_to_another_file_system(drives, volume, tmp_path):
    other = drives.loop_ext4(16 * MIB)
    volume.root.mkdir(parents=True, exist_ok=True)
    (volume.root / "sv01").symlink_to(other.path)
    with running(volume):
        client = Client(volume)
        client.works("sv01")
        assert client.ask("PUT", "/sv01/aa/bb/value", LARGE) == 201
        assert (other.path / "aa/bb/value").read_bytes() == LARGE
        # The mount is taken away: the link leads to an empty folder, then nowhere.
        def let_go() -> bool:
            return not any(to.startswith(str(other.path)) for to in opened(volume))

        wait_until(let_go, 20, "the drive let go of")
        other.unmount()
        assert client.ask("GET", "/sv01/aa/bb/value") == 404
        other.path.rmdir()
        time.sleep(1.2)  # how long a look at where a name leads is good for reads
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            body = SMALL if method == "PUT" else None
            client.fails(500, method, "/sv01/aa/bb/value", body)
        assert not other.path.exists()
        client.works("sv00")
        again = drives.mount_image(other.image, at=other.path)
        assert Client(volume).ask("PUT", "/sv01/aa/bb/value", SMALL) == 204
        client.works("sv01")
        assert again.path.exists()


def test_the_folder_itself_disappears(volume):
    with running(volume):
        client = Client(volume)
        client.works("sv00")
        aside = volume.root.with_name("aside")
        volume.root.rename(aside)
        time.sleep(1.2)
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            for path in ("/sv00/aa/bb/value", "/value", "/sv07/value"):
                body = SMALL if method == "PUT" else None
                client.fails(500, method, path, body)
        assert not volume.root.exists() and everything(aside) == ["sv00", "sv00/aa", "sv00/aa/bb"]
        aside.rename(volume.root)
        Client(volume).works("sv00", "again")


def test_folders_that_disappear_under_puts(volume):
    """A value's folder is removed again and again while it is written: it is made anew."""
    with running(volume):
        client = Client(volume)
        end = threading.Event()

        def remove():
            while not end.is_set():
                shutil.rmtree(volume.root / "sv00/aa", ignore_errors=True)

        remover = threading.Thread(target=remove)
        remover.start()
        try:
            statuses = {Client(volume).ask("PUT", "/sv00/aa/bb/value", SMALL) for _ in range(400)}
        finally:
            end.set()
            remover.join()
        assert statuses <= {201, 204, 500} and 201 in statuses
        shutil.rmtree(volume.root / "sv00/aa", ignore_errors=True)
        assert client.ask("PUT", "/sv00/aa/bb/value", SMALL) == 201
        assert everything(volume.root / "sv00") == ["aa", "aa/bb", "aa/bb/value"]


def test_unprivileged(tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root becomes another user")
    root = for_nobody(tmp_path / "volume")
    os.chown(root, NOBODY, NOBODY)
    for name in ("sv04", "sv05", "sv06"):
        (root / name).mkdir()
        (root / name / "value").write_bytes(SMALL)
    (root / "sv04").chmod(0o755)
    (root / "sv05").chmod(0o700)
    (root / "sv06/value").chmod(0o600)
    os.chown(root / "sv06", NOBODY, NOBODY)
    with running(Unprivileged(tmp_path, 0, "volumed", root)) as volume:
        client = Client(volume)
        client.works("sv00")
        assert client.ask("PUT", "/sv00/aa/bb/value", LARGE) == 201
        made = (root / "sv00/aa/bb/value").stat()
        assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (NOBODY, 0o664)
        before = everything(root)
        # One it may only read, one it may not even read, and a file like that.
        client.fails(403, "PUT", "/sv04/new", SMALL)
        client.fails(403, "PUT", "/sv04/new", LARGE)
        client.fails(403, "PUT", "/sv04/value", SMALL)
        client.fails(403, "DELETE", "/sv04/value")
        assert client.ask("GET", "/sv04/value") == 200
        for method in ("PUT", "DELETE", "GET"):
            client.fails(403, method, "/sv05/value", SMALL if method == "PUT" else None)
        client.fails(403, "GET", "/sv06/value")
        assert everything(root) == before
        client.works("sv00")


def test_unprivileged_on_a_folder_of_another(tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root becomes another user")
    root = for_nobody(tmp_path / "volume")
    volume = Unprivileged(tmp_path, 0, "volumed", root)
    with pytest.raises(Exception, match="cannot write to .*: Permission denied"):
        volume.start()
    assert everything(root) == []
