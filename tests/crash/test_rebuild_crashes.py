"""mkv rebuild killed between every two steps: there is always an index that is whole, the old one
or the new one, or none can be opened until rebuild has been run again.

Needs programs built with crash points (make VARIANT=crash).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from cluster import md5_hex  # noqa: E402
from rebuilding import (  # noqa: E402
    CLEAN,
    by_hand,
    command,
    index,
    kept,
    rebuild,
    start_master,
    store,
    write_index,
)
from server_process import StartError  # noqa: E402
from test_crash_points import REPO, POINT  # noqa: E402

POINTS = sorted(
    name
    for path in (REPO / "master").rglob("*.c")
    for name in POINT.findall(path.read_text())
    if name.startswith("rebuild: ")
)
GONE = "rebuild: there is no index"

# A file system that cannot exchange two names.
NO_EXCHANGE = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    if (flags == 0)
        return renameat(a, from, b, to);
    errno = EINVAL;
    return -1;
}
"""


@pytest.fixture(scope="module")
def no_exchange(tmp_path_factory):
    library = tmp_path_factory.mktemp("preload") / "no_exchange.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-"],
        input=NO_EXCHANGE.encode(),
        check=True,
    )
    return str(library)


@pytest.fixture(scope="module")
def stored():
    """An index that lacks a key which the volumes have."""
    with by_hand(["volumed"] * 2, replicas=2, subvolumes=2) as cluster:
        old = {b"/a key": ("unlinked", md5_hex(b"a value"), store(cluster, b"/a key")[2])}
        new = {**old, b"/another": store(cluster, b"/another")}
        yield cluster, old, new


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("had_index", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_every_point(stored, no_exchange, point, had_index, exchanges):
    cluster, old, new = stored
    for leftover in cluster.folder.glob("index*"):
        shutil.rmtree(leftover)
    if had_index:
        write_index(cluster, old)
    else:
        old, new = {}, {key: ("live", "", record[2]) for key, record in new.items()}
    env = {**os.environ, "MKV_CRASH_AT": f"{point}:1"}
    if not exchanges:
        env["LD_PRELOAD"] = no_exchange
    done = subprocess.run(command(cluster), env=env, capture_output=True, check=False, timeout=60)
    if point == GONE and exchanges:
        assert done.returncode == CLEAN, done.stderr  # not passed: it is in place at once
        return
    assert done.returncode == -9, done.stderr

    if point == GONE:
        assert not cluster.master.db.exists()
        with pytest.raises(StartError, match="run mkv rebuild again"):
            start_master(cluster)
        assert not cluster.master.db.exists()
    else:
        assert index(cluster)[0] in (old, new)
        for folder in kept(cluster):
            assert index(cluster, folder)[0] in (old, new)
        start_master(cluster)
        assert cluster.master.stop() == 0
    rebuild(cluster, CLEAN)
    assert index(cluster)[0] == new
    if had_index:
        # The old one is still there, whatever happened.
        assert old in [index(cluster, folder)[0] for folder in kept(cluster)]
