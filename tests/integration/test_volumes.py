"""What the master knows of its volumes: their health and what it says of it, and addresses of
every form: IPv4, [IPv6], names (looked up anew when connecting fails), a path prefix."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import http_raw
from cluster import KINDS, Cluster, Master, Volume
from server_process import limit, wait_until


def standing(cluster) -> dict[str, dict]:
    answer = cluster.request("GET", "/", query="volumes")
    assert answer.status == 200 and "json" in answer["Content-Type"]
    volumes = json.loads(answer.body)["volumes"]
    assert [v["name"] for v in volumes] == cluster.names()
    return {v["name"]: v for v in volumes}


# --- health --------------------------------------------------------------------------------------
def test_all_are_well_at_first(kind):
    with Cluster(KINDS[kind]) as cluster:
        for name, volume in standing(cluster).items():
            assert volume == {"name": name, "public": name, "up": True, "failures": 0}


def test_killed_is_down_and_a_probe_brings_it_back(kind):
    with Cluster(KINDS[kind]) as cluster:
        lost = cluster.volumes[1]
        lost.kill()
        # Three replicas on three volumes: none can stand in for it.
        assert cluster.put(b"/one", b"a value").status == 500
        down = standing(cluster)[lost.authority]
        assert down["up"] is False and down["failures"] > 0 and down["down_seconds"] >= 0
        assert down["last_failure"] == "takes no connection"
        assert all(v["up"] for name, v in standing(cluster).items() if name != lost.authority)
        lost.start()
        # Nobody asks for a key meanwhile.
        wait_until(lambda: standing(cluster)[lost.authority]["up"], 10, "the probe's success")
        cluster.live(b"/one")
        assert standing(cluster)[lost.authority]["failures"] >= down["failures"]


def test_silent_is_down_when_it_repeats(kind):
    with Cluster(KINDS[kind], replicas=1, flags=["-voltimeout", limit(500)]) as cluster:
        mute = cluster.volumes[0]
        keys = [b"/silent/%d" % n for n in range(60)]
        keys = [key for key in keys if cluster.homes(key)[0].startswith(mute.authority)][:4]
        for key in keys:
            cluster.live(key)
        mute.pause()
        assert cluster.get(keys[0]).status == 503
        assert standing(cluster)[mute.authority]["up"] is True, "one timeout alone marks nothing"
        for key in keys[1:]:
            assert cluster.get(key).status == 503
        down = standing(cluster)[mute.authority]
        assert down["up"] is False and down["last_failure"] == "does not answer in time"
        mute.resume()
        wait_until(lambda: standing(cluster)[mute.authority]["up"], 10, "the probe's success")
        for key in keys:
            assert cluster.read(key) == b"a value"


def test_only_the_root_and_only_reading(kind):
    with Cluster(KINDS[kind], flags=[]) as cluster:
        assert cluster.request("GET", "/key", query="volumes").status == 403
        assert cluster.request("PUT", "/", b"x", query="volumes").status == 403
        head = cluster.request("HEAD", "/", query="volumes")
        assert head.status == 200 and head.body == b""


# --- addresses -----------------------------------------------------------------------------------
def cycle(cluster, keys: int = 20) -> None:
    """PUT, read, DELETE of some keys; then no file is left."""
    names = [b"/address/%d" % number for number in range(keys)]
    for key in names:
        cluster.live(key, key * 100)
    for key in names:
        assert cluster.read(key) == key * 100
    assert cluster.files()
    for key in names:
        assert cluster.delete(key).status == 204
    assert cluster.files() == set()


def test_ipv6():
    cluster = Cluster(("volumed",) * 3, start=False)
    with cluster:
        for volume in cluster.volumes:
            with socket.socket(socket.AF_INET6) as probe:
                try:
                    probe.bind(("::1", 0))
                except OSError:
                    pytest.skip("no IPv6 here")
                volume.address = ("::1", probe.getsockname()[1])
        cluster.start()
        assert all(name.startswith("[::1]:") for name in cluster.names())
        key = b"/six"
        cluster.live(key)
        assert cluster.get(key)["Location"].startswith("http://[::1]:")
        assert cluster.delete(key).status == 204
        cycle(cluster)


class Prefixed(Volume):
    """A volume whose values lie in a folder of the server."""

    prefix = "/store/of-mine"

    @property
    def authority(self) -> str:
        return super().authority + self.prefix


def test_path_prefix(kind):
    cluster = Cluster(KINDS[kind], start=False)
    with cluster:
        for volume in cluster.volumes:
            volume.__class__ = Prefixed
        cluster.start()
        cluster.live(b"/prefixed")
        found = [path for _number, path in cluster.files()]
        assert len(found) == 3 and all(path.startswith("store/of-mine/sv") for path in found)
        assert "/store/of-mine/sv" in cluster.get(b"/prefixed")["Location"]
        assert cluster.delete(b"/prefixed").status == 204
        cycle(cluster)


class Named(Volume):
    """A volume that the master knows by a name."""

    @property
    def authority(self) -> str:
        return f"{self.name}.mkv-test:{self.address[1]}"


class Secluded(Master):
    """A master with a hosts file of its own."""

    hosts: Path

    def command(self):
        argv, env = super().command()
        return [
            "unshare",
            "--mount",
            "sh",
            "-c",
            'mount --bind "$0" /etc/hosts && exec "$@"',
            str(self.hosts),
            *argv,
        ], env


def may_mount(folder: Path) -> bool:
    probe = folder / "probe"
    probe.write_text("")
    script = ["unshare", "--mount", "mount", "--bind", str(probe), "/etc/hosts"]
    return shutil.which("unshare") is not None and subprocess.run(script).returncode == 0


def test_names_are_looked_up_again(kind):
    """The volumes move to other addresses while the master runs."""
    cluster = Cluster(KINDS[kind], start=False)
    with cluster:
        if not may_mount(cluster.folder):
            pytest.skip("no mount namespace of our own")
        cluster.master.__class__ = Secluded
        cluster.master.hosts = cluster.folder / "hosts"
        for volume in cluster.volumes:
            volume.__class__ = Named

        def write_hosts() -> None:
            # In place: what is mounted is the file, not its name.
            cluster.master.hosts.write_text(
                "".join(f"{v.address[0]} {v.name}.mkv-test\n" for v in cluster.volumes)
            )

        def value_of(key: bytes) -> bytes:
            location = cluster.get(key)["Location"]
            for volume in cluster.volumes:
                location = location.replace(volume.authority, "%s:%d" % volume.address)
            return http_raw.fetch(location).body

        write_hosts()
        cluster.start()
        cluster.live(b"/moving")
        assert value_of(b"/moving") == b"a value"
        for volume in cluster.volumes:
            assert volume.stop() == 0
            host = f"127.9.{os.getpid() % 250 + 1}.{volume.number + 1}"
            volume.address = (host, volume.address[1])
            volume.start()
        # The names still lead to where nobody listens.
        assert cluster.get(b"/moving").status == 503
        write_hosts()
        wait_until(lambda: cluster.get(b"/moving").status == 302, 10, "the new addresses")
        assert value_of(b"/moving") == b"a value"
        # Every loop of the master has addresses of its own.
        for key in (b"/there/%d" % number for number in range(8)):
            cluster.live(key)
            assert value_of(key) == b"a value"
        wait_until(lambda: all(v["up"] for v in standing(cluster).values()), 10, "all are up")
