"""16 large PUTs at once, as `curl -T` sends them: the servers' memory does not grow with the
values. By hand at full size: MKV_TEST_MEMORY_MIB=512 pytest -s test_memory.py"""

import hashlib
import os
import random
import subprocess

import pytest

import http_raw
from cluster import KINDS, Cluster
from http_raw import target
from server_process import SANITIZER

MIB = 1024 * 1024
SIZE = int(os.environ.get("MKV_TEST_MEMORY_MIB", "64"))
WRITERS = 16


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's memory is not the server's")
@pytest.mark.parametrize("kinds", ["volumed"])
def test_sixteen_large_puts(kinds):
    with Cluster(KINDS[kinds]) as cluster:
        source = cluster.folder / "source"
        block = random.Random(4).randbytes(MIB)
        digest = hashlib.md5()
        with open(source, "wb") as file:
            for number in range(SIZE):
                piece = number.to_bytes(4, "big") + block[4:]
                digest.update(piece)
                file.write(piece)
        keys = [b"/large/%d" % number for number in range(WRITERS)]
        writers = [
            subprocess.Popen(
                ["curl", "-s", "-S", "-T", source, "-w", "%{http_code}"]
                + [f"http://{cluster.master.authority}{target(key)}"],
                stdout=subprocess.PIPE,
            )
            for key in keys
        ]
        assert [writer.communicate()[0] for writer in writers] == [b"201"] * WRITERS
        assert cluster.files() == cluster.expected(keys)
        for key in keys:
            answer = cluster.get(key)
            assert answer["Content-Md5"] == digest.hexdigest()
            for home in cluster.homes(key):
                assert cluster.file(home, key).stat().st_size == SIZE * MIB
        value = http_raw.fetch(cluster.get(keys[-1])["Location"])
        assert hashlib.md5(value.body).hexdigest() == digest.hexdigest()
        del value
        for server in cluster.servers():
            print(f"{server.name}: peak RSS {server.peak_rss() / MIB:.1f} MiB")
        assert cluster.master.peak_rss() < 64 * MIB
        for volume in cluster.volumes:
            assert volume.peak_rss() < 32 * MIB
