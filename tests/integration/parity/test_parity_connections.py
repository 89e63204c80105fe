"""Keep-alive and pipelining in 1.0 and 1.1, Expect, and what one answer leaves for the next."""

from cases import case, judge, parametrize, request
from trees import BIG

KEEP, CLOSE = "Connection: keep-alive", "Connection: close"
ONE = {  # what a request may be, to be followed by another
    "file": ("GET", "/t", None), "HEAD": ("HEAD", "/t", None), "big file": ("GET", "/sv00/aa/bb/big", None),
    "empty file": ("GET", "/sv00/aa/bb/zero", None), "listing": ("GET", "/d/", None),
    "HEAD of a listing": ("HEAD", "/d/", None),
    "redirect": ("GET", "/d", None), "404": ("GET", "/nope", None), "405": ("FOO", "/t", None),
    "405 with a body": ("FOO", "/t", b"x" * 1000), "POST": ("POST", "/t", b"x" * 1000),
    "POST, large": ("POST", "/t", BIG * 3),
    "400": ("GET", "/%zz", None), "GET with a body": ("GET", "/t", b"x" * 20000), "PUT": ("PUT", "/new", b"abc"),
    "PUT, large": ("PUT", "/new", BIG * 3), "PUT refused": ("PUT", "/d/", b"abc"),
    "PUT refused, large": ("PUT", "/d/", BIG * 3),
    "PUT failed": ("PUT", "/t/x", b"abc"), "PUT on a folder": ("PUT", "/d", b"abc"),
    "PUT on a folder, large": ("PUT", "/d", BIG * 3), "DELETE": ("DELETE", "/t", None),
    "DELETE with a body": ("DELETE", "/t", b"x" * 1000), "DELETE with a large body": ("DELETE", "/t", BIG * 3),
    "DELETE of nothing": ("DELETE", "/nope", None), "TRACE": ("TRACE", "/t", None),
    "too long a name": ("PUT", "/" + "x" * 256, b"abc"),
}
WAYS = {"1.1": ("1.1", ()), "1.1 close": ("1.1", (CLOSE,)), "1.0": ("1.0", ()), "1.0 keep-alive": ("1.0", (KEEP,)),
    "1.2": ("1.2", ("Host: h",))}
EXPECTS = ["100-continue", "100-Continue", "100-continue ", "100-continue, x", "x, 100-continue", "100-continue;q=1",
    "junk", "", "200-ok", "100-continue\t"]

CASES = [
    case(f"{name}, {way}, then a file", request(method, target, *fields, body=body, version=version) + request("GET",
         "/d/a"))
    for name, (method, target, body) in ONE.items() for way, (version, fields) in WAYS.items()
] + [
    case(f"{name} three times", request(method, target, body=body) * 3) for name,
    (method, target, body) in ONE.items() if not body or len(body) < 20000
] + [
    case(f"Expect: {value!r} {version} {method} {target}", request(method, target, f"Expect: {value}", "Host: h",
         body=body, version=version))
    for value in EXPECTS for version in ("1.1", "1.0") for method, target,
    body in (("GET", "/t", None), ("PUT", "/new", b"abc"))
    if not (value.strip().lower() == "100-continue" and version == "1.1" and method == "PUT")
] + [
    case("all kinds in one pipeline", b"".join(request(method, target, body=body) for name,
         (method, target, body) in ONE.items() if name not in ("400", "PUT failed", "TRACE", "too long a name"))),
    case("100 files", request("GET", "/t") * 99 + request("GET", "/t", CLOSE)),
    case("HEADs and GETs", (request("HEAD", "/sv00/aa/bb/big") + request("GET", "/sv00/aa/bb/big") + request("HEAD",
         "/d/")) * 4),
    case("1.0 and 1.1 mixed", request("GET", "/t", KEEP, version="1.0") + request("GET", "/t") + request("GET", "/t",
         version="1.0") + request("GET", "/t")),
    case("close in the middle", request("GET", "/t") + request("GET", "/t", CLOSE) + request("GET", "/d/a")),
    case("close after a bad one", request("GET", "/t") + b"BAD\r\n\r\n" + request("GET", "/t")),
    case("a listing in 1.0, kept", request("GET", "/d/", KEEP, version="1.0") + request("GET", "/t")),
    case("a listing in 0.9", b"GET /d/\r\n"), case("a file in 0.9",
         b"GET /sv00/aa/bb/big\r\n" + request("GET", "/t")),
    case("a redirect in 0.9", b"GET /d\r\n"), case("a missing file in 0.9", b"GET /nope\n"),
    case("a refusal in 0.9", b"GET /%zz\r\n"), case("an upgrade",
         request("GET", "/t", "Connection: Upgrade", "Upgrade: websocket")),
    case("h2c", request("GET", "/t", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
         "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")),
    case("Internet Explorer 5", request("GET", "/t",
         "User-Agent: Mozilla/4.0 (compatible; MSIE 5.0; Windows 98)") * 2),
         case("Internet Explorer 6, GET", request("GET", "/t",
              "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)") * 2),
    case("Safari", request("PUT", "/new", "User-Agent: Mozilla/5.0 (Macintosh) AppleWebKit/537 Safari/600",
         body=b"abc") * 2),
]


@parametrize(CASES)
def test_connections(pair, case):
    judge(pair, case)
