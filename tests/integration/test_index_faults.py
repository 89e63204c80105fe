"""The index on a disk that is full, read-only or damaged: writes are refused with a clear answer,
reads go on, nothing is lost, and all is well again when the disk is."""

import shutil
import subprocess

import pytest

from cluster import Cluster
from drives import MIB, made_or_skipped
from rebuilding import by_hand, command
from server_process import SLOW, StartError, wait_until


@pytest.fixture
def small(tmp_path):
    """A cluster whose index lies on a small file system of its own."""
    with made_or_skipped(tmp_path) as drives:
        drive = drives.tmpfs("size=24m")
        with Cluster(["volumed"] * 3, db=drive.path / "index") as cluster:
            yield cluster, drive


def refused_and_well_again(cluster: Cluster, spoil, mend) -> None:
    for number in range(20):
        cluster.live(b"/before/%d" % number, b"v%d" % number)
    cluster.unlinked(b"/hidden")
    spoil()
    # What fits into what LevelDB has reserved already may still be taken.
    taken: list[bytes] = []

    def refused() -> bool:
        key = b"/meanwhile/%d" % len(taken)
        status = cluster.put(key, b"m" * 20).status
        assert status in (201, 503)
        if status == 201:
            taken.append(key)
        return status == 503

    wait_until(refused, 60, "a refused PUT")
    for _ in range(3):
        answer = cluster.put(b"/refused", b"value")
        assert answer.status == 503 and b"index" in answer.body
    assert cluster.delete(b"/before/0").status == 503
    assert cluster.unlink(b"/before/1").status == 503
    assert cluster.relink(b"/hidden").status == 503
    for number in range(20):
        assert cluster.read(b"/before/%d" % number) == b"v%d" % number
    assert cluster.get(b"/refused").status == 404
    assert cluster.keys("/", unlinked=True) == [b"/hidden"]
    assert set(cluster.keys("/before/")) == {b"/before/%d" % number for number in range(20)}

    mend()
    wait_until(lambda: cluster.put(b"/refused", b"value").status == 201, 20, "writes again")
    assert cluster.relink(b"/hidden").status == 204
    for key in taken:
        assert cluster.read(key) == b"m" * 20
    # What was acknowledged stands when the index is opened anew, and nothing else.
    assert cluster.master.stop() == 0
    cluster.master.start()
    keys = [b"/before/%d" % number for number in range(20)] + taken + [b"/hidden", b"/refused"]
    assert cluster.keys("/") == sorted(keys)
    for key in keys:
        assert cluster.delete(key).status == 204
    wait_until(lambda: not cluster.files(), 20, "no file left")


def test_full(small):
    cluster, drive = small
    filler = []
    refused_and_well_again(
        cluster, lambda: filler.append(drive.fill()), lambda: filler[0].unlink()
    )


def test_read_only(tmp_path):
    """A folder that cannot be written: one line at the start, and nothing is harmed."""
    with made_or_skipped(tmp_path) as drives:
        drive = drives.loop_ext4(32 * MIB)
        with Cluster(["volumed"] * 3, db=drive.path / "index") as cluster:
            cluster.live(b"/before", b"value")
            assert cluster.master.stop() == 0
            drive.remount("ro")
            with pytest.raises(StartError) as error:
                cluster.master.start()
            lines = str(error.value).splitlines()
            assert "ended at start with 1" in lines[0] and len(lines) == 2, lines
            drive.remount("rw")
            cluster.master.start()
            assert cluster.read(b"/before") == b"value"


@pytest.mark.parametrize("eighth", range(8))
def test_damaged(tmp_path, eighth):
    """A flipped byte in a table: 503 for what lies there, never "absent", and other keys are
    served; or a line at the start that says what to do."""
    with Cluster(["volumed"], replicas=1, folder=tmp_path / "cluster") as cluster:
        for number in range(50):
            cluster.live(b"/key/%03d" % number, b"v")
        # Stopping and starting turns the log into a table.
        assert cluster.master.stop() == 0
        cluster.master.start()
        tables = list(cluster.master.db.glob("*.ldb"))
        assert tables
        assert cluster.master.stop() == 0
        for table in tables:
            data = bytearray(table.read_bytes())
            data[len(data) * eighth // 8] ^= 0xFF
            table.write_bytes(data)
        try:
            cluster.master.start()
        except StartError as error:
            assert "rebuild" in str(error)
            return
        statuses = {cluster.get(b"/key/%03d" % number).status for number in range(50)}
        assert 404 not in statuses
        assert eighth > 0 or 503 in statuses  # records come first


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_not_synced_at_the_end():
    """With -sync=false that is when what was acknowledged goes to disk: the exit status says that
    it did not."""
    with by_hand(["volumed"] * 3) as cluster:
        db = cluster.master.db
        logs = [word for n in range(50) for word in ("-P", str(db / f"{n:06}.log"))]
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", *logs]
        fault = [*strace, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO"]
        argv = [*command(cluster, "-sync=false")[:-1], "verify"]
        for traced, status in (fault, 1), ([], 0):
            done = subprocess.run(
                [*traced, *argv],
                capture_output=True,
                text=True,
                timeout=60 * SLOW,
                check=False,
            )
            assert done.returncode == status, done.stderr
            assert ("index: syncing it at the end" in done.stderr) == (status == 1)
