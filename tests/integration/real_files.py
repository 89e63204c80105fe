"""Puts files into a cluster under their paths as keys and reads them back through the redirect,
with several workers, never holding a file in memory."""

import os
import queue
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from http_raw import Connection, target

PIECE = 1024 * 1024


def find_files(folders: Iterable[str]) -> list[Path]:
    """Every regular, readable file that is not empty; links are not followed."""
    found = []
    for top in folders:
        for folder, folders_below, names in os.walk(top):
            folders_below.sort()
            for name in sorted(names):
                path = Path(folder, name)
                try:
                    about = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(about.st_mode) and about.st_size and os.access(path, os.R_OK):
                    found.append(path)
    return found


class Store:
    """A client of the master at `address`. Counts what it did; `failures` says what went wrong."""

    def __init__(self, address: tuple[str, int]):
        self.address = address
        self.stored = 0
        self.bytes = 0
        self.failures: list[str] = []
        self._lock = threading.Lock()

    def put_and_read(self, files: list[Path], workers: int, progress=lambda: None) -> None:
        def one(connections: "_Connections", path: Path) -> None:
            size = self._put(connections, path)
            self._read(connections, path)
            with self._lock:
                self.stored += 1
                self.bytes += size
            progress()

        self._all(files, workers, one)

    def delete(self, files: list[Path], workers: int) -> None:
        def one(connections: "_Connections", path: Path) -> None:
            answer = connections.to(self.address).request("DELETE", target(os.fsencode(path)))
            assert answer.status == 204, f"DELETE gave {answer.status}"

        self._all(files, workers, one)

    def _put(self, connections: "_Connections", path: Path) -> int:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            fields = {"Content-Length": str(size)}
            answer = connections.to(self.address).request(
                "PUT", target(os.fsencode(path)), file, fields
            )
        assert answer.status == 201, f"PUT gave {answer.status} {answer.body!r}"
        return size

    def _read(self, connections: "_Connections", path: Path) -> None:
        answer = connections.to(self.address).request("GET", target(os.fsencode(path)))
        assert answer.status == 302, f"GET gave {answer.status} {answer.body!r}"
        parts = urlsplit(answer["Location"])
        volume = connections.to((parts.hostname, parts.port))
        with open(path, "rb") as file:
            status = volume.compare(parts.path, file)
        assert status == 200, f"{answer['Location']} gave {status}"

    def _all(self, files: list[Path], workers: int, one: Callable) -> None:
        waiting: queue.SimpleQueue = queue.SimpleQueue()
        for path in files:
            waiting.put(path)

        def work() -> None:
            connections = _Connections()
            while True:
                try:
                    path = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    one(connections, path)
                except Exception as error:  # each is reported with its file
                    with self._lock:
                        self.failures.append(f"{path}: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class _Comparing(Connection):
    def compare(self, path: str, file) -> int:
        """GET, held against the file as it comes; returns the status."""
        try:
            self._http.request("GET", path)
            answer = self._http.getresponse()
            if answer.status != 200:
                answer.read()
                return answer.status
            while True:
                piece = answer.read(PIECE)
                assert piece == file.read(len(piece) or 1), "the bytes differ"
                if not piece:
                    return 200
        except BaseException:
            self._http.close()
            raise


class _Connections:
    """A worker's keep-alive connections, one per server."""

    def __init__(self):
        self._known: dict[tuple[str, int], _Comparing] = {}

    def to(self, address: tuple[str, int]) -> _Comparing:
        if address not in self._known:
            self._known[address] = _Comparing(address, timeout=300)
        return self._known[address]
