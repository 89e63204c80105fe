"""Power cuts under a cluster: every volume and the index on a drive of its own, cut one at a time
or all at once, while clients do all that there is to do. What was acknowledged is there, nothing
came back from the dead, nothing is torn; and in the end nothing is left of what was deleted.

By hand, longer and from other seeds:
    MKV_FAULT_SEEDS=1,2,3 MKV_POWER_CUTS=20 pytest test_cluster_powercut.py
"""

import os
import random
import threading
from pathlib import Path

import pytest

from cluster import Cluster
from drives import MIB, made_or_skipped
from inspection import clear, inspect
from powercut import Power, still_writeback
from server_process import Server
from test_faults import LIMITS, SEEDS, Client

CUTS = int(os.environ.get("MKV_POWER_CUTS", "4"))
CLIENTS = 6
VOLUMES = 4
DRIVE = 512 * MIB


class Powered:
    """A cluster whose servers each have a power supply of their own."""

    def __init__(self, folder: Path, drives, sync: bool):
        flag = f"-sync={'true' if sync else 'false'}"
        self.cluster = Cluster(
            ["volumed"] * VOLUMES,
            flags=[*LIMITS, flag],
            volume_flags=[flag],
            folder=folder,
            db=folder / "drive" / "index",
            start=False,
        )
        self.supplies: dict[str, Power] = {}
        for server in self.cluster.servers():
            master = server is self.cluster.master
            at = folder / "drive" if master else self.cluster.volumes[server.number].root
            self.supplies[server.name] = Power(drives)
            self.supplies[server.name].ext4(DRIVE, at=at)

    def cut(self, servers: list[Server]) -> None:
        for server in servers:
            self.supplies[server.name].cut([server])

    def start(self, servers: list[Server]) -> None:
        for server in servers:
            server.start()


def rounds(powered: Powered, seed: int) -> list[Client]:
    """Load, with the power of some server, or of all, cut now and then."""
    cluster, chance = powered.cluster, random.Random(seed)
    stop = threading.Event()
    clients = [Client(cluster, number, seed, stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for number in range(CUTS):
            stop.wait(chance.uniform(0.5, 1.5))
            # The first cut is of everything, as when a building goes dark.
            servers = cluster.servers()
            if number > 0:
                servers = [chance.choice(servers)]
            for server in servers:
                server.kill()
            powered.cut(servers)
            powered.start(servers)
            if stop.is_set():
                break
    finally:
        stop.set()
        for client in clients:
            client.join()
    return clients


@pytest.mark.parametrize("seed", SEEDS)
def test_power_cuts(tmp_path, seed):
    with still_writeback(), made_or_skipped(tmp_path) as drives:
        powered = Powered(tmp_path, drives, sync=True)
        with powered.cluster as cluster:
            cluster.start()
            clients = rounds(powered, seed)
            for client in clients:
                if client.failed is not None:
                    raise client.failed
            counts: dict[str, int] = {}
            for client in clients:
                for what, number in client.counts.items():
                    counts[what] = counts.get(what, 0) + number
            print(f"seed {seed}: {CUTS} cuts, {dict(sorted(counts.items()))}")
            for what in "PUT 201", "GET 302", "DELETE 204", "UNLINK 204", "REBALANCE 204":
                assert counts.get(what, 0) > 0, counts
            models = [model for client in clients for model in client.models]
            inspect(cluster, models)
            clear(cluster, models)


def test_without_sync_a_cut_is_seen(tmp_path):
    """That the test above can fail."""
    with still_writeback(), made_or_skipped(tmp_path) as drives:
        powered = Powered(tmp_path, drives, sync=False)
        cluster = powered.cluster
        try:
            cluster.start()
            key, value = b"/soon/gone", b"a value"
            cluster.live(key, value)
            powered.cut(cluster.servers())
            powered.start(cluster.servers())
            assert cluster.get(key).status == 404
        finally:
            cluster.close()
