"""A real server for the tests: one process, or for nginx a master and its workers.

Every server listens on a loopback address of its own (127.x.y.z) and a port the kernel gave
it. The address of its own is what makes it safe to kill a server and start it again on its
port: outgoing connections leave from 127.0.0.1, so none of them can sit on that port meanwhile,
nor can a connection attempt to it meet itself.

Each runs in a process group of its own, and only that group is ever signalled. Its log is a
file; close() ends it, demands exit status 0, and looks for what the sanitizers say.
"""

import contextlib
import errno
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("MKV_BIN", REPO / "bin")).resolve()
# Under a sanitizer everything takes several times as long.
SANITIZER = os.environ.get("MKV_SANITIZER", "")
SLOW = 5 if SANITIZER else 1

COMPLAINTS = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|assure|assertion"
)


class StartError(Exception):
    pass


def limit(milliseconds: int) -> str:
    """One of a server's limits: short, since the test waits until it has passed, but so that a
    volume that means well answers within it on a busy machine."""
    return f"{milliseconds * (2 if SANITIZER else 1)}ms"


def wait_until(condition: Callable[[], object], seconds: float, what: str):
    """Polls until the condition holds and returns what it gave."""
    deadline = time.monotonic() + seconds * SLOW
    pause = 0.002
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * SLOW:.0f} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def free_address() -> tuple[str, int]:
    """A loopback address of its own and a port that is free on it."""
    host = "127.%d.%d.%d" % tuple(random.SystemRandom().randint(1, 254) for _ in range(3))
    with socket.socket() as probe:
        probe.bind((host, 0))
        return host, probe.getsockname()[1]


def _group_members(group: int) -> list[int]:
    """Processes of a group that still run (the dead that nobody has waited for do not)."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        state, _parent, pgrp = stat.rsplit(")", 1)[1].split()[:3]
        if int(pgrp) == group and state not in "ZX":
            found.append(int(entry))
    return found


# A test run that is killed takes its servers with it. (A preexec_fn would do as well, but runs
# Python in a child forked from a process with threads.)
_ENDS_WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"]


class Server:
    """One server process (for nginx: a master and its workers)."""

    name = "server"

    def __init__(self, logs: Path):
        self.log = logs / f"{self.name}.log"
        self.address = free_address()
        self.process: subprocess.Popen | None = None
        self.paused = False

    # What differs from server to server.
    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    @property
    def authority(self) -> str:
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Starts it and waits until it takes connections. A port that somebody else took
        since it was found free is given up for another, but only before the first start:
        later on others know the server by it."""
        first = not self.log.exists()
        for attempt in itertools.count():
            try:
                return self._start()
            except StartError as error:
                if not first or attempt == 3 or "in use" not in str(error):
                    raise
                self.address = free_address()

    def _start(self) -> None:
        assert self.process is None, f"{self.name} runs already"
        argv, env = self.command()
        with open(self.log, "ab") as log:
            seen = log.tell()
            self.process = subprocess.Popen(
                _ENDS_WITH_US + argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                start_new_session=True,
            )
        deadline = time.monotonic() + 20 * SLOW
        while True:
            status = self.process.poll()
            if status is not None:
                self.process = None
                text = self.log.read_bytes()[seen:].decode(errors="replace")
                raise StartError(f"{self.name} ended at start with {status}:\n{text}")
            try:
                socket.create_connection(self.address, 1).close()
                return
            except OSError as error:
                if error.errno not in (errno.ECONNREFUSED, None) or time.monotonic() > deadline:
                    self.kill()
                    raise StartError(f"{self.name} does not answer: {error}") from error
            time.sleep(0.01)

    def check_running(self) -> None:
        """A server that was started and not ended by us is there."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended by itself with {self.process.poll()}")

    def _signal(self, number: int) -> None:
        self.check_running()
        os.killpg(self.pid, number)

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.check_running()
        self.resume()
        self.process.terminate()
        if SANITIZER == "tsan":
            # One that comes while the main thread still starts others gets lost in TSan's own
            # handler, about once in 400 times; without TSan never (of 3,000).
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.terminate()
        try:
            status = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {seconds * SLOW:.0f} s of SIGTERM"
            ) from None
        self._gone()
        return status

    def kill(self) -> None:
        """kill -9 of all of it."""
        assert self.process is not None
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._gone()

    def _gone(self) -> None:
        pid = self.pid
        wait_until(lambda: not _group_members(pid), 10, f"the end of {self.name}'s processes")
        self.process, self.paused = None, False

    def _sweep(self) -> None:
        """After an end that was not ours: what may be left of the group."""
        if self.process is not None:
            for pid in _group_members(self.pid):
                os.kill(pid, signal.SIGKILL)
            self._gone()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)
        self.paused = True
        # A signal is under way for a moment, in which a running process may still answer.
        deadline = time.monotonic() + 10
        while not all(state in "TtZX" for state in self._states()):
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.001)

    def _states(self) -> Iterator[str]:
        """The state of every thread in the process group, nginx's workers included."""
        for stat in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.pid:
                yield fields[0]

    def resume(self) -> None:
        if self.paused:
            self._signal(signal.SIGCONT)
            self.paused = False

    def peak_rss(self) -> int:
        """Bytes; of the process started, without nginx's workers."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def complaints(self) -> list[str]:
        if not self.log.exists():
            return []
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if COMPLAINTS.search(line)]

    def close(self) -> list[str]:
        """Ends it if it runs, and returns what is to be said against it."""
        wrong = []
        if self.process is not None:
            try:
                status = self.stop()
                if status != 0:
                    wrong.append(f"{self.name} ended with {status}")
            except AssertionError as error:
                wrong.append(str(error))
                self._sweep()
        wrong += [f"{self.name}: {line}" for line in self.complaints()]
        return wrong
