"""The status table of the API and what each answer carries, on every kind of cluster. Each
test looks at the disk as well: an answer is worth what lies behind it."""

import base64
import contextlib
import hashlib
import threading

import pytest

import http_raw
import placement
from cluster import KINDS, Cluster, location_parts, md5_hex
from http_raw import Wire, target
from server_process import wait_until

VALUE = b"the value\n"


def bring(cluster: Cluster, key: bytes, state: str) -> None:
    if state == "live":
        cluster.live(key, VALUE)
    elif state == "unlinked":
        cluster.unlinked(key, VALUE)


def state_of(cluster: Cluster, key: bytes) -> str:
    """Found out without changing it, as far as the API lets one."""
    if cluster.get(key).status == 302:
        return "live"
    if key in cluster.keys(key, unlinked=True):
        return "unlinked"
    return "absent"


# method, state before → status, state after
TABLE = [
    ("GET", "live", 302, "live"),
    ("GET", "unlinked", 404, "unlinked"),
    ("GET", "absent", 404, "absent"),
    ("HEAD", "live", 302, "live"),
    ("HEAD", "unlinked", 404, "unlinked"),
    ("HEAD", "absent", 404, "absent"),
    ("PUT", "live", 403, "live"),
    ("PUT", "unlinked", 201, "live"),
    ("PUT", "absent", 201, "live"),
    ("DELETE", "live", 204, "absent"),
    ("DELETE", "unlinked", 204, "absent"),
    ("DELETE", "absent", 404, "absent"),
    ("UNLINK", "live", 204, "unlinked"),
    ("UNLINK", "unlinked", 404, "unlinked"),
    ("UNLINK", "absent", 404, "absent"),
    ("RELINK", "live", 404, "live"),
    ("RELINK", "unlinked", 204, "live"),
    ("RELINK", "absent", 404, "absent"),
]


@pytest.mark.parametrize("method,before,status,after", TABLE)
def test_status(cluster, key, method, before, status, after):
    bring(cluster, key, before)
    answer = cluster.request(method, key, b"another value" if method == "PUT" else None)
    assert answer.status == status
    if status == 404 and method in ("GET", "HEAD"):
        assert answer.body == b""
    elif status >= 400:
        # One line that says what is wrong.
        assert answer.body.strip() and answer.body.count(b"\n") <= 1
    if status != 204:
        assert "content-length" in answer.fields
    assert state_of(cluster, key) == after
    if after == "absent":
        cluster.no_files(key)
    elif method == "PUT" and status == 201 and before == "absent":
        cluster.check_value(key, b"another value")
    elif method == "PUT" and status == 201:
        assert cluster.read(key) == b"another value"
    else:
        cluster.check_value(key, VALUE)


def test_redirect(cluster, key):
    cluster.live(key, VALUE)
    homes = cluster.homes(key)
    for method in ("GET", "HEAD"):
        answer = cluster.request(method, key)
        assert answer.status == 302
        assert answer.body == b""
        assert answer["Content-Length"] == "0"
        assert answer["Content-Md5"] == md5_hex(VALUE)
        assert answer["Key-Volumes"].split(",") == homes
        assert answer["Key-Balance"] == "balanced"
        host, path = location_parts(answer)
        volume, sub = cluster.at(host + "/" + path.decode().split("/")[1])
        assert f"{host}/{sub}" in homes
        assert path.decode() == f"/{sub}" + placement.key_path(key)
    value = http_raw.fetch(answer["Location"])
    assert (value.status, value.body) == (200, VALUE)
    assert value["Content-Length"] == str(len(VALUE))


def test_redirects_spread_over_the_replicas(cluster, key):
    cluster.live(key, VALUE)
    seen = {location_parts(cluster.get(key))[0] for _ in range(60)}
    assert seen == {home.split("/")[0] for home in cluster.homes(key)}


def test_overwriting_an_unlinked_value(cluster, key):
    """The new value goes where no record names the key; the old one is gone afterwards."""
    cluster.unlinked(key, b"old")
    assert cluster.put(key, b"the new one").status == 201
    answer = cluster.get(key)
    places = answer["Key-Volumes"].split(",")
    assert len(places) == 3 and not set(places) & set(cluster.homes(key))
    assert answer["Key-Balance"] == "unbalanced"
    assert answer["Content-Md5"] == md5_hex(b"the new one")
    wait_until(lambda: len(cluster.key_files(key)) == 3, 10, "the old value's files gone")
    cluster.check_value(key, b"the new one", places)
    assert cluster.read(key) == b"the new one"
    # The key is not held up by what was removed, and home is free again for the next.
    assert cluster.delete(key).status == 204
    cluster.no_files(key)
    cluster.live(key, b"a third")
    cluster.check_value(key, b"a third")


def test_delete_clears_the_volumes_before_its_answer(cluster, key):
    cluster.live(key, VALUE)
    assert cluster.delete(key).status == 204
    assert cluster.key_files(key) == []


def test_after_a_delete_the_home_is_free(cluster, key):
    """At once: a PUT right behind the 204, on the same connection or on one of another loop, goes
    to the key's home; but where the sweeper came first, which a slow machine may see."""
    away = 0
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(cluster.master.address)) for _ in range(6)]
        for n in range(60):
            put, delete = wires[n % 6], wires[n // 6 % 6]
            for wire, method, status in ((put, b"PUT", 201), (delete, b"DELETE", 204)) * 2:
                length = 1 if method == b"PUT" else 0
                head = b"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                wire.send(head % (method, target(key).encode(), length) + b"x" * length)
                assert wire.answer().status == status
                if method == b"PUT":
                    homes = {str(cluster.file(home, key)) for home in cluster.homes(key)}
                    away += {str(file) for file in cluster.key_files(key)} != homes
    assert away < 10



def test_put_empty(cluster, key):
    for fields in ({"Content-Length": "0"}, {}):
        assert cluster.request("PUT", key, None, fields).status == 411
    with Wire(cluster.master.address) as wire:
        wire.send(b"PUT %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % key)
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status == 411
    assert state_of(cluster, key) == "absent"
    cluster.no_files(key)


def test_content_md5(cluster, key):
    digest = hashlib.md5(VALUE)
    for number, good in enumerate(
        (
            digest.hexdigest(),
            digest.hexdigest().upper(),
            base64.b64encode(digest.digest()).decode(),
        )
    ):
        this = key + b"/good%d" % number
        assert cluster.put(this, VALUE, {"Content-MD5": good}).status == 201
        cluster.check_value(this, VALUE)
    wrong = hashlib.md5(b"something else")
    for number, bad in enumerate(
        (wrong.hexdigest(), base64.b64encode(wrong.digest()).decode(), "nonsense", "a" * 31)
    ):
        this = key + b"/bad%d" % number
        assert cluster.put(this, VALUE, {"Content-MD5": bad}).status == 400
        assert state_of(cluster, this) == "absent"
        assert cluster.key_files(this) == []
        cluster.live(this, VALUE)
        cluster.check_value(this, VALUE)


def test_key_lengths(cluster):
    for length in (189, 190, 191, 192, 250, 765, 1023, 1024):
        this = b"/" + b"k" * (length - 1)
        value = b"value of %d" % length
        cluster.live(this, value)
        cluster.check_value(this, value)
        assert cluster.read(this) == value
        assert this in cluster.keys(this)
        assert cluster.delete(this).status == 204
        assert cluster.key_files(this) == []
    # Percent-encoded, such a key is three times as long in the request line.
    this = b"/" + b"\xff\xfe" * 511 + b"\x01"
    assert len(this) == 1024
    cluster.live(this, VALUE)
    cluster.check_value(this, VALUE)
    assert cluster.read(this) == VALUE
    assert cluster.delete(this).status == 204
    before = cluster.files()
    this = b"/" + b"k" * 1024
    assert cluster.put(this, VALUE).status == 414
    assert cluster.files() == before


WEIRD = [
    b"/",
    b"//",
    b"//double//slashes//",
    b"/../up",
    b"/a/./b/../c",
    b"/a",
    b"/a/",
    b"/with space + plus",
    b"/query?no#fragment",
    b"/percent%41%2f%zz",
    b"/tab\tline\r\nnul\x00del\x7f",
    bytes([0x2F, *range(256)]),
    "/ünï/日本/😀".encode(),
    b"/not utf-8 \xff\xfe\xc3\x28\xed\xa0\x80",
    b"/quote\"backslash\\comma,semicolon;",
    b"/a?",  # base64 ends in '/'
    b"/ab\xff\xff\xff",  # base64 ends in "////"
    b"/ab\xff\xff\xffcdefgh\xff\xff\xffij",  # "//…/" within
    b"/" + b"\xff" * 800,  # slashes all over
    b"/" + b"x" * 560 + b"?",  # both special forms
    b"http://example.org/looks/like/a/url",
    b"*",
]
WEIRD = [key if key.startswith(b"/") else b"/" + key for key in WEIRD]


@pytest.mark.parametrize("weird", WEIRD, ids=lambda k: k[:24].hex())
def test_weird_keys(cluster, weird):
    value = b"value of " + weird
    cluster.live(weird, value)
    cluster.check_value(weird, value)
    assert cluster.read(weird) == value
    assert cluster.get(weird)["Key-Balance"] == "balanced"
    assert weird in cluster.keys(weird)
    assert cluster.unlink(weird).status == 204
    assert weird in cluster.keys(weird, unlinked=True)
    assert cluster.relink(weird).status == 204
    assert cluster.put(weird, b"more").status == 403
    assert cluster.delete(weird).status == 204
    assert cluster.get(weird).status == 404
    assert cluster.key_files(weird) == []


def test_encoded_and_plain_are_one_key(cluster, key):
    cluster.live(key + b"/a b", VALUE)
    encoded = "".join("%%%02x" % byte for byte in key + b"/a b")
    answer = http_raw.once(cluster.master.address, "GET", "/" + encoded[3:])
    assert answer.status == 302
    answer = http_raw.once(
        cluster.master.address, "GET", f"http://example.org{target(key)}/a%20b"
    )
    assert answer.status == 302


def test_every_byte(cluster, key):
    for byte in range(256):
        cluster.live(key + b"/" + bytes([byte]) + b"!", b"value %d" % byte)
    listed = cluster.keys(key + b"/")
    assert listed == [key + b"/" + bytes([byte]) + b"!" for byte in range(256)]
    for this in listed:
        assert cluster.read(this) == b"value %d" % this[-2]
        assert cluster.delete(this).status == 204
    assert cluster.keys(key + b"/") == []


@pytest.mark.parametrize("state", ["absent", "unlinked"])
def test_busy_key(cluster, key, state):
    """While a PUT runs, every other change of the key is refused at once, and reads see what
    was there before."""
    bring(cluster, key, state)
    sent = b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345" % key
    with cluster.begin_put(key, sent, "DELETE" if state == "absent" else "UNLINK") as wire:
        for method in ("PUT", "DELETE", "UNLINK", "RELINK"):
            answer = cluster.request(method, key, b"mine" if method == "PUT" else None)
            assert answer.status == 409, method
            assert answer.body.strip()
        assert cluster.get(key).status == 404
        assert (key in cluster.keys(key, unlinked=True)) == (state == "unlinked")
        # Another key is not held up.
        cluster.live(key + b"/other", VALUE)
        wire.send(b"67890")
        assert wire.answer().status == 201
    assert cluster.read(key) == b"1234567890"
    assert cluster.delete(key).status == 204


def test_one_of_many_writers_wins(cluster, key):
    """Writers of one key at once: one 201, the others 403 or 409, and its value is what is
    there, whole."""
    statuses: dict[bytes, int] = {}
    barrier = threading.Barrier(12)

    def write(number: int) -> None:
        value = b"%d" % number * 50_000
        barrier.wait()
        statuses[value] = cluster.put(key, value).status

    threads = [threading.Thread(target=write, args=(n,)) for n in range(10, 22)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [value for value, status in statuses.items() if status == 201]
    assert len(won) == 1 and set(statuses.values()) <= {201, 403, 409}
    cluster.check_value(key, won[0])


def test_queries(cluster, key):
    cluster.live(key, VALUE)
    before = cluster.files()
    for method, query in (
        ("GET", "list-type=2"),
        ("GET", "uploads"),
        ("POST", "uploads"),
        ("POST", "uploadId=1"),
        ("PUT", "partNumber=1&uploadId=1"),
        ("DELETE", "uploadId=1"),
        ("POST", "delete"),
    ):
        answer = cluster.request(
            method, key, VALUE if method in ("PUT", "POST") else None, query=query
        )
        assert answer.status == 501, (method, query)
        assert answer.body.strip()
    for query in ("other", "listing", "x=list"):
        assert cluster.request("GET", key, query=query).status == 403, query
    assert cluster.files() == before
    assert cluster.read(key) == VALUE


def test_index_record(kind):
    """What the master wrote is what the Go program would read."""
    with Cluster(KINDS[kind]) as cluster:
        cluster.live(b"/live", VALUE)
        cluster.unlinked(b"/unlinked", b"other")
        cluster.live(b"/gone", VALUE)
        assert cluster.delete(b"/gone").status == 204
        assert cluster.master.stop() == 0
        records, others = cluster.index()
        assert records == {
            b"/live": ("live", md5_hex(VALUE), cluster.homes(b"/live")),
            b"/unlinked": ("unlinked", md5_hex(b"other"), cluster.homes(b"/unlinked")),
        }
        for name, value in others.items():
            assert not value.startswith((b"HASH", b"DELETED")), name
        cluster.master.start()
        assert cluster.read(b"/live") == VALUE
        assert cluster.relink(b"/unlinked").status == 204
        assert cluster.read(b"/unlinked") == b"other"
        assert cluster.files() == cluster.expected([b"/live", b"/unlinked"])


@pytest.mark.parametrize("replicas,subvolumes", [(1, 1), (2, 1), (3, 1), (1, 10), (2, 256)])
def test_replicas_and_subvolumes(replicas, subvolumes):
    with Cluster(KINDS["mixed"], replicas=replicas, subvolumes=subvolumes) as cluster:
        keys = [b"/key %d" % number for number in range(20)]
        for key in keys:
            cluster.live(key, key)
            answer = cluster.get(key)
            assert answer["Key-Volumes"].split(",") == cluster.homes(key)
            assert cluster.read(key) == key
        assert cluster.files() == cluster.expected(keys)
        # Over an unlinked value: another subvolume, sv00 and up where there are none.
        assert cluster.unlink(keys[0]).status == 204
        assert cluster.put(keys[0], b"new").status == 201
        places = cluster.get(keys[0])["Key-Volumes"].split(",")
        if subvolumes == 1:
            assert places == [home + "/sv00" for home in cluster.homes(keys[0])]
        wait_until(lambda: len(cluster.key_files(keys[0])) == replicas, 10, "the old value gone")
        cluster.check_value(keys[0], b"new", places)


def test_protect():
    with Cluster(KINDS["mixed"], flags=["-protect"]) as cluster:
        cluster.live(b"/key", VALUE)
        assert cluster.delete(b"/key").status == 403
        cluster.check_value(b"/key", VALUE)
        assert cluster.unlink(b"/key").status == 204
        assert cluster.delete(b"/key").status == 204
        assert cluster.files() == set()


def test_fallback():
    with Cluster(KINDS["mixed"], flags=["-fallback", "elsewhere.example:8080"]) as cluster:
        cluster.unlinked(b"/unlinked", VALUE)
        for key in (b"/absent", b"/unlinked", b"/with space/\xc3\xa9"):
            for method in ("GET", "HEAD"):
                answer = cluster.request(method, key)
                assert answer.status == 302
                assert location_parts(answer) == ("elsewhere.example:8080", key)
        cluster.live(b"/live", VALUE)
        assert cluster.read(b"/live") == VALUE
        for method in ("DELETE", "UNLINK", "RELINK"):
            assert cluster.request(method, b"/absent").status == 404


def test_md5sum_off():
    with Cluster(KINDS["mixed"], flags=["-md5sum=false"]) as cluster:
        cluster.live(b"/key", VALUE)
        answer = cluster.get(b"/key")
        assert "content-md5" not in answer.fields or answer["Content-Md5"] == ""
        assert cluster.read(b"/key") == VALUE
        # A checksum that the client sends is held against the value all the same.
        assert cluster.put(b"/wrong", VALUE, {"Content-MD5": "0" * 32}).status == 400
        assert cluster.master.stop() == 0
        records, _others = cluster.index()
        assert records == {b"/key": ("live", "", cluster.homes(b"/key"))}


def test_public_volumes():
    cluster = Cluster(KINDS["mixed"], replicas=1, start=False)
    first = cluster.volumes[0].authority
    cluster.flags = ["-public-volumes", f"{first}=public.example:8443"]
    with cluster:
        cluster.start()
        named = set()
        for number in range(30):
            key = b"/key %d" % number
            cluster.live(key, VALUE)
            host, _path = location_parts(cluster.get(key))
            home = cluster.homes(key)[0].split("/")[0]
            assert host == ("public.example:8443" if home == first else home)
            named.add(host)
        assert "public.example:8443" in named and len(named) == 3


def test_verbose_log():
    with Cluster(KINDS["mixed"], flags=["-v"]) as cluster:
        cluster.live(b"/logged key", VALUE)
        cluster.get(b"/logged key")
        cluster.get(b"/forged\nline")

        def lines():
            text = cluster.master.log.read_text(errors="replace").splitlines()
            return [line for line in text if "logged" in line], text

        wait_until(lambda: len(lines()[0]) >= 2, 5, "a line for each request")
        put, get = lines()[0][:2]
        assert "PUT" in put and "201" in put
        assert "GET" in get and "302" in get
        assert not [line for line in lines()[1] if line.startswith("line")]
