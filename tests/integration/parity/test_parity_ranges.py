"""Ranges, alone and together, with what they are conditional on."""

from cases import case, judge, parametrize, request

RANGES = [
    "bytes=0-2", "bytes=-3", "bytes=5-", "bytes=9-9", "bytes=0-0", "bytes=0-", "bytes=0-9", "bytes=10-",
    "bytes=10-10", "bytes=20-30", "bytes=9-20", "bytes=0-1,3-4", "bytes=3-4,0-1", "bytes=0-1,20-40",
    "bytes=20-40,0-1", "bytes=20-40,50-60", "bytes=0-9,0-9", "bytes=0-4,5-9", "bytes=0-5,5-9", "bytes=0-1,1-2,2-3",
    "bytes=-0", "bytes=-1", "bytes=-10", "bytes=-11", "bytes=-100", "bytes=-1,-1", "bytes=-5,0-4", "bytes=0-1,-1",
    "bytes=5-4", "bytes=5-4,0-1", "bytes=0-1,5-4", "bytes=1-0", "bytes=a-4", "bytes=0-a", "bytes=0-1,a", "bytes=0-1x",
    "BYTES=1-2", "Bytes=1-2", "bytes = 1-2", " bytes=1-2", "bytes= 1 - 2 , 4 - ", "bytes=1 -2", "bytes=1- 2",
    "bytes=- 2",
    "bytes=\t1-2", "bytes=1-2,", "bytes=,1-2", "bytes=1-2,,3-4", "bytes=1-2, ,3-4", "bytes=", "bytes", "bytes=-",
    "bytes=--",
    "bytes=1", "bytes=1-2-3", "bytes=1--2", "bytes=-1-2", "bytes=+1-2", "bytes=0x1-2", "bytes=1.0-2", "bytes=1-2;3-4",
    "bytes=99999999999999999999999-", "bytes=0-99999999999999999999999", "bytes=-99999999999999999999999",
    "bytes=9223372036854775807-", "bytes=0-9223372036854775807", "bytes=0-9223372036854775806",
    "bytes=-9223372036854775807", "bytes=-9223372036854775808", "bytes=9223372036854775808-",
    "bytes=0-9223372036854775808", "bytes=922337203685477580-", "bytes=9223372036854775800-9223372036854775807",
    "bytes=00000000000000000000001-2", "bytes=0-0,2-2,4-4,6-6", "bytes=0-0,2-2,4-4,6-6,8-8,1-1,3-3,5-5,7-7,9-9",
    "bytes=0-0,2-2,4-4,6-6,8-8,1-1,3-3,5-5,7-7,9-9,0-0", "bits=0-1", "byte=0-1", "bytes:0-1", "bytes=0-1 bytes=3-4",
    "",
    "bytes=" + ",".join("0-0" for _ in range(10)), "bytes=" + ",".join("0-0" for _ in range(11)),
    "bytes=0-70000,100000-200000", "bytes=1000-200000", "bytes=200000-,0-10", "bytes=-70000",
    "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2000, 2)),
]
FILES = ["/t", "/sv00/aa/bb/zero", "/sv00/aa/bb/big", "/page.html"]
TAG = '"3b9aca31-a"'


def _name(text: str) -> str:
    return text if len(text) < 60 else f"{text[:40]}...{len(text)}"


CASES = [
    case(f"{target} {_name(value)}", request("GET", target, f"Range: {value}"))
    for target in FILES[:3] for value in RANGES
] + [
    case(f"HEAD {target} {_name(value)}", request("HEAD", target, f"Range: {value}"))
    for target in FILES[:2] for value in RANGES[::2]
] + [
    case(f"{method} {target} {value} {version}", request(method, target, f"Range: {value}", version=version))
    for method, target in (("GET", "/d/"), ("GET", "/d"), ("GET", "/nope"), ("POST", "/t"), ("GET", "/ix/"),
        ("GET", "/page.html"))
    for value in ("bytes=0-2", "bytes=0-1,3-4", "bytes=20-")
    for version in ("1.1", "1.0")
] + [
    case("1.0", request("GET", "/t", "Range: bytes=0-2", version="1.0")),
    case("1.0 kept", request("GET", "/t", "Range: bytes=0-2,4-5", "Connection: keep-alive", version="1.0")),
    case("two Range fields", request("GET", "/t", "Range: bytes=0-1", "Range: bytes=3-4")),
    case("two Range fields, first bad", request("GET", "/t", "Range: junk", "Range: bytes=3-4")),
    case("second of a pipeline", request("GET", "/t", "Range: bytes=0-1") + request("GET", "/t",
         "Range: bytes=3-4,6-7")
         + request("HEAD", "/t", "Range: bytes=3-4,6-7") + request("GET", "/t", "Range: bytes=77-")),
    case("after a PUT", request("PUT", "/new", body=b"abcdef"), request("GET", "/new", "Range: bytes=1-2,-1")),
]


@parametrize(CASES)
def test_ranges(pair, case):
    judge(pair, case)
