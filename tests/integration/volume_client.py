"""What the tests of a single volumed share: one that runs, a client whose one connection must
last, and the tree as it is."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster import Volume
from drives import MIB
from http_raw import Connection
from server_process import BIN, Server

NOBODY = 65534


class Unprivileged(Volume):
    """Run as nobody, from a folder that nobody may enter."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        program = self.log.parent / "volumed"
        if not program.exists():
            shutil.copy(BIN / "volumed", program)
        who = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        return ["setpriv", *who, "--", str(program), *argv[1:]], env


def for_nobody(folder: Path) -> Path:
    """Has every folder on the way to it, and itself, open to all."""
    folder.mkdir(parents=True, exist_ok=True)
    for above in [folder, *folder.parents]:
        if above == Path("/tmp") or above.stat().st_uid != os.getuid():
            break
        above.chmod(above.stat().st_mode | 0o755)
    return folder


@contextmanager
def running(volume: Volume) -> Iterator[Volume]:
    volume.start()
    try:
        yield volume
        wrong = volume.close()
        assert not wrong, wrong
    finally:
        print(volume.log.read_text()[-3000:])
        volume.close()


class Client:
    """One connection, which must last; and what the log said to each request."""

    def __init__(self, volume: Volume):
        self.volume = volume
        self.connection = Connection(volume.address)
        self.seen = volume.log.stat().st_size

    def ask(self, method: str, path: str, body: bytes | None = None) -> int:
        opened = self.connection._http.sock
        answer = self.connection.request(method, path, body)
        if opened is not None:
            assert self.connection._http.sock in (opened, None), "another connection"
        return answer.status

    def fails(self, status: int, method: str, path: str, body: bytes | None = None) -> None:
        """With one line in the log, that names the path; and the connection goes on, if not too
        much of a body was still to come."""
        before = self.volume.log.stat().st_size
        assert self.ask(method, path, body) == status
        assert self.connection._http.sock is not None or len(body or b"") > MIB, "closed"
        log = self.volume.log.read_bytes()[before:].decode()
        assert len(log.splitlines()) == 1 and path in log, log

    def works(self, top: str, name: str = "works") -> None:
        """All that may be asked of a drive."""
        path, value = f"/{top}/aa/bb/{name}", os.urandom(70_000)
        assert self.ask("PUT", path, value) == 201
        answer = self.connection.request("GET", path)
        assert (answer.status, answer.body) == (200, value)
        assert self.ask("PUT", path, value) == 204
        assert self.ask("DELETE", path) == 204
        assert self.ask("GET", path) == 404


def everything(drive: Path) -> list[str]:
    """The tree as it is, dot folder and all."""
    return sorted(str(path.relative_to(drive)) for path in drive.rglob("*"))


def opened(server: Server) -> list[str]:
    """What its descriptors lead to."""
    found = []
    for fd in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            found.append(os.readlink(fd))
        except FileNotFoundError:
            continue  # closed since it was listed
    return found
