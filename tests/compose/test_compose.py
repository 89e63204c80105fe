"""The two compose files, on a real engine: a cluster of containers keeps values while a volume
and the master are killed.

Where no image registry answers, the Debian base image is made here (debootstrap, import). Where
there is no engine the tests are skipped."""

import json
import os
import shutil
import socket
import subprocess
import time
import uuid

import pytest
import requests

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASE = "debian:bookworm-slim"


def run(*args, check=True, timeout=1200, **kwargs):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError("%s: status %d\n%s" % (" ".join(args), done.returncode, done.stdout[-5000:]))
    return done


def engine_answers():
    return shutil.which("docker") and run("docker", "info", check=False).returncode == 0


def compose_command():
    if run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return None


pytestmark = pytest.mark.skipif(not engine_answers() or not compose_command(),
                                reason="no container engine here")


def make_base_image(folder):
    if not shutil.which("debootstrap"):
        pytest.skip("no image registry answers, and there is no debootstrap")
    root = os.path.join(folder, "root")
    run("debootstrap", "--variant=minbase", "bookworm", root)
    # What the slim image leaves out, this one does as well.
    without = ["var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/locale",
               "usr/share/man", "usr/share/info"]
    tar = subprocess.Popen(["tar", "-C", root, *["--exclude=./%s/*" % w for w in without], "-c", "."],
                           stdout=subprocess.PIPE)
    run("docker", "import", "-", BASE, stdin=tar.stdout)
    assert tar.wait() == 0


@pytest.fixture(scope="session", autouse=True)
def base_image(tmp_path_factory):
    if run("docker", "image", "inspect", BASE, check=False).returncode == 0:
        return
    if run("docker", "pull", BASE, check=False, timeout=600).returncode == 0:
        return
    folder = str(tmp_path_factory.mktemp("debian"))
    make_base_image(folder)
    shutil.rmtree(folder, ignore_errors=True)


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    def __init__(self, files):
        names = ["MKV_PORT", "MKV_VOLUME1_PORT", "MKV_VOLUME2_PORT", "MKV_VOLUME3_PORT"]
        self.ports = free_ports(4)
        self.env = dict(os.environ, **{n: str(p) for n, p in zip(names, self.ports)})
        self.project = "mkvtest" + uuid.uuid4().hex[:8]
        self.base = compose_command() + ["-p", self.project]
        for f in files:
            self.base += ["-f", os.path.join(TOP, f)]
        self.url = "http://localhost:%d" % self.ports[0]

    def compose(self, *args, **kwargs):
        return run(*self.base, *args, cwd=TOP, env=self.env, **kwargs)

    def container(self, service):
        return self.compose("ps", "-q", service).stdout.split()[-1]

    def state(self, service):
        shown = run("docker", "inspect", self.container(service)).stdout
        return json.loads(shown)[0]["State"]

    def await_healthy(self, service):
        limit = time.monotonic() + 90
        while time.monotonic() < limit:
            health = self.state(service).get("Health", {}).get("Status")
            if health == "healthy":
                return
            time.sleep(0.5)
        raise AssertionError("%s is not healthy: %s" % (service, self.state(service)))

    def await_answer(self, url):
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            try:
                return requests.get(url, timeout=5)
            except requests.ConnectionError:
                time.sleep(0.2)
        raise AssertionError("nothing answers at " + url)


@pytest.fixture(params=[["docker-compose.yml"],
                        ["docker-compose.yml", "scripts/compose.mixed.yml"]],
                ids=["volumed", "mixed"])
def cluster(request):
    c = Cluster(request.param)
    c.mixed = len(request.param) > 1
    try:
        print(c.compose("up", "-d", "--build").stdout[-3000:])
        yield c
    finally:
        print(c.compose("logs", "--no-color", check=False).stdout[-6000:])
        c.compose("down", "-v", "--timeout", "45", check=False)


def image_size(image):
    return int(run("docker", "image", "inspect", "-f", "{{.Size}}", image).stdout.split()[-1])


def curl(*args):
    return run("curl", "-sS", "-L", "--max-time", "60", *args)


def test_cluster_keeps_values_through_kills(cluster, tmp_path):
    for service in "volume1", "volume2", "volume3", "master":
        cluster.await_healthy(service)

    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"a small value\n")
    large.write_bytes(os.urandom(20 << 20))
    for key, path in ("/small", small), ("/a folder/large", large):
        url = cluster.url + key.replace(" ", "%20")
        assert curl("-w", "%{http_code}", "-T", str(path), url).stdout == "201"
        back = tmp_path / "back"
        curl("-o", str(back), url)
        assert back.read_bytes() == path.read_bytes()
    head = requests.head(cluster.url + "/small")
    assert head.status_code == 302
    assert head.headers["Location"].startswith("http://localhost:")
    assert head.headers["Key-Balance"] == "balanced"
    for port in cluster.ports[1:]:  # three copies, as files, behind every volume's own port
        path = head.headers["Location"].split("/", 3)[3].split("/", 1)[1]
        found = [requests.get("http://localhost:%d/sv%02X/%s" % (port, sv, path)).status_code
                 for sv in range(10)]
        assert found.count(200) == 1

    # Nobody in a container is root, and nginx stands where it should.
    for service in "volume1", "volume2", "master":
        assert cluster.compose("exec", "-T", service, "id", "-u").stdout.split()[-1] == "10001"
    with requests.get("http://localhost:%d/" % cluster.ports[2]) as listing:
        assert ("nginx" in listing.headers["Server"]) == cluster.mixed

    run("docker", "kill", cluster.container("volume1"))
    for key, path in ("/small", small), ("/a%20folder/large", large):
        back = tmp_path / "back"
        curl("-o", str(back), cluster.url + key)
        assert back.read_bytes() == path.read_bytes()

    run("docker", "kill", cluster.container("master"))
    cluster.compose("up", "-d")
    cluster.await_answer(cluster.url + "/?list&limit=1")
    for service in "volume1", "master":
        cluster.await_healthy(service)
    for key, path in ("/small", small), ("/a%20folder/large", large):
        back = tmp_path / "back"
        curl("-o", str(back), cluster.url + key)
        assert back.read_bytes() == path.read_bytes()
        assert requests.delete(cluster.url + key).status_code == 204
        assert requests.get(cluster.url + key).status_code == 404

    base, ours = image_size(BASE), image_size("mkv")
    print("image: %.1f MB, of which Debian %.1f MB" % (ours / 1e6, base / 1e6))
    assert ours - base < 30e6

    # A stop is a drain: status 0, well within the grace period.
    began = time.monotonic()
    cluster.compose("stop")
    assert time.monotonic() - began < 40
    for service in "master", "volume1":
        assert cluster.state(service)["ExitCode"] == 0

