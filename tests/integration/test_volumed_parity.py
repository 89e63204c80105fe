"""volumed against nginx itself: both get the same bytes on equal folders, and must give the
same status, the same headers that carry meaning, the same body and the same tree on disk.

Only what docs/ names as deliberate is excused here, each where it is used.
"""

import os
import re
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

BIN = Path(os.environ.get("MKV_BIN", Path(__file__).resolve().parents[2] / "bin")).resolve()
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIG = """
daemon off; master_process off; worker_processes 1; pid {own}/pid; error_log {own}/log;
events {{ worker_connections 256; }}
http {{
    access_log off; server_tokens off; default_type application/octet-stream; sendfile on;
    client_body_temp_path {own}/body; proxy_temp_path {own}/t; fastcgi_temp_path {own}/t;
    uwsgi_temp_path {own}/t; scgi_temp_path {own}/t;
    server {{
        listen 127.0.0.1:{port} default_server;
        location / {{
            root {root}; disable_symlinks off; client_max_body_size 0;
            dav_methods PUT DELETE; dav_access group:rw all:r; create_full_put_path on;
            autoindex on; autoindex_format json;
        }}
    }}
}}
"""

# Headers that carry meaning. (Connection is looked at as kept or closed.)
MEANING = ("content-type", "content-length", "content-range", "location", "accept-ranges",
           "etag", "last-modified", "allow")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server did not start"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise AssertionError("the server does not listen")


def populate(root: Path):
    """The same folder for both, times and all."""
    (root / "d/sub").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "ix").mkdir()
    (root / "ix/index.html").write_bytes(b"<p>hi\n")
    (root / "ixdir/index.html").mkdir(parents=True)
    (root / "sv00/aa/bb").mkdir(parents=True)
    (root / "sv00/aa/bb/L2E=").write_bytes(b"hello")
    (root / "sv00/aa/bb/zero").write_bytes(b"")
    (root / "sv00/aa/bb/big").write_bytes(bytes(range(256)) * 4096)
    (root / "sv01").symlink_to("sv00")
    (root / "t").write_bytes(b"0123456789")
    (root / "page.html").write_bytes(b"x")
    (root / "pic.JPG").write_bytes(b"x")
    (root / "g.gif").write_bytes(b"x")
    (root / ".hidden").write_bytes(b"x")
    (root / "sp ace").write_bytes(b"x")
    (root / 'q"\\uo').write_bytes(b"x")
    (root / "ctl\x01\n\t\x1f").write_bytes(b"x")
    Path(os.fsdecode(bytes(root) + b"/raw\xff\xc3\xa9")).write_bytes(b"x")
    (root / "h#a?b%c").write_bytes(b"x")
    (root / "link").symlink_to("t")
    (root / "dlink").symlink_to("d")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    for i, (folder, folders, files) in enumerate(sorted(os.walk(os.fsencode(root)))):
        for name in sorted(folders + files):
            os.utime(os.path.join(folder, name), (1e9 + i, 1e9 + i), follow_symlinks=False)


def tree(root: Path) -> dict:
    """What is on disk: kind, mode and content of every name."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    what = f.read()
            elif stat.S_ISLNK(st.st_mode):
                what = os.readlink(path)
            found[os.path.relpath(path, os.fsencode(root))] = (oct(st.st_mode), what)
    return found


class Answer:
    """One answer off the wire, in a form that can be compared."""

    def __init__(self, raw: bytes, port: int, closed: bool):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if raw else 0
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            fields[name.lower()] = value
        self.chunked = fields.get("transfer-encoding") == "chunked"
        self.kept = not closed
        self.fields = {k: v.replace(f":{port}", ":PORT") for k, v in fields.items() if k in MEANING}
        if self.chunked and self.body:  # not to a HEAD
            self.body = unchunk(self.body)
        boundary = re.search(r"boundary=(\d+)", self.fields.get("content-type", ""))
        if boundary:
            self.body = self.body.replace(boundary[1].encode(), b"BOUNDARY")
            self.fields["content-type"] = "multipart/byteranges; boundary=" + "B" * len(boundary[1])
        # Pages end with the server's name; so does their length.
        if b"<hr><center>" in self.body:
            self.body = re.sub(rb"<center>(nginx|volumed)</center>", b"<center>NAME</center>", self.body)
            self.fields["content-length"] = str(len(self.body))
        elif self.status >= 300 and self.fields.get("content-type") == "text/html":
            self.fields.pop("content-length", None)

    def __repr__(self):
        return f"{self.status} kept={self.kept} {self.fields} {self.body[:300]!r}"

    def same(self, other: "Answer") -> bool:
        return (self.status, self.kept, self.fields, self.body) == (
            other.status, other.kept, other.fields, other.body)


def unchunk(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return body
        body += data[:n]
        data = data[n + 2:]
    raise AssertionError("a chunked body without its end")


class Server:
    def __init__(self, kind: str, folder: Path):
        self.kind, self.root, self.port = kind, folder / "root", free_port()
        self.root.mkdir(parents=True)
        populate(self.root)
        own = folder / "own"
        own.mkdir()
        if kind == "nginx":
            user = "user root root;" if os.getuid() == 0 else ""
            (own / "conf").write_text(user + CONFIG.format(own=own, port=self.port, root=self.root))
            command = [NGINX, "-e", str(own / "log"), "-p", str(own), "-c", str(own / "conf")]
        else:
            command = [str(BIN / "volumed"), "-port", str(self.port), "-bind", "127.0.0.1", str(self.root)]
        self.log = open(own / "stderr", "wb")
        # nginx sets its umask to 0 as a daemon only; volumed always.
        self.process = subprocess.Popen(command, stderr=self.log, umask=0)
        wait_for(self.port, self.process)

    def ask(self, request: bytes, patience: float = 5) -> Answer:
        """Sends bytes, reads one answer, and sees whether the connection is kept."""
        with socket.create_connection(("127.0.0.1", self.port), patience) as s:
            s.sendall(request)
            raw, closed = b"", False
            to_head = request.startswith(b"HEAD ")
            while not complete(raw, to_head):
                try:
                    data = s.recv(1 << 20)
                except ConnectionResetError:
                    data = b""
                if not data:
                    closed = True
                    break
                raw += data
            if not closed:  # kept, if another request is answered
                try:
                    s.sendall(b"HEAD /nope HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    closed = s.recv(1) == b""
                except (ConnectionResetError, BrokenPipeError):
                    closed = True
            return Answer(raw, self.port, closed)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(20)
        self.log.close()
        return status


def complete(raw: bytes, to_head: bool) -> bool:
    head, found, body = raw.partition(b"\r\n\r\n")
    if not found:
        return False
    status = int(head.split()[1])
    if to_head or status in (204, 304):
        return True
    if b"Transfer-Encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return bool(length) and len(body) >= int(length[1])


@pytest.fixture
def pair(tmp_path):
    servers = [Server("nginx", tmp_path / "nginx"), Server("volumed", tmp_path / "volumed")]
    yield servers
    assert [s.stop() for s in servers] == [0, 0]


def request(method: str, target: str, *fields: str, body: bytes | None = None, version="1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}"]
    if not any(f.lower().startswith("host:") for f in fields) and version == "1.1":
        lines.append("Host: h")
    lines += fields
    if body is not None and not any(f.lower().startswith(("content-length", "transfer-encoding")) for f in fields):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def difference(pair, raw: bytes) -> str:
    """What the two answer differently, or nothing."""
    nginx, volumed = (s.ask(raw) for s in pair)
    return "" if nginx.same(volumed) else f"\n{raw[:300]!r}\nnginx   {nginx!r}\nvolumed {volumed!r}\n"


READS = [
    request(m, t)
    for m in ("GET", "HEAD", "POST")
    for t in (
        "/", "/t", "/d", "/d/", "/d/sub", "/d/sub/", "/empty/", "/empty", "/nope", "/nope/", "/t/", "/t/x", "/t/x/",
        "/sv00", "/sv00/", "/sv00/aa/", "/sv00/aa/bb/L2E=", "/sv00/aa/bb/zero", "/sv01", "/sv01/", "/sv01/aa/bb/L2E=",
        "/sv42", "/sv42/", "/sv42/x", "/sv00/aa/bb/../../..", "/page.html", "/pic.JPG", "/g.gif", "/.hidden",
        "/sp%20ace", "/h%23a%3fb%25c", "/link", "/dlink", "/dlink/", "/dlink/sub", "/dangling", "/dangling/", "/loop",
        "/loop/", "/fifo", "/ix/", "/ix", "/ixdir/", "/ixdir", "/d?a=b", "/d?", "/t?a=b", "/t#x", "/d#x", "/%64?x#y",
        "//d", "/./d", "/d/..", "/d/.", "/d/../t", "/..", "/../t", "/%2e%2e/t", "/d/%2e%2e/t", "/d%2f..%2ft", "/a%",
        "/a%2", "/a%zz", "/a%00", "/...", "http://other:99/d", "http://other", "http://other/t?x", "http://other?x",
        "/" + "x" * 255, "/" + "x" * 256, "/" + "x/" * 2100, "/raw%ff%c3%a9", "/q%22%5cuo",
    )
]

OTHERS = [
    request(m, t)
    for m in ("OPTIONS", "PATCH", "TRACE", "CONNECT", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK",
              "UNLOCK", "FOO", "LIST")
    for t in ("/t", "/d/", "/nope")
]

RANGES = [
    request(m, t, f"Range: {r}")
    for m in ("GET", "HEAD")
    for t in ("/t", "/sv00/aa/bb/zero", "/sv00/aa/bb/big", "/d/")
    for r in (
        "bytes=0-2", "bytes=-3", "bytes=5-", "bytes=9-9", "bytes=10-", "bytes=20-30", "bytes=0-1,3-4",
        "bytes=3-4,0-1", "bytes=0-1,20-40", "bytes=0-9,0-9", "bytes=-0", "bytes=5-4", "bytes=a-4", "BYTES=1-2",
        "bytes= 1 - 2 , 4 - ", "bytes=1-2,", "bytes=", "bytes=-", "bytes=-100", "bytes=99999999999999999999999-",
        "bytes=0-99999999999999999999999", "bytes=0-9223372036854775807", "bytes=0-0,2-2,4-4,6-6", "bits=0-1",
        "bytes=0-70000,100000-300000", "bytes=1000-200000",
    )
]

OLD = [request("GET", t, *f, version="1.0") for t, f in (
    ("/d", ()), ("/d/", ()), ("/nope", ()), ("/t", ("Range: bytes=0-2",)), ("/t", ("Connection: keep-alive",)),
    ("/d/", ("Connection: keep-alive",)), ("/d", ("Host: x",)))]

DATE = "Sun, 09 Sep 2001 01:46:40 GMT"  # what populate() gives /t
CONDITIONS = [
    request(m, "/t", *fields)
    for m in ("GET", "HEAD")
    for fields in (
        ("If-None-Match: *",), ('If-None-Match: "x"',), ('If-None-Match: "3b9aca00-a"',), ('If-None-Match: W/"3b9aca00-a"',),
        ('If-None-Match: "x", "3b9aca00-a"',), ('If-None-Match: "x","3b9aca00-a" , "y"',), ('If-None-Match: "3b9aca00-a"x',),
        ("If-Match: *",), ('If-Match: "x"',), ('If-Match: "3b9aca00-a"',), ("If-Match: ",),
        (f"If-Modified-Since: {DATE}",), ("If-Modified-Since: Sun, 09 Sep 2001 01:46:41 GMT",), ("If-Modified-Since: junk",),
        (f"If-Unmodified-Since: {DATE}",), ("If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT",),
        ("If-Unmodified-Since: junk",), (f"If-Modified-Since: {DATE}", 'If-None-Match: "x"'),
        (f"If-Modified-Since: {DATE}", 'If-None-Match: "3b9aca00-a"'),
        ("If-Modified-Since: Sun, 09 Sep 2001 01:46:41 GMT", 'If-None-Match: "3b9aca00-a"'),
        ("Range: bytes=0-2", f"If-Range: {DATE}"), ("Range: bytes=0-2", "If-Range: Sun, 09 Sep 2001 01:46:41 GMT"),
        ("Range: bytes=0-2", 'If-Range: "3b9aca00-a"'), ("Range: bytes=0-2", 'If-Range: "x"'), ("Range: bytes=0-2", "If-Range: *"),
        ("Range: bytes=0-2", "If-None-Match: *"), ("Range: bytes=20-", "If-None-Match: *"), ("Range: bytes=20-", 'If-Match: "x"'),
        ("If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT",), ("If-Modified-Since: Sun Sep  9 01:46:40 2001",),
    )
]

WRITES = [
    [request("PUT", "/new", body=b"abc"), request("PUT", "/new", body=b"abcd")],
    [request("PUT", "/n1/n2/n3/f", body=b"x"), request("PUT", "/n1/n2/g", body=b"y")],
    [request("PUT", "/sv00/aa/bb/new", body=b"x")],
    [request("PUT", "/sv01/aa/bb/new", body=b"x")],
    [request("PUT", "/sv05/aa/bb/new", body=b"x"), request("GET", "/sv05/aa")],
    [request("PUT", "/zero", body=b"")],
    [request("PUT", "/n/", body=b"x")],
    [request("PUT", "/", body=b"x")],
    [request("PUT", "/d", body=b"x")],
    [request("PUT", "/sv00", body=b"x")],
    [request("PUT", "/sv01", body=b"x")],
    [request("PUT", "/dlink", body=b"x")],
    [request("PUT", "/link", body=b"x")],
    [request("PUT", "/dangling", body=b"x")],
    [request("PUT", "/loop", body=b"x")],
    [request("PUT", "/loop/x", body=b"x")],
    [request("PUT", "/fifo", body=b"x")],
    [request("PUT", "/t/x", body=b"x")],
    [request("PUT", "/t/x/y", body=b"x")],
    [request("PUT", "/cr", "Content-Range: bytes 0-2/3", body=b"abc")],
    [request("PUT", "/dt", "Date: Sun, 06 Nov 1994 08:49:37 GMT", body=b"abc"), request("GET", "/dt")],
    [request("PUT", "/dt", "Date: junk", body=b"abc")],
    [request("PUT", "/dt", "Date: Sunday, 06-Nov-94 08:49:37 GMT", body=b"abc"), request("GET", "/dt")],
    [request("PUT", "/ch", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n")],
    [request("PUT", "/ch", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")],
    [request("PUT", "/ch", "Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n")],
    [request("PUT", "/a/../b//c/./f%20g", body=b"x")],
    [request("PUT", "/q?x=1", body=b"x")],
    [request("PUT", "/u%c3%a9%ff%23%3f%25+=", body=b"x")],
    [request("PUT", "/../x", body=b"x")],
    [request("PUT", "/x%00y", body=b"x")],
    [request("PUT", "/" + "x" * 255, body=b"x")],
    [request("PUT", "/" + "x" * 256, body=b"x")],
    [request("PUT", "/y/" + "x" * 256 + "/z", body=b"x")],
    [request("PUT", "/big", body=b"0123456789abcdef" * 65536)],
    [request("PUT", "/p10", body=b"x", version="1.0")],
    [request("PUT", "/hosts", "Host: FOO.bar.:99", body=b"x")],
    [request("PUT", "/hosts", "Host: [::1]:99", body=b"x")],
    [request("PUT", "http://abs:7/hosts", body=b"x")],
    [request("DELETE", "/t"), request("DELETE", "/t"), request("GET", "/t")],
    [request("DELETE", "/t", body=b"x")],
    [request("DELETE", "/t", body=b"")],
    [request("DELETE", "/t", "Depth: 0")],
    [request("DELETE", "/t", "Depth: infinity")],
    [request("DELETE", "/t", "Depth: 1")],
    [request("DELETE", "/t", "Depth: junk")],
    [request("DELETE", "/nope")],
    [request("DELETE", "/nope/x")],
    [request("DELETE", "/nope/")],
    [request("DELETE", "/t/x")],
    [request("DELETE", "/t/")],
    [request("DELETE", "/d")],
    [request("DELETE", "/d/", "Depth: 0")],
    [request("DELETE", "/link")],
    [request("DELETE", "/dlink")],
    [request("DELETE", "/dangling")],
    [request("DELETE", "/loop")],
    [request("DELETE", "/loop/x")],
    [request("DELETE", "/fifo")],
    [request("DELETE", "/sv00")],
    [request("DELETE", "/sv00/aa/bb/L2E=")],
    [request("DELETE", "/" + "x" * 256)],
]


@pytest.mark.parametrize("cases", [READS, OTHERS, RANGES, OLD, CONDITIONS], ids=["reads", "others", "ranges", "old", "conditions"])
def test_requests_that_change_nothing(pair, cases):
    differences = [d for d in (difference(pair, raw) for raw in cases) if d]
    assert not differences, "".join(differences)
    assert tree(pair[0].root) == tree(pair[1].root)


def differing(a: dict, b: dict) -> dict:
    return {k: (a.get(k), b.get(k)) for k in a.keys() | b.keys() if a.get(k) != b.get(k)}


def test_writes(pair):
    differences = []
    for steps in WRITES:
        for s in pair:  # a fresh folder for each case
            for entry in s.root.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            populate(s.root)
        for raw in steps:
            found = difference(pair, raw)
            if found:
                differences.append(found)
        found = differing(tree(pair[0].root), tree(pair[1].root))
        if found:
            differences.append(f"\n{steps}: {found}\n")
    assert not differences, "".join(differences)


def test_deliberate_differences(pair):
    """The design's list: each with the status volumed gives in nginx's place."""
    volumed = pair[1]
    assert volumed.ask(request("DELETE", "/d/")).status == 409
    assert volumed.ask(request("DELETE", "/")).status == 409
    assert volumed.ask(request("DELETE", "/sv01")).status == 409
    assert volumed.ask(request("PUT", "/nolength")).status == 411
    assert (volumed.root / "d/sub").is_dir() and (volumed.root / "sv01").is_symlink()
    # A bait outside; never a folder of the system's: a server under test may do anything.
    bait = volumed.root.parent / "bait"
    bait.mkdir()
    (bait / "passwd").write_text("secret")
    (volumed.root / "sv00/out").symlink_to(bait)
    (volumed.root / "out").symlink_to(pair[0].root)
    for target in ("/sv00/out/passwd", "/out/t", "/out/", "/sv00/out/"):
        assert volumed.ask(request("GET", target)).status == 403
    for target in ("/out/x", "/out/x/y", "/sv00/out/mkv-test"):
        assert volumed.ask(request("PUT", target, body=b"x")).status == 403
    assert volumed.ask(request("DELETE", "/out/t")).status == 403
    assert (pair[0].root / "t").exists() and [p.name for p in bait.iterdir()] == ["passwd"]
    for method, status in (("GET", 404), ("DELETE", 404), ("PUT", 403)):
        assert volumed.ask(request(method, "/.volumed/x", body=b"" if method == "PUT" else None)).status == status


def test_20000_entries(pair):
    for s in pair:
        folder = s.root / "many"
        folder.mkdir()
        for i in range(20000):
            p = folder / f"{i * 7919 % 20011:x}"
            p.touch()
            os.utime(p, (1e9, 1e9))
    assert not difference(pair, request("GET", "/many/"))
