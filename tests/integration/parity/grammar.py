"""Random requests: a grammar whose words are what the rules of HTTP and of a volume turn on, so
that they meet in ways nobody thought of; and bytes gone wrong in any of it.

Everything comes from one random.Random, so a seed and a number name a conversation for good.
"""

import random

METHODS = ["GET"] * 10 + ["HEAD"] * 4 + ["PUT"] * 6 + ["DELETE"] * 3 + ["POST", "OPTIONS", "MKCOL", "COPY", "MOVE",
    "PROPFIND", "TRACE", "PATCH", "LIST", "get"]
PIECES = ["t", "d", "sub", "a", "new", "x", "y", "nope", "deep", "1", "empty", "ix", "index.html", "link", "dlink",
    "loop", "dangling", "fifo", "page.html", "sv00", "aa", "bb", "L2E=", "zero", "big", "side", "t.gif", ".hidden",
          "%74", "%64", "sp%20ace", "h%23a%3fb%25c", "raw%ff%c3%a9", "raw\xff\xc3\xa9", ".", "..", "%2e", "%2e%2e",
          "", "", "%2f", "%zz", "%", "%00", "%41", "~", "a:b", "a@b", "[", "\\", "x" * 255, "x" * 256]
KNOWN = ["/t", "/d", "/d/", "/d/a", "/", "/empty/", "/ix/", "/sv00/aa/bb/L2E=", "/sv00/aa/bb/zero", "/sv00/aa/bb/big",
    "/page.html", "/nope", "/new", "/n/x", "/deep/1/2/3/leaf", "/t/x", "/link", "/fifo"]
QUERIES = ["", "", "", "", "", "?", "?x=1", "?/../", "#x", "?%zz", "?x#y"]
VERSIONS = ["1.1"] * 14 + ["1.0"] * 4 + ["1.2", "0.9", "2.0", "1.", "11.1", "1.10", "1.x"]
DATES = ["Sun, 09 Sep 2001 01:46:40 GMT", "Sun, 09 Sep 2001 01:47:23 GMT", "Fri, 01 Jan 2100 00:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "junk", "",
    "Sun, 31 Feb 2001 00:00:00 GMT"]
TAGS = ["*", '"x"', '"3b9aca2b-a"', 'W/"3b9aca2b-a"', '"x", "3b9aca2b-a"', '"3b9aca2b-a",', "", "x", "*, *"]
NUMBERS = ["0", "1", "2", "5", "9", "10", "11", "99", "70000", "262143", "262144", "9223372036854775807",
    "9223372036854775808", "99999999999999999999", "", "a", " 3", "00"]
HOSTS = ["h", "h:80", "H.Example.", "[::1]:8", "127.0.0.1", "", "h/x", "a..b", ".", "h x", "h\x01", "h_x", "x" * 300]
CONNECTIONS = ["close", "keep-alive", "Close", "x", "close, keep-alive", "upgrade", ""]
CODINGS = ["chunked"] * 8 + ["Chunked", "gzip", "identity", "chunked, chunked", "", "gzip, chunked", "chunked "]
ENDS = ["\r\n"] * 30 + ["\n"] * 3 + ["\r\r\n", "\r", "\n\r\n"]
SPACES = [" "] * 40 + ["  ", "\t", ""]
EXTENSIONS = [""] * 10 + [";x", ";x=y", " ", "\t", " ;x", "; \"", ";\0"]
TRAILERS = [""] * 8 + ["T: x\r\n", "junk\r\n", "T: x\n", "Content-Length: 3\r\n"]


def target(r: random.Random) -> str:
    kind = r.random()
    if kind < 0.5:
        path = r.choice(KNOWN)
    elif kind < 0.93:
        path = "/" + "/".join(r.choice(PIECES) for _ in range(r.randint(1, 5)))
    elif kind < 0.97:
        path = r.choice(["http://", "HTTP://", "ftp://", "http:/"]) + r.choice(HOSTS + ["u@h", "h:x",
            "[v1.a]"]) + r.choice(["", "/", "/t", "/d", "?x", "//d", "#"])
    else:
        path = r.choice(["*", "t", "", "h:80", "?x", "//", "/../t", "/%2e%2e/", "/" + "x/" * 30,
            "/" + "y" * r.choice([1000, 4000, 8150, 8192])])
    return path + r.choice(QUERIES)


def ranges(r: random.Random) -> str:
    def one() -> str:
        return r.choice(["{}-{}", "{}-{}", "{}-{}", "{}-", "-{}", "{}", "{} - {}",
            "{}-{}x"]).format(r.choice(NUMBERS), r.choice(NUMBERS))
    return r.choice(["bytes="] * 12 + ["Bytes=", "bytes =", "bits=", "bytes", ""]) + r.choice([",", ",", ", ", " ,",
        ",,"]).join(one() for _ in range(r.choice([1, 1, 1, 2, 2, 3, 5, 12])))


def field(r: random.Random) -> str:
    name, value = r.choice([
        ("Range", ranges), ("Range", ranges), ("Range", ranges), ("If-Range", lambda r: r.choice(TAGS + DATES)),
        ("If-Match", lambda r: r.choice(TAGS)), ("If-None-Match", lambda r: r.choice(TAGS)),
        ("If-None-Match", lambda r: r.choice(TAGS)),
        ("If-Modified-Since", lambda r: r.choice(DATES)), ("If-Unmodified-Since", lambda r: r.choice(DATES)),
        ("Date", lambda r: r.choice(DATES)), ("Connection", lambda r: r.choice(CONNECTIONS)),
        ("Connection", lambda r: r.choice(CONNECTIONS)),
        ("Content-Range", lambda r: "bytes 0-1/2"), ("Depth", lambda r: r.choice(["0", "1", "infinity", ""])),
        ("Host", lambda r: r.choice(HOSTS)), ("User-Agent", lambda r: "x"),
        ("X-Long", lambda r: "y" * r.choice([10, 900, 4000, 8100, 8190, 9000])),
        ("Accept-Encoding", lambda r: "gzip"), ("Content_Type", lambda r: "x"), ("X y", lambda r: "z"),
        ("", lambda r: "z"), (" X", lambda r: "z"), ("Content-Length",
            lambda r: r.choice(NUMBERS[:6] + ["x", "-1", "+3"])), ("Upgrade", lambda r: "h2c"),
    ])
    return name + ":" + r.choice(SPACES) + value(r)


def chunks(r: random.Random, body: bytes) -> bytes:
    out = b""
    while body:
        n = r.randint(1, len(body))
        size = r.choice(["%x", "%x", "%X", "0%x", "000%x"]) % n
        end = r.choice(["\r\n"] * 12 + ["\n"])
        out += (size + r.choice(EXTENSIONS) + end).encode() + body[:n] + r.choice([b"\r\n"] * 12 + [b"\n"])
        body = body[n:]
    return out + (r.choice(["0", "0",
        "00"]) + r.choice(EXTENSIONS) + "\r\n" + r.choice(TRAILERS) + r.choice(["\r\n"] * 12 + ["\n"])).encode()


def request(r: random.Random) -> bytes:
    method, version = r.choice(METHODS), r.choice(VERSIONS)
    where = target(r)
    if method == "DELETE" and r.random() < 0.7:
        where = r.choice(["/t", "/nope", "/new", "/link", "/d/a", "/t/x", "/dangling", "/sv00/aa/bb/L2E="])
    end = r.choice(ENDS) if r.random() < 0.15 else "\r\n"
    lines = [method + r.choice(SPACES) + where + (r.choice(SPACES) + "HTTP/" + version if r.random() < 0.98 else "")]
    if r.random() < 0.96:
        lines.append("Host: " + (r.choice(HOSTS) if r.random() < 0.15 else "h"))
    lines += [field(r) for _ in range(r.choice([0, 0, 1, 1, 1, 2, 2, 3, 5]))]
    body = b""
    if method == "PUT" or r.random() < 0.12:
        body = bytes(r.randrange(97, 123) for _ in range(r.choice([0, 1, 3, 10, 10, 200]))) * r.choice([1, 1, 1, 1,
            20, 400])
        if r.random() < 0.45:
            lines.append("Transfer-Encoding: " + r.choice(CODINGS))
            body = chunks(r, body)
        if r.random() < 0.1 or not lines[-1].startswith("Transfer"):
            wrong = r.choice([-1, 1, 500]) if r.random() < 0.04 else 0
            lines.append(f"Content-Length: {max(len(body) + wrong, 0)}")
    if r.random() < 0.2:
        head, rest = lines[:1], lines[1:]
        r.shuffle(rest)
        lines = head + rest
    return (end.join(lines) + end + end).encode("latin-1") + body


def spoil(r: random.Random, data: bytes) -> bytes:
    """Bytes lost, doubled, changed, or put in."""
    for _ in range(r.choice([1, 1, 2])):
        at = r.randrange(len(data)) if data else 0
        kind = r.randrange(4)
        if kind == 0:
            data = data[:at] + data[at + r.choice([1, 1, 2, 10]):]
        elif kind == 1:
            data = data[:at] + data[at:at + r.choice([1, 2, 20])] + data[at:]
        elif kind == 2:
            data = data[:at] + bytes([r.choice([0, 9, 10, 13, 32, 37, 47, 58, 127, 255,
                r.randrange(256)])]) + data[at + 1:]
        else:
            data = data[:at] + r.choice([b"\r\n", b"\n", b"\r", b" ", b"\0", b"\r\n\r\n", b":", b"%",
                b"/.."]) + data[at:]
    return data


def conversation(r: random.Random) -> list[bytes]:
    """What is sent on one connection: a request or several."""
    found = [request(r) for _ in range(r.choice([1, 1, 1, 2, 3, 5]))]
    if r.random() < 0.2:
        at = r.randrange(len(found))
        found[at] = spoil(r, found[at])
    return found


def split(r: random.Random, data: bytes) -> list[bytes]:
    """Most leave at once, some in pieces."""
    if r.random() < 0.8 or len(data) < 2:
        return [data]
    cuts = sorted({r.randrange(1, len(data)) for _ in range(r.choice([1, 1, 2, 5]))})
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
