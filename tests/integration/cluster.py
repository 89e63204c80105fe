"""Real servers for the tests: volume servers of either kind, a master, and a cluster of both.

Every server listens on a loopback address of its own (127.x.y.z) and a port the kernel gave
it. The address of its own is what makes it safe to kill a server and start it again on its
port: outgoing connections leave from 127.0.0.1, so none of them can sit on that port meanwhile,
nor can a connection attempt to it meet itself.

Each runs in a process group of its own, and only that group is ever signalled. Logs are files
in the cluster's folder; close() ends everything, demands exit status 0, and looks for what the
sanitizers say.
"""

import errno
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import http_raw
import leveldb
import placement
from http_raw import Answer, Wire, target
from index_records import parse_record

REPO = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("MKV_BIN", REPO / "bin")).resolve()
# Under a sanitizer everything takes several times as long.
SANITIZER = os.environ.get("MKV_SANITIZER", "")
SLOW = 5 if SANITIZER else 1

KINDS = {
    "volumed": ("volumed", "volumed", "volumed"),
    "nginx": ("nginx", "nginx", "nginx"),
    "mixed": ("volumed", "nginx", "volumed"),
}

_COMPLAINTS = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|assure|assertion"
)


class StartError(Exception):
    pass


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
        return "%s:%d" % self.address

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
        return [line for line in lines if _COMPLAINTS.search(line)]

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


class Volume(Server):
    """A volume server over a folder. `kind` may be changed while it is down: either kind can
    take over the folder."""

    def __init__(self, logs: Path, number: int, kind: str, root: Path, flags: Iterable[str] = ()):
        self.name = f"volume{number}"
        self.number, self.kind, self.root, self.flags = number, kind, root, list(flags)
        self.root.mkdir(parents=True, exist_ok=True)
        super().__init__(logs)

    def command(self) -> tuple[list[str], dict[str, str]]:
        host, port = self.address
        if self.kind == "volumed":
            argv = [str(BIN / "volumed"), "-bind", host, "-port", str(port)]
            return argv + self.flags + [str(self.root)], {}
        return [str(REPO / "scripts" / "volume"), str(self.root)], {
            "VOLUME_SERVER": "nginx",
            "BIND": host,
            "PORT": str(port),
        }

    def request(self, method: str, path: str, body=None, fields=None) -> Answer:
        return http_raw.once(self.address, method, path, body, fields)

    def files(self) -> dict[str, int]:
        """Every file of the folder and its size, "sv00/xx/yy/B"; what stands in a dot folder
        at the top is the server's own."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            if Path(folder) == self.root:
                folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                try:
                    found[str(path.relative_to(self.root))] = path.lstat().st_size
                except FileNotFoundError:
                    continue  # removed since it was listed
        return found


class Master(Server):
    def __init__(self, logs: Path, db: Path, flags: list[str]):
        self.name = "master"
        self.db, self.flags = db, flags
        super().__init__(logs)

    def command(self) -> tuple[list[str], dict[str, str]]:
        host, port = self.address
        argv = [str(BIN / "mkv"), "-bind", host, "-port", str(port), "-db", str(self.db)]
        return argv + self.flags + ["server"], {}


class Cluster:
    """A master and its volumes, and what a test asks of them."""

    def __init__(
        self,
        kinds: Iterable[str],
        replicas: int = 3,
        subvolumes: int = 10,
        flags: Iterable[str] = (),
        volume_flags: Iterable[str] = (),
        folder: Path | None = None,
        db: Path | None = None,
        start: bool = True,
    ):
        # Not pytest's tmp_path: that keeps the folders of the last runs, and these are large.
        self._own = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="mkv-test-"))
        self.logs = self.folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.replicas, self.subvolumes = replicas, subvolumes
        self.volumes = [
            Volume(
                self.logs,
                number,
                kind,
                self.folder / f"volume{number}",
                volume_flags if kind == "volumed" else (),
            )
            for number, kind in enumerate(kinds)
        ]
        self.flags = list(flags)
        self.master = Master(self.logs, db or self.folder / "index", [])
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    def start(self) -> None:
        for volume in self.volumes:
            volume.start()
        self.master.flags = [
            "-volumes",
            ",".join(self.names()),
            "-replicas",
            str(self.replicas),
            "-subvolumes",
            str(self.subvolumes),
            *self.flags,
        ]
        self.master.start()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if error is not None:
            self.show_logs()
        wrong = self.close()
        if error is None:
            assert not wrong, "\n".join(wrong)

    def servers(self) -> list[Server]:
        return [self.master, *self.volumes]

    def check_running(self) -> None:
        for server in self.servers():
            server.check_running()

    def close(self) -> list[str]:
        wrong = [line for server in self.servers() for line in server.close()]
        if wrong:
            self.show_logs()
        if self._own and "MKV_KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)
        return wrong

    def show_logs(self, lines: int = 40) -> None:
        """Onto standard output, which pytest shows with a failure."""
        for log in sorted(self.logs.glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-lines:]
            print(f"--- the end of {log.name}", *tail, sep="\n")

    # --- placement -------------------------------------------------------------------------
    def names(self) -> list[str]:
        return [volume.authority for volume in self.volumes]

    def homes(self, key: bytes) -> list[str]:
        return placement.homes(key, self.names(), self.replicas, self.subvolumes)

    def at(self, place: str) -> tuple[Volume, str]:
        """A place's volume, and its subvolume ("sv03" or "")."""
        name, _slash, sub = place.partition("/")
        return self.volumes[self.names().index(name)], sub

    def file(self, place: str, key: bytes) -> Path:
        volume, sub = self.at(place)
        return volume.root / sub / placement.disk_path(key)[1:]

    # --- requests to the master --------------------------------------------------------------
    def request(self, method: str, key: bytes | str, body=None, fields=None, query="") -> Answer:
        return http_raw.once(self.master.address, method, target(key, query), body, fields)

    def put(self, key: bytes | str, value: bytes, fields=None) -> Answer:
        return self.request("PUT", key, value, fields)

    def delete(self, key: bytes | str) -> Answer:
        return self.request("DELETE", key)

    def unlink(self, key: bytes | str) -> Answer:
        return self.request("UNLINK", key)

    def relink(self, key: bytes | str) -> Answer:
        return self.request("RELINK", key)

    def get(self, key: bytes | str) -> Answer:
        return self.request("GET", key)

    def read(self, key: bytes | str) -> bytes:
        """The value as `curl -L` would have it."""
        answer = self.get(key)
        assert answer.status == 302, (key, answer)
        value = http_raw.fetch(answer["Location"])
        assert value.status == 200, (key, answer["Location"], value)
        return value.body

    def live(self, key: bytes, value: bytes = b"a value") -> bytes:
        assert self.put(key, value).status == 201
        return value

    def unlinked(self, key: bytes, value: bytes = b"a value") -> bytes:
        self.live(key, value)
        assert self.unlink(key).status == 204
        return value

    def begin_put(self, key: bytes, sent: bytes, probe: str = "DELETE") -> Wire:
        """A PUT that the master is at work on: `sent` is its head and what there is of its body.
        `probe` is a method that changes nothing of the key as it is; it tells of the claim."""
        for _attempt in range(10):
            wire = Wire(self.master.address)
            wire.send(sent)

            def decided(wire: Wire = wire) -> bool:
                # The probe takes the key for a moment as well, and may be in the PUT's way.
                return wire.readable() or self.request(probe, key).status == 409

            wait_until(decided, 10, f"the PUT of {key!r} under way")
            if not wire.readable():
                return wire
            assert wire.answer().status == 409
            wire.close()
        raise AssertionError(f"{probe} was always in the way of the PUT of {key!r}")

    def keys(self, prefix: bytes | str = "/", unlinked: bool = False, limit: int | None = None):
        """All keys below a prefix; with a limit page by page."""
        found, start = [], ""
        while True:
            query = "unlinked" if unlinked else "list"
            if limit is not None:
                query += f"&limit={limit}"
            if start:
                query += "&start=" + target(start).replace("/", "%2F")
            answer = self.request("GET", prefix, query=query)
            assert answer.status == 200, answer
            page = json.loads(answer.body)
            assert sorted(page) == ["keys", "next"]
            assert limit is None or len(page["keys"]) <= limit
            found += [key.encode("utf-8", "surrogateescape") for key in page["keys"]]
            start = page["next"]
            if not start:
                return found

    # --- what is on disk -----------------------------------------------------------------------
    def files(self) -> set[tuple[int, str]]:
        return {(v.number, path) for v in self.volumes for path in v.files()}

    def expected(self, keys: Iterable[bytes]) -> set[tuple[int, str]]:
        """The files of keys that all lie at home."""
        found = set()
        for key in keys:
            for place in self.homes(key):
                volume, sub = self.at(place)
                path = placement.disk_path(key)[1:]
                found.add((volume.number, f"{sub}/{path}" if sub else path))
        return found

    def key_files(self, key: bytes) -> list[Path]:
        """Where on any volume, in any subvolume, a file of the key's path lies."""
        path = placement.disk_path(key)[1:]
        found = []
        for volume in self.volumes:
            for base in [volume.root, *volume.root.glob("sv*")]:
                if (base / path).is_file():
                    found.append(base / path)
        return found

    def check_value(self, key: bytes, value: bytes, places: list[str] | None = None) -> None:
        """At these places (home, if not said), and nowhere else, lies exactly this value."""
        if places is None:
            places = self.homes(key)
        wanted = sorted(self.file(place, key) for place in places)
        assert sorted(self.key_files(key)) == wanted
        for path in wanted:
            assert path.read_bytes() == value, path

    def no_files(self, key: bytes, seconds: float = 40) -> None:
        # A volume that carries a PUT out after our DELETE is looked at again after 15 s.
        self.check_running()
        wait_until(lambda: not self.key_files(key), seconds, f"no file of {key!r} anywhere")

    # --- what is in the index --------------------------------------------------------------------
    def index(self) -> tuple[dict[bytes, tuple[str, str, list[str]]], dict[bytes, bytes]]:
        """Records, and all else, from a copy of the database. One taken while the master runs is
        of some moment lately, and is taken again where files came and went meanwhile."""
        items: dict[bytes, bytes] = {}

        def copied() -> bool:
            with tempfile.TemporaryDirectory(prefix="mkv-index-") as copy:
                try:
                    shutil.copytree(self.master.db, copy, dirs_exist_ok=True)
                    with leveldb.Database(copy) as db:
                        items.update(db.items())
                except (OSError, shutil.Error):
                    if self.master.process is None:
                        raise
                    return False
            return True

        wait_until(copied, 10, "a copy of the index")
        records = {k: parse_record(v) for k, v in items.items() if k.startswith(b"/")}
        return records, {k: v for k, v in items.items() if not k.startswith(b"/")}


def location_parts(answer: Answer) -> tuple[str, bytes]:
    """A redirect's authority and its decoded path."""
    parts = urlsplit(answer["Location"])
    return parts.netloc, unquote_to_bytes(parts.path)


def md5_hex(value: bytes) -> str:
    return hashlib.md5(value).hexdigest()
