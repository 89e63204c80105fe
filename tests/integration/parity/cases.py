"""What a case of the comparison is, and how it is judged.

A case is a few lines of data: a name and one or more *steps*, each the bytes of one
connection. It runs on two equal folders, and both servers must give the same answers (status,
fields, body, connection kept or closed) and leave the same folder. In a step $ETAG and
$MODIFIED stand for what the same server's previous step answered.

A case that names a deliberate difference is excused: it then says which statuses nginx and
volumed give, and they must differ indeed.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

import trees
import wire
from cluster import Volume
from server_process import SLOW

SILENCE = 0.15  # seconds; confirmed with PATIENCE before a difference is believed
PATIENCE = 2.0


@dataclass(frozen=True)
class Case:
    name: str
    steps: tuple[bytes, ...]
    excuse: str = ""  # the deviation's name in the docs' tables
    nginx: tuple[int, ...] = ()  # what each gives then, over all steps, without the probes
    volumed: tuple[int, ...] = ()
    changes: bool = True  # excused, and volumed's folder is not as it was


def request(method: str, target: str | bytes, *fields: str | bytes, body: bytes | None = None,
            version: str = "1.1") -> bytes:
    """A request's bytes: Host where none is given, Content-Length where there is a body that
    nothing else frames."""
    lines = [b" ".join((method.encode(), _bytes(target), b"HTTP/" + version.encode()))]
    given = [_bytes(field) for field in fields]
    names = [field.partition(b":")[0].lower() for field in given]
    if b"host" not in names and version == "1.1":
        lines.append(b"Host: h")
    lines += given
    if body is not None and not {b"content-length", b"transfer-encoding"} & set(names):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def case(name: str, *steps: bytes, **more) -> Case:
    return Case(name, steps, **more)


def parametrize(cases: list[Case]):
    """One test per case, by its name (pytest numbers those that have the same)."""
    return pytest.mark.parametrize("case", cases, ids=[c.name for c in cases])


class Pair:
    """nginx and volumed, each over a folder of its own, both equal."""

    def __init__(self, where: Path):
        self.servers = []
        for number, kind in enumerate(("nginx", "volumed")):
            logs = where / kind
            logs.mkdir()
            # What is synced is looked at elsewhere; here it would be most of the time.
            flags = ["-sync=false"] if kind == "volumed" else []
            self.servers.append(Volume(logs, number, kind, logs / "root", flags))
        for server in self.servers:
            server.start()
        self.restore()

    def restore(self) -> None:
        """Fresh folders. What a server was still at (a PUT whose client has gone) may come in
        between; then once more."""
        for _ in range(5):
            self._restore()
            first, second = self.trees()
            if first == second:
                break
        assert first == second, trees.differing(first, second)
        self.pristine = first

    def _restore(self) -> None:
        for server in self.servers:
            trees.clear(server.root)
            trees.populate(server.root)
            if server.kind == "nginx":  # a DELETE of the top takes its own folder as well
                (server.root / ".nginx/body_temp").mkdir(parents=True, exist_ok=True)

    def trees(self) -> list[dict]:
        return [trees.tree(server.root) for server in self.servers]

    def close(self) -> None:
        wrong = [line for server in self.servers for line in server.close()]
        assert not wrong, "\n".join(wrong)

    def ask(self, pieces: list[bytes], silence: float = SILENCE) -> list[list[wire.Answer]]:
        """What each answers to the bytes and to the probe behind them."""
        return [wire.answers(wire.talk(s.address, pieces + [wire.PROBE], silence * SLOW), s.address)
                for s in self.servers]

    def run(self, case: Case, silence: float = SILENCE) -> list[tuple]:
        """A case on fresh folders: for each server its answers, by step, and its folder."""
        found = []
        for server in self.servers:
            steps, etag, modified = [], b"", b""
            for step in case.steps:
                sent = step.replace(b"$ETAG", etag).replace(b"$MODIFIED", modified)
                # The probe leaves with the bytes it follows: no server can tell it apart.
                raw = wire.talk(server.address, [sent + wire.PROBE], silence * SLOW)
                etag = _field(raw, b"ETag") or etag
                modified = _field(raw, b"Last-Modified") or modified
                steps.append(wire.answers(raw, server.address))
            found.append((steps, trees.tree(server.root)))
        self.judged = found
        if any(folder != self.pristine for _, folder in found):
            self.restore()
        return found


def _field(raw: bytes, name: bytes) -> bytes:
    return raw.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0]


def statuses(steps: list[list[wire.Answer]]) -> tuple[int, ...]:
    """Of a case's answers, those to its own requests, not those to the probes."""
    found = []
    for step in steps:
        final = [answer.status for answer in step]
        found += final[:-1] if answers_probe(step) else final
    return tuple(found)


def answers_probe(step: list[wire.Answer]) -> bool:
    return (len(step) > 0 and step[-1].status == 404 and not step[-1].body
            and step[-1].fields.get("connection") == "close")


def describe(case: Case, found: list[tuple]) -> str:
    """Where the two differ, and what was sent."""
    lines = [""]
    for number, step in enumerate(case.steps):
        lines.append(f"sent    {step if len(step) < 2000 else step[:1000] + b' ... ' + step[-200:]!r}")
        one, other = (steps[number] for steps, _ in found)
        if one == other:
            lines.append(f"both    {statuses([one])}")
            continue
        for kind, step_answers in (("nginx  ", one), ("volumed", other)):
            lines += [f"{kind} {answer}" for answer in step_answers] or [f"{kind} nothing"]
    difference = trees.differing(found[0][1], found[1][1])
    if difference:
        lines.append(f"on disk, by nginx and volumed: {difference}")
    return "\n".join(lines)


def judge(pair: Pair, case: Case) -> None:
    before = pair.pristine
    found = pair.run(case)
    if found[0] != found[1] and not case.excuse:
        found = pair.run(case, PATIENCE)  # a slow machine is no difference
    if not case.excuse:
        assert found[0] == found[1], describe(case, found)
        return
    assert found[0] != found[1], f"no difference any more: {case.excuse}"
    given = tuple(statuses(steps) for steps, _ in found)
    assert given == (case.nginx, case.volumed), describe(case, found)
    if not case.changes:
        assert found[1][1] == before, describe(case, found)
