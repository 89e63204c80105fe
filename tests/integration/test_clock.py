"""A clock that jumps: back, ahead, by minutes and by years. Limits are measured by another clock,
so no request notices; removals that were put off are not put off for as long as the jump."""

from pathlib import Path

import pytest

from cluster import Cluster, Master
from server_process import SANITIZER, wait_until

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
HOUR = 3600
JUMPS = [600, -600, 3 * HOUR, -3 * HOUR, 366 * 24 * HOUR, -3660 * 24 * HOUR, 0]


class Fooled(Master):
    """A master whose wall clock is ours to set."""

    clock: Path
    pids: list[int]

    def command(self):
        argv, env = super().command()
        return argv, {
            **env,
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def forget(self) -> None:
        """What the library leaves behind of a process that was killed."""
        for left in ("faketime_shm_%d", "sem.faketime_sem_%d"):
            for pid in self.pids:
                Path("/dev/shm", left % pid).unlink(missing_ok=True)

    def _start(self) -> None:
        super()._start()
        self.pids.append(self.pid)

    def jump(self, seconds: int) -> None:
        self.clock.write_text(f"{seconds:+d}\n")


@pytest.fixture
def fooled():
    if SANITIZER:
        pytest.skip("a sanitizer wants to be loaded first")
    if not LIBRARY.exists():
        pytest.skip("no libfaketime")
    cluster = Cluster(["volumed"] * 4, flags=["-voltimeout", "300ms"], start=False)
    with cluster:
        cluster.master.__class__ = Fooled
        cluster.master.clock, cluster.master.pids = cluster.folder / "clock", []
        cluster.master.jump(0)
        cluster.start()
        yield cluster
    cluster.master.forget()


def year(cluster: Cluster) -> int:
    return int(cluster.get(b"/nothing")["Date"].split()[3])


def test_requests_do_not_notice(fooled):
    here = year(fooled)
    for number, jump in enumerate(JUMPS):
        fooled.live(b"/kept/%d" % number, b"before")
        fooled.master.jump(jump)
        key = b"/jump/%d" % number
        fooled.live(key, b"after")
        assert fooled.read(key) == fooled.read(key) == b"after"
        assert fooled.unlink(key).status == 204
        assert fooled.relink(key).status == 204
        assert fooled.delete(key).status == 204
        fooled.live(key, b"again")
        fooled.check_value(key, b"again")
        for before in range(number + 1):
            assert fooled.read(b"/kept/%d" % before) == b"before"
        if abs(jump) > 365 * 24 * HOUR:
            # An answer's Date is made anew once a second.
            wait_until(lambda: year(fooled) != here, 10, "the clock that is ours")


@pytest.mark.parametrize("jump", [-3 * HOUR, 3 * HOUR])
def test_removals_that_wait(fooled, jump):
    """Those of a volume that was down when the clock jumped."""
    key = b"/removed"
    fooled.live(key)
    lost = fooled.at(fooled.homes(key)[0])[0]
    lost.kill()
    assert fooled.delete(key).status == 204
    assert len(fooled.key_files(key)) == 1
    fooled.master.jump(jump)
    lost.start()
    fooled.no_files(key, 45)
    fooled.live(key, b"at home again")
    assert fooled.read(key) == b"at home again"
