"""Jobs in a running master: begun, watched, stopped, at their rate, and in nobody's way."""

import http.server
import json
import signal
import subprocess
import threading
import time

import pytest

from elastic import FIVE, Elastic, fill, odd_keys
from http_raw import target
from inspection import inspect, pass_an_hour
from server_process import BIN, SLOW, free_address, limit, wait_until
from test_faults import Client


@pytest.fixture
def cluster():
    with Elastic(FIVE["mixed"]) as made:
        yield made


@pytest.fixture
def small():
    """What does not depend on the kind of the volumes."""
    with Elastic(FIVE["volumed"]) as made:
        yield made


def grow(cluster: Elastic, used: int, *flags: str) -> None:
    """What adding volumes is: a restart with another list."""
    assert cluster.master.stop() == 0
    cluster.used = used
    cluster.flags = list(flags)
    cluster.start()


def post(cluster: Elastic, what: str = "rebalance"):
    return cluster.request("POST", "/", query=what)


def ended(cluster: Elastic) -> dict:
    def look():
        (job,) = cluster.jobs()
        return job if job["state"] in ("ended", "stopped") else None

    return wait_until(look, 60, "the job's end")


def test_rebalance_online(cluster):
    values = fill(cluster, odd_keys(50))
    unlinked = cluster.keys("/", unlinked=True)
    before = cluster.index()
    assert cluster.jobs() == []
    grow(cluster, 5)
    answer = post(cluster)
    assert answer.status == 202
    job = ended(cluster)
    assert job["id"] == json.loads(answer.body)["id"]
    assert (job["kind"], job["state"]) == ("rebalance", "ended")
    assert job["total"] == job["done"] == len(values)
    assert job["changed"] > 0 and job["failed"] == 0 and job["failures"] == []
    assert 0 < job["started"] <= job["ended"]
    cluster.no_strays(values)
    cluster.check_home(values)
    assert cluster.keys("/", unlinked=True) == unlinked
    text = cluster.rebalance_online()
    assert f"rebalance: done: {len(values)} keys, 0 moved, 0 failed" in text
    grow(cluster, 3)
    cluster.rebalance_online()
    cluster.no_strays(values)
    assert cluster.master.stop() == 0
    cluster.check_records(before)


def test_failures_are_told(small):
    values = fill(small, odd_keys(30))
    grow(small, 5, "-voltimeout", limit(500))
    dead = small.volumes[3]
    dead.kill()
    text = small.rebalance_online(status=1)
    (job,) = small.jobs()
    assert job["state"] == "ended" and job["failed"] > 0
    paths = [failure["path"] for failure in job["failures"]]
    mine = {target(k) for k in values if any(small.at(p)[0] is dead for p in small.homes(k))}
    assert len(paths) == job["failed"] == len(mine)
    assert all(dead.authority in failure["why"] for failure in job["failures"])
    for path in paths:
        assert path in text
    assert target(b"/\xff\xfe?&% \xc3\xa9") not in mine or "/%FF%FE%3F%26%25%20%C3%A9" in paths
    dead.start()


def test_one_at_a_time_and_stopped(small):
    fill(small, [b"/k/%d" % i for i in range(40)])
    assert small.request("DELETE", "/", query="jobs").status == 404
    grow(small, 3, "-jobs-rate", "1")
    begun = json.loads(post(small).body)
    answer = post(small, "verify")
    assert answer.status == 409 and b"runs already" in answer.body
    told = json.loads(answer.body)
    assert (told["id"], told["kind"]) == (begun["id"], "rebalance")
    argv = [str(BIN / "mkv"), "-master", small.master.authority, "verify"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 1 and "another job runs in the master" in done.stderr, done.stderr
    assert small.request("DELETE", "/", query="jobs").status == 204
    job = ended(small)
    assert job["state"] == "stopped" and job["done"] < 40
    assert post(small).status == 202


def test_other_requests(small):
    assert post(small, "no-such-job").status == 403
    assert small.request("POST", "/a", query="rebalance").status == 403
    assert small.request("GET", "/a", query="jobs").status == 403
    assert small.request("PUT", "/", b"x", query="rebalance").status == 403


def test_rate(small):
    """So many keys a second, and not one more."""
    fill(small, [b"/k/%d" % i for i in range(60)])
    rate = 40
    grow(small, 3, "-jobs-rate", str(rate))
    began = time.monotonic()
    assert post(small).status == 202
    while True:
        (job,) = small.jobs()
        # Of the tenth of a second in which nothing was begun yet, one may make use.
        assert job["done"] <= rate * (time.monotonic() - began + 0.1) + 1
        if job["state"] == "ended":
            break
        time.sleep(0.01)
    assert job["done"] == 60


def test_busy_keys_are_tried_again(small):
    values = fill(small, [b"/k/%d" % i for i in range(20)])
    grow(small, 5)
    held = [b"/new/%d" % i for i in range(3)]
    wires = []
    for key in held:  # unlinked keys, so that the job finds a record
        small.unlinked(key, b"old")
        wires.append(
            small.begin_put(
                key,
                b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" % key + b"x" * 90000,
                probe="UNLINK",
            )
        )
    assert post(small).status == 202
    wait_until(lambda: small.jobs()[0]["retries"] > 5, 20, "retries")
    for wire in wires:
        wire.send(b"x" * 10000)
        assert wire.answer().status == 201
        wire.close()
    job = ended(small)
    assert (job["done"], job["failures"]) == (23, [])
    values.update((key, b"x" * 100000) for key in held)
    small.no_strays(values)
    small.check_home(values)


def test_stopped_while_keys_are_in_use(small):
    """Keys that wait for another try when the job is stopped have not failed."""
    held = [b"/new/%d" % i for i in range(6)]
    wires = []
    for key in held:
        small.unlinked(key, b"old")
        head = b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" % key
        wires.append(small.begin_put(key, head + b"x" * 90000, probe="UNLINK"))
    for tried in (False, False, True, True):
        assert post(small).status == 202
        if tried:
            wait_until(lambda: small.jobs()[0]["retries"] >= 6, 20, "retries")
        assert small.request("DELETE", "/", query="jobs").status == 204
        job = ended(small)
        assert (job["state"], job["done"], job["failures"]) == ("stopped", 0, [])
        assert job["failed"] == 0
    for wire in wires:
        wire.close()


def watching(cluster: Elastic) -> subprocess.Popen:
    argv = [str(BIN / "mkv"), "-master", cluster.master.authority, "rebalance"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: [j for j in cluster.jobs() if j["state"] == "running"], 20, "the job")
    return process


def test_interrupting_the_watch(small):
    fill(small, [b"/k/%d" % i for i in range(30)])
    grow(small, 3, "-jobs-rate", "10")
    process = watching(small)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=20 * SLOW)[1]
    assert process.returncode == 1 and "the job goes on in the master" in text
    assert small.jobs()[0]["state"] == "running"
    # Another one watches the same job.
    argv = [str(BIN / "mkv"), "-master", small.master.authority, "rebalance"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 0, done.stderr
    assert "one runs already" in done.stderr and "done: 30 keys" in done.stderr


def test_a_job_that_ends_before_it_is_watched():
    """It ran when the command came, and had ended when its state was asked for."""
    now = {"id": 7, "kind": "rebalance"}
    counts = {"total": 3, "done": 3, "changed": 1, "failed": 0, "failures": []}

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status: int, body: dict) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self):
            self.answer(409, now)

        def do_GET(self):
            self.answer(200, {"jobs": [{**now, "state": "ended", **counts}]})

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(free_address(), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        argv = [str(BIN / "mkv"), "-master", "%s:%d" % server.server_address, "rebalance"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60 * SLOW, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert "one runs already" in done.stderr and "done: 3 keys, 1 moved" in done.stderr


def test_master_ends_under_the_job(small):
    """SIGTERM stops the job in order; who watches learns that it did not end."""
    fill(small, [b"/k/%d" % i for i in range(30)])
    grow(small, 5, "-jobs-rate", "5")
    process = watching(small)
    assert small.master.stop() == 0
    small.start()
    text = process.communicate(timeout=60 * SLOW)[1]
    assert process.returncode == 1 and "the master was restarted" in text, text


def test_no_master():
    argv = [str(BIN / "mkv"), "-master", "127.0.0.1:1", "rebalance"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and done.stderr == "mkv: 127.0.0.1:1 does not answer\n"


class Patient:
    """A connection for a client that asks again when a job has the key."""

    def __init__(self, connection):
        self.connection = connection

    def request(self, *args):
        while (answer := self.connection.request(*args)).status == 409:
            time.sleep(0.002)
        return answer


class PatientClient(Client):
    def step(self, connection, model) -> None:
        super().step(Patient(connection), model)


def rebalance_what_can_be(cluster: Elastic) -> None:
    """Removals that the end of a master left may keep a key from its home for an hour."""
    argv = [str(BIN / "mkv"), "-master", cluster.master.authority, "rebalance"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60 * SLOW, check=False)
    failed = done.stderr.count("may still have a file of the past to be cleared")
    assert f"{failed} failed" in done.stderr, done.stderr
    assert done.returncode == (1 if failed else 0), done.stderr


def test_under_load(cluster):
    """Volumes are added and taken away while clients go on: every answer is right, and in the end
    every value lies at home and nothing anywhere else."""
    stop = threading.Event()
    clients = [PatientClient(cluster, number, 7, stop) for number in range(6)]
    for client in clients:
        client.start()
    try:
        for used in (5, 3):
            stop.wait(0.5)
            grow(cluster, used, "-jobs-rate", "0")
            stop.wait(0.2)
            rebalance_what_can_be(cluster)
            rebalance_what_can_be(cluster)
    finally:
        stop.set()
        for client in clients:
            client.join()
    for client in clients:
        if client.failed is not None:
            raise client.failed
    models = [model for client in clients for model in client.models]
    for model in models:
        model.pending = False
    # What the last clients wrote since comes home as well, once no request of the past is awaited.
    assert cluster.master.stop() == 0
    pass_an_hour(cluster)
    cluster.start()
    cluster.rebalance_online()
    keys = cluster.keys("/") + cluster.keys("/", unlinked=True)
    assert keys
    cluster.no_strays(keys, 40)
    inspect(cluster, models)
