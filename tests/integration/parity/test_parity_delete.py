"""DELETE, its Depth, and its body."""

from cases import case, judge, parametrize, request

FILES = [
    "/t", "/link", "/dlink/a", "/dangling", "/loop", "/fifo", "/sv00/aa/bb/L2E=", "/sv01/aa/bb/L2E=", "/sv00/aa/side",
    "/d/out", "/d/up", "/dlink",
    "/.hidden", "/sp%20ace", "/raw%ff%c3%a9", "/ix/index.html", "/h%23a%3fb%25c", "//t", "/d/../t", "/t?x", "/t#x",
]
ABSENT = ["/nope", "/nope/x", "/nope/", "/t/x", "/t/", "/t/x/", "/loop/x", "/loop/", "/dangling/x", "/dangling/",
    "/fifo/", "/link/", "/sv42", "/sv42/x", "/a%00",
          "/..", "/" + "x" * 256, "/" + "x" * 256 + "/", "/" + "x/" * 2100, "/nope/" + "x" * 256, "/loop/" + "x" * 256, "/t/" + "x" * 256]
FOLDERS = ["/d", "/d/", "/empty", "/empty/", "/sv00", "/sv00/", "/sv01", "/sv01/", "/dlink/", "/", "/ix/", "/d/sub/",
    "/d/.", "/d/sub/.."]
DEPTHS = ["0", "1", "infinity", "Infinity", "", "junk", "00", " 0", "0 "]


def _name(text: str) -> str:
    return text if len(text) < 60 else f"{text[:8]}...{len(text)}"


CASES = [
    case(f"{_name(target)}", request("DELETE", target), request("DELETE", target),
         request("GET", target)) for target in FILES + ABSENT
] + [
    case(f"{target} Depth: {depth!r}", request("DELETE", target, f"Depth: {depth}"))
    for target in ("/t", "/link", "/nope", "/t/x", "/nope/", "/t/") for depth in DEPTHS
] + [
    case(f"{target} Depth: {depth!r} refused", request("DELETE", target, f"Depth: {depth}"))
    for target in FOLDERS for depth in ("0", "1", "junk") if target.endswith("/")
] + [
    case(f"{target} with {name}", request("DELETE", target, *fields, body=body) + request("GET", "/d/a"))
    for target in ("/t", "/nope", "/d/", "/nope/", "/t/x")
    for name, fields, body in (
        ("an empty body", (), b""), ("a body", (), b"12345"), ("a large body", (), b"x" * 70000),
        ("chunks", ("Transfer-Encoding: chunked",), b"3\r\nabc\r\n0\r\n\r\n"),
        ("no chunks", ("Transfer-Encoding: chunked",), b"0\r\n\r\n"),
        ("bad chunks", ("Transfer-Encoding: chunked",), b"zz\r\n"),
    ) if target != "/d/" or body
] + [
    case("two Depths", request("DELETE", "/t", "Depth: 0", "Depth: 1")),
    case("a pipeline", b"".join(request("DELETE", target) for target in ("/t", "/t", "/link", "/d/a", "/nope"))),
    case("in 1.0", request("DELETE", "/t", version="1.0")),
    case("in 1.0, kept", request("DELETE", "/t", "Connection: keep-alive", version="1.0") + request("DELETE", "/t",
         "Connection: keep-alive", version="1.0")),
    case("closing", request("DELETE", "/t", "Connection: close")),
]


@parametrize(CASES)
def test_delete(pair, case):
    judge(pair, case)
