"""Volume servers of either kind, a master, and a cluster of both, over folders of their own."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import http_raw
import leveldb
import placement
from http_raw import Answer, Wire, target
from index_records import parse_record
from server_process import BIN, REPO, Server, wait_until

KINDS = {
    "volumed": ("volumed", "volumed", "volumed"),
    "nginx": ("nginx", "nginx", "nginx"),
    "mixed": ("volumed", "nginx", "volumed"),
}


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
