"""Power cuts: what a server had acknowledged is on its disks, whatever was still in memory.

The servers under test keep their files on loop-mounted drives (drives.py). A cut kills them,
copies the drives' images as they are at that moment, with all that the kernel holds back still
in its memory, and puts the copies in their places. Several drives are cut at once, as the power
of one machine is: first all servers are killed, and a cut counts only if no drive was written
to from before the first copy until after the last.

For that to be worth anything nothing may reach a drive by itself: they are mounted with a
commit interval that no test outlasts, and the kernel's own writing back is stopped
(still_writeback). That is a setting of the whole machine, so a lock keeps two tests from
restoring each other's, and a process of its own puts it back, however ours ends.
"""

import contextlib
import fcntl
import hashlib
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drives import Drive, Drives
from server_process import SLOW, Server

# Neither a journal's commit nor the age of a page writes anything while a test runs.
_OPTIONS = "commit=3600"
_SETTINGS = {"dirty_writeback_centisecs": "0", "dirty_expire_centisecs": "360000"}
_VM = Path("/proc/sys/vm")


@contextlib.contextmanager
def still_writeback() -> Iterator[None]:
    """While this holds, the kernel writes dirty pages only when it is asked to. Skips the test
    where that is not ours to say."""
    with open(Path(tempfile.gettempdir(), "mkv-powercut.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = {name: (_VM / name).read_text().strip() for name in _SETTINGS}
        # It waits for the end of its input, which is ours, and only then lets the lock go.
        back = "; ".join(f"echo {value} >{_VM / name}" for name, value in before.items())
        keeper = subprocess.Popen(
            ["sh", "-c", f"cat >/dev/null; {back}"],
            stdin=subprocess.PIPE,
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
        try:
            try:
                for name, value in _SETTINGS.items():
                    (_VM / name).write_text(value)
            except OSError as error:
                pytest.skip(str(error))
            yield
        finally:
            assert keeper.stdin is not None
            keeper.stdin.close()
            keeper.wait()


class Power:
    """Of drives that lose it together; made while writeback is still."""

    def __init__(self, drives: Drives):
        self._drives = drives
        self._cut: list[Drive] = []

    def ext4(self, size: int, at: Path | None = None) -> Drive:
        """An ext4 of its own on this power."""
        drive = self._drives.loop_ext4(size, options=_OPTIONS, at=at)
        self._cut.append(drive)
        return drive

    def cut(self, servers: Iterable[Server]) -> None:
        """Ends the servers and takes the drives back to what was on them at that moment. The
        servers are not started again."""
        for server in servers:
            if server.process is not None:
                server.kill()
        for _try in range(20):
            before = [_written(drive) for drive in self._cut]
            for drive in self._cut:
                subprocess.run(["cp", "--sparse=always", drive.image, _copy(drive)], check=True)
            if [_written(drive) for drive in self._cut] == before and not any(
                under_way for _written_before, under_way in before
            ):
                break
            # A sync that a killed server had begun was still being carried out.
            time.sleep(0.05)
        else:
            raise AssertionError("the drives do not come to rest")
        for drive in self._cut:
            self._drives.exchange(drive, _copy(drive), _OPTIONS)


def _copy(drive: Drive) -> Path:
    return drive.image.with_suffix(".copy")


def _written(drive: Drive) -> tuple[int, int]:
    """How many writes the drive's device has carried out, and how many requests it has taken
    and not answered yet."""
    number = drive.path.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat").read_text().split()
    return int(stat[4]), int(stat[8])


# --- what was acknowledged --------------------------------------------------------------------
GONE = b""


@dataclass
class Key:
    """What a key may be found to be: the last state acknowledged, or one that was asked for and
    not answered."""

    sure: bytes = GONE
    asked: list[bytes] = field(default_factory=list)
    versions: int = 0

    def allowed(self) -> list[bytes]:
        return [self.sure, *self.asked]


class Ledger:
    """Keys with what was asked for each and what was answered. One thread works on a key."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.acknowledged = 0

    def value(self, name: str, size: int) -> bytes:
        """One that this key never had: no part of it can be taken for another's."""
        key = self.keys.setdefault(name, Key())
        key.versions += 1
        seed = hashlib.sha256(f"{name} {key.versions}".encode()).digest()
        return random.Random(seed).randbytes(size)

    def asks(self, name: str, value: bytes) -> None:
        self.keys.setdefault(name, Key()).asked.append(value)

    def answered(self, name: str) -> None:
        """All that was asked for is decided: it is what was asked for last."""
        key = self.keys[name]
        key.sure, key.asked = key.asked[-1], []
        self.acknowledged += 1

    def found(self, name: str, value: bytes) -> bool:
        """May the key be this? From now on it is."""
        key = self.keys[name]
        if value not in key.allowed():
            return False
        key.sure, key.asked = value, []
        return True


class Load:
    """Threads that run `work(thread, random)` again and again until they are told to stop; what
    it raises ends the thread, and is expected only once the servers are gone."""

    def __init__(self, work, threads: int, seed: int):
        self._stop = threading.Event()
        self._cut = False
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(work, n, random.Random(f"{seed} {n}")))
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, work, number: int, rng: random.Random) -> None:
        try:
            while not self._stop.is_set():
                work(number, rng)
        except OSError as error:
            if not self._cut:
                self.failures.append(f"{type(error).__name__}: {error}")
        except Exception as error:  # reported by the test that waits
            self.failures.append(f"{type(error).__name__}: {error}")

    def servers_go(self) -> None:
        """From here on connections may break."""
        self._cut = True

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60 * SLOW)
            assert not thread.is_alive()
        assert not self.failures, self.failures
