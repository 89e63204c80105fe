"""The programs as processes: addresses, exit statuses, one line for what is wrong, the drain."""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from cluster import KINDS, Cluster
from http_raw import Wire, once
from server_process import BIN, free_address, wait_until

VOLUMES = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"


def run(program: str, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(BIN / program), *args], capture_output=True, text=True, timeout=60, check=False
    )


def fails(done: subprocess.CompletedProcess, status: int) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == status, done
    assert len(lines) == 1, done.stderr
    return lines[0]


def server_args(tmp_path, port: int = 0, host: str = "127.0.0.1") -> list[str]:
    return ["-bind", host, "-port", str(port), "-db", str(tmp_path / "db"), "-volumes", VOLUMES]


def test_help():
    for program, words in (("mkv", ("-volumes", "-replicas")), ("volumed", ("-port", "-bind"))):
        done = run(program, "--help")
        assert done.returncode == 0
        for word in words:
            assert word in done.stdout + done.stderr


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["nonsense"],
        ["server", "twice"],
        ["-nonsense", "server"],
        ["-port", "x", "server"],
        ["-port", "65536", "server"],
        ["-port=-1", "server"],
        ["-replicas", "0", "server"],
        ["-replicas", "4", "server"],
        ["-subvolumes", "0", "server"],
        ["-subvolumes", "257x", "server"],
        ["-voltimeout", "soon", "server"],
        ["-md5sum=perhaps", "server"],
        ["-protect", "false", "server"],
        ["server", "-port"],
        ["-volumes", "", "server"],
        ["-volumes", "a:1,b:2,c:none", "server"],
        ["-db", "", "server"],
    ],
    ids=" ".join,
)
def test_wrong_usage_of_mkv(tmp_path, args):
    given = [*args]
    if "-volumes" not in given:
        given = ["-volumes", VOLUMES, *given]
    if "-db" not in given:
        given = ["-db", str(tmp_path / "db"), *given]
    fails(run("mkv", *given), 2)
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize(
    "args",
    [[], ["-port", "x", "."], ["-nonsense", "."], [".", "twice"], ["-port"], ["-port=70000", "."]],
    ids=" ".join,
)
def test_wrong_usage_of_volumed(args):
    fails(run("volumed", *args), 2)


def test_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(free_address())
        taken.listen()
        host, port = taken.getsockname()
        line = fails(run("mkv", *server_args(tmp_path, port, host), "server"), 1)
        assert str(port) in line
        line = fails(run("volumed", "-bind", host, "-port", str(port), str(tmp_path)), 1)
        assert str(port) in line


def test_port_of_another_of_ours(tmp_path):
    """Two of the same program must not share a port either."""
    with Cluster(["volumed"], replicas=1) as cluster:
        host, port = cluster.master.address
        fails(run("mkv", *server_args(tmp_path, port, host), "server"), 1)
        host, port = cluster.volumes[0].address
        fails(run("volumed", "-bind", host, "-port", str(port), str(tmp_path)), 1)


def test_database_in_use():
    with Cluster(["volumed"], replicas=1) as cluster:
        host, port = free_address()
        done = run(
            "mkv", "-bind", host, "-port", str(port), "-db", str(cluster.master.db),
            "-volumes", VOLUMES, "server",
        )
        assert str(cluster.master.db) in fails(done, 1)


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    host, port = free_address()
    fails(run("volumed", "-bind", host, "-port", str(port), str(tmp_path / "file")), 1)
    args = server_args(tmp_path, port, host)
    args[args.index("-db") + 1] = str(tmp_path / "file")
    fails(run("mkv", *args, "server"), 1)
    args[args.index("-db") + 1] = str(tmp_path / "file" / "below")
    fails(run("mkv", *args, "server"), 1)


def test_address_that_is_not_ours(tmp_path):
    fails(run("volumed", "-bind", "192.0.2.1", "-port", "0", str(tmp_path)), 1)
    fails(run("mkv", *server_args(tmp_path, 0, "192.0.2.1"), "server"), 1)


def test_damaged_index(tmp_path):
    with Cluster(["volumed"], replicas=1) as cluster:
        for number in range(50):
            cluster.live(b"/key %d" % number, b"value")
        assert cluster.master.stop() == 0
        for manifest in cluster.master.db.glob("MANIFEST-*"):
            data = bytearray(manifest.read_bytes())
            data[len(data) // 2] ^= 0xFF
            manifest.write_bytes(data)
        argv, _env = cluster.master.command()
        assert "rebuild" in fails(run("mkv", *argv[1:]), 1)


def test_bound_everywhere_by_default(tmp_path):
    """Without -bind: IPv4 and IPv6."""
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        port = probe.getsockname()[1]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [str(BIN / "volumed"), "-port", str(port), str(tmp_path)], stderr=log, stdout=log
        )
    try:
        for host in ("127.0.0.1", "::1"):

            def connects(host=host):
                try:
                    socket.create_connection((host, port), 1).close()
                    return True
                except OSError:
                    return False

            wait_until(connects, 10, f"an answer on {host}")
            assert once((host, port), "GET", "/absent").status == 404
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain(number):
    """What runs is finished, what comes is refused, and then the exit status is 0."""
    with Cluster(KINDS["volumed"]) as cluster:
        idle = Wire(cluster.master.address)
        sent = b"PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345"
        with cluster.begin_put(b"/slow", sent) as wire:
            process = cluster.master.process
            process.send_signal(number)

            def refused():
                try:
                    socket.create_connection(cluster.master.address, 1).close()
                    return False
                except OSError:
                    return True

            wait_until(refused, 10, "new connections are refused")
            assert idle.at_end()
            assert process.poll() is None
            wire.send(b"67890")
            assert wire.answer().status == 201
        assert process.wait(20) == 0
        cluster.master.process = None
        idle.close()
        cluster.master.start()
        assert cluster.read(b"/slow") == b"1234567890"
        cluster.check_value(b"/slow", b"1234567890")


def test_index_outlives_the_master():
    """Each acknowledged change is there after a kill -9 that follows at once."""
    with Cluster(KINDS["mixed"]) as cluster:
        for turn in range(5):
            keys = [b"/%d/%d" % (turn, number) for number in range(20)]
            threads = [threading.Thread(target=cluster.live, args=(key, key)) for key in keys]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert cluster.unlink(keys[0]).status == 204
            assert cluster.delete(keys[1]).status == 204
            cluster.master.kill()
            cluster.master.start()
            assert cluster.keys(b"/%d/" % turn) == sorted(keys[2:])
            assert cluster.keys(b"/%d/" % turn, unlinked=True) == [keys[0]]
            for key in keys[2:]:
                assert cluster.read(key) == key


def left_delete(cluster: Cluster, key: bytes) -> None:
    """A DELETE whose client has left, and whose volumes do not answer for now."""
    cluster.live(key)
    for volume in cluster.volumes:
        volume.pause()
    wire = Wire(cluster.master.address)
    wire.send(b"DELETE %s HTTP/1.1\r\nHost: h\r\n\r\n" % key)
    wait_until(lambda: cluster.get(key).status == 404, 10, "the record is gone")
    wire.close()
    cluster.master.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)


def test_drain_waits_for_what_no_client_waits_for():
    with Cluster(KINDS["volumed"]) as cluster:
        left_delete(cluster, b"/left")
        process = cluster.master.process
        assert process.poll() is None
        for volume in cluster.volumes:
            volume.resume()
        assert process.wait(20) == 0
        cluster.master.process = None
        assert not cluster.files()


def test_drain_cuts_at_its_limit():
    with Cluster(KINDS["volumed"], flags=["-drain", "1s"]) as cluster:
        left_delete(cluster, b"/left")
        process = cluster.master.process
        assert process.poll() is None
        assert process.wait(20) == 1
        cluster.master.process = None
        for volume in cluster.volumes:
            volume.resume()
        cluster.master.start()
        cluster.no_files(b"/left", 30)
