"""What keys in the index cost: a master over an index of --keys keys (ten million where that is not
given) beside one over an empty index, each with volumes of its own. All keys that are asked for lie
among those in the index, far apart."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from cluster import Cluster
from measure import Row, Side
from rows import Target, asking, writes
from servers import Bench, memory


@contextlib.contextmanager
def pair(bench: Bench) -> Iterator[tuple[Cluster, Cluster]]:
    with (
        bench.cluster(sync=False, keys=bench.many_keys) as filled,
        bench.cluster(sync=False, keys=0) as empty,
    ):
        yield filled, empty
        for name, cluster in ("filled", filled), ("empty", empty):
            print(f"  the master, {name}: {memory(cluster.master)}", file=sys.stderr)


def opened(*sides: Callable[[], Side]) -> None:
    """A turn that does not count: the first reads after a start open the tables."""
    for side in sides:
        side()


def kmissing(bench: Bench) -> list[Row]:
    row = Row("kmissing", "GET of missing keys", "requests/s", None)
    with pair(bench) as clusters:
        sides = [
            asking(bench, cluster.servers(), first=bench.next_key, wanted="bad")
            for cluster in clusters
        ]
        opened(*sides)
        bench.turns(row, *sides)
    return [row]


def kredirect(bench: Bench) -> list[Row]:
    row = Row("kredirect", f"GET, the redirect, of {bench.options.read:,} keys", "requests/s", None)
    with pair(bench) as clusters:
        for cluster in clusters:
            bench.make_readable(cluster)
        sides = [asking(bench, cluster.servers()) for cluster in clusters]
        opened(*sides)
        bench.turns(row, *sides)
    return [row]


def kput20(bench: Bench) -> list[Row]:
    put = Row("kput20", "PUT 20 B ×3, 16 connections", "requests/s", None)
    delete = Row("kdelete", "DELETE ×3, 16 connections", "requests/s", None)
    with pair(bench) as clusters:
        filled, empty = (Target(cluster.servers()) for cluster in clusters)
        writes(bench, filled, empty, put, delete, 20, 16)
    return [put, delete]


ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "kmissing": kmissing,
    "kredirect": kredirect,
    "kput20": kput20,
}
SAME = {"kdelete": "kput20"}
