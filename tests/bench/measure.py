"""One measurement: turns of two sides, the figures they give, and the processor time they cost."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from server_process import Server


class Failed(Exception):
    pass


@dataclass
class Side:
    """One turn of one side. `figure` is what the row compares; `cpu` is what the servers spent
    on one request, in seconds."""

    figure: float
    cpu: float = 0
    errors: list[str] = field(default_factory=list)


@dataclass
class Row:
    name: str
    what: str
    unit: str
    go: float | None
    lower_is_better: bool = False
    ours: list[float] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)
    our_cpu: list[float] = field(default_factory=list)
    yardstick_cpu: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, ours: Side, yardstick: Side) -> None:
        self.ours.append(ours.figure)
        self.yardstick.append(yardstick.figure)
        self.our_cpu.append(ours.cpu)
        self.yardstick_cpu.append(yardstick.cpu)
        self.errors += [f"mkv: {e}" for e in ours.errors]
        self.errors += [f"yardstick: {e}" for e in yardstick.errors]

    def progress(self) -> None:
        a, b = self.ours[-1], self.yardstick[-1]
        print(f"  {self.name}: {a:,.1f} / {b:,.1f} {self.unit} = {a / b:.2f}", file=sys.stderr)

    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.yardstick, strict=True)]

    def verdict(self) -> str:
        if self.errors:
            return "ERRORS"
        if self.go is None:
            return ""
        ratio = statistics.median(self.ratios())
        ahead = ratio < self.go if self.lower_is_better else ratio > self.go
        return "ahead" if ahead else "BEHIND"


class Meter:
    """Processor time of servers (with nginx, its workers), from one reading to the next."""

    TICK = os.sysconf("SC_CLK_TCK")

    def __init__(self, servers: list[Server]):
        self.groups = {server.pid for server in servers}
        self.start = self.read()

    def read(self) -> float:
        """Seconds so far. A server is the leader of its process group."""
        ticks = 0
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                words = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(words[2]) in self.groups:
                ticks += int(words[11]) + int(words[12])
        return ticks / self.TICK

    def each(self, requests: int) -> float:
        return (self.read() - self.start) / max(requests, 1)


def take_turns(
    rounds: int, row: Row, ours: Callable[[], Side], yardstick: Callable[[], Side]
) -> Row:
    """Rounds of two turns each. They swap places every other round: what is left for the second
    to pay by the first is paid by both."""
    for number in range(rounds):
        sides: dict[str, Side] = {}
        order = [("ours", ours), ("yardstick", yardstick)]
        for name, turn in order if number % 2 == 0 else reversed(order):
            sides[name] = turn()
        row.add(sides["ours"], sides["yardstick"])
        row.progress()
    return row


def children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def output(argv: list[str]) -> str:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
