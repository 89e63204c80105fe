"""volumed and power cuts: what it acknowledged is there afterwards, whole; and the test would
see it if it were not, since without syncs it is not."""

import http.client
import os
import random
import time
from pathlib import Path

import pytest

from cluster import Volume
from drives import MIB, Drives
from http_raw import Connection
from powercut import GONE, Ledger, Load, Power, still_writeback
from server_process import SLOW
from syscalls import HAS_FILTER, WITHOUT_TMPFILE

SEED = int(os.environ.get("MKV_SEED", "7"))
CUTS = 4
WRITERS = 8
SIZES = (1, 700, 4096, 30_000, 300_000)


class PoweredVolume(Volume):
    """volumed on a drive of its own, whose power can be cut."""

    def __init__(self, folder: Path, drives: Drives):
        self.power = Power(drives)
        drive = self.power.ext4(96 * MIB)
        super().__init__(folder, 0, "volumed", drive.path / "top")
        self.wrapper: list[str] = []

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        return [*self.wrapper, *argv], env


@pytest.fixture
def volume(tmp_path, drives):
    with still_writeback():
        made = PoweredVolume(tmp_path, drives)
        yield made
        wrong = made.close()
    assert not wrong, wrong


class Writers:
    """PUTs, overwrites and DELETEs; each thread has names of its own, which share folders."""

    def __init__(self, volume: PoweredVolume, ledger: Ledger):
        self.volume, self.ledger = volume, ledger
        self.connections: dict[int, Connection] = {}

    def connect(self) -> None:
        self.connections = {n: Connection(self.volume.address) for n in range(WRITERS)}

    def __call__(self, thread: int, rng: random.Random) -> None:
        name = f"/sv{rng.randrange(2):02}/{rng.randrange(30):02x}/"
        if rng.random() < 0.3:  # folders of one's own, made in the middle of it all
            name += f"of-{thread}-{rng.randrange(9)}/deep/"
        name += f"{thread}-{rng.randrange(6)}"
        known = self.ledger.keys.get(name)
        if known and known.sure != GONE and rng.random() < 0.4:
            self._ask(thread, "DELETE", name, GONE)
        else:
            self._ask(thread, "PUT", name, self.ledger.value(name, rng.choice(SIZES)))

    def _ask(self, thread: int, method: str, name: str, value: bytes) -> None:
        self.ledger.asks(name, value)
        try:
            status = self.connections[thread].request(method, name, value or None).status
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        assert status in (201, 204), f"{method} {name}: {status}"
        self.ledger.answered(name)


def losses(volume: PoweredVolume, ledger: Ledger) -> list[str]:
    """What is not as it was acknowledged: by the server's word, and on its disk."""
    wrong = []
    connection = Connection(volume.address)
    for name, key in ledger.keys.items():
        answer = connection.request("GET", name)
        assert answer.status in (200, 404), f"GET {name}: {answer.status}"
        value = answer.body if answer.status == 200 else GONE
        file = volume.root / name[1:]
        assert (file.read_bytes() if file.is_file() else GONE) == value
        allowed = [len(v) for v in key.allowed()]
        if not ledger.found(name, value):
            wrong.append(f"{name}: {len(value)} bytes, not the right ones of {allowed}")
    for name in volume.files():
        if "/" + name not in ledger.keys:
            wrong.append(f"{name}: nobody's")
    wrong += [f"left: {folder}" for folder in volume.root.rglob(".volumed")]
    connection.close()
    return wrong


def cut_after_load(
    volume: PoweredVolume, writers: Writers, rng: random.Random, in_its_middle: bool
) -> list[str]:
    """One cut at some moment; what it cost. Not in the middle of the load it comes right after
    the last answer: no sync of a later request brings along what that one left out."""
    volume.start()
    writers.connect()
    before = writers.ledger.acknowledged
    load = Load(writers, WRITERS, rng.randrange(1 << 30))
    deadline = time.monotonic() + 20 * SLOW
    most = before + rng.randrange(20, 300)
    while writers.ledger.acknowledged < most and time.monotonic() < deadline:
        time.sleep(0.001)
    if in_its_middle:
        load.servers_go()
        volume.power.cut([volume])
        load.end()
    else:
        load.end()
        volume.power.cut([volume])
    assert writers.ledger.acknowledged > before
    volume.start()
    found = losses(volume, writers.ledger)
    assert volume.stop() == 0
    return found


@pytest.mark.parametrize("way", ["tmpfile", "dot folder"])
def test_acknowledged_is_on_disk(volume, way):
    if way == "dot folder":
        if not HAS_FILTER:
            pytest.skip("no filter for this machine's calls")
        volume.wrapper = WITHOUT_TMPFILE
    rng = random.Random(SEED)
    writers = Writers(volume, Ledger())
    for cut in range(CUTS):
        wrong = cut_after_load(volume, writers, rng, in_its_middle=cut % 2 == 0)
        assert not wrong, (len(wrong), wrong[:9])


@pytest.mark.parametrize("in_its_middle", [True, False])
def test_without_sync_it_is_lost(volume, in_its_middle):
    """The same without syncs: a cut that cost nothing would have cut nothing."""
    volume.flags = ["-sync=false"]
    writers = Writers(volume, Ledger())
    assert cut_after_load(volume, writers, random.Random(SEED), in_its_middle)
