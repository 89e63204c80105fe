"""Every method on every kind of name, and the types of files."""

from cases import case, judge, parametrize, request

NAMES = [
    "/", "/t", "/d", "/d/", "/d/sub", "/d/sub/", "/empty/", "/empty", "/nope", "/nope/", "/nope/x",
    "/t/", "/t/x", "/t/x/", "/sv00", "/sv00/", "/sv00/aa/", "/sv00/aa/bb", "/sv00/aa/bb/L2E=",
    "/sv00/aa/bb/zero", "/sv00/aa/bb/big", "/sv00/aa/side/L2E=", "/sv00/aa/.dot", "/sv00/aa/.dot/",
    "/sv01", "/sv01/", "/sv01/aa/bb/L2E=", "/sv42", "/sv42/", "/sv42/x", "/.hidden", "/link", "/dlink",
    "/dlink/", "/dlink/sub", "/dlink/a", "/dangling", "/dangling/", "/dangling/x", "/loop", "/loop/",
    "/loop/x", "/fifo", "/fifo/", "/ix/", "/ix", "/ix/index.html", "/ixdir/", "/ixdir",
    "/ixdir/index.html", "/deep/1/2/3/leaf", "/d/up", "/" + "x" * 255, "/" + "x" * 256,
    "/" + "x" * 256 + "/", "/nope/" + "x" * 256, "/" + "x/" * 2040, "/" + "x/" * 2048, "/" + "x/" * 2100,
]
TYPES = ["/page.html", "/pic.JPG", "/g.gif", "/tar.tgz.gif.", "/dir.html.bin", "/.html"]
OTHER_METHODS = [
    "OPTIONS", "PATCH", "TRACE", "CONNECT", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK",
    "UNLOCK", "SEARCH", "LIST", "UNLINK", "REBALANCE", "FOO", "G", "GE", "GETT", "PUTT", "HEADS", "POS",
    "DELETES", "X-Y_Z", "_", "-",
]


def _short(name: str) -> str:
    return name if len(name) < 40 else f"{name[:8]}...{len(name)}"


CASES = [
    case(f"{method} {_short(name)}", request(method, name))
    for method in ("GET", "HEAD", "POST") for name in NAMES + TYPES
] + [
    case(f"{method} {name} {'body' if body else ''}", request(method, name, body=body))
    for method in OTHER_METHODS for name in ("/t", "/d/", "/nope") for body in (None, b"12345")
] + [
    case(f"{method} with Destination {name}", request(method, name, "Destination: http://h/new"))
    for method in ("COPY", "MOVE") for name in ("/t", "/d/")
] + [
    case(f"{method} {name} with a body of {len(body)}", request(method, name, body=body))
    for method in ("GET", "HEAD", "POST") for name in ("/t", "/d/", "/nope", "/d")
    for body in (b"", b"12345", b"x" * 70000)
]


@parametrize(CASES)
def test_files(pair, case):
    judge(pair, case)
