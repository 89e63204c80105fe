"""Rows of what whole clients do: they write, follow redirects, look at every byte, and wait."""

import sys
from collections.abc import Callable

from loads import clients, timed_load
from measure import Row, Side
from server_process import Server
from servers import Bench

MILLION = 1_000_000
MILLION_SECONDS = 150  # are enough, or the row says so
SLOWER = 4  # times as long as it should be a turn may take
LATENCY_CONNECTIONS = 64  # so many requests may wait at once before those behind them wait, too
RATE_KEPT = 0.98  # of the rate asked for; with less the times are those of an overload


def cycle(bench: Bench) -> list[Row]:
    row = Row("cycle", "PUT, GET by the redirect, DELETE, 16 clients / nginx", "cycles/s", None)
    with bench.cluster(sync=False) as cluster:
        servers, nginx = cluster.servers(), [bench.yardstick]

        def cycles(asked: list[Server], n: int, **flags) -> Side:
            first = bench.next_key
            bench.next_key += n
            limit = SLOWER * bench.options.seconds
            return clients(asked, "cycle", n, first=first, c=16, seconds=limit, **flags)[0]

        n = max(1000, int(cycles(servers, 500).figure * bench.options.seconds))
        bench.turns(
            row,
            lambda: cycles(servers, n),
            lambda: cycles(nginx, n, direct=True, places=True),
        )
        left = cluster.files()
        if left:
            row.errors.append(f"{len(left)} files are left on the volumes after all DELETEs")
    return [row]


def million(bench: Bench) -> list[Row]:
    """Once, whatever --rounds says."""
    row = Row("million", "a million GETs by the redirect, 16 clients / nginx", "values/s", None)
    common = {"keys": bench.options.read, "c": 16}
    bench.make_yardstick_readable()
    with bench.cluster(sync=False) as cluster:
        bench.make_readable(cluster)
        ours, told = clients(
            cluster.servers(), "read", MILLION, seconds=MILLION_SECONDS, **common
        )
        if told["requests"] < MILLION:
            ours.errors.append(f"only {told['requests']:,} in {MILLION_SECONDS} s")
        # The million is mkv's test; the yardstick's figure is as good with less.
        theirs = clients([bench.yardstick], "read", MILLION // 5, direct=True, **common)[0]
        row.add(ours, theirs)
        row.progress()
    return [row]


def p99(bench: Bench) -> list[Row]:
    row = Row(
        "p99", "99th percentile, GET redirect at half its peak / nginx GET of 100 bytes at its own",
        "µs", None, lower_is_better=True,
    )
    bench.make_yardstick_readable()
    with bench.cluster(sync=False) as cluster:
        bench.make_readable(cluster)

        def turn_of(name: str, servers: list[Server], expect: int) -> Callable[[], Side]:
            seconds = bench.options.seconds
            common = {"keys": bench.options.read, "c": LATENCY_CONNECTIONS, "expect": expect}
            peak = timed_load(servers, "GET", 20_000, **common)[0].figure
            peak = timed_load(servers, "GET", int(peak * seconds), **common)[0].figure
            rate = int(peak / 2)
            print(f"  p99: {name} at {rate:,} of {peak:,.0f} requests/s", file=sys.stderr)

            def turn() -> Side:
                side, told = timed_load(servers, "GET", rate * seconds, rate=rate, **common)
                if side.figure < RATE_KEPT * rate:
                    side.errors.append(f"only {side.figure:,.0f} of {rate:,} requests/s")
                print(f"  p99: {name}, {side.figure:,.0f} of {rate:,} requests/s", file=sys.stderr)
                for what in ("micros", "late"):
                    times = ", ".join(f"{at} {took:,}" for at, took in told[what].items())
                    print(f"    {what}: {times}", file=sys.stderr)
                side.figure = told["micros"]["p99"]
                return side

            return turn

        bench.turns(
            row,
            turn_of("mkv", cluster.servers(), 302),
            turn_of("nginx", [bench.yardstick], 200),
        )
    return [row]


ROWS: dict[str, Callable[[Bench], list[Row]]] = {"cycle": cycle, "p99": p99, "million": million}
# Takes a minute or two: only when asked for.
ON_DEMAND = {"million"}
