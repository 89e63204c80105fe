"""The access log: nginx's lines, none lost where they can be kept, and no server that waits for
its log."""

import base64
import calendar
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cluster import Cluster, Volume
from http_raw import Connection, Wire
from server_process import BIN, wait_until

LINE = re.compile(
    r'(?P<peer>\S+) - (?P<user>.*?) \[(?P<time>[^\]]*)\] "(?P<request>[^"]*)" (?P<status>\d{3}) '
    r'(?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)


class LoggingVolume(Volume):
    """volumed, or nginx as scripts/volume sets it up, with an access log."""

    def __init__(self, folder: Path, number: int, kind: str, log: Path | str):
        super().__init__(folder, number, kind, folder / f"volume{number}")
        self.access_log = log
        if kind == "volumed":
            self.flags = ["-access-log", str(log)]

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        if self.kind == "nginx":
            nginx = self.root.parent / "nginx-with-a-log"
            change = shlex.quote(f"s#access_log off;#access_log {self.access_log};#")
            nginx.write_text(
                f'#!/bin/sh\nfor a; do case $a in */nginx.conf) sed -i {change} "$a";; esac; done\n'
                'exec nginx "$@"\n'
            )
            nginx.chmod(0o755)
            env["NGINX"] = str(nginx)
        return argv, env


def lines_of(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def wait_for_lines(log: Path, n: int) -> list[str]:
    return wait_until(lambda: len(lines_of(log)) >= n and lines_of(log), 10, f"{n} lines in {log}")


def get(path: str, *fields: bytes) -> bytes:
    head = [b"GET %s HTTP/1.1" % path.encode("latin-1"), b"Host: h", b"Connection: close"]
    return b"\r\n".join([*head, *fields, b"", b""])


def basic(credentials: bytes, scheme: bytes = b"Basic") -> bytes:
    return b"Authorization: %s %s" % (scheme, base64.b64encode(credentials))


REQUESTS = [
    b"PUT /sv00/file HTTP/1.0\r\nContent-Length: 10\r\n\r\n0123456789",
    get("/sv00/file"),
    get("/sv00/file?a=1&b"),
    get("/sv00/file", b"Range: bytes=2-5"),
    b"HEAD /sv00/file HTTP/1.0\r\n\r\n",
    b"GET /sv00/file HTTP/1.0\r\nUser-Agent: an old one\r\n\r\n",
    b"\r\n\r\nGET /sv00/file HTTP/1.0\r\n\r\n",
    get("/sv00/"),
    get("/sv00"),
    get("/absent", b"Referer: http://h/a?b", b"User-Agent: curl/7.88.1"),
    get('/a"b\\c%22%0a\xe9', b'Referer: "quoted"', b"User-Agent: \\x22 \xc3\xa9 \x7f \t."),
    get("/absent", b"Referer:", b"User-Agent: "),
    get("/absent", basic(b"joe:secret")),
    get("/absent", basic(b"joe:se:cret", b"basic")),
    get("/absent", basic(b'a "b\xe9:x')),
    get("/absent", basic(b"nobody")),
    get("/absent", basic(b":secret")),
    get("/absent", b"Authorization: Basic !!!"),
    get("/absent", b"Authorization: Bearer abc"),
    b"MOVE /sv00/file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"DELETE /sv00/file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"DELETE /sv00/file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"GET /no-host HTTP/1.1\r\nUser-Agent: x\r\n\r\n",
    b"garb\x01age\r\n\r\n",
    b"GET /x HTTP/7.0\r\n\r\n",
]


def test_lines_are_nginx_s(tmp_path):
    lines = {}
    for number, kind in enumerate(("nginx", "volumed")):
        volume = LoggingVolume(tmp_path, number, kind, tmp_path / f"{kind}.log")
        volume.start()
        lines[kind] = []
        try:
            before = len(lines_of(volume.access_log))  # of the harness: whether it is up
            for done, request in enumerate(REQUESTS, 1):
                with Wire(volume.address) as wire:
                    wire.send(request)
                    data = wire.socket.makefile("rb").read()
                line = wait_for_lines(volume.access_log, before + done)[before + done - 1]
                found = LINE.fullmatch(line)
                assert found, line
                body = data.partition(b"\r\n\r\n")[2]
                assert int(found["bytes"]) == len(body), (request, line)
                # Not the bytes: a page of an error names its server.
                lines[kind].append({k: v for k, v in found.groupdict().items() if k != "bytes"})
                when = time.strptime(lines[kind][-1].pop("time"), "%d/%b/%Y:%H:%M:%S %z")
                assert abs(calendar.timegm(when) - when.tm_gmtoff - time.time()) < 100
        finally:
            assert volume.stop() == 0
    assert lines["volumed"] == lines["nginx"]


def ask(volume: Volume, n: int, agent: str = "x", first: int = 0) -> None:
    connection = Connection(volume.address)
    for number in range(first, first + n):
        answer = connection.request("GET", f"/absent-{number}", fields={"User-Agent": agent})
        assert answer.status == 404
    connection.close()


@pytest.fixture
def volume(tmp_path):
    made = LoggingVolume(tmp_path, 0, "volumed", tmp_path / "access.log")
    yield made
    assert not made.close()


def numbers(lines: list[str]) -> list[int]:
    for line in lines:
        assert LINE.fullmatch(line), line
    return sorted(int(re.search(r"/absent-(\d+)", line)[1]) for line in lines)


def test_rotation_and_end_lose_nothing(volume):
    """Renamed again and again under load; at the end SIGTERM, right after the last answer."""
    volume.start()
    threads = [threading.Thread(target=ask, args=(volume, 2000, "x", 2000 * n)) for n in range(3)]
    for thread in threads:
        thread.start()
    renamed = []
    while any(thread.is_alive() for thread in threads):
        old = volume.access_log.with_suffix(f".{len(renamed)}")
        if volume.access_log.exists():
            volume.access_log.rename(old)
            renamed.append(old)
            volume.process.send_signal(signal.SIGUSR1)
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    ask(volume, 100, "x", 6000)
    assert volume.stop() == 0
    assert len(renamed) > 1
    lines = [line for log in [*renamed, volume.access_log] for line in lines_of(log)]
    assert numbers(lines) == list(range(6100))


def test_stdout(tmp_path):
    volume = LoggingVolume(tmp_path, 0, "volumed", "-")
    volume.start()
    ask(volume, 3)
    volume.process.send_signal(signal.SIGUSR1)  # nothing to open anew
    ask(volume, 3, first=3)
    assert volume.stop() == 0
    lines = [line for line in volume.log.read_text().splitlines() if "/absent-" in line]
    assert numbers(lines) == list(range(6))


def test_the_signal_without_a_log(tmp_path):
    volume = Volume(tmp_path, 0, "volumed", tmp_path / "volume")
    volume.start()
    volume.process.send_signal(signal.SIGUSR1)
    ask(volume, 3)
    assert not volume.close()


def test_a_log_that_hangs_holds_up_nobody(volume):
    """A pipe that nobody reads: requests are answered, a bounded number of lines is kept, and
    the rest is counted."""
    n, agent = 1000, "a" * 7000
    os.mkfifo(volume.access_log)
    reader = os.open(volume.access_log, os.O_RDONLY | os.O_NONBLOCK)
    volume.start()
    ask(volume, n, agent)
    got = bytearray()

    def lost() -> int:
        try:
            while piece := os.read(reader, 1 << 20):
                got.extend(piece)
        except BlockingIOError:
            pass
        return sum(int(n) for n in re.findall(r"lost (\d+) lines", volume.log.read_text()))

    wait_until(lost, 10, "word of lines that are lost")
    kept = wait_until(
        lambda: lost() + got.count(b"/absent-") == n and got.count(b"/absent-"), 15, "all lines"
    )
    os.close(reader)
    assert kept * len(agent) < 3 << 20
    assert numbers(got.decode().splitlines()) == list(range(kept))


def test_a_log_that_is_full(volume, drives):
    """Lines are lost and said to be; afterwards no line runs into a torn one."""
    drive = drives.tmpfs("size=64k", at=volume.access_log.parent / "small")
    volume.flags = ["-access-log", str(drive.path / "log")]
    volume.start()
    ask(volume, 100, "a" * 2000)
    wait_until(lambda: "No space left" in volume.log.read_text(), 10, "word of the full disk")
    log = drive.path / "log"
    torn = log.read_text().splitlines()
    assert not log.read_text().endswith("\n")
    subprocess.run(["mount", "-o", "remount,size=1m", drive.path], check=True)
    ask(volume, 1, first=100)
    lines = wait_until(
        lambda: lines_of(log)[-1].endswith('"x"') and lines_of(log), 10, "a line after it"
    )
    assert lines[: len(torn)] == torn
    assert numbers([lines[-1]]) == [100]
    assert volume.stop() == 0


def test_cannot_be_opened(tmp_path):
    for program in (["volumed", "-access-log", tmp_path, tmp_path / "v"],
                    ["mkv", "-db", tmp_path / "db", "-volumes", "127.0.0.1:1", "-replicas", "1",
                     "-access-log", tmp_path, "server"]):  # fmt: skip
        argv = [str(BIN / program[0]), "-bind", "127.0.0.1", "-port", "0", *map(str, program[1:])]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        said = [line for line in done.stderr.splitlines() if "access log" in line]
        assert done.returncode == 1 and len(said) == 1, done
        shutil.rmtree(tmp_path / "db", ignore_errors=True)


def test_of_the_master(tmp_path):
    log = tmp_path / "access.log"
    with Cluster(["volumed"], replicas=1, flags=["-access-log", str(log)]) as cluster:
        cluster.live(b"/key", b"value")
        assert cluster.get(b"/absent").status == 404
        lines = [LINE.fullmatch(line) for line in wait_for_lines(log, 2)]
    assert [(line["request"], line["status"]) for line in lines if "/" in line["request"]] == [
        ("PUT /key HTTP/1.1", "201"),
        ("GET /absent HTTP/1.1", "404"),
    ]
