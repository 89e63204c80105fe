"""Bodies: chunks with their extensions, trailers and errors, lengths, and both at once."""

from cases import case, judge, parametrize, request
from trees import BIG

CHUNKED = {
    "one chunk": b"3\r\nabc\r\n0\r\n\r\n", "two": b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "none": b"0\r\n\r\n",
    "many zeros": b"000\r\n\r\n",
    "upper and lower": b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    "leading zeros": b"0000000003\r\nabc\r\n0\r\n\r\n",
    "thousands of zeros": b"0" * 5000 + b"3\r\nabc\r\n0\r\n\r\n",
    "extension": b"3;x\r\nabc\r\n0;y\r\n\r\n", "extension with value": b"3;x=y;z=\"a b\"\r\nabc\r\n0\r\n\r\n",
    "spaces": b"3  \r\nabc\r\n0 \r\n\r\n",
    "tab": b"3\t\r\nabc\r\n0\t\r\n\r\n", "space in front": b" 3\r\nabc\r\n0\r\n\r\n",
    "junk behind a space": b"3 junk\r\nabc\r\n0 junk\r\n\r\n",
    "NUL in an extension": b"3;\0\r\nabc\r\n0;\xff\r\n\r\n", "CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "CR CR": b"3\r\r\nabc\r\n0\r\n\r\n",
    "LF alone": b"3\nabc\n0\n\n", "LF after the size": b"3\nabc\r\n0\r\n\r\n",
    "LF after the data": b"3\r\nabc\n0\r\n\r\n", "LF after 0": b"3\r\nabc\r\n0\n\r\n",
    "LF at the end": b"3\r\nabc\r\n0\r\n\n", "trailer": b"3\r\nabc\r\n0\r\nT: x\r\n\r\n",
    "trailers": b"3\r\nabc\r\n0\r\nT: x\r\nU: y\r\nContent-Length: 5\r\n\r\n",
    "trailer of junk": b"3\r\nabc\r\n0\r\n\0\xff junk\r\n\r\n", "trailer with LF": b"3\r\nabc\r\n0\r\nT: x\n\n",
    "trailer with CR": b"3\r\nabc\r\n0\r\nT: \rx\r\n\r\n",
    "trailer of CR": b"3\r\nabc\r\n0\r\n\r\r\n\r\n", "no last chunk": b"3\r\nabc\r\n", "no end": b"3\r\nabc\r\n0\r\n",
    "data short": b"9\r\nabc\r\n0\r\n\r\n",
    "data long": b"2\r\nabc\r\n0\r\n\r\n", "no line end behind data": b"3\r\nabc0\r\n\r\n", "no size": b"\r\n\r\n",
    "no hex": b"zz\r\nabc\r\n", "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "minus": b"-3\r\nabc\r\n0\r\n\r\n", "plus": b"+3\r\nabc\r\n0\r\n\r\n", "comma": b"3,\r\nabc\r\n0\r\n\r\n",
    "a space within": b"1 0\r\nabc\r\n0\r\n\r\n",
    "2^59": b"800000000000000\r\nabc", "2^59-1": b"7ffffffffffffff\r\nabc", "2^63": b"8000000000000000\r\nabc",
    "2^64+3": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "over a buffer": b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (10000, b"a" * 10000, 30000, b"b" * 30000),
    "big": b"%x\r\n%s\r\n0\r\n\r\n" % (len(BIG), BIG),
    "in many": b"".join(b"1\r\n%c\r\n" % c for c in BIG[:3000]) + b"0\r\n\r\n",
    "a request behind": b"3\r\nabc\r\n0\r\n\r\nGET /d/a HTTP/1.1\r\nHost: h\r\n\r\n",
    "nothing": b"",
}
CODINGS = [
    "chunked", "Chunked", "CHUNKED", " chunked", "chunked ", "\tchunked", "chunked\t", "chunked,", ",chunked",
    "chunked, chunked", "gzip, chunked", "chunked, gzip",
    "gzip", "identity", "identity, chunked", "", "chunked;q=1", "\"chunked\"", "chunke", "chunkedx", "chunked\x0b",
    "\x0bchunked",
]
LENGTHS = [
    "3", "03", "0000000000000000000000000003", "+3", "-3", " 3", "3 ", "\t3", "3\t", "3,3", "3, 3", "3;", "0x3",
    "3.0", "3e0", "", " ", "a", "3a", "3 3",
    "9223372036854775808", "18446744073709551619", "99999999999999999999999", "-1", "2", "4", "0",
]

CASES = [
    case(f"PUT {name}", request("PUT", "/new", "Transfer-Encoding: chunked", body=body)) for name,
    body in CHUNKED.items()
] + [
    case(f"{method} {name}", request(method, target, "Transfer-Encoding: chunked", body=body))
    for method, target in (("GET", "/t"), ("GET", "/nope/x"), ("HEAD", "/p"), ("GET", "/sv00/aa/bb/big"),
        ("DELETE", "/nope"), ("POST", "/t"), ("PUT", "/d/"), ("OPTIONS", "/t"),
        ("GET", "/d/"))
    for name, body in CHUNKED.items()
    if name in ("one chunk", "trailer", "no hex", "data long", "no last chunk", "a request behind", "over a buffer",
        "none", "LF alone", "2^63")
] + [
    case(f"Transfer-Encoding: {ascii(value)} {version} {method}",
         request(method, "/new", f"Transfer-Encoding: {value}", "Host: h", body=b"3\r\nabc\r\n0\r\n\r\n",
             version=version))
    for method in ("PUT", "GET") for value in CODINGS for version in (("1.1", "1.0") if method == "PUT" else ("1.1",))
] + [
    case(f"Content-Length: {value!r} {method}", request(method, "/new", f"Content-Length: {value}", body=b"abc"))
    for method in ("PUT", "GET", "DELETE") for value in LENGTHS
] + [
    case(f"both, {name} {method} {version}", request(method, "/new", *fields, "Host: h",
         body=b"3\r\nabc\r\n0\r\n\r\n", version=version))
    for method in ("PUT", "GET", "POST") for version in ("1.1", "1.0")
    for name, fields in (
        ("length first", ("Content-Length: 13", "Transfer-Encoding: chunked")),
        ("coding first", ("Transfer-Encoding: chunked", "Content-Length: 13")),
        ("bad length", ("Content-Length: x", "Transfer-Encoding: chunked")),
        ("bad coding", ("Content-Length: 13", "Transfer-Encoding: gzip")),
        ("two lengths", ("Content-Length: 13", "Content-Length: 13")),
        ("two codings", ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
        ("coding of an odd name", ("Transfer_Encoding: chunked", "Content-Length: 13")),
        ("space before the colon", ("Transfer-Encoding : chunked", "Content-Length: 13")),
        ("folded", ("X: y", " Transfer-Encoding: chunked", "Content-Length: 13")),
    )
] + [
    case("fewer bytes than told", request("PUT", "/new", "Content-Length: 500", body=b"abc")),
    case("far fewer bytes than told", request("PUT", "/new", "Content-Length: 500000", body=BIG)),
    case("the largest length", request("PUT", "/new", "Content-Length: 9223372036854775807", body=b"abc")),
    case("a length of 0", request("PUT", "/new", "Content-Length: 0", body=b"")),
    case("POST without any", request("POST", "/new")), case("POST of a folder", request("POST", "/d", body=b"abc")),
] + [
    case(f"PUT of {size} over buffers", request("PUT", "/new", body=BIG[:size]) + request("GET", "/new"),
         request("PUT", "/new", "Transfer-Encoding: chunked",
         body=b"%x\r\n%s\r\n0\r\n\r\n" % (size, BIG[:size])) + request("HEAD", "/new"))
    for size in (1, 960, 1023, 1024, 1025, 4095, 4096, 8191, 8192, 8193, 16383, 16384, 16385, 65535, 65536, 131072,
        131073)
]


@parametrize(CASES)
def test_bodies(pair, case):
    judge(pair, case)
