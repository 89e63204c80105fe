"""Rows of what three copies cost without a master: three volumes, each asked by a client of its
own. No master can be faster, whatever it costs itself, where the processors are the limit."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from measure import Row, Side
from rows import MIB, Target, writes
from servers import Bench
from volumed_rows import volumed

COPIES = 3


@dataclass
class Copies(Target):
    """All of the servers are written to at once; done is what all of them have done."""

    def turn(self, bench: Bench, size: int, connections: int, keys: int, first: int):
        each = [Target([server], places=True) for server in self.servers]
        with ThreadPoolExecutor(len(each)) as clients:
            turns = clients.map(
                lambda target: target.turn(bench, size, connections, keys, first), each
            )
            written, gone = zip(*turns, strict=True)
        return self._together(written), self._together(gone)

    @staticmethod
    def _together(sides: tuple[Side, ...]) -> Side:
        errors = [error for side in sides for error in side.errors]
        return Side(min(s.figure for s in sides), sum(s.cpu for s in sides), errors)


def limit(bench: Bench, put: Row, delete: Row | None, size: int, connections: int) -> list[Row]:
    nginx = Target([bench.yardstick], places=True)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(volumed(bench)) for _ in range(COPIES)]
        writes(bench, Copies(servers), nginx, put, delete, size, connections)
    return [put, delete] if delete else [put]


def put20limit(bench: Bench) -> list[Row]:
    put = Row("put20limit", "the limit: three volumes without a master", "requests/s", None)
    delete = Row("deletelimit", "the same for DELETE", "requests/s", None)
    return limit(bench, put, delete, 20, 16)


def put1mlimit(bench: Bench) -> list[Row]:
    put = Row("put1mlimit", "the limit: three volumes without a master, no MD5", "MiB/s", None)
    return limit(bench, put, None, MIB, 8)


ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "put20limit": put20limit,
    "put1mlimit": put1mlimit,
}
SAME = {"deletelimit": "put20limit"}
