"""A drive that hangs: requests that write to it wait, more of them than there are threads, and the
other drives do not notice."""

import os
import shutil
import socket
import statistics
import time
from pathlib import Path

import pytest

from cluster import Volume
from drives import MIB
from http_raw import Connection, Wire
from server_process import COMPLAINTS, SLOW, wait_until
from volume_client import Client, everything, running

VALUE = b"v" * 20_000
HANGING = 40  # of a kind; a drive has 16 threads to write


@pytest.fixture(params=["sync", "nosync"])
def volume(request, tmp_path):
    """Without syncs the loops write themselves, and lose the thread that hangs."""
    flags = ["-sync=false"] if request.param == "nosync" else []
    return Volume(tmp_path, 0, "volumed", tmp_path / "volume", flags)


def put(path: str, body: bytes = VALUE) -> bytes:
    head = f"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def delete(path: str) -> bytes:
    return f"DELETE {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


class Hanging:
    """Requests that are not answered, each on a connection of its own."""

    def __init__(self, volume: Volume, requests: list[bytes]):
        self.volume = volume
        self.wires = [Wire(volume.address) for _ in requests]
        for wire, request in zip(self.wires, requests):
            wire.send(request)

    def wait(self, threads: int) -> None:
        """Until so many of the server's threads are stuck in the kernel."""
        wait_until(lambda: self._stuck() >= threads, 10, f"{threads} threads that hang")

    def _stuck(self) -> int:
        found = 0
        for stat in Path(f"/proc/{self.volume.pid}/task").glob("*/stat"):
            found += stat.read_text().rpartition(")")[2].split()[0] == "D"
        return found

    def all_hang(self) -> bool:
        return not any(wire.readable() for wire in self.wires)

    def statuses(self) -> list[int]:
        return [wire.answer().status for wire in self.wires]

    def close(self) -> None:
        for wire in self.wires:
            wire.close()


def medians(connection: Connection, tops: list[str], rounds: int) -> dict[str, float]:
    """Milliseconds of each request there is, on each drive."""
    took: dict[str, list[float]] = {}
    for number in range(rounds):
        for top in tops:
            path = f"/{top}/aa/bb/{number}"
            for method, status in (("PUT", 201), ("GET", 200), ("DELETE", 204)):
                body = VALUE if method == "PUT" else None
                begun = time.monotonic()
                assert connection.request(method, path, body).status == status
                took.setdefault(f"{top} {method}", []).append(time.monotonic() - begun)
    return {what: statistics.median(times) * 1000 for what, times in took.items()}


def test_each_drive_answers_for_itself_alone(drives, volume, tmp_path):
    root = volume.root
    drives.loop_ext4(32 * MIB, at=root / "sv00")
    (root / "sv01").symlink_to(drives.loop_ext4(32 * MIB).path)
    drives.tmpfs("size=1m", at=root / "sv02").fill()
    read_only = drives.tmpfs("size=1m", at=root / "sv03")
    (read_only.path / "old").write_bytes(VALUE)
    read_only.remount("ro")
    frozen = drives.loop_ext4(32 * MIB, at=root / "sv04")
    for number in range(HANGING):
        (frozen.path / f"old{number}").write_bytes(VALUE)
    # Mounted anew, nothing of it is in memory.
    frozen.unmount()
    frozen = drives.mount_image(frozen.image, at=root / "sv04")

    with running(volume):
        others = Client(volume)
        tops = ["sv00", "sv01", "sv05"]
        before = medians(others.connection, tops, 20)
        frozen.freeze()
        try:
            hanging = Hanging(
                volume,
                [put(f"/sv04/aa/{n}/new") for n in range(HANGING)]
                + [delete(f"/sv04/old{n}") for n in range(HANGING // 2)],
            )
            hanging.wait(16)
            meanwhile = medians(others.connection, tops, 20)
            others.fails(507, "PUT", "/sv02/new", VALUE)
            others.fails(403, "PUT", "/sv03/new", VALUE)
            others.fails(403, "DELETE", "/sv03/old")
            assert others.ask("GET", "/sv03/old") == 200
            # What is only read is there all the same, from the disk too.
            for number in range(HANGING // 2, HANGING):
                assert others.ask("GET", f"/sv04/old{number}") == 200
            assert others.ask("GET", "/sv04/none") == 404
            assert others.ask("GET", "/") == 200
            assert hanging.all_hang()
        finally:
            frozen.thaw()
        answered = hanging.statuses()
        assert answered == [201] * HANGING + [204] * (HANGING // 2)
        hanging.close()
        for number in range(HANGING):
            assert (frozen.path / f"aa/{number}/new").read_bytes() == VALUE
            assert (frozen.path / f"old{number}").exists() == (number >= HANGING // 2)
        others.works("sv04")
    for what, median in meanwhile.items():
        ratio = median / before[what]
        print(f"{what}: {before[what]:.2f} ms before, {median:.2f} ms meanwhile ({ratio:.2f})")


def test_clients_that_leave_a_hung_drive(drives, volume):
    """A PUT that was whole is carried out, one that was not leaves nothing; nobody hears of it."""
    at = volume.root / "sv04"
    drive = drives.loop_ext4(64 * MIB, at=at)
    with running(volume):
        Client(volume).works("sv04")
        drive.freeze()
        try:
            whole = Hanging(volume, [put(f"/sv04/{n}") for n in range(20)])
            half = Hanging(volume, [put(f"/sv04/half{n}", b"v" * MIB)[:-1] for n in range(20)])
            whole.wait(16)
            whole.close()
            half.close()
            Client(volume).works("sv00")
        finally:
            drive.thaw()
        wait_until(lambda: len(list(at.glob("[0-9]*"))) == 20, 20, "the values")
        Client(volume).works("sv04")
        for _ in range(20):
            assert not list(at.glob("half*"))
            time.sleep(0.01)


def test_one_that_hangs_too_long_is_refused(drives, tmp_path):
    """What would have to wait behind the threads that hang gets 503 after a while, then at once:
    else what waits for one drive would take the descriptors of all."""
    flags = ["-threads", "2", "-drive-timeout", "1s"]
    volume = Volume(tmp_path, 0, "volumed", tmp_path / "volume", flags)
    at = volume.root / "sv04"
    drive = drives.loop_ext4(16 * MIB, at=at)
    (at / "old").write_bytes(VALUE)
    with running(volume):
        Client(volume).works("sv04")
        drive.freeze()
        try:
            first = Hanging(volume, [put(f"/sv04/first{n}") for n in range(2)])
            first.wait(2)
            requests = [put(f"/sv04/more{n}") for n in range(10)] + [delete("/sv04/old")] * 10
            more = Hanging(volume, requests)
            wait_until(lambda: all(w.readable() for w in more.wires), 20, "503")
            assert more.statuses() == [503] * 20
            for wire in more.wires:  # the connection goes on
                wire.send(put("/sv00/other"))
                assert wire.answer().status in (201, 204)
            more.close()
            client = Client(volume)
            for _ in range(50):
                assert client.ask("PUT", "/sv04/more", VALUE) == 503
                assert client.ask("DELETE", "/sv04/old") == 503
                assert client.ask("GET", "/sv04/old") == 200
            client.works("sv00")
            assert first.all_hang()
        finally:
            drive.thaw()
        assert first.statuses() == [201, 201]
        first.close()
        wait_until(lambda: "answers again" in volume.log.read_text(), 10, "that it is back")
        Client(volume).works("sv04")
        assert everything(at) == ["aa", "aa/bb", "first0", "first1", "lost+found", "old"]
        log = [line for line in volume.log.read_text().splitlines() if "sv04" in line]
        assert len(log) == 2 and "hangs" in log[0], log


class SlowFolder(Volume):
    """Reading the names in sv04/slow takes seconds."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(self.root / "sv04/slow")]
        call = ["-e", "trace=getdents64", "-e", "inject=getdents64:delay_enter=2500000"]
        return [*trace, *call, *argv], env


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_reads_that_wait_too_long_are_refused(tmp_path):
    """Those that need no thread are answered all the same."""
    flags = ["-threads", "1", "-drive-timeout", "1s"]
    volume = SlowFolder(tmp_path, 0, "volumed", tmp_path / "volume", flags)
    for name in ("sv04/slow", "sv04/other", "sv00/other"):
        (volume.root / name).mkdir(parents=True)
        (volume.root / name / "value").write_bytes(VALUE)
    volume.start()
    try:
        client = Client(volume)
        assert client.ask("GET", "/sv04/other/") == 200
        with Wire(volume.address) as slow, Wire(volume.address) as behind:
            slow.send(b"GET /sv04/slow/ HTTP/1.1\r\nHost: h\r\n\r\n")

            def refused() -> bool:
                behind.send(b"GET /sv04/other/ HTTP/1.1\r\nHost: h\r\n\r\n")
                return behind.answer().status == 503

            wait_until(refused, 5, "503 for what waits")
            assert client.ask("GET", "/sv00/other/") == 200
            client.works("sv00")
            assert client.ask("PUT", "/sv04/other/new", VALUE) == 201
            assert slow.answer().status == 200
        wait_until(lambda: client.ask("GET", "/sv04/other/") == 200, 20, "it is back")
    finally:
        volume.kill()


class LeavesThreads(Volume):
    """It ends while it waits for a thread that hangs. Those that have ended and stand behind that
    one are no leak."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        options = [os.environ.get("TSAN_OPTIONS", ""), "report_thread_leaks=0"]
        return argv, {**env, "TSAN_OPTIONS": ":".join(options)}


def test_sigterm_while_a_drive_hangs(drives, volume):
    """It ends with the drain; threads that hang in the kernel are left to it."""
    volume.__class__ = LeavesThreads
    volume.flags = [*volume.flags, "-drain", "1s"]
    drive = drives.loop_ext4(16 * MIB, at=volume.root / "sv04")
    volume.start()
    process = volume.process
    try:
        Client(volume).works("sv04")
        drive.freeze()
        hanging = Hanging(volume, [put(f"/sv04/{n}") for n in range(HANGING)])
        hanging.wait(16)
        slow = Wire(volume.address)
        slow.send(put("/sv00/slow")[:-1])
        process.terminate()

        def ended() -> bool:  # a zombie as long as one of its threads hangs
            stat = Path(f"/proc/{process.pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] == "Z"

        with pytest.raises(ConnectionError):
            wait_until(lambda: socket.create_connection(volume.address).close(), 10, "refusal")
        slow.send(b"v")
        assert slow.answer().status == 201
        wait_until(ended, 20, "the end")
        for wire in hanging.wires:
            assert wire.at_end()
    finally:
        drive.thaw()
    assert process.wait(20 * SLOW) == 1
    volume.process = None
    assert "a drive does not answer" in volume.log.read_text()
    assert everything(volume.root / "sv00") == ["slow"]
    # What was under way has either ended or left nothing.
    volume.__class__ = Volume
    with running(volume):
        Client(volume).works("sv04")
        for path in drive.path.glob("[0-9]*"):
            assert path.read_bytes() == VALUE
        assert {p for p in everything(drive.path) if not p.isdigit()} == {
            "aa", "aa/bb", "lost+found",
        }


def test_a_drive_that_comes_back_after_the_drain(drives, volume):
    """What was cut has a job under way still. Its end finds no loop any more, and takes away what
    there is of the file all the same."""
    volume.flags = [*volume.flags, "-drain", "2s"]
    drive = drives.loop_ext4(16 * MIB, at=volume.root / "sv04")
    volume.start()
    process = volume.process
    try:
        Client(volume).works("sv04")
        drive.freeze()
        half = Hanging(volume, [put(f"/sv04/half{n}", b"v" * MIB)[:-1] for n in range(20)])
        half.wait(16)
        process.terminate()
        wait_until(lambda: "is cut" in volume.log.read_text(), 20, "the drain's limit")
    finally:
        drive.thaw()
    assert process.wait(20 * SLOW) == 1
    volume.process = None
    half.close()
    log = volume.log.read_text()
    assert "a drive does not answer" not in log
    assert not COMPLAINTS.search(log), log
    assert not list(drive.path.glob("half*"))
