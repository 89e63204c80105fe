"""Heads: lines that are malformed, too long or too many; versions; fields given twice; Host."""

from cases import case, judge, parametrize, request

LINES = [
    "GET /t HTTP/1.1", "get /t HTTP/1.1", "Get /t HTTP/1.1", "GE\tT /t HTTP/1.1", "GET\t/t HTTP/1.1",
    "GET  /t  HTTP/1.1", " GET /t HTTP/1.1", "GET /t HTTP/1.1 ",
    "GET /t HTTP/1.1  ", "GET /t HTTP/1.1\t", "GET /t HTTP/1.1 x", "GET /t x HTTP/1.1", "GET /t", "GET /t ",
    "GET /nope", "GET /d", "GET /d/", "GET", "GET ", "", "PUT /t", "HEAD /t", "DELETE /t",
    "POST /t", "GET t", "GET HTTP/1.1", "GET  HTTP/1.1", "GET /t HTTP/", "GET /t HTTP/1", "GET /t HTTP/1.",
    "GET /t HTTP/.1", "GET /t HTTP/1.0", "GET /t HTTP/1.2", "GET /t HTTP/1.9",
    "GET /t HTTP/1.10", "GET /t HTTP/1.01", "GET /t HTTP/1.00", "GET /t HTTP/1.99", "GET /t HTTP/1.100",
    "GET /t HTTP/1.999", "GET /t HTTP/1.1000", "GET /t HTTP/1.0000000001", "GET /t HTTP/0.9",
    "GET /t HTTP/0.1", "GET /t HTTP/01.1", "GET /t HTTP/2.0", "GET /t HTTP/2", "GET /t HTTP/9.9", "GET /t HTTP/10.1",
    "GET /t HTTP/11.1", "GET /t HTTP/99999.1", "GET /t http/1.1", "GET /t Http/1.1",
    "GET /t HTTPS/1.1", "GET /t HTTP 1.1", "GET /t HTTP/1,1", "GET /t HTTP/1.1x", "GET /t HTTP/1.x",
    "GET /t HTTP/-1.1", "GET /t HTTP/1.-1", "GET /t HTT", "GET /t XTTP/1.1", "PRI * HTTP/2.0",
    "\x16\x03\x01\x02\x00", "\x00", "G\x00T /t HTTP/1.1", "G\xcbT /t HTTP/1.1", "GET! /t HTTP/1.1", "G3T /t HTTP/1.1",
    "G.T /t HTTP/1.1", "x" * 40 + " /t HTTP/1.1", "X" * 5000 + " /t HTTP/1.1",
    "CONNECT h:80 HTTP/1.1", "CONNECT /t HTTP/1.1", "CONNECT /t HTTP/1.0", "TRACE /t HTTP/1.0", "OPTIONS * HTTP/1.1",
    "TRACE * HTTP/1.1", "TRACE h HTTP/1.1", "GET /t HTTP/1.1\r", "GET /t\r HTTP/1.1", "GET /t HTTP/1.1\r\r",
    "GET /a%zz HTTP/2.0", "GET /a%zz", "PUT /a%zz HTTP/1.0", "FOO /t HTTP/2.0", "FOO /t", "GET /t?HTTP/1.1",
    "GET ?x HTTP/1.1", "GET /t#HTTP/1.1",
]
FIELDS = [
    "X: y", "X:y", "X:  y  ", "X:\ty", "X : y", "X\t: y", " X: y", "\tX: y", ": y", ":", "X", "X y", "X:", "X: ",
    "x_y: z", "x.y: z", "x!y: z", "x y: z", "x(y): z", "x\"y: z", "x\x80y: z", "x\x7fy: z", "x\x01y: z",
    "x\x00y: z", "x/y: z", "x@y: z", "x=y: z", "_", "_:", "-: x", "1: x", "X: \x01\x02\x1f", "X: \x7f\x80\xff",
    "X: a\x00b", "X: a\rb", "X: a\r\rb", "X: a\r", "X: a\r\r", "X: \r", "X\r: y", "X\r", "\rX: y", "X: y\r\n z",
    "X: y\r\n\tz",
    "X: y\nY: z", "X: " + "y" * 2000, "Host_: x", "Ho st: x", "Content_Length: 5", "If-Match_: x",
    "Connection_: close",
]
ONCE = ["Expect: 100-continue", "If-Match: *", "If-None-Match: *", "If-Modified-Since: x",
    "If-Unmodified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "If-Range: x", "Range: bytes=0-1", "Content-Range: x",
    "Authorization: x",
        "Content-Length: 0", "Transfer-Encoding: chunked", "Host: h", "Connection: close", "Connection: keep-alive",
        "User-Agent: x", "Referer: x", "Date: x", "Cookie: x", "Accept: x", "Accept-Encoding: gzip", "Via: x",
        "Upgrade: h2c", "Keep-Alive: 5", "X-Forwarded-For: x", "Depth: 0", "Destination: x", "Overwrite: F",
        "TE: trailers", "Content-Type: x", "Proxy-Connection: close"]
HOSTS = ["h", "", " ", "h:80", "h:", ":", "h/x", "h x", "a..b", "..", "h.", ".", "h\x00", "h\x1f", "h\x7f", "h\xff",
    "[::1]", "[::1", "[", "h:x", "h,i", "x" * 3000]
CONNECTIONS = ["close", "keep-alive", "Close", "KEEP-ALIVE", "close, keep-alive", "keep-alive, close", "closed",
    "not-close", "xkeep-alivex", "upgrade", "", "clos", "keep alive", "close\t", "TE, close", "close;q=0"]


def raw(line: str, *fields: str, end: str = "\r\n") -> bytes:
    return end.join((line, *fields, "", "")).encode("latin-1")


def _name(text: str) -> str:
    return ascii(text if len(text) < 60 else f"{text[:20]}...{len(text)}").strip("'\"")


def filler(count: int, size: int) -> tuple[str, ...]:
    return tuple(f"X-{n:04d}: ".ljust(size - 2, "x") for n in range(count))


CASES = [
    case(f"line {_name(line)}", raw(line, "Host: h")) for line in LINES
] + [
    case(f"line {_name(line)} ended by LF", raw(line, "Host: h", end="\n")) for line in LINES if len(line) < 30
] + [
    case(f"line {_name(line)} without fields", raw(line)) for line in LINES[:30]
] + [
    case(f"field {_name(field)}", raw("GET /t HTTP/1.1", "Host: h", field)) for field in FIELDS
] + [
    case(f"first field {_name(field)}", raw("GET /t HTTP/1.1", field, "Host: h")) for field in FIELDS
] + [
    case(f"field {_name(field)} ended by LF", raw("GET /t HTTP/1.1", "Host: h", field, end="\n")) for field in FIELDS
] + [
    case(f"twice {_name(field)} {method}", raw(f"{method} /t HTTP/1.1", *(["Host: h"] if "Host" not in field else []),
         field, field))
    for field in ONCE for method in ("GET", "OPTIONS")
] + [
    case(f"Host: {_name(host)}", raw("GET /t HTTP/1.1", f"Host: {host}")) for host in HOSTS
] + [
    case(f"1.0, Host: {_name(host)}", raw("GET /d HTTP/1.0", f"Host: {host}")) for host in HOSTS
] + [
    case(f"two Hosts {one!r} {other!r}", raw("GET /t HTTP/1.1", f"Host: {one}", f"Host: {other}")) for one,
    other in (("h", "h"), ("h", "i"), ("h/", "h"), ("h", "i/"), ("", "h"), ("h", ""))
] + [
    case(f"no Host, {line}", raw(line)) for line in ("GET /t HTTP/1.1", "GET /t HTTP/1.0", "GET /d HTTP/1.0",
         "GET http://o/t HTTP/1.1", "GET http://o/d HTTP/1.0", "TRACE /t HTTP/1.1", "FOO /t HTTP/1.1",
         "GET /t HTTP/1.2")
] + [
    case(f"Connection: {_name(value)} {version}", raw(f"GET /t HTTP/{version}", "Host: h",
         f"Connection: {value}")) for value in CONNECTIONS for version in ("1.1", "1.0")
] + [
    case(f"Connection: {one} and {other} {version}", raw(f"GET /t HTTP/{version}", "Host: h", f"Connection: {one}",
         f"Connection: {other}"))
    for one, other in (("close", "keep-alive"), ("keep-alive", "close"), ("close", "x"),
        ("x", "keep-alive")) for version in ("1.1", "1.0")
] + [
    case(f"a line of {size} bytes", raw("GET /".ljust(size - 11, "x") + " HTTP/1.1", "Host: h")) for size in (1000,
         1023, 1024, 1025, 4096, 8190, 8191, 8192, 8193, 8194, 9000, 20000)
] + [
    case(f"a 1.0 line of {size} bytes", raw("GET /d?".ljust(size - 11, "x") + " HTTP/1.0",
         "Host: h")) for size in (8000, 8193)
] + [
    case(f"a line of {size} bytes without version", raw("GET /".ljust(size - 2, "x"))) for size in (1024, 8192, 8193,
         9000)
] + [
    case(f"a field of {size} bytes", raw("GET /t HTTP/1.1", "Host: h", *filler(1, size))) for size in (990, 1000,
         1024, 4096, 8190, 8191, 8192, 8193, 8194, 9000, 20000)
] + [
    case(f"{count} fields of {size} bytes", raw("GET /t HTTP/1.1", "Host: h", *filler(count, size)))
    for count, size in ((4, 8192), (5, 8192), (4, 8191), (8, 4096), (9, 4096), (7, 4097), (8, 4097), (32, 1024),
        (33, 1024), (34, 1024), (35, 1024), (300, 100), (330, 100), (332, 100), (340, 100), (400, 100),
                        (998, 10), (999, 10), (1000, 10), (1001, 10), (1100, 10), (3, 8000), (4, 8000), (5, 8000),
                        (65, 512), (66, 512), (67, 512))
] + [
    case(f"{count} fields of no account", raw("GET /t HTTP/1.1", "Host: h",
         *[f"_{n}:" for n in range(count)])) for count in (1000, 1001, 2000)
] + [
    case(f"{name} after a request", request("GET", "/d/a") + data) for name, data in (
        ("empty lines", b"\r\n\r\n\n\n" + request("GET", "/t")), ("junk", b"junk\r\n\r\n"), ("a NUL", b"\0"),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01"), ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a line too long", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n"),
        ("a field too long", b"GET /t HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 9000 + b"\r\n\r\n"),
        ("a line without version", b"GET /t\r\n"),
        ("half a line", b"GET /t"), ("half a head", b"GET /t HTTP/1.1\r\nHost"), ("spaces", b"   "),
        ("a large head", raw("GET /t HTTP/1.1", "Host: h", *filler(4, 8000))))
] + [
    case("empty lines in front", b"\r\n\n\r\r\n" + request("GET", "/t")),
    case("2,000 empty lines in front", b"\r\n" * 2000 + request("GET", "/t")),
    case("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    case("nothing at all", b""), case("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
    case("several faults: no Host, TRACE", raw("TRACE /t HTTP/1.1")),
    case("several faults: bad length, gzip", raw("PUT /n HTTP/1.1", "Content-Length: x", "Transfer-Encoding: gzip",
         "Host: h")),
    case("several faults: bad length, no Host", raw("PUT /n HTTP/1.1", "Content-Length: x")),
    case("several faults: gzip, TRACE", raw("TRACE /n HTTP/1.1", "Host: h", "Transfer-Encoding: gzip")),
    case("several faults: two Hosts, bad line", raw("GET /t HTTP/1.1", "Host: h", "Host: h", "bad line here")),
    case("several faults: 2.0 and junk", raw("GET /t HTTP/2.0", "bad line")),
    case("several faults: bad host, bad field", raw("GET /t HTTP/1.1", "Host: h/", ": x")),
    case("several faults: unknown method, bad path", request("FOO", "/%zz")),
    case("several faults: PUT of a folder, Content-Range", request("PUT", "/d/", "Content-Range: x", body=b"x")),
    case("several faults: bad path with no Host", raw("GET /%zz HTTP/1.1")),
]


@parametrize(CASES)
def test_heads(pair, case):
    judge(pair, case)
