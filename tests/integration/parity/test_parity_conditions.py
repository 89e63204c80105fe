"""If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range, one by one and
together; and what follows a refusal on the same connection."""

from cases import case, judge, parametrize, request


TAGS = [
    "*", '"x"', "$ETAG", "W/$ETAG", 'W/"x"', '"x", $ETAG', '"x",$ETAG , "y"', "$ETAGx", "$ETAG x", "$ETAG,", ",$ETAG",
    ", $ETAG", '"x" $ETAG', '"x";$ETAG', "* ", " *", "*, *", '"x", *', "*,$ETAG", "", "$ETAG$ETAG", "w/$ETAG",
    "W/ $ETAG", 'W/"x", W/$ETAG', "W/W/$ETAG", '"x",\t$ETAG', "$ETAG\t", "x$ETAG", '""', '"', "W/", "W/*",
    '"a,b", $ETAG',
    '"x"' + ', "x"' * 500 + ", $ETAG",
]
DATES = [
    "$MODIFIED", "Sun, 09 Sep 2001 01:46:39 GMT", "Sun, 09 Sep 2001 01:46:41 GMT", "Fri, 01 Jan 2100 00:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 31 Dec 1969 23:59:59 GMT", "junk", "", "0", "1000000000",
    "Sun, 09 Sep 2001",
    "Sunday, 09-Sep-01 01:46:41 GMT", "Sun Sep  9 01:46:41 2001", "$MODIFIED; length=10", "$MODIFIED ", "x$MODIFIED",
    "Mon, 31 Feb 2001 00:00:00 GMT", "Sun, 09 Sep 2001 24:00:00 GMT", "Sun, 09 Sep 2001 01:46:60 GMT",
    "Sun, 9 Sep 2001 01:46:41 GMT",
    "Sun, 09 Sep 99999 01:46:41 GMT", "Sun, 09 Sep 0001 01:46:41 GMT", "Sun, 00 Sep 2001 01:46:41 GMT",
    "Fri, 29 Feb 2000 00:00:00 GMT",
]
PAIRS = [
    ("If-Modified-Since: $MODIFIED", 'If-None-Match: "x"'), ("If-Modified-Since: $MODIFIED", "If-None-Match: $ETAG"),
    ("If-Modified-Since: junk", "If-None-Match: $ETAG"), ("If-Modified-Since: junk", 'If-None-Match: "x"'),
    ("If-Unmodified-Since: $MODIFIED", "If-Match: $ETAG"), ("If-Unmodified-Since: junk", "If-Match: $ETAG"),
    ("If-Unmodified-Since: $MODIFIED", 'If-Match: "x"'), ("If-Match: $ETAG", "If-None-Match: $ETAG"),
    ('If-Match: "x"', "If-None-Match: $ETAG"), ("If-Match: *", "If-None-Match: *"),
    ("If-Unmodified-Since: $MODIFIED", "If-Modified-Since: $MODIFIED"),
    ("If-None-Match: $ETAG", "Range: bytes=0-1"), ("If-None-Match: $ETAG", "Range: bytes=77-"),
    ('If-Match: "x"', "Range: bytes=77-"), ("If-Match: $ETAG", "Range: bytes=77-"),
    ('If-None-Match: "x"', "Range: bytes=0-1,3-4"),
    ("If-Modified-Since: $MODIFIED", "Range: bytes=0-1"), ("If-Match: *", "Range: bytes=0-1", "If-Range: $ETAG"),
    ("If-None-Match: $ETAG", "Range: bytes=0-1", "If-Range: $ETAG"), ('If-Range: "x"', "Range: bytes=77-"),
    ("If-Range: $ETAG", "Range: bytes=77-"), ("If-Range: $ETAG",), ("If-Range: $ETAG", "Range: bytes=0-1,3-4"),
    ('If-Range: "x"', "Range: bytes=0-1,3-4"), ("If-Range: $MODIFIED", "Range: bytes=0-1,3-4"),
    ('If-Match: "a"', "If-Match: $ETAG"), ("If-None-Match: $ETAG", 'If-None-Match: "a"'),
    ("If-Range: $ETAG", "If-Range: $ETAG", "Range: bytes=0-1"),
    ("If-Modified-Since: $MODIFIED", "If-Modified-Since: $MODIFIED"),
]
TARGETS = ["/d/", "/d", "/nope", "/ix/", "/sv00/aa/bb/zero", "/sv00/aa/bb/big", "/link"]


def _name(text: str) -> str:
    return ascii(text if len(text) < 60 else f"{text[:40]}...{len(text)}").strip("'")


def asked(method: str, target: str, *fields: str, **more) -> tuple[bytes, bytes]:
    return request("HEAD", target), request(method, target, *fields, **more)


CASES = [
    case(f"{method} {field}: {_name(value)}", *asked(method, "/t", f"{field}: {value}"))
    for method, field in (("GET", "If-Match"), ("GET", "If-None-Match"), ("HEAD", "If-None-Match")) for value in TAGS
] + [
    case(f"{field}: {_name(value)}", *asked("GET", "/t", f"{field}: {value}"))
    for field in ("If-Modified-Since", "If-Unmodified-Since") for value in DATES
] + [
    case(f"If-Range: {_name(value)}", *asked("GET", "/t", "Range: bytes=0-2", f"If-Range: {value}"))
    for value in TAGS[:-1] + [d for d in DATES if d]
] + [
    case(f"{method} " + " & ".join(fields), *asked(method, "/t", *fields))
    for method in ("GET", "HEAD") for fields in PAIRS
] + [
    case(f"{target} {field}", *asked("GET", target, field))
    for target in TARGETS
    for field in ("If-Match: *", 'If-Match: "x"', "If-None-Match: *", "If-Modified-Since: $MODIFIED",
        "If-Unmodified-Since: junk")
] + [
    case(f"{method} under {field}", *asked(method, "/t", field, body=b"new" if method == "PUT" else None))
    for method in ("PUT", "DELETE", "POST")
    for field in ('If-Match: "x"', "If-None-Match: *", "If-Unmodified-Since: junk", "If-Modified-Since: $MODIFIED",
        'If-Range: "x"')
] + [
    case(f"another after {field}", request("GET", "/t", field) + request("GET", "/d/a") + request("GET", "/t", field))
    for field in ('If-Match: "x"', "If-None-Match: *", "If-Unmodified-Since: junk")
] + [
    case(f"another after {field} in 1.0", request("GET", "/t", field, "Connection: keep-alive",
         version="1.0") + request("GET", "/d/a"))
    for field in ('If-Match: "x"', "If-None-Match: *", "Range: bytes=77-")
] + [
    case("the validators of a PUT", request("PUT", "/new", body=b"abc"), request("HEAD", "/new"),
         request("GET", "/new", "If-None-Match: $ETAG"), request("GET", "/new", "If-Modified-Since: $MODIFIED"),
         request("GET", "/new", "If-Range: $ETAG", "Range: bytes=0-1"), request("GET", "/new", "If-Match: $ETAG")),
]


@parametrize(CASES)
def test_conditions(pair, case):
    judge(pair, case)
