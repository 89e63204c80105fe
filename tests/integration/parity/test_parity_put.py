"""PUT: what is made where, with which mode and time."""

from cases import case, judge, parametrize, request
from trees import BIG

DATES = [
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    "Sun Nov 16 08:49:37 1994",
    "junk", "", "0", "Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 31 Dec 1969 23:59:59 GMT",
    "Fri, 31 Dec 2060 23:59:59 GMT",
    "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 PST", "Sun,06 Nov 1994 08:49:37 GMT",
    "xyz, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 31 Apr 1994 08:49:37 GMT", "Thu, 29 Feb 1996 08:49:37 GMT",
    "Sun, 29 Feb 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 8:49:37 GMT", "Tuesday, 19-Jan-38 03:14:08 GMT", "Monday, 01-Jan-70 00:00:00 GMT",
    "Sunday, 31-Dec-69 00:00:00 GMT",
    "Sun, 06 Nov 9999 08:49:37 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
]
DEEP = "/" + ("y" * 200 + "/") * 19  # 3,820 bytes; nginx counts those of its root as well
TARGETS = [
    "/new", "/t", "/n1/n2/n3/f", "/sv00/aa/bb/new", "/sv00/aa/bb/L2E=", "/sv01/aa/bb/new", "/sv01/aa/new/f",
    "/sv05/aa/bb/new",
    "/sv06/f", "/sv07", "/n/", "/", "//", "/d", "/d/", "/d/sub", "/sv00", "/sv00/", "/sv01", "/sv01/", "/dlink",
    "/dlink/", "/dlink/f",
    "/dlink/sub/f", "/link", "/link/x", "/dangling", "/dangling/", "/dangling/x", "/loop", "/loop/x", "/fifo",
    "/fifo/x", "/t/x",
    "/t/x/y", "/t/", "/ix/", "/ix/index.html", "/ixdir/index.html", "/.hidden", "/.new", "/.new/f", "/d/.new",
    "/d/up", "/q?x=1",
    "/q#x", "/u%c3%a9%ff%23%3f%25+=", "/a/../b//c/./f%20g", "/a/b/..", "/a/b/../", "/a/b/.", "/%2e%2e/x", "/x%00y",
    "/x%zz",
    "/" + "x" * 255, "/" + "x" * 256, "/y/" + "x" * 256 + "/z", "/d/" + "x" * 256, DEEP + "z" * 90,
    "/" + "y/" * 200 + "z",
    DEEP + "z" * 255 + "/" + "z" * 250, "/" + "x" * 255 + "/" + "x" * 255, "/" + "%78" * 255, "/ctl%01%0a%09",
    "/d/new.html", "/sv00/aa/side/new",
    "http://abs:7/hosts", "http://abs", "http://abs?x",
]
BODIES = {"empty": b"", "one": b"x", "small": b"0123456789" * 100, "8k": b"x" * 8192, "16k": b"y" * 16384, "big": BIG,
    "large": BIG * 8}
HOSTS = [
    "FOO.bar.:99", "[::1]:99", "h:", "h:80", "h:x", "h.", "h..", ".h", ".", "..", "", ":80", "h/x", "h x", "[::1",
    "[::1]x", "[]", "[", "]",
    "a]b", "a[b", "h@x", "u:p@h", "h\xff", "h_x", "h%20", "h,g", "h\t", "h\x01", "h\x7f", "h?x", "h#x", "h;x", "h\\x",
    "h:80:90", "-",
    "x" * 255, "x" * 300,
]


def _name(text: str) -> str:
    return ascii(text if len(text) < 60 else f"{text[:8]}...{len(text)}").strip("'")


CASES = [
    case(f"{_name(target)} of {kind}", request("PUT", target, body=BODIES[kind]), request("GET", target))
    for target in TARGETS for kind in ("small", "empty") if kind == "small" or not target.startswith("/sv0")
] + [
    case(f"of {kind}", request("PUT", "/new", body=body), request("PUT", "/new", body=body + b"!"),
         request("GET", "/new"))
    for kind, body in BODIES.items()
] + [
    case(f"Date: {date}", request("PUT", "/dt", f"Date: {date}", body=b"abc"), request("GET", "/dt"),
         request("GET", "/")) for date in DATES
] + [
    case("Date of a replaced file", request("PUT", "/t", f"Date: {DATES[0]}", body=b"abc"),
         request("PUT", "/t", body=b"abc")),
    case("two Dates", request("PUT", "/dt", f"Date: {DATES[0]}", f"Date: {DATES[1]}", body=b"abc")),
    case("Date, chunked", request("PUT", "/dt", f"Date: {DATES[0]}", "Transfer-Encoding: chunked",
         body=b"3\r\nabc\r\n0\r\n\r\n")),
    case("Date in lower case, odd name", request("PUT", "/dt", f"date: {DATES[0]}", "Da_te: x", body=b"abc")),
    case("Date before 1970, then listed", request("PUT", "/d/old", "Date: Tue, 01 Jan 1901 00:00:00 GMT",
         body=b"abc"), request("GET", "/d/")),
] + [
    case(f"Content-Range on {target} {value!r}", request("PUT", target, f"Content-Range: {value}", body=b"abc"))
    for target in ("/cr", "/t", "/d/", "/nope/x", "/t/x") for value in ("bytes 0-2/3", "junk", "")
] + [
    case("Content-Range, large", request("PUT", "/cr", "Content-Range: bytes 0-2/3", body=BIG)),
    case("Content-Range, chunked", request("PUT", "/cr", "Content-Range: bytes 0-2/3", "Transfer-Encoding: chunked",
         body=b"3\r\nabc\r\n0\r\n\r\n")),
    case("Content-Range, no body", request("PUT", "/cr", "Content-Range: bytes 0-2/3")),
    case("Content-Range in a GET", request("GET", "/t", "Content-Range: bytes 0-2/3")),
    case("Content-Range in a DELETE", request("DELETE", "/t", "Content-Range: bytes 0-2/3")),
] + [
    case(f"Host: {_name(host)}", request("PUT", "/hosts", b"Host: " + host.encode("latin-1"), body=b"x"),
         request("GET", "/d", b"Host: " + host.encode("latin-1")))
    for host in HOSTS
] + [
    case("without Host in 1.0", request("PUT", "/p10", body=b"x", version="1.0")),
    case("with Host in 1.0", request("PUT", "/p10", "Host: a.b:1", body=b"x", version="1.0")),
    case("kept in 1.0", request("PUT", "/p10", "Connection: keep-alive", body=b"x", version="1.0") + request("GET",
         "/p10", version="1.0")),
    case("a folder, large, and another", request("PUT", "/d/", body=BIG) + request("GET", "/t")),
    case("a folder, small, and another", request("PUT", "/d/", body=b"x") + request("GET", "/t")),
    case("a folder's name, and another", request("PUT", "/d", body=b"x") + request("GET", "/t")),
    case("below a file, and another", request("PUT", "/t/x", body=b"x") + request("GET", "/t")),
    case("a pipeline of them", *[b"".join(request("PUT", f"/p/{n % 3}", body=b"%d" % n * n) for n in range(20)),
         request("GET", "/p/")]),
    case("and GET in one pipeline", request("PUT", "/new", body=b"abc") + request("GET", "/new") + request("DELETE",
         "/new") + request("GET", "/new")),
    case("Content-Type and others", request("PUT", "/new", "Content-Type: text/plain", "Content-Encoding: gzip",
         "Cookie: a", "Overwrite: F", "Depth: 1", body=b"abc"),
         request("GET", "/new")),
    case("Accept-Encoding", request("GET", "/page.html", "Accept-Encoding: gzip, deflate, br")),
]


@parametrize(CASES)
def test_put(pair, case):
    judge(pair, case)
